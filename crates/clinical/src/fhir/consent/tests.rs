//! The promises of the profile: what is written is read again, what is read is written again, and
//! nothing that is said of a patient gets into a refusal.

mod refusals;
mod spoiled;
mod values;

use super::*;
use proptest::prelude::*;
use salus_wire::{Classes, Codes, DataClass, ObservationCode};
use serde_json::Value;

/// A consent with every element that the profile has.
pub(super) const PERSON: &str = include_str!("../../../../../vectors/consent/good/person.json");
/// One for a role, of sensitive data that go on.
pub(super) const ROLE: &str = include_str!("../../../../../vectors/consent/good/role.json");
/// The least there can be.
pub(super) const APPLICATION: &str = include_str!("../../../../../vectors/consent/good/application.json");

/// JSON without the blanks between its tokens, by a tokeniser of our own.
fn compact(pretty: &str) -> String {
    let mut quoted = false;
    let blank = |c: char, quoted: &mut bool| {
        *quoted ^= c == '"';
        c.is_whitespace() && !*quoted
    };
    pretty.chars().filter(|c| !blank(*c, &mut quoted)).collect()
}

fn span(from: u64, until: u64) -> TimeSpan {
    TimeSpan::new(TimeMs::new(from), TimeMs::new(until)).unwrap()
}

fn parts(json: &str) -> ConsentParts {
    read(json.as_bytes()).unwrap().into_parts()
}

#[test]
fn examples_are_written_as_they_were_read() {
    for example in [PERSON, ROLE, APPLICATION] {
        assert!(!example.contains('\\'));
        let terms = read(example.as_bytes()).unwrap();
        assert_eq!(write(&terms), compact(example));
        assert_eq!(read(write(&terms).as_bytes()), Ok(terms));
    }
}

#[test]
fn the_examples_say_what_they_look_like() {
    let person = parts(PERSON);
    let party = |byte| PartyId::new([byte; 16]);
    assert_eq!(person.actor, Actor::Person(party(0x1a)));
    assert_eq!(person.writer, party(0x2b));
    assert_eq!(person.validity, span(1_793_491_200_000, 1_825_027_200_000));
    assert_eq!(person.scope.classes, Classes::ORDINARY);
    let kinds =
        [ObservationCode::Loinc(8_867), ObservationCode::Loinc(59_408), ObservationCode::Mdc(131_330)];
    assert_eq!(person.scope.codes.listed(), kinds);
    let [first, second] = &person.denies[..] else { panic!("two denials") };
    assert_eq!((first.party, first.classes), (Some(party(0x3c)), Classes::of(&[DataClass::Waveform])));
    let substance = Classes::of(&[DataClass::SubstanceUse]);
    let bare = Deny { party: None, purposes: None, classes: substance, codes: Codes::All, span: None };
    assert_eq!(second, &bare);
    let role = parts(ROLE);
    assert_eq!(role.actor, Actor::Role { member: MemberIndex::new(0), role: Role::Nurse });
    assert_eq!(role.scope.classes, Classes::of(&[DataClass::MentalHealth]).unwrap());
    assert_eq!(role.scope.span, span(0, u64::MAX));
    assert_eq!(role.given, TimeMs::new(1_793_525_400_123));
    assert_eq!(parts(APPLICATION).actor, Actor::Application(party(0x4d)));
}

#[test]
fn order_offset_and_precision_are_all_that_is_not_kept() {
    let mut json: Value = serde_json::from_str(PERSON).unwrap();
    for list in ["actor", "purpose", "class", "code"] {
        json["provision"][list].as_array_mut().unwrap().reverse();
    }
    json["provision"]["period"]["start"] = "2026-11-01T01:00:00+01:00".into();
    json["provision"]["period"]["end"] = "2027-10-31T23:59:59Z".into();
    let json = json.to_string();
    assert_ne!(json, compact(PERSON));
    assert_eq!(write(&read(json.as_bytes()).unwrap()), compact(PERSON));
}

#[test]
fn an_end_includes_what_matches_it() {
    let end = |end: &str| parts(&PERSON.replace("2027-10-31T23:59:59.999Z", end)).validity.until().get();
    assert_eq!(end("2027-10-31T23:59:59.998Z"), 1_825_027_199_999);
    assert_eq!(end("2027-10-31T23:59:59Z"), 1_825_027_200_000);
    assert_eq!(end("2026-11-01T00:00:00.000Z"), 1_793_491_200_001);
}

#[test]
fn times_that_fhir_cannot_write_are_no_terms() {
    let last = 253_402_300_800_000;
    let check = |edit: fn(&mut ConsentParts, u64), until: u64, element: Option<&str>| {
        let mut parts = parts(PERSON);
        edit(&mut parts, until);
        let refused = ConsentTerms::new(parts).err();
        assert_eq!(refused.as_ref().map(ConsentRefused::element), element, "{until}");
        assert!(refused.is_none_or(|refused| refused.why() == Why::TimeRange));
    };
    let given: fn(&mut ConsentParts, u64) = |parts, time| parts.given = TimeMs::new(time);
    check(given, last - 1, None);
    check(given, last, Some("Consent.dateTime"));
    let validity: fn(&mut ConsentParts, u64) = |parts, until| parts.validity = span(0, until);
    check(validity, last, None);
    check(validity, last + 1, Some("Consent.provision.period"));
    check(validity, u64::MAX, Some("Consent.provision.period"));
    let data: fn(&mut ConsentParts, u64) = |parts, until| parts.scope.span = span(0, until);
    check(data, u64::MAX, None);
    check(data, u64::MAX - 1, Some("Consent.provision.dataPeriod"));
    let denied: fn(&mut ConsentParts, u64) = |parts, from| {
        let mut denies = parts.denies.clone().into_vec();
        denies[1].span = Some(span(from, u64::MAX));
        parts.denies = List::new(denies).unwrap();
    };
    check(denied, last - 1, None);
    check(denied, last, Some("Consent.provision.provision[1].dataPeriod"));
}

#[test]
fn terms_are_printed_without_the_patient() {
    let json =
        ROLE.replace("consent-2", "CANARY").replace("example 7", "CANARY").replace("2.999.1", "CANARY");
    let printed = format!("{:?}", read(json.as_bytes()).unwrap());
    assert!(!printed.contains("CANARY") && printed.contains("[REDACTED]"), "{printed}");
}

#[test]
fn the_specification_names_what_the_profile_names() {
    let spec = include_str!("../../../../../spec/consent.md");
    let systems =
        [codes::ACT_CODE, codes::ACT_REASON, codes::LOINC, codes::MDC, codes::DATA_CLASS, codes::PARTY];
    let fixed =
        [codes::SCOPE, codes::CATEGORY, codes::POLICY, codes::ACTION, codes::RECIPIENT, codes::CUSTODIAN];
    let mut wanted: Vec<&str> = systems.into_iter().chain([codes::MEMBER_ROLE]).collect();
    wanted.extend(fixed.iter().flat_map(|coding| [coding.system, coding.code]));
    wanted.extend(DataClass::ALL.iter().map(|class| codes::sensitivity(*class).unwrap_or(class.name())));
    wanted.extend(salus_wire::Purpose::ALL.iter().map(|purpose| purpose.code()));
    wanted.extend(Role::ALL.iter().map(|role| role.name()));
    for name in wanted {
        assert!(spec.contains(&format!("`{name}`")), "spec/consent.md lacks {name}");
    }
    assert!(spec.contains(APPLICATION.trim_end()), "spec/consent.md lacks the example");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(terms in values::terms()) {
        let json = write(&terms);
        prop_assert!(json.len() <= BYTES_MAX);
        prop_assert_eq!(read(json.as_bytes()), Ok(terms));
    }

    #[test]
    fn what_is_written_is_what_other_readers_see(terms in values::terms()) {
        let json: Value = serde_json::from_str(&write(&terms)).unwrap();
        prop_assert_eq!(json["provision"]["purpose"].as_array().unwrap().len(), terms.parts().purposes.iter().count());
        prop_assert_eq!(
            json["provision"]["code"].as_array().map_or(0, Vec::len),
            terms.parts().scope.codes.listed().len()
        );
        prop_assert_eq!(json["provision"]["provision"].as_array().map_or(0, Vec::len), terms.parts().denies.len());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(read(&bytes).is_err());
    }
}
