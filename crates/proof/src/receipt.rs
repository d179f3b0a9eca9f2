//! Readings under a manifest: one with a receipt, or all of an opened segment.
//!
//! Promises `Verified` readings only after the whole road down from a certificate, or up to it,
//! was checked, and that a segment's readings are all there. Refuses to open segments and to know
//! what a reading means.

use crate::batch::{self, Anchored};
use crate::error::Unproven;
use crate::policy::TrustPolicy;
use crate::state;
use crate::verified::{Claim, FromLeaf, Verified};
use rand_core::CryptoRng;
use salus_crypto::{Batch, Digest, merkle};
use salus_wire::limits::SEGMENT_LEAVES_MAX;
use salus_wire::receipt::Leaf;
use salus_wire::{Receipt, StateKey, decode};

/// Bytes of an encoded receipt: a largest leaf with its paths, a manifest, a longest header chain
/// with its certificate, and a deepest state path, rounded up.
pub const RECEIPT_BYTES_MAX: usize = 128 * 1024;

/// Readings whose signatures are checked in one batch, which bounds the memory for signed bytes.
const BATCH_LEAVES: usize = 256;

/// Decodes a receipt file.
///
/// # Errors
/// [`Unproven::Malformed`] for anything but one canonical receipt.
pub fn read(bytes: &[u8]) -> Result<Receipt, Unproven> {
    Ok(decode(bytes, RECEIPT_BYTES_MAX)?)
}

/// Checks a receipt from its certificate down to the device's signature, in the order of
/// `spec/receipt.md`.
///
/// # Errors
/// The first [`Unproven`] that applies.
pub fn verify<T: FromLeaf>(policy: &TrustPolicy, receipt: &Receipt) -> Result<Verified<T>, Unproven> {
    let state = state::verify(policy, &receipt.anchor)?;
    let key = StateKey::Anchor(receipt.place.gateway, receipt.place.batch);
    if !matches!(&*receipt.anchor.items, [item] if item.key == key) {
        return Err(Unproven::AnchorOther);
    }
    let anchored = batch::verify(&state, &receipt.place, receipt.manifest.clone())?;
    let leaf = receipt.leaf.digest(&receipt.salt);
    let (index, count) = (u64::from(receipt.index), u64::from(receipt.count));
    let fits = usize::try_from(receipt.count).is_ok_and(|count| count <= SEGMENT_LEAVES_MAX);
    if !fits || !merkle::verify(&receipt.manifest.leaves, &leaf, index, count, &receipt.path) {
        return Err(Unproven::LeafPath);
    }
    let Claim { value, signed, signature } = T::from_leaf(&receipt.leaf).map_err(Unproven::Leaf)?;
    let key = receipt.leaf.device_key;
    key.verify_raw(&signed, &signature).map_err(|_| Unproven::DeviceSignature)?;
    Ok(Verified::new(value, &anchored))
}

/// Checks that `leaves`, each with its salt, are all the readings of a segment whose manifest is
/// anchored, in order, and every device's signature. `rng` must be unpredictable to the devices.
///
/// # Errors
/// [`Unproven::LeavesRoot`] when they are not what the manifest commits to, [`Unproven::Leaf`] and
/// [`Unproven::DeviceSignature`] for the first that is no signed reading.
pub fn verify_leaves<T: FromLeaf>(
    anchored: &Anchored,
    leaves: &[([u8; 32], Leaf)],
    rng: &mut impl CryptoRng,
) -> Result<Vec<Verified<T>>, Unproven> {
    let digests: Vec<Digest> = leaves.iter().map(|(salt, leaf)| leaf.digest(salt)).collect();
    let fits = !leaves.is_empty() && leaves.len() <= SEGMENT_LEAVES_MAX;
    if !fits || merkle::root(&digests) != anchored.manifest().leaves {
        return Err(Unproven::LeavesRoot);
    }
    let mut readings = Vec::with_capacity(leaves.len());
    for part in leaves.chunks(BATCH_LEAVES) {
        readings.extend(signed_readings(part, rng)?);
    }
    Ok(readings.into_iter().map(|value| Verified::new(value, anchored)).collect())
}

fn signed_readings<T: FromLeaf>(
    leaves: &[([u8; 32], Leaf)],
    rng: &mut impl CryptoRng,
) -> Result<Vec<T>, Unproven> {
    let mut signatures = Batch::new();
    let mut values = Vec::with_capacity(leaves.len());
    for (_, leaf) in leaves {
        let claim = T::from_leaf(leaf).map_err(Unproven::Leaf)?;
        signatures.push_raw(&claim.signed, leaf.device_key, claim.signature);
        values.push(claim.value);
    }
    signatures.verify(rng).map_err(|_| Unproven::DeviceSignature)?;
    Ok(values)
}
