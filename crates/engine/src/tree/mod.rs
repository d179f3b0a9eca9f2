//! The room of the authenticated state: a binary Merkle trie (nomt's, SHA-256) behind one trait.
//!
//! Promises that the tree on disk and the tree in memory give one root and one proof for one
//! content, whatever the order in which it was written; a property test holds that. Promises that
//! a change is durable before [`StateTree::write`] returns. Refuses to know blocks, transactions and
//! why a value changes.
//!
//! A *branch* is the state after a block that is not written yet: it lives in memory, and stands on
//! the written state or on another branch.

mod disk;
mod memory;

pub use disk::DiskTree;
pub use memory::MemoryTree;

use salus_crypto::digest::Digest;
use salus_wire::{DecodeError, ProvenItem, StateKey, StateValue, bounded::TooLong};
use std::path::PathBuf;

/// Bytes of one encoded value; the largest entry is a grant's record with its sealed body.
pub(crate) const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Why the state cannot be read or written. Every cause is this process's own disk.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database could not be opened.
    #[error("cannot open the state database in {path}")]
    Open {
        /// Where it is.
        path: PathBuf,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel refuses io_uring, without which the database cannot read.
    #[error("this kernel or container refuses io_uring, which the state database needs")]
    NoIoUring,
    /// A read or write failed; nothing more may be acknowledged.
    #[error("the state database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A branch was asked for that does not stand on the written state.
    #[error("the state branch does not stand on the written state")]
    Uprooted,
    /// Writing would give another state than it should.
    #[error("the changes do not give the state that they should")]
    OtherRoot,
    /// The database is closed, because opening it again failed before.
    #[error("the state database is closed")]
    Closed,
    /// What is stored under a key is not a value.
    #[error("a stored state value is damaged")]
    Damaged(#[from] DecodeError),
    /// A proof path is longer than the trie is deep.
    #[error("a proof path is longer than the tree is deep")]
    Path(#[from] TooLong),
}

/// The authenticated key-value state.
pub trait StateTree: Send {
    /// The state after a block that is not written.
    type Branch: Send;

    /// The root of the written state.
    fn root(&self) -> Digest;

    /// Values in the order asked for, as of the last of `lineage`: branches, newest first, each
    /// standing on the next, the oldest on the written state. An empty lineage is the written state
    /// itself.
    ///
    /// # Errors
    /// [`StateError::Failed`], [`StateError::Damaged`], [`StateError::Uprooted`].
    fn read(
        &self,
        lineage: &[&Self::Branch],
        keys: &[StateKey],
    ) -> Result<Vec<Option<StateValue>>, StateError>;

    /// The branch that `changes` (one per key) make of the state at `lineage`, with its root.
    ///
    /// # Errors
    /// [`StateError::Failed`], [`StateError::Uprooted`].
    fn extend(
        &self,
        lineage: &[&Self::Branch],
        changes: &[(StateKey, StateValue)],
    ) -> Result<(Digest, Self::Branch), StateError>;

    /// Makes `changes` part of the written state, durably and all at once, if that gives `root`.
    /// Every branch made before is void then.
    ///
    /// # Errors
    /// [`StateError::OtherRoot`], with nothing written; [`StateError::Failed`] or
    /// [`StateError::Open`], after which the tree must not be used.
    fn write(&mut self, changes: &[(StateKey, StateValue)], root: &Digest) -> Result<(), StateError>;

    /// Presence or absence of each key in the state at `lineage`, in the order asked for.
    ///
    /// # Errors
    /// [`StateError::Failed`], [`StateError::Damaged`], [`StateError::Uprooted`].
    fn prove(&self, lineage: &[&Self::Branch], keys: &[StateKey]) -> Result<Vec<ProvenItem>, StateError>;
}

#[cfg(test)]
mod tests;
