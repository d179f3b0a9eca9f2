//! Who looks after whom, as the accesses themselves tell.

use salus_crypto::digest::Digest;
use salus_wire::PartyId;
use salus_wire::activity::{Activity, NamedAs};
use std::collections::{BTreeMap, BTreeSet};

/// Days before and after an access within which others look after the same patient.
const DAYS_BESIDE: u32 = 7;
/// Others who must have looked after the patient for anything to be told from it.
const OTHERS_MIN: usize = 3;
/// Patients, beside the one in question, whom somebody shares with another they work with.
const SHARED_MIN: usize = 4;
/// And they share at least one in so many of the other's patients: who is everywhere, as a consultant is, shares
/// patients with everybody, and explains nobody's presence but their own.
const SHARED_OF: usize = 20;
/// One in so many of those who looked after the patient must be somebody they work with.
const COLLEAGUE_OF: usize = 4;
/// People of one patient who are taken into account, so that one record that everybody opens costs little.
const PEOPLE_MAX: usize = 512;

/// Who works with whom, and who looked after which patient when.
pub(crate) struct Teams {
    /// Patients that two people share.
    shared: BTreeMap<(PartyId, PartyId), usize>,
    /// How many patients each has.
    theirs: BTreeMap<PartyId, usize>,
    /// By patient, who looked and on what days.
    patients: BTreeMap<Digest, BTreeMap<PartyId, BTreeSet<u32>>>,
}

impl Teams {
    pub(crate) fn of(rows: &[&Activity]) -> Self {
        let mut patients: BTreeMap<Digest, BTreeMap<PartyId, BTreeSet<u32>>> = BTreeMap::new();
        for row in rows {
            let people = patients.entry(row.patient).or_default();
            people.entry(row.requester).or_default().insert(row.day());
        }
        let mut shared: BTreeMap<(PartyId, PartyId), usize> = BTreeMap::new();
        let mut theirs: BTreeMap<PartyId, usize> = BTreeMap::new();
        for people in patients.values() {
            let people: Vec<PartyId> = people.keys().take(PEOPLE_MAX).copied().collect();
            for (nth, one) in people.iter().enumerate() {
                let count = theirs.entry(*one).or_default();
                *count = count.saturating_add(1);
                for other in people.iter().skip(nth.saturating_add(1)) {
                    let count = shared.entry((*one, *other)).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        Self { shared, theirs, patients }
    }

    /// Whether a role let somebody in, and too few of those who looked after the patient in these days work
    /// with them.
    pub(crate) fn unexplained(&self, row: &Activity) -> bool {
        if row.named != NamedAs::Role {
            return false;
        }
        let Some(people) = self.patients.get(&row.patient) else { return false };
        let day = row.day();
        let near = day.saturating_sub(DAYS_BESIDE)..=day.saturating_add(DAYS_BESIDE);
        let others: Vec<PartyId> = people
            .iter()
            .filter(|(other, days)| **other != row.requester && days.range(near.clone()).next().is_some())
            .map(|(other, _)| *other)
            .collect();
        let colleagues = others.iter().filter(|other| self.works_with(row.requester, **other)).count();
        others.len() >= OTHERS_MIN && colleagues.saturating_mul(COLLEAGUE_OF) < others.len()
    }

    fn works_with(&self, one: PartyId, other: PartyId) -> bool {
        let pair = (one.min(other), one.max(other));
        // The patient in question is among those they share.
        let beside = self.shared.get(&pair).map_or(0, |count| count.saturating_sub(1));
        let theirs = self.theirs.get(&other).copied().unwrap_or(0);
        beside >= SHARED_MIN && beside.saturating_mul(SHARED_OF) >= theirs
    }
}
