//! A custodian's epoch shares, sealed at rest under its machine key. A folder for each grant chain
//! and a file for each epoch, both named by a keyed hash, so that a stolen disk tells neither whose
//! they are nor which belong together with another machine's.

use crate::disk::Disk;
use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use bytes::Bytes;
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_wire::limits::MEMBERS_MAX;
use salus_wire::release::{EpochHeader, EpochShare};
use salus_wire::rpc::Response;
use salus_wire::{EpochId, Height, TimeMs, decode, encode};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::RwLock;

const FOLDER: &str = "share";
/// Bytes of one encoded share: a hash for each member, and change.
const SHARE_BYTES_MAX: usize = 32 * MEMBERS_MAX + 1_024;
/// Keeps folder names and file names apart under one key.
const CHAIN_LABEL: &[u8] = b"chain";
const EPOCH_LABEL: &[u8] = b"epoch";
const ERASED_LABEL: &[u8] = b"erased";
/// How far this member looked at the ledger for its own receipts of destruction.
const MARK: &str = "mark/looked";

/// The promise behind a `Deposited`: all shares of the deposit are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositPromise {
    /// How many shares.
    pub shares: usize,
}

impl Durable<DepositPromise> {
    /// The custodian's acknowledgement.
    #[must_use]
    pub fn deposited(self) -> Response {
        let DepositPromise { shares: _ } = self.into_promise();
        Response::Deposited
    }
}

/// Shares chosen for one release.
pub struct Page {
    /// In ascending order of span and epoch.
    pub shares: Vec<EpochShare>,
    /// Matching epochs beyond these.
    pub remaining: u32,
}

/// A share that matches, or only where it is.
struct Found {
    place: (TimeMs, TimeMs, EpochId),
    object: String,
    share: Option<EpochShare>,
}

/// The shares of one custodian.
#[derive(Debug)]
pub struct Shares {
    disk: Disk,
    key: MachineKey,
    count: AtomicU64,
    /// Chains of which nothing is taken or given any more. Held for reading while shares are written, so that
    /// whoever closes a chain finds everything that was begun before.
    erased: RwLock<BTreeSet<ErasedLabel>>,
}

/// What names an erased chain to this machine and to nobody else: a keyed hash of the name of the folder in
/// which its shares lie, so that not even a stolen disk beside the ledger tells which folder it was.
pub type ErasedLabel = Digest;

impl Shares {
    /// Opens the shares in a folder, sealed under `key`.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn open(folder: &Path, key: MachineKey) -> Result<Self, StoreError> {
        Self::over(Disk::folder(folder)?, key).await
    }

    /// Opens the shares on a disk.
    ///
    /// # Errors
    /// A failure of the disk.
    pub async fn over(disk: Disk, key: MachineKey) -> Result<Self, StoreError> {
        let count = AtomicU64::new(disk.count(FOLDER).await?);
        Ok(Self { disk, key, count, erased: RwLock::default() })
    }

    /// Keeps shares whose headers and hashes the caller has checked. A share that is there already
    /// is written again; another share of an epoch that is there is refused. Shares of an erased chain are
    /// dropped: the writer need not know, and what stands beside them in a deposit is kept.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] as said; as [`Disk::persist`].
    pub async fn keep(
        &self,
        shares: Vec<EpochShare>,
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<DepositPromise>, StoreError> {
        let promise = DepositPromise { shares: shares.len() };
        let mut writes = Vec::with_capacity(shares.len());
        let erased = self.erased.read().await;
        for share in shares.iter().filter(|share| !erased.contains(&self.erased_label(&share.header.grants)))
        {
            writes.push(self.write(share, rng).await?);
        }
        let durable = self.disk.persist(Plan { writes, promise }).await?;
        self.count.fetch_add(durable.created(), Ordering::Relaxed);
        Ok(durable)
    }

    /// Returns when the disk has failed; see [`Disk::failed`].
    pub async fn failed(&self) {
        self.disk.failed().await;
    }

    /// The shares held for a grant chain whose headers `matches` accepts, without the first `skip`
    /// and at most `page_max`. Two passes, so that never more than a page is in memory; one when the
    /// chain has no more than that.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when an object does not open; a failure of the disk.
    pub async fn page(
        &self,
        grants: &ChainAnchor,
        matches: impl Fn(&EpochHeader) -> bool,
        skip: u32,
        page_max: usize,
    ) -> Result<Page, StoreError> {
        let mut found: Vec<Found> = Vec::new();
        let objects = self.disk.list(&self.folder(grants)).await?;
        let short = objects.len() <= page_max;
        for object in objects {
            let Some(share) = self.read(&object).await? else { continue };
            let header = &share.header;
            if matches(header) {
                let place = (header.span.from(), header.span.until(), header.epoch);
                found.push(Found { place, object, share: short.then_some(share) });
            }
        }
        found.sort_unstable_by(|a, b| (a.place, &a.object).cmp(&(b.place, &b.object)));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let remaining = found.len().saturating_sub(skip).saturating_sub(page_max);
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        let mut shares = Vec::new();
        for Found { object, share, .. } in found.into_iter().skip(skip).take(page_max) {
            match share {
                Some(share) => shares.push(share),
                None => shares.extend(self.read(&object).await?),
            }
        }
        Ok(Page { shares, remaining })
    }

    /// The name by which this machine knows that a chain is erased.
    #[must_use]
    pub fn erased_label(&self, grants: &ChainAnchor) -> ErasedLabel {
        self.label_of(&self.key.label(&[CHAIN_LABEL, grants.as_bytes()]).to_string())
    }

    /// Takes nothing for this chain from now on; returns when everything begun before is written.
    pub async fn close(&self, label: ErasedLabel) {
        self.erased.write().await.insert(label);
    }

    /// Works while the chain cannot be closed; `None` when it is closed. Whoever closes it waits for the work,
    /// and what was begun after that finds it closed.
    pub async fn while_open<T>(&self, grants: &ChainAnchor, work: impl FnOnce() -> T) -> Option<T> {
        let erased = self.erased.read().await;
        let open = !erased.contains(&self.erased_label(grants));
        open.then(work)
    }

    /// Whether a chain was closed.
    pub async fn is_closed(&self, grants: &ChainAnchor) -> bool {
        self.erased.read().await.contains(&self.erased_label(grants))
    }

    /// Destroys every share of a chain that is on the disk, durably; says how many there were. The chain must
    /// be closed. Looks at nothing but the chain's own folder.
    ///
    /// # Errors
    /// A failure of the disk; some may be gone.
    pub async fn destroy(&self, grants: &ChainAnchor) -> Result<usize, StoreError> {
        self.destroy_folder(&self.folder(grants)).await
    }

    /// The same for chains of which only the labels are known, which names every folder there is.
    ///
    /// # Errors
    /// As [`Shares::destroy`].
    pub async fn destroy_labelled(&self, labels: &BTreeSet<ErasedLabel>) -> Result<usize, StoreError> {
        if labels.is_empty() {
            return Ok(0);
        }
        let mut gone = 0_usize;
        for name in self.disk.folders(FOLDER).await? {
            if !labels.contains(&self.label_of(&name)) {
                continue;
            }
            gone = gone.saturating_add(self.destroy_folder(&format!("{FOLDER}/{name}")).await?);
        }
        Ok(gone)
    }

    async fn destroy_folder(&self, folder: &str) -> Result<usize, StoreError> {
        let mut gone = 0_usize;
        for object in self.disk.list(folder).await? {
            if self.disk.remove(&object).await? {
                gone = gone.saturating_add(1);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.disk.settle(folder)?;
        Ok(gone)
    }

    /// Remembers, on the same disk, that this member looked at the ledger up to a height: a disk that is set
    /// back to an earlier day is set back in this too.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn mark(&self, looked: Height) -> Result<(), StoreError> {
        let bytes = Bytes::from(looked.get().to_le_bytes().to_vec());
        let writes = vec![Write { object: MARK.to_owned(), bytes, taken: Taken::Replace }];
        let _durable = self.disk.persist(Plan { writes, promise: () }).await?;
        Ok(())
    }

    /// What [`Shares::mark`] remembered last, 0 when nothing is.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; a failure of the disk.
    pub async fn marked(&self) -> Result<Height, StoreError> {
        let Some(bytes) = self.disk.read(MARK).await? else { return Ok(Height::default()) };
        let bytes =
            <[u8; 8]>::try_from(&*bytes).map_err(|_| StoreError::Corrupt { object: MARK.to_owned() })?;
        Ok(Height::new(u64::from_le_bytes(bytes)))
    }

    /// Seals something that only this machine shall read, for keeping elsewhere.
    pub fn seal(&self, context: &[u8], plain: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        self.key.seal(context, plain, rng)
    }

    /// Opens what [`Shares::seal`] made with the same context.
    #[must_use]
    pub fn open_sealed(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.key.open(context, sealed).ok()
    }

    fn label_of(&self, folder: &str) -> ErasedLabel {
        self.key.label(&[ERASED_LABEL, folder.as_bytes()])
    }

    /// How many epochs' shares are held.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    async fn write(&self, share: &EpochShare, rng: &mut impl CryptoRng) -> Result<Write, StoreError> {
        let object = self.object(&share.header);
        let plain = encode(share);
        let taken = match self.read(&object).await? {
            None => Taken::SameBytes,
            Some(there) if encode(&there) == plain => Taken::Replace,
            Some(_) => return Err(StoreError::Occupied),
        };
        let bytes = Bytes::from(self.key.seal(object.as_bytes(), &plain, rng));
        Ok(Write { object, bytes, taken })
    }

    async fn read(&self, object: &str) -> Result<Option<EpochShare>, StoreError> {
        let Some(sealed) = self.disk.read(object).await? else { return Ok(None) };
        let corrupt = || StoreError::Corrupt { object: object.to_owned() };
        let plain = self.key.open(object.as_bytes(), &sealed).map_err(|_| corrupt())?;
        decode(&plain, SHARE_BYTES_MAX).map(Some).map_err(|_| corrupt())
    }

    fn folder(&self, grants: &ChainAnchor) -> String {
        format!("{FOLDER}/{}", self.key.label(&[CHAIN_LABEL, grants.as_bytes()]))
    }

    /// The writer is part of the name, so that nobody can occupy the epochs of another.
    fn object(&self, header: &EpochHeader) -> String {
        let epoch = encode(&(header.writer, header.epoch));
        let label = self.key.label(&[EPOCH_LABEL, header.grants.as_bytes(), &epoch]);
        format!("{}/{label}", self.folder(&header.grants))
    }
}

#[cfg(test)]
mod tests;
