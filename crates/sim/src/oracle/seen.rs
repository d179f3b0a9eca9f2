//! INV-5 seen, and P1 to P3: when an honest custodian may give out key shares, and when a read may
//! succeed.
//!
//! *P1*: not for an access that the ledger orders after the withdrawal of its grant. *P2*: not after the
//! custodian has recorded the refusal or applied the withdrawal; and a request that no honest custodian
//! has answered when the withdrawal becomes final is answered by at most f of them ever, so that
//! with f liars it stays below t = 2f + 1. *P3*: not once the access has expired.
//!
//! A share counts from when it leaves the custodian, not from when it was decided. A member may be ahead
//! of what it was seen to apply; then what needs the ledger is judged when the ledger is there. Refuses
//! to know a custodian's reasons, and every clock but the blocks'.

use super::ReadOutcome;
use super::chains::Chains;
use super::kept::{Fault, fault};
use super::ledger::{Ledger, Place};
use salus_wire::limits::ACCESS_VALID_MS_MAX;
use salus_wire::rpc::FinalBlock;
use salus_wire::{AccessTag, Faults, GrantTag, Height, MemberIndex, Outcome, TxBody};
use std::collections::{BTreeMap, BTreeSet};

/// What custodians did.
pub(crate) struct Custody {
    faults: Faults,
    liars: u16,
    refused: BTreeSet<(MemberIndex, GrantTag)>,
    holders: BTreeMap<AccessTag, Holders>,
    told_withdrawn: BTreeMap<GrantTag, u64>,
    releases: Vec<Release>,
    reads: Vec<Opened>,
}

/// Honest custodians that gave out shares under one access.
#[derive(Default)]
struct Holders {
    before: BTreeSet<MemberIndex>,
    after: BTreeSet<MemberIndex>,
}

/// Shares that an honest custodian gave out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) member: MemberIndex,
    pub(crate) access: AccessTag,
    pub(crate) grant: GrantTag,
    /// The head on which it decided.
    pub(crate) head: Height,
    /// The last block that it holds by now; not below `head`.
    pub(crate) applied: Height,
}

/// A read that succeeded.
#[derive(Clone, Copy, Debug)]
struct Opened {
    access: AccessTag,
    grant: GrantTag,
    at: Height,
}

impl Custody {
    pub(crate) fn new(faults: Faults, liars: u16) -> Self {
        Self {
            faults,
            liars,
            refused: BTreeSet::new(),
            holders: BTreeMap::new(),
            told_withdrawn: BTreeMap::new(),
            releases: Vec::new(),
            reads: Vec::new(),
        }
    }

    /// An honest member recorded that it refuses the grant, for ever.
    pub(crate) fn may_vote(&mut self, member: MemberIndex, grant: GrantTag) {
        self.refused.insert((member, grant));
    }

    /// What an honest member recorded before it voted is still there in its next life (P2).
    pub(crate) fn recalled(&self, member: MemberIndex, grants: &[GrantTag]) -> Result<(), Fault> {
        let forgotten = self.refused.iter().filter(|(who, grant)| *who == member && !grants.contains(grant));
        match forgotten.count() {
            0 => Ok(()),
            count => fault("P2", format!("member {member} has forgotten {count} refusals that it recorded")),
        }
    }

    /// The patient was told, as event `now`, that the withdrawal is final.
    pub(crate) fn told_withdrawn(&mut self, grant: GrantTag, now: u64) {
        self.told_withdrawn.entry(grant).or_insert(now);
    }

    /// The first honest member applied this block: of its n - f votes, at most the liars' came from
    /// members that had not recorded the refusal (P2).
    pub(crate) fn became_final(
        &mut self,
        block: &FinalBlock,
        ledger: &Ledger,
        chains: &Chains,
    ) -> Result<(), Fault> {
        let needed = usize::from(self.faults.quorum().saturating_sub(self.liars));
        for (tx, outcome) in block.block.transactions.iter().zip(block.outcomes.iter()) {
            let (TxBody::RevokeGrant { tag }, Outcome::Applied) = (&tx.body, outcome) else { continue };
            let refusing = self.refused.iter().filter(|(_, grant)| grant == tag).count();
            if refusing < needed {
                let how = format!("{tag:?} is withdrawn for good, {refusing} of {needed} members refuse it");
                return fault("P2", how);
            }
        }
        self.ripen(ledger, chains)
    }

    /// An honest custodian gave out shares.
    pub(crate) fn released(
        &mut self,
        release: Release,
        ledger: &Ledger,
        chains: &Chains,
    ) -> Result<(), Fault> {
        if self.refused.contains(&(release.member, release.grant)) {
            return fault("P2", format!("the custodian has recorded the refusal: {release:?}"));
        }
        self.releases.push(release);
        self.ripen(ledger, chains)?;
        self.hold(&release, ledger)
    }

    /// A read under `grant` that began as event `began` succeeded.
    pub(crate) fn read(
        &mut self,
        grant: GrantTag,
        began: u64,
        outcome: &ReadOutcome,
        (ledger, chains): (&Ledger, &Chains),
    ) -> Result<(), Fault> {
        self.reads.push(Opened { access: outcome.access, grant, at: outcome.at });
        self.ripen(ledger, chains)?;
        if self.told_withdrawn.get(&grant).is_some_and(|told| *told < began) {
            return fault("P1", format!("a read under {grant:?} began after its withdrawal was told"));
        }
        self.opened(outcome)
    }

    /// The first height on which something rests that no honest member was seen to reach.
    pub(crate) fn unconfirmed(&self) -> Option<Height> {
        let releases = self.releases.iter().map(|release| release.applied);
        releases.chain(self.reads.iter().map(|read| read.at)).min()
    }

    /// Judges what the ledger has caught up with.
    fn ripen(&mut self, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let head = ledger.head();
        for release in self.releases.extract_if(.., |release| release.applied <= head) {
            release.judge(ledger, chains)?;
        }
        self.reads.extract_if(.., |read| read.at <= head).try_for_each(|read| read.judge(ledger))
    }

    /// Nothing opens with fewer than t custodians; all liars may have helped unseen.
    fn opened(&self, outcome: &ReadOutcome) -> Result<(), Fault> {
        let holders = self.holders.get(&outcome.access);
        let honest = holders.map_or(0, |holders| holders.before.union(&holders.after).count());
        let needed = usize::from(self.faults.key_threshold().saturating_sub(self.liars));
        if outcome.frames.is_empty() || honest >= needed {
            return Ok(());
        }
        fault("INV-2", format!("{:?} opened with {honest} of {needed} honest custodians", outcome.access))
    }

    fn hold(&mut self, release: &Release, ledger: &Ledger) -> Result<(), Fault> {
        let holders = self.holders.entry(release.access).or_default();
        if ledger.grant(&release.grant).is_none_or(|grant| grant.withdrawn.is_none()) {
            holders.before.insert(release.member);
            return Ok(());
        }
        holders.after.insert(release.member);
        let late = holders.after.len();
        if holders.before.is_empty() && late > usize::from(self.faults.tolerated()) {
            let how = format!("{late} honest custodians after a withdrawal that found none: {release:?}");
            return fault("P2", how);
        }
        Ok(())
    }
}

impl Release {
    fn judge(&self, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let Some(place) = ledger.access(&self.access).filter(|place| place.height <= self.head) else {
            return fault("INV-5", format!("the access is not final for the custodian: {self:?}"));
        };
        let Some(grant) = ledger.grant(&self.grant).filter(|grant| grant.committed.height <= self.head)
        else {
            return fault("INV-5", format!("the grant is not final for the custodian: {self:?}"));
        };
        if grant.withdrawn.is_some_and(|withdrawn| withdrawn < place) {
            return fault("P1", format!("the access is ordered after the withdrawal: {self:?}"));
        }
        if grant.withdrawn.is_some_and(|withdrawn| withdrawn.height <= self.applied) {
            return fault("P2", format!("the custodian has applied the withdrawal: {self:?}"));
        }
        let (since, now) = (ledger.time_at(place.height), ledger.time_at(self.head));
        if now.since_ms(since) > u64::from(ACCESS_VALID_MS_MAX) {
            return fault("P3", format!("the access of {since} has expired at {now}: {self:?}"));
        }
        self.gapless(ledger, chains)
    }

    /// Every earlier tag of chain and lane is final too: else the patient's walk does not come here.
    fn gapless(&self, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let absent = |place: Option<Place>| place.is_none_or(|place| place.height > self.head);
        let mut grants = chains.before_grant(&self.grant);
        let mut accesses = chains.before_access(&self.access);
        let gap = grants.any(|tag| absent(ledger.grant(tag).map(|grant| grant.committed)))
            || accesses.any(|tag| absent(ledger.access(tag)));
        if gap {
            return fault("INV-5", format!("an earlier tag of the chain or lane is absent: {self:?}"));
        }
        Ok(())
    }
}

impl Opened {
    fn judge(&self, ledger: &Ledger) -> Result<(), Fault> {
        let Some(place) = ledger.access(&self.access) else {
            return fault("INV-5", format!("a read under an access that is not final: {self:?}"));
        };
        let withdrawn = ledger.grant(&self.grant).and_then(|grant| grant.withdrawn);
        if withdrawn.is_some_and(|withdrawn| withdrawn < place) {
            return fault("P1", format!("a read under an access ordered after the withdrawal: {self:?}"));
        }
        if place.height != self.at {
            return fault("INV-6", format!("the access of a read is at {}: {self:?}", place.height));
        }
        Ok(())
    }
}
