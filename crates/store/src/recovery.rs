//! What a custodian keeps for the day a patient's wallet is gone: its share of what gives it back, and which new
//! chain has come in the place of which. Sealed at rest under its machine key and named by keyed hashes: a stolen
//! disk does not tell whose it is.

use crate::disk::Disk;
use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_wire::limits::{GUARDIANS_MAX, MEMBERS_MAX, RECOVERY_CASES_MAX, RECOVERY_PACKAGE_BYTES};
use salus_wire::recovery::RecoveryTerms;
use salus_wire::release::ShareBytes;
use salus_wire::rpc::Response;
use salus_wire::{GrantTag, decode, encode};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::sync::RwLock;

const CHAINS: &str = "recovery";
const NAMES: &str = "name";
const SUCCESSORS: &str = "successor";
/// Bytes of one object before sealing: the longest terms, and change.
const OBJECT_BYTES_MAX: usize = RECOVERY_CASES_MAX * (RECOVERY_PACKAGE_BYTES + 32 * GUARDIANS_MAX + 128)
    + 32 * GUARDIANS_MAX
    + 32 * MEMBERS_MAX
    + 1_024;
/// Keep the names of objects apart under one key.
const CHAIN_LABEL: &[u8] = b"recovery chain";
const NAME_LABEL: &[u8] = b"recovery name";
const SUCCESSOR_LABEL: &[u8] = b"recovery successor";

/// What is kept for one chain.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct KeptRecovery {
    /// The preparation's entry on the ledger.
    pub entry: GrantTag,
    /// What was prepared.
    pub terms: RecoveryTerms,
    /// This custodian's share.
    pub share: ShareBytes,
    /// The chain that has come in its place, once a recovery is done.
    pub successor: Option<ChainAnchor>,
}

/// The promise behind a `RecoveryKept`: the preparation is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryPromise;

/// The promise behind a share that is given: which chain came in whose place is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessorPromise;

impl Durable<RecoveryPromise> {
    /// The custodian's acknowledgement.
    #[must_use]
    pub fn kept(self) -> Response {
        let RecoveryPromise = self.into_promise();
        Response::RecoveryKept
    }
}

/// The recovery folder of one custodian.
#[derive(Debug)]
pub struct Recoveries {
    disk: Disk,
    key: MachineKey,
    /// The objects of chains, once they were listed: of a chain that is not among them nothing is read, so that a
    /// release costs those nothing who have prepared nothing.
    chains: RwLock<Option<BTreeSet<String>>>,
}

impl Recoveries {
    /// Opens a folder, sealed under `key`.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn open(folder: &Path, key: MachineKey) -> Result<Self, StoreError> {
        Ok(Self::over(Disk::folder(folder)?, key))
    }

    /// Opens what is on a disk.
    #[must_use]
    pub fn over(disk: Disk, key: MachineKey) -> Self {
        Self { disk, key, chains: RwLock::default() }
    }

    /// Keeps a preparation that the caller has checked, in place of what was kept for its chain. One caller at a time
    /// for a chain.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn keep(
        &self,
        kept: &KeptRecovery,
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<RecoveryPromise>, StoreError> {
        let terms = &kept.terms;
        let before = self.of_chain(&terms.chain).await?;
        let object = self.chain_object(&terms.chain);
        if let Some(known) = self.chains.write().await.as_mut() {
            // Before it is written: whoever looks then finds nothing, and whoever looks after it is, finds it.
            known.insert(object.clone());
        }
        let writes = vec![
            self.write(object, &encode(kept), rng),
            self.write(self.name_object(&terms.name), &encode(&terms.chain), rng),
        ];
        let durable = self.disk.persist(Plan { writes, promise: RecoveryPromise }).await?;
        if let Some(before) = before.filter(|before| before.terms.name != terms.name) {
            self.disk.remove(&self.name_object(&before.terms.name)).await?;
        }
        Ok(durable)
    }

    /// Destroys what is kept for a chain, durably; of what is not kept nothing is left to destroy.
    ///
    /// # Errors
    /// As [`Recoveries::of_chain`]; some of it may be there still.
    pub async fn destroy(&self, chain: &ChainAnchor) -> Result<(), StoreError> {
        let Some(kept) = self.of_chain(chain).await? else { return Ok(()) };
        self.disk.remove(&self.name_object(&kept.terms.name)).await?;
        if let Some(successor) = &kept.successor {
            self.disk.remove(&self.successor_object(successor, &kept.terms.data)).await?;
        }
        // What names the others goes last, so that this can be done again when it was cut short.
        [NAMES, SUCCESSORS].into_iter().try_for_each(|folder| self.disk.sync(folder))?;
        let object = self.chain_object(chain);
        self.disk.remove(&object).await?;
        self.disk.sync(CHAINS)?;
        if let Some(known) = self.chains.write().await.as_mut() {
            known.remove(&object);
        }
        Ok(())
    }

    /// Remembers which chain has come in the place of that of `kept`, which names it.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn succeed(
        &self,
        kept: &KeptRecovery,
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<SuccessorPromise>, StoreError> {
        let chain = kept.terms.chain;
        let mut writes = vec![self.write(self.chain_object(&chain), &encode(kept), rng)];
        if let Some(successor) = &kept.successor {
            writes.push(self.write(self.successor_object(successor, &kept.terms.data), &encode(&chain), rng));
        }
        self.disk.persist(Plan { writes, promise: SuccessorPromise }).await
    }

    /// What is kept for a chain.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when an object does not open; a failure of the disk.
    pub async fn of_chain(&self, chain: &ChainAnchor) -> Result<Option<KeptRecovery>, StoreError> {
        let object = self.chain_object(chain);
        if self.knows(&object).await? { self.read(&object).await } else { Ok(None) }
    }

    async fn knows(&self, object: &str) -> Result<bool, StoreError> {
        if let Some(known) = self.chains.read().await.as_ref() {
            return Ok(known.contains(object));
        }
        let mut chains = self.chains.write().await;
        let known = match chains.take() {
            Some(known) => known,
            None => self.disk.list(CHAINS).await?.into_iter().collect(),
        };
        Ok(chains.insert(known).contains(object))
    }

    /// What is kept under a name.
    ///
    /// # Errors
    /// As [`Recoveries::of_chain`].
    pub async fn of_name(&self, name: &Digest) -> Result<Option<KeptRecovery>, StoreError> {
        let Some(chain) = self.read::<ChainAnchor>(&self.name_object(name)).await? else { return Ok(None) };
        Ok(self.of_chain(&chain).await?.filter(|kept| kept.terms.name == *name))
    }

    /// What was kept for the chain in whose place `successor` has come for what lies under `data`. Only who holds
    /// what lies there names a successor for it, so nobody else's recoveries stand in the way.
    ///
    /// # Errors
    /// As [`Recoveries::of_chain`].
    pub async fn before(
        &self,
        successor: &ChainAnchor,
        data: &ChainAnchor,
    ) -> Result<Option<KeptRecovery>, StoreError> {
        let object = self.successor_object(successor, data);
        let Some(chain) = self.read::<ChainAnchor>(&object).await? else { return Ok(None) };
        let kept = self.of_chain(&chain).await?;
        Ok(kept.filter(|kept| kept.successor == Some(*successor) && kept.terms.data == *data))
    }

    /// Returns when the disk has failed; see [`Disk::failed`].
    pub async fn failed(&self) {
        self.disk.failed().await;
    }

    fn write(&self, object: String, plain: &[u8], rng: &mut impl CryptoRng) -> Write {
        let bytes = Bytes::from(self.key.seal(object.as_bytes(), plain, rng));
        Write { object, bytes, taken: Taken::Replace }
    }

    async fn read<T: BorshDeserialize>(&self, object: &str) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.disk.read(object).await? else { return Ok(None) };
        let opened = self.key.open(object.as_bytes(), &sealed).ok();
        let value = opened.and_then(|plain| decode(&plain, OBJECT_BYTES_MAX).ok());
        value.map(Some).ok_or_else(|| StoreError::Corrupt { object: object.to_owned() })
    }

    fn chain_object(&self, chain: &ChainAnchor) -> String {
        format!("{CHAINS}/{}", self.key.label(&[CHAIN_LABEL, chain.as_bytes()]))
    }

    fn name_object(&self, name: &Digest) -> String {
        format!("{NAMES}/{}", self.key.label(&[NAME_LABEL, name.as_bytes()]))
    }

    fn successor_object(&self, successor: &ChainAnchor, data: &ChainAnchor) -> String {
        format!("{SUCCESSORS}/{}", self.key.label(&[SUCCESSOR_LABEL, successor.as_bytes(), data.as_bytes()]))
    }
}

#[cfg(test)]
mod tests;
