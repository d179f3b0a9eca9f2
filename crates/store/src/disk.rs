//! The thin driver: carries out plans on an object store, and reads back.
//!
//! Every object is written to a temporary name, synced, given its name, and the folder synced,
//! before the write counts. A write error other than a lack of room poisons the disk: after a
//! failed sync the kernel may have dropped what it could not write, and a second sync would lie.

use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use salus_planted::{Bug, is};
use salus_wire::limits::FRAGMENT_BYTES_MAX;
use std::error::Error as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Bytes of one object: a fragment with its manifest and place, sealed or not.
pub const OBJECT_BYTES_MAX: usize = FRAGMENT_BYTES_MAX + 64 * 1024;
/// Objects in one listing; a folder with more is not listed at all.
pub const LIST_MAX: usize = 4_194_304;
/// Bytes that stay free on a disk, so that a full store does not stop the ledger beside it.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// What the object store's temporary names contain, and no name of ours does.
const TEMPORARY: u8 = b'#';
/// Folders within folders that a disk has.
const SWEEP_DEPTH: u8 = 3;
/// Objects of one plan written at once; each waits for its own sync.
const WRITES_AT_ONCE: usize = 8;

/// An object store with a memory of failure.
#[derive(Debug)]
pub struct Disk {
    objects: Arc<dyn ObjectStore>,
    room: Room,
    poisoned: watch::Sender<bool>,
}

/// How much may still be written.
#[derive(Debug)]
enum Room {
    /// What the file system of this folder says, less [`RESERVE_BYTES`].
    Folder(PathBuf),
    /// As much as the object store takes.
    AsGiven,
}

impl Disk {
    /// A local folder, created when it does not exist, with every write synced. What a crash left
    /// half written, under the object store's temporary names, is removed: no promise rests on it.
    ///
    /// # Errors
    /// [`StoreError::File`] or [`StoreError::Object`] when it cannot be created or used.
    pub fn folder(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        std::fs::create_dir_all(path).and_then(|()| sweep(path, SWEEP_DEPTH)).map_err(failed)?;
        let objects = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| StoreError::Object { object: path.display().to_string(), source })?
            .with_fsync(true);
        let room = Room::Folder(path.to_owned());
        Ok(Self { objects: Arc::new(objects), room, poisoned: watch::Sender::new(false) })
    }

    /// Any object store whose writes are durable once they return: a bucket, or memory in a
    /// simulation.
    #[must_use]
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, room: Room::AsGiven, poisoned: watch::Sender::new(false) }
    }

    /// Carries out a plan. When this returns an error, some of the objects may be there, and the
    /// promise may not be made.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Occupied`], or a failure of the disk.
    pub async fn persist<P>(&self, plan: Plan<P>) -> Result<Durable<P>, StoreError> {
        let Plan { writes, promise } = plan;
        self.make_room(&writes)?;
        if is(Bug::HeldBeforeWrite) {
            return Ok(Durable::witness(promise, 0));
        }
        let written = futures::stream::iter(writes).map(|write| self.write(write));
        let created = written
            .buffer_unordered(WRITES_AT_ONCE)
            .try_fold(0_u64, |sum, created| async move { Ok(sum.saturating_add(u64::from(created))) });
        Ok(Durable::witness(promise, created.await?))
    }

    /// Returns when a write has failed for good. The process must then end: it can promise nothing more
    /// about this disk, and only opening it again shows what is on it.
    pub async fn failed(&self) {
        // An error would mean that the sender, which `self` holds, is gone.
        let _ = self.poisoned.subscribe().wait_for(|poisoned| *poisoned).await;
    }

    /// The bytes of an object, `None` when there is none of that name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is larger than any object may be; a failure of the disk.
    pub async fn read(&self, object: &str) -> Result<Option<Bytes>, StoreError> {
        let failed = |source| StoreError::Object { object: object.to_owned(), source };
        let found = match self.objects.get(&ObjectPath::from(object)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let fits = usize::try_from(found.meta.size).is_ok_and(|size| size <= OBJECT_BYTES_MAX);
        if !fits {
            return Err(StoreError::Corrupt { object: object.to_owned() });
        }
        found.bytes().await.map(Some).map_err(failed)
    }

    /// The names of all objects in a folder, in no particular order.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] when they are more than [`LIST_MAX`]: a list that ends early reads like one that
    /// is whole. A failure of the disk.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.list_within(folder, LIST_MAX).await
    }

    async fn list_within(&self, folder: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Object { object: folder.to_owned(), source };
        let names = self.objects.list(Some(&ObjectPath::from(folder))).take(most.saturating_add(1));
        let names: Vec<String> =
            names.map_ok(|meta| meta.location.to_string()).try_collect().await.map_err(failed)?;
        if names.len() > most { Err(StoreError::TooMany { folder: folder.to_owned() }) } else { Ok(names) }
    }

    /// The names of the folders in a folder, in no particular order; looks at none of what is in them.
    ///
    /// # Errors
    /// As [`Disk::list`].
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Object { object: folder.to_owned(), source };
        let found =
            self.objects.list_with_delimiter(Some(&ObjectPath::from(folder))).await.map_err(failed)?;
        if found.common_prefixes.len() > LIST_MAX {
            return Err(StoreError::TooMany { folder: folder.to_owned() });
        }
        let names = found.common_prefixes.iter().filter_map(|path| path.filename());
        Ok(names.map(str::to_owned).collect())
    }

    /// Whether there is an object of this name.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn holds(&self, object: &str) -> Result<bool, StoreError> {
        match self.objects.head(&ObjectPath::from(object)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(StoreError::Object { object: object.to_owned(), source }),
        }
    }

    /// Removes an object, and says whether it was there. The removal is durable only after
    /// [`Disk::settle`].
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn remove(&self, object: &str) -> Result<bool, StoreError> {
        match self.objects.delete(&ObjectPath::from(object)).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(StoreError::Object { object: object.to_owned(), source }),
        }
    }

    /// Makes removals from a folder durable, and removes the folder itself when nothing is left in it: its
    /// name says that something was there. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn settle(&self, folder: &str) -> Result<(), StoreError> {
        let Room::Folder(root) = &self.room else { return Ok(()) };
        let path = root.join(folder);
        let failed = |source| StoreError::File { path: path.clone(), source };
        match std::fs::remove_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return self.sync(folder),
            Err(error) => return Err(failed(error)),
        }
        let parent = path.parent().unwrap_or(root);
        match std::fs::File::open(parent).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Makes removals from a folder durable that others write to at the same time. Blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn sync(&self, folder: &str) -> Result<(), StoreError> {
        let Room::Folder(root) = &self.room else { return Ok(()) };
        let path = root.join(folder);
        match std::fs::File::open(&path).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StoreError::File { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// How many objects are in a folder.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn count(&self, folder: &str) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Object { object: folder.to_owned(), source };
        let objects = self.objects.list(Some(&ObjectPath::from(folder)));
        let counted = objects.try_fold(0_u64, |sum, _| async move { Ok(sum.saturating_add(1)) });
        counted.await.map_err(failed)
    }

    fn make_room(&self, writes: &[Write]) -> Result<(), StoreError> {
        if *self.poisoned.borrow() {
            return Err(StoreError::Poisoned);
        }
        let Room::Folder(path) = &self.room else { return Ok(()) };
        let lengths = writes.iter().map(|write| u64::try_from(write.bytes.len()).unwrap_or(u64::MAX));
        let wanted = lengths.fold(0_u64, u64::saturating_add);
        fits_beside_reserve(wanted, free_bytes(path)?)
    }

    /// Writes one object; says whether its name was free.
    async fn write(&self, write: Write) -> Result<bool, StoreError> {
        match self.put(&write, PutMode::Create).await {
            Ok(()) => return Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(source) => return Err(self.say(&write, source)),
        }
        if write.taken == Taken::SameBytes && self.read(&write.object).await?.as_ref() != Some(&write.bytes) {
            return Err(StoreError::Occupied);
        }
        // Written once more although it is there: it may have been written and never synced.
        self.put(&write, PutMode::Overwrite).await.map_err(|source| self.say(&write, source))?;
        Ok(false)
    }

    async fn put(&self, write: &Write, mode: PutMode) -> Result<(), object_store::Error> {
        let path = ObjectPath::from(write.object.as_str());
        let payload = PutPayload::from_bytes(write.bytes.clone());
        self.objects.put_opts(&path, payload, PutOptions { mode, ..PutOptions::default() }).await.map(drop)
    }

    fn say(&self, write: &Write, source: object_store::Error) -> StoreError {
        if lacks_room(&source) {
            let wanted = u64::try_from(write.bytes.len()).unwrap_or(u64::MAX);
            return StoreError::Full { wanted, reserve: 0 };
        }
        self.poisoned.send_replace(true);
        StoreError::Object { object: write.object.clone(), source }
    }
}

/// Bytes that may still be written on the file system of `path`.
///
/// # Errors
/// [`StoreError::File`] when the system does not say.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| StoreError::File { path: path.to_owned(), source: errno.into() })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn sweep(folder: &Path, depth: u8) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            depth.checked_sub(1).map_or(Ok(()), |depth| sweep(&entry.path(), depth))?;
        } else if entry.file_name().as_encoded_bytes().contains(&TEMPORARY) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn fits_beside_reserve(wanted: u64, free: u64) -> Result<(), StoreError> {
    match wanted.checked_add(RESERVE_BYTES) {
        Some(needed) if needed <= free => Ok(()),
        _ => Err(StoreError::Full { wanted, reserve: RESERVE_BYTES }),
    }
}

/// Whether the cause of a failure is that the disk, or its owner's quota, is full.
fn lacks_room(error: &object_store::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
pub(crate) mod tests;
