//! Looks are found by their grant, whatever became of what was kept.

use super::*;
use crate::disk::tests::{Failing, Listed};
use object_store::memory::InMemory;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::{ChainAnchor, ChainTag};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{Signature, SigningKey};
use salus_wire::consent::{Grant, Grantee};
use salus_wire::emergency::LookHeader;
use salus_wire::limits::EMERGENCY_TAG_BYTES;
use salus_wire::release::ShareBytes;
use salus_wire::{Blob, Classes, Codes, List, PartyId, Purpose, Purposes, Scope, TimeMs, TimeSpan};
use std::io::ErrorKind;
use std::sync::Arc;

fn key() -> MachineKey {
    MachineKey::new(Secret::from_bytes([1; 32]))
}

fn grant(n: u8) -> GrantTag {
    GrantTag(ChainTag::from_digest(Digest::from_bytes([n; 32])))
}

fn card(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

/// A grant that opens under a card.
fn terms(under: u8) -> Grant {
    let span = TimeSpan::new(TimeMs::new(1), TimeMs::new(2)).unwrap();
    let key = SigningKey::from_seed(Secret::from_bytes([5; 32])).public_key();
    Grant {
        salt: [0; 32],
        writer: PartyId::new([0; 16]),
        grantee: Grantee::Emergency { card: card(under) },
        scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span },
        purposes: Purposes::only(Purpose::Emergency),
        validity: span,
        denies: List::empty(),
        lane: ChainAnchor::from_digest(Digest::ZERO),
        one_time: key,
        data: None,
    }
}

fn look(of: u8, under: u8, place: u16) -> LookShare {
    let header = LookHeader {
        grant: grant(of),
        terms: terms(under),
        place,
        look: Digest::ZERO,
        tag: Blob::new(vec![0; EMERGENCY_TAG_BYTES]).unwrap(),
        threshold: 3,
        share_hashes: List::empty(),
        key_commitment: Digest::ZERO,
        kit: Blob::new(vec![0; EMERGENCY_KIT_BYTES]).unwrap(),
        mark: Digest::ZERO,
    };
    let signature = Signature::from_bytes([0; 64]);
    LookShare { header, signature, share: ShareBytes(Secret::from_bytes([9; 32])) }
}

async fn keep(kept: &Emergencies, looks: &[LookShare]) -> Result<(), StoreError> {
    let card_of = |look: &LookShare| match &look.header.terms.grantee {
        Grantee::Emergency { card } => *card,
        _ => Digest::ZERO,
    };
    for under in looks.chunk_by(|a, b| card_of(a) == card_of(b)) {
        let mut rng = StdRng::seed_from_u64(1);
        kept.keep(&card_of(&under[0]), under, &mut rng).await.map(drop)?;
    }
    Ok(())
}

async fn places(kept: &Emergencies, under: u8) -> Vec<(GrantTag, u16)> {
    let looks = kept.looks(&card(under)).await.unwrap();
    let mut places: Vec<_> = looks.iter().map(|look| (look.header.grant, look.header.place)).collect();
    places.sort_unstable();
    places
}

#[tokio::test]
async fn the_looks_of_a_grant_go_and_no_others_also_when_one_is_spoilt() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Emergencies::open(dir.path(), key()).unwrap();
    keep(&kept, &[look(1, 1, 1), look(1, 1, 2), look(1, 2, 1), look(2, 1, 1)]).await.unwrap();
    keep(&kept, &[look(1, 1, 1)]).await.unwrap();
    // Another patient's look, and one of the patient's own, are not what was written.
    keep(&kept, &[look(3, 3, 1), look(1, 4, 1)]).await.unwrap();
    for under in [3, 4] {
        let grant = grant(if under == 3 { 3 } else { 1 });
        let folder = dir.path().join(kept.grant_folder(&card(under), &grant));
        let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::write(file, b"spoilt").unwrap();
    }
    kept.destroy(&BTreeSet::from([grant(1), grant(9)])).await.unwrap();
    assert_eq!(places(&kept, 1).await, [(grant(2), 1)]);
    assert!(places(&kept, 2).await.is_empty() && places(&kept, 4).await.is_empty());
    let left = |folder: &str| std::fs::read_dir(dir.path().join(folder)).unwrap().count();
    // Cards 1 and 3, grants 2 and 3: the name of a folder would say that there was somebody.
    assert_eq!((left(LOOKS), left(BY_GRANT)), (2, 2));
    kept.destroy(&BTreeSet::from([grant(1)])).await.unwrap();
}

#[tokio::test]
async fn to_destroy_looks_only_the_folders_of_their_grants_are_listed() {
    let listed = Listed::new();
    let kept = Emergencies::over(Disk::over(listed.clone()), key());
    keep(&kept, &[look(1, 1, 1), look(2, 1, 1)]).await.unwrap();
    listed.forget();
    kept.destroy(&BTreeSet::from([grant(1)])).await.unwrap();
    assert_eq!(listed.prefixes(), [kept.cards_folder(&grant(1)), kept.grant_folder(&card(1), &grant(1))]);
}

#[tokio::test]
async fn no_look_is_kept_that_its_grant_does_not_find() {
    for writes in 0..=3 {
        let failing = Failing::after(writes, ErrorKind::StorageFull);
        let kept = Emergencies::over(Disk::over(failing), key());
        let done = keep(&kept, &[look(1, 1, 1), look(1, 1, 2)]).await.is_ok();
        assert_eq!(done, writes == 3);
        kept.destroy(&BTreeSet::from([grant(1)])).await.unwrap();
        assert!(places(&kept, 1).await.is_empty(), "after {writes} writes");
    }
}

#[tokio::test]
async fn memory_forgets_as_a_folder_does() {
    let kept = Emergencies::over(Disk::over(Arc::new(InMemory::new())), key());
    keep(&kept, &[look(1, 1, 1)]).await.unwrap();
    kept.destroy(&BTreeSet::from([grant(1)])).await.unwrap();
    assert!(places(&kept, 1).await.is_empty());
}
