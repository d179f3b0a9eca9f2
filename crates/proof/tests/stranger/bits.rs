//! Every bit of a receipt matters, and a whole segment is checked as one.

use crate::frame::Beat;
use crate::receipts::{Kept, Salted, beats};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_proof::{RECEIPT_BYTES_MAX, Unproven, Verified, batch, receipt, state};
use salus_wire::{Code, encode};

#[test]
fn every_flipped_bit_of_a_receipt_is_refused() {
    // Six readings and three segments: shapes in which a tree hash alone would not bind the counts.
    let kept = Kept::new(4, beats(6), 3, 1);
    let good = encode(&kept.receipt(2));
    let holds = |bytes: &[u8]| {
        receipt::read(bytes).is_ok_and(|read| receipt::verify::<Beat>(&kept.consortium.policy, &read).is_ok())
    };
    assert!(holds(&good));
    for at in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(!holds(&bad), "bit {} of byte {}", at % 8, at / 8);
    }
}

#[test]
fn every_truncation_of_a_receipt_is_malformed() {
    let good = encode(&Kept::new(4, beats(3), 2, 0).receipt(1));
    for length in 0..good.len() {
        assert_eq!(receipt::read(&good[..length]), Err(Unproven::Malformed), "{length} bytes");
    }
    assert_eq!(receipt::read(&vec![1; RECEIPT_BYTES_MAX + 1]), Err(Unproven::Malformed));
}

#[test]
fn a_receipt_at_four_members_keeps_to_four_kibibytes() {
    // A minute of heart rates, one batch of the largest size, and a state of a million entries:
    // twenty siblings more than the state of the test has.
    let kept = Kept::new(4, beats(23), 255, 1);
    let bytes = encode(&kept.receipt(22)).len() + 20 * 32 + 32;
    assert!(bytes <= 4096, "{bytes} bytes");
}

/// What the readings of a segment of three come to after an edit.
fn segment(edit: impl Fn(&mut Vec<Salted>)) -> Result<usize, Unproven> {
    let kept = Kept::new(4, beats(3), 2, 1);
    let receipt = kept.receipt(0);
    let proven = state::verify(&kept.consortium.policy, &receipt.anchor).expect("it holds");
    let anchored = batch::verify(&proven, &receipt.place, receipt.manifest).expect("it holds");
    let mut leaves = kept.leaves;
    edit(&mut leaves);
    let readings: Vec<Verified<Beat>> =
        receipt::verify_leaves(&anchored, &leaves, &mut StdRng::seed_from_u64(1))?;
    assert!(
        readings
            .iter()
            .all(|reading| reading.at() == anchored.at() && reading.writer() == anchored.gateway())
    );
    Ok(readings.len())
}

#[test]
fn a_segment_is_all_of_its_readings_in_order() {
    assert_eq!(segment(|_| ()), Ok(3));
    assert_eq!(segment(|leaves| drop(leaves.pop())), Err(Unproven::LeavesRoot));
    assert_eq!(segment(|leaves| leaves.swap(0, 1)), Err(Unproven::LeavesRoot));
    assert_eq!(segment(|leaves| leaves.push(leaves[0].clone())), Err(Unproven::LeavesRoot));
    assert_eq!(segment(|leaves| leaves[0].0 = [9; 32]), Err(Unproven::LeavesRoot));
    assert_eq!(segment(Vec::clear), Err(Unproven::LeavesRoot));
}

#[test]
fn a_segment_of_unsigned_readings_is_refused() {
    let whole = |edit: &dyn Fn(&mut Vec<Salted>)| {
        let mut leaves = beats(3);
        edit(&mut leaves);
        let kept = Kept::new(4, leaves, 2, 1);
        let receipt = kept.receipt(0);
        let proven = state::verify(&kept.consortium.policy, &receipt.anchor).expect("it holds");
        let anchored = batch::verify(&proven, &receipt.place, receipt.manifest).expect("it holds");
        receipt::verify_leaves::<Beat>(&anchored, &kept.leaves, &mut StdRng::seed_from_u64(1))
            .map(|all| all.len())
    };
    assert_eq!(whole(&|_| ()), Ok(3));
    let other = crate::consortium::key(51).public_key();
    assert_eq!(whole(&|leaves| leaves[1].1.device_key = other), Err(Unproven::DeviceSignature));
    let empty = |leaves: &mut Vec<Salted>| leaves[1].1.frame = crate::consortium::blob(&[]);
    assert_eq!(whole(&empty), Err(Unproven::Leaf(Code::FrameMalformed)));
}
