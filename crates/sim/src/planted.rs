//! How many seeds it takes to find each bug that is planted in the product.

use crate::plan::Plan;
use crate::run::run;
use salus_planted::{Bug, arm};

/// What came of the search for one bug.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The bug.
    pub bug: Bug,
    /// The seed at which each search began.
    pub from: u64,
    /// Seeds up to and with the one that found it; nothing when none did.
    pub seeds: Option<u64>,
    /// The promise that was broken there.
    pub promise: String,
}

/// Runs one seed after the other with the bug in place, on this thread, until a promise is broken.
#[must_use]
pub fn hunt(bug: Bug, from: u64, seeds_max: u64, members: u16) -> Hunt {
    arm(Some(bug));
    let found = (from..from.saturating_add(seeds_max)).find_map(|seed| {
        let outcome = run(seed, Plan::draw(seed, members));
        outcome.broken.map(|broken| (seed, broken.promise.to_owned()))
    });
    arm(None);
    let seeds = found.as_ref().map(|(seed, _)| seed - from + 1);
    Hunt { bug, from, seeds, promise: found.map(|(_, promise)| promise).unwrap_or_default() }
}
