//! The state tree of a member that puts false blocks together: now and then it does not find what is
//! there, or names another root than there is. Each lie is told once, so that the same question is
//! answered truly when the block of somebody else is applied, and the liar stays among the living.

use crate::disk::lock;
use crate::world::World;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use salus_crypto::digest::{Digest, Namespace, sha256};
use salus_wire::{StateKey, StateValue, encode};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const QUESTION: Namespace = Namespace::new("salus/simulated-question/v1");

/// What a liar's tree has lied about.
pub struct Lies {
    world: Arc<World>,
    asked: Mutex<(StdRng, BTreeSet<Digest>)>,
}

impl Lies {
    /// Nothing yet.
    #[must_use]
    pub fn new(world: Arc<World>, dice: StdRng) -> Self {
        Self { world, asked: Mutex::new((dice, BTreeSet::new())) }
    }

    /// The root that is named for `truth`.
    pub fn root(&self, truth: Digest) -> Digest {
        if !self.tells(truth, 4) {
            return truth;
        }
        let mut bytes = *truth.as_bytes();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        Digest::from_bytes(bytes)
    }

    /// Takes out of `found`, which is what is under `keys` in the state of this root, either everything or
    /// one entry. Without the signer of a transaction that is refused anyway, the state stays the same and
    /// only the reason becomes another. The order of `keys` is another in each process.
    pub fn hide(&self, root: Digest, keys: &[StateKey], found: &mut [Option<StateValue>]) {
        let mut sorted: Vec<(&StateKey, &mut Option<StateValue>)> = keys.iter().zip(found).collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let names: Vec<StateKey> = sorted.iter().map(|(key, _)| **key).collect();
        if names.is_empty() || !self.tells(sha256(QUESTION, &[&encode(&(root, names))]), 2) {
            return;
        }
        let dice = &mut lock(&self.asked).0;
        let everything = dice.random_range(0..5) == 0;
        let present = sorted.iter().enumerate().filter(|(_, (_, value))| value.is_some());
        let chosen = present.map(|(place, _)| place).choose(dice);
        for (place, (_, value)) in sorted.into_iter().enumerate() {
            if everything || chosen == Some(place) {
                *value = None;
            }
        }
    }

    /// Whether it lies about this, as it does about one thing in so many.
    fn tells(&self, about: Digest, one_in: u32) -> bool {
        let mut asked = lock(&self.asked);
        let lies = asked.1.insert(about) && asked.0.random_range(0..one_in) == 0;
        if lies {
            self.world.fault("false state");
        }
        lies
    }
}
