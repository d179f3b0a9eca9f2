//! A state trie over a sorted list of entries. Its nodes are made by the verifier's own arithmetic,
//! which folds siblings over a leaf: a subtree is a trie of its own whose paths have lost their first
//! bits.

use salus_crypto::Digest;
use salus_proof::trie::{root, value_hash};
use salus_wire::{List, ProvenItem, StateKey, StateValue, Terminal, encode};
use std::collections::BTreeMap;

/// Paths and value hashes, ascending.
pub(crate) struct Trie(Vec<(Digest, Digest)>);

impl Trie {
    pub(crate) fn of(entries: &BTreeMap<StateKey, StateValue>) -> Self {
        let leaf = |(key, value): (&StateKey, &StateValue)| (key.path(), value_hash(&encode(value)));
        let mut leaves: Vec<_> = entries.iter().map(leaf).collect();
        leaves.sort_unstable();
        Self(leaves)
    }

    pub(crate) fn root(&self) -> Digest {
        node(&self.0, 0)
    }

    pub(crate) fn prove(&self, key: StateKey, value: Option<StateValue>) -> ProvenItem {
        let (terminal, siblings) = descend(&self.0, 0, &key.path());
        ProvenItem { key, value, terminal, siblings: List::new(siblings).expect("at most 256") }
    }
}

/// The node over `leaves`, all of which agree on their first `depth` bits.
fn node(leaves: &[(Digest, Digest)], depth: usize) -> Digest {
    let Some((path, _)) = leaves.first() else { return Digest::ZERO };
    let (terminal, siblings) = descend(leaves, depth, path);
    root(&without(path, depth), &terminal, &siblings).expect("at most 256")
}

/// Where the path ends among `leaves`, and the siblings passed.
fn descend(leaves: &[(Digest, Digest)], depth: usize, path: &Digest) -> (Terminal, Vec<Digest>) {
    let mut below = leaves;
    let mut siblings = Vec::new();
    while below.len() > 1 {
        let here = depth + siblings.len();
        let (left, right) = below.split_at(below.partition_point(|(leaf, _)| !bit(leaf, here)));
        let (on, off) = if bit(path, here) { (right, left) } else { (left, right) };
        siblings.push(node(off, here + 1));
        below = on;
    }
    let terminal =
        below.first().map_or(Terminal::Empty, |(path, value)| Terminal::Leaf { path: *path, value: *value });
    (terminal, siblings)
}

fn bit(path: &Digest, depth: usize) -> bool {
    path.as_bytes()[depth / 8] & (0x80 >> (depth % 8)) != 0
}

/// The path from bit `depth` on.
fn without(path: &Digest, depth: usize) -> Digest {
    let mut bytes = [0_u8; 32];
    for (to, from) in (depth..256).enumerate() {
        if bit(path, from) {
            bytes[to / 8] |= 0x80 >> (to % 8);
        }
    }
    Digest::from_bytes(bytes)
}
