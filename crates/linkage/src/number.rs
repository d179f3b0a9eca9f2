//! Numbers: counts as reals, draws of durations, and buckets.

use rand::{Rng, RngExt};
use std::time::Duration;

/// Milliseconds of a second.
pub const SECOND: u64 = 1_000;
/// Milliseconds of a minute.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds of an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Milliseconds of a day.
pub const DAY: u64 = 24 * HOUR;

/// A count as a real number; counts beyond 2^32 are not met here and count as that.
#[must_use]
pub fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// Milliseconds as seconds.
#[must_use]
pub fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// Draws from the exponential distribution of this mean, in milliseconds.
pub fn exponential(mean_ms: f64, rng: &mut impl Rng) -> u64 {
    let uniform: f64 = rng.random();
    millis(-(1.0 - uniform).ln() * mean_ms)
}

/// Draws from a log-normal distribution, in milliseconds: `spread` is the standard deviation of the
/// logarithm.
pub fn log_normal(median_ms: f64, spread: f64, rng: &mut impl Rng) -> u64 {
    // Box and Muller 1958.
    let (one, two): (f64, f64) = (rng.random(), rng.random());
    let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    millis(median_ms * (spread * normal).exp())
}

/// Whole milliseconds of a real number of them; nothing for what is negative or too long.
#[must_use]
pub fn millis(ms: f64) -> u64 {
    let duration = Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `later` less `earlier`, whichever is the later.
#[must_use]
pub fn gap(earlier: u64, later: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(later).saturating_sub(signed(earlier))
}

/// In which bucket a value lies, of one more than there are ascending edges.
#[must_use]
pub fn bucket(value: i64, edges: &[i64]) -> usize {
    edges.partition_point(|edge| *edge <= value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn draws_have_the_mean_and_the_median_asked_for() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut draws: Vec<u64> = (0..4_001).map(|_| log_normal(1_000.0, 0.5, &mut rng)).collect();
        draws.sort_unstable();
        assert!((900..1_100).contains(&draws[2_000]), "{}", draws[2_000]);
        let sum: u64 = (0..4_000).map(|_| exponential(1_000.0, &mut rng)).sum();
        assert!((3_700_000..4_300_000).contains(&sum), "{sum}");
    }

    #[test]
    fn values_fall_between_edges() {
        let edges = [-5, 0, 7];
        let found: Vec<usize> = [-6, -5, -1, 0, 6, 7, 9].iter().map(|value| bucket(*value, &edges)).collect();
        assert_eq!(found, [0, 1, 1, 2, 2, 3, 3]);
        assert_eq!((gap(3, 5), gap(5, 3)), (2, -2));
    }
}
