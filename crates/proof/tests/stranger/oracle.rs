//! The state trie and the certificate as `spec/state.md` and `spec/certificate.md` describe them,
//! written for plainness: no code of the product is used to build what the product must check.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub(crate) type Node = [u8; 32];

/// Paths and value hashes, ascending.
pub(crate) type Leaves = BTreeMap<Node, Node>;

/// Where the path of a key ends, and the siblings met on the way down.
pub(crate) struct Proof {
    pub(crate) terminal: Option<(Node, Node)>,
    pub(crate) siblings: Vec<Node>,
}

fn sha256(left: &[u8], right: &[u8]) -> Node {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

pub(crate) fn bit(path: &Node, depth: usize) -> bool {
    path[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// The node over `leaves`, all of which agree on their first `depth` bits.
pub(crate) fn node(leaves: &Leaves, depth: usize) -> Node {
    let mut entries = leaves.iter();
    match (entries.next(), entries.next()) {
        (None, _) => [0; 32],
        (Some((path, value)), None) => {
            let mut leaf = sha256(path, value);
            leaf[0] |= 0x80;
            leaf
        }
        _ => {
            let (left, right) = split(leaves, depth);
            let mut inner = sha256(&node(&left, depth + 1), &node(&right, depth + 1));
            inner[0] &= 0x7f;
            inner
        }
    }
}

fn split(leaves: &Leaves, depth: usize) -> (Leaves, Leaves) {
    leaves.iter().partition(|(path, _)| !bit(path, depth))
}

pub(crate) fn prove(leaves: &Leaves, path: &Node) -> Proof {
    let mut siblings = Vec::new();
    let mut below = leaves.clone();
    while below.len() > 1 {
        let depth = siblings.len();
        let (left, right) = split(&below, depth);
        let (on, off) = if bit(path, depth) { (right, left) } else { (left, right) };
        siblings.push(node(&off, depth + 1));
        below = on;
    }
    Proof { terminal: below.into_iter().next(), siblings }
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value % 0x80) as u8 + 0x80);
        value /= 0x80;
    }
    bytes.push(value as u8);
    bytes
}

/// What a vote is about; the fields that a certificate begins with.
#[derive(Clone, Copy)]
pub(crate) struct Proposal {
    pub(crate) epoch: u64,
    pub(crate) view: u64,
    pub(crate) parent_view: u64,
    pub(crate) payload: Node,
}

impl Proposal {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [varint(self.epoch), varint(self.view), varint(self.parent_view), self.payload.to_vec()].concat()
    }

    /// What a member signs for a vote of this `kind`.
    pub(crate) fn message(&self, chain: &Node, kind: &str) -> Vec<u8> {
        let namespace = [b"salus/finality/v1".as_slice(), chain, kind.as_bytes()].concat();
        [varint(namespace.len() as u64), namespace, self.bytes()].concat()
    }
}

/// A certificate with these signatures by signer's rank, for a consortium of `members`.
pub(crate) fn certificate(proposal: &Proposal, members: u64, votes: &BTreeMap<usize, [u8; 64]>) -> Vec<u8> {
    let mut bitmap = vec![0_u8; (members as usize).div_ceil(8)];
    for rank in votes.keys() {
        bitmap[rank / 8] |= 1 << (rank % 8);
    }
    let signatures: Vec<u8> = votes.values().flatten().copied().collect();
    [proposal.bytes(), members.to_be_bytes().to_vec(), bitmap, varint(votes.len() as u64), signatures]
        .concat()
}
