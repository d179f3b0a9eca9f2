//! Making receipts from what a read verified. Checking them is `salus_proof::verify`'s work.

use crate::read_segments::Evidence;
use salus_crypto::merkle;
use salus_wire::receipt::{Receipt, ReceiptVersion};
use salus_wire::{List, StateKey, StateProof};

/// The state key whose proof a receipt of this reading needs.
#[must_use]
pub fn anchor_key(evidence: &Evidence) -> StateKey {
    let place = &evidence.segment.place;
    StateKey::Anchor(place.gateway, place.batch)
}

/// The receipt of one reading, from its evidence and a proof of exactly its [`anchor_key`].
/// `None` when the evidence does not fit together, which a verified read rules out.
#[must_use]
pub fn receipt(evidence: &Evidence, anchor: StateProof) -> Option<Receipt> {
    let segment = &evidence.segment;
    let index = usize::try_from(evidence.index).ok()?;
    Some(Receipt {
        version: ReceiptVersion::V1,
        leaf: evidence.leaf.clone(),
        salt: evidence.salt,
        index: evidence.index,
        count: u32::try_from(segment.leaves.len()).ok()?,
        path: List::new(merkle::path(&segment.leaves, index)?).ok()?,
        manifest: segment.manifest.clone(),
        place: segment.place.clone(),
        anchor,
    })
}
