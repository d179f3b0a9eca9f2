//! Anchored manifests: that a segment's manifest stands in a batch that the ledger keeps.
//!
//! Promises that an [`Anchored`] manifest was under an anchor in a proven state. Refuses to know
//! what the segment holds; the manifest does not say.

use crate::error::Unproven;
use crate::state::{Proven, ProvenState};
use salus_crypto::merkle;
use salus_wire::limits::BATCH_SEGMENTS_MAX;
use salus_wire::rpc::BatchPlace;
use salus_wire::state::Tip;
use salus_wire::{BatchNumber, Manifest, PartyId, StateKey, StateValue};

/// A manifest that the ledger keeps. Only [`verify`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Anchored {
    manifest: Manifest,
    gateway: PartyId,
    batch: BatchNumber,
    at: Tip,
}

impl Anchored {
    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The gateway that wrote and anchored it.
    #[must_use]
    pub const fn gateway(&self) -> PartyId {
        self.gateway
    }

    /// The gateway's batch that holds it.
    #[must_use]
    pub const fn batch(&self) -> BatchNumber {
        self.batch
    }

    /// When its batch became final.
    #[must_use]
    pub const fn at(&self) -> Tip {
        self.at
    }
}

/// Checks that `manifest` stands at `place` under an anchor that `state` proves present.
///
/// # Errors
/// [`Unproven::AnchorOther`] when the state is not about that anchor, [`Unproven::AnchorAbsent`]
/// when there is none, [`Unproven::ManifestPath`] when the manifest is not under it.
pub fn verify(state: &ProvenState, place: &BatchPlace, manifest: Manifest) -> Result<Anchored, Unproven> {
    let (gateway, batch) = (place.gateway, place.batch);
    let anchor = match state.get(&StateKey::Anchor(gateway, batch)) {
        Proven::Present(StateValue::Anchor(anchor)) => anchor,
        Proven::Present(_) | Proven::NotAsked => return Err(Unproven::AnchorOther),
        Proven::Absent => return Err(Unproven::AnchorAbsent),
    };
    let fits = usize::try_from(place.count).is_ok_and(|count| count <= BATCH_SEGMENTS_MAX);
    let (index, count) = (u64::from(place.index), u64::from(place.count));
    if !fits || !merkle::verify(&anchor.root, &manifest.digest(), index, count, &place.path) {
        return Err(Unproven::ManifestPath);
    }
    Ok(Anchored { manifest, gateway, batch, at: anchor.since })
}
