//! Emergencies: who may read without the patient's word, how often, and what follows.

use super::world::{CHAIN, ME, NOW, PLACE, READER, READERS_MEMBER, World, other_signer, rng, seed, span};
use crate::{Denied, Desk, Look, Named, may_look, open_review, verdict};
use salus_crypto::chain::seal_body;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_wire::consent::{Grantee, Reason, Vouching};
use salus_wire::emergency::{
    EmergencyUse, GlassRequest, GlassTerms, Review, ReviewsRequest, Verdict, card_name,
    glass_request_message, review_key, review_message, reviews_message,
};
use salus_wire::limits::{
    EMERGENCY_LOOKS_MAX, EMERGENCY_MS_MAX, EMERGENCY_USES_MAX, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS,
};
use salus_wire::release::ShareBytes;
use salus_wire::state::{IdentityRecord, ReviewRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{
    AccessTag, Blob, Height, PartyId, Purpose, Purposes, Role, Roles, StateKey, StateValue, TimeMs, encode,
    namespaces,
};

const DAY: u64 = 24 * 3_600_000;

fn card() -> Secret<32> {
    Secret::from_bytes([21; 32])
}

fn second() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([22; 32]))
}

fn identity(world: &mut World) -> &mut IdentityRecord {
    world.identity.as_mut().unwrap()
}

/// A world in which a nurse may read in an emergency.
fn emergency() -> World {
    let mut world = World::new();
    world.grant.grantee = Grantee::Emergency { card: card_name(&card()) };
    world.grant.purposes = Purposes::of(&[Purpose::Emergency, Purpose::Treatment]).unwrap();
    world.intent.purpose = Purpose::Emergency;
    world.intent.vouching = Vouching::BreakGlass(Reason::Danger);
    world.second_signer = Some(second());
    identity(&mut world).second = Some(second().public_key());
    world
}

#[test]
fn a_nurse_with_a_second_factor_reads_in_an_emergency_and_it_is_to_be_remembered() {
    let world = emergency();
    let permit = world.decide().ok().unwrap();
    assert_eq!(permit.grounds().named, Named::Emergency(Role::Nurse));
    let used = permit.emergency().unwrap();
    let expected = EmergencyUse {
        at: NOW,
        requester: READER,
        card: card_name(&card()),
        access: world.access_tag(PLACE),
        reason: Reason::Danger,
    };
    assert_eq!(used, expected);
    assert!(World::new().decide().ok().unwrap().emergency().is_none());
}

/// What is said, and what breaks the emergency so that it is.
type Row = (Denied, fn(&mut World));

const EMERGENCY: &[Row] = &[
    (Denied::NotEmergency, |w| (w.intent.vouching, w.second_signer) = (Vouching::Requester, None)),
    (Denied::SecondFactor, |w| w.intent.vouching = Vouching::Requester),
    (Denied::SecondFactor, |w| w.second_signer = None),
    (Denied::SecondFactor, |w| w.second_signer = Some(other_signer())),
    (Denied::SecondFactor, |w| identity(w).second = None),
    (Denied::SecondFactor, |w| identity(w).second = Some(other_signer().public_key())),
    (Denied::RoleNotHeld, |w| identity(w).roles = Roles::of(&[Role::Technician, Role::PrivacyOfficer])),
    (Denied::RoleNotHeld, |w| identity(w).roles = Roles::NONE),
    (Denied::RoleNotHeld, |w| identity(w).kind = PartyKind::Application),
    (Denied::NotEmergency, |w| w.intent.purpose = Purpose::Treatment),
    (Denied::PurposeNotGranted, |w| w.grant.purposes = Purposes::only(Purpose::Treatment)),
    (Denied::NotEmergency, |w| w.grant.grantee = World::new().grant.grantee),
];

#[test]
fn each_clause_of_an_emergency_denies_alone() {
    for (number, (expected, spoil)) in EMERGENCY.iter().enumerate() {
        let mut world = emergency();
        spoil(&mut world);
        assert_eq!(world.decide().err(), Some(*expected), "row {number}");
    }
}

fn request(edit: fn(&mut GlassTerms)) -> GlassRequest {
    let mut terms = GlassTerms {
        custodian: ME,
        nonce: [3; 16],
        sent: NOW,
        requester: READER,
        key: World::new().reader_key(),
        reason: Reason::Incapable,
        card: ShareBytes(card()),
        reader: KemSecretKey::from_seed(Secret::from_bytes([5; 32])).public_key(),
    };
    let message = glass_request_message(CHAIN, &terms);
    let signature = World::new().intent_signer.sign(namespaces::BREAK_GLASS, &message);
    let second = second().sign(namespaces::BREAK_GLASS_SECOND, &message);
    edit(&mut terms);
    GlassRequest { terms, signature, second }
}

fn broken(desk: &mut Desk, world: &World, request: GlassRequest) -> Result<PartyId, Denied> {
    let admitted = desk.admit_glass(request, NOW)?;
    let view = world.view(admitted.reads(), &world.ledger())?;
    let permit = admitted.decide(&view, NOW)?;
    assert_eq!(*permit.card(), card_name(&card()));
    Ok(permit.requester())
}

#[test]
fn glass_breaks_once_for_each_request_and_only_for_who_signs_with_both_keys() {
    let desk = &mut Desk::new(CHAIN, ME);
    assert_eq!(broken(desk, &emergency(), request(|_| {})), Ok(READER));
    assert_eq!(broken(desk, &emergency(), request(|_| {})), Err(Denied::Replayed));
    let edits: [fn(&mut GlassTerms); 6] = [
        |terms| terms.custodian = salus_wire::MemberIndex::new(0),
        |terms| terms.reason = Reason::Danger,
        |terms| terms.requester = PartyId::new([1; 16]),
        |terms| terms.card = ShareBytes(Secret::from_bytes([1; 32])),
        |terms| terms.nonce = [4; 16],
        |terms| terms.key = other_signer().public_key(),
    ];
    for edit in edits {
        let denied = broken(&mut Desk::new(CHAIN, ME), &emergency(), request(edit));
        assert_eq!(denied, Err(Denied::RequestSignature));
    }
    let rows: [Row; 6] = [
        (Denied::RequesterUnknown, |w| w.identity = None),
        (Denied::RequestSignature, |w| identity(w).key = other_signer().public_key()),
        (Denied::RequesterRevoked, |w| identity(w).standing = Standing::Revoked(w.head)),
        (Denied::RoleNotHeld, |w| identity(w).roles = Roles::of(&[Role::Researcher])),
        (Denied::SecondFactor, |w| identity(w).second = None),
        (Denied::SecondFactor, |w| identity(w).second = Some(other_signer().public_key())),
    ];
    for (expected, spoil) in rows {
        let mut world = emergency();
        spoil(&mut world);
        assert_eq!(broken(&mut Desk::new(CHAIN, ME), &world, request(|_| {})), Err(expected));
    }
}

fn tag(n: u16) -> AccessTag {
    AccessTag(seed(40).link(n).tag())
}

fn look(card: u8, access: u16, at: u64, closed: Option<Verdict>) -> Look {
    let card = Digest::from_bytes([card; 32]);
    let (at, access) = (TimeMs::new(at), tag(access));
    Look { used: EmergencyUse { at, requester: READER, card, access, reason: Reason::Danger }, closed }
}

#[test]
fn looks_uses_and_unreviewed_uses_are_bounded() {
    let now = 100 * DAY;
    let ask = |conduct: &[Look], card: u8, access: u16| {
        may_look(conduct, &Digest::from_bytes([card; 32]), tag(access), TimeMs::new(now))
    };
    assert_eq!(ask(&[], 1, 1), Ok(()));
    // Looks of one use; the same look again is no other.
    let looks =
        |count: usize| (1..=u16::try_from(count).unwrap()).map(|n| look(1, n, now - 5, None)).collect();
    let all: Vec<Look> = looks(EMERGENCY_LOOKS_MAX);
    assert_eq!(ask(&all[1..], 1, 99), Ok(()));
    assert_eq!(ask(&all, 1, 99), Err(Denied::GlassLimit));
    assert_eq!(ask(&all, 1, 1), Ok(()));
    assert_eq!(ask(&all, 2, 99), Ok(()), "another patient");
    // An hour later it is another use.
    let old: Vec<Look> = (1..=8).map(|n| look(1, n, now - EMERGENCY_MS_MAX, None)).collect();
    assert_eq!(ask(&old, 1, 99), Ok(()));
    // Uses of a day.
    let uses = |age: u64| -> Vec<Look> {
        (0..EMERGENCY_USES_MAX).map(|n| look(u8::try_from(n).unwrap(), 1, now - age, None)).collect()
    };
    assert_eq!(ask(&uses(DAY - 1), 99, 1), Err(Denied::GlassLimit));
    assert_eq!(ask(&uses(DAY), 99, 1), Ok(()));
    // Two that waited too long suspend, until they are closed; one does not.
    let late = |closed| look(1, 1, now - REVIEW_SUSPEND_MS - 1, closed);
    let other = look(2, 2, now - REVIEW_SUSPEND_MS - 1, None);
    assert_eq!(ask(&[late(None)], 3, 3), Ok(()));
    assert_eq!(ask(&[late(None), other.clone()], 3, 3), Err(Denied::GlassSuspended));
    assert_eq!(ask(&[late(None), other.clone()], 1, 1), Err(Denied::GlassSuspended), "a look under way, too");
    assert_eq!(ask(&[late(Some(Verdict::Justified)), other], 3, 3), Ok(()));
    assert_eq!(ask(&[late(Some(Verdict::Unjustified))], 3, 3), Err(Denied::GlassSuspended));
}

const OFFICER: PartyId = PartyId::new([30; 16]);
const CLOSED: Tip = Tip { height: Height::new(60), time: TimeMs::new(1_200_000) };

fn officer_key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([31; 32]))
}

fn officer() -> IdentityRecord {
    IdentityRecord {
        kind: PartyKind::Person,
        member: READERS_MEMBER,
        key: officer_key().public_key(),
        validity: span(0, 2_000_000),
        roles: Roles::of(&[Role::PrivacyOfficer]),
        second: None,
        since: CLOSED,
        standing: Standing::Active,
    }
}

fn closing(used: &EmergencyUse, by: PartyId) -> (Review, ReviewRecord) {
    let EmergencyUse { access, requester, .. } = *used;
    let verdict = Verdict::Justified;
    let message = review_message(CHAIN, access, requester, by, verdict);
    let signature = officer_key().sign(namespaces::REVIEW, &message);
    let review = Review { access, requester, officer: by, verdict, signature };
    let key = review_key(&used.card, used.access);
    let body = Blob::new(seal_body(&key, INTENT_PLAIN_BYTES, &encode(&review), &mut rng()).unwrap()).unwrap();
    (review, ReviewRecord { body, since: CLOSED })
}

#[test]
fn a_review_is_closed_by_an_officer_of_the_users_member_and_by_nobody_else() {
    let used = look(1, 1, 5, None).used;
    let (review, record) = closing(&used, OFFICER);
    assert_eq!(open_review(&used, &record), Some(review.clone()));
    let other = look(1, 2, 5, None).used;
    assert_eq!(open_review(&other, &record), None, "of another look");
    let requester = World::new().identity.unwrap();
    let said = |edit: fn(&mut IdentityRecord)| {
        let mut officer = officer();
        edit(&mut officer);
        verdict(CHAIN, &review, &record, &officer, &requester)
    };
    assert_eq!(said(|_| {}), Some(Verdict::Justified));
    let later = |tip: Tip| Standing::Revoked(Tip { height: Height::new(tip.height.get() + 1), ..tip });
    assert_eq!(
        verdict(
            CHAIN,
            &review,
            &record,
            &IdentityRecord { standing: later(CLOSED), ..officer() },
            &requester
        ),
        Some(Verdict::Justified)
    );
    let edits: [fn(&mut IdentityRecord); 6] = [
        |by| by.roles = Roles::of(&[Role::Physician]),
        |by| by.kind = PartyKind::Application,
        |by| by.member = salus_wire::MemberIndex::new(0),
        |by| by.key = other_signer().public_key(),
        |by| by.standing = Standing::Revoked(CLOSED),
        |by| by.validity = span(0, 1_200_000),
    ];
    for edit in edits {
        assert_eq!(said(edit), None);
    }
    let (own, record) = closing(&used, READER);
    assert_eq!(verdict(CHAIN, &own, &record, &officer(), &requester), None, "nobody closes their own");
}

#[test]
fn an_officer_is_told_of_their_member_alone() {
    let ask = |edit: fn(&mut IdentityRecord)| {
        let (nonce, sent, key) = ([1; 16], NOW, officer_key().public_key());
        let message = reviews_message(CHAIN, ME, nonce, sent, OFFICER, &key);
        let signature = officer_key().sign(namespaces::REVIEWS, &message);
        let request = ReviewsRequest { custodian: ME, nonce, sent, officer: OFFICER, key, signature };
        let admitted = Desk::new(CHAIN, ME).admit_reviews(&request, NOW)?;
        let mut record = officer();
        edit(&mut record);
        let world = World::new();
        let mut ledger = world.ledger();
        ledger.insert(StateKey::Identity(OFFICER), StateValue::Identity(record));
        admitted.decide(&world.view(vec![StateKey::Identity(OFFICER)], &ledger)?, NOW)
    };
    assert_eq!(ask(|_| {}), Ok(READERS_MEMBER));
    assert_eq!(ask(|by| by.roles = Roles::of(&[Role::Physician])), Err(Denied::NotAnOfficer));
    assert_eq!(ask(|by| by.key = other_signer().public_key()), Err(Denied::RequestSignature));
    assert_eq!(ask(|by| by.standing = Standing::Revoked(CLOSED)), Err(Denied::RequesterRevoked));
}
