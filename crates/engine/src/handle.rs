//! What the rest of a node may ask of a running engine.
//!
//! Promises answers about one head at a time, and that a transaction reported as committed is
//! durable here. Every call may be made from any async runtime, and dropped at any time. Refuses
//! to hand out anything of the engine underneath.

use crate::candidate::Candidate;
use crate::desk::{Ask, Reply, Submission};
use crate::error::Refused;
use crate::judge::Head;
use crate::reporters::Heard;
use crate::scheme::{Scheme, digest};
use commonware_codec::Encode as _;
use commonware_consensus::marshal::core::Mailbox;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::types;
use salus_wire::limits::{HEADER_CHAIN_MAX, STATE_KEYS_MAX};
use salus_wire::rpc::{Committed, FinalBlock};
use salus_wire::state::CertifiedChain;
use salus_wire::{
    Blob, Code, Header, Height, List, MemberIndex, StateKey, StateProof, StateValue, Tx, Urgency,
};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// The archive of blocks.
pub(crate) type Archive = Mailbox<Scheme, Standard<Candidate>>;

/// A cheap handle on a running engine.
#[derive(Clone)]
pub struct Handle {
    pub(crate) me: MemberIndex,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) urgent: mpsc::Sender<Submission>,
    pub(crate) head: watch::Receiver<Head>,
    pub(crate) tip: watch::Receiver<Height>,
    pub(crate) waiting: watch::Receiver<(usize, usize)>,
    pub(crate) applied: broadcast::WeakSender<Arc<FinalBlock>>,
    pub(crate) archive: Archive,
    pub(crate) heard: Arc<Heard>,
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The last block applied here.
    pub head: Head,
    /// The highest block known to be final; above the head while this member catches up.
    pub tip: Height,
    /// Transactions waiting to be ordered.
    pub waiting: u32,
    /// Their encoded bytes.
    pub waiting_bytes: u64,
    /// Other members heard to vote in the last ten seconds.
    pub peers: u16,
}

impl Handle {
    /// Has a transaction ordered, an urgent one before all others; returns when it is final and durable here, or refused. A
    /// transaction that lost its place to another is final with [`salus_wire::Outcome::Refused`].
    ///
    /// # Errors
    /// The code of the refusal. [`Code::TimedOut`] leaves open whether it becomes final later.
    pub async fn submit(&self, tx: Tx) -> Result<Committed, Refused> {
        let urgency = tx.body.urgency();
        let submission = |reply| Submission { tx: Box::new(tx), reply };
        match urgency {
            Urgency::Urgent => put(&self.urgent, submission).await?,
            Urgency::Ordinary => self.ask(|reply| Ask::Submit(submission(reply))).await?,
        }
    }

    /// The last block applied here, which is final and durable.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Members whose votes were seen to contradict each other since this engine began, with both
    /// signatures: no honest member's ever do.
    #[must_use]
    pub fn accused(&self) -> Vec<MemberIndex> {
        self.heard.accused()
    }

    /// Resolves with the head once it is at or above `height`.
    ///
    /// # Errors
    /// [`Code::NotReady`] when the engine stops first.
    pub async fn reached(&self, height: Height) -> Result<Head, Refused> {
        let mut heads = self.head.clone();
        let head = heads.wait_for(|head| head.height >= height).await;
        head.map(|head| *head).map_err(|_| stopped())
    }

    /// Entries of the state at one head, in the order asked for.
    ///
    /// # Errors
    /// [`Code::TooLarge`] past [`STATE_KEYS_MAX`] keys, [`Code::QuotaExceeded`] when too many ask.
    pub async fn read(&self, keys: Vec<StateKey>) -> Result<(Head, Vec<Option<StateValue>>), Refused> {
        within_limit(&keys)?;
        self.ask(|reply| Ask::Read { keys, reply }).await
    }

    /// Entries and absences under one final header, with the proof.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Self::certified`].
    pub async fn prove(&self, keys: Vec<StateKey>) -> Result<StateProof, Refused> {
        within_limit(&keys)?;
        let (head, items) = self.ask(|reply| Ask::Prove { keys, reply }).await?;
        let chain = self.certified(head.height).await?;
        Ok(StateProof { chain, items: List::new(items).map_err(|_| internal())? })
    }

    /// The header at `height`, and those after it up to the first with a certificate.
    ///
    /// # Errors
    /// [`Code::NotFound`] above the head, [`Code::NotReady`] while no certificate is at hand, which
    /// is so for block 0 until block 1 is final.
    pub async fn certified(&self, height: Height) -> Result<CertifiedChain, Refused> {
        if height > self.head().height {
            return Err(Refused::bare(Code::NotFound));
        }
        let mut headers: Vec<Header> = Vec::new();
        let mut at = types::Height::new(height.get());
        while headers.len() < HEADER_CHAIN_MAX {
            let block = self.archive.get_block(at).await.ok_or(Code::NotReady)?;
            headers.push(block.inner().header().clone());
            if let Some(finalization) = self.archive.get_finalization(at).await {
                debug_assert_eq!(digest(finalization.proposal.payload), block.inner().header_digest());
                let certificate = Blob::new(finalization.encode().into()).map_err(|_| internal())?;
                return Ok(CertifiedChain {
                    headers: List::new(headers).map_err(|_| internal())?,
                    certificate,
                });
            }
            at = at.next();
        }
        Err(Refused::busy(Code::NotReady))
    }

    /// The final block at `height` with what became of each transaction; `None` above the head.
    ///
    /// # Errors
    /// [`Code::NotReady`] when the archive does not answer.
    pub async fn block(&self, height: Height) -> Result<Option<Arc<FinalBlock>>, Refused> {
        if height > self.head().height {
            return Ok(None);
        }
        let block = self.archive.get_block(types::Height::new(height.get())).await;
        block.map(|block| Some(Arc::clone(block.inner().block()))).ok_or_else(stopped)
    }

    /// Blocks as they are applied from now on. Who lags too far gets an error, and fetches what it
    /// missed with [`Self::block`]. Ends when the engine stops.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<FinalBlock>> {
        match self.applied.upgrade() {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// How the engine is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (waiting, bytes) = *self.waiting.borrow();
        Stats {
            head: self.head(),
            tip: *self.tip.borrow(),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            waiting_bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            peers: self.heard.others(self.me),
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Refused> {
        put(&self.asks, ask).await
    }
}

/// Puts a question into a queue of the desk, if it has room, and waits for the answer.
async fn put<Q, T>(queue: &mpsc::Sender<Q>, question: impl FnOnce(Reply<T>) -> Q) -> Result<T, Refused> {
    let (reply, answer) = oneshot::channel();
    queue.try_send(question(reply)).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => Refused::busy(Code::QuotaExceeded),
        mpsc::error::TrySendError::Closed(_) => stopped(),
    })?;
    answer.await.map_err(|_| stopped())
}

fn within_limit(keys: &[StateKey]) -> Result<(), Refused> {
    if keys.len() > STATE_KEYS_MAX { Err(Refused::bare(Code::TooLarge)) } else { Ok(()) }
}

fn internal() -> Refused {
    Refused::bare(Code::Internal)
}

fn stopped() -> Refused {
    Refused::busy(Code::NotReady)
}
