//! Is this the same patient again?
//!
//! An encounter is known by the enrolment of its first device; what else belongs to it the adversary infers.
//! Looked at are the hospital, the hour, the length of the stay, how many enrolments and grants stand near,
//! how long those grants are and which keys signed them. Two games: of two encounters, one of them known, say
//! whether the patient is the same; and to a known encounter find another of the patient's among all.

use super::bayes::{Bayes, Settled};
use super::{Case, fifth};
use crate::ledger::Kind;
use crate::number::{DAY, HOUR, MINUTE, SECOND, bucket, gap, real};
use crate::score::Trial;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Milliseconds.
const STAYS: [i64; 8] =
    [3_600_000, 7_200_000, 14_400_000, 28_800_000, 57_600_000, 115_200_000, 172_800_000, 345_600_000];
/// Days from one encounter to the next.
const APART: [i64; 6] = [1, 2, 3, 5, 7, 10];
const FEATURES: [usize; 8] = [2, 13, STAYS.len() + 1, 6, 6, APART.len() + 1, 3, 3];

/// Against whom a same patient's encounter is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Anybody.
    Anywhere,
    /// Somebody else at the same hospital, since the ledger names it openly.
    SameHospital,
}

/// What the ledger shows around an enrolment.
struct Profile {
    encounter: usize,
    member: Option<u16>,
    from: u64,
    until: Option<u64>,
    devices: usize,
    grants: usize,
    lengths: Vec<usize>,
    keys: Vec<u64>,
}

/// Of two encounters, says whether the patient is the same; half of the times it is.
#[must_use]
pub fn same(own: &Case<'_>, case: &Case<'_>, others: Others) -> Vec<Trial> {
    let bayes = learn(&profiles(own), own, others);
    let profiles = profiles(case);
    let mut trials = Vec::new();
    for (one, two, same) in pairs(&profiles, case, others, 1) {
        let said = bayes.score(&features(one, two));
        let hit = if said == 0.0 {
            0.5
        } else if (said > 0.0) == same {
            1.0
        } else {
            0.0
        };
        trials.push(Trial { hit, guess: 0.5, cluster: case.cluster(one.encounter) });
    }
    trials
}

/// To a known encounter, finds another of the patient's.
#[must_use]
pub fn find(own: &Case<'_>, case: &Case<'_>) -> Vec<Trial> {
    let bayes = learn(&profiles(own), own, Others::Anywhere);
    let profiles = profiles(case);
    let mut trials = Vec::new();
    for one in &profiles {
        let patient = case.patient(one.encounter);
        let unknown = |two: &&Profile| fifth(two.encounter) != fifth(one.encounter) && apart(one, two);
        let candidates: Vec<&Profile> = profiles.iter().filter(unknown).collect();
        let theirs = |two: &&&Profile| case.patient(two.encounter) == patient;
        let right = candidates.iter().filter(theirs).count();
        if right == 0 {
            continue;
        }
        let scored = candidates.iter().map(|two| (two, bayes.score(&features(one, two))));
        let named = scored.max_by(|one, two| one.1.total_cmp(&two.1));
        let hit = if named.is_some_and(|(two, _)| theirs(&two)) { 1.0 } else { 0.0 };
        let guess = real(right) / real(candidates.len());
        trials.push(Trial { hit, guess, cluster: case.cluster(one.encounter) });
    }
    trials
}

fn profiles(case: &Case<'_>) -> Vec<Profile> {
    let first = case.truth.first.iter().enumerate();
    first.filter_map(|(encounter, first)| profile(case, encounter, (*first)?)).collect()
}

fn profile(case: &Case<'_>, encounter: usize, first: usize) -> Option<Profile> {
    let seen = case.ledger.seen(first)?;
    let near = |kind: Kind, before: u64, after: u64| {
        case.ledger.between(kind, seen.at.saturating_sub(before), seen.at + after).iter()
    };
    let here = |place: &&usize| case.ledger.seen(**place).is_some_and(|other| other.member == seen.member);
    let devices = near(Kind::Enrol, 2 * MINUTE, 20 * MINUTE).filter(here).count();
    let grants: Vec<_> =
        near(Kind::Grant, 0, 2 * SECOND).filter_map(|place| case.ledger.seen(*place)).collect();
    Some(Profile {
        encounter,
        member: seen.member,
        from: seen.at,
        until: case.ledger.ended(first),
        devices: devices.min(20),
        grants: grants.len().min(20),
        lengths: grants.iter().map(|grant| grant.bytes).collect(),
        keys: grants.iter().map(|grant| grant.key).collect(),
    })
}

/// Whether the two do not overlap; a patient is in one place at a time.
fn apart(one: &Profile, two: &Profile) -> bool {
    one.until.is_none_or(|until| until <= two.from) || two.until.is_none_or(|until| until <= one.from)
}

fn features(one: &Profile, two: &Profile) -> [usize; 8] {
    let hours = (one.from % DAY / HOUR).abs_diff(two.from % DAY / HOUR);
    let stay = |profile: &Profile| {
        profile.until.map_or(STAYS.len(), |until| bucket(gap(profile.from, until), &STAYS))
    };
    let days = i64::try_from(one.from.abs_diff(two.from) / DAY).unwrap_or(i64::MAX);
    [
        usize::from(one.member == two.member),
        usize::try_from(hours.min(24 - hours)).unwrap_or(0),
        stay(one).abs_diff(stay(two)),
        one.devices.abs_diff(two.devices).min(5),
        one.grants.abs_diff(two.grants).min(5),
        bucket(days, &APART),
        shared(&one.lengths, &two.lengths),
        shared(&one.keys, &two.keys),
    ]
}

/// 0 when there is nothing to compare, 1 when nothing is shared, 2 when something is.
fn shared<T: PartialEq>(one: &[T], two: &[T]) -> usize {
    match () {
        () if one.is_empty() || two.is_empty() => 0,
        () => 1 + usize::from(one.iter().any(|item| two.contains(item))),
    }
}

fn learn(profiles: &[Profile], own: &Case<'_>, others: Others) -> Settled {
    let mut bayes = Bayes::new(&FEATURES);
    for seed in 2..6 {
        for (one, two, same) in pairs(profiles, own, others, seed) {
            bayes.learn(&features(one, two), same);
        }
    }
    bayes.settle()
}

/// For each pair of encounters of one patient, of which one is known and the other is not, beside it one of
/// the known encounter and somebody else's.
fn pairs<'a>(
    profiles: &'a [Profile],
    case: &Case<'_>,
    others: Others,
    seed: u64,
) -> Vec<(&'a Profile, &'a Profile, bool)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for one in profiles {
        let patient = case.patient(one.encounter);
        let unknown =
            profiles.iter().filter(|two| fifth(two.encounter) != fifth(one.encounter) && apart(one, two));
        for two in unknown.filter(|two| case.patient(two.encounter) == patient) {
            for _ in 0..200 {
                let Some(other) = profiles.get(rng.random_range(0..profiles.len())) else { continue };
                let fits = others == Others::Anywhere || other.member == two.member;
                let else_ = case.patient(other.encounter) != patient;
                if fits && else_ && fifth(other.encounter) != fifth(one.encounter) && apart(one, other) {
                    all.push((one, two, true));
                    all.push((one, other, false));
                    break;
                }
            }
        }
    }
    all
}
