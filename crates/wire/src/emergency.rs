//! Breaking the glass: what a patient prepares for an emergency, what a clinician asks for in one, and the
//! review that follows. ADR 15.
//!
//! A patient makes an emergency grant ([`crate::Grantee::Emergency`]) like any other, and for each of the next
//! tags of its lane a *look*: a kit that opens the grant and takes that one tag, sealed under a key of which
//! every custodian keeps a share. The patient's card finds the shares: its secret makes a key that signs for who
//! has it at hand, and keys under which the tags are sealed, so that no custodian knows a tag that is free. A card
//! alone opens nothing, nor do fewer than t custodians.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::consent::{Grant, Grantee, Reason};
use crate::ids::{AccessTag, ChainId, GrantTag, MemberIndex, PartyId, TimeMs};
use crate::limits::{
    EMERGENCY_GRANTS_MAX, EMERGENCY_KIT_BYTES, EMERGENCY_PLACES_MAX, EMERGENCY_TAG_BYTES, EMERGENCY_TAGS_MAX,
    MEMBERS_MAX,
};
use crate::namespaces;
use crate::release::ShareBytes;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, Signature, SigningKey};

/// What is the same in every custodian's share of one look. Nothing in it tells the tag to who lacks the card.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LookHeader {
    /// The emergency grant.
    pub grant: GrantTag,
    /// What it says: the ledger's commitment holds it to one card.
    pub terms: Grant,
    /// Where the look stands on the grant's lane, from 1.
    pub place: u16,
    /// See [`look_name`]: the tag there, to who is shown it.
    pub look: Digest,
    /// The tag there, sealed under [`tag_key`].
    pub tag: SealedTag,
    /// t, the shares that open it.
    pub threshold: u16,
    /// The hash of each custodian's share, by member.
    pub share_hashes: List<Digest, MEMBERS_MAX>,
    /// Commitment to the key of the kit.
    pub key_commitment: Digest,
    /// The [`EmergencyKit`], sealed under that key.
    pub kit: Blob<EMERGENCY_KIT_BYTES>,
    /// What stands in the grant's commitment for the patient's chain, so that a custodian can check the grant and
    /// learns no link before the glass is broken ([`salus_crypto::chain::Link::mark`]).
    pub mark: Digest,
}

/// The tag of a look, sealed to who has the card.
pub type SealedTag = Blob<EMERGENCY_TAG_BYTES>;

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
}

/// One custodian's share of one look. Never outside a seal.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct LookShare {
    /// What all shares of the look agree on.
    pub header: LookHeader,
    /// By the card's key over the header, under [`namespaces::EMERGENCY_HEADER`].
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
    /// The card's public key.
    pub card: PublicKey,
    /// Encoded [`LookShares`], sealed to the custodian with [`prepare_info`] as the info.
    pub sealed: Sealed,
    /// By the grant's one-time key over the fields above, under [`namespaces::EMERGENCY_DEPOSIT`].
    pub signature: Signature,
    /// By the card's key over the same, under [`namespaces::EMERGENCY_DEPOSIT_CARD`].
    pub card_signature: Signature,
}

/// A clinician asks one custodian to break the glass.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GlassRequest {
    /// What is asked.
    pub terms: GlassTerms,
    /// By `key` in the terms, under [`namespaces::BREAK_GLASS`].
    pub signature: Signature,
    /// By the requester's registered second factor, under [`namespaces::BREAK_GLASS_SECOND`].
    pub second: Signature,
    /// By the card's key, under [`namespaces::BREAK_GLASS_CARD`]: the card is at hand.
    pub card: Signature,
}

/// The signed part of a [`GlassRequest`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
    /// The public key of the patient's card, whose secret never leaves the reader.
    pub card: PublicKey,
    /// The ephemeral key to which the answer is sealed.
    pub reader: KemPublicKey,
    /// What is wanted.
    pub ask: GlassAsk,
}

/// What a clinician wants of a custodian.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum GlassAsk {
    /// Which looks there are: their tags, as they are sealed. Opens nothing.
    Tags,
    /// Its share of the next look of each of these grants.
    Looks(List<LookAsk, EMERGENCY_GRANTS_MAX>),
}

/// The next look of a grant is asked for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LookAsk {
    /// The emergency grant.
    pub grant: GrantTag,
    /// The tags of all places before it, which must be taken; its own is not told before it is taken.
    pub before: List<AccessTag, EMERGENCY_PLACES_MAX>,
}

/// The tag of one look, as a custodian keeps it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShownTag {
    /// The emergency grant.
    pub grant: GrantTag,
    /// The look's place on the lane, from 1.
    pub place: u16,
    /// The tag there.
    pub tag: SealedTag,
}

/// The plaintext of a [`Glass`].
#[derive(BorshSerialize, BorshDeserialize)]
pub enum Given {
    /// To [`GlassAsk::Tags`].
    Tags(List<ShownTag, EMERGENCY_TAGS_MAX>),
    /// To [`GlassAsk::Looks`].
    Looks(List<LookShare, EMERGENCY_GRANTS_MAX>),
}

/// A custodian's answer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Glass {
    /// Who answers.
    pub custodian: MemberIndex,
    /// To whom.
    pub requester: PartyId,
    /// Encoded [`Given`], sealed to the reader's key with [`glass_info`] as the info.
    pub sealed: Sealed,
    /// By the member's service key over the fields above, under [`namespaces::GLASS`].
    pub signature: Signature,
}

/// What a custodian remembers of one look, and tells the privacy officer of the requester's member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct EmergencyUse {
    /// When the custodian gave it, or first heard of it, by its own clock.
    pub at: TimeMs,
    /// Who looked.
    pub requester: PartyId,
    /// See [`card_name`]: which patient, to whoever holds the card.
    pub card: Digest,
    /// See [`look_name`].
    pub look: Digest,
    /// The access that took it, once the custodian was asked for shares under it. Nothing was read before.
    pub access: Option<AccessTag>,
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

/// A privacy officer's word on one look, as it stands sealed on the ledger, signed for by the transaction. Padded
/// to [`crate::limits::INTENT_PLAIN_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Review {
    /// The look.
    pub look: Digest,
    /// Who looked.
    pub requester: PartyId,
    /// What came of it.
    pub verdict: Verdict,
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

impl LookHeader {
    /// The card that finds it, by name; `None` when the grant is none for emergencies.
    #[must_use]
    pub const fn card(&self) -> Option<&Digest> {
        match &self.terms.grantee {
            Grantee::Emergency { card } => Some(card),
            _ => None,
        }
    }
}

/// What a card signs with. Its secret is 32 random bytes.
#[must_use]
pub fn card_key(card: &Secret<32>) -> SigningKey {
    let seed = sha256(namespaces::EMERGENCY_CARD_KEY, &[card.danger_expose()]);
    SigningKey::from_seed(Secret::from_bytes(*seed.as_bytes()))
}

/// The name under which custodians keep what a card finds.
#[must_use]
pub fn card_name(card: &PublicKey) -> Digest {
    sha256(namespaces::EMERGENCY_CARD, &[card.as_bytes()])
}

/// The key that seals the tag of one look for who has the card.
#[must_use]
pub fn tag_key(card: &Secret<32>, grant: GrantTag, place: u16) -> Secret<32> {
    let key = sha256(namespaces::EMERGENCY_TAG_KEY, &[card.danger_expose(), &encode(&(grant, place))]);
    Secret::from_bytes(*key.as_bytes())
}

/// By what a look is known to custodians, who are shown its tag only once it is taken.
#[must_use]
pub fn look_name(access: AccessTag) -> Digest {
    sha256(namespaces::EMERGENCY_TAG, &[&encode(&access)])
}

/// The context of one look's key and of its shares.
#[must_use]
pub fn look_context(grant: GrantTag, place: u16) -> Digest {
    sha256(namespaces::EMERGENCY_LOOK, &[&encode(&(grant, place))])
}

/// What the card's key signs over a look, under [`namespaces::EMERGENCY_HEADER`].
#[must_use]
pub fn look_message(chain: ChainId, header: &LookHeader) -> Vec<u8> {
    encode(&(chain, header))
}

/// The HPKE info of a deposit of looks: bound to consortium, grant and custodian.
#[must_use]
pub fn prepare_info(chain: ChainId, grant: GrantTag, custodian: MemberIndex) -> Vec<u8> {
    sha256(namespaces::EMERGENCY_ENVELOPE, &[&encode(&(chain, grant, custodian))]).as_bytes().to_vec()
}

/// What a grant's one-time key and the card's key sign over a deposit, each under its own namespace.
#[must_use]
pub fn prepare_message(
    chain: ChainId,
    grant: GrantTag,
    custodian: MemberIndex,
    card: &PublicKey,
    sealed: &Sealed,
) -> Vec<u8> {
    encode(&(chain, grant, custodian, card, sealed))
}

/// What both of a requester's keys and the card's sign, each under its own namespace.
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

/// What the ledger calls the review of a look, beside the officer's member: nothing to whoever does not know the
/// card's name.
#[must_use]
pub fn review_id(card: &Digest, look: &Digest, requester: PartyId) -> Digest {
    sha256(namespaces::REVIEW_ID, &[&encode(&(card, look, requester))])
}

/// The key that seals a review.
#[must_use]
pub fn review_key(card: &Digest, look: &Digest, requester: PartyId) -> Secret<32> {
    let key = sha256(namespaces::REVIEW_KEY, &[&encode(&(card, look, requester))]);
    Secret::from_bytes(*key.as_bytes())
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
