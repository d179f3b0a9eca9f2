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
use salus_wire::limits::MEMBERS_MAX;
use salus_wire::release::{EpochHeader, EpochShare};
use salus_wire::rpc::Response;
use salus_wire::{EpochId, TimeMs, decode, encode};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FOLDER: &str = "share";
/// Bytes of one encoded share: a hash for each member, and change.
const SHARE_BYTES_MAX: usize = 32 * MEMBERS_MAX + 1_024;
/// Keeps folder names and file names apart under one key.
const CHAIN_LABEL: &[u8] = b"chain";
const EPOCH_LABEL: &[u8] = b"epoch";

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
}

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
        Ok(Self { disk, key, count })
    }

    /// Keeps shares whose headers and hashes the caller has checked. A share that is there already
    /// is written again; another share of an epoch that is there is refused.
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
        for share in &shares {
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
