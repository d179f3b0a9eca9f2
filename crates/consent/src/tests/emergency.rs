//! Emergencies: who may read without the patient's word, how often, and what follows.

use super::world::{
    CHAIN, HEAD, ME, NOW, PLACE, READER, READERS_MEMBER, World, other_signer, rng, seed, span,
};
use crate::{Denied, Desk, GlassPermit, Look, Named, Policies, is_settled, may_give, may_use, verdict};
use salus_crypto::chain::seal_body;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{Signature, SigningKey};
use salus_wire::consent::{Grantee, Reason, Vouching};
use salus_wire::emergency::{
    EmergencyUse, GlassAsk, GlassRequest, GlassTerms, LookAsk, LookHeader, LookShare, Review, ReviewsRequest,
    Verdict, card_key, card_name, glass_request_message, look_name, review_key, reviews_message,
};
use salus_wire::limits::{
    EMERGENCY_LOOKS_MAX, EMERGENCY_MS_MAX, EMERGENCY_USES_MAX, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS,
};
use salus_wire::release::ShareBytes;
use salus_wire::state::{IdentityRecord, ReviewRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{
    AccessTag, Blob, Height, List, PartyId, Purpose, Purposes, Role, Roles, StateKey, StateValue, TimeMs,
    encode, namespaces,
};

const TREATMENT_ALONE: &str = r#"@id("treatment")
permit (principal is Person, action == Action::"read", resource is Data) when { context.purpose == "TREAT" };"#;
const DAY: u64 = 24 * 3_600_000;

fn card() -> Secret<32> {
    Secret::from_bytes([21; 32])
}

fn named() -> Digest {
    card_name(&card_key(&card()).public_key())
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
    world.grant.grantee = Grantee::Emergency { card: named() };
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
        card: named(),
        look: look_name(world.access_tag(PLACE)),
        access: Some(world.access_tag(PLACE)),
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
        card: card_key(&card()).public_key(),
        reader: KemSecretKey::from_seed(Secret::from_bytes([5; 32])).public_key(),
        ask: GlassAsk::Tags,
    };
    let message = glass_request_message(CHAIN, &terms);
    let signature = World::new().intent_signer.sign(namespaces::BREAK_GLASS, &message);
    let second = second().sign(namespaces::BREAK_GLASS_SECOND, &message);
    let card = card_key(&card()).sign(namespaces::BREAK_GLASS_CARD, &message);
    edit(&mut terms);
    GlassRequest { terms, signature, second, card }
}

fn permitted(desk: &mut Desk, world: &World, request: GlassRequest) -> Result<GlassPermit, Denied> {
    let admitted = desk.admit_glass(request, NOW)?;
    let view = world.view(admitted.reads(), &world.ledger())?;
    admitted.decide(&view, NOW)
}

fn broken(desk: &mut Desk, world: &World, request: GlassRequest) -> Result<PartyId, Denied> {
    let permit = permitted(desk, world, request)?;
    assert_eq!(*permit.card(), named());
    Ok(permit.requester())
}

#[test]
fn glass_breaks_once_for_each_request_and_only_for_who_signs_with_both_keys() {
    let desk = &mut Desk::new(CHAIN, ME);
    assert_eq!(broken(desk, &emergency(), request(|_| {})), Ok(READER));
    assert_eq!(broken(desk, &emergency(), request(|_| {})), Err(Denied::Replayed));
    let edits: [fn(&mut GlassTerms); 7] = [
        |terms| terms.custodian = salus_wire::MemberIndex::new(0),
        |terms| terms.reason = Reason::Danger,
        |terms| terms.requester = PartyId::new([1; 16]),
        |terms| terms.card = other_signer().public_key(),
        |terms| terms.ask = GlassAsk::Looks(List::empty()),
        |terms| terms.nonce = [4; 16],
        |terms| terms.key = other_signer().public_key(),
    ];
    for edit in edits {
        let denied = broken(&mut Desk::new(CHAIN, ME), &emergency(), request(edit));
        assert_eq!(denied, Err(Denied::RequestSignature));
    }
    let stranger = GlassRequest { card: Signature::from_bytes([1; 64]), ..request(|_| {}) };
    let denied = broken(&mut Desk::new(CHAIN, ME), &emergency(), stranger);
    assert_eq!(denied, Err(Denied::RequestSignature), "the card is not at hand");
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

/// The look at a place of the world's lane, as a custodian keeps it.
fn kept(world: &World, place: u16) -> LookShare {
    let header = LookHeader {
        grant: world.grant_tag(PLACE),
        terms: world.grant.clone(),
        place,
        look: look_name(world.access_tag(place)),
        tag: Blob::default(),
        threshold: 3,
        share_hashes: List::empty(),
        key_commitment: Digest::ZERO,
        kit: Blob::default(),
        mark: Digest::ZERO,
    };
    LookShare { header, signature: Signature::from_bytes([1; 64]), share: ShareBytes(card()) }
}

/// Asks for the look after `before`; places 1 to 3 of the world's lane are taken.
fn next(world: &World, before: &[u16]) -> Result<u16, Denied> {
    let permit = permitted(&mut Desk::new(CHAIN, ME), world, request(|_| {}))?;
    let before = before.iter().map(|place| world.access_tag(*place)).collect();
    let ask = LookAsk { grant: world.grant_tag(PLACE), before: List::new(before).unwrap() };
    let view = world.view(permit.reads(&ask), &world.ledger())?;
    let looks = (1..=5).map(|place| kept(world, place)).collect();
    permit.next(&ask, looks, &view, &mut Policies::default()).map(|look| look.header.place)
}

#[test]
fn the_next_look_is_given_to_who_shows_that_all_before_it_are_taken() {
    let world = emergency();
    assert_eq!(next(&world, &[]), Ok(1));
    assert_eq!(next(&world, &[1, 2, 3]), Ok(4));
    assert_eq!(next(&world, &[1, 2, 3, 4]), Err(Denied::LaneGap), "the fourth is free");
    assert_eq!(next(&world, &[1, 3]), Err(Denied::OffLane), "another tag that is taken");
    assert_eq!(next(&world, &[1, 2, 3, 4, 5]), Err(Denied::LaneGap));
    let mut taken = emergency();
    taken.edit_ledger = |world, ledger| {
        let seen = ledger.get(&StateKey::Access(world.access_tag(1))).unwrap().clone();
        for place in 4..=5 {
            ledger.insert(StateKey::Access(world.access_tag(place)), seen.clone());
        }
    };
    assert_eq!(next(&taken, &[1, 2, 3, 4, 5]), Err(Denied::NoLook), "none is left");
}

#[test]
fn no_look_is_wasted_on_what_a_release_would_refuse() {
    let rows: [Row; 5] = [
        (Denied::GrantRevoked, |w| w.standing = Standing::Revoked(HEAD)),
        (Denied::GrantExpired, |w| w.grant.validity = span(900_000, 1_000_500)),
        (Denied::PurposeNotGranted, |w| w.grant.purposes = Purposes::only(Purpose::Treatment)),
        (Denied::PolicyPermitsNot, |w| {
            w.policy = Some(TREATMENT_ALONE.to_owned());
        }),
        (Denied::PolicyInvalid, |w| w.policy = Some("nonsense".to_owned())),
    ];
    for (expected, spoil) in rows {
        let mut world = emergency();
        spoil(&mut world);
        assert_eq!(next(&world, &[]), Err(expected));
    }
}

fn tag(n: u16) -> AccessTag {
    AccessTag(seed(40).link(n).tag())
}

/// A look that was given, and read under.
fn look(card: u8, access: u16, at: u64, closed: Option<Verdict>) -> Look {
    let used = EmergencyUse { access: Some(tag(access)), ..unread(card, access, at).used };
    Look { used, closed }
}

/// A look that was given and that nothing was read under.
fn unread(card: u8, access: u16, at: u64) -> Look {
    let (card, look, at) = (Digest::from_bytes([card; 32]), look_name(tag(access)), TimeMs::new(at));
    let used = EmergencyUse { at, requester: READER, card, look, access: None, reason: Reason::Danger };
    Look { used, closed: None }
}

#[test]
fn looks_uses_and_unreviewed_uses_are_bounded() {
    let now = 100 * DAY;
    let ask = |conduct: &[Look], card: u8, access: u16| {
        let wanted = unread(card, access, now).used;
        let given = may_give(conduct, &wanted, TimeMs::new(now));
        // Unless it is known, it is given to whom it may be used by.
        assert_eq!(may_use(conduct, &wanted, TimeMs::new(now)), given);
        given
    };
    assert_eq!(ask(&[], 1, 1), Ok(()));
    // Looks of one use; the same look again is no other.
    let looks = |count: usize| (1..=u16::try_from(count).unwrap()).map(|n| unread(1, n, now - 5)).collect();
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
    // Two that waited too long suspend, until they are closed; one does not, nor what nothing was read under.
    let late = |closed| look(1, 1, now - REVIEW_SUSPEND_MS - 1, closed);
    let other = look(2, 2, now - REVIEW_SUSPEND_MS - 1, None);
    assert_eq!(ask(&[late(None)], 3, 3), Ok(()));
    assert_eq!(ask(&[late(None), other.clone()], 3, 3), Err(Denied::GlassSuspended));
    assert_eq!(ask(&[late(None), other.clone()], 1, 1), Err(Denied::GlassSuspended), "a look under way, too");
    assert_eq!(ask(&[late(None), unread(2, 2, now - REVIEW_SUSPEND_MS - 1)], 3, 3), Ok(()));
    assert_eq!(ask(&[late(Some(Verdict::Justified)), other], 3, 3), Ok(()));
    assert_eq!(ask(&[late(Some(Verdict::Unjustified))], 3, 3), Err(Denied::GlassSuspended));
}

#[test]
fn a_look_is_used_within_the_hour_in_which_it_was_given() {
    let now = TimeMs::new(100 * DAY);
    let wanted = unread(1, 1, now.get()).used;
    let given = |age: u64| unread(1, 1, now.get() - age);
    assert_eq!(may_use(&[given(EMERGENCY_MS_MAX - 1)], &wanted, now), Ok(()));
    assert_eq!(may_use(&[given(EMERGENCY_MS_MAX)], &wanted, now), Err(Denied::LookSpent));
    assert_eq!(may_give(&[given(EMERGENCY_MS_MAX)], &wanted, now), Ok(()), "it is asked for anew");
    let used = look(1, 1, now.get() - 5, None);
    assert_eq!(may_use(std::slice::from_ref(&used), &wanted, now), Ok(()), "the next page of it");
    assert_eq!(may_give(&[used], &wanted, now), Err(Denied::LookSpent));
}

#[test]
fn what_something_may_hang_on_is_not_settled() {
    let now = TimeMs::new(100 * DAY);
    let (old, young) = (now.get() - DAY - 1, now.get() - DAY);
    assert!(is_settled(&look(1, 1, old, Some(Verdict::Justified)), now));
    assert!(is_settled(&unread(1, 1, old), now));
    assert!(!is_settled(&look(1, 1, young, Some(Verdict::Justified)), now), "it counts today");
    assert!(!is_settled(&unread(1, 1, young), now));
    assert!(!is_settled(&look(1, 1, old, None), now), "its review is open");
    assert!(!is_settled(&look(1, 1, old, Some(Verdict::Unjustified)), now), "it suspends");
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

fn closing(used: &EmergencyUse, officer: PartyId) -> ReviewRecord {
    let EmergencyUse { look, requester, card, .. } = used;
    let review = Review { look: *look, requester: *requester, verdict: Verdict::Justified };
    let key = review_key(card, look, *requester);
    let body = Blob::new(seal_body(&key, INTENT_PLAIN_BYTES, &encode(&review), &mut rng()).unwrap()).unwrap();
    ReviewRecord { officer, body, since: CLOSED }
}

#[test]
fn a_review_is_of_one_look_and_nobody_closes_their_own() {
    let used = look(1, 1, 5, None).used;
    assert_eq!(verdict(&used, &closing(&used, OFFICER)), Some(Verdict::Justified));
    assert_eq!(verdict(&used, &closing(&used, READER)), None, "their own");
    for other in [
        look(1, 2, 5, None).used,
        look(2, 1, 5, None).used,
        EmergencyUse { requester: PartyId::new([1; 16]), ..used.clone() },
    ] {
        assert_eq!(verdict(&other, &closing(&used, OFFICER)), None);
        assert_ne!(crate::review_of(&other, READERS_MEMBER), crate::review_of(&used, READERS_MEMBER));
    }
    assert_ne!(crate::review_of(&used, ME), crate::review_of(&used, READERS_MEMBER));
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
