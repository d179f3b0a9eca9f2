//! A good history, and broken ones of INV-1, INV-2, INV-3, INV-4, INV-6 and recovery.

use super::world::*;
use crate::oracle::{PatientNo, ReadNo, ReadOutcome, Seen, Summary};
use salus_wire::rpc::FinalBlock;
use salus_wire::{Code, DeviceId, Height, MemberIndex, Outcome, Sequence};
use std::sync::Arc;

const DEVICE: DeviceId = DeviceId::new([7; 16]);

fn offered(patient: PatientNo, sequence: u64, frame: &[u8]) -> Seen {
    Seen::Offered { patient, device: DEVICE, sequence: Sequence::new(sequence), frame: frame.to_vec() }
}

fn acknowledged(sequence: u64) -> Seen {
    Seen::Acknowledged { device: DEVICE, sequence: Sequence::new(sequence) }
}

fn reading(read: u32) -> Seen {
    Seen::Reading { read: ReadNo(read), patient: PATIENT, grant: grant_tag(1) }
}

/// A complete read of everything.
fn read(read: u32, access: u8, at: Height, frames: &[(u64, &[u8])]) -> Seen {
    let frames = frames.iter().map(|(n, bytes)| (DEVICE, Sequence::new(*n), bytes.to_vec())).collect();
    let access = access_tag(access);
    let outcome = ReadOutcome { access, at, frames, complete: true, everything: true };
    Seen::Read { read: ReadNo(read), outcome: Ok(outcome) }
}

/// A grant, and an access under it for which three custodians gave shares.
fn opened() -> (Run, Height) {
    let mut run = Run::new();
    run.granted(1);
    let at = run.accessed(1, 1);
    (0..3).for_each(|member| run.good(released(member, 1, 1, at)));
    (run, at)
}

#[test]
fn inv_6_who_wrote_is_not_blamed_for_what_a_member_gave() {
    let (mut run, _) = opened();
    run.good(reading(0));
    run.breaks("INV-6", Seen::Read { read: ReadNo(0), outcome: Err(Code::WriterFault) });
}

#[test]
fn a_good_history_passes_and_counts() {
    let (mut run, at) = opened();
    run.good(offered(PATIENT, 0, b"a"));
    run.good(offered(PATIENT, 1, b"b"));
    run.good(acknowledged(0));
    run.good(reading(0));
    run.good(read(0, 1, at, &[(0, b"a"), (1, b"b")]));
    run.good(acknowledged(1));
    run.good(reading(1));
    let listed = vec![(grant_tag(1), vec![access_tag(1)])];
    run.good(Seen::Listed { patient: PATIENT, at, grants: listed });
    run.good(read(1, 1, at, &[(0, b"a"), (1, b"b")]));
    run.good(Seen::Restarted { member: MemberIndex::new(3), life: 1, height: Height::new(1) });
    run.oracle.healed(run.at_ms);
    let last = run.withdrawn_by_restarted(at);
    run.good(reading(2));
    run.good(Seen::Read { read: ReadNo(2), outcome: Err(Code::GrantRevoked) });
    run.good(reading(3));
    run.good(Seen::Read { read: ReadNo(3), outcome: Err(Code::TooFewShares) });
    let summary = run.oracle.finish(run.at_ms + 10_000).unwrap();
    let expected = Summary {
        blocks: last.get(),
        transactions: 3,
        refused_transactions: 0,
        applications: 13,
        restarts: 1,
        acknowledged: 2,
        kept: 2,
        reads: 4,
        reads_successful: 2,
        reads_refused: 2,
        reads_denied: 1,
        grants: 1,
        withdrawals: 1,
        refusals: 3,
        releases: 3,
        listings: 1,
        recovered: true,
    };
    assert_eq!(summary, expected);
}

impl Run {
    /// Grant 1 ends, and member 3 in its second life, which stood at 1, comes along.
    fn withdrawn_by_restarted(&mut self, at: Height) -> Height {
        assert_eq!(at, Height::new(2));
        self.good(Seen::Withdrawing { patient: PATIENT, grant: grant_tag(1) });
        (0..3).for_each(|member| self.good(may_vote(member, 1)));
        let last = self.make(10, vec![withdrawal(self.maker.chain, 1)]);
        (0..3).for_each(|member| self.good(applied(member, 0, &last)));
        let mut again = Maker::new();
        again.next(10, vec![(grant(again.chain, 1), Outcome::Applied)]);
        let second = again.next(10, vec![(access(again.chain, 1), Outcome::Applied)]);
        self.good(applied(3, 1, &second));
        self.good(applied(3, 1, &last));
        let at = last.block.header.height;
        self.good(Seen::Withdrawn { patient: PATIENT, grant: grant_tag(1), at });
        at
    }
}

#[test]
fn what_was_acknowledged_must_be_read_in_the_end() {
    let finish = |frames: &[(u64, &[u8])]| {
        let (mut run, at) = opened();
        (0..2).for_each(|n| run.good(offered(PATIENT, n, b"a")));
        (0..2).for_each(|n| run.good(acknowledged(n)));
        run.good(reading(0));
        run.good(read(0, 1, at, frames));
        run.oracle.healed(run.at_ms);
        assert_eq!(run.oracle.owed(PATIENT), 2 - u64::try_from(frames.len()).unwrap());
        run.oracle.finish(run.at_ms).map(|summary| summary.kept).map_err(|broken| broken.promise)
    };
    assert_eq!(finish(&[(0, b"a"), (1, b"a")]), Ok(2));
    assert_eq!(finish(&[(0, b"a")]), Err("INV-1"));
    assert_eq!(finish(&[]), Err("INV-1"));
}

#[test]
fn a_read_that_began_before_the_acknowledgment_does_not_count() {
    let (mut run, at) = opened();
    run.good(offered(PATIENT, 0, b"a"));
    run.good(reading(0));
    run.good(acknowledged(0));
    run.good(read(0, 1, at, &[(0, b"a")]));
    run.oracle.healed(run.at_ms);
    assert_eq!(run.oracle.finish(run.at_ms).unwrap_err().promise, "INV-1");
}

#[test]
fn reads_show_what_was_signed_for_this_patient_once_and_for_ever() {
    let check = |promise: &str, frames: &[(u64, &[u8])]| {
        let (mut run, at) = opened();
        run.good(offered(PATIENT, 0, b"a"));
        run.good(offered(PATIENT, 1, b"b"));
        run.good(offered(PatientNo(1), 2, b"c"));
        run.good(reading(0));
        run.good(read(0, 1, at, &[(0, b"a")]));
        run.good(reading(1));
        run.breaks(promise, read(1, 1, at, frames));
    };
    check("INV-1", &[(0, b"a"), (1, b"b"), (0, b"a")]);
    check("INV-1", &[(1, b"b")]);
    check("INV-6", &[(0, b"a"), (1, b"B")]);
    check("INV-6", &[(0, b"a"), (9, b"b")]);
    check("INV-2", &[(0, b"a"), (2, b"c")]);
    opened().0.breaks("INV-6", acknowledged(3));
}

#[test]
fn fewer_than_t_custodians_open_nothing() {
    let mut run = Run::new();
    run.granted(1);
    let at = run.accessed(1, 1);
    (0..2).for_each(|member| run.good(released(member, 1, 1, at)));
    run.good(offered(PATIENT, 0, b"a"));
    run.good(reading(0));
    run.breaks("INV-2", read(0, 1, at, &[(0, b"a")]));
}

fn blocks(run: &mut Run, count: u8) -> Vec<Arc<FinalBlock>> {
    let chain = run.maker.chain;
    let first = u8::try_from(run.maker.ledger.head().get()).unwrap();
    (first..first + count).map(|n| run.make(10, vec![grant(chain, n)])).collect()
}

#[test]
fn members_apply_one_history_without_gaps() {
    let mut run = Run::new();
    let made = blocks(&mut run, 3);
    let other = Arc::new(Maker::new().draft(11, vec![(grant(run.maker.chain, 60), Outcome::Applied)]));
    let mut body = (*made[0]).clone();
    body.block.transactions = salus_wire::List::empty();
    run.good(applied(0, 0, &made[0]));
    run.breaks("INV-4", applied(1, 0, &other));
    run.breaks("INV-4", applied(1, 0, &Arc::new(body)));
    run.breaks("INV-4", applied(1, 0, &made[1]));
    run.good(applied(1, 0, &made[0]));
    run.breaks("INV-4", applied(1, 0, &made[0]));
    run.breaks("INV-4", applied(0, 0, &made[2]));
    run.good(applied(0, 0, &made[1]));
    run.good(Seen::Restarted { member: MemberIndex::new(0), life: 1, height: Height::new(0) });
    run.breaks("INV-4", applied(0, 0, &made[2]));
    run.breaks("INV-4", applied(0, 1, &other));
    run.good(applied(0, 1, &made[0]));
    run.breaks("driver", applied(4, 0, &made[0]));
}

#[test]
fn a_block_that_breaks_the_rules_breaks_one_history() {
    let mut run = Run::new();
    let early = run.maker.draft(10, vec![(withdrawal(run.maker.chain, 1), Outcome::Applied)]);
    run.breaks("INV-4", applied(0, 0, &Arc::new(early)));
}

#[test]
fn what_was_told_to_be_final_is() {
    let told = |n, at| Seen::Granted { patient: PATIENT, grant: grant_tag(n), at: Ok(Height::new(at)) };
    let asked = |run: &mut Run, n| run.good(Seen::Granting { patient: PATIENT, grant: grant_tag(n) });
    let mut run = Run::new();
    asked(&mut run, 1);
    run.good(told(1, 1));
    run.block(vec![grant(run.maker.chain, 1)]);
    asked(&mut run, 2);
    run.breaks("INV-4", told(2, 1));
    asked(&mut run, 3);
    run.good(told(3, 2));
    let empty = run.make(10, vec![]);
    run.breaks("INV-4", applied(0, 0, &empty));
    let mut run = Run::new();
    asked(&mut run, 1);
    run.good(told(1, 1));
    run.oracle.healed(run.at_ms);
    assert_eq!(run.oracle.finish(run.at_ms).unwrap_err().promise, "INV-4");
}

#[test]
fn a_healed_consortium_moves() {
    let mut run = Run::new();
    let made = blocks(&mut run, 2);
    (0..4).for_each(|member| run.good(applied(member, 0, &made[0])));
    run.oracle.healed(run.at_ms);
    (0..3).for_each(|member| run.good(applied(member, 0, &made[1])));
    assert_eq!(run.oracle.finish(run.at_ms).map(|summary| summary.recovered), Ok(false));
    let still = run.oracle.finish(run.at_ms + 10_000).unwrap_err();
    assert_eq!(still.promise, "recovery");
    run.at_ms += 10_000;
    run.breaks("recovery", applied(3, 0, &made[1]));
}

#[test]
fn a_member_that_fell_back_returns_to_where_it_was() {
    let mut run = Run::new();
    let made = blocks(&mut run, 2);
    made.iter().for_each(|block| (0..4).for_each(|member| run.good(applied(member, 0, block))));
    run.oracle.healed(run.at_ms);
    let more = blocks(&mut run, 1);
    (0..3).for_each(|member| run.good(applied(member, 0, &more[0])));
    run.good(Seen::Restarted { member: MemberIndex::new(3), life: 1, height: Height::new(0) });
    run.good(applied(3, 1, &made[0]));
    assert_eq!(run.oracle.finish(run.at_ms + 10_000).unwrap_err().promise, "recovery");
}

#[test]
fn nothing_on_the_ledger_stays_the_same_for_one_patient() {
    let mut run = Run::new();
    let chain = run.maker.chain;
    run.granted(1);
    // Another tag, but the key of grant 1.
    let again = salus_wire::Tx::sign(chain, grant(chain, 2).body, &key(7, 1));
    run.good(Seen::Granting { patient: PATIENT, grant: grant_tag(2) });
    let block = run.make(10, vec![again]);
    run.breaks("INV-3", applied(0, 0, &block));

    let mut run = Run::new();
    let device = DeviceId::new(*b"device-0123456-a");
    run.good(Seen::Offered { patient: PATIENT, device, sequence: Sequence::new(0), frame: vec![] });
    let mut body = grant(chain, 1).body;
    if let salus_wire::TxBody::CommitGrant { body, .. } = &mut body {
        let mut bytes = body.to_vec();
        bytes[100..116].copy_from_slice(device.as_bytes());
        *body = salus_wire::Blob::new(bytes).unwrap();
    }
    let block = run.make(10, vec![salus_wire::Tx::sign(chain, body, &key(7, 1))]);
    run.breaks("INV-3", applied(0, 0, &block));
}

#[test]
fn time_does_not_run_backwards() {
    let mut run = Run::new();
    run.good(offered(PATIENT, 0, b"a"));
    assert_eq!(run.oracle.see(0, offered(PATIENT, 0, b"a")).unwrap_err().promise, "driver");
}
