//! The state's binary Merkle trie: from where a path ends, up to the root.
//!
//! A node is 32 bytes. Empty is all zeros. A leaf is SHA-256(path ‖ SHA-256(value)) with the most
//! significant bit of the first byte set; an inner node is SHA-256(left ‖ right) with that bit
//! cleared (nomt 1.0; `spec/state.md`). A leaf stands at the first depth at which no other entry
//! shares its path's bits, so a path that ends at another leaf, or at nothing, proves absence.
//!
//! Promises a root for what it is given. Refuses to know which root is the right one.

use nomt_core::hasher::{NodeHasher, Sha2Hasher, ValueHasher};
use nomt_core::trie::{InternalData, LeafData, TERMINATOR};
use salus_crypto::Digest;
use salus_wire::Terminal;

/// SHA-256 of an entry's encoded value, as a leaf commits to it.
#[must_use]
pub fn value_hash(encoded: &[u8]) -> Digest {
    Digest::from_bytes(Sha2Hasher::hash_value(encoded))
}

/// The root over `terminal` at the end of `path`, below `siblings`. The first sibling is a child of
/// the root, the last stands beside the terminal; there is one for each bit of `path` used, most
/// significant first. `None` when there are more siblings than the path has bits.
#[must_use]
pub fn root(path: &Digest, terminal: &Terminal, siblings: &[Digest]) -> Option<Digest> {
    let bits = siblings.len();
    let turns: Vec<bool> = (0..bits).map(|depth| bit(path, depth)).collect::<Option<_>>()?;
    let node = turns.iter().zip(siblings).rev().fold(terminal_node(terminal), |node, (right, sibling)| {
        let sibling = *sibling.as_bytes();
        let (left, right) = if *right { (sibling, node) } else { (node, sibling) };
        Sha2Hasher::hash_internal(&InternalData { left, right })
    });
    Some(Digest::from_bytes(node))
}

/// Whether the first `bits` bits of two paths are the same.
#[must_use]
pub fn share_bits(a: &Digest, b: &Digest, bits: usize) -> bool {
    (0..bits).all(|depth| bit(a, depth).is_some_and(|turn| Some(turn) == bit(b, depth)))
}

fn terminal_node(terminal: &Terminal) -> [u8; 32] {
    match terminal {
        Terminal::Empty => TERMINATOR,
        Terminal::Leaf { path, value } => {
            Sha2Hasher::hash_leaf(&LeafData { key_path: *path.as_bytes(), value_hash: *value.as_bytes() })
        }
    }
}

/// The bit of `path` at `depth`, most significant first; a set bit turns right.
fn bit(path: &Digest, depth: usize) -> Option<bool> {
    let byte = path.as_bytes().get(depth / 8)?;
    Some(byte & (0x80 >> (depth % 8)) != 0)
}
