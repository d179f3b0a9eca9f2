//! Custodians that are silent or lie: up to f of them are named and change nothing.

use crate::reading::{assert_whole, honest};
use crate::world::{Reply, World, read};
use salus_client::ask::{Answer, Silence};
use salus_client::{ClientError, Fault, ReadResult};
use salus_crypto::chain::ChainTag;
use salus_crypto::{Digest, Signature};
use salus_wire::release::Released;
use salus_wire::rpc::Refusal;
use salus_wire::{AccessTag, Code, MemberIndex};

/// Changes what a custodian released.
type Bend = fn(&mut Released);

/// Every one of the first f members is named for this, and nobody else for anything.
pub(crate) fn assert_named(world: &World, faults: &[Fault], code: Code) {
    let bad = world.ledger.faults.tolerated();
    let named = |member: u16| {
        faults.iter().any(|fault| fault.member == MemberIndex::new(member) && fault.code == code)
    };
    assert!((0..bad).all(named), "{faults:?}");
    assert!(faults.iter().all(|fault| fault.member.get() < bad && fault.code == code), "{faults:?}");
}

/// Reads while the first f members' releases are bent.
fn with_bent_releases(members: u8, bend: Bend) -> (World, ReadResult) {
    let (mut world, written) = World::written(members);
    let bad = world.ledger.faults.tolerated();
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |from, mut reply| {
        if let (true, Ok(Answer::Released(released))) = (from.get() < bad, &mut reply) {
            bend(released);
        }
        reply
    });
    let result = result.expect("f are too few to stop it");
    assert_whole(&result, &written.leaves);
    (world, result)
}

/// Reads after the first f members' custodians were changed.
fn with_changed_custodians(members: u8, change: fn(&mut World, usize)) -> (World, ReadResult) {
    let (mut world, written) = World::written(members);
    for member in 0..usize::from(world.ledger.faults.tolerated()) {
        change(&mut world, member);
    }
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("f are too few to stop it");
    assert_whole(&result, &written.leaves);
    (world, result)
}

#[test]
fn silent_custodians_are_named() {
    for members in [4, 7] {
        let (mut world, written) = World::written(members);
        let bad = world.ledger.faults.tolerated();
        let plan = world.plan(&written.file);
        let result = read(&mut world, plan, |from, reply| match reply {
            Ok(Answer::Released(_)) if from.get() < bad => Err(Silence::Unreachable),
            reply => reply,
        });
        let result = result.expect("f are too few to stop it");
        assert_whole(&result, &written.leaves);
        assert_named(&world, &result.faults, Code::Unreachable);
    }
}

#[test]
fn custodians_with_wrong_shares_are_named() {
    for (members, all) in [(4, true), (4, false), (7, true), (7, false)] {
        let change: fn(&mut World, usize) = if all {
            |world, member| world.custodians[member].corrupt(true)
        } else {
            |world, member| world.custodians[member].corrupt(false)
        };
        let (world, result) = with_changed_custodians(members, change);
        assert_named(&world, &result.faults, Code::BodyMismatch);
    }
}

fn nobodys() -> AccessTag {
    AccessTag(ChainTag::from_digest(Digest::ZERO))
}

#[test]
fn custodians_whose_answer_is_not_theirs_are_named() {
    let bends: [(Bend, Code); 4] = [
        (|released| released.signature = Signature::from_bytes([1; 64]), Code::BadSignature),
        (|released| released.remaining += 1, Code::BadSignature),
        (|released| released.custodian = MemberIndex::new(3), Code::Malformed),
        (|released| released.access = nobodys(), Code::Malformed),
    ];
    for (bend, code) in bends {
        for members in [4, 7] {
            let (world, result) = with_bent_releases(members, bend);
            assert_named(&world, &result.faults, code);
        }
    }
}

#[test]
fn custodians_that_lost_everything_are_named() {
    for members in [4, 7] {
        let (world, result) = with_changed_custodians(members, |world, member| {
            world.custodians[member].forget();
        });
        assert_named(&world, &result.faults, Code::NothingHeld);
    }
}

#[test]
fn a_share_that_is_given_three_times_counts_once() {
    let (mut world, written) = World::written(4);
    world.custodians[0].repeat();
    world.custodians[1].forget_first();
    let plan = world.plan(&written.file);
    assert_whole(&read(&mut world, plan, honest).expect("two others hold it"), &written.leaves);
}

#[test]
fn an_epoch_that_too_few_hold_is_counted_and_the_others_are_read() {
    let (mut world, written) = World::written(4);
    world.custodians[0].forget_first();
    world.custodians[1].forget_first();
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("the other epoch is held by all");
    assert_eq!(result.epochs_missing, 1);
    assert!(!result.samples.is_empty() && result.samples.len() < written.leaves.len());
}

#[test]
fn too_few_custodians_end_the_read_with_the_reason_that_most_give() {
    // per member, what it says instead of its share
    for (said, code) in [
        ([Some(Code::GrantRevoked), Some(Code::GrantRevoked), None, None], Code::GrantRevoked),
        ([Some(Code::AccessExpired); 4], Code::AccessExpired),
        ([Some(Code::ViewStale), Some(Code::ViewStale), None, None], Code::TooFewShares),
        ([Some(Code::GrantRevoked), Some(Code::ViewStale), None, None], Code::TooFewShares),
    ] {
        let (mut world, written) = World::written(4);
        let plan = world.plan(&written.file);
        let error =
            read(&mut world, plan, |from, reply: Reply| match (&reply, said[usize::from(from.get())]) {
                (Ok(Answer::Released(_)), Some(code)) => Err(Silence::Refused(Refusal::bare(code))),
                _ => reply,
            });
        let error = error.err().expect("two of four are too few");
        assert_eq!(error.code(), code);
        let refusing = said.iter().flatten().count();
        let (expected, needed) = (4 - refusing, 3);
        assert!(matches!(error, ClientError::TooFewShares { released, needed: n, .. }
            if released == expected && n == needed));
        assert_eq!(error.faults().len(), refusing);
    }
}
