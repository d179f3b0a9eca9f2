//! How many patients on one day.

use crate::find::{Finding, Reason};
use salus_crypto::digest::Digest;
use salus_wire::PartyId;
use salus_wire::activity::Activity;
use std::collections::{BTreeMap, BTreeSet};

/// Days of somebody's own from which what is usual for them is known; before, it is what is usual for all.
const DAYS_MIN: usize = 10;
/// Patients on one day that are never too many.
const PATIENTS_MIN: u32 = 10;
/// How many times what is usual for all is too many for anybody, however usual it is for them.
const EVERYBODY_TIMES: u32 = 3;
/// How many times the usual deviation from the median is too many.
const DEVIATIONS: u32 = 5;

/// The days on which somebody looked at far more patients than usual.
pub(crate) fn days(rows: &[&Activity]) -> Vec<Finding> {
    let mut patients: BTreeMap<PartyId, BTreeMap<u32, BTreeSet<Digest>>> = BTreeMap::new();
    for row in rows {
        patients.entry(row.requester).or_default().entry(row.day()).or_default().insert(row.patient);
    }
    let count = |patients: &BTreeSet<Digest>| u32::try_from(patients.len()).unwrap_or(u32::MAX);
    let everybody = usual(patients.values().flat_map(BTreeMap::values).map(count).collect());
    let mut findings = Vec::new();
    for (requester, days) in &patients {
        let own = if days.len() < DAYS_MIN { everybody } else { usual(days.values().map(count).collect()) };
        let usual = own.min(everybody.saturating_mul(EVERYBODY_TIMES));
        for (day, patients) in days.iter().filter(|(_, patients)| count(patients) > usual) {
            findings.push(Finding {
                requester: *requester,
                patient: None,
                day: *day,
                accesses: Vec::new(),
                reasons: BTreeSet::from([Reason::Volume { patients: count(patients), usual }]),
            });
        }
    }
    findings
}

/// The most that is usual: the median, and several times the median deviation from it or the deviation of a
/// Poisson count, whichever is more.
fn usual(counts: Vec<u32>) -> u32 {
    let middle = median(counts.clone());
    let deviation = median(counts.into_iter().map(|count| count.abs_diff(middle)).collect());
    let spread = deviation.saturating_mul(3).div_euclid(2).max(middle.isqrt()).max(1);
    middle.saturating_add(spread.saturating_mul(DEVIATIONS)).max(PATIENTS_MIN)
}

fn median(mut counts: Vec<u32>) -> u32 {
    let middle = counts.len() / 2;
    if counts.is_empty() { 0 } else { *counts.select_nth_unstable(middle).1 }
}
