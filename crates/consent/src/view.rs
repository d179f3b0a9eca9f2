//! State entries as they stand at one final head. An entry that was not read is not the same as
//! one that is absent: asking for it is a denial, never a guess.

use crate::denied::Denied;
use salus_planted::{Bug, is};
use salus_wire::limits::VIEW_STALE_MS;
use salus_wire::state::Tip;
use salus_wire::{StateKey, StateValue, TimeMs};
use std::collections::BTreeMap;

/// What this member's own final state held, all at one head.
pub struct FinalView {
    at: Tip,
    entries: BTreeMap<StateKey, Option<StateValue>>,
}

impl FinalView {
    /// The view at `at`, with `values` in the order of `keys`.
    ///
    /// # Errors
    /// [`Denied::ViewIncomplete`] when there are not as many values as keys.
    pub fn new(at: Tip, keys: Vec<StateKey>, values: Vec<Option<StateValue>>) -> Result<Self, Denied> {
        if keys.len() != values.len() {
            return Err(Denied::ViewIncomplete);
        }
        Ok(Self { at, entries: keys.into_iter().zip(values).collect() })
    }

    /// The head.
    #[must_use]
    pub const fn at(&self) -> Tip {
        self.at
    }

    /// The entry under `key`, `None` when it is absent from the ledger.
    ///
    /// # Errors
    /// [`Denied::ViewIncomplete`] when it was not read.
    pub(crate) fn get(&self, key: &StateKey) -> Result<Option<&StateValue>, Denied> {
        self.entries.get(key).map(Option::as_ref).ok_or(Denied::ViewIncomplete)
    }

    /// Holds the view against this custodian's clock. A head far *ahead* of the clock is refused
    /// too: then the clock is wrong, and a slow clock makes every old view look fresh.
    pub(crate) fn fresh(&self, now: TimeMs) -> Result<(), Denied> {
        let apart = now.since_ms(self.at.time).max(self.at.time.since_ms(now));
        if apart > VIEW_STALE_MS && !is(Bug::StaleView) { Err(Denied::ViewStale) } else { Ok(()) }
    }
}
