//! What this member has erased, or was ordered to: remembered where a backup of its data does not set it back.
//!
//! Two memories, of which either is enough. The record ([`record`]) lies outside the data folder, beside the
//! machine key; it is read before anything is answered, and what it says is destroyed is destroyed again if it
//! is there. How far that went is marked on the very disk whose age is in question, so that a disk which was not
//! set back is not looked through again. And this member's receipts stand on the ledger, each with a label that
//! only this machine can tie to a folder of its own: it looks through all blocks above such a mark, so that a
//! disk from last week is held against a week of blocks. A custodian decides nothing at a head up to which it
//! has not looked.
//!
//! One request looks at a bounded number of places, and lets others to the disk in between.

mod record;

use record::{Names, Record, Standing};
use salus_crypto::chain::ChainAnchor;
use salus_engine::Handle;
use salus_fragment::Locators;
use salus_store::shares::ErasedLabel;
use salus_store::{Disk, Fragments, Shares, StoreError};
use salus_wire::limits::EPOCH_SEGMENTS_MAX;
use salus_wire::release::ShareBytes;
use salus_wire::{Height, Holder, List, Locator, MemberIndex, Outcome, SegmentIndex, TxBody};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex as Shelf, PoisonError};
use tokio::sync::{Mutex, watch};

/// Segments that may be missing in a row before a store takes an epoch to be at its end: what it missed while
/// it was away. Beyond that it goes by what other stores found.
const GAP_MAX: u32 = 256;
/// Places that one request has looked at when no further epoch is begun for it: the last may be as long as any.
const PLACES_MAX: u32 = EPOCH_SEGMENTS_MAX;
/// Places looked at, or emptied, before somebody else has a turn at the disk.
const PLACES_AT_ONCE: usize = 1_024;
/// Blocks between marks.
const MARK_EVERY: u64 = 1_024;

/// Why the record of erasures cannot be used. Ours.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// A disk failed.
    #[error("a disk failed while something was erased")]
    Disk(#[from] StoreError),
    /// A file of the record is none of ours, or was sealed under another machine's key.
    #[error("the record of erasures is not this machine's")]
    Foreign,
    /// There is no entropy to seal with.
    #[error("there is no entropy")]
    Entropy,
}

/// See the head of this module.
pub struct Erasures {
    shares: Arc<Shares>,
    fragments: Arc<Fragments>,
    record: Mutex<Record>,
    /// Looking for fragments is work for a disk: one after the other, a little at a time.
    turn: Mutex<()>,
    /// Chains whose shares went while this process ran: they cannot come back under it.
    gone: Shelf<BTreeSet<ErasedLabel>>,
    looked: watch::Sender<Height>,
}

impl Erasures {
    /// Takes up the record in a folder, closes what it names, and destroys again what it says is destroyed.
    ///
    /// # Errors
    /// [`ErasureError`]; a member that does not know what it has erased must not answer.
    pub async fn open(
        folder: &Path,
        shares: Arc<Shares>,
        fragments: Arc<Fragments>,
    ) -> Result<Self, ErasureError> {
        Self::over(Disk::folder(folder)?, shares, fragments).await
    }

    /// The same over any disk.
    ///
    /// # Errors
    /// As [`Erasures::open`].
    pub async fn over(
        disk: Disk,
        shares: Arc<Shares>,
        fragments: Arc<Fragments>,
    ) -> Result<Self, ErasureError> {
        let record = Record::open(disk, Arc::clone(&shares)).await?;
        let mut destroyed = BTreeSet::new();
        for (label, standing) in record.standings() {
            shares.close(label).await;
            if standing.destroyed {
                destroyed.insert(label);
            }
            again(&record, &fragments, label, standing).await?;
        }
        let gone = shares.destroy_labelled(&destroyed).await?;
        if gone > 0 {
            tracing::warn!(gone, "shares that were erased before were here again, and are destroyed again");
        }
        let looked = watch::Sender::new(Height::default());
        let (record, turn, gone) = (Mutex::new(record), Mutex::default(), Shelf::new(destroyed));
        Ok(Self { shares, fragments, record, turn, gone, looked })
    }

    /// Closes a chain: durably, then in memory. What was about to be released or kept for it is, before this
    /// returns, and nothing after.
    ///
    /// # Errors
    /// [`ErasureError`]; nothing may be answered under the order then.
    pub async fn close(&self, label: ErasedLabel) -> Result<(), ErasureError> {
        let mut record = self.record.lock().await;
        let standing = record.standing(&label).unwrap_or_default();
        record.stands(label, standing).await?;
        drop(record);
        self.shares.close(label).await;
        Ok(())
    }

    /// Destroys the fragments that these names find, of as many of the first epochs as one request may cost, at
    /// least one; says for each of these one more than the last number found. What is found is written down
    /// first, so that it can be found again on a disk that was set back. One call at a time for a chain.
    ///
    /// # Errors
    /// [`ErasureError`]; some may be gone.
    pub async fn destroy_fragments(
        &self,
        label: ErasedLabel,
        epochs: Vec<(Locators, u32)>,
    ) -> Result<Vec<u32>, ErasureError> {
        let (mut all, mut names, mut counts, mut looked) = (Vec::new(), Vec::new(), Vec::new(), 0_u32);
        for (locators, segments) in epochs {
            let found = self.find(&locators, segments).await?;
            if found.count > 0 {
                names.push((ShareBytes(locators.to_secret()), found.count));
            }
            all.extend(found.locators);
            counts.push(found.count);
            looked = looked.saturating_add(found.looked);
            if looked >= PLACES_MAX {
                break;
            }
        }
        if names.is_empty() {
            return Ok(counts);
        }
        let run = self.fragments.marked_erased(&label).await?;
        let runs = self.will_destroy(label, run, names).await?;
        for some in all.chunks(PLACES_AT_ONCE) {
            let _turn = self.turn.lock().await;
            for locator in some {
                self.fragments.destroy(locator).await?;
            }
        }
        self.fragments.settle()?;
        self.fragments.mark_erased(&label, runs).await?;
        Ok(counts)
    }

    /// Writes down what is about to be destroyed; says how many runs there are then. A record that began anew
    /// goes on after what the disk says was done.
    async fn will_destroy(
        &self,
        label: ErasedLabel,
        marked: u32,
        names: Vec<(ShareBytes, u32)>,
    ) -> Result<u32, ErasureError> {
        let names: Names = List::new(names).map_err(|_| ErasureError::Foreign)?;
        let mut record = self.record.lock().await;
        let standing = record.standing(&label).unwrap_or_default();
        let run = standing.runs.max(marked);
        record.keep_run(&label, run, &names).await?;
        let runs = run.saturating_add(1);
        record.stands(label, Standing { runs, ..standing }).await?;
        Ok(runs)
    }

    /// Destroys every share of a chain, and closes it if it was not.
    ///
    /// # Errors
    /// [`ErasureError`]; some may be gone.
    pub async fn destroy_shares(&self, grants: &ChainAnchor) -> Result<(), ErasureError> {
        let label = self.shares.erased_label(grants);
        self.will_destroy_shares(label).await?;
        let gone = self.shares.destroy(grants).await?;
        tracing::info!(gone, "key shares were destroyed by their patient's order");
        lock(&self.gone).insert(label);
        Ok(())
    }

    /// The same for a chain of which the ledger shows this member's receipt, and nothing else is known.
    async fn destroy_receipted(&self, label: ErasedLabel) -> Result<(), ErasureError> {
        if lock(&self.gone).contains(&label) {
            return Ok(());
        }
        self.will_destroy_shares(label).await?;
        let gone = self.shares.destroy_labelled(&BTreeSet::from([label])).await?;
        tracing::info!(gone, "key shares were destroyed because the ledger says that they had been");
        lock(&self.gone).insert(label);
        Ok(())
    }

    async fn will_destroy_shares(&self, label: ErasedLabel) -> Result<(), ErasureError> {
        let mut record = self.record.lock().await;
        let standing = record.standing(&label).unwrap_or_default();
        record.stands(label, Standing { destroyed: true, ..standing }).await?;
        drop(record);
        self.shares.close(label).await;
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
                    self.destroy_receipted(*label).await?;
                }
            }
            at = next;
            if at.get().is_multiple_of(MARK_EVERY) {
                self.shares.mark(at).await?;
            }
        }
    }

    /// What a store has of an epoch: looks as far as `segments`, and on until [`GAP_MAX`] numbers in a row have
    /// nothing.
    async fn find(&self, locators: &Locators, segments: u32) -> Result<Found, ErasureError> {
        let mut found = Found::default();
        while found.goes_on(segments) {
            let _turn = self.turn.lock().await;
            for _ in 0..PLACES_AT_ONCE {
                if !found.goes_on(segments) {
                    break;
                }
                let number = found.looked;
                found.looked = number.saturating_add(1);
                let locator = locators.at(SegmentIndex::new(number));
                if self.fragments.holds(&locator).await? {
                    found.locators.push(locator);
                    found.count = found.looked;
                }
            }
        }
        Ok(found)
    }
}

/// What was found of an epoch so far.
#[derive(Default)]
struct Found {
    locators: Vec<Locator>,
    /// One more than the last number found.
    count: u32,
    /// How many numbers were looked at.
    looked: u32,
}

impl Found {
    fn goes_on(&self, segments: u32) -> bool {
        self.looked < EPOCH_SEGMENTS_MAX && self.looked < segments.max(self.count).saturating_add(GAP_MAX)
    }
}

fn lock(gone: &Shelf<BTreeSet<ErasedLabel>>) -> std::sync::MutexGuard<'_, BTreeSet<ErasedLabel>> {
    // A set of labels holds no invariant that a panic in between could break.
    gone.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Destroys once more what was destroyed after this disk was as it is.
async fn again(
    record: &Record,
    fragments: &Fragments,
    label: ErasedLabel,
    standing: Standing,
) -> Result<(), ErasureError> {
    let marked = fragments.marked_erased(&label).await?;
    for run in marked..standing.runs {
        let Some(names) = record.run(&label, run).await? else {
            tracing::warn!("what was erased before the record of erasures began cannot be looked for again");
            continue;
        };
        for (locators, segments) in names.into_vec() {
            let locators = Locators::new(locators.0);
            for number in 0..segments.min(EPOCH_SEGMENTS_MAX) {
                fragments.destroy(&locators.at(SegmentIndex::new(number))).await?;
            }
        }
    }
    if marked < standing.runs {
        fragments.settle()?;
        fragments.mark_erased(&label, standing.runs).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
