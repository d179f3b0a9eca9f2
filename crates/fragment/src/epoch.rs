//! The room of epoch keys: one for a writer, a patient, a class of data, a kind of observation and at most
//! an hour or so.
//!
//! Promises that the key a gateway seals with ([`SealingEpoch`]) opens nothing, that the key a
//! reader opens with ([`OpeningEpoch`]) comes only from t checked shares, that a bad share names its
//! custodian and a bad set of shares its writer. Refuses to know the patient: only the anchor of
//! the one grant chain that can open the epoch. Neither key can be stored: a restart starts a new
//! epoch (design 4.3).

use crate::error::{OpenError, ShareFault};
use crate::keys;
use crate::locators::LocatorKey;
use crate::open::SegmentKey;
use rand_core::CryptoRng;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::sharing::{self, Share, ShareIndex, Threshold};
use salus_crypto::{PublicKey, Secret, SigningKey};
use salus_planted::{Bug, is};
use salus_wire::release::{EpochHeader, EpochShare, ShareBytes, epoch_message};
use salus_wire::{
    ChainId, DataClass, EpochId, Faults, List, Locator, Manifest, MemberIndex, ObservationCode, PartyId,
    SegmentIndex, TimeSpan, encode, namespaces,
};
use std::collections::BTreeMap;

/// What an epoch is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochTerms {
    /// The gateway that writes.
    pub writer: PartyId,
    /// The one class of data.
    pub class: DataClass,
    /// The one kind of observation.
    pub code: ObservationCode,
    /// Device times that may lie in it.
    pub span: TimeSpan,
    /// The one grant chain that can open it.
    pub grants: ChainAnchor,
}

/// An epoch key as its writer holds it: in memory only, good for sealing and for nothing else.
#[derive(Debug)]
pub struct SealingEpoch {
    id: EpochId,
    terms: EpochTerms,
    key: Secret<32>,
}

/// An epoch key as t custodians gave it back. Made by [`OpeningEpoch::combine`] alone.
#[derive(Debug)]
pub struct OpeningEpoch {
    header: EpochHeader,
    key: Secret<32>,
}

/// A share that its writer signed for and that matches its hash. Made by [`CheckedShare::check`]
/// alone.
#[derive(Debug)]
pub struct CheckedShare {
    header: EpochHeader,
    custodian: MemberIndex,
    share: Share,
}

impl SealingEpoch {
    /// Draws a fresh key and identity.
    pub fn generate(terms: EpochTerms, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        if is(Bug::EpochKeyReused) {
            return Self { id: EpochId::new([7; 16]), terms, key: Secret::from_bytes([7; 32]) };
        }
        Self { id: EpochId::new(id), terms, key: Secret::random(rng) }
    }

    /// The epoch's identity.
    #[must_use]
    pub const fn id(&self) -> EpochId {
        self.id
    }

    /// What it is for.
    #[must_use]
    pub const fn terms(&self) -> &EpochTerms {
        &self.terms
    }

    /// Where stores keep the segment at `index`.
    #[must_use]
    pub fn locator(&self, index: SegmentIndex) -> Locator {
        self.locators().of(self.terms.writer, &self.terms.grants).at(index)
    }

    /// What finds the epoch's fragments, without opening them.
    #[must_use]
    pub fn locators(&self) -> LocatorKey {
        keys::locators(&self.key)
    }

    /// Splits the key t-of-n under a header signed by the writer: one share for each member, in
    /// order of index.
    #[expect(clippy::expect_used, reason = "`Faults` holds 1 <= t <= n <= 64, which splitting permits")]
    pub fn shares(
        &self,
        chain: ChainId,
        faults: Faults,
        writer: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Vec<EpochShare> {
        let together = if is(Bug::KeyNotSplit) { 1 } else { faults.key_threshold() };
        let threshold = Threshold::new(together).expect("t is from 1 to 43");
        let shares = sharing::split(&self.key, threshold, faults.members(), rng).expect("t <= n <= 255");
        let header = self.header(faults, &shares);
        let signature = writer.sign(namespaces::EPOCH, &epoch_message(chain, &header));
        shares
            .into_iter()
            .map(|share| EpochShare {
                header: header.clone(),
                signature,
                share: ShareBytes(share.into_parts().1),
            })
            .collect()
    }

    fn header(&self, faults: Faults, shares: &[Share]) -> EpochHeader {
        let context = self.id.as_bytes();
        let hashes = shares.iter().map(|share| sharing::share_hash(context, share)).collect();
        EpochHeader {
            epoch: self.id,
            writer: self.terms.writer,
            class: self.terms.class,
            code: self.terms.code,
            span: self.terms.span,
            grants: self.terms.grants,
            threshold: faults.key_threshold(),
            // One share for each member, of whom there are never more than the list holds.
            share_hashes: List::new(hashes).unwrap_or_else(|_| List::empty()),
            key_commitment: sharing::key_commitment(context, &self.key),
        }
    }

    pub(crate) const fn key(&self) -> &Secret<32> {
        &self.key
    }
}

/// Checks a share against its signed header, for a custodian that takes it in deposit.
///
/// # Errors
/// [`ShareFault`]: unsigned or not matching its hash (whoever gave it), or of impossible shape (the
/// writer).
pub fn verify_share(
    chain: ChainId,
    faults: Faults,
    writer: &PublicKey,
    custodian: MemberIndex,
    share: &EpochShare,
) -> Result<(), ShareFault> {
    let EpochShare { header, signature, share } = share;
    writer
        .verify(namespaces::EPOCH, &epoch_message(chain, header), signature)
        .map_err(|_| ShareFault::Unsigned(custodian))?;
    let shaped = header.threshold == faults.key_threshold()
        && header.share_hashes.len() == usize::from(faults.members());
    if !shaped {
        return Err(ShareFault::Shape);
    }
    let given = indexed(custodian, &share.0).ok_or(ShareFault::Hash(custodian))?;
    let expected =
        header.share_hashes.get(usize::from(custodian.get())).ok_or(ShareFault::Hash(custodian))?;
    if sharing::share_hash(header.epoch.as_bytes(), &given) != *expected && !is(Bug::ShareHashSkipped) {
        return Err(ShareFault::Hash(custodian));
    }
    Ok(())
}

impl CheckedShare {
    /// Checks a share that `custodian` released, as [`verify_share`] does.
    ///
    /// # Errors
    /// As [`verify_share`].
    pub fn check(
        chain: ChainId,
        faults: Faults,
        writer: &PublicKey,
        custodian: MemberIndex,
        share: EpochShare,
    ) -> Result<Self, ShareFault> {
        verify_share(chain, faults, writer, custodian, &share)?;
        let EpochShare { header, share, .. } = share;
        let share = indexed(custodian, &share.0).ok_or(ShareFault::Hash(custodian))?;
        Ok(Self { header, custodian, share })
    }

    /// What all shares of the epoch agree on.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }

    /// Who released it.
    #[must_use]
    pub const fn custodian(&self) -> MemberIndex {
        self.custodian
    }
}

impl OpeningEpoch {
    /// Puts the key together from shares of one epoch; those of more than one header are told apart.
    ///
    /// # Errors
    /// [`ShareFault::TooFew`] below the threshold; [`ShareFault::TwoHeaders`] or [`ShareFault::Key`]
    /// when the writer contradicted itself.
    pub fn combine(shares: Vec<CheckedShare>) -> Result<Self, ShareFault> {
        let (header, shares) = one_header(shares)?;
        let need = usize::from(header.threshold);
        if shares.len() < need {
            return Err(ShareFault::TooFew { have: shares.len(), need });
        }
        let threshold = Threshold::new(header.threshold).ok_or(ShareFault::Shape)?;
        let shares: Vec<Share> = shares.into_values().take(need).collect();
        let key = sharing::combine(threshold, &shares).map_err(|_| ShareFault::Key)?;
        if sharing::key_commitment(header.epoch.as_bytes(), &key) != header.key_commitment {
            return Err(ShareFault::Key);
        }
        Ok(Self { header, key })
    }

    /// What the writer signed about the epoch.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }

    /// Where stores keep the segment at `index`.
    #[must_use]
    pub fn locator(&self, index: SegmentIndex) -> Locator {
        self.locators().of(self.header.writer, &self.header.grants).at(index)
    }

    /// What finds the epoch's fragments, without opening them.
    #[must_use]
    pub fn locators(&self) -> LocatorKey {
        keys::locators(&self.key)
    }

    /// The key of the segment that `manifest` describes and that stands at `index` of the epoch.
    ///
    /// # Errors
    /// [`OpenError::Mixed`] when the manifest's locator is not the one at `index`.
    pub fn segment_key(&self, index: SegmentIndex, manifest: &Manifest) -> Result<SegmentKey, OpenError> {
        let locator = self.locator(index);
        if locator != manifest.locator {
            return Err(OpenError::Mixed);
        }
        Ok(SegmentKey {
            manifest: manifest.digest(),
            index,
            class: self.header.class,
            code: self.header.code,
            span: self.header.span,
            segment: keys::segment(&self.key, &manifest.seal_random, &locator),
            descriptor: keys::descriptor(&self.key, &manifest.seal_random, &locator),
        })
    }
}

/// A custodian's share under the index that its place among the members gives it.
fn indexed(custodian: MemberIndex, value: &Secret<32>) -> Option<Share> {
    let index = ShareIndex::new(custodian.get().checked_add(1)?)?;
    Some(Share::from_parts(index, Secret::from_bytes(*value.danger_expose())))
}

/// The shares of one header, by custodian: the header that most custodians gave. A writer that
/// signed two is named only if neither has enough shares.
fn one_header(shares: Vec<CheckedShare>) -> Result<(EpochHeader, BTreeMap<MemberIndex, Share>), ShareFault> {
    let mut groups: BTreeMap<Vec<u8>, (EpochHeader, BTreeMap<MemberIndex, Share>)> = BTreeMap::new();
    for CheckedShare { header, custodian, share } in shares {
        let group = groups.entry(encode(&header)).or_insert_with(|| (header, BTreeMap::new()));
        group.1.insert(custodian, share);
    }
    let several = groups.len() > 1;
    let (header, shares) = groups
        .into_values()
        .max_by_key(|(_, shares)| shares.len())
        .ok_or(ShareFault::TooFew { have: 0, need: 1 })?;
    if several && shares.len() < usize::from(header.threshold) {
        return Err(ShareFault::TwoHeaders);
    }
    Ok((header, shares))
}
