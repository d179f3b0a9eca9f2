//! Key shares: t open, fewer do not, and whoever is at fault is named.

use crate::world::{CHAIN, World, world};
use salus_crypto::{Digest, Secret, SigningKey};
use salus_fragment::{CheckedShare, OpeningEpoch, ShareFault, verify_share};
use salus_wire::release::{EpochHeader, EpochShare, ShareBytes, epoch_message};
use salus_wire::{ChainId, Code, List, MemberIndex, SegmentIndex, namespaces};

fn signed(world: &World, header: EpochHeader, share: ShareBytes) -> EpochShare {
    let signature = world.writer.sign(namespaces::EPOCH, &epoch_message(CHAIN, &header));
    EpochShare { header, signature, share }
}

fn verify(world: &World, custodian: MemberIndex, share: &EpochShare) -> Result<(), ShareFault> {
    verify_share(CHAIN, world.faults, &world.writer.public_key(), custodian, share)
}

fn check_all(world: &World, shares: Vec<(MemberIndex, EpochShare)>) -> Vec<CheckedShare> {
    shares.into_iter().map(|(custodian, share)| world.check_share(custodian, share)).collect()
}

#[test]
fn any_t_shares_make_the_key_and_fewer_do_not() {
    for members in [1, 4, 7] {
        let mut world = world(members);
        let threshold = usize::from(world.faults.key_threshold());
        for skip in 0..=members - threshold {
            let shares = world.shares().into_iter().skip(skip).take(threshold).collect();
            let epoch = OpeningEpoch::combine(check_all(&world, shares)).expect("enough");
            assert_eq!(epoch.locator(SegmentIndex::new(5)), world.epoch.locator(SegmentIndex::new(5)));
            assert_eq!(epoch.header().epoch, world.epoch.id());
        }
        let few = world.shares().into_iter().take(threshold - 1).collect();
        let fault = OpeningEpoch::combine(check_all(&world, few)).expect_err("too few");
        assert_eq!(fault.code(), Code::TooFewShares);
        assert_eq!(fault.custodian(), None);
    }
}

#[test]
fn a_share_counted_twice_is_one_share() {
    let mut world = world(4);
    let mut shares: Vec<_> = world.shares().into_iter().take(2).collect();
    let (custodian, first) = (shares[0].0, &shares[0].1);
    let again = EpochShare {
        header: first.header.clone(),
        signature: first.signature,
        share: ShareBytes(Secret::from_bytes(*first.share.0.danger_expose())),
    };
    shares.push((custodian, again));
    let fault = OpeningEpoch::combine(check_all(&world, shares)).err();
    assert_eq!(fault, Some(ShareFault::TooFew { have: 2, need: 3 }));
}

#[test]
fn every_flipped_bit_of_a_share_names_its_custodian() {
    let mut world = world(4);
    let (custodian, share) = world.shares().swap_remove(2);
    assert_eq!(verify(&world, custodian, &share), Ok(()));
    let header = &share.header;
    for bit in 0..256 {
        let mut bytes = *share.share.0.danger_expose();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let share = ShareBytes(Secret::from_bytes(bytes));
        let bad = signed(&world, header.clone(), share);
        assert_eq!(verify(&world, custodian, &bad), Err(ShareFault::Hash(custodian)));
    }
    let other = MemberIndex::new(1);
    assert_eq!(verify(&world, other, &share), Err(ShareFault::Hash(other)));
    let nobody = MemberIndex::new(4);
    assert_eq!(verify(&world, nobody, &share), Err(ShareFault::Hash(nobody)));
    assert_eq!(ShareFault::Hash(other).custodian(), Some(other));
}

#[test]
fn an_altered_or_foreign_header_is_unsigned() {
    let mut world = world(4);
    let (custodian, share) = world.shares().swap_remove(0);
    let refuse = |world: &World, change: &dyn Fn(&mut EpochHeader)| {
        let mut share = EpochShare {
            header: share.header.clone(),
            signature: share.signature,
            share: ShareBytes(Secret::from_bytes(*share.share.0.danger_expose())),
        };
        change(&mut share.header);
        assert_eq!(verify(world, custodian, &share), Err(ShareFault::Unsigned(custodian)));
    };
    refuse(&world, &|header| header.threshold = 1);
    refuse(&world, &|header| header.key_commitment = Digest::ZERO);
    refuse(&world, &|header| header.class = salus_wire::DataClass::Waveform);
    refuse(&world, &|header| header.code = salus_wire::ObservationCode::Mdc(8_867));
    let chain = ChainId(salus_crypto::digest::fragment_hash(b"another consortium"));
    let writer = world.writer.public_key();
    let fault = verify_share(chain, world.faults, &writer, custodian, &share);
    assert_eq!(fault, Err(ShareFault::Unsigned(custodian)));
    world.writer = SigningKey::from_seed(Secret::from_bytes([9; 32]));
    assert_eq!(verify(&world, custodian, &share), Err(ShareFault::Unsigned(custodian)));
}

#[test]
fn a_writer_that_signs_an_impossible_header_is_named() {
    let mut world = world(4);
    let (custodian, share) = world.shares().swap_remove(0);
    let refuse = |change: &dyn Fn(&mut EpochHeader)| {
        let mut header = share.header.clone();
        change(&mut header);
        let bad = signed(&world, header, ShareBytes(Secret::from_bytes(*share.share.0.danger_expose())));
        assert_eq!(verify(&world, custodian, &bad), Err(ShareFault::Shape));
        assert_eq!(ShareFault::Shape.code(), Code::WriterFault);
    };
    refuse(&|header| header.threshold = 2);
    refuse(&|header| header.threshold = 0);
    refuse(&|header| header.share_hashes = List::new(header.share_hashes[..3].to_vec()).expect("fewer"));
}

#[test]
fn a_writer_whose_shares_do_not_make_its_key_is_named() {
    let mut world = world(4);
    let shares = world.shares();
    let shares = shares
        .into_iter()
        .map(|(custodian, share)| {
            let mut header = share.header;
            header.key_commitment = Digest::ZERO;
            (custodian, signed(&world, header, share.share))
        })
        .collect();
    let fault = OpeningEpoch::combine(check_all(&world, shares)).err();
    assert_eq!(fault, Some(ShareFault::Key));
    assert_eq!(ShareFault::Key.code(), Code::WriterFault);
}

#[test]
fn a_writer_that_signs_two_headers_is_named_unless_one_has_enough_shares() {
    let mut world = world(4);
    // Splitting twice draws other shares, hence another header for the same epoch.
    let (one, two) = (world.shares(), world.shares());
    let (mut one, mut two) = (one.into_iter(), two.into_iter().skip(2));
    let torn: Vec<_> = one.by_ref().take(2).chain(two.by_ref().take(2)).collect();
    let fault = OpeningEpoch::combine(check_all(&world, torn)).err();
    assert_eq!(fault, Some(ShareFault::TwoHeaders));
    let (one, two) = (world.shares(), world.shares());
    let enough: Vec<_> = one.into_iter().take(3).chain(two.into_iter().skip(3)).collect();
    assert!(OpeningEpoch::combine(check_all(&world, enough)).is_ok());
}

#[test]
fn nothing_secret_is_printed() {
    let mut world = world(4);
    let (custodian, share) = world.shares().swap_remove(0);
    let secret = hex::encode(share.share.0.danger_expose());
    let checked = world.check_share(custodian, share);
    let opening = world.opening();
    let printed = format!("{:?} {opening:?} {checked:?}", world.epoch);
    assert!(printed.contains("[REDACTED]") && !printed.contains(&secret));
}
