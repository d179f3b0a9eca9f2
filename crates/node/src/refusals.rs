//! The custodian's ear: records, durably, the grants that this member refuses, before the engine
//! casts a vote that can make their revocation final (P2 of design 4.4).
//!
//! A grant is refused in memory first and on disk then, and only then may the engine vote. After a
//! restart the journal is read before anything is decided. An entry may be dropped once this
//! member's own durable final state shows the grant as revoked.

use crate::office::ReadState;
use futures::future::BoxFuture;
use salus_consent::Refusals;
use salus_engine::{Watch, WatchFailed};
use salus_planted::{Bug, is};
use salus_store::journal::RECORD_BYTES_MAX;
use salus_store::{Journal, StoreError};
use salus_wire::rpc::Refusal;
use salus_wire::state::Standing;
use salus_wire::{GrantTag, List, StateKey, StateValue, decode, encode};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::runtime::Handle;

/// Grants in one record of the journal.
const RECORD_GRANTS_MAX: usize = 4_096;
/// Grants looked up in the state at once when settling.
const SETTLE_READ_MAX: usize = 1_024;

const _: () = assert!(RECORD_GRANTS_MAX * 32 + 4 <= RECORD_BYTES_MAX);

/// Why the refusals on disk cannot be used. Ours.
#[derive(Debug, thiserror::Error)]
pub enum RefusalError {
    /// The journal cannot be read or written.
    #[error("the journal of refusals failed")]
    Journal(#[from] StoreError),
    /// A good record of the journal holds something else than grants.
    #[error("the journal of refusals is not one")]
    Foreign,
    /// The task that writes was lost.
    #[error("the journal of refusals was not written")]
    Lost,
}

/// What is refused, in memory and on disk.
pub struct RefusalBook {
    refusals: Arc<RwLock<Refusals>>,
    kept: Arc<Mutex<Kept>>,
    /// What the state showed as revoked when it was looked at last.
    settled: Mutex<BTreeSet<GrantTag>>,
    writer: Writer,
}

/// Where the journal is written, which waits for a disk.
#[derive(Clone, Debug)]
pub enum Writer {
    /// On this runtime's threads for blocking work.
    Threads(Handle),
    /// At once: a disk in memory does not keep anybody waiting.
    Here,
}

impl Writer {
    /// `None` when the task that writes was lost.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::Threads(runtime) => runtime.spawn_blocking(work).await.ok(),
            Self::Here => Some(work()),
        }
    }
}

/// The journal and what it holds; locked for as long as a write takes.
struct Kept {
    journal: Journal,
    grants: BTreeSet<GrantTag>,
}

type Record = List<GrantTag, RECORD_GRANTS_MAX>;

impl RefusalBook {
    /// Takes up an opened journal and what it held.
    ///
    /// # Errors
    /// [`RefusalError`]; a member that does not know what it refused must not decide.
    pub fn over((journal, records): (Journal, Vec<Vec<u8>>), writer: Writer) -> Result<Self, RefusalError> {
        let mut grants = BTreeSet::new();
        for record in records {
            let record: Record = decode(&record, RECORD_BYTES_MAX).map_err(|_| RefusalError::Foreign)?;
            grants.extend(record.into_vec());
        }
        let mut refusals = Refusals::default();
        grants.iter().for_each(|grant| refusals.refuse(*grant));
        let kept = Arc::new(Mutex::new(Kept { journal, grants }));
        Ok(Self { refusals: Arc::new(RwLock::new(refusals)), kept, settled: Mutex::default(), writer })
    }

    /// Works with the refusals while none can be added: what is decided or released within counts
    /// as before any vote that follows.
    pub(crate) fn locked<T>(&self, work: impl FnOnce(&Refusals) -> T) -> T {
        work(&self.refusals.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many grants are refused beyond what the state shows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.locked(Refusals::count)
    }

    /// Refuses grants; returns when that is durable. Called again for the same grants, it waits
    /// for the first call's write.
    ///
    /// # Errors
    /// [`RefusalError`]; the caller must not vote then.
    pub async fn refuse(&self, grants: Vec<GrantTag>) -> Result<(), RefusalError> {
        self.refuse_here(&grants);
        let kept = Arc::clone(&self.kept);
        self.writer.write(move || lock(&kept).keep(grants)).await.ok_or(RefusalError::Lost)?
    }

    /// Refuses grants from now on, in memory.
    fn refuse_here(&self, grants: &[GrantTag]) {
        if is(Bug::RefusalNotInMemory) {
            return;
        }
        let mut refusals = self.refusals.write().unwrap_or_else(PoisonError::into_inner);
        grants.iter().for_each(|grant| refusals.refuse(*grant));
    }

    /// Drops what the durable final state itself showed as revoked at the last call already, and
    /// rewrites the journal. Between two calls there must be more than
    /// [`salus_consent::PERMIT_MS_MAX`]: whoever decided before the revocation may release until then,
    /// and is stopped by the refusal alone.
    ///
    /// # Errors
    /// The ledger's refusal, or the journal's failure as the inner error.
    pub async fn settle(&self, read: &ReadState) -> Result<Result<(), RefusalError>, Refusal> {
        let grants: Vec<GrantTag> = self.locked(|refusals| refusals.iter().copied().collect());
        let mut settled = Vec::new();
        for grants in grants.chunks(SETTLE_READ_MAX) {
            let (_, values) = read(grants.iter().map(|grant| StateKey::Grant(*grant)).collect()).await?;
            let revoked = grants.iter().zip(&values).filter(|(_, value)| is_revoked(value.as_ref()));
            settled.extend(revoked.map(|(grant, _)| *grant));
        }
        let ripe = {
            let mut seen = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let (ripe, new) = settled.into_iter().partition(|grant| seen.contains(grant));
            *seen = BTreeSet::from_iter::<Vec<GrantTag>>(new);
            ripe
        };
        Ok(self.drop_settled(ripe).await)
    }

    async fn drop_settled(&self, settled: Vec<GrantTag>) -> Result<(), RefusalError> {
        if settled.is_empty() {
            return Ok(());
        }
        let kept = Arc::clone(&self.kept);
        let gone = settled.clone();
        self.writer.write(move || lock(&kept).drop_settled(&gone)).await.ok_or(RefusalError::Lost)??;
        self.refusals.write().unwrap_or_else(PoisonError::into_inner).drop_settled(&settled);
        Ok(())
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    // The journal poisons itself when a write fails; a panic elsewhere leaves it as it was.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_revoked(value: Option<&StateValue>) -> bool {
    matches!(value, Some(StateValue::Grant(grant)) if grant.standing != Standing::Active)
}

impl Kept {
    fn keep(&mut self, grants: Vec<GrantTag>) -> Result<(), RefusalError> {
        let new: Vec<GrantTag> = grants.into_iter().filter(|grant| !self.grants.contains(grant)).collect();
        for record in records(new.iter().copied()) {
            // Nobody is acknowledged with this evidence: the engine waits for the call to return.
            if !is(Bug::RefusalNotDurable) {
                let _durable = self.journal.append(&record, ())?;
            }
        }
        self.grants.extend(new);
        Ok(())
    }

    fn drop_settled(&mut self, settled: &[GrantTag]) -> Result<(), RefusalError> {
        let settled: BTreeSet<&GrantTag> = settled.iter().collect();
        let left: BTreeSet<GrantTag> =
            self.grants.iter().filter(|grant| !settled.contains(grant)).copied().collect();
        self.journal.rewrite(&records(left.iter().copied()))?;
        self.grants = left;
        Ok(())
    }
}

fn records(grants: impl Iterator<Item = GrantTag>) -> Vec<Vec<u8>> {
    let grants: Vec<GrantTag> = grants.collect();
    let chunks = grants.chunks(RECORD_GRANTS_MAX);
    chunks.filter_map(|chunk| Record::new(chunk.to_vec()).ok()).map(|record| encode(&record)).collect()
}

impl Watch for RefusalBook {
    fn before_vote(&self, revoked: Vec<GrantTag>) -> BoxFuture<'_, Result<(), WatchFailed>> {
        Box::pin(async move { self.refuse(revoked).await.map_err(|error| WatchFailed(Box::new(error))) })
    }

    fn before_apply(&self, revoked: &[GrantTag]) {
        self.refuse_here(revoked);
    }
}

#[cfg(test)]
mod tests;
