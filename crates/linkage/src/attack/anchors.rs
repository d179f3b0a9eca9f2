//! How busy is a gateway?
//!
//! Of two minutes of one gateway's anchors, at one hour of two days, the adversary says in which more
//! devices were there: the one with more anchors. Which patients they belong to it cannot say by anchors; but
//! a number of devices that goes up by one tells of an admission.

use super::Case;
use crate::number::real;
use crate::score::Trial;

/// Tries on `case`; there is nothing to learn.
#[must_use]
pub fn attack(case: &Case<'_>) -> Vec<Trial> {
    let windows: Vec<_> = case.ledger.windows.iter().zip(&case.truth.devices).collect();
    let days = usize::try_from(case.world.region.days).unwrap_or(usize::MAX);
    let mut trials = Vec::new();
    for (number, (one, devices)) in windows.iter().enumerate() {
        let later = windows.iter().skip(number + 1).take_while(|(two, _)| two.gateway == one.gateway);
        for (two, others) in later.filter(|(two, _)| two.hour % 24 == one.hour % 24) {
            if devices == others {
                continue;
            }
            let said = one.anchors.cmp(&two.anchors);
            let hit = if said.is_eq() {
                0.5
            } else if said == devices.cmp(others) {
                1.0
            } else {
                0.0
            };
            let day = usize::try_from(one.hour / 24).unwrap_or(0);
            let cluster = case.offset + usize::from(one.gateway) * days + day;
            trials.push(Trial { hit, guess: 0.5, cluster });
        }
    }
    trials
}

/// The correlation (Pearson's) of anchors and devices over all minutes; nothing when one never changes.
#[must_use]
pub fn correlation(case: &Case<'_>) -> Option<f64> {
    let windows = case.ledger.windows.iter().map(|window| real(window.anchors));
    let pairs: Vec<(f64, f64)> =
        windows.zip(case.truth.devices.iter().map(|devices| real(*devices))).collect();
    let count = real(pairs.len().max(1));
    let mean = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / count;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |value: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>();
    let both = sum(&|pair| (pair.0 - x) * (pair.1 - y));
    let alone = (sum(&|pair| (pair.0 - x).powi(2)) * sum(&|pair| (pair.1 - y).powi(2))).sqrt();
    (alone > 0.0).then(|| both / alone)
}
