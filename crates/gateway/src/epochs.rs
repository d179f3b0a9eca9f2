//! Live epoch keys: one writer, one patient's grant chain, one data class, one kind of observation, an hour
//! at most.
//!
//! A key lives in memory only; a restart begins new epochs. It turns when its hour is over, when a
//! grant of its chain is withdrawn or its device reassigned ([`Epochs::turn`]), and when a reading's
//! time lies outside its span. Pure.

use crate::batch::Setup;
use crate::segments::Piece;
use rand_core::CryptoRng;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::sign::PublicKey;
use salus_fragment::{EpochTerms, SealingEpoch};
use salus_store::queue::Route;
use salus_wire::ids::{ChainId, MemberIndex, SegmentIndex, TimeMs, TimeSpan};
use salus_wire::limits::{EPOCH_MS_MAX, EPOCHS_PER_ENVELOPE_MAX};
use salus_wire::release::{Deposit, Envelope, EpochShare, EpochShares, deposit_message, envelope_info};
use salus_wire::{DataClass, Faults, List, ObservationCode, encode, namespaces};
use std::collections::BTreeMap;

/// Milliseconds of device time before and after an epoch's hour that still belong to it.
const SPAN_SLACK_MS: u64 = 600_000;
/// Live epochs of one series: the present, and late data of a few earlier hours.
const LIVE_MAX: usize = 4;

/// The consortium as a gateway needs it.
pub struct Members {
    /// Its identity.
    pub chain: ChainId,
    /// How many members, and how many may fail.
    pub faults: Faults,
    /// Each member's service key, by index.
    pub service_keys: Vec<PublicKey>,
    /// Each custodian's X-Wing key, by index.
    pub custodians: Vec<KemPublicKey>,
}

/// One live key and the next segment's number under it.
pub(crate) struct Live {
    pub(crate) key: SealingEpoch,
    pub(crate) next: SegmentIndex,
    since: TimeMs,
}

/// All live keys.
#[derive(Default)]
pub(crate) struct Epochs {
    live: BTreeMap<(ChainAnchor, DataClass, ObservationCode), Vec<Live>>,
    /// Shares of keys that no custodian was brought yet: per epoch, one for each custodian.
    new: Vec<Vec<EpochShare>>,
}

impl Epochs {
    /// Ends every epoch of a grant chain.
    pub(crate) fn turn(&mut self, grants: ChainAnchor) {
        self.live.retain(|(chain, ..), _| *chain != grants);
    }

    /// The live key for a piece, new if there is none.
    pub(crate) fn live(
        &mut self,
        setup: &Setup,
        piece: &Piece,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> &mut Live {
        let series = (piece.route.grants, piece.route.class, piece.route.code);
        let fits = |live: &Live| {
            let span = live.key.terms().span;
            let young = now.since_ms(live.since) < EPOCH_MS_MAX;
            young
                && span.contains(piece.times.0)
                && span.contains(piece.times.1)
                && live.next.next().is_some()
        };
        if !self.live.get(&series).is_some_and(|keys| keys.iter().any(fits)) {
            self.forget_old(now);
        }
        let keys = self.live.entry(series).or_default();
        let found = keys.iter().position(fits);
        let index = found.unwrap_or_else(|| {
            if keys.len() >= LIVE_MAX {
                keys.remove(0);
            }
            let live = begin(setup, piece, now, rng);
            self.new.push(live.key.shares(setup.members.chain, setup.members.faults, &setup.key, rng));
            keys.push(live);
            keys.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found, or pushed, just above")]
        &mut keys[index]
    }

    /// Drops every key whose time is over, also of series of which nothing comes any more.
    fn forget_old(&mut self, now: TimeMs) {
        self.live.retain(|_, keys| {
            keys.retain(|live| now.since_ms(live.since) < EPOCH_MS_MAX);
            !keys.is_empty()
        });
    }

    /// Deposits of every new key: rounds of one envelope for each custodian.
    pub(crate) fn deposits(
        &mut self,
        setup: &Setup,
        rng: &mut impl CryptoRng,
    ) -> Vec<Vec<(MemberIndex, Deposit)>> {
        let mut rounds = Vec::new();
        let mut new = std::mem::take(&mut self.new).into_iter().peekable();
        while new.peek().is_some() {
            let epochs = new.by_ref().take(EPOCHS_PER_ENVELOPE_MAX);
            rounds.push(round(setup, epochs, rng));
        }
        rounds
    }
}

#[expect(clippy::expect_used, reason = "a reading lies before the year 10000, so the span is not empty")]
fn begin(setup: &Setup, piece: &Piece, now: TimeMs, rng: &mut impl CryptoRng) -> Live {
    let from = TimeMs::new(piece.times.0.get().saturating_sub(SPAN_SLACK_MS));
    let until = piece.times.1.plus_ms(EPOCH_MS_MAX.saturating_add(SPAN_SLACK_MS));
    let span = TimeSpan::new(from, until).expect("until is later");
    let Route { class, code, grants, .. } = piece.route;
    let terms = EpochTerms { writer: setup.gateway, class, code, span, grants };
    Live { key: SealingEpoch::generate(terms, rng), next: SegmentIndex::default(), since: now }
}

fn round(
    setup: &Setup,
    epochs: impl Iterator<Item = Vec<EpochShare>>,
    rng: &mut impl CryptoRng,
) -> Vec<(MemberIndex, Deposit)> {
    let mut by_custodian: BTreeMap<MemberIndex, Vec<EpochShare>> = BTreeMap::new();
    for shares in epochs {
        for (custodian, share) in (0_u16..).map(MemberIndex::new).zip(shares) {
            by_custodian.entry(custodian).or_default().push(share);
        }
    }
    by_custodian
        .into_iter()
        .filter_map(|(custodian, shares)| Some((custodian, deposit(setup, custodian, shares, rng)?)))
        .collect()
}

/// `None` only when a custodian's key in the genesis is no X-Wing key, which then never gets a
/// share; the batch waits for n - f others.
fn deposit(
    setup: &Setup,
    custodian: MemberIndex,
    shares: Vec<EpochShare>,
    rng: &mut impl CryptoRng,
) -> Option<Deposit> {
    let (chain, writer) = (setup.members.chain, setup.gateway);
    let key = setup.members.custodians.get(usize::from(custodian.get()))?;
    let plain = encode(&EpochShares(List::new(shares).ok()?));
    let sealed = key.seal(&envelope_info(chain, writer, custodian), &[], &plain, rng).ok()?;
    let envelopes = List::new(vec![Envelope { sealed }]).ok()?;
    let message = deposit_message(chain, writer, custodian, &envelopes);
    let signature = setup.key.sign(namespaces::DEPOSIT, &message);
    Some(Deposit { writer, custodian, envelopes, signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::chain::ChainSeed;
    use salus_wire::PartyId;

    #[test]
    fn a_key_ends_with_its_time_though_nothing_more_comes_for_it() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut epochs = Epochs::default();
        for since in [0, EPOCH_MS_MAX / 2] {
            let (grants, class) = (ChainSeed::generate(&mut rng).anchor(), DataClass::Vitals);
            let span = TimeSpan::new(TimeMs::new(1), TimeMs::new(2)).unwrap();
            let code = ObservationCode::Loinc(8_867);
            let terms = EpochTerms { writer: PartyId::new([1; 16]), class, code, span, grants };
            let key = SealingEpoch::generate(terms, &mut rng);
            let live = Live { key, next: SegmentIndex::default(), since: TimeMs::new(since) };
            epochs.live.insert((grants, class, code), vec![live]);
        }
        for (now, left) in [(EPOCH_MS_MAX - 1, 2), (EPOCH_MS_MAX, 1), (2 * EPOCH_MS_MAX, 0)] {
            epochs.forget_old(TimeMs::new(now));
            assert_eq!(epochs.live.len(), left, "at {now}");
        }
    }
}
