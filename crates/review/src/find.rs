//! Gathers what the detectors say into findings: one for each person, patient and day, and one for each person
//! and day when it is about how many, or about a whole day among patients whom others look after.

use crate::facts::Facts;
use crate::{care, hours, surname, volume};
use salus_crypto::digest::Digest;
use salus_wire::activity::Activity;
use salus_wire::{AccessTag, PartyId};
use std::collections::{BTreeMap, BTreeSet};

/// Patients on one day to whom somebody has no care relation, and nothing else to ask about, from which it is one
/// question about that day: whoever helps on another ward is asked once.
const DAY_OF: usize = 3;

/// Why an access, or a day, should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The records of `patients` patients on one day, where `usual` are the most that is usual.
    Volume {
        /// Patients on that day.
        patients: u32,
        /// The most that would not be asked about.
        usual: u32,
    },
    /// Not on duty, or at an hour at which they are hardly ever there.
    OffHours,
    /// None or few of those who looked after the patient share other patients with them.
    NoCareRelation,
    /// The patient bears their surname, which few do.
    SameSurname,
    /// The patient is themselves.
    OwnRecord,
    /// The member watches this record.
    Watched,
}

/// What should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who looked.
    pub requester: PartyId,
    /// At whose record, as records of activity name them; `None` when it is about the whole day.
    pub patient: Option<Digest>,
    /// On which day: days of UTC since 1970-01-01.
    pub day: u32,
    /// Under which accesses; none when it is about how many alone.
    pub accesses: Vec<AccessTag>,
    /// Why, each once.
    pub reasons: BTreeSet<Reason>,
}

/// Finds what should be looked at: more reasons first, then in order of day. Rows that are there twice count
/// once.
#[must_use]
pub fn find(rows: &[Activity], facts: &Facts) -> Vec<Finding> {
    let once: BTreeMap<(PartyId, AccessTag), &Activity> =
        rows.iter().rev().map(|row| ((row.requester, row.access), row)).collect();
    let rows: Vec<&Activity> = once.into_values().collect();
    let mut looks: BTreeMap<(PartyId, Digest, u32), Finding> = BTreeMap::new();
    let mut note = |row: &Activity, reason: Reason| {
        let (requester, patient, day) = (row.requester, row.patient, row.day());
        let finding = looks.entry((requester, patient, day)).or_insert_with(|| Finding {
            requester,
            patient: Some(patient),
            day,
            accesses: Vec::new(),
            reasons: BTreeSet::new(),
        });
        finding.reasons.insert(reason);
        if finding.accesses.last() != Some(&row.access) {
            finding.accesses.push(row.access);
        }
    };
    let (habits, teams) = (hours::Habits::of(&rows, facts), care::Teams::of(&rows));
    let surnames = surname::Surnames::of(facts);
    for row in &rows {
        if habits.off_hours(row) {
            note(row, Reason::OffHours);
        }
        if teams.unexplained(row) {
            note(row, Reason::NoCareRelation);
        }
        for reason in surnames.related(row, facts) {
            note(row, reason);
        }
    }
    let mut findings = days_among_others(looks.into_values(), volume::days(&rows));
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.reasons.len()), finding.day));
    findings
}

/// Puts findings about no care relation alone together when there are many on one day.
fn days_among_others(looks: impl Iterator<Item = Finding>, days: Vec<Finding>) -> Vec<Finding> {
    let mut days: BTreeMap<(PartyId, u32), Finding> =
        days.into_iter().map(|finding| ((finding.requester, finding.day), finding)).collect();
    let alone = BTreeSet::from([Reason::NoCareRelation]);
    let (strangers, mut findings): (Vec<Finding>, Vec<Finding>) =
        looks.partition(|finding| finding.reasons == alone);
    let mut by_day: BTreeMap<(PartyId, u32), Vec<Finding>> = BTreeMap::new();
    for finding in strangers {
        by_day.entry((finding.requester, finding.day)).or_default().push(finding);
    }
    for ((requester, day), strangers) in by_day {
        if strangers.len() < DAY_OF {
            findings.extend(strangers);
            continue;
        }
        let empty =
            || Finding { requester, patient: None, day, accesses: Vec::new(), reasons: BTreeSet::new() };
        let about = days.entry((requester, day)).or_insert_with(empty);
        about.reasons.insert(Reason::NoCareRelation);
        about.accesses.extend(strangers.into_iter().flat_map(|finding| finding.accesses));
    }
    findings.extend(days.into_values());
    findings
}
