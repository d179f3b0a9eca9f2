//! How fast the ledger takes transactions, so that whoever is refused hears when there will be room.
//!
//! It looks at the last final blocks and at their own times, so it has no clock. It promises an
//! estimate, and that the estimate is within named limits whatever the blocks say.

use salus_wire::TimeMs;
use std::collections::VecDeque;

/// Blocks that the estimate looks at.
const BLOCKS_MAX: usize = 32;
/// The shortest time to wait.
const RETRY_MS_MIN: u64 = 50;
/// The longest.
const RETRY_MS_MAX: u64 = 10_000;
/// The time to wait while nothing is known.
const RETRY_MS: u64 = 1_000;

/// See the head of this module.
#[derive(Default)]
pub(crate) struct Pace {
    /// Times of blocks with how many transactions each had, oldest first.
    blocks: VecDeque<(TimeMs, usize)>,
}

impl Pace {
    /// Notes a final block.
    pub(crate) fn note(&mut self, time: TimeMs, txs: usize) {
        if self.blocks.len() >= BLOCKS_MAX {
            self.blocks.pop_front();
        }
        self.blocks.push_back((time, txs));
    }

    /// Milliseconds in which the ledger will have taken `waiting` transactions.
    pub(crate) fn drained_in_ms(&self, waiting: usize) -> u32 {
        let ms = self.estimate(waiting).unwrap_or(RETRY_MS).clamp(RETRY_MS_MIN, RETRY_MS_MAX);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    fn estimate(&self, waiting: usize) -> Option<u64> {
        let ((first, _), (last, _)) = (self.blocks.front()?, self.blocks.back()?);
        // The first block's transactions came before the time that is measured.
        let taken: usize = self.blocks.iter().skip(1).map(|(_, txs)| txs).sum();
        let (taken, waiting) = (u64::try_from(taken).ok()?, u64::try_from(waiting).ok()?);
        waiting.saturating_mul(last.since_ms(*first)).checked_div(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_follows_from_what_waits_and_how_fast_it_goes() {
        let mut pace = Pace::default();
        assert_eq!(pace.drained_in_ms(500), 1_000);
        for block in 0..100 {
            pace.note(TimeMs::new(block * 100), 50);
        }
        // 50 in 100 ms.
        for (waiting, expected) in [(0, 50), (500, 1_000), (1_000, 2_000), (usize::MAX, 10_000)] {
            assert_eq!(pace.drained_in_ms(waiting), expected, "{waiting}");
        }
        for block in 100..200 {
            pace.note(TimeMs::new(block * 100), 0);
        }
        assert_eq!(pace.drained_in_ms(500), 1_000);
    }
}
