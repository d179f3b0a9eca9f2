//! The record of what this member has erased: a folder for each chain, beside the machine key and not among the
//! data. Written once, read at each start; it grows with what is destroyed and with nothing else, and one chain's
//! part is never in the way of another's.
//!
//! A chain's folder holds where its erasure stands, and a file for each time that fragments were destroyed, with
//! the keys that name them. All of it is sealed, and folders are named by keyed hashes. A crash leaves a file as
//! it was before or as it is after.

use super::ErasureError;
use borsh::{BorshDeserialize, BorshSerialize};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::digest::Digest;
use salus_store::durable::Taken;
use salus_store::shares::ErasedLabel;
use salus_store::{Disk, Plan, Shares, Write};
use salus_wire::limits::ERASED_EPOCHS_MAX;
use salus_wire::release::ShareBytes;
use salus_wire::{List, decode, encode};
use std::collections::BTreeMap;
use std::sync::Arc;

const FOLDER: &str = "chain";
/// Bytes of one file before sealing: 36 for each epoch, and change.
const FILE_BYTES_MAX: usize = ERASED_EPOCHS_MAX * 36 + 64;
/// Seal what the record holds, and nothing else of this machine.
const STANDING: &[u8] = b"salus/erased-standing/v1";
const RUN: &[u8] = b"salus/erased-fragments/v1";

/// Where the erasure of a chain stands. A chain that has one is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Standing {
    /// Every share is to be destroyed.
    pub(super) destroyed: bool,
    /// How many times fragments were destroyed.
    pub(super) runs: u32,
}

/// What names the fragments of an epoch, and how many places to look at.
pub(super) type Names = List<(ShareBytes, u32), ERASED_EPOCHS_MAX>;

/// See the head of this module.
pub(super) struct Record {
    disk: Disk,
    shares: Arc<Shares>,
    standings: BTreeMap<ErasedLabel, Standing>,
}

impl Record {
    /// Reads what is on a disk; `shares` seal it.
    pub(super) async fn open(disk: Disk, shares: Arc<Shares>) -> Result<Self, ErasureError> {
        let mut record = Self { disk, shares, standings: BTreeMap::new() };
        for name in record.disk.folders(FOLDER).await? {
            let label = Digest::from_hex(&name).map_err(|_| ErasureError::Foreign)?;
            let object = standing_of(&label);
            match record.read(STANDING, &label, &object).await? {
                Some(standing) => drop(record.standings.insert(label, standing)),
                // A crash came before the first file did.
                None if record.disk.list(&format!("{FOLDER}/{name}")).await?.is_empty() => {}
                None => return Err(ErasureError::Foreign),
            }
        }
        Ok(record)
    }

    /// Where each erasure stands.
    pub(super) fn standings(&self) -> impl Iterator<Item = (ErasedLabel, Standing)> + '_ {
        self.standings.iter().map(|(label, standing)| (*label, *standing))
    }

    /// Where the erasure of one chain stands; `None` when there is none.
    pub(super) fn standing(&self, label: &ErasedLabel) -> Option<Standing> {
        self.standings.get(label).copied()
    }

    /// Remembers, durably, where an erasure stands.
    pub(super) async fn stands(
        &mut self,
        label: ErasedLabel,
        standing: Standing,
    ) -> Result<(), ErasureError> {
        if self.standing(&label) != Some(standing) {
            self.write(STANDING, &label, standing_of(&label), &standing).await?;
            self.standings.insert(label, standing);
        }
        Ok(())
    }

    /// Remembers, durably, what is about to be destroyed. It counts once [`Record::stands`] says so.
    pub(super) async fn keep_run(
        &self,
        label: &ErasedLabel,
        run: u32,
        names: &Names,
    ) -> Result<(), ErasureError> {
        self.write(RUN, label, run_of(label, run), names).await
    }

    /// What was destroyed at one time; `None` when this record began later.
    pub(super) async fn run(&self, label: &ErasedLabel, run: u32) -> Result<Option<Names>, ErasureError> {
        self.read(RUN, label, &run_of(label, run)).await
    }

    async fn write(
        &self,
        what: &[u8],
        label: &ErasedLabel,
        object: String,
        value: &impl BorshSerialize,
    ) -> Result<(), ErasureError> {
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| ErasureError::Entropy)?;
        let plain = encode(value);
        debug_assert!(plain.len() <= FILE_BYTES_MAX, "the limits of a request say so");
        let bytes = self.shares.seal(&context(what, label, &object), &plain, &mut rng).into();
        let writes = vec![Write { object, bytes, taken: Taken::Replace }];
        let _durable = self.disk.persist(Plan { writes, promise: () }).await?;
        Ok(())
    }

    async fn read<T: BorshDeserialize>(
        &self,
        what: &[u8],
        label: &ErasedLabel,
        object: &str,
    ) -> Result<Option<T>, ErasureError> {
        let Some(sealed) = self.disk.read(object).await? else { return Ok(None) };
        let plain = self.shares.open_sealed(&context(what, label, object), &sealed);
        let value = plain.and_then(|plain| decode(&plain, FILE_BYTES_MAX).ok());
        value.map(Some).ok_or(ErasureError::Foreign)
    }
}

/// Binds a file to its kind and its place.
fn context(what: &[u8], label: &ErasedLabel, object: &str) -> Vec<u8> {
    [what, label.as_bytes(), object.as_bytes()].concat()
}

fn standing_of(label: &ErasedLabel) -> String {
    format!("{FOLDER}/{label}/standing")
}

fn run_of(label: &ErasedLabel, run: u32) -> String {
    format!("{FOLDER}/{label}/run{run:08x}")
}
