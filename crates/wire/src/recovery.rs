//! Recovery: what a patient prepares for the day their wallet is gone, the case that guardians open for a new
//! wallet, and what custodians then give (`docs/adr/0016-recovery.md`).
//!
//! On the ledger a preparation is an entry of the patient's own grant chain and looks like a grant. A case
//! stands under the hash of a key that nobody but enough guardians together can make, so that its name is
//! taken by nobody else and says nothing of whose it is.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::genesis::Faults;
use crate::ids::{ChainId, GrantTag, MemberIndex, PartyId, TimeMs};
use crate::limits::{
    GUARDIANS_MAX, MEMBERS_MAX, RECOVERY_CASES_MAX, RECOVERY_DELAY_MS_MAX, RECOVERY_DELAY_MS_MIN,
    RECOVERY_PACKAGE_BYTES, WALLETS_BEFORE_MAX,
};
use crate::namespaces;
use crate::release::ShareBytes;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::{ChainAnchor, Link};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kdf;
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, Signature, SigningKey};

/// Guardians that a recovery needs at least: one alone would be a second owner.
pub const GUARDIANS_NEEDED_MIN: u16 = 2;

/// A preparation, as it stands sealed on the ledger. Padded like a grant.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Recovery {
    /// 32 random bytes, so that the commitment to this body cannot be guessed.
    pub salt: [u8; 32],
    /// See [`terms_digest`].
    pub terms: Digest,
    /// The key that commits this entry, signs its deposits and may withdraw it, used for nothing else.
    pub one_time: PublicKey,
}

/// What custodians and guardians know of a preparation. It names no person.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RecoveryTerms {
    /// 32 random bytes by which guardians find it.
    pub name: Digest,
    /// The grant chain that a recovery ends.
    pub chain: ChainAnchor,
    /// The chain under which the data lies: the same, or the first of those that were recovered before.
    pub data: ChainAnchor,
    /// Milliseconds of block time between a case and what it opens, within which it can be vetoed.
    pub delay_ms: u64,
    /// Guardians who must approve, from [`GUARDIANS_NEEDED_MIN`].
    pub needed: u16,
    /// What each guardian approves with.
    pub guardians: List<PublicKey, GUARDIANS_MAX>,
    /// The cases that there can be, from place 1.
    pub places: List<CasePlace, RECOVERY_CASES_MAX>,
    /// Custodians whose shares make their key.
    pub threshold: u16,
    /// The hash of each custodian's share, by member.
    pub share_hashes: List<Digest, MEMBERS_MAX>,
    /// The commitment to the key that custodians' shares make.
    pub custodian_key: Digest,
}

/// One case that there can be. Each has secrets of its own: nothing on the ledger ties two together, and whoever was
/// given what guardians hold for one can open no other.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CasePlace {
    /// Opens the case; see [`opener_key`].
    pub opener: PublicKey,
    /// Vetoes it; see [`veto_key`].
    pub veto: PublicKey,
    /// The hash of each guardian's share for this place, in the order of guardians.
    pub guardian_hashes: List<Digest, GUARDIANS_MAX>,
    /// The commitment to the key that these shares make.
    pub guardian_key: Digest,
    /// [`RecoveryPackage`], sealed under [`package_key`].
    pub package: Blob<RECOVERY_PACKAGE_BYTES>,
}

/// What of a wallet comes back. Padded to [`crate::limits::RECOVERY_PACKAGE_PLAIN_BYTES`].
#[derive(BorshSerialize, BorshDeserialize)]
pub struct RecoveryPackage {
    /// The gateway whose data the chain opens.
    pub writer: PartyId,
    /// The seed of the chain: it lists what was granted and who read.
    pub seed: ShareBytes,
    /// The chain under which the data lies.
    pub data: ChainAnchor,
    /// The seeds of chains that were recovered before, the first one first.
    pub before: List<ShareBytes, WALLETS_BEFORE_MAX>,
}

/// A patient brings one custodian its part of a preparation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RecoveryDeposit {
    /// The preparation's entry on the chain.
    pub entry: GrantTag,
    /// The member whose custodian is to keep it.
    pub custodian: MemberIndex,
    /// Encoded [`RecoveryPart`], sealed with [`recovery_deposit_info`] as the info.
    pub sealed: Sealed,
    /// By the entry's one-time key, over [`recovery_deposit_message`], under [`namespaces::RECOVERY_DEPOSIT`].
    pub signature: Signature,
}

/// One custodian's part, with the evidence that it comes from the holder of the chain.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct RecoveryPart {
    /// Where the entry stands on its chain, from 1.
    pub index: u16,
    /// The chain's link there.
    pub link: ShareBytes,
    /// Opens the entry's sealed body.
    pub body_key: ShareBytes,
    /// What is prepared.
    pub terms: RecoveryTerms,
    /// The custodian's share; its index is the member's plus one.
    pub share: ShareBytes,
}

/// What guardians approve: one new wallet for one preparation, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Case {
    /// 32 random bytes of the new wallet's, so that the commitment cannot be guessed.
    pub salt: [u8; 32],
    /// The preparation, by name.
    pub name: Digest,
    /// Which of its places it takes, from 1.
    pub place: u16,
    /// The new wallet's grant chain.
    pub successor: ChainAnchor,
    /// The digest of the new wallet's key, to which everything is sealed.
    pub reader: Digest,
    /// When the new wallet asked, by its clock.
    pub asked: TimeMs,
}

/// One guardian's word for a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Approval {
    /// The guardian's place in [`RecoveryTerms::guardians`], from 0.
    pub guardian: u16,
    /// By their key over [`approval_message`], under [`namespaces::RECOVERY_APPROVAL`].
    pub signature: Signature,
}

/// The approvals of a case, in ascending order of guardian.
pub type Approvals = List<Approval, GUARDIANS_MAX>;

/// The new wallet asks a custodian for its share.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct RecoverRequest {
    /// What is asked, and the evidence for it.
    pub terms: RecoverTerms,
    /// By the case's opener key over the terms, under [`namespaces::RECOVER_REQUEST`].
    pub signature: Signature,
}

/// The signed part of a [`RecoverRequest`].
#[derive(BorshSerialize, BorshDeserialize)]
pub struct RecoverTerms {
    /// The custodian asked.
    pub custodian: MemberIndex,
    /// Fresh for each request.
    pub nonce: [u8; 16],
    /// The requester's clock.
    pub sent: TimeMs,
    /// The key that signs this request and opened the case.
    pub opener: PublicKey,
    /// The case, as it was committed.
    pub case: Case,
    /// Who approved it, as they were committed.
    pub approvals: Approvals,
    /// The new wallet's key.
    pub reader: KemPublicKey,
}

/// A custodian's share, given to the new wallet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Recovered {
    /// Who gives it.
    pub custodian: MemberIndex,
    /// [`ShareBytes`], sealed with [`recovered_info`] as the info.
    pub sealed: Sealed,
    /// By the member's service key over [`recovered_message`], under [`namespaces::RECOVERED`].
    pub signature: Signature,
}

impl RecoveryTerms {
    /// Whether numbers fit together: as many hashes as guardians and members, nobody named twice, a threshold
    /// that is the consortium's, a delay within its bounds.
    #[must_use]
    pub fn sound(&self, faults: Faults) -> bool {
        let guardians = self.guardians.len();
        let distinct: std::collections::BTreeSet<&PublicKey> = self.guardians.iter().collect();
        let places: std::collections::BTreeSet<&PublicKey> =
            self.places.iter().map(|place| &place.opener).collect();
        distinct.len() == guardians
            && (GUARDIANS_NEEDED_MIN..=u16::try_from(guardians).unwrap_or(0)).contains(&self.needed)
            && !self.places.is_empty()
            && self.places.iter().all(|place| place.guardian_hashes.len() == guardians)
            && places.len() == self.places.len()
            && self.threshold == faults.key_threshold()
            && self.share_hashes.len() == usize::from(faults.members())
            && (RECOVERY_DELAY_MS_MIN..=RECOVERY_DELAY_MS_MAX).contains(&self.delay_ms)
    }

    /// The place of that number, from 1.
    #[must_use]
    pub fn place(&self, number: u16) -> Option<&CasePlace> {
        self.places.get(usize::from(number.checked_sub(1)?))
    }
}

/// SHA-256 under [`namespaces::RECOVERY`] of what stands for the chain's link at the entry's place ([`Link::mark`]) and
/// the encoded body: no grant, whatever it says, has the same, and nobody who did not hold the chain's seed when the
/// tag was taken has made it ([`crate::tx::grant_commitment`]).
#[must_use]
pub fn recovery_commitment(link: &Link, recovery: &Recovery) -> Digest {
    sha256(namespaces::RECOVERY, &[link.mark().as_bytes(), &encode(recovery)])
}

/// What an entry says of the terms.
#[must_use]
pub fn terms_digest(terms: &RecoveryTerms) -> Digest {
    sha256(namespaces::RECOVERY_TERMS, &[&encode(terms)])
}

/// The context of the guardians' shares for one place and their key.
#[must_use]
pub fn guardian_context(name: &Digest, place: u16) -> Digest {
    sha256(namespaces::RECOVERY_GUARDIANS, &[name.as_bytes(), &place.to_le_bytes()])
}

/// The context of the custodians' shares and their key.
#[must_use]
pub fn custodian_context(name: &Digest) -> Digest {
    sha256(namespaces::RECOVERY_CUSTODIANS, &[name.as_bytes()])
}

/// The key of a place's package: of both keys, neither of which says anything of it alone (RFC 5869, 3.1, with one as
/// the salt).
#[must_use]
pub fn package_key(guardians: &Secret<32>, custodians: &Secret<32>, name: &Digest) -> Secret<32> {
    kdf::derive(namespaces::RECOVERY_KEY, guardians, custodians.danger_expose(), &[name.as_bytes()])
}

/// The key that opens the case at a place: of the guardians' key for it, so that fewer than enough cannot take its name.
#[must_use]
pub fn opener_key(guardians: &Secret<32>, name: &Digest, place: u16) -> SigningKey {
    let info: [&[u8]; 2] = [name.as_bytes(), &place.to_le_bytes()];
    SigningKey::from_seed(kdf::derive(namespaces::RECOVERY_OPENER, guardians, &[], &info))
}

/// The key that vetoes the case at a place.
#[must_use]
pub fn veto_key(vetoes: &Secret<32>, place: u16) -> SigningKey {
    SigningKey::from_seed(kdf::derive(namespaces::RECOVERY_VETO, vetoes, &[], &[&place.to_le_bytes()]))
}

/// What the ledger calls a case: the hash of the key that opens it.
#[must_use]
pub fn case_id(opener: &PublicKey) -> Digest {
    sha256(namespaces::RECOVERY_CASE_ID, &[opener.as_bytes()])
}

/// What the ledger holds of a case, with those who approved it.
#[must_use]
pub fn case_commitment(case: &Case, approvals: &Approvals) -> Digest {
    sha256(namespaces::RECOVERY_CASE, &[&encode(&(case, approvals))])
}

/// What a guardian signs, under [`namespaces::RECOVERY_APPROVAL`].
#[must_use]
pub fn approval_message(chain: ChainId, case: &Case) -> Vec<u8> {
    encode(&(chain, case))
}

/// The HPKE info of a deposit: bound to consortium, entry and custodian.
#[must_use]
pub fn recovery_deposit_info(chain: ChainId, entry: GrantTag, custodian: MemberIndex) -> Vec<u8> {
    sha256(namespaces::RECOVERY_ENVELOPE, &[&encode(&(chain, entry, custodian))]).as_bytes().to_vec()
}

/// What an entry's one-time key signs over a deposit.
#[must_use]
pub fn recovery_deposit_message(
    chain: ChainId,
    entry: GrantTag,
    custodian: MemberIndex,
    sealed: &Sealed,
) -> Vec<u8> {
    encode(&(chain, entry, custodian, sealed))
}

/// What the opener key signs over a request.
#[must_use]
pub fn recover_message(chain: ChainId, terms: &RecoverTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// The HPKE info of an answer: bound to consortium, custodian and case.
#[must_use]
pub fn recovered_info(chain: ChainId, custodian: MemberIndex, case: &Case) -> Vec<u8> {
    sha256(namespaces::RECOVERY_SEAL, &[&encode(&(chain, custodian, case))]).as_bytes().to_vec()
}

/// What a custodian signs over its answer.
#[must_use]
pub fn recovered_message(chain: ChainId, custodian: MemberIndex, case: &Case, sealed: &Sealed) -> Vec<u8> {
    encode(&(chain, custodian, case, sealed))
}

/// The digest of what a new wallet asks of its guardians, by whose first bytes people compare it.
#[must_use]
pub fn ask_digest(ask: &[u8]) -> Digest {
    sha256(namespaces::RECOVERY_ASK, &[ask])
}

/// The HPKE info under which a guardian seals their approval and share to the new wallet.
#[must_use]
pub fn approval_info(chain: ChainId, name: &Digest) -> Vec<u8> {
    sha256(namespaces::RECOVERY_APPROVAL_SEAL, &[&encode(&(chain, name))]).as_bytes().to_vec()
}

#[cfg(test)]
mod tests;
