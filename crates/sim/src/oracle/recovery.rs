//! Recovery: within ten view timeouts after faults stop, every honest member applies a block.
//!
//! Checked only in a run that says it healed; one that ends sooner is not blamed for members that may yet
//! move. Refuses to know why a member stands still.

use salus_wire::MemberIndex;
use std::collections::BTreeSet;

/// View timeouts within which a healed consortium moves.
const VIEWS: u64 = 10;

/// Who has moved since faults stopped.
pub(crate) struct Recovery {
    honest: BTreeSet<MemberIndex>,
    within_ms: u64,
    healed: Option<Healed>,
}

struct Healed {
    deadline_ms: u64,
    still: BTreeSet<MemberIndex>,
}

impl Recovery {
    pub(crate) fn new(honest: BTreeSet<MemberIndex>, view_timeout_ms: u64) -> Self {
        Self { honest, within_ms: view_timeout_ms.saturating_mul(VIEWS), healed: None }
    }

    /// Faults have stopped; a later call counts anew.
    pub(crate) fn healed(&mut self, at_ms: u64) {
        let deadline_ms = at_ms.saturating_add(self.within_ms);
        self.healed = Some(Healed { deadline_ms, still: self.honest.clone() });
    }

    /// Whether faults ever stopped.
    pub(crate) fn is_healed(&self) -> bool {
        self.healed.is_some()
    }

    /// A member applied a block.
    pub(crate) fn applied(&mut self, at_ms: u64, member: MemberIndex) -> Result<(), String> {
        let Some(healed) = &mut self.healed else { return Ok(()) };
        if healed.still.remove(&member) && at_ms > healed.deadline_ms {
            return Err(format!(
                "member {member} first moved at {at_ms} ms, due by {} ms",
                healed.deadline_ms
            ));
        }
        Ok(())
    }

    /// Whether every honest member moved in time since; an error if one can no longer.
    pub(crate) fn finish(&self, at_ms: u64) -> Result<bool, String> {
        let Some(healed) = &self.healed else { return Ok(false) };
        match healed.still.first() {
            Some(member) if self.is_due(at_ms) => {
                Err(format!("member {member} applied nothing by {} ms", healed.deadline_ms))
            }
            still => Ok(still.is_none()),
        }
    }

    /// Whether faults stopped so long ago that everybody must have moved.
    pub(crate) fn is_due(&self, at_ms: u64) -> bool {
        self.healed.as_ref().is_some_and(|healed| at_ms >= healed.deadline_ms)
    }
}
