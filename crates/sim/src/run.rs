//! One world from its first moment to its last.

use crate::clock::{age_ms, world_ms};
use crate::disk::lock;
use crate::foul;
use crate::gateway;
use crate::keys::START;
use crate::links::{FAIR, Net};
use crate::member::{self, crash, start};
use crate::oracle::{Broken, PatientNo, Summary};
use crate::people;
use crate::plan::{Act, Plan};
use crate::thief;
use crate::world::{End, World};
use commonware_runtime::deterministic::{Config, Context, Runner};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use rand::rngs::StdRng;
use salus_wire::MemberIndex;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// The longest that a world lasts once it is calm.
const SETTLE_WITHIN_MS: u64 = 45_000;
/// For what was applied before the end to be told.
const HEAR_WITHIN_MS: u64 = 1_000;
/// How often the script and the oracle are looked at.
const STEP: Duration = Duration::from_millis(10);

/// What came of a world.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
    /// What was checked.
    pub summary: Option<Summary>,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests made by hand with nothing wrong in them that were answered, and liars whose votes
    /// exposed them: that they are there shows that the foul ones were tried in earnest.
    pub earnest: (u64, u64),
    /// Milliseconds that the world lasted.
    pub lasted_ms: u64,
    /// A hash over everything that the runtime did.
    pub trace: String,
    /// The story, if one was told.
    pub story: Vec<String>,
}

/// How one phase of a world ended.
enum Phase {
    Blackout,
    Over,
}

/// Runs the world of this seed and script. An assertion that fails in it breaks a promise too.
#[must_use]
pub fn run(seed: u64, plan: Plan) -> Outcome {
    match catch_unwind(|| unguarded(seed, plan)) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            let how = text.unwrap_or_else(|| "it did not say".to_owned());
            Outcome { broken: Some(Broken { promise: "assertion", at_ms: 0, how }), ..Outcome::default() }
        }
    }
}

fn unguarded(seed: u64, plan: Plan) -> Outcome {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_millis(START.get());
    let config = Config::new().with_seed(seed).with_start_time(begin).with_cycle(Duration::from_millis(1));
    let world = Arc::new(World::new(seed, plan));
    let mut runner = Runner::new(config.with_catch_panics(false));
    let mut blackouts = world.plan.blackouts.clone();
    blackouts.sort_unstable();
    let mut blackouts = blackouts.into_iter();
    loop {
        let (shared, until) = (Arc::clone(&world), blackouts.next());
        let ((phase, lasted_ms, trace), checkpoint) = runner.start_and_recover(|context| async move {
            let phase = live(&shared, &context, until).await;
            // Nothing of this runtime may outlive it.
            shared.cast.indices().for_each(|index| member::forget(shared.seat(index)));
            gateway::forget(&shared.edge);
            (phase, age_ms(&context), context.auditor().state())
        });
        world.era.fetch_add(1, Ordering::Relaxed);
        match phase {
            Phase::Blackout => {
                world.fault("blackout");
                let mut rng = world.era_dice(4);
                for index in world.cast.indices() {
                    crash(&world, index, &mut rng);
                }
                gateway::crash(&world, &mut rng);
                runner = Runner::from(checkpoint);
            }
            Phase::Over => {
                let summary = if world.broken().is_none() { world.finish(lasted_ms) } else { None };
                let (broken, faults, story) = (world.broken(), world.faults(), world.story());
                let exposed = u64::try_from(lock(&world.exposed).len()).unwrap_or(u64::MAX);
                let earnest = (world.controls.load(Ordering::Relaxed), exposed);
                return Outcome { broken, summary, faults, earnest, lasted_ms, trace, story };
            }
        }
    }
}

async fn live(world: &Arc<World>, context: &Context, until: Option<u64>) -> Phase {
    let net = Net::start(context, &world.cast.genesis).await;
    for index in world.cast.indices() {
        start(world, context, &net, index);
    }
    gateway::start(world, context);
    life_goes_on(world, context);
    let mut rng = world.era_dice(5);
    let since = age_ms(context);
    let mut deeds = world.plan.deeds.iter().filter(|deed| deed.at_ms >= since).peekable();
    loop {
        context.sleep(STEP).await;
        let now = age_ms(context);
        if world.broken().is_some() {
            return Phase::Over;
        }
        if until.is_some_and(|until| now >= until) {
            return Phase::Blackout;
        }
        while let Some(deed) = deeds.next_if(|deed| deed.at_ms <= now) {
            perform(world, context, &net, &deed.act, &mut rng).await;
        }
        for act in world.surprises(now) {
            perform(world, context, &net, &act, &mut rng).await;
        }
        if now >= world.plan.calm_ms {
            calm(world, context, &net, &mut rng).await;
            return Phase::Over;
        }
    }
}

/// Devices, patients and readers. After a blackout, which may have come before everybody was
/// registered, they register again and patients begin new rounds; readings that were not acknowledged
/// are offered again.
fn life_goes_on(world: &Arc<World>, context: &Context) {
    let shared = Arc::clone(world);
    context.child("life").spawn(move |context| async move {
        people::register(&shared, &context).await;
        foul::transactions(&shared, &context);
        for patient in (0..shared.plan.patients).map(PatientNo) {
            people::device(&shared, &context, patient);
            people::consent(&shared, &context, patient);
        }
        std::future::pending::<()>().await;
    });
}

async fn perform(world: &Arc<World>, context: &Context, net: &Net, act: &Act, rng: &mut StdRng) {
    world.note(context, || format!("{act:?}"));
    if let Some(kind) = kind(act) {
        world.fault(kind);
    }
    match act {
        Act::Crash(index) => crash(world, *index, rng),
        Act::Start(index) => restart(world, context, net, *index, rng),
        Act::CrashGateway => gateway::crash(world, rng),
        Act::StartGateway => {
            if world.edge.ills.failing.load(Ordering::Relaxed) || !world.edge.is_up() {
                gateway::crash(world, rng);
                gateway::start(world, context);
            }
        }
        Act::Link(from, to, weather) => net.set(*from, *to, *weather).await,
        Act::Road(end, member, weather) => world.set_road(*end, *member, *weather),
        Act::Rot(index) => {
            if world.seat(*index).disks.rot(rng).await {
                world.fault("rotten fragment");
            }
        }
        other => trouble(world, context, other),
    }
}

/// Clocks and disks.
fn trouble(world: &World, context: &Context, act: &Act) {
    match act {
        Act::Skew(index, ahead) => world.seat(*index).skew.ahead_ms.store(*ahead, Ordering::Relaxed),
        Act::Freeze(index) => {
            world.seat(*index).skew.frozen_at.store(world_ms(context), Ordering::Relaxed);
        }
        Act::Thaw(index) => world.seat(*index).skew.frozen_at.store(0, Ordering::Relaxed),
        Act::Full(index, full) => world.seat(*index).disks.ills.full.store(*full, Ordering::Relaxed),
        Act::Fail(index) => world.seat(*index).disks.ills.failing.store(true, Ordering::Relaxed),
        Act::GatewayFull(full) => world.edge.ills.full.store(*full, Ordering::Relaxed),
        Act::GatewayFail => world.edge.ills.failing.store(true, Ordering::Relaxed),
        _ => {}
    }
}

/// Starts a member that is not at work, or whose disk fails until it has restarted.
fn restart(world: &Arc<World>, context: &Context, net: &Net, index: MemberIndex, rng: &mut StdRng) {
    let failing = world.seat(index).disks.ills.failing.load(Ordering::Relaxed);
    if failing || lock(&world.seat(index).life).is_none() {
        crash(world, index, rng);
        start(world, context, net, index);
    }
}

/// What a fault is called; nothing for what ends one, and for what may come to nothing.
fn kind(act: &Act) -> Option<&'static str> {
    match act {
        Act::Crash(_) => Some("crash"),
        Act::CrashGateway => Some("gateway crash"),
        Act::Link(_, _, weather) if *weather == FAIR => None,
        Act::Link(_, _, weather) => Some(if weather.lost >= 1_000 { "cut link" } else { "foul link" }),
        Act::Road(_, _, Some(_)) => Some("foul road"),
        Act::Skew(_, ahead) => (*ahead != 0).then_some("clock jump"),
        Act::Freeze(_) => Some("clock stopped"),
        Act::Full(_, full) => full.then_some("full disk"),
        Act::Fail(_) => Some("failing disk"),
        Act::GatewayFull(full) => full.then_some("full gateway"),
        Act::GatewayFail => Some("failing gateway"),
        Act::Start(_) | Act::StartGateway | Act::Road(_, _, None) | Act::Thaw(_) | Act::Rot(_) => None,
    }
}

/// Makes everything well, and sees to it that it becomes so.
async fn calm(world: &Arc<World>, context: &Context, net: &Net, rng: &mut StdRng) {
    for one in world.cast.indices() {
        perform(world, context, net, &Act::Skew(one, 0), rng).await;
        perform(world, context, net, &Act::Thaw(one), rng).await;
        perform(world, context, net, &Act::Full(one, false), rng).await;
        for end in [End::Gateway, End::People] {
            world.set_road(end, one, None);
        }
        for other in world.cast.indices().filter(|other| *other != one) {
            net.set(one, other, FAIR).await;
        }
        perform(world, context, net, &Act::Start(one), rng).await;
    }
    world.edge.ills.full.store(false, Ordering::Relaxed);
    perform(world, context, net, &Act::StartGateway, rng).await;
    world.healed(context);
    let settled = Arc::new(std::sync::atomic::AtomicU16::new(0));
    for patient in (0..world.plan.patients).map(PatientNo) {
        let (world, settled) = (Arc::clone(world), Arc::clone(&settled));
        context.child("settle").with_attribute("patient", patient.0).spawn(move |context| async move {
            people::settle(&world, &context, patient).await;
            settled.fetch_add(1, Ordering::Relaxed);
        });
    }
    let since = age_ms(context);
    loop {
        context.sleep(STEP).await;
        let waited = age_ms(context).saturating_sub(since);
        let done = settled.load(Ordering::Relaxed) == world.plan.patients;
        if world.broken().is_some() {
            return;
        }
        if done && all_at_one_height(world) {
            thief::steal(world, context).await;
            hear_out(world, context).await;
            return;
        }
        if waited > SETTLE_WITHIN_MS {
            let how =
                format!("{} ms after the last fault not everything is well: {}", waited, standing(world));
            world.breaks(Broken { promise: "recovery", at_ms: age_ms(context), how });
            return;
        }
    }
}

/// Has nothing more told but of blocks, until it was told of all that an honest member has applied: a share
/// that it gave in the last moment may rest on one.
async fn hear_out(world: &World, context: &Context) {
    world.close();
    let furthest = honest(world).filter_map(|index| member::height(world.seat(index))).max();
    let since = age_ms(context);
    while Some(world.shown()) < furthest && age_ms(context).saturating_sub(since) < HEAR_WITHIN_MS {
        context.sleep(STEP).await;
    }
}

fn all_at_one_height(world: &World) -> bool {
    let heights: Vec<_> =
        honest(world).map(|index| member::height(world.seat(index)).map(salus_wire::Height::get)).collect();
    let least = heights.iter().min().copied().flatten();
    let most = heights.iter().max().copied().flatten();
    least.is_some() && most.zip(least).is_some_and(|(most, least)| most - least <= 2)
}

fn honest(world: &World) -> impl Iterator<Item = MemberIndex> {
    world.cast.indices().filter(|index| !world.liars.contains(index))
}

fn standing(world: &World) -> String {
    let of = |index| format!("{index}: {:?}", member::height(world.seat(index)).map(salus_wire::Height::get));
    world.cast.indices().map(of).collect::<Vec<_>>().join(", ")
}
