//! Whose data was read?
//!
//! For each access record the adversary names one of the encounters whose enrolment stands at that time. A
//! guess takes any of them. A record of nothing, where there is cover, is a miss for both, since neither can
//! tell it from others. What gives an access away: wards look soon after an admission, and on rounds
//! until the discharge; a member sees beside that at which hospital it was made.

use super::Case;
use super::bayes::{Bayes, Settled};
use crate::ledger::{Eyes, Kind};
use crate::number::{bucket, gap, real};
use crate::score::Trial;

/// Milliseconds since the admission.
const SINCE: [i64; 14] = [
    300_000,
    420_000,
    600_000,
    900_000,
    1_200_000,
    1_800_000,
    2_700_000,
    3_600_000,
    5_400_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
];
/// Milliseconds until the discharge.
const LEFT: [i64; 7] = [0, 600_000, 1_800_000, 3_600_000, 10_800_000, 43_200_000, 86_400_000];
/// Of the accesses, one in so many is tried.
const EVERY: usize = 3;

/// Trials of cover are counted as of patients from this number on.
const NOBODY: usize = 100_000;

/// An encounter by its first enrolment: where, from when, until when.
struct Stay {
    encounter: usize,
    member: Option<u16>,
    from: u64,
    until: Option<u64>,
}

/// Tries on `case` what was learned on `own`.
#[must_use]
pub fn attack(own: &Case<'_>, case: &Case<'_>, eyes: Eyes) -> Vec<Trial> {
    let bayes = learn(own);
    let stays = stays(case);
    let accesses = case.ledger.places(Kind::Access).iter().step_by(EVERY);
    accesses.filter_map(|access| attempt(case, *access, &stays, &bayes, eyes)).collect()
}

fn stays(case: &Case<'_>) -> Vec<Stay> {
    let first = case.truth.first.iter().enumerate();
    first
        .filter_map(|(encounter, first)| {
            let seen = case.ledger.seen((*first)?)?;
            let until = case.ledger.ended((*first)?);
            Some(Stay { encounter, member: seen.member, from: seen.at, until })
        })
        .collect()
}

fn present(stays: &[Stay], at: u64) -> impl Iterator<Item = &Stay> {
    stays.iter().filter(move |stay| stay.from <= at && stay.until.is_none_or(|until| at < until))
}

fn features(stay: &Stay, at: u64) -> [usize; 2] {
    let left = stay.until.map_or(LEFT.len() + 1, |until| bucket(gap(at, until), &LEFT));
    [bucket(gap(stay.from, at), &SINCE), left]
}

fn learn(own: &Case<'_>) -> Settled {
    let mut bayes = Bayes::new(&[SINCE.len() + 1, LEFT.len() + 2]);
    let stays = stays(own);
    for access in own.ledger.places(Kind::Access) {
        let Some(Some(truth)) = own.truth.encounter.get(*access) else { continue };
        let Some(at) = own.ledger.seen(*access).map(|seen| seen.at) else { continue };
        for stay in present(&stays, at) {
            bayes.learn(&features(stay, at), stay.encounter == *truth);
        }
    }
    bayes.settle()
}

fn attempt(case: &Case<'_>, access: usize, stays: &[Stay], bayes: &Settled, eyes: Eyes) -> Option<Trial> {
    let Some(truth) = *case.truth.encounter.get(access)? else {
        return Some(Trial { hit: 0.0, guess: 0.0, cluster: case.offset + NOBODY + access % NOBODY });
    };
    let at = case.ledger.seen(access)?.at;
    let origin = case.ledger.origin(access, eyes);
    let all = present(stays, at).count();
    let here = present(stays, at).filter(|stay| origin.is_none() || stay.member == origin);
    let scored = here.map(|stay| (stay.encounter, bayes.score(&features(stay, at))));
    let (named, _) = scored.max_by(|one, two| one.1.total_cmp(&two.1))?;
    let hit = if named == truth { 1.0 } else { 0.0 };
    Some(Trial { hit, guess: 1.0 / real(all.max(1)), cluster: case.cluster(truth) })
}
