//! The product held against the model on cases drawn near every boundary.

use super::clauses::header;
use super::model::{self, Case, Data, Epoch, Kind, Names, Rule};
use super::world::{READER, SINCE, WRITER, World, other_key, other_signer, seed, signed, span};
use crate::{Denied, Permit};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_wire::consent::{Deny, Grantee};
use salus_wire::release::EpochHeader;
use salus_wire::state::{Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{
    Classes, Codes, DataClass, List, MemberIndex, ObservationCode, PartyId, Purpose, Purposes, Role, Roles,
    Scope, TimeMs,
};
use std::collections::BTreeSet;

/// Kinds that are drawn.
const KINDS: std::ops::Range<u32> = 1..5;
/// Measured times that are drawn: few, so that boundaries meet.
const TIMES: u64 = 9;

fn subset<T: Copy + Ord>(of: &BTreeSet<T>, rng: &mut StdRng) -> BTreeSet<T> {
    let kept: BTreeSet<T> = of.iter().copied().filter(|_| rng.random_range(0..3) > 0).collect();
    if kept.is_empty() { of.iter().copied().take(1).collect() } else { kept }
}

/// An ordinary set, or one sensitive class: the sets that exist.
fn classes(rng: &mut StdRng) -> BTreeSet<u8> {
    if rng.random_range(0..4) == 0 { [rng.random_range(3..6)].into() } else { subset(&(0..3).collect(), rng) }
}

fn kinds(rng: &mut StdRng) -> Option<BTreeSet<u32>> {
    (rng.random_range(0..2) == 0).then(|| subset(&KINDS.collect(), rng))
}

fn times(rng: &mut StdRng) -> (u64, u64) {
    let from = rng.random_range(0..TIMES - 1);
    (from, rng.random_range(from + 1..TIMES))
}

fn data(rng: &mut StdRng) -> Data {
    let (from, until) = times(rng);
    Data { classes: classes(rng), kinds: kinds(rng), from, until }
}

/// Something within `of`, often all of it.
fn within(of: &Data, rng: &mut StdRng) -> Data {
    if rng.random_range(0..3) == 0 {
        return of.clone();
    }
    let kinds = match &of.kinds {
        Some(kinds) => Some(subset(kinds, rng)),
        None => kinds(rng),
    };
    let from = rng.random_range(of.from..of.until);
    let until = rng.random_range(from + 1..=of.until);
    Data { classes: subset(&of.classes, rng), kinds, from, until }
}

fn rule(rng: &mut StdRng) -> Rule {
    let mut some = |odds: u32| rng.random_range(0..odds) == 0;
    let (them, purposes, these, kind, when) = (some(3), some(3), some(2), some(2), some(2));
    Rule {
        them: them.then(|| rng.random_range(0..2) == 0),
        purposes: purposes.then(|| subset(&(0..3).collect(), rng)),
        classes: these.then(|| classes(rng)),
        kinds: if kind { kinds(rng) } else { None },
        span: when.then(|| times(rng)),
    }
}

/// A case that is permitted but for its denials.
fn sound(rng: &mut StdRng) -> Case {
    let granted = data(rng);
    let intended = within(&granted, rng);
    let asked = within(&intended, rng);
    let now = SINCE.time.get() + rng.random_range(0..3) * 500;
    let names = match rng.random_range(0..3) {
        0 => Names::Person { them: true, their_key: true },
        1 => Names::Application { them: true, their_key: true },
        _ => Names::Role { member: 1, role: rng.random_range(0..3) },
    };
    let kind = if matches!(names, Names::Application { .. }) { Kind::Application } else { Kind::Person };
    let purposes: BTreeSet<u8> = subset(&(0..4).collect(), rng);
    Case {
        registered: true,
        kind,
        member: 1,
        roles: if kind == Kind::Person { (0..3).collect() } else { BTreeSet::new() },
        registration: (0, now + 1),
        registration_ended: false,
        signed_by_them: true,
        names,
        granted,
        purpose: *purposes.first().unwrap(),
        purposes,
        validity: (now, now + 1),
        denies: (0..rng.random_range(0..3)).map(|_| rule(rng)).collect(),
        withdrawn: false,
        refused: false,
        intended,
        since: SINCE.time.get(),
        lives_ms: now - SINCE.time.get() + 1,
        asked,
        now,
    }
}

/// Changes one thing, which may or may not matter.
fn mutate(case: &mut Case, rng: &mut StdRng) {
    match rng.random_range(0..20) {
        0 => case.registered = false,
        1 => case.kind = [Kind::Person, Kind::Gateway, Kind::Application][rng.random_range(0..3)],
        2 => case.member = rng.random_range(0..3),
        3 => case.roles = subset(&(0..4).collect(), rng),
        4 => case.registration = (case.now + rng.random_range(0..2), case.now + 2),
        5 => case.registration = (0, case.now + rng.random_range(0..2)),
        6 => case.registration_ended = true,
        7 => case.signed_by_them = false,
        8 => case.names = Names::Person { them: rng.random(), their_key: rng.random() },
        9 => case.names = Names::Application { them: rng.random(), their_key: rng.random() },
        10 => case.names = Names::Role { member: rng.random_range(0..3), role: rng.random_range(0..4) },
        11 => case.granted = data(rng),
        12 => case.intended = data(rng),
        13 => case.asked = data(rng),
        14 => case.purpose = rng.random_range(0..5),
        15 => case.validity = (case.now + rng.random_range(0..2), case.now + 2),
        16 => case.validity = (0, case.now + rng.random_range(0..2)),
        17 => case.lives_ms = rng.random_range(0..1_100),
        18 => (case.withdrawn, case.refused) = (rng.random(), rng.random()),
        _ => case.denies.push(rule(rng)),
    }
}

fn case(rng: &mut StdRng) -> Case {
    let mut case = sound(rng);
    for _ in 0..[0, 0, 1, 1, 2, 3][rng.random_range(0..6)] {
        mutate(&mut case, rng);
    }
    case.denies.truncate(4);
    case
}

fn wire_classes(classes: &BTreeSet<u8>) -> Classes {
    let classes: Vec<DataClass> = classes.iter().map(|class| DataClass::ALL[usize::from(*class)]).collect();
    Classes::of(&classes).unwrap()
}

fn wire_codes(kinds: Option<&BTreeSet<u32>>) -> Codes {
    let Some(kinds) = kinds else { return Codes::All };
    let codes: Vec<ObservationCode> = kinds.iter().copied().map(ObservationCode::Loinc).collect();
    Codes::only(&codes).unwrap()
}

fn wire_purposes(purposes: &BTreeSet<u8>) -> Purposes {
    let purposes: Vec<Purpose> = purposes.iter().map(|purpose| Purpose::ALL[usize::from(*purpose)]).collect();
    Purposes::of(&purposes).unwrap()
}

fn wire_scope(data: &Data) -> Scope {
    Scope {
        classes: wire_classes(&data.classes),
        codes: wire_codes(data.kinds.as_ref()),
        span: span(data.from, data.until),
    }
}

fn wire_deny(rule: &Rule) -> Deny {
    Deny {
        party: rule.them.map(|them| if them { READER } else { WRITER }),
        purposes: rule.purposes.as_ref().map(wire_purposes),
        classes: rule.classes.as_ref().map(wire_classes),
        codes: wire_codes(rule.kinds.as_ref()),
        span: rule.span.map(|(from, until)| span(from, until)),
    }
}

fn wire_grantee(names: Names, world: &World) -> Grantee {
    let party = |them: bool| if them { READER } else { PartyId::new([0; 16]) };
    let key = |theirs: bool| if theirs { world.reader_key() } else { other_key() };
    match names {
        Names::Person { them, their_key } => Grantee::Person { party: party(them), key: key(their_key) },
        Names::Application { them, their_key } => {
            Grantee::Application { party: party(them), key: key(their_key) }
        }
        Names::Role { member, role } => {
            Grantee::Role { member: MemberIndex::new(member), role: Role::ALL[usize::from(role)] }
        }
    }
}

/// The world of a case.
fn world(case: &Case) -> World {
    let mut world = World::new();
    let now = TimeMs::new(case.now);
    (world.head, world.now) = (Tip { time: now, ..world.head }, now);
    world.grant.grantee = wire_grantee(case.names, &world);
    world.grant.scope = wire_scope(&case.granted);
    world.grant.purposes = wire_purposes(&case.purposes);
    world.grant.validity = span(case.validity.0, case.validity.1);
    world.grant.denies = List::new(case.denies.iter().map(wire_deny).collect()).unwrap();
    world.intent.scope = wire_scope(&case.intended);
    world.intent.purpose = Purpose::ALL[usize::from(case.purpose)];
    world.intent.valid_ms = u32::try_from(case.lives_ms).unwrap();
    if !case.signed_by_them {
        world.intent_signer = other_signer();
    }
    world.standing = if case.withdrawn { Standing::Revoked(SINCE) } else { Standing::Active };
    if case.refused {
        world.refusals.refuse(world.grant_tag(super::world::PLACE));
    }
    register(case, &mut world);
    world
}

fn register(case: &Case, world: &mut World) {
    let identity = world.identity.as_mut().unwrap();
    let roles: Vec<Role> = case.roles.iter().map(|role| Role::ALL[usize::from(*role)]).collect();
    identity.kind = match case.kind {
        Kind::Person => PartyKind::Person,
        Kind::Gateway => PartyKind::Gateway,
        Kind::Application => PartyKind::Application,
    };
    (identity.member, identity.roles) = (MemberIndex::new(case.member), Roles::of(&roles));
    identity.validity = span(case.registration.0, case.registration.1);
    if case.registration_ended {
        identity.standing = Standing::Revoked(SINCE);
    }
    if !case.registered {
        world.identity = None;
    }
}

fn decided(case: &Case, world: &World) -> Result<Permit, Denied> {
    let mut terms = world.terms();
    (terms.scope, terms.sent) = (wire_scope(&case.asked), world.now);
    world.decide_request(signed(terms, &world.one_time), &world.ledger())
}

/// An epoch, often of what is asked for.
fn epoch(asked: &Data, rng: &mut StdRng) -> Epoch {
    let (from, until) = times(rng);
    let (mut class, mut kind) = (rng.random_range(0..6), rng.random_range(KINDS));
    if rng.random_range(0..4) > 0 {
        class = *asked.classes.first().unwrap();
        kind = asked.kinds.as_ref().map_or(kind, |kinds| *kinds.first().unwrap());
    }
    let mostly = |rng: &mut StdRng| rng.random_range(0..8) > 0;
    Epoch { class, kind, from, until, of_the_writer: mostly(rng), of_the_chain: mostly(rng) }
}

fn wire_epoch(epoch: &Epoch, world: &World) -> EpochHeader {
    let header = header(world);
    EpochHeader {
        writer: if epoch.of_the_writer { WRITER } else { READER },
        grants: if epoch.of_the_chain { header.grants } else { seed(1).anchor() },
        class: DataClass::ALL[usize::from(epoch.class)],
        code: ObservationCode::Loinc(epoch.kind),
        span: span(epoch.from, epoch.until),
        ..header
    }
}

/// What came of a case: denied, or permitted with how many epochs opened and closed.
fn compare(seed: u64) -> Result<(usize, usize), Denied> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let case = case(rng);
    let world = world(&case);
    let permit = decided(&case, &world);
    assert_eq!(permit.is_ok(), model::permits(&case), "seed {seed}: {:?}, {case:?}", permit.err());
    let permit = permit?;
    let epochs: Vec<Epoch> = (0..12).map(|_| epoch(&case.asked, rng)).collect();
    for epoch in &epochs {
        let opened = permit.opens(&wire_epoch(epoch, &world));
        assert_eq!(opened, model::opens(&case, epoch), "seed {seed}: {epoch:?}, {case:?}");
    }
    let opened = epochs.iter().filter(|epoch| model::opens(&case, epoch)).count();
    Ok((opened, epochs.len() - opened))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_product_decides_as_the_model_does(seed: u64) {
        let _ = compare(seed);
    }
}

#[test]
fn the_cases_that_are_drawn_are_of_every_kind() {
    let outcomes: Vec<_> = (0..1_000).map(compare).collect();
    let permitted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((200..800).contains(&permitted), "{permitted} of 1,000 are permitted");
    let (opened, closed) = outcomes.iter().flatten().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(opened > 200 && closed > 200, "{opened} epochs open, {closed} do not");
    let denied: BTreeSet<String> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .map(|denied| format!("{denied:?}"))
        .collect();
    for clause in [
        Denied::RequesterUnknown,
        Denied::RequesterGateway,
        Denied::RequesterRevoked,
        Denied::RequesterOutsideValidity,
        Denied::IntentSignature,
        Denied::OtherGrantee,
        Denied::OtherGranteeKey,
        Denied::RoleNotHeld,
        Denied::ClassNotGranted,
        Denied::CodeNotGranted,
        Denied::SpanNotGranted,
        Denied::PurposeNotGranted,
        Denied::GrantNotYet,
        Denied::GrantExpired,
        Denied::DeniedByRule,
        Denied::ClassBeyondIntent,
        Denied::CodeBeyondIntent,
        Denied::SpanBeyondIntent,
        Denied::AccessExpired,
        Denied::GrantRevoked,
        Denied::GrantRefused,
    ] {
        assert!(denied.contains(&format!("{clause:?}")), "no case is denied for {clause:?}");
    }
}

#[test]
fn every_way_to_be_named_is_decided_as_the_model_does() {
    let rng = &mut StdRng::seed_from_u64(1);
    let mut sound = sound(rng);
    sound.denies.clear();
    let both = [false, true];
    let named = both.iter().flat_map(|them| both.map(|their_key| (*them, their_key)));
    let names = named
        .flat_map(|(them, their_key)| {
            [Names::Person { them, their_key }, Names::Application { them, their_key }]
        })
        .chain((0..3).flat_map(|member| (0..3).map(move |role| Names::Role { member, role })));
    for names in names {
        for kind in [Kind::Person, Kind::Gateway, Kind::Application] {
            for (member, roles) in [(0, 0..1), (1, 0..0), (1, 1..3)] {
                let case = Case { names, kind, member, roles: roles.collect(), ..sound.clone() };
                assert_eq!(decided(&case, &world(&case)).is_ok(), model::permits(&case), "{case:?}");
            }
        }
    }
}

#[test]
fn every_two_sets_of_classes_are_compared_as_the_model_does() {
    let rng = &mut StdRng::seed_from_u64(2);
    let sound = Case { denies: Vec::new(), ..sound(rng) };
    let ordinary =
        (1..8_u8).map(|bits| (0..3).filter(|class| bits & (1 << class) != 0).collect::<BTreeSet<u8>>());
    let sets: Vec<BTreeSet<u8>> = ordinary.chain((3..6).map(|class| [class].into())).collect();
    for granted in &sets {
        for intended in &sets {
            let mut case = sound.clone();
            case.granted.classes = granted.clone();
            case.intended = Data { classes: intended.clone(), ..case.granted.clone() };
            case.asked = case.intended.clone();
            let world = world(&case);
            let permit = decided(&case, &world);
            assert_eq!(permit.is_ok(), model::permits(&case), "{granted:?} {intended:?}");
            let Ok(permit) = permit else { continue };
            for class in 0..6 {
                let (from, until) = (case.asked.from, case.asked.until);
                let kind = case.asked.kinds.as_ref().map_or(1, |kinds| *kinds.first().unwrap());
                let epoch = Epoch { class, kind, from, until, of_the_writer: true, of_the_chain: true };
                assert_eq!(permit.opens(&wire_epoch(&epoch, &world)), intended.contains(&class));
            }
        }
    }
}
