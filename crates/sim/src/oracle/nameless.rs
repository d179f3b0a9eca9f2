//! INV-3, nameless, as far as bytes can show it: no key, commitment or body that the product puts on the
//! ledger for a patient is ever there twice, and no device's identifier is there at all.
//!
//! Refuses to judge transactions of which no patient or reader told: a liar may link what it likes.

use super::chains::Chains;
use super::kept::{Fault, fault};
use salus_crypto::digest::Digest;
use salus_crypto::sign::PublicKey;
use salus_wire::rpc::FinalBlock;
use salus_wire::{DeviceId, Height, Outcome, Tx, TxBody, encode};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of an identifier.
const ID_BYTES: usize = 16;
/// Distinct bytes that an identifier must have to be told from padding.
const DISTINCT_MIN: usize = 8;

/// What stood on the ledger for patients, and what never may.
#[derive(Default)]
pub(crate) struct Nameless {
    keys: BTreeMap<PublicKey, Height>,
    commitments: BTreeMap<Digest, Height>,
    bodies: BTreeMap<Vec<u8>, Height>,
    devices: BTreeSet<[u8; ID_BYTES]>,
}

impl Nameless {
    /// A device that may not be named.
    pub(crate) fn device(&mut self, device: DeviceId) {
        let distinct: BTreeSet<u8> = device.as_bytes().iter().copied().collect();
        if distinct.len() >= DISTINCT_MIN {
            self.devices.insert(*device.as_bytes());
        }
    }

    /// A block became final.
    pub(crate) fn became_final(&mut self, block: &FinalBlock, chains: &Chains) -> Result<(), Fault> {
        let height = block.block.header.height;
        let bytes = encode(&block.block);
        if bytes.array_windows::<ID_BYTES>().any(|window| self.devices.contains(window)) {
            return fault("INV-3", format!("block {height} names a device"));
        }
        for (tx, outcome) in block.block.transactions.iter().zip(block.outcomes.iter()) {
            if *outcome == Outcome::Applied {
                self.once(height, tx, chains)?;
            }
        }
        Ok(())
    }

    fn once(&mut self, height: Height, tx: &Tx, chains: &Chains) -> Result<(), Fault> {
        let (commitment, body) = match &tx.body {
            TxBody::CommitGrant { tag, commitment, body } if chains.owner(tag).is_some() => {
                (commitment, body.to_vec())
            }
            TxBody::RecordAccess { tag, commitment, body } if chains.is_intended(tag) => {
                (commitment, body.to_vec())
            }
            _ => return Ok(()),
        };
        let repeated = [
            ("key", self.keys.insert(tx.signer, height)),
            ("commitment", self.commitments.insert(*commitment, height)),
            ("body", self.bodies.insert(body, height)),
        ];
        match repeated.iter().find_map(|(what, before)| before.map(|before| (what, before))) {
            Some((what, before)) => {
                fault("INV-3", format!("block {height} repeats a {what} of block {before}"))
            }
            None => Ok(()),
        }
    }
}
