//! Learning from examples: the logarithm of a likelihood ratio, each feature by itself (naive Bayes).

use crate::number::real;

/// What was learned.
#[derive(Clone, Debug)]
pub struct Bayes {
    /// Of each feature, how often each bucket was met: among what belongs, and among what does not.
    counts: Vec<Vec<(f64, f64)>>,
    /// The features that are looked at.
    used: Vec<usize>,
}

impl Bayes {
    /// Knows nothing; a number of buckets for each feature.
    #[must_use]
    pub fn new(buckets: &[usize]) -> Self {
        let counts = buckets.iter().map(|count| vec![(0.5, 0.5); *count]).collect();
        Self { counts, used: (0..buckets.len()).collect() }
    }

    /// Learns from one example.
    pub fn learn(&mut self, features: &[usize], belongs: bool) {
        for (counts, bucket) in self.counts.iter_mut().zip(features) {
            if let Some((own, other)) = counts.get_mut(*bucket) {
                *(if belongs { own } else { other }) += 1.0;
            }
        }
    }

    /// The same, looking at some features only.
    #[must_use]
    pub fn with(&self, used: &[usize]) -> Self {
        Self { counts: self.counts.clone(), used: used.to_vec() }
    }

    /// Above 0 for what rather belongs.
    #[must_use]
    pub fn score(&self, features: &[usize]) -> f64 {
        self.used.iter().filter_map(|feature| self.ratio(*feature, *features.get(*feature)?)).sum()
    }

    fn ratio(&self, feature: usize, bucket: usize) -> Option<f64> {
        let counts = self.counts.get(feature)?;
        let (own, other) = counts.get(bucket)?;
        let buckets = real(counts.len());
        let total = |side: fn(&(f64, f64)) -> f64| counts.iter().map(side).sum::<f64>().max(buckets / 2.0);
        let (owns, others) = (total(|pair| pair.0), total(|pair| pair.1));
        Some((own / owns).ln() - (other / others).ln())
    }

    /// Gives every bucket its ratio once and for all.
    #[must_use]
    pub fn settle(&self) -> Settled {
        let weight = |feature: usize, count: usize| -> Vec<f64> {
            (0..count).map(|bucket| self.ratio(feature, bucket).unwrap_or(0.0)).collect()
        };
        let used = |feature: usize, counts: &Vec<(f64, f64)>| {
            if self.used.contains(&feature) { weight(feature, counts.len()) } else { vec![0.0; counts.len()] }
        };
        Settled(self.counts.iter().enumerate().map(|(feature, counts)| used(feature, counts)).collect())
    }
}

/// Ready to score many.
#[derive(Clone, Debug)]
pub struct Settled(Vec<Vec<f64>>);

impl Settled {
    /// Above 0 for what rather belongs.
    #[must_use]
    pub fn score(&self, features: &[usize]) -> f64 {
        self.0.iter().zip(features).filter_map(|(weights, bucket)| weights.get(*bucket)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_met_among_what_belongs_counts_for_it() {
        let mut bayes = Bayes::new(&[2, 2]);
        for _ in 0..10 {
            bayes.learn(&[0, 0], true);
            bayes.learn(&[1, 0], false);
        }
        assert!(bayes.score(&[0, 0]) > 2.0 && bayes.score(&[1, 0]) < -2.0);
        assert!((bayes.score(&[0, 1]) - bayes.score(&[0, 0])).abs() < 0.01);
        assert!(bayes.with(&[1]).score(&[0, 0]).abs() < 1e-9);
        for features in [[0, 0], [1, 1]] {
            assert!((bayes.settle().score(&features) - bayes.score(&features)).abs() < 1e-9);
        }
    }
}
