//! The same state in memory, for tests, for the simulator, and for the root of a genesis.
//!
//! Promises the roots and proofs of the tree on disk. A node is never changed: a write copies the
//! path to it, so a branch shares all the rest with what it stands on. Nothing survives a restart.

use super::{StateError, StateTree, VALUE_BYTES_MAX};
use nomt_core::hasher::{NodeHasher, Sha2Hasher, ValueHasher};
use nomt_core::trie::{InternalData, LeafData, TERMINATOR};
use salus_crypto::digest::Digest;
use salus_wire::{List, ProvenItem, StateKey, StateValue, Terminal, decode, encode};
use std::sync::Arc;

type Path = [u8; 32];

/// The state tree in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    top: Arc<Node>,
}

/// A branch of a [`MemoryTree`]: a whole tree that shares almost everything.
#[derive(Clone, Debug)]
pub struct MemoryBranch {
    top: Arc<Node>,
}

#[derive(Debug, Default)]
enum Node {
    #[default]
    Empty,
    Leaf {
        path: Path,
        value: Arc<[u8]>,
        value_hash: [u8; 32],
        hash: [u8; 32],
    },
    Inner {
        left: Arc<Node>,
        right: Arc<Node>,
        hash: [u8; 32],
    },
}

impl MemoryTree {
    fn at<'a>(&'a self, lineage: &[&'a MemoryBranch]) -> &'a Arc<Node> {
        lineage.first().map_or(&self.top, |newest| &newest.top)
    }
}

impl StateTree for MemoryTree {
    type Branch = MemoryBranch;

    fn root(&self) -> Digest {
        Digest::from_bytes(self.top.hash())
    }

    fn read(
        &self,
        lineage: &[&MemoryBranch],
        keys: &[StateKey],
    ) -> Result<Vec<Option<StateValue>>, StateError> {
        let top = self.at(lineage);
        keys.iter().map(|key| top.value(key.path().as_bytes())).collect()
    }

    fn extend(
        &self,
        lineage: &[&MemoryBranch],
        changes: &[(StateKey, StateValue)],
    ) -> Result<(Digest, MemoryBranch), StateError> {
        let start = self.at(lineage);
        let top = changes.iter().fold(Arc::clone(start), |node, (key, value)| {
            let bytes: Arc<[u8]> = encode(value).into();
            Node::insert(&node, 0, Node::leaf(*key.path().as_bytes(), bytes))
        });
        Ok((Digest::from_bytes(top.hash()), MemoryBranch { top }))
    }

    fn write(&mut self, changes: &[(StateKey, StateValue)], root: &Digest) -> Result<(), StateError> {
        let (found, branch) = self.extend(&[], changes)?;
        if found != *root {
            return Err(StateError::OtherRoot);
        }
        self.top = branch.top;
        Ok(())
    }

    fn prove(&self, lineage: &[&MemoryBranch], keys: &[StateKey]) -> Result<Vec<ProvenItem>, StateError> {
        let top = self.at(lineage);
        keys.iter().map(|key| top.prove(*key)).collect()
    }
}

impl Node {
    fn leaf(path: Path, value: Arc<[u8]>) -> Self {
        let value_hash = Sha2Hasher::hash_value(&value);
        let hash = Sha2Hasher::hash_leaf(&LeafData { key_path: path, value_hash });
        Self::Leaf { path, value, value_hash, hash }
    }

    fn inner(left: Arc<Self>, right: Arc<Self>) -> Arc<Self> {
        let hash = Sha2Hasher::hash_internal(&InternalData { left: left.hash(), right: right.hash() });
        Arc::new(Self::Inner { left, right, hash })
    }

    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Empty => TERMINATOR,
            Self::Leaf { hash, .. } | Self::Inner { hash, .. } => *hash,
        }
    }

    /// `node`, found at `depth`, with `leaf` below it. Two distinct paths differ within 256 bits,
    /// which bounds the recursion.
    fn insert(node: &Arc<Self>, depth: usize, leaf: Self) -> Arc<Self> {
        let Self::Leaf { path, .. } = &leaf else { return Arc::clone(node) };
        let right_of_here = bit(path, depth);
        match &**node {
            Self::Empty => Arc::new(leaf),
            Self::Leaf { path: other, .. } if other == path => Arc::new(leaf),
            Self::Leaf { path: other, .. } => {
                let empty = Arc::new(Self::Empty);
                let fork = if bit(other, depth) {
                    Self::inner(empty, Arc::clone(node))
                } else {
                    Self::inner(Arc::clone(node), empty)
                };
                Self::insert(&fork, depth, leaf)
            }
            Self::Inner { left, right, .. } if right_of_here => {
                Self::inner(Arc::clone(left), Self::insert(right, depth.saturating_add(1), leaf))
            }
            Self::Inner { left, right, .. } => {
                Self::inner(Self::insert(left, depth.saturating_add(1), leaf), Arc::clone(right))
            }
        }
    }

    /// The node at which the search for `path` ends, and the siblings passed, shallowest first.
    fn descend(&self, path: &Path) -> (&Self, Vec<Digest>) {
        let mut node = self;
        let mut siblings = Vec::new();
        while let Self::Inner { left, right, .. } = node {
            let (next, sibling) = if bit(path, siblings.len()) { (right, left) } else { (left, right) };
            siblings.push(Digest::from_bytes(sibling.hash()));
            node = next;
        }
        (node, siblings)
    }

    fn value(&self, wanted: &Path) -> Result<Option<StateValue>, StateError> {
        match self.descend(wanted).0 {
            Self::Leaf { path, value, .. } if path == wanted => Ok(Some(decode(value, VALUE_BYTES_MAX)?)),
            _ => Ok(None),
        }
    }

    fn prove(&self, key: StateKey) -> Result<ProvenItem, StateError> {
        let path = key.path();
        let (end, siblings) = self.descend(path.as_bytes());
        let terminal = match end {
            Self::Leaf { path, value_hash, .. } => {
                Terminal::Leaf { path: Digest::from_bytes(*path), value: Digest::from_bytes(*value_hash) }
            }
            Self::Empty | Self::Inner { .. } => Terminal::Empty,
        };
        let value = self.value(path.as_bytes())?;
        Ok(ProvenItem { key, value, terminal, siblings: List::new(siblings)? })
    }
}

/// Bit `depth` of a path, the most significant bit of the first byte being bit 0. Past the end it
/// is 0, where no search comes because distinct paths have parted before.
fn bit(path: &Path, depth: usize) -> bool {
    let shift = 7 - depth % 8;
    path.get(depth / 8).is_some_and(|byte| byte >> shift & 1 == 1)
}
