//! A batch kept, kept again, fetched, damaged and contradicted.

use super::*;
use crate::disk::tests::Failing;
use salus_crypto::secret::Secret;
use salus_wire::limits::DESCRIPTOR_BYTES;
use salus_wire::manifest::{Suite, held_message};
use salus_wire::{Blob, Faults, Geometry, Manifest, namespaces};
use std::io::ErrorKind;

const STORE: MemberIndex = MemberIndex::new(2);
const GATEWAY: PartyId = PartyId::new([4; 16]);
const BATCH: BatchNumber = BatchNumber::new(7);

fn segment(n: u8, fragment: &[u8]) -> PutSegment {
    let manifest = Manifest {
        suite: Suite::V1,
        locator: Locator::new([n; 32]),
        geometry: Geometry::for_faults(Faults::for_members(4).unwrap()),
        ciphertext_len: 64,
        ciphertext: Digest::ZERO,
        fragments: List::empty(),
        seal_random: [n; 32],
        key_commitment: Digest::ZERO,
        leaves: Digest::ZERO,
        descriptor: Blob::new(vec![0; DESCRIPTOR_BYTES]).unwrap(),
    };
    PutSegment { manifest, fragment: Blob::new(fragment.to_vec()).unwrap() }
}

fn three() -> Vec<PutSegment> {
    vec![segment(1, b"one"), segment(2, b"two"), segment(3, b"three")]
}

fn planned(segments: Vec<PutSegment>) -> Plan<BatchPromise> {
    plan(GATEWAY, BATCH, STORE, segments).unwrap()
}

#[test]
fn a_plan_names_one_object_for_each_segment_with_its_place() {
    let plan = planned(three());
    assert_eq!(plan.promise.root, batch_root(&three()));
    assert_eq!(plan.writes.len(), 3);
    for (write, segment) in plan.writes.iter().zip(three()) {
        let kept: Fetched = decode(&write.bytes, OBJECT_BYTES_MAX).unwrap();
        assert_eq!(write.object, format!("seg/{}", segment.manifest.locator));
        assert_eq!((kept.index, kept.fragment), (FragmentIndex::new(2), segment.fragment));
        let place = kept.place;
        let leaf = segment.manifest.digest();
        let (index, count) = (u64::from(place.index), u64::from(place.count));
        assert!(merkle::verify(&plan.promise.root, &leaf, index, count, &place.path));
    }
}

#[test]
fn an_empty_batch_and_a_doubled_segment_are_refused() {
    for bad in [vec![], vec![segment(1, b"one"), segment(1, b"two")]] {
        assert!(matches!(plan(GATEWAY, BATCH, STORE, bad), Err(StoreError::BadBatch)));
    }
}

#[tokio::test]
async fn a_kept_batch_is_promised_counted_and_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let fragments = Fragments::open(dir.path()).await.unwrap();
    let key = SigningKey::from_seed(Secret::from_bytes([1; 32]));
    let chain = ChainId(Digest::ZERO);
    let held = fragments.keep(planned(three())).await.unwrap().held(chain, &key);
    let message = held_message(chain, GATEWAY, BATCH, batch_root(&three()), STORE);
    assert_eq!(held.store, STORE);
    assert!(key.public_key().verify(namespaces::HELD, &message, &held.signature).is_ok());
    let again = fragments.keep(planned(three())).await.unwrap();
    assert_eq!((again.created(), fragments.count()), (0, 3));
    drop(fragments);
    let fragments = Fragments::open(dir.path()).await.unwrap();
    assert_eq!(fragments.count(), 3);
    let kept = fragments.fetch(&Locator::new([2; 32])).await.unwrap().unwrap();
    assert_eq!(&*kept.fragment, b"two");
    assert_eq!(fragments.fetch(&Locator::new([9; 32])).await.unwrap(), None);
}

#[tokio::test]
async fn another_fragment_at_a_kept_locator_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fragments = Fragments::open(dir.path()).await.unwrap();
    let _durable = fragments.keep(planned(vec![segment(1, b"one")])).await.unwrap();
    let other = fragments.keep(planned(vec![segment(1, b"two")])).await;
    assert!(matches!(other, Err(StoreError::Occupied)));
    let kept = fragments.fetch(&Locator::new([1; 32])).await.unwrap().unwrap();
    assert_eq!(&*kept.fragment, b"one");
}

#[tokio::test]
async fn a_damaged_object_is_reported_or_served_for_the_reader_to_catch() {
    let dir = tempfile::tempdir().unwrap();
    let fragments = Fragments::open(dir.path()).await.unwrap();
    let _durable = fragments.keep(planned(vec![segment(1, b"one")])).await.unwrap();
    let locator = Locator::new([1; 32]);
    let path = dir.path().join(object(&locator));
    let good = std::fs::read(&path).unwrap();
    let fetched = fragments.fetch(&locator).await.unwrap().unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        match fragments.fetch(&locator).await {
            Ok(Some(served)) => assert_ne!(served, fetched, "byte {at}"),
            Ok(None) => panic!("a damaged object is not absent"),
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}"),
        }
    }
}

#[tokio::test]
async fn a_disk_that_fills_within_a_batch_promises_nothing() {
    for room in 0..3 {
        let fragments =
            Fragments::over(Disk::over(Failing::after(room, ErrorKind::StorageFull))).await.unwrap();
        let kept = fragments.keep(planned(three())).await;
        assert!(matches!(kept, Err(StoreError::Full { .. })), "room for {room}");
        assert_eq!(fragments.count(), 0);
    }
}
