//! Stores that are silent or lie: up to f of them are named and change nothing.

use crate::custodians::assert_named;
use crate::reading::{assert_whole, honest};
use crate::world::{World, read, spoil_descriptor};
use salus_client::ReadResult;
use salus_client::ask::{Answer, Silence};
use salus_crypto::Digest;
use salus_wire::receipt::Leaf;
use salus_wire::rpc::{Fetched, Refusal};
use salus_wire::{BatchNumber, Blob, Code, FragmentIndex, List, PartyId};

/// Changes what a store serves.
type Bend = fn(&mut Fetched);

/// Reads while the first f stores serve bent fragments.
fn with_bent_stores(members: u8, bend: impl Fn(&mut Fetched)) -> (World, ReadResult, Vec<Leaf>) {
    let (mut world, written) = World::written(members);
    for store in 0..usize::from(world.ledger.faults.tolerated()) {
        world.stores[store].held().for_each(&bend);
    }
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("f are too few to stop it");
    (world, result, written.leaves)
}

fn flip(fetched: &mut Fetched) {
    let mut bytes = fetched.fragment.to_vec();
    bytes[3] ^= 1;
    fetched.fragment = Blob::new(bytes).expect("as long as before");
}

#[test]
fn stores_that_lie_are_named() {
    let bends: [(&str, Bend); 9] = [
        ("a flipped bit", flip),
        ("a cut fragment", |fetched| fetched.fragment = Blob::default()),
        ("another's index", |fetched| fetched.index = FragmentIndex::new(3)),
        ("no such index", |fetched| fetched.index = FragmentIndex::new(900)),
        ("another seal", |fetched| fetched.manifest.seal_random[0] ^= 1),
        ("other leaves", |fetched| fetched.manifest.leaves = Digest::ZERO),
        ("no hashes", |fetched| fetched.manifest.fragments = List::empty()),
        ("another batch", |fetched| fetched.place.batch = BatchNumber::new(77)),
        ("another gateway", |fetched| fetched.place.gateway = PartyId::new([1; 16])),
    ];
    for (what, bend) in bends {
        for members in [4, 7] {
            let (world, result, written) = with_bent_stores(members, bend);
            assert_whole(&result, &written);
            assert!(!result.faults.is_empty(), "{what}");
            assert_named(&world, &result.faults, Code::BadFragment);
        }
    }
}

#[test]
fn a_store_that_serves_another_segment_is_named() {
    let (mut world, written) = World::written(4);
    let other = world.stores[0].held().next().expect("it holds five").clone();
    world.stores[0].held().for_each(|fetched| *fetched = other.clone());
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("one is too few to stop it");
    assert_whole(&result, &written.leaves);
    assert_named(&world, &result.faults, Code::BadFragment);
}

#[test]
fn silent_stores_are_named() {
    for (silence, code) in [
        (Silence::Unreachable, Code::Unreachable),
        (Silence::Refused(Refusal::bare(Code::AccessRequired)), Code::AccessRequired),
    ] {
        for members in [4, 7] {
            let (mut world, written) = World::written(members);
            let bad = world.ledger.faults.tolerated();
            let plan = world.plan(&written.file);
            let result = read(&mut world, plan, |from, reply| match reply {
                Ok(Answer::Fetched(_)) if from.get() < bad => Err(silence.clone()),
                reply => reply,
            });
            let result = result.expect("f are too few to stop it");
            assert_whole(&result, &written.leaves);
            assert_named(&world, &result.faults, code);
        }
    }
}

#[test]
fn stores_that_have_nothing_end_no_epoch_that_goes_on() {
    for members in [4, 7] {
        let (mut world, written) = World::written(members);
        for store in 0..usize::from(world.ledger.faults.tolerated()) {
            world.stores[store].forget();
        }
        let plan = world.plan(&written.file);
        let result = read(&mut world, plan, honest).expect("f are too few to stop it");
        assert_whole(&result, &written.leaves);
        assert_eq!(result.faults, [], "a store may have missed a batch and lie to nobody");
    }
}

#[test]
fn segments_that_stores_invent_end_nothing_and_add_nothing() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    // The first store answers every question, with its first fragment under the locator asked for.
    let invented = world.stores[0].held().next().expect("it holds five").clone();
    let result = read(&mut world, plan, |from, reply| match reply {
        Err(Silence::Refused(refusal)) if from.get() == 0 && refusal.code == Code::NoSuchSegment => {
            Ok(Answer::Fetched(Box::new(invented.clone())))
        }
        reply => reply,
    });
    let result = result.expect("one is too few to stop it");
    assert_whole(&result, &written.leaves);
    assert_named(&world, &result.faults, Code::BadFragment);
}

#[test]
fn what_cannot_be_rebuilt_is_counted_as_missing() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |from, reply| match reply {
        Ok(Answer::Fetched(_)) if from.get() > 0 => Err(Silence::Unreachable),
        reply => reply,
    });
    let result = result.expect("the rest is told");
    assert_eq!((result.samples.len(), result.segments_missing), (0, 5));
}

#[test]
fn a_liar_cannot_hide_that_an_anchored_segment_is_missing() {
    let (mut world, written) = World::written(4);
    world.stores[0].held().for_each(|fetched| fetched.place.batch = BatchNumber::new(77));
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |from, reply| match reply {
        Ok(Answer::Fetched(_)) if from.get() > 1 => Err(Silence::Unreachable),
        reply => reply,
    });
    assert_eq!(result.expect("the rest is told").segments_missing, 5);
}

#[test]
fn a_batch_under_way_that_cannot_be_rebuilt_is_not_missing() {
    let (mut world, written) = World::written(4);
    let mut epoch = world.epoch(salus_wire::DataClass::Vitals, 1);
    let segment = epoch.segment(&mut world, crate::world::heart_rate(3_600, 2));
    let locator = segment.locator();
    world.put(vec![segment], false);
    let fetched = world.stores[1].get(&locator).expect("it was put").clone();
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |_, reply| match reply {
        Ok(Answer::Fetched(other)) if other.place == fetched.place && other.index != fetched.index => {
            Err(Silence::Refused(Refusal::bare(Code::NoSuchSegment)))
        }
        reply => reply,
    });
    assert_whole(&result.expect("all is told"), &written.leaves);
}

#[test]
fn a_writer_is_blamed_only_for_what_is_anchored() {
    for anchored in [true, false] {
        let (mut world, written) = World::written(4);
        let mut epoch = world.epoch(salus_wire::DataClass::Vitals, 1);
        let mut segment = epoch.segment(&mut world, crate::world::heart_rate(3_600, 2));
        segment.contradict();
        world.put(vec![segment], anchored);
        let plan = world.plan(&written.file);
        match read(&mut world, plan, honest) {
            Ok(result) => {
                assert!(!anchored);
                assert_whole(&result, &written.leaves);
            }
            Err(error) => assert_eq!((anchored, error.code()), (true, Code::WriterFault)),
        }
    }
}

/// As two disks once rotted at the same bit.
#[test]
fn stores_that_agree_on_a_segment_that_does_not_open_end_no_read() {
    let (mut world, written) = World::written(4);
    for store in [0, 1] {
        world.stores[store].held().for_each(|fetched| spoil_descriptor(&mut fetched.manifest));
    }
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, honest).expect("the others hold it");
    assert_whole(&result, &written.leaves);
}

#[test]
fn a_store_that_is_slow_has_another_asked_beside_it() {
    let (mut world, written) = World::written(4);
    let plan = world.plan(&written.file);
    let result = read(&mut world, plan, |from, reply| match reply {
        Ok(Answer::Fetched(_)) if from.get() == 0 => Err(Silence::Slow),
        reply => reply,
    });
    let result = result.expect("the others are there");
    assert_whole(&result, &written.leaves);
    assert_eq!(result.faults, [], "to be slow is no fault");
}
