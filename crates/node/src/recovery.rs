//! The custodian of recoveries: keeps what patients prepare, gives its share to the wallet that guardians approved
//! once the ledger says so, and knows from the ledger which chains are ended (ADR 16).
//!
//! Nothing is given without a [`RecoveryPermit`], which only `salus_consent` makes, and nothing before it is
//! durable which chain has come in whose place.

use crate::office::Office;
use crate::refused;
use crate::turns::Turns;
use salus_consent::{
    Denied, Desk, RecoveryPermit, ShownPart, contested, in_charge, lets_stand, may_replace, recovery_reads,
};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::PublicKey;
use salus_store::Recoveries;
use salus_store::recovery::{KeptRecovery, SuccessorPromise};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::recovery::{
    RecoverRequest, Recovered, RecoveryDeposit, RecoveryPart, RecoveryTerms, recovered_info,
    recovered_message, recovery_deposit_info, recovery_deposit_message, terms_digest,
};
use salus_wire::rpc::{Refusal, Response};
use salus_wire::{Code, Height, StateKey, StateValue, decode, encode, namespaces};
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of this module.
pub struct Recovery {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    kem: Arc<KemSecretKey>,
    kept: Recoveries,
    /// The shortest delay that it keeps, in milliseconds.
    least_delay_ms: u64,
    /// One change of a chain at a time: what is kept is read, judged and written before the next is.
    chains: Turns,
}

/// What is kept already when a preparation is brought.
enum Known {
    /// This very one.
    This,
    /// None that stands in its way.
    Nothing,
}

impl Recovery {
    /// The role over what a disk holds; `kem` opens what is sealed to this custodian. It keeps no preparation with a
    /// delay under `least_delay_ms`: a patient must have the time to notice.
    #[must_use]
    pub fn new(office: Arc<Office>, kem: Arc<KemSecretKey>, kept: Recoveries, least_delay_ms: u64) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        Self { office, desk, kem, kept, least_delay_ms, chains: Turns::default() }
    }

    /// Keeps what a patient prepared.
    ///
    /// # Errors
    /// A refusal with the clause that does not hold.
    pub async fn keep(&self, deposit: RecoveryDeposit) -> Result<Response, Refusal> {
        let office = &self.office;
        if deposit.custodian != office.me {
            return Err(refused::denied(Denied::OtherCustodian));
        }
        let (_, entry) = office.fresh_entry(StateKey::Grant(deposit.entry)).await?;
        let Some(StateValue::Grant(record)) = entry else { return Err(refused::bare(Code::NoGrant)) };
        let shown =
            ShownPart::new(self.open(&deposit, &record.one_time)?, deposit.entry).map_err(refused::denied)?;
        let view = office.view(shown.reads()).await?;
        let prepared = shown.check(&view, office.faults, office.me, office.now()).map_err(refused::denied)?;
        let terms = prepared.terms();
        if terms.delay_ms < self.least_delay_ms {
            let detail = format!("this custodian takes {} ms at least", self.least_delay_ms);
            return Err(refused::because(Code::RecoveryTooShort, &detail));
        }
        self.in_charge(&terms.chain, &terms.data, Height::new(0)).await?;
        let _turn = self.chains.of(terms.chain.as_bytes()).await;
        if let Known::This = self.may_keep(terms).await? {
            return Ok(Response::RecoveryKept);
        }
        let (entry, terms, share) = prepared.into_parts();
        let kept = KeptRecovery { entry, terms, share, successor: None };
        let durable =
            self.kept.keep(&kept, &mut office.rng()?).await.map_err(|error| refused::store(&error))?;
        Ok(durable.kept())
    }

    fn open(&self, deposit: &RecoveryDeposit, one_time: &PublicKey) -> Result<RecoveryPart, Refusal> {
        let Office { chain, me, .. } = *self.office;
        let message = recovery_deposit_message(chain, deposit.entry, me, &deposit.sealed);
        one_time
            .verify(namespaces::RECOVERY_DEPOSIT, &message, &deposit.signature)
            .map_err(|_| refused::bare(Code::BadSignature))?;
        let info = recovery_deposit_info(chain, deposit.entry, me);
        let plain = self
            .kem
            .open(&info, &[], &deposit.sealed)
            .map_err(|_| refused::because(Code::BodyMismatch, "what was prepared does not open"))?;
        decode(&plain, RPC_BYTES_MAX)
            .map_err(|_| refused::because(Code::Malformed, "what was sealed prepares no recovery"))
    }

    /// Whoever holds the old wallet cannot put guardians of their own in the place of the patient's while these
    /// can act: another preparation is taken only when the one before was withdrawn for as long as its delay, and
    /// no case of it lives; and its delay is not shorter.
    async fn may_keep(&self, terms: &RecoveryTerms) -> Result<Known, Refusal> {
        let Some(old) = self.kept.of_chain(&terms.chain).await.map_err(|error| refused::store(&error))?
        else {
            return Ok(Known::Nothing);
        };
        if terms_digest(&old.terms) == terms_digest(terms) {
            return Ok(Known::This);
        }
        if terms.delay_ms < old.terms.delay_ms {
            return Err(refused::because(Code::RecoveryTooShort, "the one before has a longer delay"));
        }
        let view = self.office.view(recovery_reads(&old.terms, old.entry)).await?;
        match may_replace(&old.terms, old.entry, &view, self.office.now()).map_err(refused::denied)? {
            true => Ok(Known::Nothing),
            false => Err(refused::because(
                Code::AlreadyExists,
                "the preparation before stands, was withdrawn less than its delay ago, or has an open case",
            )),
        }
    }

    /// Gives this custodian's share to the new wallet of a case that is over.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn give(&self, request: RecoverRequest) -> Result<Recovered, Refusal> {
        let office = &self.office;
        let admitted =
            self.desk(|desk| desk.admit_recovery(request, office.now())).map_err(refused::denied)?;
        let named = async || {
            let found = self.kept.of_name(admitted.name()).await.map_err(|error| refused::store(&error))?;
            found.ok_or_else(|| refused::denied(Denied::NoRecovery))
        };
        let _turn = self.chains.of(named().await?.terms.chain.as_bytes()).await;
        // It may have been replaced while this waited.
        let kept = named().await?;
        let view = office.view(recovery_reads(&kept.terms, kept.entry)).await?;
        let permit =
            admitted.decide(&kept.terms, kept.entry, &view, office.now()).map_err(refused::denied)?;
        let kept = KeptRecovery { successor: Some(permit.successor()), ..kept };
        let durable =
            self.kept.succeed(&kept, &mut office.rng()?).await.map_err(|error| refused::store(&error))?;
        let SuccessorPromise = durable.promise();
        tracing::warn!("gave a share of a recovery, a wallet has come in the place of another");
        give(permit, &kept, office)
    }

    /// Whether the holder of `chain` may decide over data that lies under `data` by a grant that became final at
    /// `granted`, as far as this custodian knows at its own fresh head.
    ///
    /// # Errors
    /// [`Code::ChainMoved`] when not; this member's own failure.
    pub async fn in_charge(
        &self,
        chain: &ChainAnchor,
        data: &ChainAnchor,
        granted: Height,
    ) -> Result<(), Refusal> {
        self.lets_stand(chain, granted).await?;
        let mut before = None;
        if chain != data {
            before = self.kept.before(chain, data).await.map_err(|error| refused::store(&error))?;
        }
        in_charge(chain, data, before.as_ref().map(|kept| &kept.terms)).map_err(refused::denied)
    }

    /// Whether an order of erasure for a chain may be obeyed: not while a case of it is open, nor when one has ended
    /// it.
    ///
    /// # Errors
    /// As [`Recovery::in_charge`].
    pub async fn heed(&self, chain: &ChainAnchor) -> Result<(), Refusal> {
        let kept = self.kept.of_chain(chain).await.map_err(|error| refused::store(&error))?;
        let Some(kept) = kept else { return Ok(()) };
        let view = self.office.view(recovery_reads(&kept.terms, kept.entry)).await?;
        match contested(&kept.terms, kept.entry, &view, self.office.now()).map_err(refused::denied)? {
            false => Ok(()),
            true => {
                Err(refused::because(Code::ChainMoved, "a case of recovery is open, or has ended the chain"))
            }
        }
    }

    /// Destroys what is kept for a chain whose holder ordered it.
    ///
    /// # Errors
    /// A refusal; some of it may be there still.
    pub async fn destroy(&self, chain: &ChainAnchor) -> Result<(), Refusal> {
        let _turn = self.chains.of(chain.as_bytes()).await;
        self.kept.destroy(chain).await.map_err(|error| refused::store(&error))
    }

    async fn lets_stand(&self, chain: &ChainAnchor, granted: Height) -> Result<(), Refusal> {
        let kept = self.kept.of_chain(chain).await.map_err(|error| refused::store(&error))?;
        let Some(kept) = kept else { return Ok(()) };
        let view = self.office.view(recovery_reads(&kept.terms, kept.entry)).await?;
        lets_stand(&kept.terms, kept.entry, &view, granted, self.office.now()).map_err(refused::denied)
    }

    /// Returns when its disk has failed: it must take nothing more, and the node must end.
    pub async fn failed(&self) {
        self.kept.failed().await;
    }

    fn desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        // A desk holds no invariant that a panic in between could break.
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The dangerous act: seals the share to the new wallet's key and signs what was done. It uses the permit up.
///
/// # Errors
/// A denial when the decision is too old.
fn give(permit: RecoveryPermit, kept: &KeptRecovery, office: &Office) -> Result<Recovered, Refusal> {
    let redeemed = permit.redeem(office.now()).map_err(refused::denied)?;
    let (custodian, case) = (office.me, &redeemed.case);
    let info = recovered_info(office.chain, custodian, case);
    let sealed = redeemed
        .reader
        .seal(&info, &[], &encode(&kept.share), &mut office.rng()?)
        .map_err(|_| refused::because(Code::Malformed, "the new wallet's key is not a key"))?;
    let message = recovered_message(office.chain, custodian, case, &sealed);
    let signature = office.service.sign(namespaces::RECOVERED, &message);
    Ok(Recovered { custodian, sealed, signature })
}

#[cfg(test)]
mod tests;
