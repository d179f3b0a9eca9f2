//! Breaking the glass: what a patient prepares for an emergency, what a clinician asks for in one, and the
//! review that follows. ADR 15.
//!
//! A patient makes an emergency grant ([`crate::Grantee::Emergency`]) like any other, and for each of the next
//! tags of its lane a *look*: a kit that opens the grant and takes that one tag, sealed under a key of which
//! every custodian keeps a share. The shares are found with the secret of the patient's card. A card alone
//! opens nothing, nor do fewer than t custodians.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::consent::{Grant, Reason};
use crate::ids::{AccessTag, ChainId, GrantTag, MemberIndex, PartyId, TimeMs};
use crate::limits::{EMERGENCY_GRANTS_MAX, EMERGENCY_KIT_BYTES, EMERGENCY_PLACES_MAX, MEMBERS_MAX};
use crate::namespaces;
use crate::release::ShareBytes;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, Signature};

/// What is the same in every custodian's share of one look.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LookHeader {
    /// See [`card_name`].
    pub card: Digest,
    /// The emergency grant.
    pub grant: GrantTag,
    /// Where the look stands on the grant's lane, from 1.
    pub place: u16,
    /// The tag there, which the look takes.
    pub access: AccessTag,
    /// t, the shares that open it.
    pub threshold: u16,
    /// The hash of each custodian's share, by member.
    pub share_hashes: List<Digest, MEMBERS_MAX>,
    /// Commitment to the key of the kit.
    pub key_commitment: Digest,
    /// The [`EmergencyKit`], sealed under that key.
    pub kit: Blob<EMERGENCY_KIT_BYTES>,
}

/// What opens an emergency grant for one look. Never outside a seal.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct EmergencyKit {
    /// Where the grant stands on the patient's chain, from 1.
    pub grant_index: u16,
    /// The chain's link there.
    pub grant_link: ShareBytes,
    /// Opens the grant's sealed body.
    pub grant_body_key: ShareBytes,
    /// The lane's link at the look's place.
    pub access_link: ShareBytes,
    /// The grant.
    pub grant: Grant,
}

/// One custodian's share of one look. Never outside a seal.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct LookShare {
    /// What all shares of the look agree on.
    pub header: LookHeader,
    /// By the grant's one-time key over the header, under [`namespaces::EMERGENCY_HEADER`].
    pub signature: Signature,
    /// The share's 32 bytes. Its index is the custodian's member index plus one.
    pub share: ShareBytes,
}

/// Shares of the looks of one grant, as they are brought to a custodian.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct LookShares(pub List<LookShare, EMERGENCY_PLACES_MAX>);

/// A patient brings the looks of one emergency grant to one custodian.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EmergencyDeposit {
    /// The emergency grant, which must be final.
    pub grant: GrantTag,
    /// The custodian's member.
    pub custodian: MemberIndex,
    /// Encoded [`LookShares`], sealed to the custodian with [`prepare_info`] as the info.
    pub sealed: Sealed,
    /// By the grant's one-time key over the fields above, under [`namespaces::EMERGENCY_DEPOSIT`].
    pub signature: Signature,
}

/// A clinician asks one custodian to break the glass.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct GlassRequest {
    /// What is asked.
    pub terms: GlassTerms,
    /// By `key` in the terms, under [`namespaces::BREAK_GLASS`].
    pub signature: Signature,
    /// By the requester's registered second factor, under [`namespaces::BREAK_GLASS_SECOND`].
    pub second: Signature,
}

/// The signed part of a [`GlassRequest`]. It holds the card's secret: only ever sent inside TLS to a
/// custodian.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct GlassTerms {
    /// The custodian asked.
    pub custodian: MemberIndex,
    /// Fresh for each request.
    pub nonce: [u8; 16],
    /// The requester's clock.
    pub sent: TimeMs,
    /// Who asks.
    pub requester: PartyId,
    /// Their registered key.
    pub key: PublicKey,
    /// Why.
    pub reason: Reason,
    /// The secret of the patient's card.
    pub card: ShareBytes,
    /// The ephemeral key to which shares are re-sealed.
    pub reader: KemPublicKey,
}

/// The plaintext of a [`Glass`]: a share of the next free look of each grant under the card.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct NextLooks(pub List<LookShare, EMERGENCY_GRANTS_MAX>);

/// A custodian's answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Glass {
    /// Who answers.
    pub custodian: MemberIndex,
    /// To whom.
    pub requester: PartyId,
    /// Encoded [`NextLooks`], sealed to the reader's key with [`glass_info`] as the info.
    pub sealed: Sealed,
    /// By the member's service key over the fields above, under [`namespaces::GLASS`].
    pub signature: Signature,
}

/// What a custodian remembers of one look, and tells the privacy officer of the requester's member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct EmergencyUse {
    /// When the custodian first heard of it, by its own clock.
    pub at: TimeMs,
    /// Who looked.
    pub requester: PartyId,
    /// See [`card_name`]: which patient, to whoever holds the card.
    pub card: Digest,
    /// Under which access.
    pub access: AccessTag,
    /// Why, as the requester says.
    pub reason: Reason,
}

/// What came of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Verdict {
    /// There was an emergency.
    Justified = 0,
    /// There was none; custodians break no glass for this person any more.
    Unjustified = 1,
}

/// A privacy officer's word on one look, as it stands sealed on the ledger. Padded to
/// [`crate::limits::INTENT_PLAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Review {
    /// The look.
    pub access: AccessTag,
    /// Who looked.
    pub requester: PartyId,
    /// Who reviewed it.
    pub officer: PartyId,
    /// What came of it.
    pub verdict: Verdict,
    /// By the officer's registered key over the fields above, under [`namespaces::REVIEW`].
    pub signature: Signature,
}

/// A privacy officer asks one custodian for the uses of their member's people.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReviewsRequest {
    /// The custodian asked.
    pub custodian: MemberIndex,
    /// Fresh for each request.
    pub nonce: [u8; 16],
    /// The officer's clock.
    pub sent: TimeMs,
    /// Who asks.
    pub officer: PartyId,
    /// Their registered key.
    pub key: PublicKey,
    /// By `key` over the fields above, under [`namespaces::REVIEWS`].
    pub signature: Signature,
}

/// The name under which custodians keep what a card finds.
#[must_use]
pub fn card_name(card: &Secret<32>) -> Digest {
    sha256(namespaces::EMERGENCY_CARD, &[card.danger_expose()])
}

/// The context of one look's key and of its shares.
#[must_use]
pub fn look_context(grant: GrantTag, place: u16) -> Digest {
    sha256(namespaces::EMERGENCY_LOOK, &[&encode(&(grant, place))])
}

/// What a grant's one-time key signs over a look, under [`namespaces::EMERGENCY_HEADER`].
#[must_use]
pub fn look_message(chain: ChainId, header: &LookHeader) -> Vec<u8> {
    encode(&(chain, header))
}

/// The HPKE info of a deposit of looks: bound to consortium, grant and custodian.
#[must_use]
pub fn prepare_info(chain: ChainId, grant: GrantTag, custodian: MemberIndex) -> Vec<u8> {
    sha256(namespaces::EMERGENCY_ENVELOPE, &[&encode(&(chain, grant, custodian))]).as_bytes().to_vec()
}

/// What a grant's one-time key signs over a deposit, under [`namespaces::EMERGENCY_DEPOSIT`].
#[must_use]
pub fn prepare_message(chain: ChainId, grant: GrantTag, custodian: MemberIndex, sealed: &Sealed) -> Vec<u8> {
    encode(&(chain, grant, custodian, sealed))
}

/// What both of a requester's keys sign, each under its own namespace.
#[must_use]
pub fn glass_request_message(chain: ChainId, terms: &GlassTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// The HPKE info of an answer: bound to consortium, custodian, requester and the request's nonce.
#[must_use]
pub fn glass_info(chain: ChainId, custodian: MemberIndex, requester: PartyId, nonce: [u8; 16]) -> Vec<u8> {
    sha256(namespaces::GLASS_SEAL, &[&encode(&(chain, custodian, requester, nonce))]).as_bytes().to_vec()
}

/// What a custodian signs over its answer, under [`namespaces::GLASS`].
#[must_use]
pub fn glass_message(chain: ChainId, custodian: MemberIndex, requester: PartyId, sealed: &Sealed) -> Vec<u8> {
    encode(&(chain, custodian, requester, sealed))
}

/// What the ledger calls the review of a look: nothing to whoever does not know the card's name.
#[must_use]
pub fn review_id(card: &Digest, access: AccessTag) -> Digest {
    sha256(namespaces::REVIEW_ID, &[&encode(&(card, access))])
}

/// The key that seals a review.
#[must_use]
pub fn review_key(card: &Digest, access: AccessTag) -> Secret<32> {
    Secret::from_bytes(*sha256(namespaces::REVIEW_KEY, &[&encode(&(card, access))]).as_bytes())
}

/// What a privacy officer signs, under [`namespaces::REVIEW`].
#[must_use]
pub fn review_message(
    chain: ChainId,
    access: AccessTag,
    requester: PartyId,
    officer: PartyId,
    verdict: Verdict,
) -> Vec<u8> {
    encode(&(chain, access, requester, officer, verdict))
}

/// What a privacy officer signs over a question, under [`namespaces::REVIEWS`].
#[must_use]
pub fn reviews_message(
    chain: ChainId,
    custodian: MemberIndex,
    nonce: [u8; 16],
    sent: TimeMs,
    officer: PartyId,
    key: &PublicKey,
) -> Vec<u8> {
    encode(&(chain, custodian, nonce, sent, officer, key))
}
