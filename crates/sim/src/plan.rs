//! What happens in a world, and when: drawn from its seed before it begins.

use crate::keys::dice;
use crate::links::Weather;
use crate::world::End;
use rand::RngExt;
use rand::rngs::StdRng;
use salus_wire::{Faults, MemberIndex};

/// When the first fault can come.
const UNQUIET_FROM_MS: u64 = 1_500;
/// When the last has come.
const CALM_FROM_MS: u64 = 8_000;

/// Something that is done to the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A member is cut off in the middle of what it does.
    Crash(MemberIndex),
    /// It begins again, if it is not at work.
    Start(MemberIndex),
    /// The gateway is cut off.
    CrashGateway,
    /// It begins again.
    StartGateway,
    /// The weather on a link between members changes, in one direction.
    Link(MemberIndex, MemberIndex, Weather),
    /// The road from gateways or people to a member changes; `None` is fair.
    Road(End, MemberIndex, Option<Weather>),
    /// A member's clock jumps so many milliseconds ahead of the world's, or behind.
    Skew(MemberIndex, i64),
    /// A member's clock stands still.
    Freeze(MemberIndex),
    /// It goes on from the world's time.
    Thaw(MemberIndex),
    /// A member's disk has no room, or has room again.
    Full(MemberIndex, bool),
    /// A member's disk fails at the next write; the member restarts some time later.
    Fail(MemberIndex),
    /// The gateway's disk has no room, or has room again.
    GatewayFull(bool),
    /// The gateway's disk fails at the next write.
    GatewayFail,
    /// A bit of a fragment flips at rest.
    Rot(MemberIndex),
}

/// A world's script.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Members.
    pub members: u16,
    /// Those that lie.
    pub liars: Vec<MemberIndex>,
    /// Patients, each with a device.
    pub patients: u16,
    /// People who read.
    pub readers: u16,
    /// Readings of each device.
    pub frames: u16,
    /// Milliseconds between them, about.
    pub frame_ms: u64,
    /// Grants of each patient, one after the other.
    pub rounds: u16,
    /// Reads under each grant, in each of two lanes.
    pub reads: u16,
    /// What is done, and when; ascending.
    pub acts: Vec<(u64, Act)>,
    /// When everything is crashed at once, with torn writes, if ever.
    pub blackouts: Vec<u64>,
    /// When all is made well.
    pub calm_ms: u64,
    /// Whether disks of engines may fail.
    pub storage_faults: bool,
    /// Whether those that lie also have a twin each, with the same key.
    pub twins: bool,
    /// Whether members are cut off just after they record a refusal.
    pub sudden: bool,
    /// Whether a story is told.
    pub story: bool,
}

impl Plan {
    /// The script of this seed.
    ///
    /// # Panics
    /// For no members.
    #[must_use]
    pub fn draw(seed: u64, members: u16) -> Self {
        let mut rng = dice(seed, 3);
        let faults = Faults::for_members(usize::from(members)).expect("members");
        let mut plan = Self {
            members,
            liars: Vec::new(),
            patients: rng.random_range(1..=2),
            readers: 2,
            frames: rng.random_range(8..=24),
            frame_ms: rng.random_range(80..=400),
            rounds: rng.random_range(1..=3),
            reads: rng.random_range(1..=3),
            acts: Vec::new(),
            blackouts: Vec::new(),
            calm_ms: CALM_FROM_MS,
            storage_faults: false,
            twins: false,
            sudden: rng.random_range(0..3) == 0,
            story: false,
        };
        // A world in five has liars, as many as may be.
        if rng.random_range(0..5) == 0 {
            let mut all: Vec<MemberIndex> = (0..members).map(MemberIndex::new).collect();
            for _ in 0..faults.tolerated() {
                plan.liars.push(all.swap_remove(rng.random_range(0..all.len())));
            }
            plan.twins = rng.random();
        }
        if rng.random_range(0..4) == 0 {
            plan.blackouts.push(rng.random_range(UNQUIET_FROM_MS..CALM_FROM_MS));
        }
        let temper = rng.random_range(0..4_u16);
        for _ in 0..temper * 4 {
            let at = rng.random_range(UNQUIET_FROM_MS..CALM_FROM_MS);
            plan.misfortune(at, &mut rng);
        }
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    /// One misfortune and, most often, its end.
    fn misfortune(&mut self, at: u64, rng: &mut StdRng) {
        let one = MemberIndex::new(rng.random_range(0..self.members));
        let end = at + rng.random_range(50..3_000);
        let foul = Weather {
            delay_ms: rng.random_range(5..300),
            jitter_ms: rng.random_range(0..100),
            lost: *[50, 200, 500, 1_000].get(rng.random_range(0..4)).unwrap_or(&50),
        };
        match rng.random_range(0..14) {
            0..3 => self.both(at, Act::Crash(one), end, Act::Start(one)),
            3 => {
                for member in (0..self.members).map(MemberIndex::new) {
                    if rng.random() {
                        self.both(at, Act::Crash(member), end, Act::Start(member));
                    }
                }
            }
            4 => self.both(at, Act::CrashGateway, end, Act::StartGateway),
            5 => self.partition(at, end, rng),
            6 => self.weather(at, end, foul, rng),
            7 => {
                let who = if rng.random() { End::Gateway } else { End::People };
                self.both(at, Act::Road(who, one, Some(foul)), end, Act::Road(who, one, None));
            }
            8 => {
                let far = *[-60_000, -15_000, -3_000, -400, 400, 3_000, 15_000, 60_000]
                    .get(rng.random_range(0..8))
                    .unwrap_or(&0);
                self.both(at, Act::Skew(one, far), end, Act::Skew(one, 0));
            }
            9 => self.both(at, Act::Freeze(one), end, Act::Thaw(one)),
            10 => self.both(at, Act::Full(one, true), end, Act::Full(one, false)),
            11 => self.both(at, Act::Fail(one), end, Act::Start(one)),
            12 if rng.random() => self.both(at, Act::GatewayFail, end, Act::StartGateway),
            12 => self.both(at, Act::GatewayFull(true), end, Act::GatewayFull(false)),
            _ => {
                // What rots and who lies are at most f members together: beyond that data may be lost.
                let rotten = self.liars.first().copied().unwrap_or(MemberIndex::new(0));
                self.acts.push((at, Act::Rot(rotten)));
            }
        }
    }

    fn both(&mut self, at: u64, begin: Act, until: u64, end: Act) {
        self.acts.push((at, begin));
        self.acts.push((until, end));
    }

    /// Two sides that do not hear each other, or one that is not heard.
    fn partition(&mut self, at: u64, until: u64, rng: &mut StdRng) {
        let cut = Weather { delay_ms: 8, jitter_ms: 0, lost: 1_000 };
        let side: Vec<bool> = (0..self.members).map(|_| rng.random()).collect();
        let one_way: bool = rng.random();
        for (from, here) in (0..self.members).map(MemberIndex::new).zip(&side) {
            for (to, there) in (0..self.members).map(MemberIndex::new).zip(&side) {
                if here != there && (!one_way || *here) {
                    let fair = crate::links::FAIR;
                    self.both(at, Act::Link(from, to, cut), until, Act::Link(from, to, fair));
                }
            }
        }
    }

    fn weather(&mut self, at: u64, until: u64, foul: Weather, rng: &mut StdRng) {
        for from in (0..self.members).map(MemberIndex::new) {
            for to in (0..self.members).map(MemberIndex::new) {
                if from != to && rng.random() {
                    let fair = crate::links::FAIR;
                    self.both(at, Act::Link(from, to, foul), until, Act::Link(from, to, fair));
                }
            }
        }
    }
}
