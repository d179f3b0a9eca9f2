//! Every transaction kind by table: allowed, wrong signer, duplicate, revoked, outside validity,
//! faulty receipts, unknown.

use super::*;
use crate::{admit, genesis_state, revoked};
use salus_wire::state::{Standing, Tip};
use salus_wire::{Holder, Role};

/// In a world where `before` happened, `tx` alone in a block ends as `expected`; admission agrees;
/// and a refused transaction changes nothing but the tip.
fn check(name: &str, before: &[Tx], tx: &Tx, expected: Outcome) {
    let world = World::after(before);
    let txs = std::slice::from_ref(tx);
    let read = world.read(txs);
    let admitted = match admit(&read, world.moment, tx) {
        Ok(()) => Outcome::Applied,
        Err(code) => Outcome::Refused(code),
    };
    assert_eq!(admitted, expected, "admission of {name}");
    let applied = apply(&read, world.moment, txs);
    assert_eq!(applied.outcomes, [expected], "{name}");
    let writes = if expected == Outcome::Applied { 2 } else { 1 };
    assert_eq!(applied.changes.len(), writes, "{name}");
}

#[test]
fn registrations() {
    let person = |member, by: &SigningKey| signed(register(1, PartyKind::Person, member, 0, 9_000), by);
    let revoke = |by: &SigningKey| signed(TxBody::RevokeIdentity { party: party(1) }, by);
    let nurse = |kind| {
        let mut body = register(1, kind, 0, 0, 9_000);
        if let TxBody::RegisterIdentity { roles, .. } = &mut body {
            *roles = Roles::of(&[Role::Nurse]);
        }
        signed(body, &registrar(0))
    };
    let there = person(0, &registrar(0));
    let gone = [there.clone(), revoke(&registrar(0))];
    let once = std::slice::from_ref(&there);
    for (name, before, tx, expected) in [
        ("a person by its registrar", &[][..], &there, Outcome::Applied),
        (
            "a person by another member's registrar",
            &[],
            &person(0, &registrar(1)),
            refused(Code::UnknownSigner),
        ),
        ("a person by a service key", &[], &person(0, &service(0)), refused(Code::UnknownSigner)),
        ("a person by a member that is not", &[], &person(4, &registrar(0)), refused(Code::UnknownSigner)),
        ("a person with a role", &[], &nurse(PartyKind::Person), Outcome::Applied),
        ("a gateway with a role", &[], &nurse(PartyKind::Gateway), refused(Code::Malformed)),
        ("an application with a role", &[], &nurse(PartyKind::Application), refused(Code::Malformed)),
        ("a copy", once, &there, refused(Code::AlreadyExists)),
        ("the party again by another member", once, &person(1, &registrar(1)), refused(Code::AlreadyExists)),
        ("a copy after revocation", &gone, &there, refused(Code::AlreadyExists)),
        ("revocation", once, &revoke(&registrar(0)), Outcome::Applied),
        ("revocation of nobody", &[], &revoke(&registrar(0)), refused(Code::NotFound)),
        ("revocation by another member", once, &revoke(&registrar(1)), refused(Code::UnknownSigner)),
        ("revocation by the party itself", once, &revoke(&key(1)), refused(Code::UnknownSigner)),
        ("revocation twice", &gone, &revoke(&registrar(0)), refused(Code::Revoked)),
    ] {
        check(name, before, tx, expected);
    }
}

#[test]
fn devices() {
    let enrolled = signed(enrol(1, 2), &registrar(2));
    let revoke = |by: &SigningKey| signed(TxBody::RevokeDevice { enrolment: digest(1) }, by);
    let gone = [enrolled.clone(), revoke(&registrar(2))];
    let once = std::slice::from_ref(&enrolled);
    let assigned = signed(assign(1, 2), &registrar(2));
    for (name, before, tx, expected) in [
        ("enrolment", &[][..], &enrolled, Outcome::Applied),
        (
            "enrolment by another member",
            &[],
            &signed(enrol(1, 2), &registrar(0)),
            refused(Code::UnknownSigner),
        ),
        (
            "enrolment by a member that is not",
            &[],
            &signed(enrol(1, 9), &registrar(0)),
            refused(Code::UnknownSigner),
        ),
        ("a copy", once, &enrolled, refused(Code::AlreadyExists)),
        ("a copy after revocation", &gone, &enrolled, refused(Code::AlreadyExists)),
        ("revocation", once, &revoke(&registrar(2)), Outcome::Applied),
        ("revocation of nothing", &[], &revoke(&registrar(2)), refused(Code::NotFound)),
        ("revocation by another member", once, &revoke(&registrar(0)), refused(Code::UnknownSigner)),
        ("revocation twice", &gone, &revoke(&registrar(2)), refused(Code::Revoked)),
        ("assignment", once, &assigned, Outcome::Applied),
        ("assignment under the digest of an enrolment", once, &assigned, Outcome::Applied),
        (
            "assignment by another member",
            &[],
            &signed(assign(1, 2), &registrar(0)),
            refused(Code::UnknownSigner),
        ),
        ("assignment twice", std::slice::from_ref(&assigned), &assigned, refused(Code::AlreadyExists)),
    ] {
        check(name, before, tx, expected);
    }
}

#[test]
fn anchors() {
    let good = signed(anchor(1, 0, &[0, 1, 2]), &key(1));
    let by = |stores: &[u16]| signed(anchor(1, 0, stores), &key(1));
    let registered = [gateway(1)];
    let revoke = signed(TxBody::RevokeIdentity { party: party(1) }, &registrar(0));
    let person = [signed(register(1, PartyKind::Person, 0, 0, u64::MAX), &registrar(0))];
    // The anchor's block has time 2000: validity includes its start and excludes its end.
    let valid = |from, until| [signed(register(1, PartyKind::Gateway, 0, from, until), &registrar(0))];
    for (name, before, tx, expected) in [
        ("three of four stores", &registered[..], &good, Outcome::Applied),
        ("all stores", &registered, &by(&[0, 1, 2, 3]), Outcome::Applied),
        ("any three stores", &registered, &by(&[0, 2, 3]), Outcome::Applied),
        ("an unknown gateway", &[], &good, refused(Code::UnknownSigner)),
        ("a person", &person, &good, refused(Code::UnknownSigner)),
        (
            "another key",
            &registered,
            &signed(anchor(1, 0, &[0, 1, 2]), &key(2)),
            refused(Code::UnknownSigner),
        ),
        ("a revoked gateway", &[gateway(1), revoke], &good, refused(Code::Revoked)),
        ("from its first moment", &valid(2_000, 2_001), &good, Outcome::Applied),
        ("before its validity", &valid(2_001, 9_000), &good, refused(Code::OutsideValidity)),
        ("after its validity", &valid(0, 2_000), &good, refused(Code::OutsideValidity)),
        ("a copy", &[gateway(1), good.clone()], &good, refused(Code::AlreadyExists)),
        (
            "another set for the same batch",
            &[gateway(1), good.clone()],
            &by(&[1, 2, 3]),
            refused(Code::AlreadyExists),
        ),
        ("too few stores", &registered, &by(&[0, 1]), refused(Code::TooFewReceipts)),
        ("no stores", &registered, &by(&[]), refused(Code::TooFewReceipts)),
        ("one store twice", &registered, &by(&[0, 1, 1]), refused(Code::Malformed)),
        ("stores out of order", &registered, &by(&[1, 0, 2]), refused(Code::Malformed)),
        ("a store that is no member", &registered, &by(&[0, 1, 2, 4]), refused(Code::BadReceipt)),
    ] {
        check(name, before, tx, expected);
    }
}

#[test]
fn grants_and_accesses() {
    let granted = signed(commit(1), &key(1));
    let once = std::slice::from_ref(&granted);
    let revoke = |by: &SigningKey| signed(withdraw(1), by);
    let gone = [granted.clone(), revoke(&key(1))];
    let short =
        TxBody::CommitGrant { tag: grant_tag(1), commitment: digest(6), body: sealed(GRANT_BODY_BYTES - 1) };
    let seen = signed(access(1), &key(2));
    let brief = TxBody::RecordAccess { tag: access_tag(1), commitment: digest(7), body: sealed(0) };
    for (name, before, tx, expected) in [
        ("a grant", &[][..], &granted, Outcome::Applied),
        ("a grant of another length", &[], &signed(short, &key(1)), refused(Code::Malformed)),
        ("a copy", once, &granted, refused(Code::AlreadyExists)),
        ("the tag under another key", once, &signed(commit(1), &key(2)), refused(Code::AlreadyExists)),
        ("the tag after revocation", &gone, &granted, refused(Code::AlreadyExists)),
        ("revocation", once, &revoke(&key(1)), Outcome::Applied),
        ("revocation of nothing", &[], &revoke(&key(1)), refused(Code::NotFound)),
        ("revocation by another key", once, &revoke(&key(2)), refused(Code::UnknownSigner)),
        ("revocation by a registrar", once, &revoke(&registrar(0)), refused(Code::UnknownSigner)),
        ("revocation twice", &gone, &revoke(&key(1)), refused(Code::Revoked)),
        ("an access", &[], &seen, Outcome::Applied),
        ("an access under the tag of a grant", once, &seen, Outcome::Applied),
        ("an access of another length", &[], &signed(brief, &key(2)), refused(Code::Malformed)),
        ("an access twice", std::slice::from_ref(&seen), &seen, refused(Code::AlreadyExists)),
        (
            "its tag under another key",
            std::slice::from_ref(&seen),
            &signed(access(1), &key(3)),
            refused(Code::AlreadyExists),
        ),
    ] {
        check(name, before, tx, expected);
    }
}

#[test]
fn policies() {
    let by = |member, version, by: &SigningKey| signed(publish(member, version), by);
    let first = by(1, 1, &registrar(1));
    let second = by(1, 2, &registrar(1));
    let once = std::slice::from_ref(&first);
    let twice = [first.clone(), second.clone()];
    for (name, before, tx, expected) in [
        ("a policy by its registrar", &[][..], &first, Outcome::Applied),
        ("by another member's registrar", &[], &by(1, 1, &registrar(0)), refused(Code::UnknownSigner)),
        ("by a service key", &[], &by(1, 1, &service(1)), refused(Code::UnknownSigner)),
        ("of a member that is not", &[], &by(4, 1, &registrar(0)), refused(Code::UnknownSigner)),
        ("version 0", &[], &by(1, 0, &registrar(1)), refused(Code::AlreadyExists)),
        ("a version too soon", &[], &second, refused(Code::NotFound)),
        (
            "the last version there can be, too soon",
            &[],
            &by(1, u32::MAX, &registrar(1)),
            refused(Code::NotFound),
        ),
        ("the next version", once, &second, Outcome::Applied),
        ("a copy", once, &first, refused(Code::AlreadyExists)),
        ("an older version again", &twice, &first, refused(Code::AlreadyExists)),
        ("a version too soon after one", once, &by(1, 3, &registrar(1)), refused(Code::NotFound)),
        ("another member's first", once, &by(0, 1, &registrar(0)), Outcome::Applied),
    ] {
        check(name, before, tx, expected);
    }
    let world = World::after(&twice);
    let Some(StateValue::Policy(stands)) = world.entries.get(&StateKey::Policy(MemberIndex::new(1))) else {
        panic!("no policy")
    };
    assert_eq!((stands.version, stands.text.to_vec()), (2, b"version 2".to_vec()));
}

#[test]
fn reviews() {
    let (member, other) = (MemberIndex::new(0), MemberIndex::new(1));
    let close = |member, n: u8, length| TxBody::CloseReview {
        member,
        officer: party(n),
        review: digest(8),
        body: sealed(length),
    };
    let by = |member, n: u8, signer: &SigningKey| signed(close(member, n, INTENT_BODY_BYTES), signer);
    let officer = |n: u8, kind: PartyKind, role: Role, until: u64| {
        let mut body = register(n, kind, 0, 0, until);
        if let TxBody::RegisterIdentity { roles, .. } = &mut body {
            *roles = Roles::of(&[role]);
        }
        signed(body, &registrar(0))
    };
    let there = [officer(1, PartyKind::Person, Role::PrivacyOfficer, 9_000)];
    let first = by(member, 1, &key(1));
    let once = [there.clone().as_slice(), std::slice::from_ref(&first)].concat();
    let gone =
        [there.as_slice(), &[signed(TxBody::RevokeIdentity { party: party(1) }, &registrar(0))]].concat();
    let brief = [officer(1, PartyKind::Person, Role::PrivacyOfficer, 1_500)];
    let nurse = [officer(1, PartyKind::Person, Role::Nurse, 9_000)];
    let short = signed(close(member, 1, INTENT_BODY_BYTES - 1), &key(1));
    for (name, before, tx, expected) in [
        ("by an officer", &there[..], first.clone(), Outcome::Applied),
        ("a copy", &once, first.clone(), refused(Code::AlreadyExists)),
        ("by anybody", &there, by(member, 1, &key(2)), refused(Code::UnknownSigner)),
        ("by nobody who is registered", &[], first.clone(), refused(Code::UnknownSigner)),
        ("under another member", &there, by(other, 1, &key(1)), refused(Code::NotAnOfficer)),
        ("by a nurse", &nurse, first.clone(), refused(Code::NotAnOfficer)),
        ("by the registrar", &there, by(member, 1, &registrar(0)), refused(Code::UnknownSigner)),
        ("by who was an officer", &gone, first.clone(), refused(Code::Revoked)),
        ("by who is none any more", &brief, first, refused(Code::OutsideValidity)),
        ("of another length", &there, short, refused(Code::Malformed)),
    ] {
        check(name, before, &tx, expected);
    }
}

#[test]
fn destructions() {
    let done = |holder, by: &SigningKey| {
        signed(TxBody::RecordDestruction { order: grant_tag(1), holder, label: digest(8) }, by)
    };
    let (member, writer) = (|i| Holder::Member(MemberIndex::new(i)), Holder::Writer(party(2)));
    let order = [signed(commit(1), &key(1)), gateway(2)];
    let first = done(member(0), &service(0));
    let twice = [&order[..], std::slice::from_ref(&first)].concat();
    let gone = [&order[..], &[signed(TxBody::RevokeIdentity { party: party(2) }, &registrar(0))]].concat();
    let person = [order[0].clone(), signed(register(2, PartyKind::Person, 0, 0, 9_000), &registrar(0))];
    for (name, before, tx, expected) in [
        ("a member's receipt", &order[..], first.clone(), Outcome::Applied),
        ("another member's beside it", &twice, done(member(1), &service(1)), Outcome::Applied),
        ("a copy", &twice, first.clone(), refused(Code::AlreadyExists)),
        ("of no order", &[], first, refused(Code::NotFound)),
        ("by another member", &order, done(member(0), &service(1)), refused(Code::UnknownSigner)),
        ("by its registrar", &order, done(member(0), &registrar(0)), refused(Code::UnknownSigner)),
        ("by the patient", &order, done(member(0), &key(1)), refused(Code::UnknownSigner)),
        ("of no member", &order, done(member(9), &service(0)), refused(Code::UnknownSigner)),
        ("the gateway's", &order, done(writer, &key(2)), Outcome::Applied),
        ("the gateway's after its registration ended", &gone, done(writer, &key(2)), Outcome::Applied),
        ("a person's", &person, done(writer, &key(2)), refused(Code::UnknownSigner)),
        ("of a gateway that is not", &order[..1], done(writer, &key(2)), refused(Code::UnknownSigner)),
    ] {
        check(name, before, &tx, expected);
    }
}

#[test]
fn later_transactions_see_earlier_ones() {
    let mut world = World::new();
    let granted = signed(commit(1), &key(1));
    let revoke = signed(withdraw(1), &key(1));
    let batch = signed(anchor(2, 0, &[0, 1, 2]), &key(2));
    let block = [batch.clone(), gateway(2), batch, granted.clone(), revoke.clone(), revoke, granted];
    let expected = [
        refused(Code::UnknownSigner),
        Outcome::Applied,
        Outcome::Applied,
        Outcome::Applied,
        Outcome::Applied,
        refused(Code::Revoked),
        refused(Code::AlreadyExists),
    ];
    let outcomes = world.block(&block);
    assert_eq!(outcomes, expected);
    assert_eq!(revoked(&block, &outcomes), [grant_tag(1)]);
}

#[test]
fn cases() {
    let open = |n: u8, by: &SigningKey| {
        let case = salus_wire::recovery::case_id(&key(n).public_key());
        let (veto, commitment) = (key(50).public_key(), digest(6));
        signed(TxBody::OpenCase { case, veto, commitment }, by)
    };
    let veto = |n: u8, by: &SigningKey| {
        signed(TxBody::VetoCase { case: salus_wire::recovery::case_id(&key(n).public_key()) }, by)
    };
    let there = open(1, &key(1));
    let once = std::slice::from_ref(&there);
    let gone = [there.clone(), veto(1, &key(50))];
    for (name, before, tx, expected) in [
        ("a case by its own key", &[][..], &there, Outcome::Applied),
        ("a case by another key", &[], &open(1, &key(2)), refused(Code::UnknownSigner)),
        ("a copy", once, &there, refused(Code::AlreadyExists)),
        ("a copy after the veto", &gone, &there, refused(Code::AlreadyExists)),
        ("another case", once, &open(2, &key(2)), Outcome::Applied),
        ("a veto", once, &veto(1, &key(50)), Outcome::Applied),
        ("a veto by the opener", once, &veto(1, &key(1)), refused(Code::UnknownSigner)),
        ("a veto of nothing", &[], &veto(1, &key(50)), refused(Code::NotFound)),
        ("a veto twice", &gone, &veto(1, &key(50)), refused(Code::Revoked)),
    ] {
        check(name, before, tx, expected);
    }
}

#[test]
fn entries_remember_what_wrote_them() {
    let mut world = World::new();
    world.block(&[signed(commit(1), &key(1))]);
    world.block(&[signed(withdraw(1), &key(1))]);
    let Some(StateValue::Grant(grant)) = world.entries.get(&StateKey::Grant(grant_tag(1))) else {
        panic!("no grant")
    };
    let tip = |height, time| Tip { height: Height::new(height), time: TimeMs::new(time) };
    assert_eq!(grant.since, tip(1, 1_000));
    assert_eq!(grant.standing, Standing::Revoked(tip(2, 2_000)));
    assert_eq!(grant.one_time, key(1).public_key());
    assert_eq!(grant.commitment, digest(6));
    assert_eq!(world.entries.get(&StateKey::Tip), Some(&StateValue::Tip(tip(2, 2_000))));
}

#[test]
fn revoking_what_did_not_apply_revokes_nothing() {
    let tx = signed(withdraw(1), &key(1));
    assert_eq!(revoked(std::slice::from_ref(&tx), &[refused(Code::NotFound)]), []);
    assert_eq!(revoked(&[tx], &[Outcome::Applied]), [grant_tag(1)]);
}

#[test]
#[should_panic(expected = "was not read")]
fn an_entry_that_was_not_read_is_our_own_fault() {
    let world = World::new();
    let outcome = apply(&ReadSet::new(), world.moment, &[signed(commit(1), &key(1))]).outcomes;
    // Without debug assertions the transaction is refused instead.
    assert_eq!(outcome, [refused(Code::Internal)]);
    panic!("was not read");
}

#[test]
fn the_largest_transaction_keeps_to_its_limit() {
    let held = List::new(vec![held(1, 0, 0); salus_wire::limits::MEMBERS_MAX]).unwrap();
    let body = TxBody::Anchor { gateway: party(1), batch: BatchNumber::new(0), root: digest(5), held };
    assert!(signed(body, &key(1)).fits());
    assert!(signed(commit(1), &key(1)).fits());
    let text = Blob::new(vec![b' '; salus_wire::limits::POLICY_BYTES_MAX]).unwrap();
    let policy = TxBody::PublishPolicy { member: MemberIndex::new(0), version: 1, text };
    assert!(signed(policy, &key(1)).fits());
}

#[test]
fn genesis_holds_the_tip_and_the_members() {
    use salus_crypto::kem::KemSecretKey;
    use salus_wire::{Genesis, GenesisMember};
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
    let secret = KemSecretKey::generate(&mut rng);
    let members: Vec<GenesisMember> = (0..MEMBERS)
        .map(|i| GenesisMember {
            name: Blob::new(b"ward".to_vec()).unwrap(),
            consensus: key(1).public_key(),
            registrar: registrar(i).public_key(),
            service: service(i).public_key(),
            custodian: secret.public_key(),
            authority: digest(3),
        })
        .collect();
    let genesis = Genesis {
        name: Blob::new(b"trial".to_vec()).unwrap(),
        time: TimeMs::new(77),
        members: List::new(members).unwrap(),
    };
    let state = genesis_state(&genesis);
    assert!(state.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(state.len(), 5);
    assert_eq!(
        state[0],
        (StateKey::Tip, StateValue::Tip(Tip { height: Height::new(0), time: TimeMs::new(77) }))
    );
    let Some((_, StateValue::Member(third))) = state.get(3) else { panic!("no member") };
    assert_eq!(third.registrar, registrar(2).public_key());
}
