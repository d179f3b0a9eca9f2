//! Each detector on the smallest case that shows it and the one beside it that must not; and a hospital of
//! 200,000 accesses with 200 planted snoops (T-12).

use super::*;
use crate::facts::Duty;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_crypto::digest::Digest;
use salus_wire::activity::{Activity, NamedAs};
use salus_wire::limits::DAY_MS;
use salus_wire::{Classes, DataClass, MemberIndex, PartyId, Purpose, TimeMs, decode};
use std::collections::{BTreeMap, BTreeSet};

const FIRST_DAY: u64 = 20_000;
const HOUR: u64 = 3_600_000;

fn party(n: u32) -> PartyId {
    PartyId::new(u128::from(n).to_be_bytes())
}

fn patient(n: u32) -> Digest {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Digest::from_bytes(bytes)
}

/// Accesses, each with a tag of its own.
#[derive(Default)]
struct Log {
    rows: Vec<Activity>,
}

impl Log {
    fn look(&mut self, who: u32, whom: u32, day: u64, hour: u64) {
        let mut tag = [9; 32];
        tag[..8].copy_from_slice(&u64::try_from(self.rows.len()).unwrap().to_be_bytes());
        let access = decode(&tag, 32).unwrap();
        self.rows.push(Activity {
            at: TimeMs::new((FIRST_DAY + day) * DAY_MS + hour * HOUR + HOUR / 2),
            requester: party(who),
            member: MemberIndex::new(0),
            patient: patient(whom),
            access,
            purpose: Purpose::Treatment,
            classes: Classes::of(&[DataClass::Vitals]).unwrap(),
            named: NamedAs::Role,
        });
    }

    fn reasons(&self, facts: &Facts, who: u32) -> BTreeSet<Reason> {
        let findings = find(&self.rows, facts);
        findings
            .into_iter()
            .filter(|found| found.requester == party(who))
            .flat_map(|found| found.reasons)
            .collect()
    }
}

#[test]
fn far_more_patients_than_usual_on_one_day() {
    for (patients, found) in [(25, false), (26, true)] {
        let mut log = Log::default();
        for day in 0..12 {
            (0..10).for_each(|whom| log.look(1, whom, day, 9));
        }
        (0..patients).for_each(|whom| log.look(1, whom, 12, 9));
        let reason = Reason::Volume { patients, usual: 25 };
        assert_eq!(log.reasons(&Facts::default(), 1), BTreeSet::from_iter(found.then_some(reason)));
    }
}

#[test]
fn the_same_access_told_twice_and_the_same_patient_seen_often_count_once() {
    let mut log = Log::default();
    for _ in 0..100 {
        log.look(1, 5, 0, 9);
    }
    log.rows.extend(log.rows.clone());
    assert_eq!(find(&log.rows, &Facts::default()), []);
}

#[test]
fn an_hour_at_which_somebody_is_hardly_ever_there() {
    let mut log = Log::default();
    for day in 0..30 {
        log.look(1, 5, day, 9);
        // Two, who works at any hour.
        log.look(2, 6, day, day % 24);
    }
    log.look(1, 5, 30, 3);
    log.look(2, 6, 30, 3);
    let reasons =
        |log: &Log, offset, who| log.reasons(&Facts { utc_offset_minutes: offset, ..Facts::default() }, who);
    assert_eq!(reasons(&log, 0, 1), BTreeSet::from([Reason::OffHours]));
    assert_eq!(reasons(&log, -330, 1), BTreeSet::from([Reason::OffHours]));
    assert_eq!(reasons(&log, 0, 2), BTreeSet::new());
    // Of a beginner nothing is known.
    let mut log = Log::default();
    (0..18).for_each(|day| log.look(1, 5, day, 9));
    log.look(1, 5, 18, 3);
    assert_eq!(reasons(&log, 0, 1), BTreeSet::new());
}

#[test]
fn duty_that_is_known_outranks_habit() {
    let mut log = Log::default();
    for day in 0..30 {
        log.look(1, 5, day, 9);
    }
    let at = |day: u64, hour: u64| TimeMs::new((FIRST_DAY + day) * DAY_MS + hour * HOUR);
    let duty = (0..29).map(|day| Duty { from: at(day, 8), until: at(day, 16) }).collect();
    let people = BTreeMap::from([(party(1), Person { surname: None, duty })]);
    let facts = Facts { people, ..Facts::default() };
    let found = find(&log.rows, &facts);
    assert_eq!(found.iter().map(|found| found.day).collect::<Vec<_>>(), [20_029], "the day without duty");
}

#[test]
fn nobody_who_looks_after_the_patient_works_with_them() {
    let ward = |named: NamedAs, shared: u32| {
        let mut log = Log::default();
        for whom in 0..10 {
            (1..5).for_each(|who| log.look(who, whom, 0, 9));
        }
        // Nine shares so many patients with each of the ward, and then looks at one more of theirs.
        (0..=shared).for_each(|whom| log.look(9, whom, 0, 9));
        log.rows.iter_mut().for_each(|row| row.named = named);
        log.reasons(&Facts::default(), 9)
    };
    assert_eq!(ward(NamedAs::Role, 0), BTreeSet::from([Reason::NoCareRelation]));
    assert_eq!(ward(NamedAs::Role, 3), BTreeSet::from([Reason::NoCareRelation]));
    assert_eq!(ward(NamedAs::Role, 4), BTreeSet::new());
    assert_eq!(ward(NamedAs::Person, 0), BTreeSet::new(), "the patient named them");
}

#[test]
fn a_rare_surname_in_common_ones_own_record_and_a_watched_one() {
    let mut log = Log::default();
    (0..4).for_each(|whom| log.look(1, whom, 0, 9));
    let named = |surname: &str| Some(surname.to_owned());
    let person = Person { surname: named("O'Brien-Šima"), duty: Vec::new() };
    let mut patients = BTreeMap::from([
        (patient(0), Patient { surname: named("OBRIEN ŠIMA"), ..Patient::default() }),
        (patient(1), Patient { surname: named("Obrien"), ..Patient::default() }),
        (patient(2), Patient { surname: named("O'Brien-Šima"), party: Some(party(1)), watched: false }),
        (patient(3), Patient { watched: true, ..Patient::default() }),
    ]);
    let facts = |patients: &BTreeMap<Digest, Patient>| Facts {
        people: BTreeMap::from([(party(1), person.clone())]),
        patients: patients.clone(),
        utc_offset_minutes: 0,
    };
    let found: BTreeMap<_, _> = find(&log.rows, &facts(&patients))
        .into_iter()
        .map(|found| (found.patient.unwrap(), (found.reasons, found.accesses.len())))
        .collect();
    let expected = [
        (patient(0), (BTreeSet::from([Reason::SameSurname]), 1)),
        (patient(2), (BTreeSet::from([Reason::OwnRecord]), 1)),
        (patient(3), (BTreeSet::from([Reason::Watched]), 1)),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    // A surname that many bear tells nothing.
    for whom in 100..110 {
        patients.insert(patient(whom), Patient { surname: named("o'brien šima"), ..Patient::default() });
    }
    assert!(!log.reasons(&facts(&patients), 1).contains(&Reason::SameSurname));
}

const WARDS: u32 = 20;
const STAFF: u32 = 20;
const BEDS: u32 = 25;
const DAYS: u64 = 60;
/// People whose work is on all wards.
const CONSULTANTS: u32 = 40;

/// A hospital, and what was planted in it.
struct Hospital {
    log: Log,
    facts: Facts,
    /// By what kind, who looked at whom on which day; for volume, whom is nobody.
    planted: Vec<(&'static str, PartyId, Option<Digest>, u32)>,
    rng: StdRng,
}

impl Hospital {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut facts = Facts::default();
        let letter = |rng: &mut StdRng| char::from(b'a' + rng.random_range(0..12));
        let surname = |rng: &mut StdRng| Some((0..4).map(|_| letter(rng)).collect());
        for who in 0..WARDS * STAFF + CONSULTANTS {
            facts.people.insert(party(who), Person { surname: surname(&mut rng), duty: Vec::new() });
        }
        for whom in 0..Self::patients() {
            facts
                .patients
                .insert(patient(whom), Patient { surname: surname(&mut rng), ..Patient::default() });
        }
        Self { log: Log::default(), facts, planted: Vec::new(), rng }
    }

    /// Each bed has another patient every five days.
    fn patients() -> u32 {
        WARDS * BEDS * u32::try_from(DAYS / 5).unwrap()
    }

    fn in_bed(ward: u32, bed: u32, day: u64) -> u32 {
        (ward * BEDS + bed) * u32::try_from(DAYS / 5).unwrap() + u32::try_from(day / 5).unwrap()
    }

    /// The hours of somebody's shift; one in five changes every ten days.
    fn hour(&mut self, who: u32, day: u64) -> u64 {
        let shift = if who.is_multiple_of(5) { (u64::from(who) + day / 10) % 3 } else { u64::from(who % 3) };
        (6 + 8 * shift + self.rng.random_range(0..8)) % 24
    }

    fn works(who: u32, day: u64) -> bool {
        (u64::from(who) + day) % 7 < 5
    }

    fn live(&mut self) {
        for day in 0..DAYS {
            for who in (0..WARDS * STAFF).filter(|who| Self::works(*who, day)) {
                // One day in a hundred, they help on another ward.
                let away = self.rng.random_range(0..100) == 0;
                let ward = if away { self.rng.random_range(0..WARDS) } else { who / STAFF };
                for _ in 0..self.rng.random_range(7..14) {
                    let (bed, hour) = (self.rng.random_range(0..BEDS), self.hour(who, day));
                    self.log.look(who, Self::in_bed(ward, bed, day), day, hour);
                }
            }
            for who in (WARDS * STAFF..WARDS * STAFF + CONSULTANTS).filter(|who| Self::works(*who, day)) {
                for _ in 0..self.rng.random_range(15..25) {
                    let (ward, bed) = (self.rng.random_range(0..WARDS), self.rng.random_range(0..BEDS));
                    let hour = self.hour(who, day);
                    self.log.look(who, Self::in_bed(ward, bed, day), day, hour);
                }
            }
        }
    }

    /// Somebody of a ward, on a day on which they work.
    fn somebody(&mut self) -> (u32, u64) {
        loop {
            let (who, day) = (self.rng.random_range(0..WARDS * STAFF), self.rng.random_range(0..DAYS));
            if Self::works(who, day) {
                return (who, day);
            }
        }
    }

    fn plant(&mut self, kind: &'static str, who: u32, whom: Option<u32>, day: u64) {
        let day = u32::try_from(FIRST_DAY + day).unwrap();
        self.planted.push((kind, party(who), whom.map(patient), day));
    }

    fn snoop(&mut self) {
        for _ in 0..50 {
            let (who, day) = self.somebody();
            for _ in 0..60 {
                let (ward, bed) = (self.rng.random_range(0..WARDS), self.rng.random_range(0..BEDS));
                let hour = self.hour(who, day);
                self.log.look(who, Self::in_bed(ward, bed, day), day, hour);
            }
            self.plant("volume", who, None, day);

            let (mut who, mut day) = self.somebody();
            while who.is_multiple_of(5) {
                (who, day) = self.somebody();
            }
            let whom = Self::in_bed(who / STAFF, self.rng.random_range(0..BEDS), day);
            let hour = (self.hour(who, day) + 12) % 24;
            // Twelve hours from one of eight are at least four from any of them.
            self.log.look(who, whom, day, hour);
            self.plant("off hours", who, Some(whom), day);

            let (who, day) = self.somebody();
            let ward = (who / STAFF + self.rng.random_range(1..WARDS)) % WARDS;
            let whom = Self::in_bed(ward, self.rng.random_range(0..BEDS), day);
            let hour = self.hour(who, day);
            self.log.look(who, whom, day, hour);
            self.plant("no care relation", who, Some(whom), day);

            let (who, day) = self.somebody();
            let whom = Self::in_bed(who / STAFF, self.rng.random_range(0..BEDS), day);
            let relative = self.facts.people[&party(who)].surname.clone();
            self.facts.patients.get_mut(&patient(whom)).unwrap().surname = relative;
            let hour = self.hour(who, day);
            self.log.look(who, whom, day, hour);
            self.plant("same surname", who, Some(whom), day);
        }
    }
}

#[test]
fn of_200_snoops_among_200_000_accesses_at_least_95_in_100_are_found() {
    let mut hospital = Hospital::new(12);
    hospital.live();
    hospital.snoop();
    let Hospital { log, facts, planted, .. } = hospital;
    assert!(log.rows.len() >= 200_000, "{} accesses", log.rows.len());
    assert_eq!(planted.len(), 200);
    let findings = find(&log.rows, &facts);
    let found: BTreeMap<_, _> =
        findings.iter().map(|found| ((found.requester, found.patient, found.day), &found.reasons)).collect();
    let tells = |kind: &str, reason: &Reason| match kind {
        "volume" => matches!(reason, Reason::Volume { .. }),
        "off hours" => *reason == Reason::OffHours,
        "no care relation" => *reason == Reason::NoCareRelation,
        _ => *reason == Reason::SameSurname,
    };
    let mut missed: BTreeMap<&str, u32> = BTreeMap::new();
    for (kind, who, whom, day) in &planted {
        let reasons = found.get(&(*who, *whom, *day));
        let hit = reasons.is_some_and(|reasons| reasons.iter().any(|reason| tells(kind, reason)));
        *missed.entry(kind).or_default() += u32::from(!hit);
    }
    assert!(missed.values().sum::<u32>() <= 10, "missed {missed:?}");
    assert!(missed.values().all(|missed| *missed <= 5), "missed {missed:?}");
    // Whoever planted something is guilty on that day, whatever they are asked about.
    let guilty: BTreeSet<_> = planted.iter().map(|(_, who, _, day)| (*who, *day)).collect();
    let wrong = findings.iter().filter(|found| !guilty.contains(&(found.requester, found.day))).count();
    assert!(wrong <= 250, "{wrong} of {} findings about people who did nothing", findings.len());
}
