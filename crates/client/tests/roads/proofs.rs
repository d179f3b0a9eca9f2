//! Members that order or prove wrongly: the next one is asked.

use crate::custodians::assert_named;
use crate::reading::assert_whole;
use crate::world::{Reply, WRITER, World, read};
use salus_client::ClientError;
use salus_client::ask::{Answer, Silence};
use salus_wire::rpc::Refusal;
use salus_wire::{AccessTag, BatchNumber, Blob, Code, List, MemberIndex, StateKey, StateProof};

/// Bends the proofs of the first `bad` members.
fn bending(bad: u16, bend: fn(&mut StateProof)) -> impl FnMut(MemberIndex, Reply) -> Reply {
    move |from, mut reply| {
        if let (true, Ok(Answer::Proof(proof))) = (from.get() < bad, &mut reply) {
            bend(proof);
        }
        reply
    }
}

const BENDS: [fn(&mut StateProof); 5] = [
    |proof| proof.chain.certificate = Blob::default(),
    |proof| proof.items = List::empty(),
    |proof| {
        let mut items = proof.items.to_vec();
        items[0].value = None;
        proof.items = List::new(items).expect("as many as before");
    },
    |proof| proof.items = List::new(proof.items[1..].to_vec()).expect("fewer than before"),
    |proof| {
        let mut headers = proof.chain.headers.to_vec();
        headers[0].time = headers[0].time.plus_ms(1);
        proof.chain.headers = List::new(headers).expect("as many as before");
    },
];

#[test]
fn a_proof_that_does_not_verify_is_asked_of_the_next_member() {
    for bend in BENDS {
        let (mut world, written) = World::written(4);
        let plan = world.plan(&written.file);
        let result = read(&mut world, plan, bending(1, bend)).expect("the next one is honest");
        assert_whole(&result, &written.leaves);
        assert_eq!(result.faults.len(), 1);
        assert_eq!(result.faults[0].member, MemberIndex::new(0));
    }
}

#[test]
fn a_good_proof_of_an_older_state_hides_nothing() {
    let (mut world, written) = World::written(4);
    let access = AccessTag(written.file.lane_link(1).unwrap().tag());
    let anchor = |batch| StateKey::Anchor(WRITER, BatchNumber::new(batch));
    let old = world.ledger.prove(&[anchor(0), anchor(1), anchor(2), StateKey::Access(access)]);
    let mut epoch = world.epoch(salus_wire::DataClass::Vitals, 1);
    let segment = epoch.segment(&mut world, crate::world::heart_rate(3_600, 2));
    let mut leaves = written.leaves;
    leaves.extend(world.put(vec![segment], true));
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |from, reply| match reply {
        Ok(Answer::Proof(_)) if from.get() == 0 => Ok(Answer::Proof(Box::new(old.clone()))),
        reply => reply,
    });
    let result = result.expect("the next one is honest");
    assert_whole(&result, &leaves);
    assert_named(&world, &result.faults, Code::NotReady);
}

#[test]
fn without_any_good_proof_nothing_is_shown() {
    for bend in BENDS {
        let (mut world, written) = World::written(4);
        let plan = world.plan(&written.file);
        let error = read(&mut world, plan, bending(4, bend)).err().expect("nobody is honest");
        assert!(matches!(&error, ClientError::Unproven { faults } if faults.len() == 4));
        assert_eq!(error.code(), Code::ProofInvalid);
    }
}

#[test]
fn a_refusal_that_is_the_callers_fault_ends_the_read() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    let refused = Silence::Refused(Refusal::bare(Code::TooLarge));
    let result = read(&mut world, plan, |_, reply| match reply {
        Ok(Answer::Committed(_)) | Err(Silence::Refused(_)) => Err(refused.clone()),
        reply => reply,
    });
    assert!(matches!(result, Err(ClientError::Refused { code: Code::TooLarge })));
}

#[test]
fn a_consortium_that_cannot_be_reached_is_told_as_such() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |_, _| Err(Silence::Unreachable));
    assert!(matches!(result, Err(ClientError::Unreachable)));
}
