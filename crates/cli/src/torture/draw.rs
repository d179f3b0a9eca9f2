//! What goes wrong in which round, drawn from a seed and from nothing else, so that a seed repeats it.
//!
//! Kinds come in decks: a deck holds each once, shuffled, so that a short run sees every kind.

use super::links::{Direction, Passage};
use super::trouble::Trouble;
use crate::demo::stage::Process;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// Frames of one burst; the fault falls somewhere into it.
pub(super) const BURST: usize = 20;
/// How long whoever was killed stays away, at most.
const AWAY_MS_MAX: u64 = 1_500;
/// How long a process is frozen.
const FREEZE_MS_MIN: u64 = 1_000;
const FREEZE_MS_MAX: u64 = 10_000;
/// Draws of which the shortest freeze is taken: short ones are common, the longest still come.
const FREEZE_DRAWS: usize = 4;
/// How long links stay bad.
const LINKS_MS_MIN: u64 = 500;
const LINKS_MS_MAX: u64 = 4_000;
/// By how much a slow link is late.
const LATE_MS_MIN: u64 = 50;
const LATE_MS_MAX: u64 = 500;
/// Calls that succeed before a disk gives trouble, at most: of a member, which syncs with every block,
/// and of the gateway, which syncs with every group of frames.
const SKIP_MAX: u32 = 24;
const SKIP_GATEWAY_MAX: u32 = 3;
/// How long a disk has no room, at most.
const FULL_MS_MAX: u64 = 2_000;

/// A kind of fault, by which rounds are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    KillGateway,
    KillMember,
    KillGatewayAndMember,
    KillSeveral,
    KillAll,
    FreezeMember,
    FreezeGateway,
    FreezeTwo,
    CutMembers,
    SilenceMembers,
    SlowMembers,
    CutGateway,
    OneSyncFails,
    DiskFails,
    DiskFull,
}

/// One of each.
const DECK: [Kind; 15] = [
    Kind::KillGateway,
    Kind::KillMember,
    Kind::KillGatewayAndMember,
    Kind::KillSeveral,
    Kind::KillAll,
    Kind::FreezeMember,
    Kind::FreezeGateway,
    Kind::FreezeTwo,
    Kind::CutMembers,
    Kind::SilenceMembers,
    Kind::SlowMembers,
    Kind::CutGateway,
    Kind::OneSyncFails,
    Kind::DiskFails,
    Kind::DiskFull,
];

/// What goes wrong in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, all at once, and a restart after a while.
    Kill { processes: Vec<Process>, away: Duration },
    /// SIGSTOP, and SIGCONT after a while.
    Freeze { processes: Vec<Process>, length: Duration },
    /// Links are bad for a while.
    Links { directions: Vec<Direction>, passage: Passage, length: Duration },
    /// A disk gives trouble, after some more calls that succeed, until its process has ended or for
    /// a while.
    Disk { process: Process, trouble: Trouble, skip: u32, length: Duration },
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) kind: Kind,
    pub(super) fault: Fault,
    /// Frames of the burst that are acknowledged before it begins.
    pub(super) after: usize,
}

/// Draws one round after the other.
pub(super) struct Draws {
    rng: StdRng,
    members: u16,
    deck: Vec<Kind>,
}

impl Kind {
    /// As reports name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillGateway => "kill_gateway",
            Self::KillMember => "kill_member",
            Self::KillGatewayAndMember => "kill_gateway_and_member",
            Self::KillSeveral => "kill_several",
            Self::KillAll => "kill_all",
            Self::FreezeMember => "freeze_member",
            Self::FreezeGateway => "freeze_gateway",
            Self::FreezeTwo => "freeze_two",
            Self::CutMembers => "cut_members",
            Self::SilenceMembers => "silence_members",
            Self::SlowMembers => "slow_members",
            Self::CutGateway => "cut_gateway",
            Self::OneSyncFails => "one_sync_fails",
            Self::DiskFails => "disk_fails",
            Self::DiskFull => "disk_full",
        }
    }
}

impl Draws {
    pub(super) fn new(seed: u64, members: u16) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), members, deck: Vec::new() }
    }

    /// The next round.
    pub(super) fn next(&mut self) -> Draw {
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
            self.deck.shuffle(&mut self.rng);
        }
        let kind = self.deck.pop().unwrap_or(Kind::KillAll);
        Draw { kind, fault: self.fault(kind), after: self.rng.random_range(0..BURST) }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        match kind {
            Kind::KillGateway => self.kill(vec![Process::Gateway]),
            Kind::KillMember => {
                let who = self.some(1);
                self.kill(who)
            }
            Kind::KillGatewayAndMember => {
                let mut who = self.some(1);
                who.push(Process::Gateway);
                self.kill(who)
            }
            Kind::KillSeveral => {
                let count = self.rng.random_range(2..=self.members);
                let who = self.some(count);
                self.kill(who)
            }
            Kind::KillAll => {
                let mut who = self.some(self.members);
                who.push(Process::Gateway);
                self.kill(who)
            }
            Kind::FreezeMember => {
                let who = self.some(1);
                self.freeze(who)
            }
            Kind::FreezeGateway => self.freeze(vec![Process::Gateway]),
            Kind::FreezeTwo => {
                let who = self.some(2);
                self.freeze(who)
            }
            Kind::CutMembers | Kind::SilenceMembers | Kind::SlowMembers | Kind::CutGateway => {
                self.links(kind)
            }
            Kind::OneSyncFails => self.disk(Trouble::OneSync),
            Kind::DiskFails => self.disk(Trouble::Everything),
            Kind::DiskFull => self.disk(Trouble::NoRoom),
        }
    }

    fn kill(&mut self, processes: Vec<Process>) -> Fault {
        Fault::Kill { processes, away: self.span_ms(0, AWAY_MS_MAX) }
    }

    fn freeze(&mut self, processes: Vec<Process>) -> Fault {
        let draws = (0..FREEZE_DRAWS).map(|_| self.span_ms(FREEZE_MS_MIN, FREEZE_MS_MAX));
        let length = draws.min().unwrap_or_default();
        Fault::Freeze { processes, length }
    }

    fn links(&mut self, kind: Kind) -> Fault {
        let (near, far) = if kind == Kind::CutGateway {
            let count = self.rng.random_range(1..=self.members);
            (vec![Process::Gateway], self.some(count))
        } else {
            self.parted()
        };
        let there = near.iter().flat_map(|from| far.iter().map(|to| (*from, *to)));
        let back = near.iter().flat_map(|to| far.iter().map(|from| (*from, *to)));
        let one_way = kind == Kind::SilenceMembers && self.rng.random_range(0..2) == 0;
        let directions = if one_way { there.collect() } else { there.chain(back).collect() };
        let passage = match kind {
            Kind::SilenceMembers => Passage::Silent,
            Kind::SlowMembers => Passage::Late(self.span_ms(LATE_MS_MIN, LATE_MS_MAX)),
            Kind::CutGateway if self.rng.random_range(0..2) == 0 => Passage::Silent,
            _ => Passage::Cut,
        };
        Fault::Links { directions, passage, length: self.span_ms(LINKS_MS_MIN, LINKS_MS_MAX) }
    }

    fn disk(&mut self, trouble: Trouble) -> Fault {
        let any: Vec<Process> =
            (0..self.members).map(Process::Member).chain([Process::Gateway, Process::Gateway]).collect();
        let process = any.choose(&mut self.rng).copied().unwrap_or(Process::Gateway);
        let skip_max = if process == Process::Gateway { SKIP_GATEWAY_MAX } else { SKIP_MAX };
        let skip = self.rng.random_range(0..=skip_max);
        Fault::Disk { process, trouble, skip, length: self.span_ms(LINKS_MS_MIN, FULL_MS_MAX) }
    }

    /// Two sides: two members, one and all others, or a half that has no quorum and the rest.
    fn parted(&mut self) -> (Vec<Process>, Vec<Process>) {
        let mut all = self.some(self.members);
        let near = if self.rng.random_range(0..3) == 0 { usize::from(self.members / 2) } else { 1 };
        let mut far = all.split_off(near.min(all.len()));
        if near == 1 && self.rng.random_range(0..2) == 0 {
            far.truncate(1);
        }
        (all, far)
    }

    /// So many members, in any order.
    fn some(&mut self, count: u16) -> Vec<Process> {
        let mut members: Vec<Process> = (0..self.members).map(Process::Member).collect();
        members.shuffle(&mut self.rng);
        members.truncate(usize::from(count));
        members
    }

    fn span_ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn rounds(seed: u64) -> Vec<Draw> {
        let mut draws = Draws::new(seed, 4);
        (0..DECK.len() * 20).map(|_| draws.next()).collect()
    }

    #[test]
    fn a_seed_repeats_its_rounds_and_another_has_others() {
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_deck_holds_every_kind() {
        let all: BTreeSet<Kind> = DECK.into();
        assert_eq!(all.len(), DECK.len());
        for deck in rounds(1).chunks(DECK.len()) {
            assert_eq!(deck.iter().map(|draw| draw.kind).collect::<BTreeSet<_>>(), all);
        }
    }

    #[test]
    fn lengths_keep_their_bounds_and_kills_reach_everybody() {
        let mut killed = BTreeSet::new();
        for draw in rounds(3) {
            match draw.fault {
                Fault::Kill { processes, away } => {
                    killed.insert(processes.len());
                    assert!(away <= Duration::from_millis(AWAY_MS_MAX));
                }
                Fault::Freeze { processes, length } => {
                    assert!((1..=2).contains(&processes.len()));
                    assert!(
                        (FREEZE_MS_MIN..=FREEZE_MS_MAX).contains(&u64::try_from(length.as_millis()).unwrap())
                    );
                }
                Fault::Links { directions, .. } => {
                    assert!(!directions.is_empty());
                    assert!(directions.iter().all(|(from, to)| from != to));
                }
                Fault::Disk { skip, .. } => assert!(skip <= SKIP_MAX),
            }
        }
        assert_eq!(killed, BTreeSet::from([1, 2, 3, 4, 5]));
    }
}
