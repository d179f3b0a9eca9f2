//! Fragments: any k open, and no altered, swapped or foreign one gets that far.

use crate::world::{World, checked, copy, draft, leaves, plaintext, world};
use proptest::collection::vec;
use proptest::prelude::*;
use salus_crypto::{Digest, merkle};
use salus_fragment::layout::{fragment_len, size_class};
use salus_fragment::{
    BadFragment, Contradiction, Fragment, NotEnough, OpenError, OpenedSegment, Quorum, SealError,
    SealedSegment, check, open, seal,
};
use salus_wire::limits::{DESCRIPTOR_BYTES, SEGMENT_BYTES_MAX};
use salus_wire::{Blob, Code, FragmentIndex, List, Locator, Manifest, MemberIndex, SegmentIndex};

fn read(
    world: &mut World,
    manifest: &Manifest,
    fragments: &[Fragment],
    indices: &[usize],
) -> Result<OpenedSegment, OpenError> {
    let epoch = world.opening();
    let key = epoch.segment_key(SegmentIndex::new(0), manifest)?;
    let quorum = Quorum::gather(manifest, checked(manifest, fragments, indices)).expect("enough");
    open(manifest, quorum, key)
}

/// Every choice of k indices out of n.
fn choices(n: usize, k: usize) -> Vec<Vec<usize>> {
    (0_u32..1 << n)
        .filter(|mask| mask.count_ones() == u32::try_from(k).expect("small"))
        .map(|mask| (0..n).filter(|bit| mask >> bit & 1 == 1).collect())
        .collect()
}

#[test]
fn any_k_fragments_open_the_segment() {
    // (1, 0), (2, 2), (4, 2) and (3, 4) data and parity fragments.
    for members in [1, 4, 6, 7] {
        let mut world = world(members);
        for len in [1, 1_000, 70_000] {
            let SealedSegment { manifest, fragments } = world.seal(0, len);
            assert_eq!(fragments.len(), members);
            for choice in choices(members, manifest.geometry.data()) {
                let opened = read(&mut world, &manifest, &fragments, &choice).expect("it opens");
                assert_eq!(opened.plaintext(), plaintext(len), "{choice:?}");
                assert_eq!(opened.descriptor().leaves, 10);
            }
        }
    }
}

#[test]
fn fewer_than_k_do_not_gather_and_repeats_do_not_count() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 500);
    let gather = |indices: &[usize]| Quorum::gather(&manifest, checked(&manifest, &fragments, indices));
    let not_enough = NotEnough { have: 1, need: 2 };
    assert_eq!(gather(&[3]).err(), Some(not_enough));
    assert_eq!(gather(&[3, 3, 3]).err(), Some(not_enough));
    assert!(gather(&[3, 1]).is_ok() && gather(&[0, 1, 2, 3]).is_ok());
    let foreign = world.seal(1, 500);
    let mixed =
        [checked(&manifest, &fragments, &[0]), checked(&foreign.manifest, &foreign.fragments, &[1, 2, 3])];
    let mixed = mixed.into_iter().flatten().collect();
    assert_eq!(Quorum::gather(&manifest, mixed).err(), Some(not_enough));
}

#[test]
fn every_flipped_bit_of_a_fragment_names_its_store() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 1);
    for (index, fragment) in (0..).map(FragmentIndex::new).zip(&fragments) {
        assert!(check(&manifest, index, copy(fragment)).is_ok());
        for bit in 0..fragment.as_bytes().len() * 8 {
            let mut bytes = fragment.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let bad = check(&manifest, index, Fragment::from_bytes(bytes)).expect_err("altered");
            assert_eq!(bad, BadFragment::Hash(index));
            assert_eq!(bad.store(), Some(MemberIndex::new(index.get())));
            assert_eq!(bad.code(), Code::BadFragment);
        }
    }
}

#[test]
fn swapped_cut_and_foreign_fragments_are_refused() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 500);
    let other = world.seal(1, 500);
    let at = FragmentIndex::new;
    let refuse =
        |index, fragment: Fragment, bad| assert_eq!(check(&manifest, index, fragment).err(), Some(bad));
    refuse(at(1), copy(&fragments[0]), BadFragment::Hash(at(1)));
    refuse(at(0), copy(&other.fragments[0]), BadFragment::Hash(at(0)));
    refuse(at(4), copy(&fragments[0]), BadFragment::Index(at(4)));
    let cut = fragments[0].as_bytes()[1..].to_vec();
    refuse(at(0), Fragment::from_bytes(cut), BadFragment::Length(at(0)));
    refuse(at(0), Fragment::from_bytes(vec![]), BadFragment::Length(at(0)));
}

#[test]
fn impossible_manifests_are_the_writers_fault() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 500);
    let refuse = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        let bad = check(&manifest, FragmentIndex::new(0), copy(&fragments[0])).expect_err("impossible");
        assert_eq!((bad, bad.code(), bad.store()), (BadFragment::Manifest, Code::WriterFault, None));
    };
    refuse(&|manifest| manifest.ciphertext_len += 1);
    refuse(&|manifest| manifest.ciphertext_len = 0);
    refuse(&|manifest| manifest.ciphertext_len = u32::MAX);
    refuse(&|manifest| manifest.fragments = List::new(manifest.fragments[..3].to_vec()).expect("fewer"));
    let seven = self::world(7).geometry();
    refuse(&|manifest| manifest.geometry = seven);
}

#[test]
fn a_writer_that_contradicts_itself_is_named() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 5_000);
    let mut blame = |change: &dyn Fn(&mut Manifest), contradiction| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        let fault = read(&mut world, &manifest, &fragments, &[0, 3]).expect_err("contradicted");
        assert_eq!(fault, OpenError::Writer(contradiction));
        assert_eq!(fault.code(), Code::WriterFault);
    };
    blame(&|manifest| manifest.ciphertext = Digest::ZERO, Contradiction::Ciphertext);
    blame(&|manifest| manifest.key_commitment = Digest::ZERO, Contradiction::Key);
    blame(&|manifest| manifest.seal_random = [0; 32], Contradiction::Key);
    blame(&|manifest| manifest.leaves = Digest::ZERO, Contradiction::Descriptor);
    blame(
        &|manifest| manifest.descriptor = Blob::new(vec![0; DESCRIPTOR_BYTES]).expect("its length"),
        Contradiction::Descriptor,
    );
    blame(&|manifest| manifest.descriptor = Blob::default(), Contradiction::Descriptor);
}

#[test]
fn fragments_that_check_but_do_not_re_encode_name_the_writer() {
    let mut world = world(6);
    let SealedSegment { mut manifest, mut fragments } = world.seal(0, 5_000);
    let junk = vec![0x55; fragments[5].as_bytes().len()];
    let mut hashes = manifest.fragments.to_vec();
    hashes[5] = salus_crypto::digest::fragment_hash(&junk);
    manifest.fragments = List::new(hashes).expect("as many");
    fragments[5] = Fragment::from_bytes(junk);
    assert!(read(&mut world, &manifest, &fragments, &[0, 1, 2, 3]).is_ok());
    assert!(read(&mut world, &manifest, &fragments, &[0, 1, 2, 4]).is_ok());
    let fault = read(&mut world, &manifest, &fragments, &[0, 1, 2, 5]).err();
    assert_eq!(fault, Some(OpenError::Writer(Contradiction::Ciphertext)));
}

#[test]
fn keys_and_manifests_of_different_segments_do_not_mix() {
    let mut world = world(4);
    let (one, two) = (world.seal(0, 500), world.seal(1, 500));
    let epoch = world.opening();
    assert_eq!(epoch.segment_key(SegmentIndex::new(1), &one.manifest).err(), Some(OpenError::Mixed));
    let mut moved = one.manifest.clone();
    moved.locator = Locator::new([0; 32]);
    assert_eq!(epoch.segment_key(SegmentIndex::new(0), &moved).err(), Some(OpenError::Mixed));
    let key = epoch.segment_key(SegmentIndex::new(1), &two.manifest).expect("its own");
    let quorum =
        Quorum::gather(&one.manifest, checked(&one.manifest, &one.fragments, &[0, 1])).expect("enough");
    assert_eq!(open(&one.manifest, quorum, key).err(), Some(OpenError::Mixed));
    let key = epoch.segment_key(SegmentIndex::new(1), &two.manifest).expect("its own");
    let quorum =
        Quorum::gather(&one.manifest, checked(&one.manifest, &one.fragments, &[0, 1])).expect("enough");
    assert_eq!(open(&two.manifest, quorum, key).err(), Some(OpenError::Mixed));
}

#[test]
fn another_epoch_opens_nothing() {
    let mut one = world(4);
    let sealed = one.seal(0, 500);
    let other = world(6).opening();
    assert_eq!(other.segment_key(SegmentIndex::new(0), &sealed.manifest).err(), Some(OpenError::Mixed));
}

#[test]
fn leaves_are_proved_alone_and_only_the_true_ones() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, 500);
    let opened = read(&mut world, &manifest, &fragments, &[1, 2]).expect("it opens");
    let mut these = leaves(10);
    for (leaf, proof) in these.iter().zip(opened.prove(&these).expect("the true ones")) {
        assert_eq!(proof.salt, opened.salt(proof.index));
        let digest = leaf.digest(&proof.salt);
        let (index, count) = (u64::from(proof.index), u64::from(proof.count));
        assert!(merkle::verify(&manifest.leaves, &digest, index, count, &proof.path));
    }
    let fault = Some(OpenError::Writer(Contradiction::Leaves));
    these.swap(0, 1);
    assert_eq!(opened.prove(&these).err(), fault);
    assert_eq!(opened.prove(&leaves(9)).err(), fault);
    assert_eq!(opened.prove(&[]).err(), fault);
}

#[test]
fn equal_segments_share_nothing_that_a_store_sees_but_lengths() {
    let mut world = world(4);
    let (one, two) = (world.seal(0, 700), world.seal(0, 900));
    assert_eq!(one.manifest.ciphertext_len, two.manifest.ciphertext_len);
    assert_eq!(one.manifest.locator, two.manifest.locator);
    assert_ne!(one.manifest.seal_random, two.manifest.seal_random);
    assert_ne!(one.manifest.leaves, two.manifest.leaves);
    assert_ne!(one.manifest.key_commitment, two.manifest.key_commitment);
    assert_ne!(one.fragments[0].as_bytes(), two.fragments[0].as_bytes());
    let class = size_class(700);
    let expected = fragment_len(world.geometry(), class + 16);
    assert!(one.fragments.iter().all(|fragment| fragment.as_bytes().len() == expected));
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    let mut world = world(4);
    let ten = leaves(10);
    let geometry = world.geometry();
    let mut refuse = |draft, fault| {
        assert_eq!(seal(&world.epoch, geometry, draft, &mut world.rng).err(), Some(fault));
    };
    refuse(draft(0, vec![], &ten), SealError::Empty);
    refuse(draft(0, vec![1], &[]), SealError::Empty);
    let bytes = SEGMENT_BYTES_MAX + 1;
    refuse(draft(0, vec![0; bytes], &ten), SealError::TooLarge { bytes });
    let mut early = draft(0, vec![1], &ten);
    early.times.0 = salus_wire::TimeMs::new(0);
    refuse(early, SealError::OutsideEpoch);
    let mut late = draft(0, vec![1], &ten);
    late.times.1 = crate::world::START.plus_ms(3_600_000);
    refuse(late, SealError::OutsideEpoch);
}

#[test]
fn the_largest_segment_opens() {
    let mut world = world(4);
    let SealedSegment { manifest, fragments } = world.seal(0, SEGMENT_BYTES_MAX);
    for choice in [[0, 1], [2, 3]] {
        let opened = read(&mut world, &manifest, &fragments, &choice).expect("it opens");
        assert!(opened.plaintext() == plaintext(SEGMENT_BYTES_MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_plaintext_comes_back(members in 1_usize..=10, plaintext in vec(any::<u8>(), 1..6_000), lost in any::<u64>()) {
        let mut world = world(members);
        let ten = leaves(10);
        let geometry = world.geometry();
        let sealed = seal(&world.epoch, geometry, draft(0, plaintext.clone(), &ten), &mut world.rng).expect("sealed");
        let mut kept: Vec<usize> = (0..members).collect();
        kept.sort_by_key(|index| lost.rotate_left(u32::try_from(*index * 5).expect("small")) % 977);
        let opened = read(&mut world, &sealed.manifest, &sealed.fragments, &kept[..geometry.data()]).expect("it opens");
        prop_assert_eq!(opened.plaintext(), plaintext);
        prop_assert_eq!(opened.prove(&ten).expect("the true ones").len(), 10);
    }
}
