//! What a read gives back when every member is honest, and what it is refused.

use crate::world::{Reply, WRITER, World, heart_rate, list, read, span, waveform};
use salus_client::ask::Silence;
use salus_client::receipt::{anchor_key, receipt};
use salus_client::{ClientError, LaneKey, ReadResult};
use salus_clinical::Sample;
use salus_wire::receipt::Leaf;
use salus_wire::release::ShareBytes;
use salus_wire::{Classes, Code, DataClass, MemberIndex, Purpose};

/// Members answer as they are.
pub(crate) fn honest(_: MemberIndex, reply: Reply) -> Reply {
    reply
}

/// The signed frames, in an order of their own.
pub(crate) fn frames<'a>(leaves: impl IntoIterator<Item = &'a Leaf>) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = leaves.into_iter().map(|leaf| leaf.frame.to_vec()).collect();
    frames.sort_unstable();
    frames
}

/// The read gave back just these readings, bit for bit, and knows of none that is missing.
pub(crate) fn assert_whole(result: &ReadResult, written: &[Leaf]) {
    assert_eq!(frames(result.evidence.iter().map(|evidence| &evidence.leaf)), frames(written));
    assert_eq!((result.epochs_missing, result.segments_missing), (0, 0));
    assert_eq!(result.samples.len(), result.evidence.len());
    assert!(result.samples.is_sorted_by_key(|sample| sample.get().reading().effective()));
    assert!(result.samples.iter().all(|sample| sample.writer() == WRITER));
}

#[test]
fn every_reading_comes_back_bit_for_bit() {
    for members in [1, 4, 6, 7] {
        let (mut world, written) = World::written(members);
        let plan = world.plan(&written.file);
        let result = read(&mut world, plan, honest).expect("all are honest");
        assert_whole(&result, &written.leaves);
        assert_eq!(result.faults, []);
        assert_eq!(result.access_index, 1);
    }
}

#[test]
fn what_was_read_makes_receipts_that_a_stranger_accepts() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("all are honest");
    for (evidence, sample) in result.evidence.iter().zip(&result.samples) {
        let anchor = world.ledger.prove(&[anchor_key(evidence)]);
        let receipt = receipt(evidence, anchor).expect("it fits together");
        let verified = salus_proof::receipt::verify::<Sample>(&world.ledger.policy, &receipt);
        assert_eq!(verified.expect("it verifies").get(), sample.get());
    }
}

#[test]
fn a_read_gives_the_classes_and_the_span_asked_for_and_no_more() {
    let (mut world, written) = World::written(4);
    let mut plan = world.plan(&written.file);
    plan.scope.classes = Classes::of(&[DataClass::Vitals]).expect("not empty");
    plan.scope.span = span(1_000, 7_000);
    let result = read(&mut world, plan, honest).expect("all are honest");
    let seconds = |sample: &Sample| sample.reading().effective().since_ms(span(0, 1).from()) / 1_000;
    let got: Vec<u64> = result.samples.iter().map(|sample| seconds(sample.get())).collect();
    assert_eq!(got, [1, 2, 3, 4, 5, 6]);
    assert!(result.samples.iter().all(|sample| sample.get().reading().class() == DataClass::Vitals));
}

#[test]
fn a_look_whose_tag_is_taken_is_refused_so_that_the_next_is_asked_for() {
    let (mut world, written) = World::written(4);
    let look = |world: &World| {
        let mut plan = world.plan(&written.file);
        let link = ShareBytes(written.file.lane_link(1).expect("all of the lane").to_secret());
        plan.grant.lane = LaneKey::Look { place: 1, link };
        plan
    };
    let first = look(&world);
    assert_whole(&read(&mut world, first, honest).expect("the look is free"), &written.leaves);
    let second = look(&world);
    let refused = read(&mut world, second, honest).err().expect("it is taken");
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[test]
fn a_batch_that_is_not_anchored_is_left_out() {
    let (mut world, written) = World::written(4);
    let mut epoch = world.epoch(DataClass::Vitals, 1);
    let kept = vec![epoch.segment(&mut world, heart_rate(3_600, 2))];
    let under_way = vec![epoch.segment(&mut world, heart_rate(3_602, 2))];
    let mut leaves = written.leaves;
    leaves.extend(world.put(kept, true));
    world.put(under_way, false);
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("all are honest");
    assert_whole(&result, &leaves);
}

#[test]
fn an_epoch_without_a_segment_is_empty_and_not_missing() {
    let (mut world, written) = World::written(4);
    world.epoch(DataClass::Vitals, 1);
    let plan = world.plan(&written.file);
    assert_whole(&read(&mut world, plan, honest).expect("all are honest"), &written.leaves);
}

#[test]
fn a_long_history_comes_in_pages_of_keys_and_windows_of_segments() {
    let (mut world, written) = World::written(4);
    let mut leaves = written.leaves;
    for hour in 1..65 {
        let mut epoch = world.epoch(DataClass::Vitals, hour);
        if hour == 40 {
            let segments = (0..20).map(|n| epoch.segment(&mut world, heart_rate(hour * 3_600 + n, 1)));
            let segments = segments.collect();
            leaves.extend(world.put(segments, true));
        }
    }
    let plan = world.plan(&written.file);
    assert_whole(&read(&mut world, plan, honest).expect("all are honest"), &leaves);
    // However many pages each custodian gave, it is one access.
    let listed = list(&mut world, |_, told| told).expect("all are honest");
    assert_eq!(listed.grants.iter().map(|grant| grant.accesses.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn readings_sealed_twice_are_shown_once() {
    let (mut world, written) = World::written(4);
    let mut epoch = world.epoch(DataClass::Waveform, 1);
    let sealed = epoch.segment(&mut world, waveform(3_600, 3));
    let again = sealed.again(&mut epoch, &mut world);
    let mut leaves = written.leaves;
    leaves.extend(world.put(vec![sealed], true));
    world.put(vec![again], true);
    let plan = world.plan(&written.file);
    assert_whole(&read(&mut world, plan, honest).expect("all are honest"), &leaves);
}

#[test]
fn a_tag_that_is_taken_costs_the_next_one() {
    for orders_blindly in [false, true] {
        let (mut world, written) = World::written(4);
        world.orders_blindly = orders_blindly;
        for expected in 1..=3 {
            let plan = world.plan(&written.file);
            let result = read(&mut world, plan, honest).expect("there are tags left");
            assert_eq!(result.access_index, expected);
            assert_whole(&result, &written.leaves);
        }
    }
}

#[test]
fn a_home_that_settles_nothing_costs_one_wait_and_not_one_for_each_tag_taken() {
    let (mut world, written) = World::written(4);
    for next in 1..=20 {
        let mut plan = world.plan(&written.file);
        plan.next_tag = next;
        read(&mut world, plan, honest).expect("there are tags left");
    }
    let plan = world.plan(&written.file);
    let mut taken = Vec::new();
    let result = read(&mut world, plan, |from, reply| {
        if matches!(&reply, Err(Silence::Refused(refusal)) if refusal.code == Code::AlreadyExists) {
            taken.push(from);
        }
        reply
    });
    assert_eq!(result.expect("there are tags left").access_index, 21);
    assert_eq!(taken, [MemberIndex::new(0)]);
}

#[test]
fn a_tag_that_leaves_a_gap_is_refused_by_every_custodian() {
    let (mut world, written) = World::written(4);
    let mut plan = world.plan(&written.file);
    plan.next_tag = 2;
    let error = read(&mut world, plan, honest).err().expect("the lane has a gap");
    assert_eq!(error.code(), Code::TagGap);
}

#[test]
fn a_chain_that_is_used_up_ends_the_read() {
    let (world, written) = World::written(4);
    for tag in [0, 1_025] {
        let mut plan = world.plan(&written.file);
        plan.next_tag = tag;
        let (mut world, _) = World::written(4);
        assert!(matches!(read(&mut world, plan, honest), Err(ClientError::ChainUsedUp)));
    }
}

#[test]
fn a_revoked_grant_opens_nothing() {
    let (mut world, written) = World::written(4);
    world.revoke(1);
    let plan = world.plan(&written.file);
    let error = read(&mut world, plan, honest).err().expect("it is revoked");
    assert!(matches!(error, ClientError::TooFewShares { released: 0, needed: 3, .. }));
    assert_eq!(error.code(), Code::GrantRevoked);
    assert_eq!(error.faults().len(), 4);
}

#[test]
fn another_grant_of_the_chain_opens_what_was_written_before_it() {
    let (mut world, written) = World::written(4);
    world.revoke(1);
    let (index, file) = world.grant_all();
    assert_eq!(index, 2);
    let plan = world.plan(&file);
    assert_whole(&read(&mut world, plan, honest).expect("it stands"), &written.leaves);
}

#[test]
fn a_plan_beyond_the_grant_asks_nobody() {
    let (mut world, written) = World::written(4);
    let height = world.ledger.tip().height;
    let mut wider = world.plan(&written.file);
    wider.scope.span = span(0, 999_000_000);
    let mut other = world.plan(&written.file);
    other.purpose = Purpose::Research;
    for plan in [wider, other] {
        assert!(matches!(read(&mut world, plan, honest), Err(ClientError::BeyondGrant)));
    }
    assert_eq!(world.ledger.tip().height, height);
}

#[test]
fn a_patient_without_data_is_told_apart_from_custodians_that_fail() {
    let mut world = World::of(4);
    let (_, file) = world.grant_all();
    let plan = world.plan(&file);
    let error = read(&mut world, plan, honest).err().expect("there is nothing");
    assert_eq!(error.code(), Code::NothingHeld);
}
