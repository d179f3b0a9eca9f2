//! Fragments for stores that were silent when their batch became final: n - f stores are enough to
//! anchor, all n are better. Kept in memory, for a while, and a bounded number of bytes.

use salus_link::Peer;
use salus_wire::MemberIndex;
use salus_wire::ids::{BatchNumber, TimeMs};
use salus_wire::rpc::{Put, Request, Response};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Bytes of fragments kept for one silent store; the oldest batches are given up first.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Milliseconds after which a store is left without the batch.
const PATIENCE_MS: u64 = 15 * 60_000;
/// For a store to take a batch.
pub(crate) const PUT_WITHIN: Duration = Duration::from_secs(15);
/// Between tries.
const REST: Duration = Duration::from_secs(2);

/// One store's backlog.
#[derive(Default)]
struct Backlog {
    waiting: Mutex<VecDeque<(Put, TimeMs)>>,
    more: Notify,
}

/// What is due to which store.
#[derive(Clone)]
pub(crate) struct Stragglers {
    /// Of batches that are not final: the batch machine still tries these itself.
    unsettled: Arc<Mutex<BTreeMap<(BatchNumber, MemberIndex), Put>>>,
    backlogs: Arc<Vec<(MemberIndex, Backlog)>>,
}

impl Stragglers {
    pub(crate) fn new(stores: &[MemberIndex]) -> Self {
        let backlogs = stores.iter().map(|store| (*store, Backlog::default())).collect();
        Self { unsettled: Arc::default(), backlogs: Arc::new(backlogs) }
    }

    /// A put failed; the machine tries again while its batch is under way.
    pub(crate) fn failed(&self, put: Put) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        unsettled.insert((put.batch, put.store), put);
    }

    /// A put succeeded.
    pub(crate) fn held(&self, batch: BatchNumber, store: MemberIndex) {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).remove(&(batch, store));
    }

    /// A batch is final: what is still due is due here.
    pub(crate) fn is_final(&self, batch: BatchNumber, now: TimeMs) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<_> = unsettled.keys().filter(|(of, _)| *of == batch).copied().collect();
        for (put, backlog) in
            due.iter().filter_map(|key| Some((unsettled.remove(key)?, self.backlog(key.1)?)))
        {
            backlog.push(put, now.plus_ms(PATIENCE_MS));
        }
    }

    fn backlog(&self, store: MemberIndex) -> Option<&Backlog> {
        self.backlogs.iter().find(|(other, _)| *other == store).map(|(_, backlog)| backlog)
    }

    /// Brings one store what it missed, for ever.
    pub(crate) async fn courier(self, peer: Peer, clock: fn() -> TimeMs) {
        let Some(backlog) = self.backlog(peer.member()) else { return };
        loop {
            let Some((put, until)) = backlog.pop() else {
                backlog.more.notified().await;
                continue;
            };
            if clock() >= until {
                tracing::warn!(store = %peer.member(), "a store was silent for too long and misses a batch");
                continue;
            }
            let request = Request::Put(Box::new(put));
            let taken = matches!(peer.call(&request, PUT_WITHIN).await, Ok(Response::Held(_)));
            if let (false, Request::Put(put)) = (taken, request) {
                backlog.unpop(*put, until);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

impl Backlog {
    fn push(&self, put: Put, until: TimeMs) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((put, until));
        let mut bytes: usize = waiting.iter().map(|(put, _)| bytes_of(put)).sum();
        while bytes > BYTES_MAX {
            let Some((put, _)) = waiting.pop_front() else { break };
            bytes = bytes.saturating_sub(bytes_of(&put));
        }
        self.more.notify_one();
    }

    fn unpop(&self, put: Put, until: TimeMs) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_front((put, until));
    }

    fn pop(&self) -> Option<(Put, TimeMs)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

fn bytes_of(put: &Put) -> usize {
    put.segments.iter().map(|segment| segment.fragment.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::sign::Signature;
    use salus_wire::{List, PartyId};

    fn put(batch: u64, store: u16) -> Put {
        Put {
            gateway: PartyId::new([1; 16]),
            batch: BatchNumber::new(batch),
            store: MemberIndex::new(store),
            segments: List::empty(),
            signature: Signature::from_bytes([0; 64]),
        }
    }

    #[test]
    fn what_a_final_batch_still_owes_a_store_is_owed_once() {
        let stores = [MemberIndex::new(0), MemberIndex::new(1)];
        let stragglers = Stragglers::new(&stores);
        for (batch, store) in [(1, 0), (1, 1), (2, 1), (1, 0)] {
            stragglers.failed(put(batch, store));
        }
        stragglers.held(BatchNumber::new(1), stores[0]);
        stragglers.is_final(BatchNumber::new(1), TimeMs::new(5));
        let [none, one] = stores.map(|store| stragglers.backlog(store).unwrap().pop());
        assert!(none.is_none());
        assert_eq!(one, Some((put(1, 1), TimeMs::new(5).plus_ms(PATIENCE_MS))));
        stragglers.is_final(BatchNumber::new(1), TimeMs::new(6));
        assert!(stragglers.backlog(stores[1]).unwrap().pop().is_none());
    }
}
