//! Any terms that there can be.

use super::super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use salus_wire::scope::CODES_MAX;
use salus_wire::{Classes, Codes, DataClass, ObservationCode, Purpose};

/// One past the last millisecond that can be written.
const PAST: u64 = 253_402_300_800_000;

/// Terms of every shape.
pub(super) fn terms() -> impl Strategy<Value = ConsentTerms> {
    let kept = (option::of(id()), patient(), 0..PAST);
    let who = (party(), actor(), purposes());
    let what = (classes(), codes(), data_span(), closed_span());
    (kept, who, what, vec(deny(), 0..=DENIES_MAX)).prop_map(|(kept, who, what, denies)| {
        let (id, patient, given) = kept;
        let (writer, actor, purposes) = who;
        let (classes, codes, span, validity) = what;
        let scope = Scope { classes, codes, span };
        let given = TimeMs::new(given);
        let denies = List::new(denies).unwrap();
        let parts = ConsentParts { id, patient, given, writer, actor, scope, purposes, validity, denies };
        ConsentTerms::new(parts).unwrap()
    })
}

fn id() -> impl Strategy<Value = ConsentId> {
    "[A-Za-z0-9.-]{1,64}".prop_map(|text| ConsentId::new(&text).unwrap())
}

fn uri() -> impl Strategy<Value = Uri> {
    "[!-\"$-~\u{e9}][!-~\u{1f600}]{0,60}".prop_map(|text| Uri::new(&text).unwrap())
}

fn patient() -> impl Strategy<Value = Patient> {
    let value = "[!-~]([ -~\u{e9}]{0,60}[!-~])?".prop_map(|text| Plain::new(&text).unwrap());
    prop_oneof![
        uri().prop_map(Patient::Reference),
        (uri(), value).prop_map(|(system, value)| Patient::Identifier { system, value }),
    ]
}

fn party() -> impl Strategy<Value = PartyId> {
    any::<[u8; 16]>().prop_map(PartyId::new)
}

fn actor() -> impl Strategy<Value = Actor> {
    let role = (any::<u16>(), select(Role::ALL));
    prop_oneof![
        party().prop_map(Actor::Person),
        party().prop_map(Actor::Application),
        role.prop_map(|(member, role)| Actor::Role { member: MemberIndex::new(member), role }),
    ]
}

fn purposes() -> impl Strategy<Value = Purposes> {
    subsequence(Purpose::ALL, 1..=Purpose::ALL.len()).prop_map(|purposes| Purposes::of(&purposes).unwrap())
}

fn classes() -> impl Strategy<Value = Classes> {
    let ordinary = subsequence(DataClass::ORDINARY, 1..=DataClass::ORDINARY.len());
    let one = select(DataClass::ALL).prop_map(|class| vec![class]);
    prop_oneof![ordinary, one].prop_map(|classes| Classes::of(&classes).unwrap())
}

fn codes() -> impl Strategy<Value = Codes> {
    let code = prop_oneof![
        any::<u32>().prop_map(ObservationCode::Loinc),
        any::<u32>().prop_map(ObservationCode::Mdc),
    ];
    let only = vec(code, 1..=CODES_MAX).prop_map(|codes| Codes::only(&codes).unwrap());
    prop_oneof![Just(Codes::All), only]
}

fn closed_span() -> impl Strategy<Value = TimeSpan> {
    (0..PAST, 1..=PAST).prop_map(|(from, length)| {
        TimeSpan::new(TimeMs::new(from), TimeMs::new((from + length).min(PAST))).unwrap()
    })
}

fn data_span() -> impl Strategy<Value = TimeSpan> {
    let ongoing = (0..PAST).prop_map(|from| TimeSpan::new(TimeMs::new(from), TimeMs::new(u64::MAX)).unwrap());
    prop_oneof![closed_span(), ongoing]
}

fn deny() -> impl Strategy<Value = Deny> {
    let parts = (
        option::of(party()),
        option::of(purposes()),
        option::of(classes()),
        codes(),
        option::of(data_span()),
    );
    parts.prop_map(|(party, purposes, classes, codes, span)| Deny { party, purposes, classes, codes, span })
}
