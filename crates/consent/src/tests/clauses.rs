//! Each clause violated alone, and what is said then.

use super::world::{
    CHAIN, HEAD, HEART_RATE, Ledger, ME, NOW, PLACE, READER, READERS_MEMBER, SINCE, SPO2, TEMPERATURE,
    WRITER, World, codes, other_key, other_signer, sealed_grant, sealed_intent, seed, show, signed, span,
    vitals,
};
use crate::{Denied, Desk, Named, PERMIT_MS_MAX, Permit, Policies, decide};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::Signature;
use salus_wire::consent::{Deny, Grantee};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, REQUEST_SKEW_MS_MAX, VIEW_STALE_MS};
use salus_wire::release::{EpochHeader, ShareBytes};
use salus_wire::state::{AccessRecord, GrantRecord, Standing, Tip};
use salus_wire::tx::{PartyKind, access_commitment, grant_commitment};
use salus_wire::{
    Classes, Code, Codes, DataClass, EpochId, Height, List, MemberIndex, PartyId, Purpose, Purposes, Role,
    Roles, StateKey, StateValue, TimeMs, encode, namespaces,
};

#[test]
fn the_valid_request_is_permitted() {
    let world = World::new();
    let permit = world.decide().ok().unwrap();
    assert_eq!(permit.access(), world.access_tag(PLACE));
    assert_eq!(permit.requester(), READER);
    assert_eq!(permit.purpose(), Purpose::Treatment);
    assert_eq!(permit.at(), HEAD);
    assert_eq!(permit.grants(), world.patient.anchor());
}

fn access(world: &World, ledger: &mut Ledger, edit: fn(&World, &mut AccessRecord)) {
    match ledger.get_mut(&StateKey::Access(world.access_tag(PLACE))) {
        Some(StateValue::Access(record)) => edit(world, record),
        _ => panic!("the world has an access"),
    }
}

fn grant(world: &World, ledger: &mut Ledger, edit: fn(&World, &mut GrantRecord)) {
    match ledger.get_mut(&StateKey::Grant(world.grant_tag(PLACE))) {
        Some(StateValue::Grant(record)) => edit(world, record),
        _ => panic!("the world has a grant"),
    }
}

/// What is said, and what breaks the world so that it is.
type Row = (Denied, fn(&mut World));

/// What breaks the request itself, or what it says about the chains.
const REQUEST: &[Row] = &[
    (Denied::OtherCustodian, |w| w.edit_terms = |_, t| t.custodian = MemberIndex::new(1)),
    (Denied::NotJustNow, |w| w.edit_terms = |_, t| t.sent = NOW.plus_ms(REQUEST_SKEW_MS_MAX + 1)),
    (Denied::NotJustNow, |w| w.edit_terms = |_, t| t.sent = TimeMs::new(NOW.get() - REQUEST_SKEW_MS_MAX - 1)),
    (Denied::RequestSignature, |w| w.edit_terms = |_, t| t.one_time = other_key()),
    (Denied::NoSuchPlace, |w| w.edit_terms = |_, t| t.access_index = 0),
    (Denied::NoSuchPlace, |w| w.edit_terms = |_, t| t.access_index = 1025),
    (Denied::NoSuchPlace, |w| w.edit_terms = |_, t| t.grant_index = 0),
    (Denied::NoSuchPlace, |w| w.edit_terms = |_, t| t.grant_index = u16::MAX),
    (Denied::AccessNotFinal, |w| w.edit_terms = |w, t| t.access_link = show(&w.lane.link(PLACE + 1))),
    (Denied::NoGrant, |w| w.edit_terms = |w, t| t.grant_link = show(&w.patient.link(PLACE + 1))),
    (Denied::OffLane, |w| w.edit_terms = |_, t| t.access_index = PLACE - 1),
    (Denied::LaneGap, |w| w.edit_terms = |_, t| t.access_index = PLACE + 1),
    (Denied::GrantGap, |w| w.edit_terms = |_, t| t.grant_index = PLACE + 1),
    (Denied::GrantSealed, |w| w.edit_terms = |w, t| t.grant_body_key = ShareBytes(w.patient.body_key(1))),
    (Denied::OtherReader, |w| {
        w.edit_terms = |_, t| {
            t.reader = KemSecretKey::from_seed(Secret::from_bytes([66; 32])).public_key();
        }
    }),
    (Denied::ClassBeyondIntent, |w| w.edit_terms = |_, t| t.scope.classes = Classes::ORDINARY),
    (Denied::CodeBeyondIntent, |w| w.edit_terms = |_, t| t.scope.codes = Codes::All),
    (Denied::CodeBeyondIntent, |w| w.edit_terms = |_, t| t.scope.codes = codes(&[HEART_RATE, TEMPERATURE])),
    (Denied::SpanBeyondIntent, |w| w.edit_terms = |_, t| t.scope.span = span(199, 800)),
    (Denied::SpanBeyondIntent, |w| w.edit_terms = |_, t| t.scope.span = span(200, 801)),
];

/// What breaks the entries on the ledger.
const LEDGER: &[Row] = &[
    (Denied::AccessNotFinal, |w| {
        w.edit_ledger = |w, l| drop(l.remove(&StateKey::Access(w.access_tag(PLACE))));
    }),
    (Denied::AccessNotFinal, |w| {
        w.edit_ledger = |w, l| drop(l.insert(StateKey::Access(w.access_tag(PLACE)), StateValue::Tip(HEAD)));
    }),
    (Denied::LaneGap, |w| w.edit_ledger = |w, l| drop(l.remove(&StateKey::Access(w.access_tag(1))))),
    (Denied::LaneGap, |w| w.edit_ledger = |w, l| drop(l.remove(&StateKey::Access(w.access_tag(2))))),
    (Denied::GrantGap, |w| w.edit_ledger = |w, l| drop(l.remove(&StateKey::Grant(w.grant_tag(1))))),
    (Denied::GrantGap, |w| w.edit_ledger = |w, l| drop(l.remove(&StateKey::Grant(w.grant_tag(2))))),
    (Denied::NoGrant, |w| w.edit_ledger = |w, l| drop(l.remove(&StateKey::Grant(w.grant_tag(PLACE))))),
    (Denied::OtherOneTime, |w| w.edit_ledger = |w, l| access(w, l, |_, a| a.one_time = other_key())),
    (Denied::IntentSealed, |w| {
        w.edit_ledger = |w, l| {
            access(w, l, |w, a| {
                a.body = sealed_intent(&w.lane.link(1).body_key(), &encode(&w.signed_intent()))
            });
        }
    }),
    (Denied::IntentSealed, |w| {
        w.edit_ledger = |w, l| {
            access(w, l, |w, a| a.body = sealed_intent(&w.lane.link(PLACE).body_key(), b"not an intent"));
        }
    }),
    (Denied::IntentCommitment, |w| w.edit_ledger = |w, l| access(w, l, |_, a| a.commitment = Digest::ZERO)),
    (Denied::IntentOneTime, |w| {
        w.edit_ledger = |w, l| {
            access(w, l, |w, a| {
                let mut intent = w.signed_intent();
                intent.terms.one_time = other_key();
                a.commitment = access_commitment(&intent);
                a.body = sealed_intent(&w.lane.link(PLACE).body_key(), &encode(&intent));
            });
        }
    }),
    (Denied::GrantSealed, |w| {
        w.edit_ledger =
            |w, l| grant(w, l, |w, g| g.body = sealed_grant(&w.patient.body_key(PLACE), b"not a grant"));
    }),
    (Denied::GrantCommitment, |w| w.edit_ledger = |w, l| grant(w, l, |_, g| g.commitment = Digest::ZERO)),
    // Somebody took the tag before they knew its link, with a grant as good as any; they learned the link since.
    (Denied::GrantCommitment, |w| {
        w.edit_ledger = |w, l| {
            grant(w, l, |w, g| g.commitment = sha256(namespaces::GRANT, &[&encode(&w.grant)]));
        };
    }),
    (Denied::GrantCommitment, |w| {
        w.edit_ledger = |w, l| {
            grant(w, l, |w, g| g.commitment = grant_commitment(&w.patient.link(PLACE - 1), &w.grant));
        };
    }),
    (Denied::GrantOneTime, |w| w.edit_ledger = |w, l| grant(w, l, |_, g| g.one_time = other_key())),
    (Denied::GrantOneTime, |w| w.grant.one_time = other_key()),
];

/// What breaks the grant, the intent, the requester, or the time.
const TERMS: &[Row] = &[
    (Denied::AccessExpired, |w| at(w, SINCE.time.plus_ms(u64::from(ACCESS_VALID_MS_MAX)))),
    (Denied::AccessExpired, |w| w.intent.valid_ms = 1_000),
    (Denied::AccessExpired, |w| {
        w.intent.valid_ms = u32::MAX;
        at(w, SINCE.time.plus_ms(u64::from(ACCESS_VALID_MS_MAX)));
    }),
    (Denied::OtherGrant, |w| w.intent.grant = w.grant_tag(1)),
    (Denied::OffLane, |w| w.grant.lane = seed(99).anchor()),
    (Denied::RequesterUnknown, |w| w.identity = None),
    (Denied::RequesterUnknown, |w| w.intent.requester = PartyId::new([0; 16])),
    (Denied::RequesterGateway, |w| edit_identity(w, |i| i.kind = PartyKind::Gateway)),
    (Denied::RequesterRevoked, |w| edit_identity(w, |i| i.standing = Standing::Revoked(HEAD))),
    (Denied::RequesterOutsideValidity, |w| edit_identity(w, |i| i.validity = span(0, HEAD.time.get()))),
    (Denied::RequesterOutsideValidity, |w| {
        edit_identity(w, |i| i.validity = span(HEAD.time.get() + 1, u64::MAX));
    }),
    (Denied::IntentSignature, |w| w.intent_signer = other_signer()),
    (Denied::IntentSignature, |w| edit_identity(w, |i| i.key = other_key())),
    (Denied::OtherGrantee, |w| w.grant.grantee = Grantee::Person { party: WRITER, key: w.reader_key() }),
    (Denied::OtherGrantee, |w| w.grant.grantee = Grantee::Application { party: READER, key: w.reader_key() }),
    (Denied::OtherGrantee, |w| edit_identity(w, |i| i.kind = PartyKind::Application)),
    (Denied::OtherGranteeKey, |w| w.grant.grantee = Grantee::Person { party: READER, key: other_key() }),
    (Denied::RoleNotHeld, |w| w.grant.grantee = role(READERS_MEMBER, Role::Physician)),
    (Denied::RoleNotHeld, |w| w.grant.grantee = role(MemberIndex::new(0), Role::Nurse)),
    (Denied::RoleNotHeld, |w| {
        w.grant.grantee = role(READERS_MEMBER, Role::Nurse);
        edit_identity(w, |i| i.roles = Roles::NONE);
    }),
    (Denied::RoleNotHeld, |w| {
        w.grant.grantee = role(READERS_MEMBER, Role::Nurse);
        edit_identity(w, |i| i.kind = PartyKind::Application);
    }),
    (Denied::ClassNotGranted, |w| w.intent.scope.classes = Classes::ORDINARY),
    (Denied::ClassNotGranted, |w| w.grant.scope.classes = of(DataClass::Waveform)),
    (Denied::ClassNotGranted, |w| {
        w.grant.scope.classes = Classes::ORDINARY;
        w.intent.scope.classes = of(DataClass::SubstanceUse);
    }),
    (Denied::CodeNotGranted, |w| w.intent.scope.codes = Codes::All),
    (Denied::CodeNotGranted, |w| w.grant.scope.codes = codes(&[HEART_RATE])),
    (Denied::SpanNotGranted, |w| w.intent.scope.span = span(99, 800)),
    (Denied::SpanNotGranted, |w| w.intent.scope.span = span(200, 901)),
    (Denied::PurposeNotGranted, |w| w.intent.purpose = Purpose::Research),
    (Denied::GrantNotYet, |w| w.grant.validity = span(HEAD.time.get() + 1, u64::MAX)),
    (Denied::GrantExpired, |w| w.grant.validity = span(0, HEAD.time.get())),
    (Denied::DeniedByRule, |w| deny(w, |_| {})),
    (Denied::DeniedByRule, |w| deny(w, |d| d.party = Some(READER))),
    (Denied::DeniedByRule, |w| deny(w, |d| d.purposes = Purposes::of(&[Purpose::Treatment]))),
    (Denied::DeniedByRule, |w| deny(w, |d| d.classes = Some(vitals()))),
    (Denied::DeniedByRule, |w| deny(w, |d| d.codes = codes(&[HEART_RATE, SPO2, TEMPERATURE]))),
    (Denied::DeniedByRule, |w| deny(w, |d| d.span = Some(span(200, 800)))),
    // A denial outranks a permission by role, too.
    (Denied::DeniedByRule, |w| {
        w.grant.grantee = role(READERS_MEMBER, Role::Nurse);
        deny(w, |d| d.party = Some(READER));
    }),
    (Denied::OtherReader, |w| w.intent.reader = Digest::ZERO),
    (Denied::GrantRevoked, |w| {
        w.standing = Standing::Revoked(Tip { height: Height::new(45), time: TimeMs::new(1) })
    }),
    (Denied::GrantRevoked, |w| w.standing = Standing::Revoked(SINCE)),
    (Denied::GrantRevoked, |w| w.standing = Standing::Revoked(HEAD)),
    (Denied::GrantRefused, |w| {
        let tag = w.grant_tag(PLACE);
        w.refusals.refuse(tag);
    }),
    (Denied::ViewStale, |w| {
        w.now = HEAD.time.plus_ms(VIEW_STALE_MS + 1);
        w.edit_terms = |w, t| t.sent = w.now;
    }),
    (Denied::ViewStale, |w| w.head.time = NOW.plus_ms(VIEW_STALE_MS + 1)),
];

fn role(member: MemberIndex, role: Role) -> Grantee {
    Grantee::Role { member, role }
}

fn of(class: DataClass) -> Classes {
    Classes::of(&[class]).unwrap()
}

/// Adds a denial of everything, as narrowed by `edit`.
fn deny(world: &mut World, edit: fn(&mut Deny)) {
    let mut deny = Deny { party: None, purposes: None, classes: None, codes: Codes::All, span: None };
    edit(&mut deny);
    let mut denies = world.grant.denies.to_vec();
    denies.push(deny);
    world.grant.denies = List::new(denies).unwrap();
}

fn edit_identity(world: &mut World, edit: fn(&mut salus_wire::state::IdentityRecord)) {
    edit(world.identity.as_mut().unwrap());
}

fn at(world: &mut World, time: TimeMs) {
    world.head.time = time;
    world.now = time;
    world.edit_terms = |w, t| t.sent = w.now;
}

fn check(table: &[Row]) {
    for (row, (denied, violate)) in table.iter().enumerate() {
        let mut world = World::new();
        violate(&mut world);
        let decided = match row_request(&world, *denied) {
            Some(request) => world.decide_request(request, &world.ledger()),
            None => world.decide(),
        };
        assert_eq!(decided.err(), Some(*denied), "row {row}");
    }
}

/// A request that names another one-time key is signed with ours, or it would be somebody else's
/// valid request.
fn row_request(world: &World, denied: Denied) -> Option<salus_wire::release::ReleaseRequest> {
    (denied == Denied::RequestSignature).then(|| signed(world.terms(), &world.one_time))
}

#[test]
fn every_violated_clause_of_the_request_denies() {
    check(REQUEST);
}

#[test]
fn every_violated_clause_of_the_ledger_denies() {
    check(LEDGER);
}

#[test]
fn every_violated_clause_of_the_terms_denies() {
    check(TERMS);
}

#[test]
fn a_bad_signature_denies_before_anything_is_remembered() {
    let world = World::new();
    let mut desk = Desk::new(CHAIN, ME);
    let mut request = world.request();
    request.signature = Signature::from_bytes([0; 64]);
    assert_eq!(desk.admit(request, NOW).err(), Some(Denied::RequestSignature));
    assert!(desk.admit(world.request(), NOW).is_ok());
    assert_eq!(desk.admit(world.request(), NOW).err(), Some(Denied::Replayed));
}

#[test]
fn the_last_moment_of_every_time_still_holds() {
    let mut world = World::new();
    at(&mut world, SINCE.time.plus_ms(u64::from(ACCESS_VALID_MS_MAX) - 1));
    assert!(world.decide().is_ok());
    let mut world = World::new();
    world.now = HEAD.time.plus_ms(VIEW_STALE_MS);
    world.edit_terms = |w, t| t.sent = w.now;
    assert!(world.decide().is_ok());
    let mut world = World::new();
    world.grant.validity = span(HEAD.time.get(), HEAD.time.get() + 1);
    assert!(world.decide().is_ok());
}

#[test]
fn the_second_view_may_not_be_older_nor_lack_an_entry() {
    let mut world = World::new();
    let ledger = world.ledger();
    let introduced = |world: &World| world.introduce(world.request(), &ledger).ok().unwrap();
    let policies = &mut Policies::default();
    let all = introduced(&world).reads();
    assert_eq!(all.len(), 3);
    for gone in 0..all.len() {
        let mut keys = all.clone();
        keys.remove(gone);
        let view = world.view(keys, &ledger).unwrap();
        let denied = decide(introduced(&world), &view, policies, NOW).err();
        assert_eq!(denied, Some(Denied::ViewIncomplete), "without {gone}");
    }

    let first = introduced(&world);
    world.head.height = Height::new(HEAD.height.get() - 1);
    let view = world.view(first.reads(), &ledger).unwrap();
    let denied = decide(first, &view, policies, NOW).err();
    assert_eq!(denied, Some(Denied::ViewStale));
}

#[test]
fn a_view_that_lacks_an_entry_denies() {
    let world = World::new();
    let ledger = world.ledger();
    let reads = Desk::new(CHAIN, ME).admit(world.request(), NOW).ok().unwrap().reads();
    assert_eq!(reads.len(), 6);
    for gone in 0..reads.len() {
        let admitted = Desk::new(CHAIN, ME).admit(world.request(), NOW).ok().unwrap();
        let mut keys = admitted.reads();
        keys.remove(gone);
        let view = world.view(keys, &ledger).unwrap();
        assert_eq!(admitted.open(&view, NOW).err(), Some(Denied::ViewIncomplete));
    }
}

#[test]
fn what_was_walked_once_is_not_read_again() {
    let world = World::new();
    let mut desk = Desk::new(CHAIN, ME);
    let opened = world.open(&mut desk, world.request(), &world.ledger()).ok().unwrap();
    desk.learn(&opened);
    let mut terms = world.terms();
    terms.nonce = [1; 16];
    let admitted = desk.admit(signed(terms, &world.one_time), NOW).ok().unwrap();
    assert_eq!(admitted.reads().len(), 2);
}

fn permit() -> Permit {
    World::new().decide().ok().unwrap()
}

#[test]
fn a_role_an_application_and_a_sensitive_class_of_its_own_are_permitted() {
    let mut world = World::new();
    world.grant.grantee = role(READERS_MEMBER, Role::Nurse);
    assert_eq!(world.decide().ok().unwrap().grounds().named, Named::Role(Role::Nurse));
    let mut world = World::new();
    world.grant.grantee = Grantee::Application { party: READER, key: world.reader_key() };
    edit_identity(&mut world, |i| i.kind = PartyKind::Application);
    assert_eq!(world.decide().ok().unwrap().grounds().named, Named::Application);
    let mut world = World::new();
    world.grant.scope.classes = of(DataClass::SubstanceUse);
    world.intent.scope.classes = of(DataClass::SubstanceUse);
    assert_eq!(world.decide().ok().unwrap().grounds().named, Named::Person);
}

#[test]
fn a_denial_that_concerns_others_or_a_part_denies_no_more_than_that() {
    let spared: [fn(&mut Deny); 5] = [
        |d| d.party = Some(WRITER),
        |d| d.purposes = Purposes::of(&[Purpose::Research]),
        |d| d.classes = Classes::of(&[DataClass::Waveform]),
        |d| d.codes = codes(&[TEMPERATURE]),
        |d| d.span = Some(span(2_000, 2_001)),
    ];
    for edit in spared {
        let mut world = World::new();
        deny(&mut world, edit);
        assert!(world.decide().is_ok_and(|permit| permit.opens(&header(&world))));
    }
    let held: [fn(&mut Deny); 2] = [|d| d.codes = codes(&[HEART_RATE]), |d| d.span = Some(span(799, 800))];
    for edit in held {
        let mut world = World::new();
        deny(&mut world, edit);
        let permit = world.decide().ok().unwrap();
        assert_eq!(permit.grounds().held_back.len(), 1);
        assert!(!permit.opens(&header(&world)));
        let other = EpochHeader { code: SPO2, span: span(201, 300), ..header(&world) };
        assert!(permit.opens(&other));
        assert!(!permit.redeem(&world.refusals, NOW).ok().unwrap().opens(&header(&world)));
    }
}

#[test]
fn a_permit_dies_with_a_refusal_or_with_time() {
    let world = World::new();
    let mut refusals = crate::Refusals::default();
    assert!(permit().redeem(&refusals, NOW.plus_ms(PERMIT_MS_MAX)).is_ok());
    let late = NOW.plus_ms(PERMIT_MS_MAX + 1);
    assert_eq!(permit().redeem(&refusals, late).err(), Some(Denied::PermitSpent));
    refusals.refuse(world.grant_tag(1));
    assert!(permit().redeem(&refusals, NOW).is_ok());
    refusals.refuse(world.grant_tag(PLACE));
    assert_eq!(permit().redeem(&refusals, NOW).err(), Some(Denied::GrantRefused));
    refusals.drop_settled(&[world.grant_tag(PLACE)]);
    assert!(permit().redeem(&refusals, NOW).is_ok());
}

/// An epoch that the world's permit opens.
pub(super) fn header(world: &World) -> EpochHeader {
    EpochHeader {
        epoch: EpochId::new([1; 16]),
        writer: WRITER,
        class: DataClass::Vitals,
        code: HEART_RATE,
        span: span(799, 2_000),
        grants: world.patient.anchor(),
        threshold: 3,
        share_hashes: List::empty(),
        key_commitment: Digest::ZERO,
    }
}

#[test]
fn a_grant_shown_at_an_earlier_place_of_its_chain_opens_nothing() {
    for place in 1..PLACE {
        let mut world = World::new();
        world.edit_terms = match place {
            1 => |_, t| t.grant_index = 1,
            _ => |_, t| t.grant_index = 2,
        };
        let permit = world.decide().ok().unwrap();
        assert!(!permit.opens(&header(&world)));
    }
}

#[test]
fn a_permit_opens_only_epochs_of_its_chain_writer_class_kind_and_time() {
    let world = World::new();
    let header = header(&world);
    let redeemed = permit().redeem(&world.refusals, NOW).ok().unwrap();
    assert!(redeemed.opens(&header));
    assert!(!redeemed.opens(&EpochHeader { writer: READER, ..header.clone() }));
    assert!(!redeemed.opens(&EpochHeader { class: DataClass::Waveform, ..header.clone() }));
    assert!(redeemed.opens(&EpochHeader { code: SPO2, ..header.clone() }));
    assert!(!redeemed.opens(&EpochHeader { code: TEMPERATURE, ..header.clone() }));
    assert!(!redeemed.opens(&EpochHeader { span: span(800, 2_000), ..header.clone() }));
    assert!(!redeemed.opens(&EpochHeader { span: span(100, 200), ..header.clone() }));
    assert!(!redeemed.opens(&EpochHeader { grants: seed(1).anchor(), ..header }));
}

#[test]
fn every_denial_has_a_code_and_says_who_is_to_blame() {
    assert_eq!(Denied::GrantRefused.code(), Code::GrantRevoked);
    assert_eq!(Denied::ViewStale.code().blame(), salus_wire::Blame::Ours);
    for (denied, _) in REQUEST.iter().chain(LEDGER).chain(TERMS) {
        assert_ne!(denied.code(), Code::Internal);
        assert!(!denied.to_string().ends_with('.'));
    }
}

#[test]
fn a_grant_that_is_refused_between_the_decision_and_the_permit_gives_none() {
    let mut world = World::new();
    let ledger = world.ledger();
    let introduced = world.introduce(world.request(), &ledger).ok().unwrap();
    let view = world.view(introduced.reads(), &ledger).unwrap();
    let decided = decide(introduced, &view, &mut Policies::default(), NOW).ok().unwrap();
    let tag = world.grant_tag(PLACE);
    world.refusals.refuse(tag);
    assert_eq!(decided.permit(&world.refusals).err(), Some(Denied::GrantRefused));
}
