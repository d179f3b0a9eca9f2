//! The custodian: decides for itself, at its own latest head, and re-seals shares to the reader.
//!
//! INV-5 is held by the order of types: a request becomes [`salus_consent::Admitted`] (signature
//! and replay), then [`salus_consent::Opened`] (final, in order, as committed), then a [`Permit`]
//! (allowed), and only [`release`], which uses the permit up, seals anything. The last look at the
//! refusals and the sealing happen under the lock under which refusals are recorded (P2).

use crate::activity::ActivityBook;
use crate::emergency::Emergency;
use crate::erasures::Erasures;
use crate::office::Office;
use crate::recovery::Recovery;
use crate::refusals::RefusalBook;
use crate::refused;
use rand::CryptoRng;
use salus_consent::{Decided, Denied, Desk, FinalView, Introduced, Permit, Policies, Refusals, decide};
use salus_store::Shares;
use salus_store::shares::Page;
use salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX;
use salus_wire::release::{EpochShares, ReleaseRequest, Released, release_info, released_message};
use salus_wire::rpc::Refusal;
use salus_wire::{Code, List, encode, namespaces};
use std::sync::{Arc, Mutex, PoisonError};

/// The custodian of one member.
pub struct Custodian {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    policies: Mutex<Policies>,
    shares: Arc<Shares>,
    refusals: Arc<RefusalBook>,
    emergency: Arc<Emergency>,
    erasures: Option<Arc<Erasures>>,
    activity: Option<Arc<ActivityBook>>,
    recovery: Option<Arc<Recovery>>,
}

impl Custodian {
    /// The custodian over what a disk holds.
    #[must_use]
    pub fn new(
        office: Arc<Office>,
        shares: Arc<Shares>,
        refusals: Arc<RefusalBook>,
        emergency: Arc<Emergency>,
    ) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        Self {
            office,
            desk,
            policies: Mutex::default(),
            shares,
            refusals,
            emergency,
            erasures: None,
            activity: None,
            recovery: None,
        }
    }

    /// The same, which decides nothing before it has looked for erasures up to the head it decides at.
    #[must_use]
    pub fn heeding(self, erasures: Arc<Erasures>) -> Self {
        Self { erasures: Some(erasures), ..self }
    }

    /// The same, which remembers every release before it.
    #[must_use]
    pub fn remembering(self, activity: Arc<ActivityBook>) -> Self {
        Self { activity: Some(activity), ..self }
    }

    /// The same, which releases nothing under a chain that a recovery has ended, and to the one that came in its
    /// place what lay under it.
    #[must_use]
    pub fn knowing(self, recovery: Arc<Recovery>) -> Self {
        Self { recovery: Some(recovery), ..self }
    }

    /// Decides a request and, if it is permitted, releases the shares that this custodian holds.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn answer(&self, request: ReleaseRequest) -> Result<Released, Refusal> {
        let permit = self.permit(request).await?;
        let (access, requester) = (permit.access(), permit.requester());
        if let Some(erasures) = &self.erasures {
            erasures.looked_to(permit.at().height).await;
        }
        self.in_charge(&permit).await?;
        if self.shares.is_closed(&permit.grants()).await {
            return Err(refused::bare(Code::ChainErased));
        }
        let shares = self
            .shares
            .page(&permit.grants(), |epoch| permit.opens(epoch), permit.skip(), EPOCHS_PER_ENVELOPE_MAX)
            .await
            .map_err(|error| refused::store(&error))?;
        if shares.shares.is_empty() {
            return Err(refused::bare(Code::NothingHeld));
        }
        if let Some(used) = permit.emergency() {
            self.emergency.uses(used).await?;
        }
        if let Some(activity) = &self.activity {
            activity.remember(permit.activity()).await?;
        }
        let count = shares.shares.len();
        let mut rng = self.office.rng()?;
        let grants = permit.grants();
        let give =
            || self.refusals.locked(|refusals| release(permit, shares, refusals, &self.office, &mut rng));
        // A chain that was closed meanwhile releases nothing, and none is closed under a release.
        let released = self.shares.while_open(&grants, give).await;
        let released = released.ok_or_else(|| refused::bare(Code::ChainErased))??;
        tracing::info!(%requester, access = ?access.0, count, "released key shares");
        Ok(released)
    }

    /// Whether the chain of the grant decides over the data that it claims, at a head not before the permit's.
    async fn in_charge(&self, permit: &Permit) -> Result<(), Refusal> {
        let (chain, data) = (permit.granted_on(), permit.grants());
        match &self.recovery {
            Some(recovery) => recovery.in_charge(&chain, &data, permit.granted_at()).await,
            None if chain == data => Ok(()),
            None => Err(refused::denied(Denied::ChainMoved)),
        }
    }

    /// How many epochs' shares are held.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shares.count()
    }

    async fn permit(&self, request: ReleaseRequest) -> Result<Permit, Refusal> {
        let office = &self.office;
        let admitted = self.desk(|desk| desk.admit(request, office.now())).map_err(refused::denied)?;
        let view = office.view(admitted.reads()).await?;
        let opened = admitted.open(&view, office.now()).map_err(refused::denied)?;
        self.desk(|desk| desk.learn(&opened));
        let view = office.view(opened.reads()).await?;
        let introduced = opened.introduce(&view).map_err(refused::denied)?;
        let view = office.view(introduced.reads()).await?;
        let decided = self.decide(introduced, &view).map_err(refused::denied)?;
        self.refusals.locked(|refusals| decided.permit(refusals)).map_err(refused::denied)
    }

    /// Policies are read and judged here, and not under the lock that votes wait for.
    fn decide(&self, introduced: Introduced, view: &FinalView) -> Result<Decided, Denied> {
        // Policies hold no invariant that a panic in between could break.
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        decide(introduced, view, &mut policies, self.office.now())
    }

    fn desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        // A desk holds no invariant that a panic in between could break.
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The dangerous act: re-seals shares to the reader's key and signs what was done. It uses up the
/// permit, which is the only thing it can be done with, and gives nothing the permit does not open.
///
/// # Errors
/// A denial when the grant was refused meanwhile or the decision is too old.
pub fn release(
    permit: Permit,
    page: Page,
    refusals: &Refusals,
    office: &Office,
    rng: &mut impl CryptoRng,
) -> Result<Released, Refusal> {
    let redeemed = permit.redeem(refusals, office.now()).map_err(refused::denied)?;
    if !page.shares.iter().all(|share| redeemed.opens(&share.header)) {
        return Err(refused::denied(Denied::ViewIncomplete));
    }
    let (custodian, access, remaining) = (office.me, redeemed.access(), page.remaining);
    let shares = List::new(page.shares).map_err(|_| refused::bare(Code::Internal))?;
    let info = release_info(office.chain, custodian, access);
    let sealed = redeemed
        .reader()
        .seal(&info, &[], &encode(&EpochShares(shares)), rng)
        .map_err(|_| refused::because(Code::Malformed, "the reader's key is not a key"))?;
    let message = released_message(office.chain, custodian, access, &sealed, remaining);
    let signature = office.service.sign(namespaces::RELEASED, &message);
    Ok(Released { custodian, access, sealed, remaining, signature })
}

#[cfg(test)]
mod tests;
