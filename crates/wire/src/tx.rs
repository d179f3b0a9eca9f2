//! Transactions: what the ledger records. It records *that* something happened, never to whom.
//!
//! Replay protection lies in the state: every transaction writes a key that only one transaction
//! may ever write (a registration, an enrolment, a batch, a tag), or moves an entry from active to
//! revoked, or is the one next version of an entry. A copy is refused with
//! [`crate::Code::AlreadyExists`] or [`crate::Code::Revoked`], for ever, with no window to forget.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::erasure::Holder;
use crate::ids::{AccessTag, BatchNumber, ChainId, GrantTag, MemberIndex, PartyId, TimeSpan};
use crate::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES, MEMBERS_MAX, POLICY_BYTES_MAX, TX_BYTES_MAX};
use crate::manifest::held_message;
use crate::namespaces;
use crate::scope::{DataClass, Roles};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::Link;
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::sign::{PublicKey, Signature, SigningKey};

/// A transaction with its one signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tx {
    /// What is to happen.
    pub body: TxBody,
    /// The key that signs. The ledger checks that this key may do it.
    pub signer: PublicKey,
    /// By `signer`, over [`Tx::message`].
    pub signature: Signature,
}

/// What a registered party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum PartyKind {
    /// A person who reads.
    Person = 0,
    /// A gateway that writes.
    Gateway = 1,
    /// An application that reads.
    Application = 2,
}

/// Which of two waiting transactions goes first. What ends a right is urgent: while it waits, data can
/// still be read that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Urgency {
    /// Goes first, from a small quota of its own.
    Urgent = 0,
    /// Everything else.
    Ordinary = 1,
}

/// A sealed grant, always of this length.
pub type SealedGrant = Blob<GRANT_BODY_BYTES>;

/// A sealed intent, always of this length.
pub type SealedIntent = Blob<INTENT_BODY_BYTES>;

/// A member's policy: UTF-8 text in Cedar. The ledger keeps it, and never reads it.
pub type PolicyText = Blob<POLICY_BYTES_MAX>;

/// A store's promise, by its member's service key over [`held_message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Held {
    /// The member whose store signs.
    pub store: MemberIndex,
    /// By the member's service key.
    pub signature: Signature,
}

/// The things that can be recorded. Every variant says who must sign.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TxBody {
    /// A member registers a person, gateway or application. Signed by the member's registrar key.
    RegisterIdentity {
        /// New, random, never used before.
        party: PartyId,
        /// What it is.
        kind: PartyKind,
        /// The registering member.
        member: MemberIndex,
        /// The party's signing key.
        key: PublicKey,
        /// Block time during which the registration holds.
        validity: TimeSpan,
        /// What a person does there; only persons have roles.
        roles: Roles,
        /// The key of a person's second factor; only persons have one.
        second: Option<PublicKey>,
    },
    /// A member ends a registration. Signed by the registrar key of the member that made it.
    RevokeIdentity {
        /// Whose registration ends.
        party: PartyId,
    },
    /// A member enrols a device, of which the ledger learns only a salted commitment. Signed by
    /// the member's registrar key.
    EnrolDevice {
        /// See [`enrolment_commitment`].
        enrolment: Digest,
        /// The enrolling member.
        member: MemberIndex,
    },
    /// A member ends an enrolment. Signed by the registrar key of the member that made it.
    RevokeDevice {
        /// The enrolment that ends.
        enrolment: Digest,
    },
    /// A member assigns an enrolled device to a patient, of which the ledger learns only a salted
    /// commitment. Signed by the member's registrar key.
    AssignDevice {
        /// See [`assignment_commitment`].
        assignment: Digest,
        /// The assigning member.
        member: MemberIndex,
    },
    /// A gateway anchors a batch of sealed segments. Signed by the gateway's key.
    Anchor {
        /// The gateway.
        gateway: PartyId,
        /// Its own count; each number is anchored at most once.
        batch: BatchNumber,
        /// Merkle root (RFC 9162) over the digests of the batch's manifests.
        root: Digest,
        /// From at least n - f distinct stores, in ascending order of store.
        held: List<Held, MEMBERS_MAX>,
    },
    /// A patient commits a grant. Signed by the grant's one-time key, which is the signer.
    CommitGrant {
        /// The next tag of the patient's grant chain with the writer.
        tag: GrantTag,
        /// See [`grant_commitment`].
        commitment: Digest,
        /// The grant, sealed to whoever is shown its body key.
        body: SealedGrant,
    },
    /// A patient withdraws a grant. Signed by the one-time key that committed it.
    RevokeGrant {
        /// The grant that ends.
        tag: GrantTag,
    },
    /// A reader records an access before it happens. Signed by the access's one-time key, which is
    /// the signer.
    RecordAccess {
        /// The next tag of the grant's lane.
        tag: AccessTag,
        /// See [`access_commitment`].
        commitment: Digest,
        /// The intent, sealed to whoever is shown the tag's link.
        body: SealedIntent,
    },
    /// A privacy officer closes the review of an emergency use by a person of their member. Signed by the
    /// officer's registered key.
    CloseReview {
        /// The member that registered the officer, and the person who looked.
        member: MemberIndex,
        /// The officer.
        officer: PartyId,
        /// See [`crate::emergency::review_id`]; nobody can tell it from others without the patient's card.
        review: Digest,
        /// The [`crate::emergency::Review`], sealed to whoever can compute the id.
        body: SealedIntent,
    },
    /// A member says what it allows the people whom it registered. Signed by the member's registrar
    /// key.
    PublishPolicy {
        /// The member.
        member: MemberIndex,
        /// One more than the version on the ledger; 1 for the first.
        version: u32,
        /// The whole policy, in place of the one before.
        text: PolicyText,
    },
    /// A holder has destroyed all that it held under an erasure order. Signed by the member's service key,
    /// or by the gateway's registered key.
    RecordDestruction {
        /// The order, an entry of the patient's grant chain.
        order: GrantTag,
        /// Who has destroyed.
        holder: Holder,
        /// What the holder alone can recognise again, on a disk that was set back to an earlier day: a keyed
        /// hash of the chain. Nobody else learns from it which of its folders it was.
        label: Digest,
    },
    /// A new wallet, with enough guardians behind it, opens a case of recovery. Signed by the case's opener key.
    OpenCase {
        /// The hash of the signer's key, see [`crate::recovery::case_id`].
        case: Digest,
        /// The key that may veto it.
        veto: PublicKey,
        /// See [`crate::recovery::case_commitment`].
        commitment: Digest,
    },
    /// A patient vetoes a case. Signed by the key that the case names for it.
    VetoCase {
        /// The case that ends.
        case: Digest,
    },
}

impl TxBody {
    /// Whether it goes before others.
    #[must_use]
    pub const fn urgency(&self) -> Urgency {
        match self {
            Self::RevokeGrant { .. }
            | Self::RevokeIdentity { .. }
            | Self::RevokeDevice { .. }
            | Self::VetoCase { .. } => Urgency::Urgent,
            Self::RegisterIdentity { .. }
            | Self::EnrolDevice { .. }
            | Self::AssignDevice { .. }
            | Self::Anchor { .. }
            | Self::CommitGrant { .. }
            | Self::RecordAccess { .. }
            | Self::CloseReview { .. }
            | Self::PublishPolicy { .. }
            | Self::RecordDestruction { .. }
            | Self::OpenCase { .. } => Urgency::Ordinary,
        }
    }
}

impl Tx {
    /// Signs `body` for the consortium `chain`.
    #[must_use]
    pub fn sign(chain: ChainId, body: TxBody, key: &SigningKey) -> Self {
        let signature = key.sign(namespaces::TX, &Self::message(chain, &body));
        Self { body, signer: key.public_key(), signature }
    }

    /// What is signed, under [`namespaces::TX`]: the chain's id and the encoded body.
    #[must_use]
    pub fn message(chain: ChainId, body: &TxBody) -> Vec<u8> {
        encode(&(chain, body))
    }

    /// The leaf of this transaction in its block's Merkle tree.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(namespaces::TX_LEAF, &[&encode(self)])
    }

    /// Whether the encoding keeps to [`TX_BYTES_MAX`].
    #[must_use]
    pub fn fits(&self) -> bool {
        encode(self).len() <= TX_BYTES_MAX
    }
}

impl Held {
    /// A store's promise that it holds its fragments of a batch, after fsync.
    #[must_use]
    pub fn sign(
        chain: ChainId,
        gateway: PartyId,
        batch: BatchNumber,
        root: Digest,
        store: MemberIndex,
        key: &SigningKey,
    ) -> Self {
        let message = held_message(chain, gateway, batch, root, store);
        Self { store, signature: key.sign(namespaces::HELD, &message) }
    }
}

/// What an enrolment commits to, opened only off the ledger.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Enrolment {
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// The device.
    pub device: crate::ids::DeviceId,
    /// The key with which it signs frames.
    pub key: PublicKey,
}

/// What an assignment commits to, opened only off the ledger.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Assignment {
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// The enrolment of the device.
    pub enrolment: Digest,
    /// The patient's grant chain with this writer.
    pub grants: salus_crypto::chain::ChainAnchor,
    /// The gateway that writes.
    pub writer: PartyId,
    /// Time of measurement for which it holds.
    pub validity: TimeSpan,
    /// The sensitive class under which everything the device reads is kept; by kind when there is none.
    pub sensitivity: Option<DataClass>,
}

/// SHA-256 under [`namespaces::ENROLMENT`] of the encoded enrolment.
#[must_use]
pub fn enrolment_commitment(enrolment: &Enrolment) -> Digest {
    sha256(namespaces::ENROLMENT, &[&encode(enrolment)])
}

/// SHA-256 under [`namespaces::ASSIGNMENT`] of the encoded assignment.
#[must_use]
pub fn assignment_commitment(assignment: &Assignment) -> Digest {
    sha256(namespaces::ASSIGNMENT, &[&encode(assignment)])
}

/// SHA-256 under [`namespaces::GRANT`] of what stands for the chain's link at the grant's place ([`Link::mark`]) and
/// the encoded grant. Whoever sees a tag on its way to the ledger can take it first, and learns the link when a later
/// one is shown: by then it is too late to commit to it.
#[must_use]
pub fn grant_commitment(link: &Link, grant: &crate::consent::Grant) -> Digest {
    marked_grant_commitment(&link.mark(), grant)
}

/// The same, for who was told what stands for the link and not the link.
#[must_use]
pub fn marked_grant_commitment(mark: &Digest, grant: &crate::consent::Grant) -> Digest {
    sha256(namespaces::GRANT, &[mark.as_bytes(), &encode(grant)])
}

/// SHA-256 under [`namespaces::ACCESS`] of the encoded intent.
#[must_use]
pub fn access_commitment(intent: &crate::consent::Intent) -> Digest {
    sha256(namespaces::ACCESS, &[&encode(intent)])
}

/// What the requester's registered key signs, under [`namespaces::INTENT`].
#[must_use]
pub fn intent_message(chain: ChainId, terms: &crate::consent::IntentTerms) -> Vec<u8> {
    encode(&(chain, terms))
}
