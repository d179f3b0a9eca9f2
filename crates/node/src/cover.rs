//! Cover: grants of nothing and accesses of nothing, committed at random times, among which nobody can tell those
//! that are meant (`docs/linkability.md`, ADR 19). Off unless `node.toml` has a `[cover]` table.
//!
//! # Specification
//! Each kind is committed at the times of a Poisson process: gaps are exponential, so that no time says anything of
//! another. What is committed is what a real one looks like: a random tag and commitment where there are digests,
//! random bytes of the one length where a sealed body is, signed by a key that was made for it and is dropped. The
//! ledger takes it like any other. Nobody can withdraw it or find anything under it, and nothing is kept by which its
//! maker could tell it apart later.
//!
//! Cover yields: nothing is committed, and nothing is made up for later, while the member is busy, while
//! [`COVER_AT_ONCE`] are under way, or while there is no entropy. What fails is not tried again and not logged one by
//! one, so that a log does not say what was cover.
//!
//! Deviation: on the ledger a busy member shows only what is meant, as every member did before there was cover.

use crate::eraser::Submit;
use crate::limits::{COVER_AT_ONCE, COVER_EVERY_S_MAX, COVER_EVERY_S_MIN};
use crate::office::Office;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{CryptoRng, Rng, RngExt};
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::sign::SigningKey;
use salus_wire::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES};
use salus_wire::tx::{SealedGrant, SealedIntent};
use salus_wire::{AccessTag, Blob, ChainId, GrantTag, Tx, TxBody};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Before the next attempt when there is no entropy.
const REST: Duration = Duration::from_secs(1);

/// Whether the member has better things to do.
pub type Busy = Arc<dyn Fn() -> bool + Send + Sync>;

/// How much cover a member gives: the `[cover]` table of `node.toml`. What is left out is not committed at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoverRates {
    /// Seconds between two grants of nothing, on average.
    pub grant_every_s: Option<MeanSeconds>,
    /// Seconds between two accesses of nothing, on average.
    pub access_every_s: Option<MeanSeconds>,
}

/// A mean gap in seconds, from [`COVER_EVERY_S_MIN`] to [`COVER_EVERY_S_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct MeanSeconds(u32);

/// A mean gap that is too short or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} seconds, where {COVER_EVERY_S_MIN} to {COVER_EVERY_S_MAX} are possible")]
pub struct OutOfBounds(u32);

/// See the head of this module.
pub struct Cover {
    office: Arc<Office>,
    submit: Submit,
    busy: Busy,
    rates: CoverRates,
}

/// What is committed next, and after how long.
struct Next {
    after: Duration,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Grant,
    Access,
}

impl TryFrom<u32> for MeanSeconds {
    type Error = OutOfBounds;

    fn try_from(seconds: u32) -> Result<Self, OutOfBounds> {
        let possible = (COVER_EVERY_S_MIN..=COVER_EVERY_S_MAX).contains(&seconds);
        if possible { Ok(Self(seconds)) } else { Err(OutOfBounds(seconds)) }
    }
}

impl CoverRates {
    /// The next of both kinds: of two Poisson processes together the gap is exponential, too, and its kind a draw of
    /// its own. `None` when both are off.
    fn next(self, rng: &mut impl Rng) -> Option<Next> {
        let per_s = |mean: Option<MeanSeconds>| mean.map_or(0.0, |mean| f64::from(mean.0).recip());
        let (grants, accesses) = (per_s(self.grant_every_s), per_s(self.access_every_s));
        let both = grants + accesses;
        if both <= 0.0 {
            return None;
        }
        // In (0, 1], whose logarithm is finite.
        let left: f64 = 1.0 - rng.random::<f64>();
        let after = Duration::try_from_secs_f64(-left.ln() / both).unwrap_or(REST);
        let kind = if rng.random::<f64>() * both < grants { Kind::Grant } else { Kind::Access };
        Some(Next { after, kind })
    }
}

impl Cover {
    /// Cover for a member, off where `rates` say nothing.
    #[must_use]
    pub fn new(office: Arc<Office>, submit: Submit, busy: Busy, rates: CoverRates) -> Self {
        Self { office, submit, busy, rates }
    }

    /// Commits for ever. May be dropped at any await; what is under way then is final or is not.
    pub async fn run(&self) -> std::convert::Infallible {
        let mut under_way = FuturesUnordered::new();
        loop {
            let drawn = self.office.rng().ok().map(|mut rng| (self.rates.next(&mut rng), rng));
            let (after, meant) = match drawn {
                Some((Some(next), rng)) => (next.after, Some((next.kind, rng))),
                Some((None, _)) => return std::future::pending().await,
                None => (REST, None),
            };
            let mut gap = (self.office.timers)(after);
            loop {
                tokio::select! {
                    biased;
                    // Neither how it ended nor that it did concerns anybody.
                    Some(_) = under_way.next() => {}
                    () = &mut gap => break,
                }
            }
            let yields = under_way.len() >= COVER_AT_ONCE || (self.busy)();
            if let Some((kind, rng)) = meant.filter(|_| !yields) {
                under_way.push((self.submit)(of_nothing(self.office.chain, kind, rng)));
            }
        }
    }
}

fn of_nothing(chain: ChainId, kind: Kind, mut rng: StdRng) -> Tx {
    match kind {
        Kind::Grant => grant_of_nothing(chain, &mut rng),
        Kind::Access => access_of_nothing(chain, &mut rng),
    }
}

/// A grant that permits nothing to anybody.
pub fn grant_of_nothing(chain: ChainId, rng: &mut impl CryptoRng) -> Tx {
    let (tag, commitment) = (GrantTag(random_tag(rng)), random_digest(rng));
    let body: SealedGrant = random_body::<GRANT_BODY_BYTES>(rng);
    Tx::sign(chain, TxBody::CommitGrant { tag, commitment, body }, &SigningKey::generate(rng))
}

/// An access to nothing by nobody.
pub fn access_of_nothing(chain: ChainId, rng: &mut impl CryptoRng) -> Tx {
    let (tag, commitment) = (AccessTag(random_tag(rng)), random_digest(rng));
    let body: SealedIntent = random_body::<INTENT_BODY_BYTES>(rng);
    Tx::sign(chain, TxBody::RecordAccess { tag, commitment, body }, &SigningKey::generate(rng))
}

fn random_tag(rng: &mut impl CryptoRng) -> ChainTag {
    ChainTag::from_digest(random_digest(rng))
}

fn random_digest(rng: &mut impl CryptoRng) -> Digest {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    Digest::from_bytes(bytes)
}

/// What the ciphertext of a sealed body cannot be told from: bytes of the one length, all random (INV-3).
#[expect(clippy::expect_used, reason = "the length is the one that the type permits")]
fn random_body<const BYTES: usize>(rng: &mut impl CryptoRng) -> Blob<BYTES> {
    let mut bytes = vec![0; BYTES];
    rng.fill_bytes(&mut bytes);
    Blob::new(bytes).expect("of the one length")
}

#[cfg(test)]
mod tests;
