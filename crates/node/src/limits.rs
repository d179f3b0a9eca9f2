//! How much of each kind of work is done at once and how often each caller may ask for it, and what is
//! said beyond that. Nobody waits in a queue that somebody else could fill: a request that finds no
//! place, or whose caller has used up its rate, is refused at once, before a signature is checked or a
//! disk is touched, and hears when to come again. Of the places of each kind a caller has at most as
//! many as are free. What is urgent has places and a rate of its own. How much one connection may have
//! under way is bounded below this, by the link.

use crate::office::Clock;
use salus_link::{Place, Places, Quota, Subject};
use salus_wire::rpc::{Put, Refusal};
use salus_wire::{Code, TimeMs};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Transactions waiting to become final.
pub const SUBMITS_AT_ONCE: usize = 2_048;
/// Urgent ones beside them.
pub const URGENT_AT_ONCE: usize = 256;
/// Reads of the state, proofs and certificates.
pub const READS_AT_ONCE: usize = 128;
/// Followers waiting for a block.
pub const FOLLOWS_AT_ONCE: usize = 128;
/// Batches being checked and written.
pub const PUTS_AT_ONCE: usize = 16;
/// Fragments being read.
pub const FETCHES_AT_ONCE: usize = 64;
/// Deposits being opened and written.
pub const DEPOSITS_AT_ONCE: usize = 8;
/// Releases being decided.
pub const RELEASES_AT_ONCE: usize = 32;
/// Emergencies being prepared, decided or reviewed. They have places of their own, so that no flood of other
/// work keeps one waiting.
pub const EMERGENCIES_AT_ONCE: usize = 32;
/// Recoveries being prepared or given, apart from other work for the same reason.
pub const RECOVERIES_AT_ONCE: usize = 8;
/// Places that there are however slow the work goes: on a slow machine a block takes long whatever is in
/// it, and fewer transactions in it would only be fewer.
const PLACES_MIN: usize = 128;
/// Milliseconds within which half of the transactions should be final: when they are not, fewer are
/// taken at once, so that a queue never costs more time than it is worth.
pub const SUBMIT_MS_AIM: u64 = 400;
/// The shortest mean time between two grants, or accesses, of nothing, in seconds: each is kept for ever by all members.
pub const COVER_EVERY_S_MIN: u32 = 1;
/// The longest: a day.
pub const COVER_EVERY_S_MAX: u32 = 86_400;
/// Transactions of nothing under way; beyond that none is made.
pub const COVER_AT_ONCE: usize = 32;
/// Transactions that wait in the engine from which on none of nothing is added: a sixteenth of its pool.
pub const COVER_WAITING_MAX: u32 = 1_024;
/// State keys read for one token.
const KEYS_PER_TOKEN: usize = 64;
/// Tokens for one page of activity, for which a custodian reads a day.
pub const ACTIVITY_TOKENS: u32 = 8;
/// Bytes kept for one token.
const BYTES_PER_TOKEN: usize = 64 * 1024;
/// The shortest time after which a caller is told to come again.
pub const RETRY_MS_MIN: u32 = 20;
/// The longest, when it is for want of a place.
pub const RETRY_MS_MAX: u32 = 5_000;
/// Of how many pieces of work a gate's mean time is made.
const MEAN_OF: u64 = 8;
/// Key shares in one deposit.
pub const DEPOSIT_SHARES_MAX: usize = 4_096;
/// Encoded bytes of blocks in one answer to a follower.
pub const FOLLOW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that must be free on the disk for a node to start or go on. The engine cannot go on without
/// a write that its disk refuses, so the node stops in order before that; a store stops taking
/// fragments much earlier ([`salus_store::disk::RESERVE_BYTES`]).
pub const DISK_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Milliseconds after which to ask again when nothing better is known.
pub const RETRY_MS: u32 = 1_000;

const _: () = assert!(DISK_BYTES_MIN < salus_store::disk::RESERVE_BYTES);

const _: () = assert!(RETRY_MS_MIN < RETRY_MS_MAX);

const _: () = assert!(COVER_EVERY_S_MIN > 0 && COVER_EVERY_S_MIN < COVER_EVERY_S_MAX);

/// What each caller may ask for in a second, and as much at once after a rest. An entry that is not
/// given has its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Transactions.
    pub submits: NonZeroU32,
    /// Transactions that are urgent.
    pub urgent: NonZeroU32,
    /// Reads, proofs and certificates; 64 keys count as one more.
    pub reads: NonZeroU32,
    /// Answers to a follower.
    pub follows: NonZeroU32,
    /// Batches; 64 KiB count as one more.
    pub puts: NonZeroU32,
    /// Fragments.
    pub fetches: NonZeroU32,
    /// Deposits.
    pub deposits: NonZeroU32,
    /// Releases. What a custodian remembers to refuse copies is bounded by this for each caller.
    pub releases: NonZeroU32,
    /// Emergencies.
    pub emergencies: NonZeroU32,
    /// Recoveries.
    pub recoveries: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        let rate = |per_second| NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            submits: rate(2_000),
            urgent: rate(64),
            reads: rate(1_000),
            follows: rate(200),
            puts: rate(2_048),
            fetches: rate(2_000),
            deposits: rate(64),
            releases: rate(16),
            emergencies: rate(8),
            recoveries: rate(4),
        }
    }
}

/// One gate for each kind of work.
pub struct Gates {
    pub(crate) submits: Gate,
    pub(crate) urgent: Gate,
    pub(crate) reads: Gate,
    pub(crate) follows: Gate,
    pub(crate) puts: Gate,
    pub(crate) fetches: Gate,
    pub(crate) deposits: Gate,
    pub(crate) releases: Gate,
    pub(crate) emergencies: Gate,
    pub(crate) recoveries: Gate,
}

/// A number of places, and a rate for each caller.
pub(crate) struct Gate {
    places: Places<Subject>,
    quota: Quota<Subject>,
    pace: Mutex<Pace>,
    full: Code,
}

/// How long work takes behind a gate, and how much of it is taken on.
#[derive(Clone, Copy)]
struct Pace {
    most: usize,
    most_ever: usize,
    /// Half of the work should be done within this.
    aim_ms: u64,
    mean_ms: u64,
}

/// A place behind a gate, given back when it is dropped.
pub(crate) struct Inside<'a> {
    gate: &'a Gate,
    since: TimeMs,
    clock: Clock,
    _place: Place<Subject>,
}

impl Default for Gates {
    fn default() -> Self {
        Self::new(&Rates::default())
    }
}

impl Gates {
    /// Open gates.
    #[must_use]
    pub fn new(rates: &Rates) -> Self {
        let patient = u64::MAX;
        Self {
            submits: Gate::new(SUBMITS_AT_ONCE, rates.submits, SUBMIT_MS_AIM, Code::QuotaExceeded),
            urgent: Gate::new(URGENT_AT_ONCE, rates.urgent, patient, Code::QuotaExceeded),
            reads: Gate::new(READS_AT_ONCE, rates.reads, patient, Code::QuotaExceeded),
            follows: Gate::new(FOLLOWS_AT_ONCE, rates.follows, patient, Code::QuotaExceeded),
            puts: Gate::new(PUTS_AT_ONCE, rates.puts, patient, Code::QuotaExceeded),
            fetches: Gate::new(FETCHES_AT_ONCE, rates.fetches, patient, Code::QuotaExceeded),
            deposits: Gate::new(DEPOSITS_AT_ONCE, rates.deposits, patient, Code::CustodianBusy),
            releases: Gate::new(RELEASES_AT_ONCE, rates.releases, patient, Code::CustodianBusy),
            emergencies: Gate::new(EMERGENCIES_AT_ONCE, rates.emergencies, patient, Code::CustodianBusy),
            recoveries: Gate::new(RECOVERIES_AT_ONCE, rates.recoveries, patient, Code::CustodianBusy),
        }
    }
}

impl Gate {
    fn new(most: usize, rate: NonZeroU32, aim_ms: u64, full: Code) -> Self {
        let pace = Pace { most, most_ever: most, aim_ms, mean_ms: 0 };
        Self { places: Places::new(most, most), quota: Quota::new(rate), pace: Mutex::new(pace), full }
    }

    /// A place, given back when it is dropped.
    ///
    /// # Errors
    /// A refusal for now: the caller has used up its rate, or its share of the places.
    pub(crate) fn enter(&self, who: Subject, cost: u32, clock: &Clock) -> Result<Inside<'_>, Refusal> {
        let Pace { most, mean_ms, .. } = *self.pace();
        let place = self.places.enter_below(who, most).map_err(|_| {
            let wait = u32::try_from(mean_ms).unwrap_or(u32::MAX);
            Refusal::busy(self.full, wait.clamp(RETRY_MS_MIN, RETRY_MS_MAX))
        })?;
        let since = clock();
        self.quota.take(&who, cost, since).map_err(|wait| Refusal::busy(self.full, wait.max(1)))?;
        Ok(Inside { gate: self, since, clock: Arc::clone(clock), _place: place })
    }

    /// Whether at least half of the places that there are now are taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.places.taken().saturating_mul(2) >= self.pace().most
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Numbers hold no invariant that a panic in between could break.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    /// One step down for work that was slow and one up for work that was not: the number of places comes
    /// to rest where half of the work is done in time.
    fn note(&mut self, took_ms: u64) {
        let others = self.mean_ms.saturating_mul(MEAN_OF.saturating_sub(1));
        self.mean_ms = others.saturating_add(took_ms).checked_div(MEAN_OF).unwrap_or_default();
        self.most = if took_ms > self.aim_ms {
            self.most.saturating_sub(1).max(PLACES_MIN.min(self.most_ever))
        } else {
            self.most.saturating_add(1).min(self.most_ever)
        };
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let took_ms = (self.clock)().since_ms(self.since);
        self.gate.pace().note(took_ms);
    }
}

/// What a question about so many entries costs.
pub(crate) fn keys_cost(keys: usize) -> u32 {
    tokens(keys / KEYS_PER_TOKEN)
}

/// What keeping a batch costs.
pub(crate) fn put_cost(put: &Put) -> u32 {
    let bytes: usize = put.segments.iter().map(|segment| segment.fragment.len()).sum();
    tokens(bytes / BYTES_PER_TOKEN)
}

fn tokens(more: usize) -> u32 {
    u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::PartyId;
    use std::sync::atomic::{AtomicU64, Ordering};

    const WIDE: u32 = 1_000_000;

    fn person(n: u8) -> Subject {
        Subject::Person(PartyId::new([n; 16]))
    }

    fn clock() -> (Arc<AtomicU64>, Clock) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        let told = Arc::clone(&ms);
        (ms, Arc::new(move || TimeMs::new(told.load(Ordering::SeqCst))))
    }

    fn gate(places: usize, rate: u32, aim_ms: u64) -> Gate {
        Gate::new(places, NonZeroU32::new(rate).unwrap(), aim_ms, Code::CustodianBusy)
    }

    fn refusal(gate: &Gate, who: u8, clock: &Clock) -> Refusal {
        gate.enter(person(who), 1, clock).map(drop).unwrap_err()
    }

    #[test]
    fn a_full_gate_refuses_at_once_says_when_and_opens_again() {
        let ((ms, clock), gate) = (clock(), gate(2, WIDE, u64::MAX));
        let place = gate.enter(person(1), 1, &clock).unwrap();
        let refused = refusal(&gate, 1, &clock);
        assert_eq!((refused.code, refused.retry_after_ms), (Code::CustodianBusy, RETRY_MS_MIN));
        // One caller's share is used up, not another's.
        assert!(gate.enter(person(2), 1, &clock).is_ok());
        ms.fetch_add(8_000, Ordering::SeqCst);
        drop(place);
        let _place = gate.enter(person(1), 1, &clock).unwrap();
        assert_eq!(refusal(&gate, 1, &clock).retry_after_ms, 1_000);
    }

    #[test]
    fn a_caller_over_its_rate_hears_when_it_may_and_takes_no_place() {
        let ((ms, clock), gate) = (clock(), gate(100, 4, u64::MAX));
        for _ in 0..4 {
            assert!(gate.enter(person(1), 1, &clock).is_ok());
        }
        assert_eq!(refusal(&gate, 1, &clock).retry_after_ms, 250);
        assert_eq!(gate.places.taken(), 0);
        assert!(gate.enter(person(2), 4, &clock).is_ok());
        ms.fetch_add(250, Ordering::SeqCst);
        assert!(gate.enter(person(1), 1, &clock).is_ok());
    }

    #[test]
    fn slow_work_is_taken_on_less_and_quick_work_more_again() {
        let ((ms, clock), gate) = (clock(), gate(200, WIDE, 50));
        for (took_ms, times, most) in [(51, 30, 170), (51, 1_000, PLACES_MIN), (50, 8, 136), (1, 1_000, 200)]
        {
            for _ in 0..times {
                let place = gate.enter(person(1), 1, &clock).unwrap();
                ms.fetch_add(took_ms, Ordering::SeqCst);
                drop(place);
            }
            assert_eq!(gate.pace().most, most, "after {times} times {took_ms} ms");
        }
    }

    #[test]
    fn larger_questions_cost_more() {
        assert_eq!([0, 1, 63, 64, 4_096].map(keys_cost), [1, 1, 1, 2, 65]);
    }
}
