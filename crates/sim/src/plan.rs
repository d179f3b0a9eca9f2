//! What happens in a world, and when: drawn from its seed before it begins.

use crate::keys::dice;
use crate::links::{FAIR, Weather};
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

/// An act at its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// When, by the age of the world.
    pub at_ms: u64,
    /// What.
    pub act: Act,
    /// The misfortune that it is a part of.
    pub of: u16,
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
    pub deeds: Vec<Deed>,
    /// When everything is crashed at once, with torn writes, if ever.
    pub blackouts: Vec<u64>,
    /// When all is made well.
    pub calm_ms: u64,
    /// Whether disks of engines may fail.
    pub storage_faults: bool,
    /// Whether those that lie also have a twin each, with the same key.
    pub twins: bool,
    /// Whether they put blocks together that do not hold what they say.
    pub false_blocks: bool,
    /// Whether their custodians give anybody everything, or shares that are none.
    pub colluding: bool,
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
            deeds: Vec::new(),
            blackouts: Vec::new(),
            calm_ms: CALM_FROM_MS,
            storage_faults: false,
            twins: false,
            false_blocks: false,
            colluding: false,
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
            plan.false_blocks = rng.random();
            plan.colluding = rng.random();
        }
        if rng.random_range(0..4) == 0 {
            plan.blackouts.push(rng.random_range(UNQUIET_FROM_MS..CALM_FROM_MS));
        }
        let temper = rng.random_range(0..4_u16);
        for of in 0..temper * 4 {
            let at = rng.random_range(UNQUIET_FROM_MS..CALM_FROM_MS);
            let acts = plan.misfortune(at, &mut rng);
            plan.deeds.extend(acts.into_iter().map(|(at_ms, act)| Deed { at_ms, act, of }));
        }
        plan.deeds.sort_by_key(|deed| deed.at_ms);
        plan
    }

    /// One misfortune and, most often, its end.
    fn misfortune(&self, at: u64, rng: &mut StdRng) -> Vec<(u64, Act)> {
        let one = MemberIndex::new(rng.random_range(0..self.members));
        let end = at + rng.random_range(50..3_000);
        let both = |begin: Act, until: Act| vec![(at, begin), (end, until)];
        let foul = Weather {
            delay_ms: rng.random_range(5..300),
            jitter_ms: rng.random_range(0..100),
            lost: *[50, 200, 500, 1_000].get(rng.random_range(0..4)).unwrap_or(&50),
        };
        match rng.random_range(0..14) {
            0..3 => both(Act::Crash(one), Act::Start(one)),
            3 => {
                let some = self.indices().filter(|_| rng.random());
                some.flat_map(|member| both(Act::Crash(member), Act::Start(member))).collect()
            }
            4 => both(Act::CrashGateway, Act::StartGateway),
            5 => self.partition(at, end, rng),
            6 => self.weather(at, end, foul, rng),
            7 => {
                let who = if rng.random() { End::Gateway } else { End::People };
                both(Act::Road(who, one, Some(foul)), Act::Road(who, one, None))
            }
            8 => {
                let far = *[-60_000, -15_000, -3_000, -400, 400, 3_000, 15_000, 60_000]
                    .get(rng.random_range(0..8))
                    .unwrap_or(&0);
                both(Act::Skew(one, far), Act::Skew(one, 0))
            }
            9 => both(Act::Freeze(one), Act::Thaw(one)),
            10 => both(Act::Full(one, true), Act::Full(one, false)),
            11 => both(Act::Fail(one), Act::Start(one)),
            12 if rng.random() => both(Act::GatewayFail, Act::StartGateway),
            12 => both(Act::GatewayFull(true), Act::GatewayFull(false)),
            // What rots and who lies are at most f members together: beyond that data may be lost.
            _ => vec![(at, Act::Rot(self.liars.first().copied().unwrap_or(MemberIndex::new(0))))],
        }
    }

    fn indices(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0..self.members).map(MemberIndex::new)
    }

    /// Two sides that do not hear each other, or one that is not heard.
    fn partition(&self, at: u64, until: u64, rng: &mut StdRng) -> Vec<(u64, Act)> {
        let cut = Weather { delay_ms: 8, jitter_ms: 0, lost: 1_000 };
        let side: Vec<bool> = self.indices().map(|_| rng.random()).collect();
        let one_way: bool = rng.random();
        let mut acts = Vec::new();
        for (from, here) in self.indices().zip(&side) {
            for (to, there) in self.indices().zip(&side) {
                if here != there && (!one_way || *here) {
                    acts.push((at, Act::Link(from, to, cut)));
                    acts.push((until, Act::Link(from, to, FAIR)));
                }
            }
        }
        acts
    }

    fn weather(&self, at: u64, until: u64, foul: Weather, rng: &mut StdRng) -> Vec<(u64, Act)> {
        let mut acts = Vec::new();
        for from in self.indices() {
            for to in self.indices() {
                if from != to && rng.random() {
                    acts.push((at, Act::Link(from, to, foul)));
                    acts.push((until, Act::Link(from, to, FAIR)));
                }
            }
        }
        acts
    }
}
