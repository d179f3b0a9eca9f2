//! The authenticated state: what the ledger remembers, under which key, and the proof that an
//! entry is there or that none is.
//!
//! The tree is a binary Merkle trie over 32-byte paths (nomt, SHA-256); `spec/state.md` has it in
//! full. A proof carries headers from the one whose state root it uses up to one with a
//! certificate, because the engine may finalise a block by finalising its child.

use crate::block::Header;
use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::erasure::Holder;
use crate::ids::{AccessTag, BatchNumber, GrantTag, Height, MemberIndex, PartyId, TimeMs, TimeSpan};
use crate::limits::{CERTIFICATE_BYTES_MAX, HEADER_CHAIN_MAX, STATE_KEYS_MAX, STATE_PATH_MAX};
use crate::namespaces;
use crate::scope::Roles;
use crate::tx::{PartyKind, PolicyText, SealedGrant, SealedIntent};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::sign::PublicKey;

/// Under what an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum StateKey {
    /// The height and time that this state is the result of.
    Tip,
    /// A member.
    Member(MemberIndex),
    /// A registered person, gateway or application.
    Identity(PartyId),
    /// A device's enrolment, by commitment.
    Enrolment(Digest),
    /// A device's assignment, by commitment.
    Assignment(Digest),
    /// A batch that a gateway anchored.
    Anchor(PartyId, BatchNumber),
    /// A grant.
    Grant(GrantTag),
    /// An access.
    Access(AccessTag),
    /// The closed review of an emergency use, by the officer's member.
    Review(MemberIndex, Digest),
    /// What a member allows the people whom it registered.
    Policy(MemberIndex),
    /// What a holder says of its obedience to an erasure order.
    Destruction(GrantTag, Holder),
    /// A case of recovery, by the hash of the key that opened it.
    Case(Digest),
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum StateValue {
    /// For [`StateKey::Tip`].
    Tip(Tip),
    /// For [`StateKey::Member`].
    Member(MemberRecord),
    /// For [`StateKey::Identity`].
    Identity(IdentityRecord),
    /// For [`StateKey::Enrolment`] and [`StateKey::Assignment`].
    Device(DeviceRecord),
    /// For [`StateKey::Anchor`].
    Anchor(AnchorRecord),
    /// For [`StateKey::Grant`].
    Grant(GrantRecord),
    /// For [`StateKey::Access`].
    Access(AccessRecord),
    /// For [`StateKey::Review`].
    Review(ReviewRecord),
    /// For [`StateKey::Policy`].
    Policy(PolicyRecord),
    /// For [`StateKey::Destruction`].
    Destruction(DestructionRecord),
    /// For [`StateKey::Case`].
    Case(CaseRecord),
}

/// A block's place in height and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// The block's height.
    pub height: Height,
    /// The block's time.
    pub time: TimeMs,
}

/// Whether an entry still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// It holds.
    Active,
    /// It was withdrawn by this block.
    Revoked(Tip),
}

/// The keys that speak for a member; the genesis entry without its name.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MemberRecord {
    /// Votes on blocks.
    pub consensus: PublicKey,
    /// Registers and revokes.
    pub registrar: PublicKey,
    /// Signs for store and custodian.
    pub service: PublicKey,
    /// SHA-256 under [`namespaces::KEM_KEY`] of the custodian's X-Wing public key.
    pub custodian: Digest,
    /// See [`crate::genesis::authority_fingerprint`].
    pub authority: Digest,
}

/// A registered person, gateway or application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IdentityRecord {
    /// What it is.
    pub kind: PartyKind,
    /// Who registered it.
    pub member: MemberIndex,
    /// Its signing key.
    pub key: PublicKey,
    /// Block time during which it holds.
    pub validity: TimeSpan,
    /// What a person does at the member that registered them.
    pub roles: Roles,
    /// The key of a person's second factor.
    pub second: Option<PublicKey>,
    /// When it was registered.
    pub since: Tip,
    /// Whether it was revoked.
    pub standing: Standing,
}

/// A device's enrolment or assignment, known only by its commitment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DeviceRecord {
    /// Who made it.
    pub member: MemberIndex,
    /// When.
    pub since: Tip,
    /// Whether it was revoked.
    pub standing: Standing,
}

/// A batch of segments that is kept.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AnchorRecord {
    /// Merkle root over the digests of its manifests.
    pub root: Digest,
    /// When it became final.
    pub since: Tip,
}

/// A grant, sealed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GrantRecord {
    /// See [`crate::tx::grant_commitment`].
    pub commitment: Digest,
    /// The key that may revoke it.
    pub one_time: PublicKey,
    /// The sealed grant.
    pub body: SealedGrant,
    /// When it became final.
    pub since: Tip,
    /// Whether it was revoked.
    pub standing: Standing,
}

/// An access, sealed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccessRecord {
    /// See [`crate::tx::access_commitment`].
    pub commitment: Digest,
    /// The key that signs requests under it.
    pub one_time: PublicKey,
    /// The sealed intent.
    pub body: SealedIntent,
    /// When it became final.
    pub since: Tip,
}

/// A closed review, sealed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReviewRecord {
    /// The officer who closed it, of the member in the key.
    pub officer: PartyId,
    /// The sealed review.
    pub body: SealedIntent,
    /// When it became final.
    pub since: Tip,
}

/// A member's policy: the only entry that is replaced, by its next version.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PolicyRecord {
    /// How many were published, this one included.
    pub version: u32,
    /// As the member wrote it. Nobody but the member has checked it.
    pub text: PolicyText,
    /// When it became final.
    pub since: Tip,
}

/// A holder has destroyed all that it held under an erasure order, or has lied.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DestructionRecord {
    /// See [`crate::tx::TxBody::RecordDestruction`].
    pub label: Digest,
    /// When it became final.
    pub since: Tip,
}

/// A case of recovery.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CaseRecord {
    /// See [`crate::recovery::case_commitment`].
    pub commitment: Digest,
    /// The key that may veto it.
    pub veto: PublicKey,
    /// When it became final: its delay begins here.
    pub since: Tip,
    /// Whether it was vetoed.
    pub standing: Standing,
}

impl StateKey {
    /// The entry's 32-byte path in the tree: SHA-256 under [`namespaces::STATE_KEY`].
    #[must_use]
    pub fn path(&self) -> Digest {
        sha256(namespaces::STATE_KEY, &[&encode(self)])
    }
}

/// Headers in ascending height, each the parent of the next, and the certificate of the last.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedChain {
    /// At least one. The first is the one that is proven.
    pub headers: List<Header, HEADER_CHAIN_MAX>,
    /// Of the last header; `spec/certificate.md`.
    pub certificate: Blob<CERTIFICATE_BYTES_MAX>,
}

/// Where a path through the tree ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Terminal {
    /// At an empty subtree: nothing stands below.
    Empty,
    /// At the only entry below this point.
    Leaf {
        /// The entry's path.
        path: Digest,
        /// SHA-256 of the entry's encoded value.
        value: Digest,
    },
}

/// One entry, or the absence of one, under a state root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProvenItem {
    /// The key asked for.
    pub key: StateKey,
    /// The entry, when it is present.
    pub value: Option<StateValue>,
    /// Where the path ends.
    pub terminal: Terminal,
    /// Sibling hashes from the terminal's depth up to the root's children, deepest last as nomt
    /// gives them; `spec/state.md`.
    pub siblings: List<Digest, STATE_PATH_MAX>,
}

/// Entries and absences, all under the state root of one final header.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// The first header's state root is the one proven against.
    pub chain: CertifiedChain,
    /// In the order asked for.
    pub items: List<ProvenItem, STATE_KEYS_MAX>,
}
