//! What custodians remember of the keys they released, for the review of who looks at what
//! (45 CFR 164.308(a)(1)(ii)(D)) and for as long as such records are kept (45 CFR 164.316(b)(2)(i)). ADR 17.

use crate::bounded::List;
use crate::codec::encode;
use crate::ids::{AccessTag, ChainId, MemberIndex, PartyId, TimeMs};
use crate::limits::{ACTIVITY_ROWS_MAX, DAY_MS};
use crate::namespaces;
use crate::scope::{Classes, Purpose};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::sign::{PublicKey, Signature};
use std::collections::BTreeSet;

/// How the grant named who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum NamedAs {
    /// As a person.
    Person = 0,
    /// By a role at a member.
    Role = 1,
    /// As an application.
    Application = 2,
    /// As somebody who treats the patient in an emergency.
    Emergency = 3,
}

/// One access of which a custodian released keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Activity {
    /// When the custodian decided, by its own clock.
    pub at: TimeMs,
    /// Who was let in.
    pub requester: PartyId,
    /// The member that had registered them.
    pub member: MemberIndex,
    /// Whose data, under the name that [`patient_name`] makes.
    pub patient: Digest,
    /// Under which access.
    pub access: AccessTag,
    /// For what purpose, as they said.
    pub purpose: Purpose,
    /// Of what classes, as they asked.
    pub classes: Classes,
    /// How the grant named them.
    pub named: NamedAs,
}

impl Activity {
    /// The day it belongs to: days of UTC since 1970-01-01.
    #[must_use]
    pub fn day(&self) -> u32 {
        day_of(self.at)
    }
}

/// A privacy officer asks one custodian what their member's people looked at on one day.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ActivityRequest {
    /// What is asked.
    pub terms: ActivityTerms,
    /// By the key in the terms over [`activity_message`], under [`namespaces::ACTIVITY`].
    pub signature: Signature,
}

/// The signed part of an [`ActivityRequest`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ActivityTerms {
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
    /// The day: days of UTC since 1970-01-01.
    pub day: u32,
    /// Rows of an earlier page to skip.
    pub skip: u32,
}

/// What a custodian remembers of one day and one member's people.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ActivityPage {
    /// In the order in which they were remembered.
    pub rows: List<Activity, ACTIVITY_ROWS_MAX>,
    /// Rows after these.
    pub remaining: u32,
}

/// What came of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Verdict {
    /// There was a reason to look.
    Explained = 0,
    /// There was none.
    Unexplained = 1,
}

/// A privacy officer's word on a finding: who looked at whom on what day.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignOff {
    /// What is said.
    pub terms: SignOffTerms,
    /// By the officer's registered key over [`sign_off_message`], under [`namespaces::ACTIVITY_SIGN_OFF`].
    pub signature: Signature,
}

/// The signed part of a [`SignOff`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignOffTerms {
    /// Who looked.
    pub requester: PartyId,
    /// At whose record; none when it is about the whole day.
    pub patient: Option<Digest>,
    /// Days of UTC since 1970-01-01.
    pub day: u32,
    /// See [`finding_digest`]: under which accesses, and for what reasons they were asked.
    pub about: Digest,
    /// Who says so.
    pub officer: PartyId,
    /// When, by their clock.
    pub at: TimeMs,
    /// What came of it.
    pub verdict: Verdict,
}

/// What a finding is about: SHA-256 under [`namespaces::ACTIVITY_FINDING`] of its accesses and its reasons in words,
/// both in order.
#[must_use]
pub fn finding_digest(accesses: &BTreeSet<AccessTag>, reasons: &BTreeSet<String>) -> Digest {
    sha256(namespaces::ACTIVITY_FINDING, &[&encode(&(accesses, reasons))])
}

/// What a privacy officer signs over a finding, under [`namespaces::ACTIVITY_SIGN_OFF`].
#[must_use]
pub fn sign_off_message(chain: ChainId, terms: &SignOffTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// The day of a moment: days of UTC since 1970-01-01.
#[must_use]
pub fn day_of(at: TimeMs) -> u32 {
    u32::try_from(at.get() / DAY_MS).unwrap_or(u32::MAX)
}

/// How records of activity name a patient: the same at every custodian, and nothing to whoever does not know
/// the chain under which the patient's data lies. A wallet that came in the place of another leaves the data where it
/// is, and the name with it.
#[must_use]
pub fn patient_name(data: &ChainAnchor) -> Digest {
    sha256(namespaces::ACTIVITY_PATIENT, &[data.as_bytes()])
}

/// What a privacy officer signs over a question, under [`namespaces::ACTIVITY`].
#[must_use]
pub fn activity_message(chain: ChainId, terms: &ActivityTerms) -> Vec<u8> {
    encode(&(chain, terms))
}
