//! A sealed batch kept and served, and everything that must keep one out.

use super::*;
use crate::testing::{CHAIN, START, WRITER, World, faults, key, member, rng, service};
use futures::FutureExt;
use salus_crypto::sign::Signature;
use salus_fragment::{Draft, seal};
use salus_wire::manifest::held_message;
use salus_wire::receipt::Leaf;
use salus_wire::rpc::FetchTerms;
use salus_wire::{BatchNumber, DeviceId, List, Locator, SegmentIndex, Sequence, StreamId};
use std::sync::atomic::Ordering;

const ME: u16 = 1;
const BATCH: BatchNumber = BatchNumber::new(7);

/// What is said, and what makes it so.
type Row<T> = (Code, T);
type Bad = fn(&World) -> Put;
type Violate = fn(&World, &mut Fetch);

async fn keeper(world: &World) -> (Keeper, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let fragments = Fragments::open(dir.path()).await.unwrap();
    (Keeper::new(world.office(ME), fragments), dir)
}

/// Two sealed segments with this store's fragments of them.
fn segments(world: &World) -> Vec<PutSegment> {
    let mut rng = rng();
    let epoch = world.epoch(300, &mut rng);
    let leaf = Leaf { device_key: key(9).public_key(), frame: Blob::new(vec![1; 64]).unwrap() };
    let sealed = |index| {
        let draft = Draft {
            index: SegmentIndex::new(index),
            stream: StreamId::new([1; 16]),
            device: DeviceId::new([2; 16]),
            sequences: (Sequence::new(1), Sequence::new(1)),
            times: (TimeMs::new(310), TimeMs::new(320)),
            plaintext: vec![3; 500],
            leaves: std::slice::from_ref(&leaf),
        };
        let sealed = seal(&epoch, Geometry::for_faults(faults()), draft, &mut rng).unwrap();
        let fragment = sealed.fragments.into_iter().nth(usize::from(ME)).unwrap();
        PutSegment { manifest: sealed.manifest, fragment: Blob::new(fragment.into_bytes()).unwrap() }
    };
    (0..2).map(sealed).collect()
}

fn put(world: &World, segments: Vec<PutSegment>) -> Put {
    let message = put_message(CHAIN, WRITER, BATCH, member(ME), batch_root(&segments));
    let signature = world.writer.sign(namespaces::PUT, &message);
    let segments = List::new(segments).unwrap();
    Put { gateway: WRITER, batch: BATCH, store: member(ME), segments, signature }
}

fn good(world: &World) -> Put {
    put(world, segments(world))
}

fn fetch(world: &World, locator: Locator) -> Fetch {
    let (store, access, sent) = (member(ME), world.access_tag(), world.now());
    let terms = FetchTerms { store, access, locator, sent };
    let signature = world.one_time.sign(namespaces::FETCH, &fetch_message(CHAIN, &terms));
    Fetch { terms, signature }
}

#[tokio::test]
async fn a_batch_is_promised_and_its_fragments_are_served() {
    let world = World::with_access();
    let (keeper, _dir) = keeper(&world).await;
    for _ in 0..2 {
        let held = keeper.put(good(&world)).await.unwrap();
        let message = held_message(CHAIN, WRITER, BATCH, batch_root(&segments(&world)), member(ME));
        assert_eq!((held.store, keeper.count()), (member(ME), 2));
        assert!(service(ME).public_key().verify(namespaces::HELD, &message, &held.signature).is_ok());
    }
    for segment in segments(&world) {
        let fetched = keeper.fetch(fetch(&world, segment.manifest.locator)).await.unwrap();
        assert_eq!((fetched.manifest, fetched.fragment), (segment.manifest, segment.fragment));
        assert_eq!((fetched.index, fetched.place.batch), (FragmentIndex::new(ME), BATCH));
    }
    let nowhere = keeper.fetch(fetch(&world, Locator::new([0; 32]))).await.unwrap_err();
    assert_eq!(nowhere.code, Code::NoSuchSegment);
}

fn with(world: &World, edit: fn(&mut PutSegment)) -> Put {
    let mut segments = segments(world);
    edit(&mut segments[1]);
    put(world, segments)
}

fn other_geometry(segment: &mut PutSegment) {
    segment.manifest.geometry = Geometry::for_faults(Faults::for_members(1).unwrap());
}

fn flip(segment: &mut PutSegment) {
    let mut bytes = segment.fragment.to_vec();
    bytes[0] ^= 1;
    segment.fragment = Blob::new(bytes).unwrap();
}

#[tokio::test]
async fn a_batch_that_is_not_right_is_refused_whole() {
    let rows: &[Row<Bad>] = &[
        (Code::BatchMismatch, |w| Put { store: member(2), ..good(w) }),
        (Code::UnknownSigner, |w| {
            w.ledger.lock().unwrap().clear();
            good(w)
        }),
        (Code::BadSignature, |w| Put { signature: Signature::from_bytes([0; 64]), ..good(w) }),
        (Code::BadSignature, |w| Put { batch: BatchNumber::new(8), ..good(w) }),
        (Code::BadSignature, |w| Put { segments: List::new(segments(w).split_off(1)).unwrap(), ..good(w) }),
        (Code::BatchMismatch, |w| put(w, vec![])),
        (Code::BatchMismatch, |w| {
            let twice = [segments(w), segments(w)].concat();
            put(w, twice)
        }),
        (Code::BatchMismatch, |w| with(w, other_geometry)),
        (Code::BadFragment, |w| with(w, flip)),
        (Code::BadFragment, |w| with(w, |s| s.fragment = Blob::default())),
        (Code::BadFragment, |w| with(w, |s| s.manifest.fragments = List::empty())),
    ];
    for (row, (code, bad)) in rows.iter().enumerate() {
        let world = World::new();
        let (keeper, _dir) = keeper(&world).await;
        let refused = keeper.put(bad(&world)).await.err().map(|refusal| refusal.code);
        assert_eq!(refused, Some(*code), "row {row}");
        assert_eq!(keeper.count(), 0, "row {row}");
    }
}

#[tokio::test]
async fn a_fetch_without_a_final_unexpired_access_of_its_own_is_refused() {
    let rows: &[Row<Violate>] = &[
        (Code::RequestReplayed, |_, f| f.terms.store = member(2)),
        (Code::RequestReplayed, |w, _| {
            let later = START.get() + 30_001;
            w.clock.store(later, Ordering::SeqCst);
            w.head.store(later, Ordering::SeqCst);
        }),
        (Code::ViewStale, |w, _| w.clock.store(START.get() + 10_001, Ordering::SeqCst)),
        (Code::AccessRequired, |w, _| w.ledger.lock().unwrap().clear()),
        (Code::AccessRequired, |w, f| f.terms.access = salus_wire::AccessTag(w.patient.link(1).tag())),
        (Code::RequestSignature, |_, f| f.terms.locator = Locator::new([1; 32])),
        (Code::RequestSignature, |_, f| f.signature = Signature::from_bytes([0; 64])),
    ];
    for (row, (code, violate)) in rows.iter().enumerate() {
        let world = World::with_access();
        let (keeper, _dir) = keeper(&world).await;
        keeper.put(good(&world)).await.unwrap();
        let mut fetch = fetch(&world, segments(&world)[0].manifest.locator);
        violate(&world, &mut fetch);
        let refused = keeper.fetch(fetch).await.err().map(|refusal| refusal.code);
        assert_eq!(refused, Some(*code), "row {row}");
    }
}

#[tokio::test]
async fn an_access_serves_until_its_last_millisecond() {
    for (after_ms, expected) in [(58_999, None), (59_000, Some(Code::AccessExpired))] {
        let world = World::with_access();
        let (keeper, _dir) = keeper(&world).await;
        keeper.put(good(&world)).await.unwrap();
        // The access became final a second before the world begins.
        world.clock.store(START.get() + after_ms, Ordering::SeqCst);
        world.head.store(START.get() + after_ms, Ordering::SeqCst);
        let fetch = fetch(&world, segments(&world)[0].manifest.locator);
        assert_eq!(keeper.fetch(fetch).await.err().map(|refusal| refusal.code), expected);
    }
}

#[tokio::test]
async fn another_segment_at_a_kept_locator_is_refused() {
    let world = World::with_access();
    let (keeper, _dir) = keeper(&world).await;
    keeper.put(good(&world)).await.unwrap();
    let mut segments = segments(&world);
    segments[0].manifest.seal_random = [0; 32];
    let refused = keeper.put(put(&world, segments)).await.unwrap_err();
    assert_eq!(refused.code, Code::BatchMismatch);
}

#[tokio::test]
async fn a_store_whose_disk_failed_promises_nothing_more_and_ends_its_node() {
    let world = World::new();
    let (keeper, dir) = keeper(&world).await;
    assert!(keeper.failed().now_or_never().is_none());
    std::fs::write(dir.path().join("seg"), b"a file where the folder should be").unwrap();
    assert_eq!(keeper.put(good(&world)).await.unwrap_err().code, Code::StorageFailed);
    keeper.failed().now_or_never().unwrap();
    // The disk works again and is not believed: what it lost in between nobody knows.
    std::fs::remove_file(dir.path().join("seg")).unwrap();
    assert_eq!(keeper.put(good(&world)).await.unwrap_err().code, Code::StorageFailed);
}
