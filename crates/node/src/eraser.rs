//! The role that obeys a patient's order of erasure: closes the chain, gives its shares a last time so that the
//! patient can say which fragments are theirs, destroys these, destroys the shares, and signs on the ledger
//! that nothing is left.
//!
//! Nothing is done without an [`Ordered`], which only `salus_consent` makes; and before anything else is done
//! under one, the chain is closed durably ([`crate::erasures`]). What a malicious patient can destroy is their
//! own: writer and chain of the order are part of the name of every fragment that is looked for.

use crate::emergency::Emergency;
use crate::erasures::{ErasureError, Erasures};
use crate::office::Office;
use crate::recovery::Recovery;
use crate::refused;
use futures::future::BoxFuture;
use salus_consent::{OrderDesk, Ordered};
use salus_fragment::LocatorKey;
use salus_store::Shares;
use salus_store::shares::ErasedLabel;
use salus_wire::erasure::{
    EraseAnswer, EraseRequest, EraseStep, ErasedEpoch, ErasedShares, erased_info, erased_message,
};
use salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX;
use salus_wire::release::EpochShares;
use salus_wire::rpc::{Committed, Refusal};
use salus_wire::{Code, GrantTag, Holder, List, Outcome, StateKey, Tx, TxBody, encode, namespaces};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Milliseconds after which to ask again while something else is being done for the same chain.
const BUSY_MS: u32 = 250;

/// Has a transaction of this member's ordered.
pub type Submit = Arc<dyn Fn(Tx) -> BoxFuture<'static, Result<Committed, Refusal>> + Send + Sync>;

/// See the head of this module.
pub struct Eraser {
    office: Arc<Office>,
    desk: Mutex<OrderDesk>,
    shares: Arc<Shares>,
    erasures: Arc<Erasures>,
    emergency: Arc<Emergency>,
    recovery: Option<Arc<Recovery>>,
    submit: Submit,
    /// Chains for which something is being done: one thing at a time.
    at_work: Mutex<BTreeSet<ErasedLabel>>,
}

impl Eraser {
    /// The role over what a disk holds.
    #[must_use]
    pub fn new(
        office: Arc<Office>,
        shares: Arc<Shares>,
        erasures: Arc<Erasures>,
        emergency: Arc<Emergency>,
        submit: Submit,
    ) -> Self {
        let desk = Mutex::new(OrderDesk::new(office.chain, office.me));
        Self { office, desk, shares, erasures, emergency, recovery: None, submit, at_work: Mutex::default() }
    }

    /// The same, which obeys no order for a chain that a recovery is about to end or has ended.
    #[must_use]
    pub fn knowing(self, recovery: Arc<Recovery>) -> Self {
        Self { recovery: Some(recovery), ..self }
    }

    /// Does what an order says, as far as the request asks now.
    ///
    /// # Errors
    /// A refusal with the clause that does not hold, or this member's own failure; the step can be asked for
    /// again.
    pub async fn answer(&self, request: EraseRequest) -> Result<EraseAnswer, Refusal> {
        let office = &self.office;
        let admitted = self.desk(|desk| desk.admit(request, office.now())).map_err(refused::denied)?;
        let view = office.view(admitted.reads()).await?;
        let ordered = admitted.open(&view, office.now()).map_err(refused::denied)?;
        if let Some(recovery) = &self.recovery {
            recovery.heed(&ordered.grants()).await?;
        }
        let label = self.shares.erased_label(&ordered.grants());
        let _turn = self.turn(label)?;
        self.erasures.close(label).await.map_err(failed)?;
        match ordered.step() {
            EraseStep::Shares { skip } => self.give(&ordered, *skip).await,
            EraseStep::Fragments(epochs) => self.destroy_fragments(&ordered, label, epochs).await,
            EraseStep::Finish => self.finish(&ordered, label).await,
        }
    }

    async fn give(&self, ordered: &Ordered, skip: u32) -> Result<EraseAnswer, Refusal> {
        let (office, order) = (&self.office, ordered.order());
        let page = self
            .shares
            .page(
                &ordered.grants(),
                |header| header.writer == ordered.writer(),
                skip,
                EPOCHS_PER_ENVELOPE_MAX,
            )
            .await
            .map_err(|error| refused::store(&error))?;
        let shares = List::new(page.shares).map_err(|_| refused::bare(Code::Internal))?;
        let info = erased_info(office.chain, office.me, order);
        let sealed = ordered
            .reader()
            .seal(&info, &[], &encode(&EpochShares(shares)), &mut office.rng()?)
            .map_err(|_| refused::because(Code::Malformed, "the order's key is not a key"))?;
        let (custodian, remaining) = (office.me, page.remaining);
        let message = erased_message(office.chain, custodian, order, &sealed, remaining);
        let signature = office.service.sign(namespaces::ERASED_SHARES, &message);
        Ok(EraseAnswer::Shares(Box::new(ErasedShares { custodian, order, sealed, remaining, signature })))
    }

    async fn destroy_fragments(
        &self,
        ordered: &Ordered,
        label: ErasedLabel,
        epochs: &List<ErasedEpoch, { salus_wire::limits::ERASED_EPOCHS_MAX }>,
    ) -> Result<EraseAnswer, Refusal> {
        let (writer, grants) = (ordered.writer(), ordered.grants());
        let named = epochs.iter().map(|epoch| {
            let key = salus_crypto::secret::Secret::from_bytes(*epoch.locators.0.danger_expose());
            (LocatorKey::new(key).of(writer, &grants), epoch.segments)
        });
        let counts = self.erasures.destroy_fragments(label, named.collect()).await.map_err(failed)?;
        List::new(counts).map(EraseAnswer::Fragments).map_err(|_| refused::bare(Code::Internal))
    }

    /// The shares go first, then what was prepared for emergencies and for recovery, and only then this member says so. Once it has
    /// said so there is nothing to do: what a backup brings back is seen to by [`Erasures`].
    async fn finish(&self, ordered: &Ordered, label: ErasedLabel) -> Result<EraseAnswer, Refusal> {
        let (order, holder) = (ordered.order(), Holder::Member(self.office.me));
        if self.receipted(order, holder).await? {
            return Ok(EraseAnswer::Finished);
        }
        self.erasures.destroy_shares(&ordered.grants()).await.map_err(failed)?;
        self.emergency.destroy(&ordered.earlier().iter().copied().collect()).await?;
        if let Some(recovery) = &self.recovery {
            recovery.destroy(&ordered.grants()).await?;
        }
        let body = TxBody::RecordDestruction { order, holder, label };
        let tx = Tx::sign(self.office.chain, body, &self.office.service);
        match (self.submit)(tx).await {
            Ok(Committed { outcome: Outcome::Applied, .. }) => {}
            Ok(Committed { outcome: Outcome::Refused(Code::AlreadyExists), .. }) => {}
            Ok(Committed { outcome: Outcome::Refused(code), .. }) => return Err(refused::bare(code)),
            Err(refusal) if refusal.code == Code::AlreadyExists => {}
            Err(refusal) => return Err(refusal),
        }
        Ok(EraseAnswer::Finished)
    }

    async fn receipted(&self, order: GrantTag, holder: Holder) -> Result<bool, Refusal> {
        let (_, entry) = self.office.fresh_entry(StateKey::Destruction(order, holder)).await?;
        Ok(entry.is_some())
    }

    fn turn(&self, label: ErasedLabel) -> Result<AtWork<'_>, Refusal> {
        if !labels(&self.at_work).insert(label) {
            return Err(Refusal::busy(Code::CustodianBusy, BUSY_MS));
        }
        Ok(AtWork { labels: &self.at_work, label })
    }

    fn desk<T>(&self, work: impl FnOnce(&mut OrderDesk) -> T) -> T {
        // A desk holds no invariant that a panic in between could break.
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something is being done for a chain until this is dropped.
struct AtWork<'a> {
    labels: &'a Mutex<BTreeSet<ErasedLabel>>,
    label: ErasedLabel,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        labels(self.labels).remove(&self.label);
    }
}

fn labels(at_work: &Mutex<BTreeSet<ErasedLabel>>) -> MutexGuard<'_, BTreeSet<ErasedLabel>> {
    // A set of labels holds no invariant that a panic in between could break.
    at_work.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: ErasureError) -> Refusal {
    tracing::error!(%error, "an order of erasure could not be obeyed");
    match error {
        ErasureError::Disk(error) => refused::store(&error),
        ErasureError::Foreign | ErasureError::Entropy => refused::bare(Code::StorageFailed),
    }
}

#[cfg(test)]
mod tests;
