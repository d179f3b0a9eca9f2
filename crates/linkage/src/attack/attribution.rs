//! Which grants belong to a known encounter?
//!
//! The adversary knows the stay to the minute and the enrolment of its first device, and names one of the
//! grants that were committed during the stay. A guess takes any of them. What gives a grant away: how long
//! after the enrolment it was committed, how many grants lie between, how many blocks, how far from the end of
//! the enrolment it ended, and how far from the known end of the stay. Which of these to look at is chosen where the adversary learns.

use super::bayes::{Bayes, Settled};
use super::{Case, fifth};
use crate::ledger::{Eyes, Kind};
use crate::number::{MINUTE, bucket, gap, real};
use crate::score::{Score, Trial};

/// Milliseconds.
const DELAYS: [i64; 30] = [
    -600_000, -60_000, -10_000, -1_000, -200, 0, 20, 40, 60, 80, 100, 130, 160, 200, 300, 500, 1_000, 2_000,
    5_000, 10_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 300_000, 600_000, 1_200_000, 3_600_000,
];
/// Blocks.
const BLOCKS: [i64; 10] = [-8, -2, 0, 1, 2, 3, 4, 6, 10, 20];
/// Grants.
const RANKS: [i64; 7] = [0, 1, 2, 3, 4, 6, 10];
/// Milliseconds.
const ENDS: [i64; 12] = [
    -28_800_000,
    -7_200_000,
    -1_800_000,
    -600_000,
    -60_000,
    0,
    60_000,
    300_000,
    600_000,
    1_200_000,
    2_400_000,
    7_200_000,
];
const FEATURES: [usize; 5] =
    [DELAYS.len() + 1, RANKS.len() + 1, ENDS.len() + 4, BLOCKS.len() + 1, ENDS.len() + 2];
/// Ways to look.
const LOOKS: [&[usize]; 7] = [&[0], &[1], &[0, 2], &[0, 4], &[0, 2, 4], &[0, 1, 4], &[0, 1, 2, 3, 4]];
/// Grants of one stay looked at while learning.
const LEARNED_MAX: usize = 400;

/// What is known of an encounter, and the grants that may be its.
struct Asked<'a> {
    first: usize,
    until: u64,
    grants: Vec<&'a usize>,
}

/// Tries on `case` what was learned on `own`.
#[must_use]
pub fn attack(own: &Case<'_>, case: &Case<'_>, eyes: Eyes) -> Vec<Trial> {
    let bayes = learn(own, eyes);
    let success = |look: &&[usize]| {
        let trials = tries(own, eyes, &bayes.with(look).settle());
        Score::of(&trials).adversary
    };
    let best = LOOKS.into_iter().max_by(|one, two| success(one).total_cmp(&success(two)));
    tries(case, eyes, &bayes.with(best.unwrap_or(&[0])).settle())
}

fn learn(own: &Case<'_>, eyes: Eyes) -> Bayes {
    let mut bayes = Bayes::new(&FEATURES);
    for encounter in 0..own.world.encounters.len() {
        let Some(asked) = ask(own, encounter, eyes) else { continue };
        let step = asked.grants.len().div_ceil(LEARNED_MAX).max(1);
        for (number, grant) in asked.grants.iter().enumerate() {
            let belongs = own.truth.encounter.get(**grant) == Some(&Some(encounter));
            if belongs || number % step == 0 {
                bayes.learn(&features(own, &asked, **grant), belongs);
            }
        }
    }
    bayes
}

fn tries(case: &Case<'_>, eyes: Eyes, bayes: &Settled) -> Vec<Trial> {
    let mut trials = Vec::new();
    for encounter in
        (0..5).flat_map(|turn| (0..case.world.encounters.len()).filter(move |one| fifth(*one) == turn))
    {
        let Some(asked) = ask(case, encounter, eyes) else { continue };
        let belongs = |grant: usize| case.truth.encounter.get(grant) == Some(&Some(encounter));
        // The guess does not know what only members do.
        let all = ask(case, encounter, Eyes::Ledger).map_or(Vec::new(), |asked| asked.grants);
        let mine = all.iter().filter(|grant| belongs(***grant)).count();
        if mine == 0 {
            continue;
        }
        let scored =
            asked.grants.iter().map(|grant| (**grant, bayes.score(&features(case, &asked, **grant))));
        let named = scored.max_by(|one, two| one.1.total_cmp(&two.1));
        let hit = named.is_some_and(|(grant, _)| belongs(grant));
        let guess = real(mine) / real(all.len().max(1));
        trials.push(Trial { hit: if hit { 1.0 } else { 0.0 }, guess, cluster: case.cluster(encounter) });
    }
    trials
}

fn ask<'a>(case: &Case<'a>, encounter: usize, eyes: Eyes) -> Option<Asked<'a>> {
    let first = (*case.truth.first.get(encounter)?)?;
    let stay = case.world.encounters.get(encounter)?;
    let (from, until) = (stay.from / MINUTE * MINUTE, stay.until.div_ceil(MINUTE) * MINUTE);
    let hospital = case.ledger.seen(first)?.member;
    let here = |grant: &&usize| match case.ledger.origin(**grant, eyes) {
        Some(origin) => Some(origin) == hospital,
        None => true,
    };
    let grants = case.ledger.between(Kind::Grant, from, until).iter().filter(here).collect();
    Some(Asked { first, until, grants })
}

fn features(case: &Case<'_>, asked: &Asked<'_>, grant: usize) -> [usize; 5] {
    let first = asked.first;
    let (Some(enrolled), Some(granted)) = (case.ledger.seen(first), case.ledger.seen(grant)) else {
        return [0; 5];
    };
    let delay = gap(enrolled.at, granted.at);
    let near = delay.unsigned_abs() <= 10 * MINUTE;
    let between =
        if near { case.ledger.between(Kind::Grant, enrolled.at, granted.at).len() } else { usize::MAX };
    let rank = if delay < 0 { -1 } else { i64::try_from(between).unwrap_or(i64::MAX) };
    let ends = match (case.ledger.ended(first), case.ledger.ended(grant)) {
        (Some(device), Some(grant)) => bucket(gap(device, grant), &ENDS),
        (Some(_), None) => ENDS.len() + 1,
        (None, Some(_)) => ENDS.len() + 2,
        (None, None) => ENDS.len() + 3,
    };
    [
        bucket(delay, &DELAYS),
        bucket(rank, &RANKS),
        ends,
        bucket(gap(enrolled.height, granted.height), &BLOCKS),
        case.ledger.ended(grant).map_or(ENDS.len() + 1, |ended| bucket(gap(asked.until, ended), &ENDS)),
    ]
}
