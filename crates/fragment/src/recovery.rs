//! The room of recovery: what of a wallet comes back, sealed under two keys at once, one split among guardians and
//! one among custodians (ADR 16).
//!
//! Promises that guardians alone, custodians alone, and too few of either with all of the other learn nothing of the
//! package; and that a share that is not what was prepared is told. Refuses to know who asks and whether they may.

use crate::error::ShareFault;
use rand_core::CryptoRng;
use salus_crypto::chain::{ChainAnchor, open_body, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sharing::{self, Share, ShareIndex, Threshold};
use salus_crypto::sign::SigningKey;
use salus_wire::limits::{RECOVERY_CASES_MAX, RECOVERY_PACKAGE_PLAIN_BYTES};
use salus_wire::recovery::{
    CasePlace, RecoveryPackage, RecoveryTerms, custodian_context, guardian_context, opener_key, package_key,
    veto_key,
};
use salus_wire::release::ShareBytes;
use salus_wire::{Blob, Faults, List, MemberIndex, decode, encode};

/// What a patient decides.
pub struct RecoveryPlan<'a> {
    /// The grant chain that a recovery ends.
    pub chain: ChainAnchor,
    /// The chain under which the data lies.
    pub data: ChainAnchor,
    /// Milliseconds of block time within which a case can be vetoed.
    pub delay_ms: u64,
    /// Guardians in all.
    pub guardians: u16,
    /// Guardians who must approve.
    pub needed: u16,
    /// Of which the keys that veto are made.
    pub vetoes: &'a Secret<32>,
    /// What comes back.
    pub package: &'a RecoveryPackage,
}

/// A preparation, before it is handed out.
pub struct RecoveryParts {
    /// What custodians and guardians know.
    pub terms: RecoveryTerms,
    /// What each guardian holds: the key with which they approve, and their share for each place.
    pub guardians: Vec<(SigningKey, Vec<ShareBytes>)>,
    /// Each custodian's share, by member.
    pub custodians: Vec<ShareBytes>,
}

/// Seals the package for each place under fresh keys and splits these. `None` when the numbers do not fit together.
pub fn prepare_recovery(
    faults: Faults,
    plan: &RecoveryPlan<'_>,
    rng: &mut impl CryptoRng,
) -> Option<RecoveryParts> {
    let mut name = [0; 32];
    rng.fill_bytes(&mut name);
    let name = Digest::from_bytes(name);
    let (custodians, context) = (Secret::random(rng), custodian_context(&name));
    let threshold = Threshold::new(faults.key_threshold())?;
    let shares = sharing::split(&custodians, threshold, faults.members(), rng).ok()?;
    let mut guardians: Vec<(SigningKey, Vec<ShareBytes>)> =
        (0..plan.guardians).map(|_| (SigningKey::generate(rng), Vec::new())).collect();
    let mut places = Vec::with_capacity(RECOVERY_CASES_MAX);
    for number in (1_u16..).take(RECOVERY_CASES_MAX) {
        let (place, theirs) = prepare_place(plan, &name, number, &custodians, rng)?;
        places.push(place);
        guardians.iter_mut().zip(theirs).for_each(|((_, shares), share)| shares.push(share));
    }
    let terms = RecoveryTerms {
        name,
        chain: plan.chain,
        data: plan.data,
        delay_ms: plan.delay_ms,
        needed: plan.needed,
        guardians: List::new(guardians.iter().map(|(key, _)| key.public_key()).collect()).ok()?,
        places: List::new(places).ok()?,
        threshold: faults.key_threshold(),
        share_hashes: List::new(hashes(&context, &shares)).ok()?,
        custodian_key: sharing::key_commitment(context.as_bytes(), &custodians),
    };
    let custodians = shares.into_iter().map(bytes).collect();
    terms.sound(faults).then_some(RecoveryParts { terms, guardians, custodians })
}

/// One place, with each guardian's share for it.
fn prepare_place(
    plan: &RecoveryPlan<'_>,
    name: &Digest,
    number: u16,
    custodians: &Secret<32>,
    rng: &mut impl CryptoRng,
) -> Option<(CasePlace, Vec<ShareBytes>)> {
    let (guardians, context) = (Secret::random(rng), guardian_context(name, number));
    let shares = sharing::split(&guardians, Threshold::new(plan.needed)?, plan.guardians, rng).ok()?;
    let key = package_key(&guardians, custodians, name);
    let package = seal_body(&key, RECOVERY_PACKAGE_PLAIN_BYTES, &encode(plan.package), rng).ok()?;
    let place = CasePlace {
        opener: opener_key(&guardians, name, number).public_key(),
        veto: veto_key(plan.vetoes, number).public_key(),
        guardian_hashes: List::new(hashes(&context, &shares)).ok()?,
        guardian_key: sharing::key_commitment(context.as_bytes(), &guardians),
        package: Blob::new(package).ok()?,
    };
    Some((place, shares.into_iter().map(bytes).collect()))
}

fn hashes(context: &Digest, shares: &[Share]) -> Vec<Digest> {
    shares.iter().map(|share| sharing::share_hash(context.as_bytes(), share)).collect()
}

fn bytes(share: Share) -> ShareBytes {
    ShareBytes(share.into_parts().1)
}

/// Whether this is the share that was prepared for a guardian, by their place among them from 0, for a case, by its
/// place from 1.
#[must_use]
pub fn is_guardians(terms: &RecoveryTerms, place: u16, guardian: u16, share: &ShareBytes) -> bool {
    let expected = terms.place(place).and_then(|place| place.guardian_hashes.get(usize::from(guardian)));
    is_share(&guardian_context(&terms.name, place), expected, guardian, share)
}

/// Whether this is the share that was prepared for a custodian.
#[must_use]
pub fn is_custodians(terms: &RecoveryTerms, custodian: MemberIndex, share: &ShareBytes) -> bool {
    let expected = terms.share_hashes.get(usize::from(custodian.get()));
    is_share(&custodian_context(&terms.name), expected, custodian.get(), share)
}

/// The guardians' key for a case, of enough of their shares by guardian.
///
/// # Errors
/// [`ShareFault::TooFew`]; [`ShareFault::Key`] when shares are not what was prepared; [`ShareFault::Shape`] for a
/// place that there is none of.
pub fn guardians_key(
    terms: &RecoveryTerms,
    place: u16,
    shares: &[(u16, ShareBytes)],
) -> Result<Secret<32>, ShareFault> {
    let prepared = terms.place(place).ok_or(ShareFault::Shape)?;
    combine(&guardian_context(&terms.name, place), terms.needed, &prepared.guardian_key, shares)
}

/// Opens the package of a place with the guardians' key for it and enough custodians' shares.
///
/// # Errors
/// [`ShareFault::TooFew`]; [`ShareFault::Key`] when shares are not what was prepared, or the package is not what
/// a wallet seals; [`ShareFault::Shape`] for a place that there is none of.
pub fn open_package(
    terms: &RecoveryTerms,
    place: u16,
    guardians: &Secret<32>,
    shares: &[(u16, ShareBytes)],
) -> Result<RecoveryPackage, ShareFault> {
    let prepared = terms.place(place).ok_or(ShareFault::Shape)?;
    let custodians = combine(&custodian_context(&terms.name), terms.threshold, &terms.custodian_key, shares)?;
    let key = package_key(guardians, &custodians, &terms.name);
    let plain = open_body(&key, &prepared.package).map_err(|_| ShareFault::Key)?;
    decode(&plain, RECOVERY_PACKAGE_PLAIN_BYTES).map_err(|_| ShareFault::Key)
}

fn combine(
    context: &Digest,
    need: u16,
    commitment: &Digest,
    shares: &[(u16, ShareBytes)],
) -> Result<Secret<32>, ShareFault> {
    let (have, wanted) = (shares.len(), usize::from(need));
    let indexed: Option<Vec<Share>> = shares.iter().map(|(place, share)| indexed(*place, share)).collect();
    if have < wanted {
        return Err(ShareFault::TooFew { have, need: wanted });
    }
    let threshold = Threshold::new(need).ok_or(ShareFault::Shape)?;
    let key = sharing::combine(threshold, &indexed.ok_or(ShareFault::Shape)?).map_err(|_| ShareFault::Key)?;
    if sharing::key_commitment(context.as_bytes(), &key) == *commitment {
        Ok(key)
    } else {
        Err(ShareFault::Key)
    }
}

fn is_share(context: &Digest, expected: Option<&Digest>, place: u16, share: &ShareBytes) -> bool {
    let found = indexed(place, share).map(|share| sharing::share_hash(context.as_bytes(), &share));
    found.is_some() && found.as_ref() == expected
}

/// A share under the index that its place from 0 gives it.
fn indexed(place: u16, share: &ShareBytes) -> Option<Share> {
    let index = ShareIndex::new(place.checked_add(1)?)?;
    Some(Share::from_parts(index, Secret::from_bytes(*share.0.danger_expose())))
}

#[cfg(test)]
mod tests;
