//! The room of locators: under which names stores keep the segments of an epoch, so that the fragments can be
//! found, and destroyed, by somebody who can open none of them.
//!
//! Promises that a locator is random to everybody without the epoch's locator key, that the locator key tells
//! nothing of the epoch key it grows from, and that writer and grant chain are part of every locator: with
//! whatever key somebody brings, they can name only fragments that this writer wrote for this very chain.
//! Refuses to know who may ask for what.

use crate::namespaces::{LOCATOR, LOCATORS};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::{Secret, kdf};
use salus_wire::{Locator, PartyId, SegmentIndex};

/// What grows out of an epoch key to find its fragments. It opens nothing.
#[derive(Debug)]
pub struct LocatorKey(Secret<32>);

/// Names the segments of one epoch, of one writer and one grant chain, and tells neither.
#[derive(Debug)]
pub struct Locators(Secret<32>);

impl LocatorKey {
    /// Takes a key that somebody was told. Any 32 bytes are one; those of no epoch find nothing.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The key, to be told to the stores that are to destroy what it finds.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        Secret::from_bytes(*self.0.danger_expose())
    }

    /// The names of what `writer` wrote for the chain of `grants`.
    #[must_use]
    pub fn of(&self, writer: PartyId, grants: &ChainAnchor) -> Locators {
        let bound = kdf::prf(LOCATORS, &self.0, &[writer.as_bytes(), grants.as_bytes()]);
        Locators(Secret::from_bytes(*bound.as_bytes()))
    }
}

impl Locators {
    /// Takes what a store wrote down.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// To be written down, sealed.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        Secret::from_bytes(*self.0.danger_expose())
    }

    /// Where stores keep the segment at `index`.
    #[must_use]
    pub fn at(&self, index: SegmentIndex) -> Locator {
        Locator::new(*kdf::prf(LOCATOR, &self.0, &[&index.get().to_le_bytes()]).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::chain::ChainSeed;

    #[test]
    fn a_key_that_somebody_knows_names_nothing_of_another_chain_or_writer() {
        let key = LocatorKey::new(Secret::from_bytes([1; 32]));
        let anchor = |n| ChainSeed::new(Secret::from_bytes([n; 32])).anchor();
        let at = |writer, chain, index| {
            key.of(PartyId::new([writer; 16]), &anchor(chain)).at(SegmentIndex::new(index))
        };
        let mine = at(1, 1, 0);
        assert_eq!(mine, at(1, 1, 0));
        let kept = key.of(PartyId::new([1; 16]), &anchor(1)).to_secret();
        assert_eq!(mine, Locators::new(kept).at(SegmentIndex::new(0)));
        for other in [at(2, 1, 0), at(1, 2, 0), at(1, 1, 1)] {
            assert_ne!(mine, other);
        }
    }
}
