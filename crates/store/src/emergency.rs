//! What a custodian keeps for emergencies: shares of the looks that patients prepared, and which of them
//! were used, by whom. Sealed at rest under its machine key and named by keyed hashes, like its epoch shares:
//! a stolen disk tells neither whose they are nor who looked.

use crate::disk::Disk;
use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use borsh::BorshDeserialize;
use bytes::Bytes;
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::digest::Digest;
use salus_wire::emergency::{EmergencyUse, LookShare};
use salus_wire::limits::{EMERGENCY_KIT_BYTES, MEMBERS_MAX};
use salus_wire::rpc::Response;
use salus_wire::{AccessTag, GrantTag, PartyId, decode, encode};
use std::collections::BTreeSet;
use std::path::Path;

const LOOKS: &str = "look";
const USES: &str = "use";
/// A folder for each grant, with the name of each of its looks and nothing else in it: what is destroyed is
/// found without reading a look, whatever became of it.
const BY_GRANT: &str = "grant";
/// Bytes of one object before sealing: a kit, a hash for each member, and change.
const OBJECT_BYTES_MAX: usize = EMERGENCY_KIT_BYTES + 32 * MEMBERS_MAX + 1_024;
/// Keep the names of folders and files apart under one key.
const CARD_LABEL: &[u8] = b"emergency card";
const LOOK_LABEL: &[u8] = b"emergency look";
const GRANT_LABEL: &[u8] = b"emergency grant";
const PERSON_LABEL: &[u8] = b"emergency person";
const USE_LABEL: &[u8] = b"emergency use";

/// The promise behind a `Prepared`: all looks of the deposit are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparePromise;

impl Durable<PreparePromise> {
    /// The custodian's acknowledgement.
    #[must_use]
    pub fn prepared(self) -> Response {
        let PreparePromise = self.into_promise();
        Response::Prepared
    }
}

/// The promise behind a look that is given: who was given it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsePromise;

/// The emergency folder of one custodian.
#[derive(Debug)]
pub struct Emergencies {
    disk: Disk,
    key: MachineKey,
}

impl Emergencies {
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
        Self { disk, key }
    }

    /// Keeps looks that the caller has checked, in place of earlier ones for the same places.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn keep(
        &self,
        looks: &[LookShare],
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<PreparePromise>, StoreError> {
        let (mut names, mut writes) = (Vec::new(), Vec::new());
        for look in looks {
            let header = &look.header;
            let place = encode(&(header.grant, header.place));
            let label = self.key.label(&[LOOK_LABEL, header.card.as_bytes(), &place]);
            let card = self.card_label(&header.card);
            let object = format!("{}/{card}/{label}", self.grant_folder(&header.grant));
            names.push(Write { object, bytes: Bytes::new(), taken: Taken::SameBytes });
            writes.push(self.write(format!("{LOOKS}/{card}/{label}"), &encode(look), rng));
        }
        // The name first: a look that is not named would outlive its patient's order.
        let _named = self.disk.persist(Plan { writes: names, promise: () }).await?;
        self.disk.persist(Plan { writes, promise: PreparePromise }).await
    }

    /// Every look kept under a card.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when an object does not open; a failure of the disk.
    pub async fn looks(&self, card: &Digest) -> Result<Vec<LookShare>, StoreError> {
        self.all(&self.looks_folder(card)).await
    }

    /// Removes every look of these grants, durably, and reads none. Who used one before stays remembered.
    ///
    /// # Errors
    /// A failure of the disk; some may be gone.
    pub async fn destroy(&self, grants: &BTreeSet<GrantTag>) -> Result<(), StoreError> {
        for grant in grants {
            let folder = self.grant_folder(grant);
            for name in self.disk.list(&folder).await? {
                let Some(look) = name.strip_prefix(&folder) else { continue };
                let look = format!("{LOOKS}{look}");
                self.disk.remove(&look).await?;
                look.rsplit_once('/').map_or(Ok(()), |(card, _)| self.disk.settle(card))?;
                self.disk.remove(&name).await?;
                name.rsplit_once('/').map_or(Ok(()), |(card, _)| self.disk.settle(card))?;
            }
            self.disk.settle(&folder)?;
        }
        Ok(())
    }

    /// Remembers looks that are about to be given, before they are.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn remember(
        &self,
        uses: &[EmergencyUse],
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<UsePromise>, StoreError> {
        let writes = uses
            .iter()
            .map(|used| self.write(self.use_object(&used.requester, used.access), &encode(used), rng))
            .collect();
        self.disk.persist(Plan { writes, promise: UsePromise }).await
    }

    /// Every look that was given to one person.
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn uses_of(&self, requester: &PartyId) -> Result<Vec<EmergencyUse>, StoreError> {
        self.all(&self.uses_folder(requester)).await
    }

    /// Every look that was given to anybody.
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn uses(&self) -> Result<Vec<EmergencyUse>, StoreError> {
        self.all(USES).await
    }

    /// Returns when the disk has failed; see [`Disk::failed`].
    pub async fn failed(&self) {
        self.disk.failed().await;
    }

    fn write(&self, object: String, plain: &[u8], rng: &mut impl CryptoRng) -> Write {
        let bytes = Bytes::from(self.key.seal(object.as_bytes(), plain, rng));
        Write { object, bytes, taken: Taken::Replace }
    }

    async fn all<T: BorshDeserialize>(&self, folder: &str) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for object in self.disk.list(folder).await? {
            found.extend(self.read(&object).await?);
        }
        Ok(found)
    }

    /// An object, `None` when it is gone meanwhile.
    async fn read<T: BorshDeserialize>(&self, object: &str) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.disk.read(object).await? else { return Ok(None) };
        let opened = self.key.open(object.as_bytes(), &sealed).ok();
        let value = opened.and_then(|plain| decode(&plain, OBJECT_BYTES_MAX).ok());
        value.map(Some).ok_or_else(|| StoreError::Corrupt { object: object.to_owned() })
    }

    fn looks_folder(&self, card: &Digest) -> String {
        format!("{LOOKS}/{}", self.card_label(card))
    }

    fn card_label(&self, card: &Digest) -> Digest {
        self.key.label(&[CARD_LABEL, card.as_bytes()])
    }

    fn grant_folder(&self, grant: &GrantTag) -> String {
        format!("{BY_GRANT}/{}", self.key.label(&[GRANT_LABEL, &encode(grant)]))
    }

    fn uses_folder(&self, requester: &PartyId) -> String {
        format!("{USES}/{}", self.key.label(&[PERSON_LABEL, requester.as_bytes()]))
    }

    fn use_object(&self, requester: &PartyId, access: AccessTag) -> String {
        let label = self.key.label(&[USE_LABEL, requester.as_bytes(), &encode(&access)]);
        format!("{}/{label}", self.uses_folder(requester))
    }
}

#[cfg(test)]
#[path = "emergency/destroy_tests.rs"]
mod destroy_tests;
