//! Small damage to an input, of the kinds that networks, disks and attackers do.

use crate::dice::Dice;

/// Bytes of one input; a mutation that makes more is cut off.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;
/// Changes made to one input.
const CHANGES_MAX: usize = 4;
/// Bytes that one change inserts, copies or removes.
const RUN_BYTES_MAX: usize = 64;
/// Lengths and counts at which decoders go wrong.
const LENGTHS: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x0010_0000, 0x7fff_ffff, 0xffff_ffff];

/// A damaged copy of one of the inputs.
pub fn mutate(inputs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = dice.pick(inputs).cloned().unwrap_or_default();
    for _ in 0..=dice.below(CHANGES_MAX) {
        change(&mut input, inputs, dice);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len());
    let run = dice.below(RUN_BYTES_MAX) + 1;
    let end = at.saturating_add(run).min(input.len());
    match dice.below(8) {
        0 => flip(input, at, dice),
        1 => replace(input, at, dice.byte()),
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => {
            let noise: Vec<u8> = (0..run).map(|_| dice.byte()).collect();
            insert(input, at, &noise);
        }
        5 => {
            let copy = input.get(at..end).unwrap_or_default().to_vec();
            insert(input, at, &copy);
        }
        6 => length(input, at, dice),
        _ => splice(input, at, inputs, dice),
    }
}

fn flip(input: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn replace(input: &mut [u8], at: usize, new: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = new;
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// Writes a length where one may have been, little-endian as our encoding has them.
fn length(input: &mut [u8], at: usize, dice: &mut Dice) {
    let length = dice.pick(&LENGTHS).copied().unwrap_or(0).to_le_bytes();
    for (byte, new) in input.iter_mut().skip(at).zip(length) {
        *byte = new;
    }
}

/// The head of this input with the tail of another.
fn splice(input: &mut Vec<u8>, at: usize, inputs: &[Vec<u8>], dice: &mut Dice) {
    let Some(other) = dice.pick(inputs) else { return };
    let from = dice.below(other.len());
    input.truncate(at);
    input.extend_from_slice(other.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_repeats_and_most_mutants_differ() {
        let inputs = [vec![7; 40], (0..200).collect()];
        let run = |seed| {
            let mut dice = Dice::new(seed);
            (0..500).map(|_| mutate(&inputs, &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert!(run(3).into_iter().collect::<BTreeSet<_>>().len() > 300);
    }

    #[test]
    fn nothing_grows_past_the_limit_and_nothing_is_needed() {
        let mut dice = Dice::new(9);
        let inputs = [vec![1; INPUT_BYTES_MAX]];
        assert!((0..50).all(|_| mutate(&inputs, &mut dice).len() <= INPUT_BYTES_MAX));
        assert!((0..500).all(|_| mutate(&[], &mut dice).len() <= RUN_BYTES_MAX * 16));
    }
}
