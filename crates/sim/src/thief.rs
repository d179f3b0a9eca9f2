//! A thief who has the disks and keys of f members, the most that may be, and tries to open epoch keys
//! with the shares that lie there (INV-2).

use crate::clock::age_ms;
use crate::disk::lock;
use crate::oracle::Broken;
use crate::world::World;
use commonware_runtime::deterministic::Context;
use rand::seq::SliceRandom;
use salus_crypto::secret::Secret;
use salus_crypto::sharing::{Share, ShareIndex, Threshold, combine, key_commitment};
use salus_wire::release::EpochShare;
use salus_wire::{EpochId, MemberIndex};
use std::collections::BTreeMap;

/// Of each epoch, its shares with whose they were.
type Loot = BTreeMap<EpochId, Vec<(MemberIndex, EpochShare)>>;

/// Robs f members, and breaks the promise when that opens anything.
pub async fn steal(world: &World, context: &Context) {
    let mut members: Vec<MemberIndex> = world.cast.indices().collect();
    members.shuffle(&mut *lock(&world.dice));
    members.truncate(usize::from(world.cast.faults.tolerated()));
    let mut loot = Loot::new();
    for member in members {
        rob(world, member, &mut loot).await;
    }
    world.fault_times("stolen share", loot.values().map(Vec::len).sum());
    if let Some(epoch) = loot.values().position(|shares| opens(shares)) {
        let how = format!("the disks of f members open epoch {epoch} of {}", loot.len());
        world.breaks(Broken { promise: "INV-2", at_ms: age_ms(context), how });
    }
}

/// Takes every share that a member holds.
async fn rob(world: &World, member: MemberIndex, loot: &mut Loot) {
    let Some(life) = lock(&world.seat(member).life).clone() else { return };
    let anchors: Vec<_> = world.patients.iter().map(|patient| lock(patient).grants).collect();
    for anchor in anchors {
        let Ok(page) = life.shares.page(&anchor, |_| true, 0, usize::MAX).await else { continue };
        for share in page.shares {
            loot.entry(share.header.epoch).or_default().push((member, share));
        }
    }
}

/// Whether these shares make the key to which their header commits.
fn opens(shares: &[(MemberIndex, EpochShare)]) -> bool {
    let Some((_, first)) = shares.first() else { return false };
    let parts = shares.iter().filter_map(|(member, share)| {
        let value = Secret::from_bytes(*share.share.0.danger_expose());
        Some(Share::from_parts(ShareIndex::new(member.get() + 1)?, value))
    });
    let parts: Vec<Share> = parts.collect();
    let threshold = u16::try_from(parts.len()).ok().and_then(Threshold::new);
    let key = threshold.and_then(|threshold| combine(threshold, &parts).ok());
    key.is_some_and(|key| key_commitment(first.header.epoch.as_bytes(), &key) == first.header.key_commitment)
}
