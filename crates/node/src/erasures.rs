//! What this member has erased, or was ordered to: remembered where a backup of its data does not set it back.
//!
//! Two memories, of which either is enough. The journal lies outside the data folder, beside the machine key;
//! it is read before anything is answered, and what it says is destroyed is destroyed again if it is there.
//! And this member's receipts stand on the ledger, each with a label that only this machine can tie to a
//! folder of its own: it looks through all blocks above a mark that lies on the very disk whose age is in
//! question, so that a disk from last week is held against a week of blocks. A custodian decides nothing at a
//! head up to which it has not looked.
//!
//! The journal names no chain: labels are keyed hashes, and the keys that name fragments are sealed.

use borsh::{BorshDeserialize, BorshSerialize};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_engine::Handle;
use salus_fragment::Locators;
use salus_store::journal::RECORD_BYTES_MAX;
use salus_store::shares::ErasedLabel;
use salus_store::{Fragments, Journal, Shares, StoreError};
use salus_wire::limits::{EPOCH_SEGMENTS_MAX, ERASED_EPOCHS_MAX};
use salus_wire::release::ShareBytes;
use salus_wire::{
    Blob, Height, Holder, List, Locator, MemberIndex, Outcome, SegmentIndex, TxBody, decode, encode,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Segments that may be missing in a row before a store takes an epoch to be at its end: what it missed while
/// it was away. Beyond that it goes by what other stores found.
const GAP_MAX: u32 = 256;
/// Blocks between marks.
const MARK_EVERY: u64 = 1_024;
/// Bytes of one record of names: 36 for each epoch, and what sealing adds.
const NAMES_BYTES_MAX: usize = 4_096;
/// Seals the names of fragments, and nothing else of this machine.
const CONTEXT: &[u8] = b"salus/erased-fragments/v1";

const _: () = assert!(NAMES_BYTES_MAX < RECORD_BYTES_MAX && ERASED_EPOCHS_MAX * 36 + 256 < NAMES_BYTES_MAX);

/// Why the record of erasures cannot be used. Ours.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// A disk failed.
    #[error("a disk failed while something was erased")]
    Disk(#[from] StoreError),
    /// A good record of the journal is none of ours, or was sealed under another machine's key.
    #[error("the journal of erasures is not this machine's")]
    Foreign,
    /// There is no entropy to seal with.
    #[error("there is no entropy")]
    Entropy,
    /// The task that writes was lost.
    #[error("the journal of erasures was not written")]
    Lost,
}

/// A record of the journal.
#[derive(BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Record {
    /// Nothing is taken or released for this chain any more.
    Closed(ErasedLabel) = 0,
    /// The fragments that these names find are to be destroyed; sealed [`Names`].
    Fragments(Blob<NAMES_BYTES_MAX>) = 1,
    /// Every share of this chain is to be destroyed.
    Destroyed(ErasedLabel) = 2,
}

/// What names the fragments of an epoch, and how many places to look at.
type Names = List<(ShareBytes, u32), ERASED_EPOCHS_MAX>;

struct Kept {
    journal: Journal,
    closed: BTreeSet<ErasedLabel>,
    destroyed: BTreeSet<ErasedLabel>,
}

/// See the head of this module.
pub struct Erasures {
    shares: Arc<Shares>,
    fragments: Arc<Fragments>,
    kept: Arc<Mutex<Kept>>,
    looked: watch::Sender<Height>,
}

impl Erasures {
    /// Takes up the journal, closes what it names, and destroys again what it says is destroyed.
    ///
    /// # Errors
    /// [`ErasureError`]; a member that does not know what it has erased must not answer.
    pub async fn open(
        path: &Path,
        shares: Arc<Shares>,
        fragments: Arc<Fragments>,
    ) -> Result<Self, ErasureError> {
        let (journal, records) = Journal::open(path)?;
        Self::over(journal, records, shares, fragments).await
    }

    async fn over(
        journal: Journal,
        records: Vec<Vec<u8>>,
        shares: Arc<Shares>,
        fragments: Arc<Fragments>,
    ) -> Result<Self, ErasureError> {
        let mut kept = Kept { journal, closed: BTreeSet::new(), destroyed: BTreeSet::new() };
        for record in records {
            match decode(&record, RECORD_BYTES_MAX).map_err(|_| ErasureError::Foreign)? {
                Record::Closed(label) => drop(kept.closed.insert(label)),
                Record::Destroyed(label) => drop(kept.destroyed.insert(label)),
                Record::Fragments(sealed) => {
                    let plain = shares.open_sealed(CONTEXT, &sealed).ok_or(ErasureError::Foreign)?;
                    let names: Names = decode(&plain, NAMES_BYTES_MAX).map_err(|_| ErasureError::Foreign)?;
                    again(&fragments, names).await?;
                }
            }
        }
        fragments.settle()?;
        for label in kept.closed.union(&kept.destroyed) {
            shares.close(*label).await;
        }
        let gone = if kept.destroyed.is_empty() { 0 } else { shares.destroy(&kept.destroyed).await? };
        if gone > 0 {
            tracing::warn!(gone, "shares that were erased before were here again, and are destroyed again");
        }
        let looked = watch::Sender::new(Height::default());
        Ok(Self { shares, fragments, kept: Arc::new(Mutex::new(kept)), looked })
    }

    /// Closes a chain: durably, then in memory.
    ///
    /// # Errors
    /// [`ErasureError`]; nothing may be answered under the order then.
    pub async fn close(&self, label: ErasedLabel) -> Result<(), ErasureError> {
        self.note(Record::Closed(label)).await?;
        self.shares.close(label).await;
        Ok(())
    }

    /// Destroys the fragments that these names find; says for each one more than the last number found. What
    /// is found is written down first, so that it can be found again on a disk that was set back.
    ///
    /// # Errors
    /// [`ErasureError`]; some may be gone.
    pub async fn destroy_fragments(&self, epochs: Vec<(Locators, u32)>) -> Result<Vec<u32>, ErasureError> {
        let (mut all, mut names, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (locators, segments) in epochs {
            let (found, count) = find(&self.fragments, &locators, segments).await?;
            if count > 0 {
                names.push((ShareBytes(locators.to_secret()), count));
            }
            all.extend(found);
            counts.push(count);
        }
        if !names.is_empty() {
            let names: Names = List::new(names).map_err(|_| ErasureError::Foreign)?;
            let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| ErasureError::Entropy)?;
            let sealed = self.shares.seal(CONTEXT, &encode(&names), &mut rng);
            let sealed = Blob::new(sealed).map_err(|_| ErasureError::Foreign)?;
            self.note(Record::Fragments(sealed)).await?;
        }
        for locator in &all {
            self.fragments.destroy(locator).await?;
        }
        self.fragments.settle()?;
        Ok(counts)
    }

    /// Destroys every share of a chain, and closes it if it was not.
    ///
    /// # Errors
    /// [`ErasureError`]; some may be gone.
    pub async fn destroy_shares(&self, label: ErasedLabel) -> Result<(), ErasureError> {
        self.note(Record::Destroyed(label)).await?;
        self.shares.close(label).await;
        let gone = self.shares.destroy(&BTreeSet::from([label])).await?;
        tracing::info!(gone, "key shares were destroyed by their patient's order");
        Ok(())
    }

    /// Resolves when the ledger was looked at up to `height`.
    pub async fn looked_to(&self, height: Height) {
        // An error would mean that the sender, which `self` holds, is gone.
        let _ = self.looked.subscribe().wait_for(|looked| *looked >= height).await;
    }

    /// Looks through all blocks above the mark, and then at each new one, for receipts of member `me`.
    ///
    /// # Errors
    /// [`ErasureError`]; never ends otherwise, also when the engine does.
    pub async fn look(
        &self,
        engine: &Handle,
        me: MemberIndex,
    ) -> Result<std::convert::Infallible, ErasureError> {
        let mut at = self.shares.marked().await?;
        loop {
            self.looked.send_replace(at);
            let Some(next) = at.next() else { return std::future::pending().await };
            if engine.reached(next).await.is_err() {
                return std::future::pending().await;
            }
            let Ok(Some(block)) = engine.block(next).await else { return std::future::pending().await };
            let txs = block.block.transactions.iter().zip(block.outcomes.iter());
            for (tx, _) in txs.filter(|(_, outcome)| **outcome == Outcome::Applied) {
                if let TxBody::RecordDestruction { holder: Holder::Member(member), label, .. } = &tx.body
                    && *member == me
                {
                    self.destroy_shares(*label).await?;
                }
            }
            at = next;
            if at.get().is_multiple_of(MARK_EVERY) {
                self.shares.mark(at).await?;
            }
        }
    }

    async fn note(&self, record: Record) -> Result<(), ErasureError> {
        let kept = Arc::clone(&self.kept);
        let write = move || lock(&kept).note(&record);
        tokio::task::spawn_blocking(write).await.map_err(|_| ErasureError::Lost)?
    }
}

impl Kept {
    fn note(&mut self, record: &Record) -> Result<(), ErasureError> {
        let new = match record {
            Record::Closed(label) => !self.closed.contains(label),
            Record::Destroyed(label) => !self.destroyed.contains(label),
            Record::Fragments(_) => true,
        };
        if !new {
            return Ok(());
        }
        let _durable = self.journal.append(&encode(record), ())?;
        match record {
            Record::Closed(label) => drop(self.closed.insert(*label)),
            Record::Destroyed(label) => drop(self.destroyed.insert(*label)),
            Record::Fragments(_) => {}
        }
        Ok(())
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    // The journal poisons itself when a write fails; a panic elsewhere leaves it as it was.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a store has of an epoch, and one more than the last number: looks as far as `segments`, and on until
/// [`GAP_MAX`] numbers in a row have nothing.
async fn find(
    fragments: &Fragments,
    locators: &Locators,
    segments: u32,
) -> Result<(Vec<Locator>, u32), ErasureError> {
    let (mut found, mut count) = (Vec::new(), 0_u32);
    for number in 0..EPOCH_SEGMENTS_MAX {
        if number >= segments.max(count).saturating_add(GAP_MAX) {
            break;
        }
        let locator = locators.at(SegmentIndex::new(number));
        if fragments.holds(&locator).await? {
            found.push(locator);
            count = number.saturating_add(1);
        }
    }
    Ok((found, count))
}

/// Destroys once more what was destroyed before.
async fn again(fragments: &Fragments, names: Names) -> Result<(), ErasureError> {
    for (locators, segments) in names.into_vec() {
        let locators = Locators::new(locators.0);
        for number in 0..segments.min(EPOCH_SEGMENTS_MAX) {
            fragments.destroy(&locators.at(SegmentIndex::new(number))).await?;
        }
    }
    Ok(())
}
