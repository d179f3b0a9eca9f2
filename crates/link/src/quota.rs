//! How often each caller may ask: a bucket of tokens for each, after the generic cell rate algorithm
//! (ITU-T I.371; the package `governor`).
//!
//! It promises that a caller within its rate is never refused, whatever others do, that whoever is
//! refused hears when its bucket will have enough, and that the number of buckets is bounded. The time
//! is an argument: a clock that is set back stops nobody, one that is set ahead fills the buckets once.

use governor::clock::{Clock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota as Cells, RateLimiter};
use salus_wire::TimeMs;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Callers of whom a bucket is kept; those whose bucket is full again are forgotten first.
const CALLERS_MAX: usize = 16_384;
/// A time that is earlier than the last by less than this is that of another thread; by more, the
/// clock was set.
const SET_BACK_MS_MIN: u64 = 1_000;
/// The time to wait when there is no bucket for one more caller.
const CROWDED_MS: u32 = 1_000;

/// A limiter whose clock is moved by what it is told.
type Limiter<K> = RateLimiter<
    K,
    HashMapStateStore<K>,
    FakeRelativeClock,
    NoOpMiddleware<<FakeRelativeClock as Clock>::Instant>,
>;

/// A bucket for each caller. It holds as much as flows in a second.
pub struct Quota<K: Eq + Hash + Clone> {
    limiter: Limiter<K>,
    per_second: NonZeroU32,
    /// The last time that was told; the limiter's own clock is moved by the differences.
    last: Mutex<TimeMs>,
    clock: FakeRelativeClock,
}

impl<K: Eq + Hash + Clone> Quota<K> {
    /// So many tokens a second for each caller.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        let clock = FakeRelativeClock::default();
        let limiter =
            Limiter::new(Cells::per_second(per_second), HashMapStateStore::default(), clock.clone());
        Self { limiter, per_second, last: Mutex::default(), clock }
    }

    /// Takes `cost` tokens from the bucket of `who`; what costs more than a whole bucket costs that.
    ///
    /// # Errors
    /// Milliseconds after which there will be enough.
    pub fn take(&self, who: &K, cost: u32, now: TimeMs) -> Result<(), u32> {
        self.tell(now);
        if self.limiter.len() >= CALLERS_MAX {
            self.limiter.retain_recent();
            if self.limiter.len() >= CALLERS_MAX {
                return Err(CROWDED_MS);
            }
        }
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN).min(self.per_second);
        match self.limiter.check_key_n(who, cost) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Err(whole_ms(wait))
            }
            Err(_) => Err(CROWDED_MS),
        }
    }

    fn tell(&self, now: TimeMs) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now > *last {
            // The first time is not a difference.
            if *last != TimeMs::default() {
                self.clock.advance(Duration::from_millis(now.since_ms(*last)));
            }
            *last = now;
        } else if last.since_ms(now) >= SET_BACK_MS_MIN {
            *last = now;
        }
    }
}

/// Milliseconds, rounded up: whoever waits so long does not come too early.
fn whole_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_790_000_000_000;

    fn at(ms: u64) -> TimeMs {
        TimeMs::new(START + ms)
    }

    fn quota(per_second: u32) -> Quota<u16> {
        Quota::new(NonZeroU32::new(per_second).unwrap())
    }

    /// How many single tokens `who` gets at once.
    fn drain(quota: &Quota<u16>, who: u16, now: TimeMs) -> usize {
        (0..1_000).take_while(|_| quota.take(&who, 1, now).is_ok()).count()
    }

    #[test]
    fn a_caller_gets_its_rate_and_no_other_pays_for_it() {
        let quota = quota(10);
        assert_eq!(drain(&quota, 1, at(0)), 10);
        assert_eq!(quota.take(&1, 1, at(0)), Err(100));
        assert_eq!(quota.take(&1, 5, at(0)), Err(500));
        assert_eq!(quota.take(&1, 1, at(99)), Err(1));
        assert_eq!(drain(&quota, 2, at(99)), 10);
        assert_eq!(drain(&quota, 1, at(300)), 3);
        assert_eq!(drain(&quota, 1, at(60_000)), 10);
    }

    #[test]
    fn whoever_waits_as_long_as_it_was_told_is_let_in() {
        let quota = quota(7);
        let mut now = 0;
        for cost in [1, 3, 7, 2, 100, 7, 1, 7] {
            if let Err(wait) = quota.take(&1, cost, at(now)) {
                now += u64::from(wait);
                assert_eq!(quota.take(&1, cost, at(now)), Ok(()), "{cost} at {now}");
            }
        }
        assert!(now > 0);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nobody() {
        let quota = quota(10);
        assert_eq!(drain(&quota, 1, at(3_600_000)), 10);
        assert_eq!(quota.take(&1, 1, at(0)), Err(100));
        assert_eq!(drain(&quota, 1, at(200)), 2);
        // A thread that is a little late gains nothing.
        assert_eq!(drain(&quota, 1, at(150)), 0);
        assert_eq!(drain(&quota, 1, at(200)), 0);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let quota: Quota<u64> = Quota::new(NonZeroU32::new(1).unwrap());
        let most = u64::try_from(CALLERS_MAX).unwrap();
        for who in 0..most {
            assert_eq!(quota.take(&who, 1, at(0)), Ok(()));
        }
        assert_eq!(quota.take(&most, 1, at(0)), Err(CROWDED_MS));
        assert_eq!(quota.take(&most, 1, at(5_000)), Ok(()));
        assert!(quota.limiter.len() < CALLERS_MAX);
    }
}
