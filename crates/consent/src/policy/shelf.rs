//! Policies that a custodian has read: each member's as it stands, parsed once.
//!
//! Promises that what it gives was parsed from the very entry that it is asked about. A text that does not
//! parse is remembered too, and allows nothing.

use super::Policy;
use crate::denied::Denied;
use salus_wire::MemberIndex;
use salus_wire::state::PolicyRecord;
use salus_wire::tx::PolicyText;
use std::collections::BTreeMap;

/// The last policy seen of each member; at most one for each member that registered somebody.
#[derive(Debug, Default)]
pub struct Policies(BTreeMap<MemberIndex, Read>);

#[derive(Debug)]
struct Read {
    text: PolicyText,
    policy: Option<Policy>,
}

impl Policies {
    /// The policy in an entry of `member`. Parses only what it has not seen.
    ///
    /// # Errors
    /// [`Denied::PolicyInvalid`] when the text is no policy.
    pub(crate) fn of(&mut self, member: MemberIndex, record: &PolicyRecord) -> Result<&Policy, Denied> {
        let known = self.0.get(&member).is_some_and(|read| read.text == record.text);
        if !known {
            self.0
                .insert(member, Read { text: record.text.clone(), policy: Policy::parse(&record.text).ok() });
        }
        self.0.get(&member).and_then(|read| read.policy.as_ref()).ok_or(Denied::PolicyInvalid)
    }
}
