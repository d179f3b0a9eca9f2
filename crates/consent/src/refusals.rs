//! The grants that this member refuses whatever its view says, because it has verified a block
//! that revokes them (P2). Which grants those are is told from outside, before each vote; that
//! they are durable by then is the teller's duty.

use salus_wire::GrantTag;
use std::collections::BTreeSet;

/// Grants that open nothing any more.
#[derive(Default)]
pub struct Refusals(BTreeSet<GrantTag>);

impl Refusals {
    /// Refuses from now on.
    pub fn refuse(&mut self, grant: GrantTag) {
        self.0.insert(grant);
    }

    /// Whether this grant is refused.
    #[must_use]
    pub fn refuses(&self, grant: &GrantTag) -> bool {
        self.0.contains(grant)
    }

    /// How many are refused.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, in order of tag.
    pub fn iter(&self) -> impl Iterator<Item = &GrantTag> {
        self.0.iter()
    }

    /// Stops remembering grants that the ledger's durable final state itself shows as revoked:
    /// from then on [`crate::decide`] reads the revocation there.
    pub fn drop_settled(&mut self, revoked_in_state: &[GrantTag]) {
        for grant in revoked_in_state {
            self.0.remove(grant);
        }
    }
}
