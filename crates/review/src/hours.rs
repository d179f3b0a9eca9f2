//! When somebody looks.

use crate::facts::{Duty, Facts};
use salus_wire::activity::Activity;
use salus_wire::{PartyId, TimeMs};
use std::collections::{BTreeMap, BTreeSet};

const HOUR_MS: i64 = 3_600_000;
/// Before and after a time on duty, in which work is begun and brought to an end.
const GRACE_MS: u64 = 3_600_000;
/// Days of somebody's own from which their hours are known.
const DAYS_MIN: usize = 20;
/// Of so many days, one may be at an hour before it is one of theirs.
const RARE_OF: usize = 20;

/// When people are there.
pub(crate) struct Habits<'facts> {
    facts: &'facts Facts,
    people: BTreeMap<PartyId, Habit>,
}

#[derive(Default)]
struct Habit {
    days: BTreeSet<u32>,
    /// For each hour of the local day, the days on which they looked in that hour or one beside it.
    hours: [BTreeSet<u32>; 24],
}

impl<'facts> Habits<'facts> {
    pub(crate) fn of(rows: &[&Activity], facts: &'facts Facts) -> Self {
        let mut people: BTreeMap<PartyId, Habit> = BTreeMap::new();
        for row in rows {
            let habit = people.entry(row.requester).or_default();
            habit.days.insert(row.day());
            let hour = hour(row.at, facts);
            for near in [hour.saturating_add(23) % 24, hour, hour.saturating_add(1) % 24] {
                if let Some(days) = habit.hours.get_mut(near) {
                    days.insert(row.day());
                }
            }
        }
        Self { facts, people }
    }

    /// Whether they were not on duty, as far as duty is known; else whether they are hardly ever there then.
    pub(crate) fn off_hours(&self, row: &Activity) -> bool {
        let duty = self.facts.people.get(&row.requester).map(|person| &person.duty);
        if let Some(duty) = duty.filter(|duty| !duty.is_empty()) {
            return !duty.iter().any(|duty| within(duty, row.at));
        }
        let Some(habit) = self.people.get(&row.requester) else { return false };
        let days = habit.hours.get(hour(row.at, self.facts)).map_or(0, BTreeSet::len);
        habit.days.len() >= DAYS_MIN && days.saturating_mul(RARE_OF) <= habit.days.len()
    }
}

fn within(duty: &Duty, at: TimeMs) -> bool {
    at.plus_ms(GRACE_MS) >= duty.from && at <= duty.until.plus_ms(GRACE_MS)
}

/// The hour of the local day, from 0.
fn hour(at: TimeMs, facts: &Facts) -> usize {
    let utc = i64::try_from(at.get()).unwrap_or(i64::MAX);
    let local = utc.saturating_add(i64::from(facts.utc_offset_minutes).saturating_mul(60_000));
    usize::try_from(local.div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or(0)
}
