//! From durable rows to an anchor: the batch machine.
//!
//! # Specification
//! Rows are taken in the order of the queue. A batch is a run of them, gathered into segments of one
//! stream each, sealed under live epoch keys, put to every store, and anchored. In this order:
//!
//! 1. the batch's number is durably taken (a crash never leads to a number used twice);
//! 2. shares of every new epoch key go to all custodians, fragments to all stores;
//! 3. once n - f custodians hold shares of every epoch in the batch, and n - f stores signed
//!    [`Held`], *and every earlier batch is final*, the anchor is submitted;
//! 4. once it is final, the queue's rows below its end are done (INV-1).
//!
//! Anchors are final in order, because segments of an epoch are numbered without gaps over batches
//! and a reader stops at the first number that is absent: a later batch must not count as kept while
//! an earlier one might be lost.
//!
//! Whether and when anchors come shows how busy a gateway is. With [`Anchors::Always`] there is a batch at every tick
//! of the cadence: one of nothing ([`salus_fragment::seal_nothing`]) when no row waits, which is put and anchored like
//! any other and of which nobody has a key. Rows do not begin a batch then, ticks do. When a whole batch waits before
//! its tick, keeping goes first: it is begun at once, and seen.
//!
//! A batch that cannot be put or anchored is tried again for ever with the same bytes; the queue
//! fills up behind it and then refuses devices, which keep what was not acknowledged. After a crash,
//! rows that are not done are sealed again under new keys and a new number; if the old anchor became
//! final after all, readers find the readings twice and show them once.
//!
//! Pure: time and randomness are arguments, effects are values.

use crate::epochs::{Epochs, Members};
use crate::segments::{self, Piece, Sealed};
use rand_core::CryptoRng;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::merkle;
use salus_crypto::sign::SigningKey;
use salus_fragment::seal_nothing;
use salus_planted::{Bug, is};
use salus_store::queue::{Row, RowNumber};
use salus_wire::ids::{BatchNumber, MemberIndex, PartyId, TimeMs};
use salus_wire::limits::BATCH_SEGMENTS_MAX;
use salus_wire::manifest::{Geometry, held_message};
use salus_wire::release::Deposit;
use salus_wire::rpc::{Put, PutSegment, put_message};
use salus_wire::tx::Held;
use salus_wire::{Blob, Code, List, Tx, TxBody, namespaces};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Batches under way at once; further rows wait in the queue.
pub const BATCHES_MAX: usize = 4;
/// Rows of one batch.
pub const BATCH_ROWS_MAX: usize = 16_384;
/// What the rows of one batch may count, by [`salus_clinical::segment::cost`].
pub const BATCH_COST_MAX: usize = 4 * 1024 * 1024;
/// Milliseconds after which a silent or failing store is tried again.
const RETRY_MS: u64 = 1_000;

/// A deposit of key shares, counted by this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DepositId(pub u64);

/// What happened.
pub enum Input {
    /// Rows from the queue, in order, each once.
    Rows(Vec<Row>),
    /// Time passed.
    Tick,
    /// A store answered a put.
    Held {
        /// Of which batch.
        batch: BatchNumber,
        /// Which store.
        from: MemberIndex,
        /// Its receipt, or why there is none.
        answer: Result<Held, Code>,
    },
    /// A custodian holds a deposit durably.
    Deposited {
        /// Which deposit.
        deposit: DepositId,
        /// Which custodian.
        from: MemberIndex,
    },
    /// The ledger answered an anchor.
    Settled {
        /// Of which batch.
        batch: BatchNumber,
        /// Whether it is final.
        result: Result<(), Code>,
    },
    /// The keys of this grant chain must not be used for anything from now on.
    Turn(ChainAnchor),
    /// A batch number, durably taken.
    Number(BatchNumber),
}

/// What to do, in this order.
pub enum Effect {
    /// Take the next batch number durably and say which it is.
    Reserve,
    /// Keep this deposit durably and bring it to the custodian until it is taken.
    Deposit {
        /// Comes back with the answer.
        id: DepositId,
        /// To whom.
        to: MemberIndex,
        /// What.
        deposit: Box<Deposit>,
    },
    /// Bring this to the store, once.
    Put {
        /// Comes back with the answer.
        batch: BatchNumber,
        /// To whom.
        to: MemberIndex,
        /// What.
        put: Box<Put>,
    },
    /// Order this transaction, once.
    Anchor {
        /// Comes back with the answer.
        batch: BatchNumber,
        /// What.
        tx: Box<Tx>,
    },
    /// Every row below is anchored.
    Done(RowNumber),
    /// Rows that cannot be sealed: their bytes are no frame any more, which only a disk that lies
    /// can cause.
    Spoilt(usize),
}

/// Who the gateway is and to whom it brings.
pub struct Setup {
    /// The consortium.
    pub members: Members,
    /// The gateway's registered id.
    pub gateway: PartyId,
    /// Its registered key.
    pub key: SigningKey,
    /// Milliseconds between batches.
    pub cadence_ms: u64,
    /// At which ticks of that cadence there is one.
    pub anchors: Anchors,
}

/// When a gateway anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// At each tick of its cadence at which there is something.
    WhenNeeded,
    /// At each tick, so that anchors do not show when there is something.
    Always,
}

/// See the head of this module.
pub struct Machine {
    setup: Setup,
    epochs: Epochs,
    waiting: VecDeque<Row>,
    last_batch: TimeMs,
    number: Reserved,
    next_deposit: DepositId,
    under_way: VecDeque<Batch>,
    /// Chains for which nothing is sealed any more; one for each order that this process has heard of.
    erased: BTreeSet<ChainAnchor>,
}

struct Batch {
    number: BatchNumber,
    /// The first row that is in no batch yet; 0 when this one took none.
    below: RowNumber,
    root: Digest,
    puts: BTreeMap<MemberIndex, Put>,
    retry_at: BTreeMap<MemberIndex, TimeMs>,
    held: BTreeMap<MemberIndex, Held>,
    /// Deposits that this batch waits for, with the custodians that took them.
    deposits: BTreeMap<DepositId, BTreeSet<MemberIndex>>,
    anchor: Anchoring,
}

/// The number of the next batch.
#[derive(Clone, Copy)]
enum Reserved {
    None,
    Asked,
    Number(BatchNumber),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchoring {
    Waiting,
    Submitted,
    RetryAt(TimeMs),
    Final,
}

impl Machine {
    /// A machine that has sealed nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            epochs: Epochs::default(),
            waiting: VecDeque::new(),
            last_batch: TimeMs::default(),
            number: Reserved::None,
            next_deposit: DepositId(0),
            under_way: VecDeque::new(),
            erased: BTreeSet::new(),
        }
    }

    /// How many rows it can take now; none while the frames of a whole batch wait.
    #[must_use]
    pub fn room(&self) -> usize {
        let bytes: usize = self.waiting.iter().map(|row| row.arrival.frame.len()).sum();
        if bytes >= BATCH_COST_MAX { 0 } else { BATCH_ROWS_MAX.saturating_sub(self.waiting.len()) }
    }

    /// Whether everything it was given is anchored.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Drops every row of a chain that is erased, those that come later too, and its keys.
    pub fn forget(&mut self, grants: ChainAnchor) {
        self.epochs.turn(grants);
        self.erased.insert(grants);
    }

    /// Takes what happened and says what to do.
    pub fn step(&mut self, input: Input, now: TimeMs, rng: &mut impl CryptoRng) -> Vec<Effect> {
        let paced = matches!(input, Input::Tick | Input::Number(_));
        match input {
            Input::Rows(rows) => self.waiting.extend(rows),
            Input::Tick => {}
            Input::Held { batch, from, answer } => self.held(batch, from, answer, now),
            Input::Deposited { deposit, from } => self.deposited(deposit, from),
            Input::Settled { batch, result } => self.settled(batch, result, now),
            Input::Turn(grants) => self.epochs.turn(grants),
            Input::Number(number) => self.number = Reserved::Number(number),
        }
        let mut effects = Vec::new();
        self.finish(&mut effects);
        self.retry(now, &mut effects);
        self.anchor(now, &mut effects);
        if paced || self.setup.anchors == Anchors::WhenNeeded || self.room() == 0 {
            self.begin(now, rng, &mut effects);
        }
        effects
    }

    fn held(&mut self, number: BatchNumber, from: MemberIndex, answer: Result<Held, Code>, now: TimeMs) {
        let Setup { members, gateway, .. } = &self.setup;
        let Some(batch) = self.under_way.iter_mut().find(|batch| batch.number == number) else { return };
        let good = answer.ok().filter(|held| {
            let message = held_message(members.chain, *gateway, number, batch.root, from);
            let key = members.service_keys.get(usize::from(from.get()));
            held.store == from
                && key.is_some_and(|key| key.verify(namespaces::HELD, &message, &held.signature).is_ok())
        });
        match good {
            Some(held) => {
                batch.held.insert(from, held);
                batch.puts.remove(&from);
                batch.retry_at.remove(&from);
            }
            None => {
                batch.retry_at.insert(from, now.plus_ms(RETRY_MS));
            }
        }
    }

    fn deposited(&mut self, deposit: DepositId, from: MemberIndex) {
        for batch in &mut self.under_way {
            if let Some(taken) = batch.deposits.get_mut(&deposit) {
                taken.insert(from);
            }
        }
    }

    fn settled(&mut self, number: BatchNumber, result: Result<(), Code>, now: TimeMs) {
        let Some(batch) = self.under_way.iter_mut().find(|batch| batch.number == number) else { return };
        batch.anchor = match result {
            Ok(()) => Anchoring::Final,
            Err(_) => Anchoring::RetryAt(now.plus_ms(RETRY_MS)),
        };
    }

    fn finish(&mut self, effects: &mut Vec<Effect>) {
        let done = |batch: &Batch| {
            batch.anchor == Anchoring::Final
                || (is(Bug::DoneAtSubmission) && batch.anchor == Anchoring::Submitted)
        };
        while self.under_way.front().is_some_and(done) {
            if let Some(batch) = self.under_way.pop_front()
                && batch.below > RowNumber::default()
            {
                effects.push(Effect::Done(batch.below));
            }
        }
    }

    fn retry(&mut self, now: TimeMs, effects: &mut Vec<Effect>) {
        for batch in &mut self.under_way {
            let due: Vec<MemberIndex> =
                batch.retry_at.iter().filter(|(_, at)| **at <= now).map(|(store, _)| *store).collect();
            for to in due {
                batch.retry_at.remove(&to);
                if let Some(put) = batch.puts.get(&to) {
                    effects.push(Effect::Put { batch: batch.number, to, put: Box::new(put.clone()) });
                }
            }
        }
    }

    /// Submits the anchor of the first batch that is not final, once it may be.
    fn anchor(&mut self, now: TimeMs, effects: &mut Vec<Effect>) {
        let quorum = usize::from(self.setup.members.faults.quorum());
        let Some(batch) = self.under_way.front_mut() else { return };
        let due = match batch.anchor {
            Anchoring::Waiting => true,
            Anchoring::RetryAt(at) => at <= now,
            Anchoring::Submitted | Anchoring::Final => false,
        };
        let deposited = batch.deposits.values().all(|taken| taken.len() >= quorum);
        if !due || !deposited || batch.held.len() < quorum {
            return;
        }
        let Ok(held) = List::new(batch.held.values().copied().collect()) else { return };
        let Setup { members, gateway, key, .. } = &self.setup;
        let body = TxBody::Anchor { gateway: *gateway, batch: batch.number, root: batch.root, held };
        batch.anchor = Anchoring::Submitted;
        let tx = Box::new(Tx::sign(members.chain, body, key));
        effects.push(Effect::Anchor { batch: batch.number, tx });
    }

    /// Begins the next batch when the cadence says so, or when a whole one waits.
    fn begin(&mut self, now: TimeMs, rng: &mut impl CryptoRng, effects: &mut Vec<Effect>) {
        let due = now.since_ms(self.last_batch) >= self.setup.cadence_ms || self.room() == 0;
        let wanted = !self.waiting.is_empty() || self.setup.anchors == Anchors::Always;
        if !wanted || self.under_way.len() >= BATCHES_MAX || !due {
            return;
        }
        match self.number {
            Reserved::None => {
                self.number = Reserved::Asked;
                effects.push(Effect::Reserve);
            }
            Reserved::Asked => {}
            Reserved::Number(number) => {
                self.number = Reserved::None;
                self.last_batch = self.tick(now);
                self.seal(number, now, rng, effects);
            }
        }
    }

    /// From when the cadence counts on. With anchors at every tick these are at equal distances, however long a number
    /// or a row was waited for: at a pace that follows the rows they would tell of them again.
    fn tick(&self, now: TimeMs) -> TimeMs {
        let since_ms = now.since_ms(self.last_batch);
        let over_ms = since_ms.checked_rem(self.setup.cadence_ms).unwrap_or(0);
        match self.setup.anchors {
            Anchors::Always if self.last_batch > TimeMs::default() => {
                self.last_batch.plus_ms(since_ms.saturating_sub(over_ms))
            }
            Anchors::Always | Anchors::WhenNeeded => now,
        }
    }

    fn seal(
        &mut self,
        number: BatchNumber,
        now: TimeMs,
        rng: &mut impl CryptoRng,
        effects: &mut Vec<Effect>,
    ) {
        let taken = segments::take(&mut self.waiting, &self.erased);
        if taken.spoilt > 0 {
            effects.push(Effect::Spoilt(taken.spoilt));
        }
        let mut sealed = Vec::new();
        let mut pieces = VecDeque::from(taken.pieces);
        while let Some(piece) = pieces.pop_front() {
            match self.seal_piece(&piece, now, rng) {
                Some(segment) => sealed.push(segment),
                None => pieces.extend(piece.halves()),
            }
        }
        if sealed.is_empty() && self.setup.anchors == Anchors::Always {
            sealed.extend(self.seal_nothing(rng));
        }
        let deposits = self.deposit(rng, effects);
        let batch = self.assemble(number, taken.below, deposits, sealed);
        for (to, put) in &batch.puts {
            effects.push(Effect::Put { batch: number, to: *to, put: Box::new(put.clone()) });
        }
        self.under_way.push_back(batch);
    }

    fn seal_piece(&mut self, piece: &Piece, now: TimeMs, rng: &mut impl CryptoRng) -> Option<Sealed> {
        let geometry = Geometry::for_faults(self.setup.members.faults);
        let live = self.epochs.live(&self.setup, piece, now, rng);
        piece.seal(live, geometry, rng)
    }

    fn seal_nothing(&self, rng: &mut impl CryptoRng) -> Option<Sealed> {
        let geometry = Geometry::for_faults(self.setup.members.faults);
        seal_nothing(geometry, rng).ok().map(segments::parts)
    }

    /// Brings the shares of epochs that are new in this batch to every custodian.
    fn deposit(
        &mut self,
        rng: &mut impl CryptoRng,
        effects: &mut Vec<Effect>,
    ) -> BTreeMap<DepositId, BTreeSet<MemberIndex>> {
        let mut waiting = BTreeMap::new();
        for round in self.epochs.deposits(&self.setup, rng) {
            let id = self.next_deposit;
            self.next_deposit = DepositId(id.0.wrapping_add(1));
            waiting.insert(id, BTreeSet::new());
            for (to, deposit) in round {
                effects.push(Effect::Deposit { id, to, deposit: Box::new(deposit) });
            }
        }
        waiting
    }

    fn assemble(
        &self,
        number: BatchNumber,
        below: RowNumber,
        deposits: BTreeMap<DepositId, BTreeSet<MemberIndex>>,
        sealed: Vec<Sealed>,
    ) -> Batch {
        debug_assert!(sealed.len() <= BATCH_SEGMENTS_MAX);
        let leaves: Vec<Digest> = sealed.iter().map(|(manifest, _)| manifest.digest()).collect();
        let root = merkle::root(&leaves);
        let Setup { members, gateway, key, .. } = &self.setup;
        let mut segments: BTreeMap<MemberIndex, Vec<PutSegment>> = BTreeMap::new();
        for (manifest, fragments) in sealed {
            for (store, fragment) in (0_u16..).map(MemberIndex::new).zip(fragments) {
                let Ok(fragment) = Blob::new(fragment) else { continue };
                segments.entry(store).or_default().push(PutSegment { manifest: manifest.clone(), fragment });
            }
        }
        let put = |(store, segments): (MemberIndex, Vec<PutSegment>)| {
            let message = put_message(members.chain, *gateway, number, store, root);
            let signature = key.sign(namespaces::PUT, &message);
            let segments = List::new(segments).ok()?;
            Some((store, Put { gateway: *gateway, batch: number, store, segments, signature }))
        };
        let puts: BTreeMap<MemberIndex, Put> = segments.into_iter().filter_map(put).collect();
        let anchor = if puts.is_empty() { Anchoring::Final } else { Anchoring::Waiting };
        let (retry_at, held) = (BTreeMap::new(), BTreeMap::new());
        Batch { number, below, root, puts, retry_at, held, deposits, anchor }
    }
}
