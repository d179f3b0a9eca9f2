//! Linearizability of what patients and readers see of one grant.
//!
//! A grant is a register: absent, then active, then withdrawn, and never back. Commit and withdrawal take
//! effect at one instant g and w each, between request and answer, or at any time after the
//! request when no answer came; a read that succeeds has an instant between request and answer at which the
//! grant is active, one that is denied as revoked an instant at which it is withdrawn. Other
//! refusals say nothing. A denial before the withdrawal is final says only that somebody asked for it:
//! members refuse from before they vote (P2), and a block that they voted for may still come to nothing.
//!
//! Why the check is exact: success needs g before its answer and w after its request, denial needs w before
//! its answer, and nothing else binds g and w but their own operations. Nothing wants g or w to be
//! *late* but "w after every success began", "w after g" and the requests themselves. So the history is
//! linearizable exactly if the earliest g and the earliest w that these allow meet all the upper bounds.

/// The history of one grant; instants are numbers of events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Register {
    granting: Option<u64>,
    granted: Option<u64>,
    withdrawing: Option<u64>,
    withdrawn: Option<u64>,
    /// The last request of a read that succeeded, and the first answer.
    success: Option<(u64, u64)>,
    /// The first answer of a denial.
    denial: Option<u64>,
}

impl Register {
    pub(crate) fn granting(&mut self, now: u64) {
        self.granting.get_or_insert(now);
    }

    pub(crate) fn granted(&mut self, now: u64) -> Result<(), String> {
        self.granted.get_or_insert(now);
        self.check()
    }

    pub(crate) fn withdrawing(&mut self, now: u64) {
        self.withdrawing.get_or_insert(now);
    }

    pub(crate) fn withdrawn(&mut self, now: u64) -> Result<(), String> {
        self.withdrawn.get_or_insert(now);
        self.check()
    }

    /// A read that began at `began` succeeded.
    pub(crate) fn succeeded(&mut self, began: u64, now: u64) -> Result<(), String> {
        let (last, first) = self.success.unwrap_or((began, now));
        self.success = Some((last.max(began), first.min(now)));
        self.check()
    }

    /// A read was denied as withdrawn, when the withdrawal was not final yet.
    pub(crate) fn denied_early(&self) -> Result<(), String> {
        holds(self.withdrawing.is_some(), "denied as withdrawn, but nobody withdrew it")
    }

    /// A read was denied as withdrawn, when the withdrawal was final.
    pub(crate) fn denied(&mut self, now: u64) -> Result<(), String> {
        self.denial = Some(self.denial.map_or(now, |first| first.min(now)));
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        let observed = [self.granted, self.success.map(|(_, answer)| answer), self.withdrawn, self.denial];
        let Some(granted) = self.granting else {
            return holds(observed.iter().all(Option::is_none), "nobody asked for the grant");
        };
        let active_by = observed.iter().flatten().min();
        holds(active_by.is_none_or(|by| granted < *by), "seen before it was asked for")?;
        let Some(withdrawn_by) = [self.withdrawn, self.denial].into_iter().flatten().min() else {
            return Ok(());
        };
        let Some(withdrawing) = self.withdrawing else {
            return holds(false, "denied as withdrawn, but nobody withdrew it");
        };
        let last_success = self.success.map_or(granted, |(request, _)| request);
        let earliest = withdrawing.max(last_success).max(granted);
        holds(earliest < withdrawn_by, "read by a reader who began after it was seen withdrawn")
    }
}

fn holds(true_of_it: bool, how: &str) -> Result<(), String> {
    if true_of_it { Ok(()) } else { Err(format!("not linearizable: {how}")) }
}
