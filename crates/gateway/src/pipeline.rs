//! The thin driver of the batch machine: rows out of the queue, fragments to stores, shares to
//! custodians, anchors to the ledger. Every decision is the machine's.

use crate::batch::{Effect, Input, Machine};
use crate::deliveries::Deliveries;
use crate::desk::Clock;
use crate::error::GatewayError;
use crate::registry::Registry;
use crate::stragglers::{PUT_WITHIN, Stragglers};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng};
use salus_client::drive::entropy;
use salus_client::{Consortium, Patience};
use salus_crypto::chain::ChainAnchor;
use salus_link::Caller;
use salus_proof::{Proven, TrustPolicy};
use salus_store::queue::{Queue, QueueError, Reader, Row, RowNumber};
use salus_wire::ids::{BatchNumber, MemberIndex, PartyId};
use salus_wire::rpc::{Put, Request, Response};
use salus_wire::tx::Held;
use salus_wire::{Code, StateKey, Tx};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Answers that the machine has not looked at yet.
const TOLD_MAX: usize = 256;
/// Bytes of frames read from the queue at once.
const READ_BYTES: usize = 512 * 1024;
/// How often the machine looks at the clock.
const TICK: Duration = Duration::from_millis(50);
/// After a failure that is to pass, such as no member to ask.
const REST: Duration = Duration::from_secs(1);
/// Batch numbers looked up at once.
const NUMBERS_AT_ONCE: u64 = 64;

/// What a pipeline works with.
pub(crate) struct Pipeline {
    pub(crate) machine: Machine,
    pub(crate) party: PartyId,
    pub(crate) home: MemberIndex,
    pub(crate) queue: Queue,
    pub(crate) caller: Caller,
    pub(crate) consortium: Consortium,
    pub(crate) policy: TrustPolicy,
    pub(crate) deliveries: Deliveries,
    pub(crate) stragglers: Stragglers,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
}

/// The parts that the tasks of a running pipeline share.
#[derive(Clone)]
struct Hands {
    told: mpsc::Sender<Input>,
    party: PartyId,
    home: MemberIndex,
    queue: Queue,
    caller: Caller,
    consortium: Consortium,
    policy: Arc<TrustPolicy>,
    stragglers: Stragglers,
    /// Whether the ledger was asked which batch numbers it has.
    asked: Arc<AtomicBool>,
}

/// Runs until the queue stops or a deposit cannot be kept.
///
/// # Errors
/// Always, with the reason: nothing may be sealed that could not be kept.
pub(crate) async fn run(
    pipeline: Pipeline,
    reader: Reader,
    mut turns: mpsc::Receiver<ChainAnchor>,
) -> Result<(), GatewayError> {
    let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| GatewayError::Entropy)?;
    let Pipeline {
        mut machine,
        party,
        home,
        queue,
        caller,
        consortium,
        policy,
        deliveries,
        stragglers,
        clock,
        registry,
    } = pipeline;
    let (told, mut inbox) = mpsc::channel(TOLD_MAX);
    let (feed, mut rows) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    for peer in caller.peers() {
        tasks.spawn(deliveries.clone().courier(peer.clone(), told.clone()));
        tasks.spawn(stragglers.clone().courier(peer.clone(), clock));
    }
    let mut reading = JoinSet::new();
    reading.spawn(read(reader, feed));
    let asked = Arc::default();
    let policy = Arc::new(policy);
    let hands = Hands { told, party, home, queue, caller, consortium, policy, stragglers, asked };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let input = tokio::select! {
            Some(input) = inbox.recv() => input,
            Some(grants) = turns.recv() => Input::Turn(grants),
            Some(rows) = rows.recv(), if machine.room() > 0 => Input::Rows(rows),
            _ = ticks.tick() => Input::Tick,
            Some(ended) = reading.join_next() => return ended.map_err(|_| GatewayError::Lost)?,
        };
        for grants in erased(&registry, &input) {
            machine.forget(grants);
        }
        if let Input::Settled { batch, result: Ok(()) } = &input {
            hands.stragglers.is_final(*batch, clock());
        }
        // Sealing is milliseconds of work.
        let work = tokio::task::spawn_blocking(move || {
            let effects = machine.step(input, clock(), &mut rng);
            (machine, rng, effects)
        });
        let (back, random, effects) = work.await.map_err(|_| GatewayError::Lost)?;
        let (effects, random) = keep(&deliveries, effects, random).await?;
        (machine, rng) = (back, random);
        for effect in effects {
            hands.carry_out(effect, &mut tasks);
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// The chains that an input is about and that are erased.
fn erased(registry: &Registry, input: &Input) -> Vec<ChainAnchor> {
    match input {
        Input::Rows(rows) => registry.erased(rows.iter().map(|row| row.arrival.route.grants)),
        Input::Turn(grants) => registry.erased(std::iter::once(*grants)),
        _ => Vec::new(),
    }
}

/// Deposits are durable before anything that they belong to leaves this machine. While the disk has
/// no room everything waits: what devices sent is in the queue, and nothing is sealed.
async fn keep(
    deliveries: &Deliveries,
    mut effects: Vec<Effect>,
    mut rng: StdRng,
) -> Result<(Vec<Effect>, StdRng), GatewayError> {
    let (mut next, mut told) = (0, false);
    loop {
        let deliveries = deliveries.clone();
        let work = tokio::task::spawn_blocking(move || {
            let kept = keep_from(&deliveries, &effects, &mut next, &mut rng);
            (effects, next, rng, kept)
        });
        let (back, reached, random, kept) = work.await.map_err(|_| GatewayError::Lost)?;
        (effects, next, rng) = (back, reached, random);
        match kept {
            Ok(()) => return Ok((effects, rng)),
            Err(error) if error.lacks_room() => {
                if !std::mem::replace(&mut told, true) {
                    let (code, next_step) = (error.code(), error.code().next_step());
                    tracing::error!(%code, %error, next_step, "the disk is full, nothing is sealed for now");
                }
                sleep(REST).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Keeps the deposits among `effects` from the one at `next` on, and moves `next` past what is kept.
fn keep_from(
    deliveries: &Deliveries,
    effects: &[Effect],
    next: &mut usize,
    rng: &mut StdRng,
) -> Result<(), GatewayError> {
    for effect in effects.iter().skip(*next) {
        if let Effect::Deposit { id, deposit, .. } = effect {
            deliveries.keep(*id, deposit, rng)?;
        }
        *next = next.saturating_add(1);
    }
    Ok(())
}

async fn read(mut reader: Reader, feed: mpsc::Sender<Vec<Row>>) -> Result<(), GatewayError> {
    loop {
        let (rows, back) = reader.next(READ_BYTES).await?;
        reader = back;
        if feed.send(rows).await.is_err() {
            return Ok(());
        }
    }
}

impl Hands {
    fn carry_out(&self, effect: Effect, tasks: &mut JoinSet<()>) {
        let hands = self.clone();
        match effect {
            Effect::Reserve => {
                tasks.spawn(async move { hands.reserve().await });
            }
            // Kept already; its courier brings it.
            Effect::Deposit { .. } => {}
            Effect::Put { batch, to, put } => {
                tasks.spawn(async move { hands.put(batch, to, put).await });
            }
            Effect::Anchor { batch, tx } => {
                tasks.spawn(async move { hands.anchor(batch, &tx).await });
            }
            Effect::Done(below) => {
                tasks.spawn(async move { hands.done(below).await });
            }
            Effect::Spoilt(rows) => {
                tracing::error!(rows, "rows of the queue hold no frame any more, the disk damaged them");
            }
        }
    }

    async fn tell(&self, input: Input) {
        // Nobody listens any more when the gateway ends.
        let _ = self.told.send(input).await;
    }

    async fn put(&self, batch: BatchNumber, to: MemberIndex, put: Box<Put>) {
        let request = Request::Put(put);
        let answer = self.ask_store(to, &request).await;
        match (&answer, request) {
            (Ok(_), _) => self.stragglers.held(batch, to),
            (Err(code), Request::Put(put)) => {
                tracing::debug!(%code, store = %to, "a store did not take a batch");
                self.stragglers.failed(*put);
            }
            (Err(_), _) => {}
        }
        self.tell(Input::Held { batch, from: to, answer }).await;
    }

    async fn ask_store(&self, to: MemberIndex, request: &Request) -> Result<Held, Code> {
        let peer = self.caller.peer(to).map_err(|error| error.code())?;
        let mut patience = Patience::new(PUT_WITHIN);
        loop {
            let refusal = match peer.call(request, PUT_WITHIN).await {
                Ok(Response::Held(held)) => return Ok(held),
                Ok(Response::Refused(refusal)) => refusal,
                Ok(_) => return Err(Code::Malformed),
                Err(error) => return Err(error.code()),
            };
            let random = entropy().map_or(0, |mut rng| rng.next_u32());
            match patience.pause(refusal.retry_after_ms, random) {
                Some(pause) => sleep(pause).await,
                None => return Err(refusal.code),
            }
        }
    }

    async fn anchor(&self, batch: BatchNumber, tx: &Tx) {
        // Rows are forgotten on the strength of this, so one member's word is not enough.
        let settled = self.consortium.settle(tx, self.home, &self.policy).await;
        let result = settled.map(drop).map_err(|error| error.code());
        if let Err(code) = &result {
            tracing::warn!(%code, %batch, "an anchor is not final yet");
        }
        self.tell(Input::Settled { batch, result }).await;
    }

    async fn done(&self, below: RowNumber) {
        loop {
            match self.queue.done_below(below).await {
                // The mark waits for room, or rows that are done would fill the disk for ever.
                Err(QueueError::Refused(Code::QueueFull)) => sleep(REST).await,
                Err(error) => {
                    tracing::warn!(%error, "anchored rows could not be marked, they are sealed again after a restart");
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    /// The next batch number that neither this queue nor the ledger has seen: a queue that was set
    /// back to an earlier day would give numbers again, whose old anchors must not pass for new.
    async fn reserve(&self) {
        loop {
            match self.free_number().await {
                Ok(number) => return self.tell(Input::Number(number)).await,
                Err(code) => {
                    tracing::warn!(%code, "no batch number for now");
                    sleep(REST).await;
                }
            }
        }
    }

    async fn free_number(&self) -> Result<BatchNumber, Code> {
        let mut number = self.queue.start_batch().await.map_err(|error| error.code())?;
        while !self.asked.load(Ordering::Relaxed) {
            let taken = self.taken_from(number).await?;
            self.asked.store(taken == 0, Ordering::Relaxed);
            for _ in 0..taken {
                number = self.queue.start_batch().await.map_err(|error| error.code())?;
            }
        }
        Ok(number)
    }

    /// How many of the next numbers, counted from `first`, are up to the last that the ledger has.
    async fn taken_from(&self, first: BatchNumber) -> Result<u64, Code> {
        let until = first.get().saturating_add(NUMBERS_AT_ONCE);
        let keys: Vec<StateKey> =
            (first.get()..until).map(|n| StateKey::Anchor(self.party, BatchNumber::new(n))).collect();
        // Proven, or one member could have all numbers passed over, for ever.
        let state = self.consortium.proven(keys.clone(), self.home, &self.policy).await;
        let state = state.map_err(|error| error.code())?;
        let last = keys.iter().rposition(|key| matches!(state.get(key), Proven::Present(_)));
        Ok(last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last.saturating_add(1)))
    }
}
