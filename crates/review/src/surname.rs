//! Whom somebody may be related to, or be.

use crate::facts::Facts;
use crate::find::Reason;
use salus_wire::activity::Activity;
use std::collections::BTreeMap;

/// A surname that more than one in so many patients bears tells nothing.
const RARE_OF: usize = 100;
/// Patients of one surname that are never too many to tell something.
const BEARERS_MIN: usize = 5;

/// How many patients bear which surname.
pub(crate) struct Surnames {
    bearers: BTreeMap<String, usize>,
    patients: usize,
}

impl Surnames {
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
        let surnames = facts.patients.values().filter_map(|patient| patient.surname.as_deref());
        let mut patients: usize = 0;
        for surname in surnames.filter_map(folded) {
            patients = patients.saturating_add(1);
            let count = bearers.entry(surname).or_default();
            *count = count.saturating_add(1);
        }
        Self { bearers, patients }
    }

    pub(crate) fn related(&self, row: &Activity, facts: &Facts) -> Vec<Reason> {
        let Some(patient) = facts.patients.get(&row.patient) else { return Vec::new() };
        let person = facts.people.get(&row.requester);
        let own = patient.party == Some(row.requester);
        let theirs = person.and_then(|person| person.surname.as_deref()).and_then(folded);
        let same = theirs.is_some() && theirs == patient.surname.as_deref().and_then(folded);
        let rare = theirs.as_ref().is_some_and(|surname| self.rare(surname));
        let reasons = [
            (own, Reason::OwnRecord),
            (same && rare && !own, Reason::SameSurname),
            (patient.watched, Reason::Watched),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    fn rare(&self, surname: &str) -> bool {
        let bearers = self.bearers.get(surname).copied().unwrap_or(0);
        bearers <= BEARERS_MIN.max(self.patients / RARE_OF)
    }
}

/// A surname without case, spaces and signs; `None` when nothing is left.
fn folded(surname: &str) -> Option<String> {
    let letters: String =
        surname.chars().filter(|letter| letter.is_alphabetic()).flat_map(char::to_lowercase).collect();
    (!letters.is_empty()).then_some(letters)
}
