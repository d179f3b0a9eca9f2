//! The gateway: the product's queue and batch machines on a disk that outlives its crashes.

use crate::clock::{age_ms, world_ms};
use crate::disk::{Ills, lock};
use crate::keys::{dice, signing};
use crate::oracle::Broken;
use crate::queue_disk::QueueDisk;
use crate::road::Caller;
use crate::world::{End, World};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Handle as Task, Spawner as _, Supervisor as _};
use futures::future::{Either, select};
use rand::RngExt;
use rand::rngs::StdRng;
use salus_client::Consortium;
use salus_client::drive::Ground;
use salus_gateway::Members;
use salus_gateway::batch::{self, DepositId, Effect as BatchEffect, Input as BatchInput};
use salus_proof::Proven;
use salus_store::queue::file::{Scanned, scan};
use salus_store::queue::machine::{Effect, Input, Machine, Reply, Ticket};
use salus_store::queue::row::Record;
use salus_store::queue::{Arrival, Limits, Row, RowNumber};
use salus_wire::release::Deposit;
use salus_wire::rpc::{Put, Request, Response};
use salus_wire::tx::Held;
use salus_wire::{BatchNumber, Blob, Code, List, Locator, MemberIndex, StateKey, TimeMs, Tx};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// For a store to take a batch, and a custodian a deposit.
const TAKE_WITHIN: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_millis(500);
/// Events that wait for the gateway; there are never so many in a world.
const EVENTS_MAX: usize = 65_536;
/// Milliseconds between batches.
const CADENCE_MS: u64 = 250;
/// Batch numbers looked up at once.
const NUMBERS_AT_ONCE: u64 = 16;
/// Small, so that files are begun and deleted in every world.
const LIMITS: Limits = Limits { bytes_max: 400_000, file_bytes_max: 4_000 };
const HOME: MemberIndex = MemberIndex::new(0);

/// What a device is told.
pub type Told = oneshot::Sender<Result<(), Code>>;

/// What outlives the gateway's crashes, and the way in.
#[derive(Default)]
pub struct Edge {
    disk: Mutex<QueueDisk>,
    deposits: Mutex<BTreeMap<u64, Waiting>>,
    /// The random bytes of every segment that was sealed, and the first one's locator.
    seals: Mutex<BTreeMap<[u8; 32], Locator>>,
    /// What is wrong with its disk.
    pub ills: Ills,
    lives: AtomicU32,
    door: Mutex<Option<mpsc::Sender<Event>>>,
    root: Mutex<Option<Task<()>>>,
}

/// A deposit that its custodian has not taken.
struct Waiting {
    to: MemberIndex,
    /// Who waits for it: a life, and its own number there.
    id: (u32, DepositId),
    deposit: Deposit,
}

enum Event {
    Frame(Box<Arrival>, Told),
    Batch(BatchInput),
    Taken(BatchNumber, Option<u64>),
    Again,
}

impl Edge {
    /// Brings a frame in; says what the device is told, or nothing when the gateway is away.
    pub async fn offer(&self, arrival: Arrival) -> Option<Result<(), Code>> {
        let (told, answer) = oneshot::channel();
        let door = lock(&self.door).clone()?;
        door.try_send(Event::Frame(Box::new(arrival), told)).ok()?;
        answer.await.ok()
    }

    /// Whether a gateway is at work.
    #[must_use]
    pub fn is_up(&self) -> bool {
        lock(&self.door).is_some()
    }
}

/// Starts the gateway.
pub fn start(world: &Arc<World>, context: &Context) {
    let life = world.edge.lives.fetch_add(1, Ordering::Relaxed);
    let context = context.child("gateway").with_attribute("life", life);
    let shared = Arc::clone(world);
    let root = context.spawn(move |context| async move {
        let (door, events) = mpsc::channel(EVENTS_MAX);
        let Some(gateway) = Gateway::open(&shared, Arc::new(context), life, door.clone()) else { return };
        *lock(&shared.edge.door) = Some(door);
        gateway.run(events).await;
        lock(&shared.edge.door).take();
    });
    *lock(&world.edge.root) = Some(root);
}

/// Cuts the gateway off in the middle of whatever it does.
pub fn crash(world: &World, rng: &mut StdRng) {
    if let Some(root) = lock(&world.edge.root).take() {
        root.abort();
    }
    lock(&world.edge.door).take();
    lock(&world.edge.disk).crash(rng);
    world.edge.ills.failing.store(false, Ordering::Relaxed);
}

/// Lets go of everything that belongs to a runtime.
pub fn forget(edge: &Edge) {
    lock(&edge.root).take();
    lock(&edge.door).take();
}

enum Asked {
    Frame(Told),
    Number,
    Done,
}

struct Gateway {
    world: Arc<World>,
    context: Arc<Context>,
    life: u32,
    door: mpsc::Sender<Event>,
    queue: Machine,
    batches: batch::Machine,
    rng: StdRng,
    asked: BTreeMap<Ticket, Asked>,
    tickets: u64,
    read: RowNumber,
    checked: bool,
    inputs: VecDeque<BatchInput>,
    owed: Arc<Mutex<VecDeque<Put>>>,
    ground: Arc<Caller>,
    consortium: Consortium,
}

impl Gateway {
    fn open(world: &Arc<World>, context: Arc<Context>, life: u32, door: mpsc::Sender<Event>) -> Option<Self> {
        let cast = &world.cast;
        let mut queue = Machine::new(Arc::clone(&cast.gateway_machine), LIMITS);
        if let Err(how) = recover(world, &mut queue) {
            world.breaks(Broken { promise: "INV-1", at_ms: age_ms(&context), how });
            return None;
        }
        let members = Members {
            chain: cast.chain,
            faults: cast.faults,
            service_keys: cast.service_keys(),
            custodians: cast.genesis.members.iter().map(|member| member.custodian.clone()).collect(),
        };
        let key = signing(cast.gateway_key);
        let (cadence_ms, anchors) = (CADENCE_MS, batch::Anchors::WhenNeeded);
        let setup = batch::Setup { members, gateway: cast.gateway, key, cadence_ms, anchors };
        let purpose = 100 + u64::from(life);
        let ground = Caller::new(world, context.child("road"), End::Gateway, cast.gateway, purpose + 100_000);
        let ground = Arc::new(ground);
        let gateway = Self {
            read: queue.done_below(),
            batches: batch::Machine::new(setup),
            rng: dice(world.seed, purpose),
            asked: BTreeMap::new(),
            tickets: 0,
            checked: false,
            inputs: VecDeque::new(),
            owed: Arc::default(),
            consortium: Consortium::on(ground.clone()),
            ground,
            world: Arc::clone(world),
            context,
            life,
            door,
            queue,
        };
        for member in cast.indices() {
            gateway.courier(member);
        }
        gateway.straggler();
        Some(gateway)
    }

    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        loop {
            match select(Box::pin(events.recv()), Box::pin(self.context.sleep(TICK))).await {
                Either::Left((Some(event), _)) => self.take(event),
                Either::Left((None, _)) => return,
                Either::Right(_) => self.inputs.push_back(BatchInput::Tick),
            }
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
            if self.flush().await.is_err() {
                return;
            }
            self.read_rows();
            while let Some(input) = self.inputs.pop_front() {
                let now = TimeMs::new(world_ms(&self.context));
                let effects = self.batches.step(input, now, &mut self.rng);
                effects.into_iter().for_each(|effect| self.carry_out(effect));
                if self.flush().await.is_err() {
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Frame(arrival, told) => {
                self.ask(Asked::Frame(told), |ticket| Input::Append(ticket, arrival))
            }
            Event::Batch(input) => {
                self.world.note(&self.context, || format!("gateway hears {}", heard(&input)));
                self.inputs.push_back(input);
            }
            Event::Taken(first, Some(0)) => {
                self.checked = true;
                self.inputs.push_back(BatchInput::Number(first));
            }
            // Numbers that the ledger has already are passed over, one by one.
            Event::Taken(_, Some(_)) => self.ask(Asked::Number, Input::StartBatch),
            Event::Taken(first, None) => self.look_up(first, REST),
            Event::Again => self.ask(Asked::Number, Input::StartBatch),
        }
    }

    fn ask(&mut self, asked: Asked, input: impl FnOnce(Ticket) -> Input) {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.asked.insert(ticket, asked);
        let effects = self.queue.step(input(ticket), &mut self.rng);
        effects.into_iter().for_each(|effect| self.reply(effect));
    }

    fn reply(&mut self, effect: Effect) {
        let Effect::Reply(ticket, reply) = effect else { return };
        match (self.asked.remove(&ticket), reply) {
            (Some(Asked::Frame(told)), Reply::Durable(_)) => drop(told.send(Ok(()))),
            (Some(Asked::Frame(told)), Reply::Refused(code)) => drop(told.send(Err(code))),
            (Some(Asked::Number), Reply::Started(number)) if self.checked => {
                self.inputs.push_back(BatchInput::Number(number));
            }
            (Some(Asked::Number), Reply::Started(number)) => self.look_up(number, Duration::ZERO),
            (Some(Asked::Number), _) => {
                let (door, context) = (self.door.clone(), Arc::clone(&self.context));
                self.spawn(async move {
                    context.sleep(REST).await;
                    let _ = door.try_send(Event::Again);
                });
            }
            _ => {}
        }
    }

    /// Has the queue write what it has gathered; an error ends the gateway.
    async fn flush(&mut self) -> Result<(), ()> {
        let mut next = Some(Input::Flush);
        while let Some(input) = next.take() {
            for effect in self.queue.step(input, &mut self.rng) {
                if matches!(effect, Effect::Reply(..)) {
                    self.reply(effect);
                    continue;
                }
                let room_may_lack = matches!(effect, Effect::Create(_) | Effect::Write { .. });
                let synced = matches!(effect, Effect::Sync(_));
                if synced {
                    let late = Duration::from_millis(self.rng.random_range(0..3));
                    self.context.sleep(late).await;
                }
                let ills = &self.world.edge.ills;
                if ills.failing.load(Ordering::Relaxed) {
                    ills.hits.fetch_add(1, Ordering::Relaxed);
                    let effects = self.queue.step(Input::Failed, &mut self.rng);
                    effects.into_iter().for_each(|effect| self.reply(effect));
                    return Err(());
                }
                if room_may_lack && ills.full.load(Ordering::Relaxed) {
                    ills.hits.fetch_add(1, Ordering::Relaxed);
                    next = Some(Input::DiskFull);
                    break;
                }
                lock(&self.world.edge.disk).carry_out(effect);
                if synced {
                    next = Some(Input::Synced);
                }
            }
        }
        Ok(())
    }

    /// Brings durable rows to the batches, each once, as they stand on the disk.
    fn read_rows(&mut self) {
        let below = self.queue.durable_below();
        if self.read >= below || self.batches.room() == 0 {
            return;
        }
        let mut rows: Vec<Row> = Vec::new();
        let disk = lock(&self.world.edge.disk);
        for (number, file) in disk.0.iter().filter(|(_, file)| !file.deleted) {
            if let Scanned::Intact { records, .. } =
                scan(&self.world.cast.gateway_machine, *number, &file.live)
            {
                rows.extend(records.into_iter().filter_map(|record| match record {
                    Record::Row(row) if row.number >= self.read && row.number < below => Some(row),
                    _ => None,
                }));
            }
        }
        drop(disk);
        if let Some(last) = rows.last() {
            self.read = last.number.next();
            self.inputs.push_back(BatchInput::Rows(rows));
        }
    }

    fn carry_out(&mut self, effect: BatchEffect) {
        self.world.note(&self.context, || format!("gateway: {}", told(&effect)));
        match effect {
            BatchEffect::Reserve => self.ask(Asked::Number, Input::StartBatch),
            BatchEffect::Deposit { id, to, deposit } => {
                let mut deposits = lock(&self.world.edge.deposits);
                let place = deposits.last_key_value().map_or(0, |(place, _)| place + 1);
                deposits.insert(place, Waiting { to, id: (self.life, id), deposit: *deposit });
            }
            BatchEffect::Put { batch, to, put } => {
                self.fresh(&put);
                self.spoil(to, &put);
                self.put(batch, to, *put);
            }
            BatchEffect::Anchor { batch, tx } => self.anchor(batch, *tx),
            BatchEffect::Done(below) => self.ask(Asked::Done, |ticket| Input::DoneBelow(ticket, below)),
            BatchEffect::Spoilt(rows) => self.world.breaks(Broken {
                promise: "INV-1",
                at_ms: age_ms(&self.context),
                how: format!("{rows} rows of the queue hold no frame"),
            }),
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.context.child("hand").spawn(move |_| work);
    }

    /// No two segments are ever sealed with the same random bytes, under whatever key.
    fn fresh(&self, put: &Put) {
        let mut seals = lock(&self.world.edge.seals);
        for segment in put.segments.iter() {
            let manifest = &segment.manifest;
            let first = *seals.entry(manifest.seal_random).or_insert(manifest.locator);
            if first != manifest.locator {
                let how = "two segments were sealed with the same random bytes".to_owned();
                self.world.breaks(Broken { promise: "INV-2", at_ms: age_ms(&self.context), how });
            }
        }
    }

    /// Now and then a store is brought the batch with a bit of a fragment flipped first.
    fn spoil(&self, to: MemberIndex, put: &Put) {
        if lock(&self.world.dice).random_range(0..30) > 0 {
            return;
        }
        let mut segments = put.segments.to_vec();
        let Some(segment) = segments.first_mut() else { return };
        let mut bytes = segment.fragment.to_vec();
        if let Some(byte) = bytes.first_mut() {
            *byte ^= 1;
        }
        segment.fragment = Blob::new(bytes).expect("as long as before");
        let put = Put { segments: List::new(segments).expect("as many as before"), ..put.clone() };
        self.world.fault("spoilt fragment");
        let (world, ground, context) =
            (Arc::clone(&self.world), Arc::clone(&self.ground), Arc::clone(&self.context));
        self.spawn(async move {
            let answer = ask_store(&ground, to, &Request::Put(Box::new(put))).await;
            if answer.is_ok() && !world.liars.contains(&to) {
                let how = format!("store {to} promised to hold a fragment that is not the manifest's");
                world.breaks(Broken { promise: "INV-6", at_ms: age_ms(&context), how });
            }
        });
    }

    fn put(&self, batch: BatchNumber, to: MemberIndex, put: Put) {
        let (door, ground, owed) = (self.door.clone(), Arc::clone(&self.ground), Arc::clone(&self.owed));
        self.spawn(async move {
            let request = Request::Put(Box::new(put));
            let answer = ask_store(&ground, to, &request).await;
            if let (Err(_), Request::Put(put)) = (&answer, request) {
                lock(&owed).push_back(*put);
            }
            let _ = door.try_send(Event::Batch(BatchInput::Held { batch, from: to, answer }));
        });
    }

    /// Brings what stores did not take at first, again and again.
    fn straggler(&self) {
        let (owed, ground, context) =
            (Arc::clone(&self.owed), Arc::clone(&self.ground), Arc::clone(&self.context));
        self.spawn(async move {
            loop {
                context.sleep(REST).await;
                let Some(put) = lock(&owed).pop_front() else { continue };
                let to = put.store;
                let request = Request::Put(Box::new(put));
                let answer = ask_store(&ground, to, &request).await;
                if let (Err(_), Request::Put(put)) = (answer, request) {
                    lock(&owed).push_back(*put);
                }
            }
        });
    }

    fn anchor(&self, batch: BatchNumber, tx: Tx) {
        let (door, consortium, world) = (self.door.clone(), self.consortium.clone(), Arc::clone(&self.world));
        self.spawn(async move {
            let settled = consortium.settle(&tx, HOME, &world.cast.policy).await;
            let result = settled.map(drop).map_err(|error| error.code());
            let _ = door.try_send(Event::Batch(BatchInput::Settled { batch, result }));
        });
    }

    fn look_up(&self, first: BatchNumber, later: Duration) {
        let (door, consortium, context) =
            (self.door.clone(), self.consortium.clone(), Arc::clone(&self.context));
        let (party, world) = (self.world.cast.gateway, Arc::clone(&self.world));
        self.spawn(async move {
            context.sleep(later).await;
            let until = first.get() + NUMBERS_AT_ONCE;
            let keys: Vec<StateKey> =
                (first.get()..until).map(|n| StateKey::Anchor(party, BatchNumber::new(n))).collect();
            let taken = match consortium.proven(keys.clone(), HOME, &world.cast.policy).await {
                Ok(state) => {
                    let last = keys.iter().rposition(|key| matches!(state.get(key), Proven::Present(_)));
                    Some(last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last + 1))
                }
                Err(_) => None,
            };
            let _ = door.try_send(Event::Taken(first, taken));
        });
    }

    /// Brings deposits to one custodian for ever.
    fn courier(&self, to: MemberIndex) {
        let (world, ground, context) =
            (Arc::clone(&self.world), Arc::clone(&self.ground), Arc::clone(&self.context));
        let (door, life) = (self.door.clone(), self.life);
        self.spawn(async move {
            let mut after = 0;
            loop {
                let next = {
                    let deposits = lock(&world.edge.deposits);
                    let mine = |waiting: &&Waiting| waiting.to == to;
                    let found = deposits.range(after..).find(|(_, waiting)| mine(waiting));
                    found.map(|(place, waiting)| (*place, waiting.id, waiting.deposit.clone()))
                };
                let Some((place, id, deposit)) = next else {
                    after = 0;
                    context.sleep(TICK).await;
                    continue;
                };
                let request = Request::Deposit(Box::new(deposit));
                match ground.call(to, &request, TAKE_WITHIN).await {
                    Some(Response::Deposited) => {
                        lock(&world.edge.deposits).remove(&place);
                        if id.0 == life {
                            let input = BatchInput::Deposited { deposit: id.1, from: to };
                            let _ = door.try_send(Event::Batch(input));
                        }
                    }
                    _ => {
                        after = place + 1;
                        context.sleep(REST).await;
                    }
                }
            }
        });
    }
}

async fn ask_store(ground: &Caller, to: MemberIndex, request: &Request) -> Result<Held, Code> {
    match ground.call(to, request, TAKE_WITHIN).await {
        Some(Response::Held(held)) => Ok(held),
        Some(Response::Refused(refusal)) => Err(refusal.code),
        Some(_) => Err(Code::Malformed),
        None => Err(Code::Unreachable),
    }
}

/// An input in a few words.
fn heard(input: &BatchInput) -> String {
    match input {
        BatchInput::Held { batch, from, answer } => {
            format!(
                "of batch {batch} from {from}: {:?}",
                answer.as_ref().map(|_| "held").map_err(|code| *code)
            )
        }
        BatchInput::Deposited { deposit, from } => format!("deposit {} taken by {from}", deposit.0),
        BatchInput::Settled { batch, result } => format!("anchor of batch {batch}: {result:?}"),
        BatchInput::Rows(rows) => format!("{} rows", rows.len()),
        BatchInput::Tick | BatchInput::Turn(_) | BatchInput::Number(_) => "a number or a tick".to_owned(),
    }
}

/// An effect in a few words.
fn told(effect: &BatchEffect) -> String {
    match effect {
        BatchEffect::Reserve => "reserve a number".to_owned(),
        BatchEffect::Deposit { id, to, .. } => format!("deposit {} to {to}", id.0),
        BatchEffect::Put { batch, to, .. } => format!("put batch {batch} to {to}"),
        BatchEffect::Anchor { batch, .. } => format!("anchor batch {batch}"),
        BatchEffect::Done(below) => format!("done below {}", below.get()),
        BatchEffect::Spoilt(rows) => format!("{rows} rows spoilt"),
    }
}

/// What the driver of the queue does at start.
fn recover(world: &World, queue: &mut Machine) -> Result<(), String> {
    let mut disk = lock(&world.edge.disk);
    let last = disk.0.keys().next_back().copied();
    let mut gone = Vec::new();
    for (number, file) in &mut disk.0 {
        let torn_allowed = Some(*number) == last;
        match scan(&world.cast.gateway_machine, *number, &file.live) {
            Scanned::Intact { records, intact } if intact == file.live.len() || torn_allowed => {
                file.live.truncate(intact);
                file.synced.clone_from(&file.live);
                queue.recover(*number, u64::try_from(intact).unwrap_or(u64::MAX), records);
            }
            Scanned::NeverBegun if torn_allowed => {
                gone.push(*number);
                queue.skip(*number);
            }
            other => return Err(format!("the queue's file {number} is damaged: {}", name(&other))),
        }
    }
    gone.iter().for_each(|number| drop(disk.0.remove(number)));
    for effect in queue.trim() {
        if let Effect::Delete(number) = effect {
            disk.0.remove(&number);
        }
    }
    Ok(())
}

const fn name(scanned: &Scanned) -> &'static str {
    match scanned {
        Scanned::Intact { .. } => "a torn tail in the middle",
        Scanned::NeverBegun => "never begun",
        Scanned::Damaged { .. } => "damaged",
    }
}
