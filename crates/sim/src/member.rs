//! One member: its engine and its roles on disks that outlive them, started and crashed at will.

use crate::clock::{Skew, age_ms, clock, sleeper};
use crate::disk::{Disks, LogFile, Objects, Tree, lock};
use crate::false_tree::Lies;
use crate::keys::{dice, signing};
use crate::links::{Net, Simulated, links};
use crate::oracle::Seen;
use crate::plan::Act;
use crate::world::World;
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Handle as Task, Spawner as _, Supervisor as _};
use commonware_utils::NZUsize;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_engine::host::Links;
use salus_engine::{Handle, Pacing, Watch, WatchFailed, host};
use salus_node::custodian::Custodian;
use salus_node::deposits::Deposits;
use salus_node::door::Door;
use salus_node::emergency::Emergency;
use salus_node::keeper::Keeper;
use salus_node::limits::Gates;
use salus_node::office::{Office, Timers, read_from};
use salus_node::refusals::{RefusalBook, Writer};
use salus_store::journal::RECORD_BYTES_MAX;
use salus_store::{Disk, Emergencies, Fragments, Journal, Shares};
use salus_wire::{GrantTag, Height, List, MemberIndex, StateProof, decode};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

/// The longest that a store takes to write an object.
const SLOWEST_WRITE: Duration = Duration::from_millis(4);

/// After which a liar that ended by its own lies is back.
const BACK_MS: u64 = 100;

/// Slots of a new index of digests, and of queues: small ones are made quickly, and the index doubles
/// within a world.
const INDEX_SLOTS: u32 = 64;
const MAILBOX_SLOTS: NonZeroUsize = NZUsize!(64);

/// How blocks are paced in every world.
#[must_use]
pub fn pacing() -> Pacing {
    Pacing {
        heartbeat: Duration::from_millis(500),
        gather: Duration::from_millis(5),
        slack: Duration::from_millis(400),
    }
}

/// What outlives a member's crashes.
#[derive(Default)]
pub struct Seat {
    /// Its disks.
    pub disks: Disks,
    /// Its clock.
    pub skew: Arc<Skew>,
    /// How often it was started.
    pub lives: AtomicU32,
    /// Its present life.
    pub life: Mutex<Option<Life>>,
    /// What it proved when it was first asked, by the request; for one that lies.
    pub proven: Mutex<BTreeMap<Vec<u8>, StateProof>>,
    /// Everything that runs for it, this life's or the last one's.
    root: Mutex<Option<Task<()>>>,
}

/// A member at work.
#[derive(Clone)]
pub struct Life {
    /// Which.
    pub number: u32,
    /// What answers calls.
    pub door: Arc<Door>,
    /// The key shares that its custodian holds.
    pub shares: Arc<Shares>,
    /// Calls are answered under this, so that they end with the life.
    pub calls: Arc<Context>,
}

/// Hears of revocations, has their refusal recorded, and tells the oracle.
struct Ear {
    world: Arc<World>,
    member: MemberIndex,
    context: Arc<Context>,
    book: Arc<RefusalBook>,
}

impl Watch for Ear {
    fn before_vote(&self, revoked: Vec<GrantTag>) -> BoxFuture<'_, Result<(), WatchFailed>> {
        Box::pin(async move {
            self.book.before_vote(revoked.clone()).await?;
            self.world.see(
                &self.context,
                self.member,
                Seen::MayVote { member: self.member, grants: revoked },
            );
            self.tempt_fate();
            Ok(())
        })
    }

    fn before_apply(&self, revoked: &[GrantTag]) {
        self.book.before_apply(revoked);
    }
}

impl Ear {
    /// In some worlds a member is cut off just after it has recorded a refusal, and is back before
    /// the withdrawal is final for it.
    fn tempt_fate(&self) {
        let (within, back) = {
            let mut dice = lock(&self.world.dice);
            (dice.random_range(0..20), dice.random_range(20..200))
        };
        let now = age_ms(&self.context);
        if self.world.plan.sudden && now < self.world.plan.calm_ms && within < 10 {
            self.world.surprise(now + within, Act::Crash(self.member));
            self.world.surprise(now + within + back, Act::Start(self.member));
        }
    }
}

/// Starts a member. It is at work some time later.
pub fn start(world: &Arc<World>, context: &Context, net: &Net, member: MemberIndex) {
    let seat = world.seat(member);
    let number = seat.lives.fetch_add(1, Ordering::Relaxed);
    let context =
        context.child("member").with_attribute("index", member.get()).with_attribute("life", number);
    let (world, net) = (Arc::clone(world), net.clone());
    let root = context.spawn(move |context| async move {
        let timers = context.child("end");
        let ended = live(&world, context, &net, member, number).await;
        // One that lied to itself about a block that it had to apply goes on lying in another life.
        if lies_about_blocks(&world, member) {
            world.surprise(age_ms(&timers) + BACK_MS, Act::Start(member));
        }
        world.ended(member, ended);
    });
    *lock(&seat.root) = Some(root);
}

/// Cuts a member off in the middle of whatever it does.
pub fn crash(world: &World, member: MemberIndex, rng: &mut StdRng) {
    let seat = world.seat(member);
    if let Some(root) = lock(&seat.root).take() {
        root.abort();
    }
    lock(&seat.life).take();
    seat.disks.crash(rng);
}

/// Lets go of everything that belongs to a runtime.
pub fn forget(seat: &Seat) {
    lock(&seat.root).take();
    lock(&seat.life).take();
}

async fn live(
    world: &Arc<World>,
    context: Context,
    net: &Net,
    member: MemberIndex,
    number: u32,
) -> Result<(), String> {
    let seat = world.seat(member);
    let keys = world.keys(member);
    let timers = Arc::new(context.child("timers"));
    let (time, sleep) = (clock(Arc::clone(&timers), Arc::clone(&seat.skew)), sleeper(Arc::clone(&timers)));
    let log = LogFile { log: Arc::clone(&seat.disks.refusals), ills: Arc::clone(&seat.disks.ills) };
    let journal = Journal::on(Path::new("refusals"), Box::new(log)).map_err(|error| error.to_string())?;
    world.see(&timers, member, Seen::Recalled { member, grants: recalled(&journal.1) });
    let book = Arc::new(RefusalBook::over(journal, Writer::Here).map_err(|error| error.to_string())?);
    let disk = |fragments| disk(&seat.disks, fragments, &sleep);
    let fragments = Fragments::over(disk(true)).await.map_err(|error| error.to_string())?;
    let machine = || MachineKey::new(Secret::from_bytes(keys.machine));
    let shares = Shares::over(disk(false), machine()).await;
    let shares = Arc::new(shares.map_err(|error| error.to_string())?);
    let kept = Emergencies::over(disk(false), machine());
    let ear = Ear { world: Arc::clone(world), member, context: Arc::clone(&timers), book: Arc::clone(&book) };
    let genesis = world.cast.genesis.clone();
    let who = host::Member::new(genesis, member, &keys.consensus, pacing(), Arc::new(ear))
        .map_err(|error| error.to_string())?;
    let twins = world.plan.twins && world.liars.contains(&member);
    let (links, other) = links(net, &context, &who.public_key(), twins).await;
    if twins {
        twin(world, &context, other, member);
    }
    let runtime = context.child("engine");
    let (_stop, stopped) = oneshot::channel();
    let tree = Tree::open(&seat.disks, lies(world, member, number));
    let footprint = footprint(format!("m{}-", member.get()));
    let host = host::Host { runtime, footprint, clock: Arc::clone(&time), links, tree };
    let open = |engine: Handle| {
        let office = Arc::new(Office {
            chain: world.cast.chain,
            me: member,
            faults: world.cast.faults,
            service: signing(keys.service),
            read: read_from(engine.clone()),
            clock: time,
            entropy: entropy(world.seed, member, number),
            timers: sleep,
        });
        let kem = Arc::new(KemSecretKey::from_seed(Secret::from_bytes(keys.custodian)));
        let emergency = Arc::new(Emergency::new(Arc::clone(&office), Arc::clone(&kem), kept));
        let door = Arc::new(Door {
            keeper: Keeper::new(Arc::clone(&office), fragments),
            deposits: Deposits::new(Arc::clone(&office), kem, Arc::clone(&shares)),
            custodian: Custodian::new(Arc::clone(&office), Arc::clone(&shares), book, Arc::clone(&emergency)),
            emergency,
            eraser: None,
            activity: None,
            recovery: None,
            gates: Gates::default(),
            office,
            engine: engine.clone(),
        });
        // It may hold blocks that it was cut off before showing: those are shown now.
        let height = engine.head().height.min(world.shown());
        world.see(&timers, member, Seen::Restarted { member, life: number, height });
        follow(world, &context, engine, member, number, height);
        *lock(&seat.life) = Some(Life { number, door, shares, calls: Arc::new(context.child("calls")) });
    };
    let result = host::run(host, who, open, stopped).await;
    lock(&seat.life).take();
    result.map_err(|error| error.to_string())
}

/// The refusals in a journal's records, each of them a list of grants.
fn recalled(records: &[Vec<u8>]) -> Vec<GrantTag> {
    let grants = |record: &Vec<u8>| decode::<List<GrantTag, RECORD_BYTES_MAX>>(record, RECORD_BYTES_MAX);
    records.iter().filter_map(|record| grants(record).ok()).flat_map(List::into_vec).collect()
}

/// A second mind with the member's key. It is heard by its own side of the others, proposes and votes
/// as it sees fit, and forgets everything when the member is cut off.
fn twin(world: &Arc<World>, context: &Context, links: Links<Simulated>, member: MemberIndex) {
    let runtime = context.child("twin");
    let time = clock(Arc::new(context.child("twin_timers")), Arc::default());
    let number = world.seat(member).lives.load(Ordering::Relaxed);
    let footprint = footprint(format!("t{}-{number}-", member.get()));
    let tree = Tree::open(&Disks::default(), None);
    let host = host::Host { runtime, footprint, clock: time, links, tree };
    let (genesis, key) = (world.cast.genesis.clone(), &world.keys(member).consensus);
    let who = host::Member::new(genesis, member, key, pacing(), Arc::new(Careless)).expect("its own key");
    world.fault("twin");
    context.child("twin_life").spawn(move |_| async move {
        let (_stop, stopped) = oneshot::channel();
        let _ = host::run(host, who, drop, stopped).await;
    });
}

/// Records nothing.
struct Careless;

impl Watch for Careless {
    fn before_vote(&self, _: Vec<GrantTag>) -> BoxFuture<'_, Result<(), WatchFailed>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn before_apply(&self, _: &[GrantTag]) {}
}

/// What the state tree of this life lies about, if its member puts false blocks together.
fn lies(world: &Arc<World>, member: MemberIndex, life: u32) -> Option<Arc<Lies>> {
    let purpose = 2_000_000 + u64::from(member.get()) * 10_000 + u64::from(life);
    lies_about_blocks(world, member)
        .then(|| Arc::new(Lies::new(Arc::clone(world), dice(world.seed, purpose))))
}

fn lies_about_blocks(world: &World, member: MemberIndex) -> bool {
    world.plan.false_blocks && world.liars.contains(&member)
}

fn footprint(prefix: String) -> host::Footprint {
    host::Footprint { prefix, index_slots: INDEX_SLOTS, mailbox_slots: MAILBOX_SLOTS }
}

fn disk(disks: &Disks, fragments: bool, sleep: &Timers) -> Disk {
    let kept = if fragments { &disks.fragments } else { &disks.shares };
    let (kept, ills) = (Arc::clone(kept), Arc::clone(&disks.ills));
    Disk::over(Arc::new(Objects { kept, ills, sleep: Arc::clone(sleep), slowest: SLOWEST_WRITE }))
}

fn entropy(seed: u64, member: MemberIndex, life: u32) -> salus_node::office::Entropy {
    let purpose = 1_000_000 + u64::from(member.get()) * 10_000 + u64::from(life);
    let rng = Mutex::new(dice(seed, purpose));
    Arc::new(move || Some(StdRng::from_seed(lock(&rng).random())))
}

/// Tells the oracle of every block that the member applies.
fn follow(
    world: &Arc<World>,
    context: &Context,
    engine: Handle,
    member: MemberIndex,
    life: u32,
    shown: Height,
) {
    let mut blocks = engine.follow();
    let world = Arc::clone(world);
    let mut told = shown;
    context.child("observer").spawn(move |context| async move {
        loop {
            for accused in engine.accused() {
                world.accuse(&context, accused);
            }
            // What was missed is in the archive.
            while let Some(height) = told.next().filter(|height| *height <= engine.head().height) {
                let Ok(Some(block)) = engine.block(height).await else { break };
                told = height;
                world.see(&context, member, Seen::Applied { member, life, block });
            }
            match blocks.recv().await {
                Ok(block) if Some(block.block.header.height) == told.next() => {
                    told = block.block.header.height;
                    world.see(&context, member, Seen::Applied { member, life, block });
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// The height at which a member stands, if it is at work.
#[must_use]
pub fn height(seat: &Seat) -> Option<Height> {
    lock(&seat.life).as_ref().map(|life| life.door.engine.head().height)
}
