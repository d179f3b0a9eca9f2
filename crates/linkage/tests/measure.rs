//! That the measure measures: it calls a shuffled ledger guessing, and finds mistakes that are planted.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test cannot do without, it may stop at"
)]

use salus_linkage::measure::TASKS;
use salus_linkage::score::{AIM_POINTS, Score};
use salus_linkage::{Leak, Policy, Region, Report, Setting, measure};

const GRANT: usize = 0;
const GRANT_AS_MEMBER: usize = 1;
const SAME_HOSPITAL: usize = 5;
const ANOTHER: usize = 6;
const BUSIER: usize = 7;

fn small(policies: &[Policy], leak: Leak, shuffled_patients: bool) -> Report {
    let region = Region { members: 4, gateways: 4, patients: 90, days: 6 };
    let setting =
        Setting { region, worlds: 2, seed: 11, policies: policies.to_vec(), leak, shuffled_patients };
    measure(&setting).unwrap()
}

fn score(report: &Report, policy: Policy, task: usize) -> Score {
    let score = report.score(policy.name, task).unwrap();
    assert!(score.trials >= 40, "{}: {score:?}", TASKS[task].0);
    score
}

/// Every transaction at a time of its own: which grant belongs to whom must be a guess. The margins are wide, as
/// the region is small.
#[test]
fn a_shuffled_ledger_is_a_guess() {
    let report = small(&[Policy::SHUFFLED, Policy::TODAY], Leak::Nothing, true);
    for task in [GRANT, SAME_HOSPITAL, ANOTHER] {
        let score = score(&report, Policy::SHUFFLED, task);
        assert!(score.points().abs() <= score.margin, "{}: {score:?}", TASKS[task].0);
    }
    // Of patients without habits nothing is learned, but the times of their grants are theirs all the same.
    let same = score(&report, Policy::TODAY, SAME_HOSPITAL);
    assert!(same.points().abs() <= same.margin, "{same:?}");
    let grant = score(&report, Policy::TODAY, GRANT);
    assert!(grant.points() - grant.margin > 20.0, "{grant:?}");
}

#[test]
fn planted_leaks_are_found() {
    let clean = small(&[Policy::TODAY], Leak::Nothing, false);
    let clean = [SAME_HOSPITAL, ANOTHER].map(|task| score(&clean, Policy::TODAY, task));
    for leak in [Leak::BodyLength, Leak::ReusedKey] {
        let report = small(&[Policy::TODAY], leak, false);
        let spoilt = [SAME_HOSPITAL, ANOTHER].map(|task| score(&report, Policy::TODAY, task));
        for (clean, spoilt) in clean.iter().zip(spoilt) {
            let rise = spoilt.adversary - clean.adversary;
            assert!(rise > 10.0 && spoilt.verdict() == "missed", "{leak:?}: {clean:?} {spoilt:?}");
        }
    }
}

/// Anchors at every tick say nothing; cover and waiting bring a guess nearer.
#[test]
fn what_is_proposed_has_an_effect() {
    // A quarter of the cover, for a small region.
    let full = Policy { cover_grants_per_hour: 90, cover_accesses_per_hour: 9, ..Policy::FULL };
    let report = small(&[Policy::TODAY, full], Leak::Nothing, false);
    let busier = score(&report, Policy::FULL, BUSIER);
    assert!(busier.points().abs() < 1e-9, "{busier:?}");
    assert!(score(&report, Policy::TODAY, BUSIER).points() > 10.0);
    for task in [GRANT, GRANT_AS_MEMBER] {
        let (today, full) = (score(&report, Policy::TODAY, task), score(&report, Policy::FULL, task));
        assert!(full.points() < today.points() / 4.0, "{today:?} {full:?}");
        assert!(today.points() > AIM_POINTS, "{today:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let once = || small(&[Policy::SPREAD], Leak::Nothing, false).value();
    assert_eq!(once(), once());
}
