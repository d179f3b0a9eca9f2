//! How long a caller goes on asking a busy member. The member says when to come again; the caller
//! believes that within limits, comes a little later than told so that all who were refused together
//! do not come together, and gives up in time.

use std::time::Duration;

/// Times that one question is asked again.
const TRIES_MAX: u32 = 20;
/// The shortest pause, whatever a member says.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest: a member that lies about when it has room holds nobody up for longer.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is left of a caller's patience with one question.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    left: Duration,
    tries: u32,
}

impl Patience {
    /// Patience for pauses of `within` together.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self { left: within, tries: TRIES_MAX }
    }

    /// How long to pause before asking again: at least as long as told and at most half as long again,
    /// as `random` has it. `None` when asking again will not help, or not in time.
    pub fn pause(&mut self, retry_after_ms: u32, random: u32) -> Option<Duration> {
        if retry_after_ms == 0 {
            return None;
        }
        let told = Duration::from_millis(u64::from(retry_after_ms)).clamp(PAUSE_MIN, PAUSE_MAX);
        let more = told.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0);
        self.tries = self.tries.checked_sub(1)?;
        self.left = self.left.checked_sub(told.saturating_add(more))?;
        Some(told.saturating_add(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_pause_is_as_long_as_told_and_a_little_longer() {
        let mut patience = Patience::new(MS(60_000));
        for (told, random, expected) in [
            (100, 0, Some(MS(100))),
            (100, u32::MAX, Some(MS(150))),
            (1, 0, Some(PAUSE_MIN)),
            (u32::MAX, 0, Some(PAUSE_MAX)),
            (0, 7, None),
        ] {
            assert_eq!(patience.pause(told, random), expected, "{told} {random}");
        }
    }

    #[test]
    fn patience_ends() {
        let mut patience = Patience::new(MS(1_000));
        assert_eq!(patience.pause(600, 0), Some(MS(600)));
        assert_eq!(patience.pause(600, 0), None);
        assert_eq!(patience.pause(400, 0), Some(MS(400)));
        let mut patience = Patience::new(MS(60_000));
        let pauses = std::iter::from_fn(|| patience.pause(1, u32::MAX)).count();
        assert_eq!(u32::try_from(pauses), Ok(TRIES_MAX));
    }
}
