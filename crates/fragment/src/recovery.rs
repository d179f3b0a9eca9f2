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
    /// What each guardian holds: the key with which they approve, and their share.
    pub guardians: Vec<(SigningKey, ShareBytes)>,
    /// Each custodian's share, by member.
    pub custodians: Vec<ShareBytes>,
}

/// Seals the package under fresh keys and splits these. `None` when the numbers do not fit together.
pub fn prepare_recovery(
    faults: Faults,
    plan: &RecoveryPlan<'_>,
    rng: &mut impl CryptoRng,
) -> Option<RecoveryParts> {
    let mut name = [0; 32];
    rng.fill_bytes(&mut name);
    let name = Digest::from_bytes(name);
    let (guardians, custodians) = (Secret::random(rng), Secret::random(rng));
    let (for_guardians, for_custodians) = (guardian_context(&name), custodian_context(&name));
    let needed = Threshold::new(plan.needed)?;
    let guardian_shares = sharing::split(&guardians, needed, plan.guardians, rng).ok()?;
    let threshold = Threshold::new(faults.key_threshold())?;
    let custodian_shares = sharing::split(&custodians, threshold, faults.members(), rng).ok()?;
    let key = package_key(&guardians, &custodians, &name);
    let package = seal_body(&key, RECOVERY_PACKAGE_PLAIN_BYTES, &encode(plan.package), rng).ok()?;
    let place = |place: u16| CasePlace {
        opener: opener_key(&guardians, &name, place).public_key(),
        veto: veto_key(plan.vetoes, place).public_key(),
    };
    let places = (1_u16..).take(RECOVERY_CASES_MAX).map(place).collect();
    let keys: Vec<SigningKey> = guardian_shares.iter().map(|_| SigningKey::generate(rng)).collect();
    let hashes = |context: &Digest, shares: &[Share]| {
        shares.iter().map(|share| sharing::share_hash(context.as_bytes(), share)).collect()
    };
    let terms = RecoveryTerms {
        name,
        chain: plan.chain,
        data: plan.data,
        delay_ms: plan.delay_ms,
        needed: plan.needed,
        guardians: List::new(keys.iter().map(SigningKey::public_key).collect()).ok()?,
        guardian_hashes: List::new(hashes(&for_guardians, &guardian_shares)).ok()?,
        guardian_key: sharing::key_commitment(for_guardians.as_bytes(), &guardians),
        places: List::new(places).ok()?,
        threshold: faults.key_threshold(),
        share_hashes: List::new(hashes(&for_custodians, &custodian_shares)).ok()?,
        custodian_key: sharing::key_commitment(for_custodians.as_bytes(), &custodians),
        package: Blob::new(package).ok()?,
    };
    let bytes = |share: Share| ShareBytes(share.into_parts().1);
    let guardians = keys.into_iter().zip(guardian_shares.into_iter().map(bytes)).collect();
    let custodians = custodian_shares.into_iter().map(bytes).collect();
    terms.sound(faults).then_some(RecoveryParts { terms, guardians, custodians })
}

/// Whether this is the share that was prepared for a guardian, by their place from 0.
#[must_use]
pub fn is_guardians(terms: &RecoveryTerms, guardian: u16, share: &ShareBytes) -> bool {
    let expected = terms.guardian_hashes.get(usize::from(guardian));
    is_share(&guardian_context(&terms.name), expected, guardian, share)
}

/// Whether this is the share that was prepared for a custodian.
#[must_use]
pub fn is_custodians(terms: &RecoveryTerms, custodian: MemberIndex, share: &ShareBytes) -> bool {
    let expected = terms.share_hashes.get(usize::from(custodian.get()));
    is_share(&custodian_context(&terms.name), expected, custodian.get(), share)
}

/// The guardians' key, of enough of their shares by place.
///
/// # Errors
/// [`ShareFault::TooFew`]; [`ShareFault::Key`] when shares are not what was prepared.
pub fn guardians_key(terms: &RecoveryTerms, shares: &[(u16, ShareBytes)]) -> Result<Secret<32>, ShareFault> {
    combine(&guardian_context(&terms.name), terms.needed, &terms.guardian_key, shares)
}

/// Opens the package with the guardians' key and enough custodians' shares.
///
/// # Errors
/// [`ShareFault::TooFew`]; [`ShareFault::Key`] when shares are not what was prepared, or the package is not what
/// a wallet seals.
pub fn open_package(
    terms: &RecoveryTerms,
    guardians: &Secret<32>,
    shares: &[(u16, ShareBytes)],
) -> Result<RecoveryPackage, ShareFault> {
    let custodians = combine(&custodian_context(&terms.name), terms.threshold, &terms.custodian_key, shares)?;
    let key = package_key(guardians, &custodians, &terms.name);
    let plain = open_body(&key, &terms.package).map_err(|_| ShareFault::Key)?;
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
