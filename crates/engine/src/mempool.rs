//! Transactions that wait to be ordered.
//!
//! Promises bounded room, shared fairly: each member has an equal part of it for the transactions
//! that reach us from it (our own clients count as ours), so no member can crowd out another. What is
//! urgent has a part of its own, so that no flood of other things keeps it out, and goes first.
//! Promises arrival order within that. Refuses to judge a transaction: what is put here was
//! admitted before. It avoids waste only; replay is refused by the state itself.

use crate::gossip::Pair;
use salus_crypto::digest::Digest;
use salus_wire::limits::{BLOCK_BYTES_MAX, BLOCK_TXS_MAX};
use salus_wire::{Code, MemberIndex, StateKey, TimeMs, Tx, Urgency};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Ordinary transactions in the pool, over all members.
pub(crate) const POOL_TXS_MAX: usize = 16_384;
/// Their encoded bytes.
pub(crate) const POOL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Urgent transactions in the pool, over all members.
pub(crate) const URGENT_TXS_MAX: usize = 1_024;
/// Their encoded bytes.
pub(crate) const URGENT_BYTES_MAX: usize = 256 * 1024;
/// Milliseconds after which a transaction that was not ordered is given up.
pub(crate) const TX_LIVES_MS: u64 = 60_000;
/// Milliseconds after which a transaction of ours is sent to the others again.
pub(crate) const RESEND_MS: u64 = 2_000;

const _: () = assert!(URGENT_TXS_MAX <= BLOCK_TXS_MAX / 2, "the urgent leave room in every block");
const _: () = assert!(URGENT_BYTES_MAX <= BLOCK_BYTES_MAX / 2, "the urgent leave room in every block");

/// The waiting transactions.
pub(crate) struct Mempool {
    by_turn: BTreeMap<Turn, Waiting>,
    by_digest: HashMap<Digest, Turn>,
    parts: Vec<Pair<Used>>,
    each: Pair<Used>,
    arrivals: u64,
}

/// The urgent before the others, and each in order of arrival.
type Turn = (Urgency, u64);

/// An admitted transaction.
pub(crate) struct Waiting {
    /// The transaction.
    pub(crate) tx: Tx,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its encoded length.
    pub(crate) bytes: usize,
    /// The entry it would write.
    pub(crate) target: StateKey,
    /// The member that brought it.
    pub(crate) origin: MemberIndex,
    /// When it came.
    pub(crate) since: TimeMs,
    /// When it was last sent to the others.
    pub(crate) sent: TimeMs,
}

/// Room, taken or at most to be taken.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) txs: usize,
    pub(crate) bytes: usize,
}

impl Used {
    /// With one more transaction of so many encoded bytes.
    pub(crate) fn and(self, bytes: usize) -> Self {
        Self { txs: self.txs.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    fn without(self, bytes: usize) -> Self {
        Self { txs: self.txs.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    fn plus(self, other: Self) -> Self {
        Self { txs: self.txs.saturating_add(other.txs), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn fits(self, most: Self) -> bool {
        self.txs <= most.txs && self.bytes <= most.bytes
    }
}

impl Mempool {
    /// An empty pool for a consortium of `members`.
    pub(crate) fn new(members: usize) -> Self {
        let parts = members.max(1);
        Self {
            by_turn: BTreeMap::new(),
            by_digest: HashMap::new(),
            parts: vec![Pair::default(); parts],
            each: Pair {
                urgent: Used { txs: URGENT_TXS_MAX / parts, bytes: URGENT_BYTES_MAX / parts },
                ordinary: Used { txs: POOL_TXS_MAX / parts, bytes: POOL_BYTES_MAX / parts },
            },
            arrivals: 0,
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_turn.len()
    }

    /// How many encoded bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.urgent.bytes.saturating_add(part.ordinary.bytes)).sum()
    }

    /// Whether it waits already.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }

    /// Whether `origin` has room for `bytes` more, urgent or not; [`Self::insert`] says which.
    ///
    /// # Errors
    /// [`Code::QuotaExceeded`] when both its parts are full, or for no member at all.
    pub(crate) fn room(&self, origin: MemberIndex, bytes: usize) -> Result<(), Code> {
        let more = Used::default().and(bytes);
        self.room_for(origin, Urgency::Ordinary, more)
            .or_else(|_| self.room_for(origin, Urgency::Urgent, more))
    }

    /// Whether `origin` has room for `more` transactions of this urgency.
    ///
    /// # Errors
    /// [`Code::QuotaExceeded`] when its part is full, or for no member at all.
    pub(crate) fn room_for(&self, origin: MemberIndex, urgency: Urgency, more: Used) -> Result<(), Code> {
        let part = self.parts.get(usize::from(origin.get())).ok_or(Code::QuotaExceeded)?;
        let fits = part.of(urgency).plus(more).fits(*self.each.of(urgency));
        if fits { Ok(()) } else { Err(Code::QuotaExceeded) }
    }

    /// Puts an admitted transaction at the end of those of its urgency. One that waits already is left
    /// where it is.
    ///
    /// # Errors
    /// [`Code::QuotaExceeded`], as [`Self::room_for`].
    pub(crate) fn insert(&mut self, waiting: Waiting) -> Result<(), Code> {
        if self.contains(&waiting.digest) {
            return Ok(());
        }
        let urgency = waiting.tx.body.urgency();
        self.room_for(waiting.origin, urgency, Used::default().and(waiting.bytes))?;
        if let Some(part) = self.parts.get_mut(usize::from(waiting.origin.get())) {
            let used = part.of_mut(urgency);
            *used = used.and(waiting.bytes);
        }
        let turn = (urgency, self.arrivals);
        self.arrivals = self.arrivals.saturating_add(1);
        self.by_digest.insert(waiting.digest, turn);
        self.by_turn.insert(turn, waiting);
        Ok(())
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, digest: &Digest) -> Option<Waiting> {
        let turn = self.by_digest.remove(digest)?;
        let waiting = self.by_turn.remove(&turn)?;
        if let Some(part) = self.parts.get_mut(usize::from(waiting.origin.get())) {
            let used = part.of_mut(turn.0);
            *used = used.without(waiting.bytes);
        }
        Some(waiting)
    }

    /// The transactions of the next block, the urgent first, in order of arrival: at most `bytes_max` encoded bytes
    /// and [`BLOCK_TXS_MAX`] of them, none whose digest is in `skip`. They stay in the pool.
    pub(crate) fn select(&self, bytes_max: usize, skip: &HashSet<Digest>) -> Vec<Tx> {
        let mut left = bytes_max;
        let mut chosen = Vec::new();
        let mut targets = HashSet::new();
        for waiting in self.by_turn.values().filter(|waiting| !skip.contains(&waiting.digest)) {
            if waiting.bytes > left || chosen.len() >= BLOCK_TXS_MAX {
                break;
            }
            // The second of two for one entry would be refused; it waits for the verdict on the first.
            if targets.insert(waiting.target) {
                left = left.saturating_sub(waiting.bytes);
                chosen.push(waiting.tx.clone());
            }
        }
        chosen
    }

    /// Those that would write an entry among `targets`.
    pub(crate) fn aiming_at(&self, targets: &HashSet<StateKey>) -> Vec<Digest> {
        self.digests(|waiting| targets.contains(&waiting.target))
    }

    /// Those that have waited too long at `now`.
    pub(crate) fn outlived(&self, now: TimeMs) -> Vec<Digest> {
        self.digests(|waiting| now.since_ms(waiting.since) >= TX_LIVES_MS)
    }

    /// At most `count` of `origin`'s transactions that were last sent [`RESEND_MS`] before `now`,
    /// marked as sent now.
    pub(crate) fn resend(&mut self, origin: MemberIndex, now: TimeMs, count: usize) -> Vec<Tx> {
        let due =
            |waiting: &&mut Waiting| waiting.origin == origin && now.since_ms(waiting.sent) >= RESEND_MS;
        let due = self.by_turn.values_mut().filter(due).take(count);
        due.map(|waiting| {
            waiting.sent = now;
            waiting.tx.clone()
        })
        .collect()
    }

    /// One that waits.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Waiting> {
        self.by_turn.get(self.by_digest.get(digest)?)
    }

    fn digests(&self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Digest> {
        self.by_turn.values().filter(|waiting| wanted(waiting)).map(|waiting| waiting.digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{consortium, enrolment, revocation};

    fn waiting(n: u8, origin: u16) -> Waiting {
        let tx = enrolment(&consortium(4), n);
        let target = StateKey::Enrolment(Digest::from_bytes([n; 32]));
        let (digest, since) = (tx.digest(), TimeMs::new(u64::from(n)));
        Waiting { digest, bytes: 300, target, origin: MemberIndex::new(origin), since, sent: since, tx }
    }

    #[test]
    fn arrival_order_limits_and_what_is_skipped() {
        let mut pool = Mempool::new(4);
        let all: Vec<Waiting> = (0..5).map(|n| waiting(n, 0)).collect();
        let digests: Vec<Digest> = all.iter().map(|waiting| waiting.digest).collect();
        let txs: Vec<Tx> = all.iter().map(|waiting| waiting.tx.clone()).collect();
        for one in all {
            pool.insert(one).unwrap();
        }
        assert_eq!(pool.select(10_000, &HashSet::new()), txs);
        assert_eq!(pool.select(650, &HashSet::new()), txs[..2]);
        assert_eq!(pool.select(650, &HashSet::from([digests[0]])), txs[1..3]);
        assert!(pool.remove(&digests[1]).is_some());
        assert!(pool.remove(&digests[1]).is_none());
        assert_eq!((pool.len(), pool.bytes()), (4, 1_200));
    }

    #[test]
    fn two_for_one_entry_are_not_put_in_one_block() {
        let mut pool = Mempool::new(4);
        let (first, mut second) = (waiting(1, 0), waiting(2, 1));
        second.target = first.target;
        let kept = first.tx.clone();
        pool.insert(first).unwrap();
        pool.insert(second).unwrap();
        assert_eq!(pool.select(10_000, &HashSet::new()), [kept]);
    }

    #[test]
    fn one_member_cannot_crowd_out_another() {
        let mut pool = Mempool::new(4);
        pool.each.ordinary.txs = 2;
        pool.insert(waiting(1, 1)).unwrap();
        pool.insert(waiting(1, 1)).unwrap(); // the same again takes no room
        pool.insert(waiting(2, 1)).unwrap();
        assert_eq!(pool.insert(waiting(3, 1)), Err(Code::QuotaExceeded));
        assert_eq!(pool.insert(waiting(3, 2)), Ok(()));
        assert_eq!(pool.insert(waiting(4, 9)), Err(Code::QuotaExceeded));
        assert_eq!(pool.room(MemberIndex::new(2), POOL_BYTES_MAX), Err(Code::QuotaExceeded));
    }

    #[test]
    fn the_urgent_come_into_a_full_pool_go_first_and_have_a_quota_of_their_own() {
        let mut pool = Mempool::new(4);
        (pool.each.ordinary.txs, pool.each.urgent.txs) = (2, 2);
        pool.insert(waiting(1, 0)).unwrap();
        pool.insert(waiting(2, 0)).unwrap();
        assert_eq!(pool.insert(waiting(3, 0)), Err(Code::QuotaExceeded));
        let urgent = |n| Waiting { tx: revocation(&consortium(4), n), ..waiting(n, 0) };
        let (first, second) = (urgent(11), urgent(12));
        let (digest, txs) = (first.digest, [first.tx.clone(), second.tx.clone()]);
        pool.insert(first).unwrap();
        pool.insert(second).unwrap();
        assert_eq!(pool.insert(urgent(13)), Err(Code::QuotaExceeded));
        assert_eq!(pool.room(MemberIndex::new(0), 300), Err(Code::QuotaExceeded));
        let block = pool.select(10_000, &HashSet::new());
        assert_eq!((block.len(), &block[..2]), (4, &txs[..]));
        pool.remove(&digest).unwrap();
        assert_eq!(pool.insert(urgent(13)), Ok(()));
        assert_eq!(pool.insert(waiting(3, 0)), Err(Code::QuotaExceeded));
        assert_eq!((pool.len(), pool.bytes()), (4, 1_200));
    }

    #[test]
    fn ours_are_sent_again_until_they_are_given_up() {
        let mut pool = Mempool::new(4);
        let (ours, theirs) = (waiting(1, 0), waiting(2, 3));
        let (tx, digest) = (ours.tx.clone(), ours.digest);
        pool.insert(ours).unwrap();
        pool.insert(theirs).unwrap();
        let me = MemberIndex::new(0);
        assert_eq!(pool.resend(me, TimeMs::new(RESEND_MS), 9), []);
        assert_eq!(pool.resend(me, TimeMs::new(RESEND_MS + 1), 9), [tx]);
        assert_eq!(pool.resend(me, TimeMs::new(RESEND_MS + 1), 9), []);
        assert_eq!(pool.outlived(TimeMs::new(TX_LIVES_MS)), []);
        assert_eq!(pool.outlived(TimeMs::new(TX_LIVES_MS + 1)), [digest]);
    }

    #[test]
    fn what_aims_at_a_changed_entry_is_found() {
        let mut pool = Mempool::new(4);
        let one = waiting(1, 0);
        let (digest, target) = (one.digest, one.target);
        pool.insert(one).unwrap();
        pool.insert(waiting(2, 0)).unwrap();
        assert_eq!(pool.aiming_at(&HashSet::from([target])), [digest]);
    }
}
