//! A store's fragments: one object for each segment, named by its locator, which looks random to
//! everybody who does not hold the epoch key. What is kept is ciphertext and is kept as it is.
//!
//! The caller has checked the gateway's signature and every fragment against its manifest. This
//! room serves what the disk has: the reader checks it again, and names the store if it is bad.

use crate::disk::{Disk, OBJECT_BYTES_MAX};
use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use bytes::Bytes;
use salus_crypto::digest::Digest;
use salus_crypto::merkle;
use salus_crypto::sign::SigningKey;
use salus_wire::rpc::{BatchPlace, Fetched, PutSegment};
use salus_wire::tx::Held;
use salus_wire::{BatchNumber, ChainId, FragmentIndex, List, Locator, MemberIndex, PartyId, decode, encode};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FOLDER: &str = "seg";
/// For each erased chain, how much of what is to be destroyed is: a disk that is set back is set back in this.
const ERASED: &str = "erased";

/// The promise behind a [`Held`]: this store's fragments of the whole batch are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPromise {
    /// The gateway.
    pub gateway: PartyId,
    /// Its batch.
    pub batch: BatchNumber,
    /// Merkle root over the digests of the manifests.
    pub root: Digest,
    /// Who promises.
    pub store: MemberIndex,
}

/// The root that a batch of these manifests has.
#[must_use]
pub fn batch_root(segments: &[PutSegment]) -> Digest {
    merkle::root(&digests(segments))
}

/// Plans what to write for a batch, where, and what may be promised then. Pure.
///
/// # Errors
/// [`StoreError::BadBatch`] when the batch is empty or one locator stands in it twice.
pub fn plan(
    gateway: PartyId,
    batch: BatchNumber,
    store: MemberIndex,
    segments: Vec<PutSegment>,
) -> Result<Plan<BatchPromise>, StoreError> {
    let locators: BTreeSet<Locator> = segments.iter().map(|segment| segment.manifest.locator).collect();
    if segments.is_empty() || locators.len() != segments.len() {
        return Err(StoreError::BadBatch);
    }
    let digests = digests(&segments);
    let root = merkle::root(&digests);
    let count = u32::try_from(segments.len()).map_err(|_| StoreError::BadBatch)?;
    let paths = merkle::paths(&digests);
    let mut writes = Vec::with_capacity(segments.len());
    for ((segment, path), index) in segments.into_iter().zip(paths).zip(0_u32..) {
        let path = List::new(path).map_err(|_| StoreError::BadBatch)?;
        writes.push(write(store, segment, BatchPlace { gateway, batch, index, count, path }));
    }
    Ok(Plan { writes, promise: BatchPromise { gateway, batch, root, store } })
}

fn digests(segments: &[PutSegment]) -> Vec<Digest> {
    segments.iter().map(|segment| segment.manifest.digest()).collect()
}

fn write(store: MemberIndex, segment: PutSegment, place: BatchPlace) -> Write {
    let PutSegment { manifest, fragment } = segment;
    let object = object(&manifest.locator);
    let kept = Fetched { manifest, index: FragmentIndex::new(store.get()), fragment, place };
    Write { object, bytes: Bytes::from(encode(&kept)), taken: Taken::SameBytes }
}

fn object(locator: &Locator) -> String {
    format!("{FOLDER}/{locator}")
}

impl Durable<BatchPromise> {
    /// The store's signed promise. The only road to one in this project starts at
    /// [`Disk::persist`].
    #[must_use]
    pub fn held(self, chain: ChainId, service: &SigningKey) -> Held {
        let BatchPromise { gateway, batch, root, store } = self.into_promise();
        Held::sign(chain, gateway, batch, root, store, service)
    }
}

/// The fragments of one store.
#[derive(Debug)]
pub struct Fragments {
    disk: Disk,
    count: AtomicU64,
}

impl Fragments {
    /// Opens the store in a folder.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::over(Disk::folder(folder)?).await
    }

    /// Opens the store on a disk.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn over(disk: Disk) -> Result<Self, StoreError> {
        let count = AtomicU64::new(disk.count(FOLDER).await?);
        Ok(Self { disk, count })
    }

    /// Keeps a planned batch. Keeping the same batch again changes nothing and succeeds.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn keep(&self, plan: Plan<BatchPromise>) -> Result<Durable<BatchPromise>, StoreError> {
        let durable = self.disk.persist(plan).await?;
        self.count.fetch_add(durable.created(), Ordering::Relaxed);
        Ok(durable)
    }

    /// What is kept at a locator, unchecked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is there was never written by this store; a failure of
    /// the disk.
    pub async fn fetch(&self, locator: &Locator) -> Result<Option<Fetched>, StoreError> {
        let object = object(locator);
        let Some(bytes) = self.disk.read(&object).await? else { return Ok(None) };
        let kept: Fetched = decode(&bytes, OBJECT_BYTES_MAX).map_err(|_| StoreError::Corrupt { object })?;
        Ok(Some(kept))
    }

    /// Whether something is kept at a locator.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn holds(&self, locator: &Locator) -> Result<bool, StoreError> {
        self.disk.holds(&object(locator)).await
    }

    /// Destroys what is kept at a locator, if anything is. It is ciphertext: deleting it is enough, since the
    /// shares of its key are destroyed too.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn destroy(&self, locator: &Locator) -> Result<(), StoreError> {
        if self.disk.remove(&object(locator)).await? {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Remembers, on the same disk, that the first `runs` of what is to be destroyed of a chain are.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn mark_erased(&self, label: &Digest, runs: u32) -> Result<(), StoreError> {
        let bytes = Bytes::from(runs.to_le_bytes().to_vec());
        let writes = vec![Write { object: format!("{ERASED}/{label}"), bytes, taken: Taken::Replace }];
        let _durable = self.disk.persist(Plan { writes, promise: () }).await?;
        Ok(())
    }

    /// What [`Fragments::mark_erased`] remembered last of a chain, 0 when nothing is.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; a failure of the disk.
    pub async fn marked_erased(&self, label: &Digest) -> Result<u32, StoreError> {
        let object = format!("{ERASED}/{label}");
        let Some(bytes) = self.disk.read(&object).await? else { return Ok(0) };
        let bytes = <[u8; 4]>::try_from(&*bytes).map_err(|_| StoreError::Corrupt { object })?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Makes what [`Fragments::destroy`] did durable.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.disk.settle(FOLDER)
    }

    /// Returns when the disk has failed; see [`Disk::failed`].
    pub async fn failed(&self) {
        self.disk.failed().await;
    }

    /// How many segments are kept.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
