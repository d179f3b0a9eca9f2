//! How much better than guessing: means over trials, with what is certain about them.
//!
//! Trials of one patient are not independent; the interval treats each patient as one draw (a cluster-robust
//! variance of the mean difference) and is never shorter than three in the number of patients, the 95 % bound
//! when all agree (Hanley and Lippman-Hand 1983).

use crate::number::real;
use std::collections::BTreeMap;

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// 1 for a success, 0 for none; between for a draw.
    pub hit: f64,
    /// The probability with which a guess would have succeeded.
    pub guess: f64,
    /// Trials of one number belong together.
    pub cluster: usize,
}

/// What came of all attempts. All shares are percentages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// How many attempts.
    pub trials: usize,
    /// How often a guess succeeds.
    pub guess: f64,
    /// How often the adversary does.
    pub adversary: f64,
    /// Half of the 95 % interval of the difference.
    pub margin: f64,
}

/// The aim: at most so many points above a guess.
pub const AIM_POINTS: f64 = 5.0;

impl Score {
    /// Sums up.
    #[must_use]
    pub fn of(trials: &[Trial]) -> Self {
        let count = real(trials.len().max(1));
        let mean = |value: fn(&Trial) -> f64| trials.iter().map(value).sum::<f64>() / count;
        let (hit, guess) = (mean(|trial| trial.hit), mean(|trial| trial.guess));
        let mut clusters: BTreeMap<usize, f64> = BTreeMap::new();
        for trial in trials {
            *clusters.entry(trial.cluster).or_default() += trial.hit - trial.guess - (hit - guess);
        }
        let number = real(clusters.len().max(2));
        let squares: f64 = clusters.values().map(|sum| sum * sum).sum();
        let error = (squares * number / (number - 1.0)).sqrt() / count;
        let margin = (1.96 * error).max(3.0 / number).min(1.0);
        Self { trials: trials.len(), guess: 100.0 * guess, adversary: 100.0 * hit, margin: 100.0 * margin }
    }

    /// By how many points the adversary is better than a guess.
    #[must_use]
    pub fn points(&self) -> f64 {
        self.adversary - self.guess
    }

    /// What can be said of the aim.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        if self.points() - self.margin > AIM_POINTS {
            "missed"
        } else if self.points() + self.margin <= AIM_POINTS {
            "met"
        } else {
            "open"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(hits: usize, all: usize) -> Vec<Trial> {
        (0..all).map(|n| Trial { hit: if n < hits { 1.0 } else { 0.0 }, guess: 0.5, cluster: n }).collect()
    }

    #[test]
    fn the_interval_is_the_binomial_one_for_single_trials_and_wider_for_repeated_ones() {
        let score = Score::of(&trials(520, 1_000));
        assert!((score.points() - 2.0).abs() < 1e-9 && (score.margin - 3.1).abs() < 0.01, "{score:?}");
        assert_eq!(score.verdict(), "open");
        let mut repeated = trials(520, 1_000);
        repeated.iter_mut().for_each(|trial| trial.cluster /= 10);
        assert!(Score::of(&repeated).margin > 2.5 * score.margin);
        assert_eq!(Score::of(&trials(700, 1_000)).verdict(), "missed");
        assert_eq!(Score::of(&trials(4_900, 10_000)).verdict(), "met");
        assert!((Score::of(&trials(100, 100)).margin - 3.0).abs() < 1e-9);
    }
}
