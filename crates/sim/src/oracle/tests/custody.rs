//! Broken histories of INV-5 and P1 to P3: releases, reads and lists.

use super::world::*;
use crate::oracle::chains::Chains;
use crate::oracle::seen::{Custody, Release};
use crate::oracle::{ReadNo, ReadOutcome, Seen};
use salus_wire::{AccessTag, Code, GrantTag, Height, MemberIndex, Outcome};

fn reading(read: u32) -> Seen {
    Seen::Reading { read: ReadNo(read), patient: PATIENT, grant: grant_tag(1) }
}

fn read(read: u32, access: u8, at: Height) -> Seen {
    let access = access_tag(access);
    let outcome = ReadOutcome { access, at, frames: vec![], complete: false, everything: false };
    Seen::Read { read: ReadNo(read), outcome: Ok(outcome) }
}

fn height(n: u64) -> Height {
    Height::new(n)
}

#[test]
fn a_share_needs_a_final_access_and_grant() {
    let mut run = Run::new();
    let granted = run.granted(1);
    run.good(intended(1, 1));
    run.breaks("INV-5", released(0, 1, 1, granted));
    let at = run.accessed(1, 1);
    // A head that lies below the access, whatever the member holds by now.
    run.breaks("INV-5", released(0, 1, 1, granted));
    run.good(released(0, 1, 1, at));
    let at = run.block(vec![access(run.maker.chain, 2)]);
    run.breaks("INV-5", released(0, 2, 2, at));
}

#[test]
fn a_member_ahead_of_what_it_was_seen_to_apply_is_judged_later() {
    let mut run = Run::new();
    let granted = run.granted(1);
    run.good(intended(1, 1));
    let next = run.make(10, vec![access(run.maker.chain, 1)]);
    run.good(released(0, 1, 1, granted.next().unwrap()));
    run.good(applied(1, 0, &next));
    run.good(intended(2, 1));
    run.good(released(0, 2, 1, height(3)));
    let empty = run.make(10, vec![]);
    run.breaks("INV-5", applied(1, 0, &empty));
    let mut run = Run::new();
    run.good(released(0, 1, 1, height(3)));
    run.oracle.healed(run.at_ms);
    assert_eq!(run.oracle.finish(run.at_ms).unwrap_err().promise, "INV-4");
}

#[test]
fn an_access_belongs_to_one_grant_and_a_grant_to_one_patient() {
    let mut run = Run::new();
    run.granted(1);
    run.granted(2);
    let at = run.accessed(1, 1);
    run.breaks("INV-5", released(0, 1, 2, at));
    let other = crate::oracle::PatientNo(1);
    run.breaks("INV-3", Seen::Granting { patient: other, grant: grant_tag(1) });
}

#[test]
fn a_chain_and_a_lane_have_no_gaps() {
    let mut run = Run::new();
    run.granted(1);
    run.good(intended(1, 1));
    let at = run.accessed(2, 1);
    run.breaks("INV-5", released(0, 2, 1, at));
    let mut run = Run::new();
    run.good(Seen::Granting { patient: PATIENT, grant: grant_tag(1) });
    run.granted(2);
    let at = run.accessed(1, 2);
    run.breaks("INV-5", released(0, 1, 2, at));
}

#[test]
fn p1_no_share_for_an_access_after_the_withdrawal() {
    let mut run = Run::new();
    run.granted(1);
    run.withdrawn(1);
    let at = run.accessed(1, 1);
    run.breaks("P1", released(3, 1, 1, at));
    // In one block, the order within decides.
    let mut run = Run::new();
    run.granted(1);
    (0..3).for_each(|member| run.good(may_vote(member, 1)));
    run.good(intended(1, 1));
    let chain = run.maker.chain;
    let at = run.block(vec![withdrawal(chain, 1), access(chain, 1)]);
    run.breaks("P1", released(3, 1, 1, at));
}

#[test]
fn p1_no_read_of_an_access_after_the_withdrawal_nor_after_it_was_told() {
    let mut run = Run::new();
    run.granted(1);
    let before = run.accessed(1, 1);
    run.good(reading(0));
    run.good(reading(1));
    run.withdrawn(1);
    let at = run.accessed(2, 1);
    run.breaks("P1", read(0, 2, at));
    run.good(read(1, 1, before));
    run.good(reading(2));
    run.breaks("P1", read(2, 1, before));
}

#[test]
fn p2_no_share_once_the_refusal_is_recorded_or_the_withdrawal_applied() {
    let mut run = Run::new();
    run.granted(1);
    let at = run.accessed(1, 1);
    run.good(released(0, 1, 1, at));
    run.good(may_vote(0, 1));
    run.breaks("P2", released(0, 1, 1, at));
    run.good(Seen::Restarted { member: MemberIndex::new(0), life: 1, height: height(1) });
    run.breaks("P2", released(0, 1, 1, at));
    run.good(may_vote(1, 1));
    run.good(may_vote(2, 1));
    let last = run.make(10, vec![withdrawal(run.maker.chain, 1)]);
    (1..4).for_each(|member| run.good(applied(member, 0, &last)));
    run.breaks("P2", released(3, 1, 1, at));
}

#[test]
fn p2_what_was_refused_is_refused_in_the_next_life() {
    let recalled = |member: u16, grants: &[u8]| Seen::Recalled {
        member: MemberIndex::new(member),
        grants: grants.iter().copied().map(grant_tag).collect(),
    };
    let mut run = Run::new();
    run.granted(1);
    run.granted(2);
    run.good(recalled(0, &[]));
    run.good(may_vote(0, 1));
    run.good(may_vote(0, 2));
    run.good(recalled(0, &[2, 1]));
    run.good(recalled(1, &[]));
    run.breaks("P2", recalled(0, &[1]));
}

#[test]
fn p2_a_withdrawal_is_final_only_when_enough_members_refuse() {
    let check = |liars: &[u16], refusing: &[u16]| {
        let mut run = Run::with_liars(liars);
        let made =
            [grant(run.maker.chain, 1), withdrawal(run.maker.chain, 1)].map(|tx| run.make(10, vec![tx]));
        run.good(applied(0, 0, &made[0]));
        refusing.iter().for_each(|member| run.good(may_vote(*member, 1)));
        run.see(applied(0, 0, &made[1])).map_err(|broken| broken.promise)
    };
    assert_eq!(check(&[], &[0, 1, 2]), Ok(()));
    assert_eq!(check(&[], &[0, 1, 1]), Err("P2"));
    assert_eq!(check(&[3], &[0, 1]), Ok(()));
    assert_eq!(check(&[3], &[0]), Err("P2"));
}

/// That enough members refuse, and that whoever refuses gives nothing, implies it; the count does not
/// lean on either.
#[test]
fn p2_a_request_without_a_share_never_reaches_the_threshold() {
    let late = |early: &[u16]| {
        let (mut maker, mut chains) = (Maker::new(), Chains::default());
        let mut custody = Custody::new(genesis().faults().unwrap(), 1);
        chains.granting(PATIENT, grant_tag(1)).unwrap();
        chains.intended(access_tag(1), grant_tag(1)).unwrap();
        let chain = maker.chain;
        maker.next(10, vec![(grant(chain, 1), Outcome::Applied)]);
        maker.next(10, vec![(access(chain, 1), Outcome::Applied)]);
        let release = |member| Release {
            member: MemberIndex::new(member),
            access: access_tag(1),
            grant: grant_tag(1),
            head: height(2),
            applied: height(2),
        };
        for member in early {
            custody.released(release(*member), &maker.ledger, &chains).unwrap();
        }
        maker.next(10, vec![(withdrawal(chain, 1), Outcome::Applied)]);
        custody.released(release(1), &maker.ledger, &chains).unwrap();
        custody.released(release(2), &maker.ledger, &chains).map_err(|(promise, _)| promise)
    };
    assert_eq!(late(&[0]), Ok(()));
    assert_eq!(late(&[]), Err("P2"));
}

#[test]
fn p3_an_access_dies_with_its_expiry() {
    let mut run = Run::new();
    run.granted(1);
    let at = run.accessed(1, 1);
    let last = run.block_after(60_000, vec![]);
    run.good(released(0, 1, 1, last));
    let past = run.block_after(1, vec![]);
    run.good(released(1, 1, 1, at));
    run.breaks("P3", released(1, 1, 1, past));
}

#[test]
fn denials_and_reads_of_one_grant_are_linearizable() {
    let denied = |n| Seen::Read { read: ReadNo(n), outcome: Err(Code::GrantRevoked) };
    let check = |liars: &[u16]| {
        let mut run = Run::with_liars(liars);
        run.good(Seen::Granting { patient: PATIENT, grant: grant_tag(1) });
        run.good(reading(0));
        run.see(denied(0)).map_err(|broken| broken.promise)
    };
    assert_eq!(check(&[]), Err("INV-5"));
    assert_eq!(check(&[3]), Err("INV-5"), "a reader repeats only what more say than can lie");

    let mut run = Run::new();
    run.granted(1);
    let at = run.accessed(1, 1);
    run.good(Seen::Withdrawing { patient: PATIENT, grant: grant_tag(1) });
    (0..3).for_each(|n| run.good(reading(n)));
    // Refused on the strength of a vote: says nothing yet.
    run.good(denied(0));
    run.good(reading(3));
    run.good(read(3, 1, at));
    (0..3).for_each(|member| run.good(may_vote(member, 1)));
    run.block(vec![withdrawal(run.maker.chain, 1)]);
    run.good(denied(1));
    // It began before the denial ended; the next one did not.
    run.good(read(2, 1, at));
    run.good(reading(4));
    run.breaks("INV-5", read(4, 1, at));
}

fn listed(at: u64, grants: &[(u8, &[u8])]) -> Seen {
    let lane = |lane: &[u8]| lane.iter().map(|n| access_tag(*n)).collect::<Vec<AccessTag>>();
    let grants: Vec<(GrantTag, Vec<AccessTag>)> =
        grants.iter().map(|(grant, accesses)| (grant_tag(*grant), lane(accesses))).collect();
    Seen::Listed { patient: PATIENT, at: Height::new(at), grants }
}

#[test]
fn a_list_is_exactly_what_is_final_as_of_its_height() {
    let check = |holds: bool, seen: Seen| {
        let mut run = Run::new();
        run.granted(1);
        run.granted(2);
        run.accessed(1, 1);
        run.accessed(2, 1);
        run.good(Seen::Granting { patient: PATIENT, grant: grant_tag(3) });
        let broken = run.see(seen.clone()).err().map(|broken| broken.promise);
        assert_eq!(broken, (!holds).then_some("INV-5"), "{seen:?}");
    };
    check(true, listed(4, &[(1, &[1, 2]), (2, &[])]));
    check(true, listed(3, &[(1, &[1]), (2, &[])]));
    check(true, listed(1, &[(1, &[])]));
    check(true, listed(0, &[]));
    check(false, listed(4, &[(1, &[1]), (2, &[])]));
    check(false, listed(3, &[(1, &[1, 2]), (2, &[])]));
    check(false, listed(4, &[(1, &[2, 1]), (2, &[])]));
    check(false, listed(4, &[(2, &[]), (1, &[1, 2])]));
    check(false, listed(4, &[(1, &[1, 2])]));
    check(false, listed(4, &[(1, &[1]), (2, &[2])]));
    check(false, listed(4, &[(1, &[1, 2]), (2, &[]), (3, &[])]));
}

#[test]
fn a_lane_is_walked_in_its_own_order_up_to_the_first_gap() {
    let mut run = Run::new();
    run.granted(1);
    run.good(intended(1, 1));
    run.accessed(2, 1);
    run.good(listed(2, &[(1, &[])]));
    run.breaks("INV-5", listed(2, &[(1, &[2])]));
    run.accessed(1, 1);
    run.good(listed(3, &[(1, &[1, 2])]));
    run.breaks("INV-5", listed(3, &[(1, &[2, 1])]));
}

#[test]
fn a_list_is_held_against_what_comes_to_be_known_later() {
    let mut run = Run::new();
    run.granted(1);
    let at = run.block(vec![access(run.maker.chain, 1)]);
    run.good(listed(2, &[(1, &[])]));
    run.breaks("INV-5", released(0, 1, 1, at));
    let mut run = Run::new();
    run.granted(1);
    run.good(intended(1, 1));
    run.good(listed(2, &[(1, &[])]));
    let block = run.make(10, vec![access(run.maker.chain, 1)]);
    run.breaks("INV-5", applied(0, 0, &block));
}
