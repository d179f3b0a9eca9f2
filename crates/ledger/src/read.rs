//! What a transaction needs to see, and what the state says about it.
//!
//! Promises that [`reads`] names every entry that the rules may look at. Refuses to know how
//! entries are loaded.

use salus_wire::state::{StateKey, StateValue};
use salus_wire::{Code, Faults, Holder, MemberIndex, TxBody};
use std::collections::BTreeMap;

/// Entries of the state as they stood before a block, and the absence of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSet(BTreeMap<StateKey, Option<StateValue>>);

impl ReadSet {
    /// A read set of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what stands under `key`: an entry, or nothing.
    pub fn insert(&mut self, key: StateKey, value: Option<StateValue>) {
        self.0.insert(key, value);
    }

    /// Whether something is said about `key`.
    #[must_use]
    pub fn contains(&self, key: &StateKey) -> bool {
        self.0.contains_key(key)
    }
}

impl FromIterator<(StateKey, Option<StateValue>)> for ReadSet {
    fn from_iter<I: IntoIterator<Item = (StateKey, Option<StateValue>)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl Extend<(StateKey, Option<StateValue>)> for ReadSet {
    fn extend<I: IntoIterator<Item = (StateKey, Option<StateValue>)>>(&mut self, entries: I) {
        self.0.extend(entries);
    }
}

/// Every key that applying or admitting `body` may look at; the first is the one it would write.
/// A revocation names all members, because which of them must have signed stands in the entry.
#[must_use]
pub fn reads(body: &TxBody, faults: Faults) -> Vec<StateKey> {
    let target = target(body);
    match body {
        TxBody::RegisterIdentity { member, .. }
        | TxBody::EnrolDevice { member, .. }
        | TxBody::AssignDevice { member, .. }
        | TxBody::PublishPolicy { member, .. } => vec![target, StateKey::Member(*member)],
        TxBody::RevokeIdentity { .. } | TxBody::RevokeDevice { .. } => {
            let members = (0..faults.members()).map(MemberIndex::new).map(StateKey::Member);
            std::iter::once(target).chain(members).collect()
        }
        TxBody::Anchor { gateway, .. } => vec![target, StateKey::Identity(*gateway)],
        TxBody::CommitGrant { .. }
        | TxBody::RevokeGrant { .. }
        | TxBody::RecordAccess { .. }
        | TxBody::OpenCase { .. }
        | TxBody::VetoCase { .. } => vec![target],
        TxBody::CloseReview { officer, .. } => vec![target, StateKey::Identity(*officer)],
        TxBody::RecordDestruction { order, holder, .. } => {
            let signer = match holder {
                Holder::Member(member) => StateKey::Member(*member),
                Holder::Writer(party) => StateKey::Identity(*party),
            };
            vec![target, StateKey::Grant(*order), signer]
        }
    }
}

/// The one key that `body` writes when it is applied.
pub(crate) fn target(body: &TxBody) -> StateKey {
    match body {
        TxBody::RegisterIdentity { party, .. } | TxBody::RevokeIdentity { party } => {
            StateKey::Identity(*party)
        }
        TxBody::EnrolDevice { enrolment, .. } | TxBody::RevokeDevice { enrolment } => {
            StateKey::Enrolment(*enrolment)
        }
        TxBody::AssignDevice { assignment, .. } => StateKey::Assignment(*assignment),
        TxBody::Anchor { gateway, batch, .. } => StateKey::Anchor(*gateway, *batch),
        TxBody::CommitGrant { tag, .. } | TxBody::RevokeGrant { tag } => StateKey::Grant(*tag),
        TxBody::RecordAccess { tag, .. } => StateKey::Access(*tag),
        TxBody::CloseReview { member, review, .. } => StateKey::Review(*member, *review),
        TxBody::PublishPolicy { member, .. } => StateKey::Policy(*member),
        TxBody::RecordDestruction { order, holder, .. } => StateKey::Destruction(*order, *holder),
        TxBody::OpenCase { case, .. } | TxBody::VetoCase { case } => StateKey::Case(*case),
    }
}

/// The state in the midst of a block: what was read, under what the block has written so far.
pub(crate) struct View<'a> {
    before: &'a ReadSet,
    written: BTreeMap<StateKey, StateValue>,
}

impl<'a> View<'a> {
    pub(crate) fn new(before: &'a ReadSet) -> Self {
        Self { before, written: BTreeMap::new() }
    }

    pub(crate) fn write(&mut self, key: StateKey, value: StateValue) {
        self.written.insert(key, value);
    }

    pub(crate) fn into_changes(self) -> Vec<(StateKey, StateValue)> {
        self.written.into_iter().collect()
    }

    /// What stands under `key` now. A key that was never read is our own fault, not the sender's.
    pub(crate) fn get(&self, key: &StateKey) -> Result<Option<&StateValue>, Code> {
        if let Some(value) = self.written.get(key) {
            return Ok(Some(value));
        }
        let known = self.before.0.get(key);
        debug_assert!(known.is_some(), "an entry that the rules need was not read");
        known.map(Option::as_ref).ok_or(Code::Internal)
    }
}
