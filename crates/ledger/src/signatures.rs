//! The signatures of a block, all at once: of every transaction, and of every store's promise
//! within an anchor.
//!
//! Promises the same verdict one by one and in a batch (ZIP 215). Refuses to know whether a signer
//! may do what it signed; that is for the rules. Member keys do not change in this version, so the
//! keys of genesis serve for every height.

use rand_core::CryptoRng;
use salus_crypto::{Batch, PublicKey};
use salus_planted::{Bug, is};
use salus_wire::manifest::held_message;
use salus_wire::{ChainId, MemberIndex, Tx, TxBody, namespaces};

/// Some transactions carry a signature that does not verify: their sender's fault, or that of a
/// store whose promise they carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} transactions carry a signature that does not verify", indices.len())]
pub struct BadSignatures {
    /// Which ones, by place in the list that was checked; ascending, each once, never empty.
    pub indices: Vec<usize>,
}

/// Checks the signature of every transaction under its own signer key, and every store's promise
/// under the service key of that store's member. `service_keys` stand in the order of the members;
/// `rng` must be unpredictable to whoever made the signatures.
///
/// # Errors
/// [`BadSignatures`] with every transaction that is bad, so that a queue drops them in one go.
pub fn check_signatures(
    chain: ChainId,
    txs: &[Tx],
    service_keys: &[PublicKey],
    rng: &mut impl CryptoRng,
) -> Result<(), BadSignatures> {
    let mut gathered = Gathered { batch: Batch::new(), owners: Vec::new(), bad: Vec::new() };
    for (index, tx) in txs.iter().enumerate() {
        gathered.add(chain, index, tx, service_keys);
    }
    if is(Bug::SignaturesUnchecked) {
        return Ok(());
    }
    if gathered.batch.verify(rng).is_err() {
        gathered.blame();
    }
    gathered.verdict()
}

/// Signatures on their way into one check.
struct Gathered {
    batch: Batch,
    /// For each signature of the batch, the transaction that carries it.
    owners: Vec<usize>,
    bad: Vec<usize>,
}

impl Gathered {
    fn add(&mut self, chain: ChainId, index: usize, tx: &Tx, service_keys: &[PublicKey]) {
        self.batch.push(namespaces::TX, &Tx::message(chain, &tx.body), tx.signer, tx.signature);
        self.owners.push(index);
        let TxBody::Anchor { gateway, batch, root, held } = &tx.body else { return };
        for promise in held.iter() {
            let Some(key) = service_key(service_keys, promise.store) else {
                self.bad.push(index);
                continue;
            };
            let message = held_message(chain, *gateway, *batch, *root, promise.store);
            self.batch.push(namespaces::HELD, &message, key, promise.signature);
            self.owners.push(index);
        }
    }

    /// Goes through the batch one by one, because a batch only says that something is wrong.
    fn blame(&mut self) {
        let culprits = self.batch.find_bad();
        self.bad.extend(culprits.iter().filter_map(|signature| self.owners.get(*signature)));
    }

    fn verdict(mut self) -> Result<(), BadSignatures> {
        self.bad.sort_unstable();
        self.bad.dedup();
        if self.bad.is_empty() {
            return Ok(());
        }
        Err(BadSignatures { indices: self.bad })
    }
}

fn service_key(keys: &[PublicKey], store: MemberIndex) -> Option<PublicKey> {
    keys.get(usize::from(store.get())).copied()
}
