//! What a run has done so far: what it reports when it ends, when it is interrupted, and when a promise
//! was broken.

use super::draw::Kind;
use super::round::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// See the head of this module.
pub(super) struct Tally {
    seed: u64,
    members: u16,
    started: Instant,
    pub(super) rounds: u32,
    kinds: BTreeMap<Kind, u32>,
    /// Rounds in which a disk gave trouble and nobody called it.
    missed: u32,
    recoveries: Vec<Duration>,
    pub(super) acknowledged: usize,
    pub(super) read: usize,
    pub(super) withdrawn: usize,
    pub(super) blocks: u64,
    pub(super) roots: u64,
    pub(super) interrupted: bool,
}

impl Tally {
    pub(super) fn new(seed: u64, members: u16) -> Self {
        Self {
            seed,
            members,
            started: Instant::now(),
            rounds: 0,
            kinds: BTreeMap::new(),
            missed: 0,
            recoveries: Vec::new(),
            acknowledged: 0,
            read: 0,
            withdrawn: 0,
            blocks: 0,
            roots: 0,
            interrupted: false,
        }
    }

    /// Counts a round.
    pub(super) fn count(&mut self, kind: Kind, outcome: &Outcome) {
        self.rounds = self.rounds.saturating_add(1);
        let count = self.kinds.entry(kind).or_default();
        *count = count.saturating_add(1);
        self.missed = self.missed.saturating_add(u32::from(!outcome.hit));
        self.recoveries.push(outcome.recovery);
    }

    /// How long it has been.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The command that draws the same rounds.
    pub(super) fn again(&self) -> String {
        let rounds = self.rounds.saturating_add(1);
        format!("salus torture --seed {} --rounds {rounds} --members {}", self.seed, self.members)
    }

    /// For programs. `broken` is what broke, if anything.
    pub(super) fn value(&self, broken: Option<&str>) -> Value {
        let kinds: BTreeMap<&str, u32> =
            self.kinds.iter().map(|(kind, count)| (kind.name(), *count)).collect();
        json!({
            "seed": self.seed,
            "members": self.members,
            "build": if cfg!(debug_assertions) { "development" } else { "release" },
            "rounds": self.rounds,
            "faults": kinds,
            "faults_that_met_nothing": self.missed,
            "acknowledged": self.acknowledged,
            "read": self.read,
            // Before everything was read back nobody knows.
            "lost": broken.is_none().then(|| self.acknowledged.saturating_sub(self.read)),
            "withdrawn_grants_refused": self.withdrawn,
            "blocks_compared": self.blocks,
            "state_roots_compared": self.roots,
            "recovery_ms_p50": self.recovery_ms(50),
            "recovery_ms_max": self.recovery_ms(100),
            "seconds": self.elapsed().as_secs(),
            "interrupted": self.interrupted,
            "broken": broken,
        })
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { rounds, seed, acknowledged, read, withdrawn, blocks, roots, missed, .. } = self;
        let kinds: Vec<String> =
            self.kinds.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
        let cut = if self.interrupted { ", interrupted" } else { "" };
        vec![
            format!(
                "{rounds} rounds, seed {seed}{cut}: {acknowledged} frames acknowledged, none lost, {read} read"
            ),
            format!("  faults: {}; {missed} of a disk met nothing", kinds.join(", ")),
            format!("  {blocks} blocks the same at all members, {roots} state roots compared"),
            format!("  {withdrawn} withdrawn grants refused"),
            format!(
                "  well again after {} ms (p50), {} ms (max); {} s in all",
                self.recovery_ms(50),
                self.recovery_ms(100),
                self.elapsed().as_secs()
            ),
        ]
    }

    fn recovery_ms(&self, percent: usize) -> u128 {
        let mut sorted = self.recoveries.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = last.saturating_mul(percent) / 100;
        sorted.get(at).map_or(0, Duration::as_millis)
    }
}
