//! Valid inputs, made by letting a decoder ask for what it wants.
//!
//! The decoder reads from a [`Sampler`] that answers a request for one byte like a choice between a
//! few variants, for two or four bytes like a small count, and for more with noise. What it has
//! answered when the decoder is satisfied is an encoding of a value. It knows no type by name.

use crate::dice::Dice;
use borsh::BorshDeserialize;
use std::io::{Read, Result};

/// Tries before a type is given up: some refuse most combinations of fields.
const TRIES_MAX: usize = 4_096;
/// Variants and counts that are offered.
const SMALL: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Answers a decoder, and remembers the answers.
pub struct Sampler {
    dice: Dice,
    given: Vec<u8>,
}

impl Sampler {
    /// The samples that belong to this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), given: Vec::new() }
    }

    fn small(&mut self) -> u8 {
        self.dice.pick(&SMALL).copied().unwrap_or(0)
    }
}

impl Read for Sampler {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match buffer.len() {
            1 => buffer.fill(self.small()),
            2 | 4 => {
                buffer.fill(0);
                buffer.iter_mut().take(1).for_each(|low| *low = self.small());
            }
            _ => buffer.iter_mut().for_each(|byte| *byte = self.dice.byte()),
        }
        self.given.extend_from_slice(buffer);
        Ok(buffer.len())
    }
}

/// Bytes that decode to a `T`, unless none was found.
pub fn sample<T: BorshDeserialize>(sampler: &mut Sampler) -> Option<Vec<u8>> {
    for _ in 0..TRIES_MAX {
        sampler.given.clear();
        if T::deserialize_reader(sampler).is_ok() {
            return Some(std::mem::take(&mut sampler.given));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_decodes_and_a_seed_repeats() {
        let make = |seed| sample::<(u8, Vec<u16>, Option<u64>, [u8; 32])>(&mut Sampler::new(seed));
        let bytes = make(1).expect("any variant but two will do");
        assert!(borsh::from_slice::<(u8, Vec<u16>, Option<u64>, [u8; 32])>(&bytes).is_ok());
        assert_eq!(make(1), Some(bytes.clone()));
        assert_ne!(make(2), Some(bytes));
    }
}
