//! The driver of [`Judge`]: one thread that takes questions off its queues, final blocks first.
//!
//! Promises that a final block is acknowledged to the archive only after it was applied, that every
//! waiter is told what became of its transaction once that is durable, that every queue is bounded,
//! and that what is urgent does not wait behind what is not. A transaction for which there is no room
//! is refused before anybody looks at its signature, and hears when there will be. Refuses to know the rules; it moves values. When the judge fails it stops, and with it
//! the engine: nothing is acknowledged after a failed write.

use crate::candidate::Candidate;
use crate::config::Watch;
use crate::error::{EngineError, Refused};
use crate::gossip::{self, Pair, Passed};
use crate::host::{Clock, Runtime};
use crate::judge::{Head, Judge, LINEAGE_MAX, Place, Settled, Slot, Verdict};
use crate::mempool::Used;
use crate::pace::Pace;
use crate::tree::StateTree;
use commonware_utils::Acknowledgement as _;
use commonware_utils::acknowledgement::Exact;
use rand::CryptoRng;
use salus_crypto::digest::Digest;
use salus_wire::limits::MEMBERS_MAX;
use salus_wire::rpc::{Committed, FinalBlock};
use salus_wire::{
    Code, GrantTag, Header, Height, MemberIndex, ProvenItem, StateKey, StateValue, TimeMs, Tx, Urgency,
    encode,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Final blocks on their way into the state; more than the archive sends unacknowledged.
pub(crate) const FINALS_MAX: usize = 64;
/// Questions of the voter that may wait.
pub(crate) const ORDERS_MAX: usize = 64;
/// Questions of clients that may wait.
pub(crate) const ASKS_MAX: usize = 4_096;
/// Urgent transactions of clients that may wait.
pub(crate) const URGENT_MAX: usize = 512;
/// Messages of other members that may wait, of each urgency; how many one may have is
/// [`gossip::ORDINARY_EACH_MAX`] and [`gossip::URGENT_EACH_MAX`].
pub(crate) const PASSED_MAX: Pair<usize> =
    Pair { urgent: MEMBERS_MAX * gossip::URGENT_EACH_MAX, ordinary: MEMBERS_MAX * gossip::ORDINARY_EACH_MAX };
/// Questions taken off the queue together; their signatures are checked as one batch.
const ASKS_TOGETHER: usize = 256;
/// Blocks that a follower may lag behind before it must fetch by height.
pub(crate) const FOLLOW_MAX: usize = 64;
/// Callers that wait for one transaction.
const WAITERS_MAX: usize = 16;
/// Time between looks at what has waited too long.
const TICK: Duration = Duration::from_secs(1);
/// Transactions sent again in one tick.
const RESEND_MAX: usize = 1_024;

/// An answer on its way back.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What the voter asks.
pub(crate) enum Order {
    /// Where a block stands.
    Place { digest: Digest, height: Height, reply: Reply<Place> },
    /// How many transactions wait for a block on this parent.
    Fresh { parent: Digest, reply: Reply<usize> },
    /// Make a block.
    Build { parent: Box<Header>, slot: Slot, reply: Reply<Option<(Candidate, Vec<GrantTag>)>> },
    /// Judge a block.
    Check { candidate: Candidate, parent: Box<Header>, reply: Reply<Verdict> },
}

/// A client's transaction with the way back.
pub(crate) struct Submission {
    /// Order this, and say when it is final.
    pub(crate) tx: Box<Tx>,
    /// Told what became of it.
    pub(crate) reply: Reply<Result<Committed, Refused>>,
}

/// What clients ask that is not urgent.
pub(crate) enum Ask {
    /// Order this.
    Submit(Submission),
    /// Entries at the head.
    Read { keys: Vec<StateKey>, reply: Reply<(Head, Vec<Option<StateValue>>)> },
    /// Entries and absences at the head, with paths.
    Prove { keys: Vec<StateKey>, reply: Reply<(Head, Vec<ProvenItem>)> },
}

/// The ends of the queues that the desk empties.
pub(crate) struct Inbox {
    /// Final blocks, in order.
    pub(crate) finals: mpsc::Receiver<(Candidate, Exact)>,
    /// From the voter.
    pub(crate) orders: mpsc::Receiver<Order>,
    /// What clients want ordered at once.
    pub(crate) urgent: mpsc::Receiver<Submission>,
    /// From clients.
    pub(crate) asks: mpsc::Receiver<Ask>,
    /// From other members.
    pub(crate) passed: Pair<mpsc::Receiver<Passed>>,
    /// The highest block known to be final, applied or not.
    pub(crate) tip: watch::Receiver<Height>,
}

/// What the desk tells the others.
pub(crate) struct Outbox {
    /// The head.
    pub(crate) head: watch::Sender<Head>,
    /// Transactions waiting, and their bytes.
    pub(crate) waiting: watch::Sender<(usize, usize)>,
    /// Applied blocks.
    pub(crate) applied: broadcast::Sender<Arc<FinalBlock>>,
    /// Encoded transactions for the other members.
    pub(crate) gossip: Pair<mpsc::Sender<Vec<u8>>>,
}

/// See the head of this module.
pub(crate) struct Desk<T: StateTree> {
    /// The judgement.
    pub(crate) judge: Judge<T>,
    /// Which member this is.
    pub(crate) me: MemberIndex,
    /// Its clock.
    pub(crate) clock: Clock,
    /// Hears of revocations before they are applied.
    pub(crate) watch: Arc<dyn Watch>,
    /// Questions.
    pub(crate) inbox: Inbox,
    /// News.
    pub(crate) outbox: Outbox,
    /// Who waits for which transaction.
    pub(crate) waiters: HashMap<Digest, Vec<Reply<Result<Committed, Refused>>>>,
    /// How fast transactions are taken.
    pub(crate) pace: Pace,
}

impl<T: StateTree> Desk<T> {
    /// Works until a queue's other end is gone, or until the judge fails.
    ///
    /// # Errors
    /// What made the judge fail.
    pub(crate) async fn run(mut self, mut context: impl Runtime) -> Result<(), EngineError> {
        let mut asks = Vec::with_capacity(ASKS_TOGETHER);
        let mut urgent = Vec::with_capacity(ASKS_TOGETHER);
        let mut tick = Box::pin(context.sleep(TICK));
        loop {
            tokio::select! {
                biased;
                done = self.inbox.finals.recv() => match done {
                    Some((candidate, ack)) => self.apply(&candidate, ack)?,
                    None => return Ok(()),
                },
                order = self.inbox.orders.recv() => match order {
                    Some(order) => self.obey(order, &mut context)?,
                    None => return Ok(()),
                },
                taken = self.inbox.urgent.recv_many(&mut urgent, ASKS_TOGETHER) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.submit(std::mem::take(&mut urgent), &mut context)?;
                }
                Some(passed) = self.inbox.passed.urgent.recv() => self.pool(passed, &mut context)?,
                () = &mut tick => {
                    self.look_back((self.clock)());
                    tick = Box::pin(context.sleep(TICK));
                }
                taken = self.inbox.asks.recv_many(&mut asks, ASKS_TOGETHER) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.answer(std::mem::take(&mut asks), &mut context)?;
                    // However many clients ask, other members have their turn.
                    if let Ok(passed) = self.inbox.passed.ordinary.try_recv() {
                        self.pool(passed, &mut context)?;
                    }
                }
                Some(passed) = self.inbox.passed.ordinary.recv() => self.pool(passed, &mut context)?,
            }
        }
    }

    fn apply(&mut self, candidate: &Candidate, ack: Exact) -> Result<(), EngineError> {
        let revoked = salus_ledger::revoked(candidate.transactions(), &candidate.block().outcomes);
        if !revoked.is_empty() {
            self.watch.before_apply(&revoked);
        }
        let settled = self.judge.commit(candidate)?;
        ack.acknowledge();
        if let Some(settled) = settled {
            self.pace.note(candidate.header().time, candidate.transactions().len());
            self.outbox.head.send_replace(self.judge.head());
            // Nobody may be following.
            let _ = self.outbox.applied.send(Arc::clone(candidate.block()));
            self.tell(settled);
        }
        Ok(())
    }

    fn obey(&mut self, order: Order, context: &mut impl CryptoRng) -> Result<(), EngineError> {
        // The voter gives up an order by dropping its end; then the answer goes nowhere.
        match order {
            Order::Place { digest, height, reply } => {
                let _ = reply.send(self.judge.place(&digest, height));
            }
            Order::Fresh { parent, reply } => {
                let _ = reply.send(self.judge.fresh(&parent));
            }
            Order::Build { parent, slot, reply } if !reply.is_closed() => {
                let _ = reply.send(self.judge.build(&parent, slot)?);
            }
            Order::Check { candidate, parent, reply } if !reply.is_closed() => {
                let _ = reply.send(self.judge.check(&candidate, &parent, context)?);
            }
            Order::Build { .. } | Order::Check { .. } => {}
        }
        Ok(())
    }

    fn answer(&mut self, asks: Vec<Ask>, context: &mut impl CryptoRng) -> Result<(), EngineError> {
        let mut submissions = Vec::new();
        for ask in asks {
            match ask {
                Ask::Submit(submission) => submissions.push(submission),
                Ask::Read { keys, reply } if !reply.is_closed() => {
                    let _ = reply.send((self.judge.head(), self.judge.read(&keys)?));
                }
                Ask::Prove { keys, reply } if !reply.is_closed() => {
                    let _ = reply.send((self.judge.head(), self.judge.prove(&keys)?));
                }
                Ask::Read { .. } | Ask::Prove { .. } => {}
            }
        }
        if submissions.is_empty() { Ok(()) } else { self.submit(submissions, context) }
    }

    /// Takes transactions of our own clients and passes the new ones on.
    fn submit(&mut self, all: Vec<Submission>, context: &mut impl CryptoRng) -> Result<(), EngineError> {
        if self.catching_up() {
            for Submission { reply, .. } in all {
                let _ = reply.send(Err(Code::NotReady.into()));
            }
            return Ok(());
        }
        let (txs, replies) = self.with_room(all);
        let mut news: Vec<Tx> = txs.iter().filter(|tx| !self.judge.waits(&tx.digest())).cloned().collect();
        let results = self.judge.admit(txs, self.me, (self.clock)(), context)?;
        for (reply, result) in replies.into_iter().zip(results) {
            match result {
                Ok(digest) => self.wait(digest, reply),
                Err(code) => {
                    let _ = reply.send(Err(self.refused(code)));
                }
            }
        }
        news.retain(|tx| self.judge.waits(&tx.digest()));
        self.pass_on(&news);
        self.report_waiting();
        Ok(())
    }

    /// Those for which our part of the pool has room; the others are refused here, for the price of a
    /// digest and before their signatures cost anything.
    fn with_room(&self, all: Vec<Submission>) -> (Vec<Tx>, Vec<Reply<Result<Committed, Refused>>>) {
        let mut taken = Pair { urgent: Used::default(), ordinary: Used::default() };
        let (mut txs, mut replies) = (Vec::new(), Vec::new());
        for Submission { tx, reply } in all {
            let urgency = tx.body.urgency();
            let more = taken.of(urgency).and(encode(&*tx).len());
            let waits = self.judge.waits(&tx.digest());
            if !waits && let Err(code) = self.judge.pool().room_for(self.me, urgency, more) {
                let _ = reply.send(Err(self.refused(code)));
                continue;
            }
            if !waits {
                *taken.of_mut(urgency) = more;
            }
            txs.push(*tx);
            replies.push(reply);
        }
        (txs, replies)
    }

    /// A refusal that says when there will be room.
    fn refused(&self, code: Code) -> Refused {
        match code {
            Code::QuotaExceeded => {
                // Whoever comes when a quarter has gone finds room beside others that come then.
                Refused::after(code, self.pace.drained_in_ms(self.judge.pool().len() / 4))
            }
            other => other.into(),
        }
    }

    /// Takes transactions of another member. What it may not send is dropped without an answer.
    fn pool(&mut self, passed: Passed, context: &mut impl CryptoRng) -> Result<(), EngineError> {
        let Passed { from, mut txs, place } = passed;
        if self.catching_up() {
            return Ok(());
        }
        txs.retain(|tx| !self.judge.waits(&tx.digest()));
        if !txs.is_empty() {
            let results = self.judge.admit(txs, from, (self.clock)(), context)?;
            let refused = results.iter().filter(|result| result.is_err()).count();
            if refused > 0 {
                tracing::debug!(member = from.get(), refused, "transactions of a member were not admitted");
            }
            self.report_waiting();
        }
        drop(place);
        Ok(())
    }

    fn wait(&mut self, digest: Digest, reply: Reply<Result<Committed, Refused>>) {
        let waiters = self.waiters.entry(digest).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        if waiters.len() < WAITERS_MAX {
            waiters.push(reply);
        } else {
            let _ = reply.send(Err(Code::QuotaExceeded.into()));
        }
    }

    fn look_back(&mut self, now: TimeMs) {
        let given_up = self.judge.expire(now);
        self.tell(given_up);
        let again = self.judge.resend(self.me, now, RESEND_MAX);
        self.pass_on(&again);
    }

    fn tell(&mut self, settled: Vec<Settled>) {
        for Settled { digest, result } in settled {
            for waiter in self.waiters.remove(&digest).unwrap_or_default() {
                let _ = waiter.send(result);
            }
        }
        self.report_waiting();
    }

    fn report_waiting(&self) {
        self.outbox.waiting.send_replace((self.judge.pool().len(), self.judge.pool().bytes()));
    }

    /// Best effort: what is lost here is sent again after a while.
    fn pass_on(&self, txs: &[Tx]) {
        for urgency in [Urgency::Urgent, Urgency::Ordinary] {
            for message in gossip::pack(txs, urgency) {
                let _ = self.outbox.gossip.of(urgency).try_send(message);
            }
        }
    }

    /// Whether so much is final and not applied here that our view of the state is too old.
    fn catching_up(&self) -> bool {
        let far = u64::try_from(LINEAGE_MAX).unwrap_or(u64::MAX);
        self.inbox.tip.borrow().get().saturating_sub(self.judge.head().height.get()) > far
    }
}
