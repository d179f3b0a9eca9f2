//! Blocks: an ordered list of transactions under a header that commits to them, to what became of
//! each, and to the state that results. Finality certificates sign the digest of the *header*, so
//! a stranger needs no body to check one.

use crate::bounded::List;
use crate::code::Code;
use crate::codec::encode;
use crate::ids::{ChainId, Height, MemberIndex, TimeMs, View};
use crate::limits::BLOCK_TXS_MAX;
use crate::namespaces;
use crate::tx::Tx;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::merkle;

/// The head of a block; 194 bytes, all fields of fixed width.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The consortium.
    pub chain: ChainId,
    /// Its place; genesis is 0.
    pub height: Height,
    /// The engine's view in which it was proposed.
    pub view: View,
    /// The view of the parent.
    pub parent_view: View,
    /// The digest of the parent's header.
    pub parent: Digest,
    /// Who proposed it.
    pub proposer: MemberIndex,
    /// The proposer's clock: later than the parent's, and at most
    /// [`crate::limits::CLOCK_AHEAD_MS_MAX`] ahead of each voter's.
    pub time: TimeMs,
    /// Merkle root over [`Tx::digest`].
    pub transactions: Digest,
    /// Merkle root over [`Outcome::digest`], in the order of the transactions.
    pub receipts: Digest,
    /// Root of the state tree after this block.
    pub state: Digest,
}

/// A header and what it commits to.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// In the order in which they take effect.
    pub transactions: List<Tx, BLOCK_TXS_MAX>,
}

/// What became of a transaction in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It changed nothing, for this reason.
    Refused(Code),
}

impl Header {
    /// What the engine votes on and certifies.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(namespaces::HEADER, &[&encode(self)])
    }
}

impl Outcome {
    /// The leaf of this outcome in the tree of its block.
    #[must_use]
    pub fn digest(&self, tx: &Digest) -> Digest {
        sha256(namespaces::OUTCOME, &[&encode(&(tx, self))])
    }
}

/// Merkle root over the digests of the transactions.
#[must_use]
pub fn transactions_root(txs: &[Digest]) -> Digest {
    merkle::root(txs)
}

/// Merkle root over the outcomes; both lists in block order and of one length.
#[must_use]
pub fn receipts_root(txs: &[Digest], outcomes: &[Outcome]) -> Digest {
    let leaves: Vec<Digest> = txs.iter().zip(outcomes).map(|(tx, outcome)| outcome.digest(tx)).collect();
    merkle::root(&leaves)
}
