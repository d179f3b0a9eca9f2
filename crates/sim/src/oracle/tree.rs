//! The root of the state, by spec/state.md section 2 alone: a binary Merkle trie over 32-byte paths.
//!
//! Promises that the root depends on the entries and not on the order in which they came. Refuses to
//! know what an entry means, and to forget one: the ledger never removes any.

use commonware_cryptography::{Hasher as _, Sha256};
use salus_crypto::digest::Digest;
use salus_wire::encode;
use salus_wire::state::{StateKey, StateValue};

/// The entries so far, each node with its hash: an entry more costs as many hashes as it is deep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(Node);

#[derive(Clone, Debug, Default)]
enum Node {
    #[default]
    Empty,
    Leaf {
        path: Digest,
        value: Digest,
    },
    Inner(Box<Inner>),
}

#[derive(Clone, Debug)]
struct Inner {
    left: Node,
    right: Node,
    hash: Digest,
}

impl Tree {
    /// Puts the entry, in the place of an earlier one under the same key.
    pub(crate) fn put(&mut self, key: &StateKey, value: &StateValue) {
        let value = plain(&[&encode(value)]);
        let node = std::mem::take(&mut self.0);
        self.0 = node.put(0, key.path(), value);
    }

    /// The root of all entries.
    pub(crate) fn root(&self) -> Digest {
        self.0.hash()
    }
}

impl Node {
    fn hash(&self) -> Digest {
        match self {
            Self::Empty => Digest::ZERO,
            Self::Leaf { path, value } => marked(plain(&[path.as_bytes(), value.as_bytes()]), true),
            Self::Inner(inner) => inner.hash,
        }
    }

    /// This subtree, which hangs at `depth`, with one entry more.
    fn put(self, depth: usize, path: Digest, value: Digest) -> Self {
        match self {
            Self::Empty => Self::Leaf { path, value },
            Self::Leaf { path: old, .. } if old == path => Self::Leaf { path, value },
            leaf @ Self::Leaf { path: old, .. } => {
                let alone = match turns_right(&old, depth) {
                    true => Inner { left: Self::Empty, right: leaf, hash: Digest::ZERO },
                    false => Inner { left: leaf, right: Self::Empty, hash: Digest::ZERO },
                };
                Self::Inner(Box::new(alone)).put(depth, path, value)
            }
            Self::Inner(mut inner) => {
                let side = if turns_right(&path, depth) { &mut inner.right } else { &mut inner.left };
                *side = std::mem::take(side).put(depth.saturating_add(1), path, value);
                inner.hash =
                    marked(plain(&[inner.left.hash().as_bytes(), inner.right.hash().as_bytes()]), false);
                Self::Inner(inner)
            }
        }
    }
}

/// Bit 0 of a path is the most significant of its first byte; a set bit turns right.
fn turns_right(path: &Digest, depth: usize) -> bool {
    path.as_bytes().get(depth / 8).is_some_and(|byte| byte & (0x80 >> (depth % 8)) != 0)
}

/// The first bit set for a leaf, cleared for an inner node.
fn marked(hash: Digest, leaf: bool) -> Digest {
    let mut bytes = *hash.as_bytes();
    if let Some(first) = bytes.first_mut() {
        *first = if leaf { *first | 0x80 } else { *first & 0x7f };
    }
    Digest::from_bytes(bytes)
}

fn plain(parts: &[&[u8]]) -> Digest {
    Digest::from_bytes(Sha256::hash(parts).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::state::Tip;
    use salus_wire::{BatchNumber, Height, PartyId, TimeMs};

    fn entry(n: u64) -> (StateKey, StateValue) {
        let tip = Tip { height: Height::new(n), time: TimeMs::new(n) };
        (StateKey::Anchor(PartyId::new([1; 16]), BatchNumber::new(n)), StateValue::Tip(tip))
    }

    /// The definition of spec/state.md section 2, word for word, at the cost of all entries.
    fn defined(entries: &[(Digest, Digest)], depth: usize) -> Digest {
        match entries {
            [] => Digest::ZERO,
            [(path, value)] => marked(plain(&[path.as_bytes(), value.as_bytes()]), true),
            _ => {
                let (right, left): (Vec<_>, Vec<_>) =
                    entries.iter().copied().partition(|(path, _)| turns_right(path, depth));
                let children = [defined(&left, depth + 1), defined(&right, depth + 1)];
                marked(plain(&[children[0].as_bytes(), children[1].as_bytes()]), false)
            }
        }
    }

    #[test]
    fn the_root_is_the_defined_one_in_any_order() {
        let mut entries: Vec<(StateKey, StateValue)> = (0..200).map(entry).collect();
        let pairs: Vec<(Digest, Digest)> =
            entries.iter().map(|(key, value)| (key.path(), plain(&[&encode(value)]))).collect();
        let (mut forth, mut back) = (Tree::default(), Tree::default());
        assert_eq!(forth.root(), Digest::ZERO);
        for (count, (key, value)) in entries.iter().enumerate() {
            forth.put(key, &entry(1_000).1);
            forth.put(key, value);
            assert_eq!(forth.root(), defined(&pairs[..=count], 0));
        }
        entries.reverse();
        entries.iter().for_each(|(key, value)| back.put(key, value));
        assert_eq!(back.root(), forth.root());
    }
}
