//! What a custodian keeps for emergencies: shares of the looks that patients prepared, and which of them
//! were used, by whom. Sealed at rest under its machine key and named by keyed hashes, like its epoch shares:
//! a stolen disk tells neither whose they are nor who looked.

use crate::disk::{Disk, LIST_MAX};
use crate::durable::{Durable, Plan, Taken, Write};
use crate::error::StoreError;
use borsh::BorshDeserialize;
use bytes::Bytes;
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::digest::Digest;
use salus_wire::activity::day_of;
use salus_wire::emergency::{EmergencyUse, LookShare};
use salus_wire::limits::{EMERGENCY_KIT_BYTES, GRANT_PLAIN_BYTES, MEMBERS_MAX, REVIEWS_MAX};
use salus_wire::rpc::Response;
use salus_wire::{GrantTag, MemberIndex, PartyId, decode, encode};
use std::collections::BTreeSet;
use std::path::Path;

const LOOKS: &str = "look";
/// Uses that something may still hang on.
const USES: &str = "use";
/// A folder for each grant, with the name of each card that it has looks under and nothing else in it: what is
/// destroyed is found without reading a look, whatever became of it.
const BY_GRANT: &str = "grant";
/// Uses that are settled: read for officers, and for nobody's conduct.
const DONE: &str = "done";
/// Uses read for one answer to an officer.
const USES_READ_MAX: usize = 4 * REVIEWS_MAX;
/// Bytes of one object before sealing: a grant, a kit, a hash for each member, and change.
const OBJECT_BYTES_MAX: usize = GRANT_PLAIN_BYTES + EMERGENCY_KIT_BYTES + 32 * MEMBERS_MAX + 1_024;
/// Keep the names of folders and files apart under one key.
const CARD_LABEL: &[u8] = b"emergency card";
const GRANT_LABEL: &[u8] = b"emergency grant";
const MEMBER_LABEL: &[u8] = b"emergency member";
const LOOK_LABEL: &[u8] = b"emergency look";
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

    /// Keeps looks under a card, which the caller has checked, in place of earlier ones for the same places.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn keep(
        &self,
        card: &Digest,
        looks: &[LookShare],
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<PreparePromise>, StoreError> {
        let grants: BTreeSet<GrantTag> = looks.iter().map(|look| look.header.grant).collect();
        let names = grants.iter().map(|grant| {
            let object = format!("{}/{}", self.cards_folder(grant), self.card_label(card));
            Write { object, bytes: Bytes::new(), taken: Taken::SameBytes }
        });
        // The name first: a look that is not named would outlive its patient's order.
        let _named = self.disk.persist(Plan { writes: names.collect(), promise: () }).await?;
        let writes = looks
            .iter()
            .map(|look| {
                let header = &look.header;
                let place = encode(&(header.grant, header.place));
                let label = self.key.label(&[LOOK_LABEL, card.as_bytes(), &place]);
                let folder = self.grant_folder(card, &header.grant);
                self.write(format!("{folder}/{label}"), &encode(look), rng)
            })
            .collect();
        self.disk.persist(Plan { writes, promise: PreparePromise }).await
    }

    /// Every look kept under a card.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when an object does not open; a failure of the disk.
    pub async fn looks(&self, card: &Digest) -> Result<Vec<LookShare>, StoreError> {
        self.all(&self.looks_folder(card), LIST_MAX).await
    }

    /// Every look kept under a card for one grant.
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn looks_of(&self, card: &Digest, grant: &GrantTag) -> Result<Vec<LookShare>, StoreError> {
        self.all(&self.grant_folder(card, grant), LIST_MAX).await
    }

    /// Removes every look of these grants, durably, and reads none. Who used one before stays remembered.
    ///
    /// # Errors
    /// A failure of the disk; some may be gone.
    pub async fn destroy(&self, grants: &BTreeSet<GrantTag>) -> Result<(), StoreError> {
        for grant in grants {
            let cards = self.cards_folder(grant);
            for name in self.disk.list(&cards).await? {
                let Some((_, card)) = name.rsplit_once('/') else { continue };
                let card = format!("{LOOKS}/{card}");
                let looks = format!("{card}/{}", self.grant_label(grant));
                for look in self.disk.list(&looks).await? {
                    self.disk.remove(&look).await?;
                }
                self.disk.settle(&looks)?;
                self.disk.settle(&card)?;
                self.disk.remove(&name).await?;
            }
            self.disk.settle(&cards)?;
        }
        Ok(())
    }

    /// Remembers what a person of `member` is about to be given, before they are.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn remember(
        &self,
        member: MemberIndex,
        uses: &[EmergencyUse],
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<UsePromise>, StoreError> {
        self.write_uses(USES, member, uses, rng).await
    }

    /// Every use by one person of `member` that something may still hang on.
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn uses_of(
        &self,
        member: MemberIndex,
        requester: &PartyId,
    ) -> Result<Vec<EmergencyUse>, StoreError> {
        self.all(&self.person_folder(USES, member, requester), LIST_MAX).await
    }

    /// The settled use of a look by one person of `member`, if there is one.
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn settled(
        &self,
        member: MemberIndex,
        requester: &PartyId,
        look: &Digest,
    ) -> Result<Option<EmergencyUse>, StoreError> {
        self.read(&self.use_object(DONE, member, requester, look)).await
    }

    /// Puts uses aside on which nothing hangs any more, so that judging their person stays cheap.
    ///
    /// # Errors
    /// As [`Disk::persist`].
    pub async fn settle(
        &self,
        member: MemberIndex,
        uses: &[EmergencyUse],
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let UsePromise = self.write_uses(DONE, member, uses, rng).await?.promise();
        for used in uses {
            self.disk.remove(&self.use_object(USES, member, &used.requester, &used.look)).await?;
        }
        Ok(())
    }

    /// Uses by the people of one member, the open ones before the settled, at most [`USES_READ_MAX`].
    ///
    /// # Errors
    /// As [`Emergencies::looks`].
    pub async fn uses(&self, member: MemberIndex) -> Result<Vec<EmergencyUse>, StoreError> {
        let mut uses = self.all(&self.member_folder(USES, member), USES_READ_MAX).await?;
        let room = USES_READ_MAX.saturating_sub(uses.len());
        uses.extend(self.all(&self.member_folder(DONE, member), room).await?);
        Ok(uses)
    }

    /// Forgets every use before a day of UTC (days since 1970-01-01), durably; says how many there were. What does
    /// not open any more is left.
    ///
    /// # Errors
    /// A failure of the disk; some may be gone.
    pub async fn end_before(&self, day: u32) -> Result<usize, StoreError> {
        let mut ended = 0_usize;
        for root in [USES, DONE] {
            for object in self.disk.list(root).await? {
                let used: EmergencyUse = match self.read(&object).await {
                    Ok(Some(used)) => used,
                    Ok(None) | Err(StoreError::Corrupt { .. }) => continue,
                    Err(error) => return Err(error),
                };
                if day_of(used.at) < day && self.disk.remove(&object).await? {
                    ended = ended.saturating_add(1);
                    object.rsplit_once('/').map_or(Ok(()), |(folder, _)| self.disk.settle(folder))?;
                }
            }
        }
        Ok(ended)
    }

    /// Returns when the disk has failed; see [`Disk::failed`].
    pub async fn failed(&self) {
        self.disk.failed().await;
    }

    async fn write_uses(
        &self,
        root: &str,
        member: MemberIndex,
        uses: &[EmergencyUse],
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<UsePromise>, StoreError> {
        let object = |used: &EmergencyUse| self.use_object(root, member, &used.requester, &used.look);
        let writes = uses.iter().map(|used| self.write(object(used), &encode(used), rng)).collect();
        self.disk.persist(Plan { writes, promise: UsePromise }).await
    }

    fn write(&self, object: String, plain: &[u8], rng: &mut impl CryptoRng) -> Write {
        let bytes = Bytes::from(self.key.seal(object.as_bytes(), plain, rng));
        Write { object, bytes, taken: Taken::Replace }
    }

    async fn all<T: BorshDeserialize>(&self, folder: &str, most: usize) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for object in self.disk.list(folder).await?.into_iter().take(most) {
            found.extend(self.read(&object).await?);
        }
        Ok(found)
    }

    /// An object, `None` when it is not there, or gone meanwhile.
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

    fn cards_folder(&self, grant: &GrantTag) -> String {
        format!("{BY_GRANT}/{}", self.grant_label(grant))
    }

    fn grant_folder(&self, card: &Digest, grant: &GrantTag) -> String {
        format!("{}/{}", self.looks_folder(card), self.grant_label(grant))
    }

    fn grant_label(&self, grant: &GrantTag) -> String {
        self.key.label(&[GRANT_LABEL, &encode(grant)]).to_string()
    }

    fn member_folder(&self, root: &str, member: MemberIndex) -> String {
        format!("{root}/{}", self.key.label(&[MEMBER_LABEL, &encode(&member)]))
    }

    fn person_folder(&self, root: &str, member: MemberIndex, requester: &PartyId) -> String {
        let person = self.key.label(&[PERSON_LABEL, requester.as_bytes()]);
        format!("{}/{person}", self.member_folder(root, member))
    }

    fn use_object(&self, root: &str, member: MemberIndex, requester: &PartyId, look: &Digest) -> String {
        let label = self.key.label(&[USE_LABEL, requester.as_bytes(), look.as_bytes()]);
        format!("{}/{label}", self.person_folder(root, member, requester))
    }
}

#[cfg(test)]
#[path = "emergency/destroy_tests.rs"]
mod destroy_tests;
