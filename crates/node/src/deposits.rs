//! The custodian's intake: opens a writer's envelopes, checks every share, and keeps it sealed.
//!
//! A share is kept only if its header is signed by the registered writer who brings it and the
//! share at this custodian's place matches the header's hash, so that no share kept here can later
//! put the blame on this custodian.

use crate::limits::DEPOSIT_SHARES_MAX;
use crate::office::Office;
use crate::refused;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::PublicKey;
use salus_fragment::verify_share;
use salus_store::Shares;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::release::{Deposit, Envelope, EpochShare, EpochShares, deposit_message, envelope_info};
use salus_wire::rpc::{Refusal, Response};
use salus_wire::{ChainId, Code, decode, namespaces};
use std::sync::Arc;

/// The intake of one custodian.
pub struct Deposits {
    office: Arc<Office>,
    kem: Arc<KemSecretKey>,
    shares: Arc<Shares>,
}

impl Deposits {
    /// The intake over what a disk holds; `kem` opens what is sealed to this custodian.
    #[must_use]
    pub fn new(office: Arc<Office>, kem: Arc<KemSecretKey>, shares: Arc<Shares>) -> Self {
        Self { office, kem, shares }
    }

    /// Takes a deposit; answers [`Response::Deposited`] once every share is durable.
    ///
    /// # Errors
    /// A refusal; some shares may be kept, and the writer brings all of them again.
    pub async fn take(&self, deposit: Deposit) -> Result<Response, Refusal> {
        let office = &self.office;
        if deposit.custodian != office.me {
            return Err(refused::because(
                Code::RequestReplayed,
                "the deposit is addressed to another custodian",
            ));
        }
        let key = office.writer_key(deposit.writer).await?;
        signed(office.chain, &deposit, &key).map_err(refused::bare)?;
        let mut shares = Vec::new();
        for envelope in deposit.envelopes.iter() {
            shares.extend(self.open(&deposit, envelope, &key)?);
            if shares.len() > DEPOSIT_SHARES_MAX {
                return Err(refused::bare(Code::TooLarge));
            }
            // Opening and checking an envelope is milliseconds of work: let others in between.
            tokio::task::yield_now().await;
        }
        let mut rng = office.rng()?;
        let durable = self.shares.keep(shares, &mut rng).await.map_err(|error| refused::store(&error))?;
        Ok(durable.deposited())
    }

    /// Returns when its disk has failed: it must take nothing more, and the node must end.
    pub async fn failed(&self) {
        self.shares.failed().await;
    }

    fn open(
        &self,
        deposit: &Deposit,
        envelope: &Envelope,
        key: &PublicKey,
    ) -> Result<Vec<EpochShare>, Refusal> {
        let Office { chain, me, faults, .. } = *self.office;
        let info = envelope_info(chain, deposit.writer, me);
        let plain = self
            .kem
            .open(&info, &[], &envelope.sealed)
            .map_err(|_| refused::because(Code::BodyMismatch, "an envelope does not open"))?;
        let EpochShares(shares) = decode(&plain, RPC_BYTES_MAX)
            .map_err(|_| refused::because(Code::Malformed, "an envelope does not hold key shares"))?;
        for share in shares.iter() {
            if share.header.writer != deposit.writer {
                return Err(refused::because(Code::BadSignature, "an epoch names another writer"));
            }
            verify_share(chain, faults, key, me, share)
                .map_err(|fault| refused::because(Code::WriterFault, &fault.to_string()))?;
        }
        Ok(shares.into_vec())
    }
}

fn signed(chain: ChainId, deposit: &Deposit, key: &PublicKey) -> Result<(), Code> {
    let message = deposit_message(chain, deposit.writer, deposit.custodian, &deposit.envelopes);
    key.verify(namespaces::DEPOSIT, &message, &deposit.signature).map_err(|_| Code::BadSignature)
}

#[cfg(test)]
mod tests;
