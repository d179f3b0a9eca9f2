//! The policy of the requester's member in the whole decision: it takes from what the grant gives, and never
//! adds; a text that is no policy takes everything.

use super::world::{HEAD, Ledger, NOW, READERS_MEMBER, World, policy};
use crate::{Clause, Denied, Policies, decide};
use proptest::prelude::*;
use salus_wire::{Classes, Codes, MemberIndex, Purpose, Purposes, StateKey, StateValue};

const ALL: &str = "@id(\"all\") permit (principal, action, resource);";
const TREAT: &str =
    "@id(\"treat\") permit (principal, action, resource) when { context.purpose == \"TREAT\" };";
const NO_NURSES: &str =
    "@id(\"no-nurses\") forbid (principal, action, resource) when { principal.roles.contains(\"nurse\") };";
const NO_GLUCOSE: &str =
    "@id(\"no-glucose\") forbid (principal, action, resource) when { resource.class == \"glucose\" };";

fn clause(name: &str) -> Clause {
    Clause::new(name).unwrap()
}

fn with(texts: &[&str]) -> World {
    World { policy: Some(texts.concat()), ..World::new() }
}

fn said(world: &World) -> Result<Vec<Clause>, Denied> {
    world.decide().map(|permit| permit.grounds().allowed_by.clone())
}

#[test]
fn without_a_policy_what_grants_allow_is_allowed() {
    assert_eq!(said(&World::new()), Ok(vec![]));
}

#[test]
fn the_policy_of_the_readers_member_decides_and_is_named() {
    assert_eq!(said(&with(&[TREAT, ALL])), Ok(vec![clause("all"), clause("treat")]));
    assert_eq!(said(&with(&[ALL, NO_NURSES])), Err(Denied::PolicyForbids(clause("no-nurses"))));
    let mut research = with(&[TREAT]);
    research.grant.purposes = Purposes::of(&[Purpose::Treatment, Purpose::Research]).unwrap();
    research.intent.purpose = Purpose::Research;
    assert_eq!(said(&research), Err(Denied::PolicyPermitsNot));
}

#[test]
fn another_members_policy_says_nothing() {
    let mut world = World::new();
    world.edit_ledger = |_, ledger| {
        let other = MemberIndex::new(READERS_MEMBER.get() + 1);
        ledger.insert(
            StateKey::Policy(other),
            policy(1, "@id(\"none\") forbid (principal, action, resource);"),
        );
    };
    assert_eq!(said(&world), Ok(vec![]));
}

#[test]
fn what_is_no_policy_allows_nobody() {
    for text in ["", "nonsense", "permit (principal, action, resource);", "\u{0}"] {
        assert_eq!(said(&with(&[text])), Err(Denied::PolicyInvalid), "{text}");
    }
    let mut world = World::new();
    world.edit_ledger = |_, ledger| {
        ledger.insert(StateKey::Policy(READERS_MEMBER), StateValue::Tip(HEAD));
    };
    assert_eq!(said(&world), Err(Denied::PolicyInvalid));
}

/// Who says on the ledger that they will read more than they may is refused all of it.
#[test]
fn the_whole_intent_must_be_allowed() {
    let mut world = with(&[ALL, NO_GLUCOSE]);
    (world.grant.scope.classes, world.grant.scope.codes) = (Classes::ORDINARY, Codes::All);
    world.edit_terms = |_, terms| terms.scope.classes = super::world::vitals();
    assert!(world.decide().is_ok());
    world.intent.scope.classes = Classes::ORDINARY;
    assert_eq!(said(&world), Err(Denied::PolicyForbids(clause("no-glucose"))));
}

/// A custodian that has read a version decides by the next one as soon as its view holds it, and by the
/// last one again in a view that does not.
#[test]
fn the_version_in_the_view_decides() {
    let world = World::new();
    let policies = &mut Policies::default();
    let mut by = |text: &str, version| {
        let mut ledger: Ledger = world.ledger();
        ledger.insert(StateKey::Policy(READERS_MEMBER), policy(version, text));
        let introduced = world.introduce(world.request(), &ledger).ok().unwrap();
        let view = world.view(introduced.reads(), &ledger).unwrap();
        decide(introduced, &view, policies, NOW)
            .and_then(|decided| decided.permit(&world.refusals))
            .map(|permit| permit.grounds().allowed_by.clone())
    };
    for _ in 0..2 {
        assert_eq!(by(ALL, 1), Ok(vec![clause("all")]));
        assert_eq!(by("nonsense", 2), Err(Denied::PolicyInvalid));
        assert_eq!(by(NO_NURSES, 3), Err(Denied::PolicyForbids(clause("no-nurses"))));
    }
}

/// A policy is judged after the grant: it opens nothing that the grant does not.
#[test]
fn a_policy_opens_nothing() {
    let mut world = with(&[ALL]);
    world.intent.purpose = Purpose::Research;
    assert_eq!(said(&world), Err(Denied::PurposeNotGranted));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever clauses a policy has, each `forbid` only takes and each `permit` only adds, and all of it
    /// together never allows what the grant alone does not.
    #[test]
    fn more_forbids_never_allow_more(chosen in 0..16_u8, research in any::<bool>(), granted in any::<bool>()) {
        let texts = [ALL, TREAT, NO_NURSES, NO_GLUCOSE];
        let of = |bits: u8| -> Vec<&str> {
            texts.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, text)| *text).collect()
        };
        let decided = |texts: Option<&[&str]>| {
            let mut world = texts.map_or_else(World::new, with);
            world.intent.purpose = if research { Purpose::Research } else { Purpose::Treatment };
            if granted {
                world.grant.purposes = Purposes::of(Purpose::ALL).unwrap();
            }
            world.decide().is_ok()
        };
        let alone = decided(None);
        let (permits, forbids) = (chosen & 3, chosen & 12);
        let both = decided(Some(&of(chosen)));
        prop_assert!(!both || alone);
        prop_assert!(!both || decided(Some(&of(permits))));
        prop_assert!(!decided(Some(&of(forbids))) , "without a permit nothing is allowed");
        prop_assert_eq!(both, alone && (permits & 1 != 0 || permits & 2 != 0 && !research) && forbids & 4 == 0);
    }
}
