//! The oracle itself: hands each event to the rooms that hold a promise against it, and counts.
//!
//! Promises that an error names a promise and says what was seen; after one the oracle is of no more
//! use. The promise `driver` says that the history itself makes no sense.

use super::agreement::{Agreement, News, Told};
use super::chains::Chains;
use super::kept::{Fault, Kept, fault};
use super::listing::{Listing, Listings};
use super::nameless::Nameless;
use super::recovery::Recovery;
use super::register::Register;
use super::seen::{Custody, Release};
use super::{Broken, PatientNo, ReadNo, ReadOutcome, Seen};
use salus_wire::rpc::FinalBlock;
use salus_wire::{AccessTag, Code, Faults, Genesis, GrantTag, Height, MemberIndex, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the oracle must know of a run before it begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The agreement of the consortium.
    pub genesis: Genesis,
    /// Its bounds.
    pub faults: Faults,
    /// Members that may lie, from the beginning to the end; no event of theirs is reported.
    pub liars: BTreeSet<MemberIndex>,
    /// Milliseconds after which members give up on a leader.
    pub view_timeout_ms: u64,
}

/// How much was checked: a run that checked nothing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Heights that an honest member reached.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Those that were refused.
    pub refused_transactions: u64,
    /// Blocks that honest members applied, each life of each member counted.
    pub applications: u64,
    /// Restarts of honest members.
    pub restarts: u64,
    /// Distinct frames that were acknowledged.
    pub acknowledged: u64,
    /// Those that a complete read has shown since.
    pub kept: u64,
    /// Reads that ended.
    pub reads: u64,
    /// Reads that gave something or found nothing to give.
    pub reads_successful: u64,
    /// Reads that were refused for whatever reason.
    pub reads_refused: u64,
    /// Reads that were refused because the grant is withdrawn.
    pub reads_denied: u64,
    /// Grants that were told to be final.
    pub grants: u64,
    /// Withdrawals that were told to be final.
    pub withdrawals: u64,
    /// Grants whose refusal honest members recorded, each member counted.
    pub refusals: u64,
    /// Answers of honest custodians with key shares.
    pub releases: u64,
    /// Lists that were shown.
    pub listings: u64,
    /// Whether every honest member was seen to move in time after faults stopped.
    pub recovered: bool,
}

/// Watches one run.
pub struct Oracle {
    members: u16,
    liars: BTreeSet<MemberIndex>,
    at_ms: u64,
    events: u64,
    agreement: Agreement,
    kept: Kept,
    chains: Chains,
    custody: Custody,
    listings: Listings,
    nameless: Nameless,
    recovery: Recovery,
    registers: BTreeMap<GrantTag, Register>,
    reads: BTreeMap<ReadNo, Begun>,
    summary: Summary,
}

/// A read under way.
#[derive(Clone, Copy)]
struct Begun {
    patient: PatientNo,
    grant: GrantTag,
    began: u64,
}

impl Oracle {
    /// Before the first event.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { genesis, faults, liars, view_timeout_ms } = setup;
        let members = faults.members();
        let honest = (0..members).map(MemberIndex::new).filter(|member| !liars.contains(member)).collect();
        let lying = u16::try_from(liars.len()).unwrap_or(u16::MAX);
        Self {
            members,
            at_ms: 0,
            events: 0,
            agreement: Agreement::new(&genesis, liars.clone()),
            kept: Kept::default(),
            chains: Chains::default(),
            custody: Custody::new(faults, lying),
            listings: Listings::default(),
            nameless: Nameless::default(),
            recovery: Recovery::new(honest, view_timeout_ms),
            registers: BTreeMap::new(),
            reads: BTreeMap::new(),
            summary: Summary::default(),
            liars,
        }
    }

    /// Something happened at `at_ms` in the world's time, which never runs backwards.
    ///
    /// # Errors
    /// The promise that this breaks.
    pub fn see(&mut self, at_ms: u64, seen: Seen) -> Result<(), Broken> {
        self.tick(at_ms).and_then(|()| self.take(seen)).map_err(|fault| broken(at_ms, fault))
    }

    /// Faults have stopped for good: from now on at most f members are bad, links deliver, and disks
    /// keep. Not to be called when no quorum of members is left; recovery and the last reads are then
    /// not demanded.
    pub fn healed(&mut self, at_ms: u64) {
        self.recovery.healed(at_ms);
    }

    /// How many acknowledged frames of the patient no complete read of everything has shown yet, which
    /// began after the acknowledgment: what a driver must still read before it may [`Oracle::finish`].
    #[must_use]
    pub fn owed(&self, patient: PatientNo) -> u64 {
        self.kept.owed(patient)
    }

    /// The run is over. Of a run that healed it demands that everything acknowledged was read, that
    /// all that was told to be final is in the history of an honest member, and recovery.
    ///
    /// # Errors
    /// The promise that turns out to be broken.
    pub fn finish(&mut self, at_ms: u64) -> Result<Summary, Broken> {
        self.tick(at_ms).and_then(|()| self.end(at_ms)).map_err(|fault| broken(at_ms, fault))?;
        self.summary.acknowledged = self.kept.acknowledged_count();
        self.summary.kept = self.kept.kept_count();
        Ok(self.summary)
    }

    fn tick(&mut self, at_ms: u64) -> Result<(), Fault> {
        if at_ms < self.at_ms {
            return fault("driver", format!("{at_ms} ms after {} ms", self.at_ms));
        }
        self.at_ms = at_ms;
        self.events = self.events.saturating_add(1);
        Ok(())
    }

    fn take(&mut self, seen: Seen) -> Result<(), Fault> {
        match seen {
            Seen::Offered { patient, device, sequence, frame } => {
                self.nameless.device(device);
                self.kept.offered(patient, device, sequence, &frame);
                Ok(())
            }
            Seen::Acknowledged { device, sequence } => self.kept.acknowledged(device, sequence, self.events),
            Seen::Applied { member, life, block } => self.applied(member, life, &block),
            Seen::Restarted { member, life, height } => {
                self.honest(member)?;
                add(&mut self.summary.restarts, 1);
                self.agreement.restarted(member, life, height).map_err(|how| ("INV-4", how))
            }
            Seen::Recalled { member, grants } => {
                self.honest(member)?;
                self.custody.recalled(member, &grants)
            }
            Seen::MayVote { member, grants } => {
                self.honest(member)?;
                add(&mut self.summary.refusals, grants.len());
                grants.into_iter().for_each(|grant| self.custody.may_vote(member, grant));
                Ok(())
            }
            Seen::Released { member, access, grant, head } => {
                let applied = head.max(self.agreement.head(member));
                self.released(Release { member, access, grant, head, applied })
            }
            Seen::Granting { patient, grant } => {
                let now = self.events;
                self.register(grant).granting(now);
                self.chains.granting(patient, grant)
            }
            Seen::Granted { grant, at, .. } => at.map_or(Ok(()), |at| self.granted(grant, at)),
            Seen::Withdrawing { grant, .. } => {
                let now = self.events;
                self.register(grant).withdrawing(now);
                Ok(())
            }
            Seen::Withdrawn { grant, at, .. } => self.withdrawn(grant, at),
            Seen::Intended { grant, access, .. } => self.chains.intended(access, grant),
            Seen::Reading { read, patient, grant } => {
                let begun = Begun { patient, grant, began: self.events };
                match self.reads.insert(read, begun) {
                    None => Ok(()),
                    Some(_) => fault("driver", format!("{read:?} began twice")),
                }
            }
            Seen::Read { read, outcome } => self.read(read, outcome),
            Seen::Listed { patient, at, grants } => {
                add(&mut self.summary.listings, 1);
                let listing = Listing { patient, at, grants };
                self.listings.listed(listing, self.agreement.ledger(), &self.chains)
            }
        }
    }

    fn applied(&mut self, member: MemberIndex, life: u32, block: &Arc<FinalBlock>) -> Result<(), Fault> {
        self.honest(member)?;
        add(&mut self.summary.applications, 1);
        let news = self.agreement.applied(member, life, block).map_err(|how| ("INV-4", how))?;
        self.recovery.applied(self.at_ms, member).map_err(|how| ("recovery", how))?;
        if news == News::Again {
            return Ok(());
        }
        let refused = block.outcomes.iter().filter(|outcome| **outcome != Outcome::Applied);
        add(&mut self.summary.blocks, 1);
        add(&mut self.summary.transactions, block.outcomes.len());
        add(&mut self.summary.refused_transactions, refused.count());
        self.custody.became_final(block, self.agreement.ledger(), &self.chains)?;
        self.nameless.became_final(block, &self.chains)?;
        self.listings.reached(block.block.header.height, self.agreement.ledger(), &self.chains)
    }

    fn released(&mut self, release: Release) -> Result<(), Fault> {
        self.honest(release.member)?;
        add(&mut self.summary.releases, 1);
        self.learn(release.access, release.grant)?;
        self.custody.released(release, self.agreement.ledger(), &self.chains)
    }

    fn granted(&mut self, grant: GrantTag, at: Height) -> Result<(), Fault> {
        add(&mut self.summary.grants, 1);
        let now = self.events;
        self.register(grant).granted(now).map_err(|how| ("INV-5", how))?;
        self.agreement.told(Told::Granted(grant, at)).map_err(|how| ("INV-4", how))
    }

    fn withdrawn(&mut self, grant: GrantTag, at: Height) -> Result<(), Fault> {
        add(&mut self.summary.withdrawals, 1);
        let now = self.events;
        self.custody.told_withdrawn(grant, now);
        self.register(grant).withdrawn(now).map_err(|how| ("INV-5", how))?;
        self.agreement.told(Told::Withdrawn(grant, at)).map_err(|how| ("INV-4", how))
    }

    fn read(&mut self, read: ReadNo, outcome: Result<ReadOutcome, Code>) -> Result<(), Fault> {
        let Some(begun) = self.reads.remove(&read) else {
            return fault("driver", format!("{read:?} ended without having begun"));
        };
        add(&mut self.summary.reads, 1);
        let now = self.events;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(code) => return self.read_refused(begun, code),
        };
        add(&mut self.summary.reads_successful, 1);
        self.learn(outcome.access, begun.grant)?;
        let known = (self.agreement.ledger(), &self.chains);
        self.custody.read(begun.grant, begun.began, &outcome, known)?;
        self.kept.read(begun.patient, begun.began, now, &outcome)?;
        self.register(begun.grant).succeeded(begun.began, now).map_err(|how| ("INV-5", how))
    }

    /// A reader repeats only what more members say than can lie. Nobody who reads is ever revoked here,
    /// and an access is never of something that must be there, so that two reasons can only be lies.
    fn read_refused(&mut self, begun: Begun, code: Code) -> Result<(), Fault> {
        add(&mut self.summary.reads_refused, 1);
        if matches!(code, Code::Revoked | Code::NotFound) {
            return fault("INV-6", format!("a read ended with {code:?}, which nobody honest said"));
        }
        // The gateways are honest: whoever lies is a member, and is to be named instead.
        if code == Code::WriterFault {
            return fault(
                "INV-6",
                "a read blames the gateway that wrote, which did nothing wrong".to_owned(),
            );
        }
        if code != Code::GrantRevoked {
            return Ok(());
        }
        add(&mut self.summary.reads_denied, 1);
        let now = self.events;
        let withdrawn = self.agreement.ledger().grant(&begun.grant).and_then(|grant| grant.withdrawn);
        let register = self.register(begun.grant);
        let explained = if withdrawn.is_some() { register.denied(now) } else { register.denied_early() };
        explained.map_err(|how| ("INV-5", how))
    }

    /// An access that nobody had told of is held against the lists that were already shown.
    fn learn(&mut self, access: AccessTag, grant: GrantTag) -> Result<(), Fault> {
        self.chains.learn(access, grant)?;
        if self.chains.is_intended(&access) {
            return Ok(());
        }
        self.listings.again(self.agreement.ledger(), &self.chains)
    }

    fn end(&mut self, at_ms: u64) -> Result<(), Fault> {
        let ledger = self.agreement.ledger();
        self.listings.again(ledger, &self.chains)?;
        self.summary.recovered = self.recovery.finish(at_ms).map_err(|how| ("recovery", how))?;
        if !self.recovery.is_healed() {
            return Ok(());
        }
        if let Some(told) = self.agreement.unconfirmed() {
            return fault("INV-4", format!("no honest member reached what was told to be final: {told:?}"));
        }
        let rests = [self.listings.unconfirmed(ledger), self.custody.unconfirmed()];
        if let Some(at) = rests.into_iter().flatten().min() {
            return fault("INV-4", format!("no honest member reached {at}, on which a list or share rests"));
        }
        let fallen = self.agreement.fallen_back().next().filter(|_| self.recovery.is_due(at_ms));
        if let Some((member, head, furthest)) = fallen {
            return fault("recovery", format!("member {member} is at {head} and was at {furthest}"));
        }
        self.kept.finish()
    }

    fn honest(&self, member: MemberIndex) -> Result<(), Fault> {
        if self.liars.contains(&member) || member.get() >= self.members {
            return fault("driver", format!("an event of member {member}, which is no honest member"));
        }
        Ok(())
    }

    fn register(&mut self, grant: GrantTag) -> &mut Register {
        self.registers.entry(grant).or_default()
    }
}

fn broken(at_ms: u64, (promise, how): Fault) -> Broken {
    Broken { promise, at_ms, how }
}

fn add(count: &mut u64, more: usize) {
    *count = count.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
}
