//! A member's disks, which outlive its crashes: what was durable stays, what was not is torn.

use crate::false_tree::Lies;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use rand::RngExt;
use rand::rngs::StdRng;
use salus_engine::{MemoryTree, StateError, StateTree};
use salus_node::office::Timers;
use salus_store::journal::Medium;
use salus_wire::{ProvenItem, StateKey, StateValue};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is wrong with a disk for now.
#[derive(Debug, Default)]
pub struct Ills {
    /// Writes are refused for lack of room.
    pub full: AtomicBool,
    /// The next write or sync fails, and so does everything after it, until the member restarts.
    pub failing: AtomicBool,
    /// How often either kept something from being written in this life.
    pub hits: AtomicU64,
}

impl Ills {
    /// Whether the disk kept something from being written in this life, though it may be well again.
    pub fn has_refused(&self) -> bool {
        self.hits.load(Ordering::Relaxed) > 0
    }

    fn check(&self) -> io::Result<()> {
        let kind = if self.failing.load(Ordering::Relaxed) {
            io::ErrorKind::Other
        } else if self.full.load(Ordering::Relaxed) {
            io::ErrorKind::StorageFull
        } else {
            return Ok(());
        };
        self.hits.fetch_add(1, Ordering::Relaxed);
        Err(kind.into())
    }
}

/// All of one member's disks.
#[derive(Debug, Default)]
pub struct Disks {
    /// Fragments.
    pub fragments: Arc<InMemory>,
    /// Key shares.
    pub shares: Arc<InMemory>,
    /// The journal of refusals.
    pub refusals: Arc<Mutex<Log>>,
    /// The state tree as last written.
    pub tree: Arc<Mutex<MemoryTree>>,
    /// What is wrong.
    pub ills: Arc<Ills>,
}

impl Disks {
    /// What the next life finds.
    pub fn crash(&self, rng: &mut StdRng) {
        lock(&self.refusals).crash(rng);
        self.ills.failing.store(false, Ordering::Relaxed);
        self.ills.hits.store(0, Ordering::Relaxed);
    }

    /// Flips a bit in one fragment at rest, if there is any.
    pub async fn rot(&self, rng: &mut StdRng) -> bool {
        let names: Vec<Path> = names(&self.fragments).await;
        if names.is_empty() {
            return false;
        }
        let Some(name) = names.get(rng.random_range(0..names.len())) else { return false };
        let Ok(found) = self.fragments.get(name).await else { return false };
        let Ok(bytes) = found.bytes().await else { return false };
        let mut bytes = bytes.to_vec();
        let at = rng.random_range(0..bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8);
        }
        self.fragments.put(name, PutPayload::from(bytes)).await.is_ok()
    }
}

async fn names(objects: &InMemory) -> Vec<Path> {
    use futures::TryStreamExt;
    let listed: Result<Vec<Path>, _> =
        objects.list(None).map_ok(|meta: ObjectMeta| meta.location).try_collect().await;
    listed.unwrap_or_default()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is appended to.
#[derive(Debug, Default)]
pub struct Log {
    durable: Vec<u8>,
    pending: Vec<u8>,
}

impl Log {
    /// Some first part of what was not synced may be there all the same.
    fn crash(&mut self, rng: &mut StdRng) {
        let kept = rng.random_range(0..=self.pending.len());
        let torn: Vec<u8> = self.pending.drain(..).take(kept).collect();
        self.durable.extend(torn);
    }
}

/// One life's hold on a [`Log`].
#[derive(Debug)]
pub struct LogFile {
    /// The log.
    pub log: Arc<Mutex<Log>>,
    /// What is wrong with its disk.
    pub ills: Arc<Ills>,
}

impl Medium for LogFile {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let log = lock(&self.log);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(log.durable.iter().chain(&log.pending).take(limit).copied().collect())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut log = lock(&self.log);
        let pending = std::mem::take(&mut log.pending);
        log.durable.extend(pending);
        log.durable.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    /// What the system took and never wrote may be there after a crash, or a part of it; of a write
    /// that found no room, a part was taken too.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let full = self.ills.full.load(Ordering::Relaxed);
        let taken = if full { bytes.len() / 2 } else { bytes.len() };
        lock(&self.log).pending.extend(bytes.iter().take(taken));
        if full { self.ills.check() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.ills.check()?;
        let mut log = lock(&self.log);
        let pending = std::mem::take(&mut log.pending);
        log.durable.extend(pending);
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ills.check()?;
        *lock(&self.log) = Log { durable: bytes.to_vec(), pending: Vec::new() };
        Ok(())
    }
}

/// The state tree of one life: what it writes is there in the next.
pub struct Tree {
    tree: MemoryTree,
    kept: Arc<Mutex<MemoryTree>>,
    ills: Arc<Ills>,
    lies: Option<Arc<Lies>>,
}

impl Tree {
    /// As it was last written; what it says is true but for `lies`.
    #[must_use]
    pub fn open(disks: &Disks, lies: Option<Arc<Lies>>) -> Self {
        let kept = Arc::clone(&disks.tree);
        let tree = lock(&kept).clone();
        Self { tree, kept, ills: Arc::clone(&disks.ills), lies }
    }
}

type Branch = <MemoryTree as StateTree>::Branch;

impl StateTree for Tree {
    type Branch = Branch;

    fn root(&self) -> salus_crypto::digest::Digest {
        self.tree.root()
    }

    fn read(&self, lineage: &[&Branch], keys: &[StateKey]) -> Result<Vec<Option<StateValue>>, StateError> {
        let mut found = self.tree.read(lineage, keys)?;
        if let Some(lies) = &self.lies {
            let (root, _) = self.tree.extend(lineage, &[])?;
            lies.hide(root, keys, &mut found);
        }
        Ok(found)
    }

    fn extend(
        &self,
        lineage: &[&Branch],
        changes: &[(StateKey, StateValue)],
    ) -> Result<(salus_crypto::digest::Digest, Branch), StateError> {
        let (root, branch) = self.tree.extend(lineage, changes)?;
        Ok((self.lies.as_ref().map_or(root, |lies| lies.root(root)), branch))
    }

    fn write(
        &mut self,
        changes: &[(StateKey, StateValue)],
        root: &salus_crypto::digest::Digest,
    ) -> Result<(), StateError> {
        self.ills.check().map_err(|error| StateError::Failed(Box::new(error)))?;
        self.tree.write(changes, root)?;
        *lock(&self.kept) = self.tree.clone();
        Ok(())
    }

    fn prove(&self, lineage: &[&Branch], keys: &[StateKey]) -> Result<Vec<ProvenItem>, StateError> {
        self.tree.prove(lineage, keys)
    }
}

/// A folder of objects that takes its time and can be ill. A write is whole or not there.
pub struct Objects {
    /// What is kept.
    pub kept: Arc<InMemory>,
    /// What is wrong.
    pub ills: Arc<Ills>,
    /// One life's timers.
    pub sleep: Timers,
    /// The longest that a write takes.
    pub slowest: Duration,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated objects")
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated objects")
    }
}

impl Objects {
    fn check(&self) -> object_store::Result<()> {
        self.ills
            .check()
            .map_err(|error| object_store::Error::Generic { store: "simulated", source: Box::new(error) })
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        (self.sleep)(self.slowest / 2).await;
        self.check()?;
        let put = self.kept.put_opts(location, payload, opts).await;
        (self.sleep)(self.slowest / 2).await;
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.kept.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        (self.sleep)(self.slowest).await;
        self.kept.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.kept.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.kept.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.kept.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.kept.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn what_a_full_disk_refused_is_a_reason_to_end_until_the_next_life() {
        let disks = Disks::default();
        assert!(disks.ills.check().is_ok() && !disks.ills.has_refused());
        disks.ills.full.store(true, Ordering::Relaxed);
        assert!(disks.ills.check().is_err());
        disks.ills.full.store(false, Ordering::Relaxed);
        assert!(disks.ills.check().is_ok() && disks.ills.has_refused());
        disks.crash(&mut StdRng::seed_from_u64(1));
        assert!(!disks.ills.has_refused());
    }
}
