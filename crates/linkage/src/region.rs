//! A synthetic region: who is ill when and where, and what is done with the product then.
//!
//! Promises a life that follows from the seed alone. What is chosen here is plausible and not measured:
//! admissions by day, a third of the patients chronically ill, a home hospital to which three of four visits
//! go, one to five devices by a trait of the patient, a ward that looks in the first hour and on its rounds.
//! What is done with the product is what `salus device enrol`, `grant`, `read` and `revoke` do, in their order.

use crate::error::LinkageError;
use crate::number::{DAY, HOUR, MINUTE, SECOND, log_normal};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How large a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Hospitals, each a member of the consortium.
    pub members: u16,
    /// Gateways, in turn one of each member's.
    pub gateways: u16,
    /// Patients.
    pub patients: usize,
    /// Days.
    pub days: u64,
}

/// A stay of a patient at a gateway of a hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encounter {
    /// Whose.
    pub patient: usize,
    /// Where.
    pub gateway: u16,
    /// Milliseconds from the first day on at which it begins.
    pub from: u64,
    /// At which it ends.
    pub until: u64,
    /// Devices.
    pub devices: usize,
    /// Grants.
    pub grants: usize,
    /// Whether the patient withdraws the grants at the end; else they run out.
    pub withdraws: bool,
    /// Whether the patient has been at this gateway before, so that grants are made by hand.
    pub returns: bool,
}

/// Something done with the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A device of the encounter is enrolled.
    Enrol(usize),
    /// It is assigned.
    Assign(usize),
    /// A grant is made.
    Grant(usize),
    /// Somebody reads under a grant.
    Access(usize),
    /// A grant is withdrawn.
    Withdraw(usize),
    /// A device's enrolment ends.
    Retire(usize),
}

/// An act, in what encounter and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds from the first day on.
    pub at: u64,
    /// The place of the encounter in [`World::encounters`].
    pub encounter: usize,
    /// What.
    pub act: Act,
}

/// All that happens in a region.
#[derive(Clone, Debug)]
pub struct World {
    /// How large.
    pub region: Region,
    /// Every stay.
    pub encounters: Vec<Encounter>,
    /// Every act, in order of time.
    pub events: Vec<Event>,
}

/// What of a patient stays the same.
struct Person {
    home: u16,
    chronic: bool,
    severity: usize,
}

/// Weight of each hour of the day for an admission.
const ADMISSIONS: [u32; 24] = [1, 1, 1, 1, 1, 1, 2, 4, 7, 8, 8, 7, 6, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1];
/// Hours at which rounds begin.
const ROUNDS: [u64; 4] = [7, 12, 17, 21];

impl World {
    /// Lives through the region's days.
    ///
    /// # Errors
    /// [`LinkageError::Region`] for a region without members, gateways, patients or days.
    pub fn live(region: Region, seed: u64) -> Result<Self, LinkageError> {
        let Region { members, gateways, patients, days } = region;
        if members == 0 || gateways < members || patients == 0 || days == 0 {
            return Err(LinkageError::Region);
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let mut encounters = Vec::new();
        for patient in 0..patients {
            let chronic = rng.random_ratio(1, 3);
            let severity = rng.random_range(1..=3);
            let person = Person { home: rng.random_range(0..gateways), chronic, severity };
            stays(patient, &person, region, &mut encounters, &mut rng);
        }
        encounters.sort_by_key(|encounter| encounter.from);
        let mut events = Vec::new();
        for (number, encounter) in encounters.iter().enumerate() {
            let mut acts = acts(encounter, &mut rng);
            acts.retain(|(at, _)| *at < days * DAY);
            events.extend(acts.into_iter().map(|(at, act)| Event { at, encounter: number, act }));
        }
        events.sort_by_key(|event| event.at);
        Ok(Self { region, encounters, events })
    }

    /// Gives the stays to other patients at random, so that nothing about a stay says whose it is.
    pub fn danger_shuffle_patients(&mut self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        for upper in (1..self.encounters.len()).rev() {
            let lower = rng.random_range(0..=upper);
            let patient = |index: usize| self.encounters.get(index).map_or(0, |found| found.patient);
            let (one, two) = (patient(lower), patient(upper));
            for (index, patient) in [(lower, two), (upper, one)] {
                if let Some(encounter) = self.encounters.get_mut(index) {
                    encounter.patient = patient;
                }
            }
        }
    }

    /// The member whose gateway it is.
    #[must_use]
    pub fn member(&self, gateway: u16) -> u16 {
        gateway.checked_rem(self.region.members).unwrap_or(0)
    }
}

/// The stays of one patient, none overlapping another.
fn stays(patient: usize, person: &Person, region: Region, all: &mut Vec<Encounter>, rng: &mut StdRng) {
    let weeks = region.days.div_ceil(7);
    let (most, out_of) = if person.chronic { (2 * weeks, 2) } else { (weeks, 3) };
    let wanted = 1 + (0..most).filter(|_| rng.random_ratio(1, out_of)).count();
    let mut mine: Vec<Encounter> = Vec::new();
    for _ in 0..wanted {
        let from = admission(region.days, rng);
        let short = rng.random_ratio(2, 5);
        let (median, least) = if short { (3 * HOUR, 30 * MINUTE) } else { (26 * HOUR, 4 * HOUR) };
        let stay = log_normal(crate::number::seconds(median) * 1_000.0, 0.6, rng).max(least);
        let until = from.saturating_add(stay);
        if mine.iter().any(|other| from < other.until + HOUR && other.from < until + HOUR) {
            continue;
        }
        let away = rng.random_ratio(1, 4);
        let gateway = if away { rng.random_range(0..region.gateways) } else { person.home };
        let devices = 1 + (0..person.severity + 1).filter(|_| rng.random_ratio(1, 2)).count();
        // `salus device enrol` gives two roles a grant; one patient in three names a person beside.
        let grants = 2 + usize::from(rng.random_ratio(1, 3));
        let withdraws = rng.random_ratio(1, 2);
        mine.push(Encounter { patient, gateway, from, until, devices, grants, withdraws, returns: false });
    }
    mine.sort_by_key(|stay| stay.from);
    let mut seen = Vec::new();
    for mut stay in mine {
        stay.returns = seen.contains(&stay.gateway);
        seen.push(stay.gateway);
        all.push(stay);
    }
}

fn admission(days: u64, rng: &mut StdRng) -> u64 {
    let day = rng.random_range(0..days);
    let mut draw = rng.random_range(0..ADMISSIONS.iter().sum());
    let mut hour = 0;
    for weight in ADMISSIONS {
        if draw < weight {
            break;
        }
        draw -= weight;
        hour += 1;
    }
    day * DAY + hour * HOUR + rng.random_range(0..HOUR)
}

/// What is done with the product during a stay.
fn acts(stay: &Encounter, rng: &mut StdRng) -> Vec<(u64, Act)> {
    let mut acts = Vec::new();
    let mut at = stay.from + rng.random_range(0..MINUTE);
    for device in 0..stay.devices {
        acts.push((at, Act::Enrol(device)));
        at += finality(rng);
        acts.push((at, Act::Assign(device)));
        at += finality(rng);
        if device == 0 {
            at = permit(stay, at, &mut acts, rng);
        }
        at += rng.random_range(40 * SECOND..4 * MINUTE);
    }
    look(stay, &mut acts, rng);
    let mut end = stay.until + rng.random_range(MINUTE..10 * MINUTE);
    for device in 0..stay.devices {
        acts.push((end.max(at), Act::Retire(device)));
        end += rng.random_range(5 * SECOND..20 * SECOND);
    }
    if stay.withdraws {
        let mut end = stay.until.max(at) + rng.random_range(0..30 * MINUTE);
        for grant in 0..stay.grants {
            acts.push((end, Act::Withdraw(grant)));
            end += rng.random_range(2 * SECOND..10 * SECOND);
        }
    }
    acts
}

/// The treatment relation at once, by the device's enrolment, on a first visit; all else by hand.
fn permit(stay: &Encounter, mut at: u64, acts: &mut Vec<(u64, Act)>, rng: &mut StdRng) -> u64 {
    for grant in 0..stay.grants {
        if stay.returns || grant >= 2 {
            at += rng.random_range(15 * SECOND..2 * MINUTE);
        }
        acts.push((at, Act::Grant(grant)));
        at += finality(rng);
    }
    at
}

/// Readings by the ward: in the first hour, and on its rounds.
fn look(stay: &Encounter, acts: &mut Vec<(u64, Act)>, rng: &mut StdRng) {
    let mut times = Vec::new();
    for _ in 0..rng.random_range(1..=4) {
        times.push(stay.from + rng.random_range(6 * MINUTE..HOUR));
    }
    for day in (stay.from / DAY)..=(stay.until / DAY) {
        for hour in ROUNDS {
            times.push(day * DAY + hour * HOUR + rng.random_range(0..100 * MINUTE));
        }
    }
    times.retain(|at| stay.from + 6 * MINUTE <= *at && *at < stay.until);
    for at in times {
        let grant = rng.random_range(0..stay.grants.min(2));
        acts.push((at, Act::Access(grant)));
        if rng.random_ratio(1, 3) {
            acts.push((at + rng.random_range(10 * SECOND..MINUTE), Act::Access(grant)));
        }
    }
}

/// How long it takes until a transaction is final and its maker goes on: `docs/performance.md`.
fn finality(rng: &mut StdRng) -> u64 {
    rng.random_range(18..65)
}
