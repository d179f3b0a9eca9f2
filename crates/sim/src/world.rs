//! What is there in one world, beyond the lives of its processes.

use crate::clock::age_ms;
use crate::disk::lock;
use crate::gateway::Edge;
use crate::keys::{Cast, MemberKeys, Patient, dice};
use crate::links::{FAIR, Weather};
use crate::member::Seat;
use crate::oracle::{Broken, Oracle, PatientNo, ReadNo, Seen, Setup, Summary};
use crate::plan::{Act, Plan};
use commonware_runtime::deterministic::Context;
use rand::rngs::StdRng;
use salus_wire::{Height, MemberIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// View timeouts: what the members grant a proposer at most.
pub const VIEW_TIMEOUT_MS: u64 = 2_000;

/// Sets the dice of one era apart from those of another.
const ERA: u64 = 1 << 40;

/// Who calls a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The gateway.
    Gateway,
    /// Those who read, and patients.
    People,
}

/// One world.
pub struct World {
    /// Its seed.
    pub seed: u64,
    /// What happens in it.
    pub plan: Plan,
    /// Who there is.
    pub cast: Cast,
    /// The members.
    pub seats: Vec<Seat>,
    /// Those of them that lie.
    pub liars: BTreeSet<MemberIndex>,
    /// The gateway's disk.
    pub edge: Edge,
    /// The patients.
    pub patients: Vec<Mutex<Patient>>,
    /// Dice for everything outside the members.
    pub dice: Mutex<StdRng>,
    roads: Mutex<BTreeMap<(End, MemberIndex), Weather>>,
    oracle: Mutex<Oracle>,
    broken: Mutex<Option<Broken>>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    story: Mutex<Vec<String>>,
    reads: AtomicU32,
    /// Requests made by hand with nothing wrong in them that were answered with shares.
    pub controls: AtomicU64,
    /// Liars whose contradicting votes an honest member holds.
    pub exposed: Mutex<BTreeSet<MemberIndex>>,
    surprises: Mutex<Vec<(u64, Act)>>,
    shown: AtomicU64,
    closed: AtomicBool,
    /// Which life of the whole world this is; the dice of each are its own.
    pub era: AtomicU64,
}

impl World {
    /// A world before its first moment.
    #[must_use]
    pub fn new(seed: u64, plan: Plan) -> Self {
        let cast = Cast::new(seed, plan.members, plan.readers);
        let liars: BTreeSet<MemberIndex> = plan.liars.iter().copied().collect();
        let setup = Setup {
            genesis: cast.genesis.clone(),
            faults: cast.faults,
            liars: liars.clone(),
            view_timeout_ms: VIEW_TIMEOUT_MS,
        };
        let patients = (0..plan.patients).map(|number| Mutex::new(cast.patient(seed, number)));
        Self {
            seed,
            seats: cast.indices().map(|_| Seat::default()).collect(),
            liars,
            edge: Edge::default(),
            patients: patients.collect(),
            dice: Mutex::new(dice(seed, 2)),
            roads: Mutex::default(),
            oracle: Mutex::new(Oracle::new(setup)),
            broken: Mutex::default(),
            faults: Mutex::default(),
            story: Mutex::default(),
            reads: AtomicU32::new(0),
            controls: AtomicU64::new(0),
            exposed: Mutex::default(),
            surprises: Mutex::default(),
            shown: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            era: AtomicU64::new(0),
            plan,
            cast,
        }
    }

    /// A member's place.
    ///
    /// # Panics
    /// For a number that is no member's.
    #[must_use]
    pub fn seat(&self, member: MemberIndex) -> &Seat {
        self.seats.get(usize::from(member.get())).expect("a member")
    }

    /// A member's keys.
    ///
    /// # Panics
    /// For a number that is no member's.
    #[must_use]
    pub fn keys(&self, member: MemberIndex) -> &MemberKeys {
        self.cast.members.get(usize::from(member.get())).expect("a member")
    }

    /// A patient.
    ///
    /// # Panics
    /// For a number that is no patient's.
    #[must_use]
    pub fn patient(&self, patient: PatientNo) -> &Mutex<Patient> {
        self.patients.get(usize::from(patient.0)).expect("a patient")
    }

    /// Dice for one purpose in the present life of the whole world.
    #[must_use]
    pub fn era_dice(&self, purpose: u64) -> StdRng {
        dice(self.seed, purpose + self.era.load(Ordering::Relaxed) * ERA)
    }

    /// The next read's number.
    pub fn read_number(&self) -> ReadNo {
        ReadNo(self.reads.fetch_add(1, Ordering::Relaxed))
    }

    /// Shows the oracle what `member`, or somebody through it, did. What liars do is not shown.
    pub fn see(&self, context: &Context, member: MemberIndex, seen: Seen) {
        if !self.liars.contains(&member) {
            if let Seen::Applied { block, .. } = &seen {
                self.shown.fetch_max(block.block.header.height.get(), Ordering::Relaxed);
            }
            self.tell(context, seen);
        }
    }

    /// The highest block that an honest member was seen to apply.
    #[must_use]
    pub fn shown(&self) -> Height {
        Height::new(self.shown.load(Ordering::Relaxed))
    }

    /// From now on the oracle is only told of blocks.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Shows the oracle what somebody outside the members did.
    pub fn tell(&self, context: &Context, seen: Seen) {
        if self.closed.load(Ordering::Relaxed) && !matches!(seen, Seen::Applied { .. }) {
            return;
        }
        let at = age_ms(context);
        if self.plan.story {
            lock(&self.story).push(format!("{at:>7} {}", short(&seen)));
        }
        if let Err(broken) = lock(&self.oracle).see(at, seen) {
            lock(&self.broken).get_or_insert(broken);
        }
    }

    /// Has something done that is not in the plan, at an age of the world in milliseconds.
    pub fn surprise(&self, at_ms: u64, act: Act) {
        lock(&self.surprises).push((at_ms, act));
    }

    /// What is to be done by now, of that.
    #[must_use]
    pub fn surprises(&self, now_ms: u64) -> Vec<Act> {
        lock(&self.surprises).extract_if(.., |(at, _)| *at <= now_ms).map(|(_, act)| act).collect()
    }

    /// A promise was seen broken by the driver itself.
    pub fn breaks(&self, broken: Broken) {
        lock(&self.broken).get_or_insert(broken);
    }

    /// An honest member holds two votes of `member` that no honest member casts both.
    pub fn accuse(&self, context: &Context, member: MemberIndex) {
        if self.liars.contains(&member) {
            lock(&self.exposed).insert(member);
            return;
        }
        let how = format!("honest member {member} contradicted itself in its votes");
        self.breaks(Broken { promise: "INV-4", at_ms: age_ms(context), how });
    }

    /// The first broken promise.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        lock(&self.broken).clone()
    }

    /// The faults have stopped.
    pub fn healed(&self, context: &Context) {
        lock(&self.oracle).healed(age_ms(context));
    }

    /// How many of a patient's acknowledged readings no complete read has shown yet.
    #[must_use]
    pub fn owed(&self, patient: PatientNo) -> u64 {
        lock(&self.oracle).owed(patient)
    }

    /// The end of the world.
    pub fn finish(&self, at_ms: u64) -> Option<Summary> {
        match lock(&self.oracle).finish(at_ms) {
            Ok(summary) => Some(summary),
            Err(broken) => {
                self.breaks(broken);
                None
            }
        }
    }

    /// Counts a fault that was injected.
    pub fn fault(&self, kind: &'static str) {
        self.fault_times(kind, 1);
    }

    /// Counts a fault that was injected so many times.
    pub fn fault_times(&self, kind: &'static str, times: usize) {
        let mut faults = lock(&self.faults);
        let count = faults.entry(kind).or_default();
        *count = count.saturating_add(u64::try_from(times).unwrap_or(u64::MAX));
    }

    /// The faults so far.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.faults).clone()
    }

    /// Writes a line of the story, if one is told.
    pub fn note(&self, context: &Context, line: impl FnOnce() -> String) {
        if self.plan.story {
            let at = age_ms(context);
            lock(&self.story).push(format!("{at:>7} {}", line()));
        }
    }

    /// The story.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        lock(&self.story).clone()
    }

    /// A member's engine ended by itself.
    pub fn ended(&self, member: MemberIndex, how: Result<(), String>) {
        if self.plan.story {
            lock(&self.story).push(format!("        member {member} ended: {how:?}"));
        }
        // What a disk refused is heard of when it may have room again.
        let refused = self.seat(member).disks.ills.has_refused();
        if !refused && !self.liars.contains(&member) && !self.plan.storage_faults {
            self.breaks(Broken {
                promise: "recovery",
                at_ms: 0,
                how: format!("member {member} ended by itself on a sound disk: {how:?}"),
            });
        }
    }

    /// How the road from `end` to `member` is.
    #[must_use]
    pub fn road(&self, end: End, member: MemberIndex) -> Weather {
        lock(&self.roads).get(&(end, member)).copied().unwrap_or(Weather {
            delay_ms: 3,
            jitter_ms: 2,
            ..FAIR
        })
    }

    /// Changes it.
    pub fn set_road(&self, end: End, member: MemberIndex, weather: Option<Weather>) {
        let mut roads = lock(&self.roads);
        match weather {
            Some(weather) => roads.insert((end, member), weather),
            None => roads.remove(&(end, member)),
        };
    }
}

/// An event in one line.
fn short(seen: &Seen) -> String {
    match seen {
        Seen::Applied { member, life, block } => {
            let header = &block.block.header;
            let (height, txs) = (header.height, block.block.transactions.len());
            format!(
                "member {member} life {life} applied block {height} of {}, {txs} transactions",
                header.proposer
            )
        }
        Seen::Offered { patient, sequence, .. } => format!("patient {} offers {sequence}", patient.0),
        Seen::Read { read, outcome: Ok(outcome) } => {
            format!("read {} gave {} frames at block {}", read.0, outcome.frames.len(), outcome.at)
        }
        other => {
            let text = format!("{other:?}");
            text.chars().take(160).collect()
        }
    }
}
