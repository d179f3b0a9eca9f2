//! The state on disk: nomt, tuned for a node of a few dozen megabytes.
//!
//! Promises durability at [`StateTree::write`] and recovery after a kill at any moment, which are
//! nomt's own (a write-ahead log, then one meta page). Refuses to know anything that
//! [`super::StateTree`] does not say. nomt blocks, so its caller keeps it on a thread of its own.

use super::{StateError, StateTree, VALUE_BYTES_MAX};
use nomt::hasher::Sha2Hasher;
use nomt::proof::{PathProof, PathProofTerminal};
use nomt::{IoUringPermission, KeyReadWrite, Nomt, Options, Overlay, Session, SessionParams};
use salus_crypto::digest::Digest;
use salus_wire::{List, ProvenItem, StateKey, StateValue, Terminal, decode, encode};
use std::path::{Path, PathBuf};

/// Pages of 4 KiB in the hash table of a new database. The file is sparse; one page holds six
/// levels of the trie, so this is room for several million entries before it is grown.
const PAGES: u32 = 1 << 18;
/// Mebibytes of trie pages kept in memory beside the upper levels.
const PAGE_CACHE_MIB: usize = 8;
/// Mebibytes of value pages kept in memory.
const LEAF_CACHE_MIB: usize = 8;
/// Levels of trie pages that never leave memory: one, at most 256 KiB.
const PINNED_LEVELS: usize = 1;
/// Threads that talk to io_uring; the engine reads and writes from one thread.
const IO_WORKERS: usize = 1;

/// Entries written before the database is closed and opened again. Its page pool hands out pages
/// that were never used before those that were given back, so that it would grow to its first
/// region of 256 MiB whatever the caches hold; only closing it gives the memory back. An entry takes more
/// pages the more entries there are, until about 100,000: 2,048 take 15 MiB of an empty database and 35 of
/// one of 400,000 entries, 8,192 took 33 and 105. Opening takes 5 to 7 ms of each 2,048 entries' 450.
pub(super) const ENTRIES_PER_OPENING: usize = 2_048;

/// The state tree on disk.
pub struct DiskTree {
    path: PathBuf,
    /// Absent only while it is opened again, and after that failed.
    nomt: Option<Nomt<Sha2Hasher>>,
    root: Digest,
    pub(super) entries_written: usize,
}

impl DiskTree {
    /// Opens the database in `path`, or makes an empty one there. One process at a time.
    ///
    /// # Errors
    /// [`StateError::NoIoUring`], or [`StateError::Open`] when the folder cannot be used.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_with(path, PAGES)
    }

    pub(super) fn open_with(path: &Path, pages: u32) -> Result<Self, StateError> {
        if !matches!(nomt::check_iou_permissions(), IoUringPermission::Allowed) {
            return Err(StateError::NoIoUring);
        }
        let nomt = database(path, pages)?;
        let root = Digest::from_bytes(nomt.root().into_inner());
        Ok(Self { path: path.to_owned(), nomt: Some(nomt), root, entries_written: 0 })
    }

    fn nomt(&self) -> Result<&Nomt<Sha2Hasher>, StateError> {
        self.nomt.as_ref().ok_or(StateError::Closed)
    }

    fn session(&self, lineage: &[&Overlay]) -> Result<Session<Sha2Hasher>, StateError> {
        let params =
            SessionParams::default().overlay(lineage.iter().copied()).map_err(|_| StateError::Uprooted)?;
        Ok(self.nomt()?.begin_session(params))
    }

    /// Gives back the memory of pages that are no longer in use.
    fn reopen(&mut self) -> Result<(), StateError> {
        self.entries_written = 0;
        drop(self.nomt.take());
        self.nomt = Some(database(&self.path, PAGES)?);
        Ok(())
    }
}

impl StateTree for DiskTree {
    type Branch = Overlay;

    fn root(&self) -> Digest {
        self.root
    }

    fn read(&self, lineage: &[&Overlay], keys: &[StateKey]) -> Result<Vec<Option<StateValue>>, StateError> {
        let session = self.session(lineage)?;
        keys.iter().map(|key| read_one(&session, key)).collect()
    }

    fn extend(
        &self,
        lineage: &[&Overlay],
        changes: &[(StateKey, StateValue)],
    ) -> Result<(Digest, Overlay), StateError> {
        let mut writes: Vec<_> = changes
            .iter()
            .map(|(key, value)| (*key.path().as_bytes(), KeyReadWrite::Write(Some(encode(value)))))
            .collect();
        writes.sort_unstable_by_key(|(path, _)| *path);
        let finished = self.session(lineage)?.finish(writes).map_err(failed)?;
        let root = Digest::from_bytes(finished.root().into_inner());
        Ok((root, finished.into_overlay()))
    }

    fn write(&mut self, changes: &[(StateKey, StateValue)], root: &Digest) -> Result<(), StateError> {
        let (found, branch) = self.extend(&[], changes)?;
        if found != *root {
            return Err(StateError::OtherRoot);
        }
        branch.commit(self.nomt()?).map_err(failed)?;
        self.root = found;
        self.entries_written = self.entries_written.saturating_add(changes.len());
        if self.entries_written >= ENTRIES_PER_OPENING { self.reopen() } else { Ok(()) }
    }

    fn prove(&self, lineage: &[&Overlay], keys: &[StateKey]) -> Result<Vec<ProvenItem>, StateError> {
        let session = self.session(lineage)?;
        keys.iter()
            .map(|key| {
                let proof = session.prove(*key.path().as_bytes()).map_err(failed)?;
                item(*key, read_one(&session, key)?, proof)
            })
            .collect()
    }
}

/// Opens the database, and first makes its hash table twice as large when half of it is taken.
fn database(path: &Path, pages: u32) -> Result<Nomt<Sha2Hasher>, StateError> {
    let open = |pages| Nomt::open(options(path, pages)).map_err(|error| cannot_open(path, error));
    let nomt = open(pages)?;
    let table = nomt.hash_table_utilization();
    if table.occupied <= table.capacity / 2 {
        return Ok(nomt);
    }
    drop(nomt);
    let larger = u32::try_from(table.capacity.saturating_mul(2)).unwrap_or(u32::MAX);
    nomt::grow_hashtable(&options(path, larger)).map_err(|error| cannot_open(path, error))?;
    open(larger)
}

/// `pages` counts only when the database is made or grown.
fn options(path: &Path, pages: u32) -> Options {
    let mut options = Options::new();
    options.path(path);
    options.hashtable_buckets(pages);
    options.preallocate_ht(false);
    options.page_cache_size(PAGE_CACHE_MIB);
    options.leaf_cache_size(LEAF_CACHE_MIB);
    options.page_cache_upper_levels(PINNED_LEVELS);
    options.io_workers(IO_WORKERS);
    options.commit_concurrency(1);
    options
}

fn cannot_open(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StateError {
    StateError::Open { path: path.to_owned(), source: error.into() }
}

fn read_one(session: &Session<Sha2Hasher>, key: &StateKey) -> Result<Option<StateValue>, StateError> {
    let bytes = session.read(*key.path().as_bytes()).map_err(failed)?;
    Ok(bytes.map(|bytes| decode(&bytes, VALUE_BYTES_MAX)).transpose()?)
}

fn item(key: StateKey, value: Option<StateValue>, proof: PathProof) -> Result<ProvenItem, StateError> {
    let terminal = match proof.terminal {
        PathProofTerminal::Terminator(_) => Terminal::Empty,
        PathProofTerminal::Leaf(leaf) => Terminal::Leaf {
            path: Digest::from_bytes(leaf.key_path),
            value: Digest::from_bytes(leaf.value_hash),
        },
    };
    let siblings = proof.siblings.into_iter().map(Digest::from_bytes).collect();
    Ok(ProvenItem { key, value, terminal, siblings: List::new(siblings)? })
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StateError {
    StateError::Failed(error.into())
}
