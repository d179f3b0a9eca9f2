//! Remembers requests for as long as a copy of one could pass for fresh, and no longer. Bounded:
//! a full memory admits nothing new rather than forget something live.

use crate::denied::Denied;
use salus_crypto::sign::PublicKey;
use salus_planted::{Bug, is};
use salus_wire::TimeMs;
use salus_wire::limits::REQUEST_SKEW_MS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Requests remembered at once.
pub const REPLAY_MAX: usize = 65_536;

/// What makes one request: its one-time key and its nonce.
type Request = (PublicKey, [u8; 16]);

/// The requests seen within the time for which their age would still be accepted.
#[derive(Default)]
pub(crate) struct Replay {
    seen: BTreeSet<Request>,
    /// By the last time at which a copy would still be young enough.
    until: BTreeMap<TimeMs, Vec<Request>>,
}

impl Replay {
    /// Accepts a request once, within [`REQUEST_SKEW_MS_MAX`] of its sending time.
    pub(crate) fn accept(
        &mut self,
        one_time: PublicKey,
        nonce: [u8; 16],
        sent: TimeMs,
        now: TimeMs,
    ) -> Result<(), Denied> {
        let apart = now.since_ms(sent).max(sent.since_ms(now));
        if apart > REQUEST_SKEW_MS_MAX && !is(Bug::OldRequestAdmitted) {
            return Err(Denied::NotJustNow);
        }
        self.forget(now);
        let request = (one_time, nonce);
        if self.seen.contains(&request) && !is(Bug::ReplayForgotten) {
            return Err(Denied::Replayed);
        }
        if self.seen.len() >= REPLAY_MAX {
            return Err(Denied::ReplayFull);
        }
        self.seen.insert(request);
        self.until.entry(sent.plus_ms(REQUEST_SKEW_MS_MAX)).or_default().push(request);
        Ok(())
    }

    /// Drops what a copy of could no longer pass the age check.
    fn forget(&mut self, now: TimeMs) {
        let live = self.until.split_off(&now);
        for request in std::mem::replace(&mut self.until, live).into_values().flatten() {
            self.seen.remove(&request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey::from_bytes([1; 32]);

    fn at(ms: u64) -> TimeMs {
        TimeMs::new(1_000_000 + ms)
    }

    fn nonce(n: usize) -> [u8; 16] {
        u128::try_from(n).unwrap().to_be_bytes()
    }

    #[test]
    fn a_request_passes_once_and_only_when_young() {
        let mut replay = Replay::default();
        let skew = REQUEST_SKEW_MS_MAX;
        for (n, sent, now, expected) in [
            (0, 0, 0, Ok(())),
            (0, 0, 0, Err(Denied::Replayed)),
            (0, 0, skew, Err(Denied::Replayed)),
            (0, 0, skew + 1, Err(Denied::NotJustNow)),
            (1, skew + 1, skew + 1, Ok(())),
            (1, 2 * skew + 2, skew + 1, Err(Denied::NotJustNow)),
            (1, 2 * skew + 1, skew + 1, Err(Denied::Replayed)),
            (2, 2 * skew + 1, skew + 1, Ok(())),
        ] {
            assert_eq!(replay.accept(KEY, nonce(n), at(sent), at(now)), expected, "{n} {sent} {now}");
        }
    }

    #[test]
    fn a_copy_is_refused_at_every_moment_of_its_life() {
        for sent in [0, 7, REQUEST_SKEW_MS_MAX] {
            let mut replay = Replay::default();
            let first = sent.saturating_sub(REQUEST_SKEW_MS_MAX);
            assert_eq!(replay.accept(KEY, nonce(0), at(sent), at(first)), Ok(()));
            for now in first..=sent + REQUEST_SKEW_MS_MAX + 2 {
                assert!(replay.accept(KEY, nonce(0), at(sent), at(now)).is_err(), "{sent} {now}");
            }
        }
    }

    #[test]
    fn a_full_memory_admits_nothing_until_time_frees_it() {
        let mut replay = Replay::default();
        for n in 0..REPLAY_MAX {
            assert_eq!(replay.accept(KEY, nonce(n), at(0), at(0)), Ok(()));
        }
        assert_eq!(replay.accept(KEY, nonce(REPLAY_MAX), at(1), at(1)), Err(Denied::ReplayFull));
        let later = REQUEST_SKEW_MS_MAX + 1;
        assert_eq!(replay.accept(KEY, nonce(REPLAY_MAX), at(later), at(later)), Ok(()));
        assert_eq!(replay.seen.len(), 1);
        assert_eq!(replay.until.len(), 1);
    }
}
