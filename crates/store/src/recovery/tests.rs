//! What is kept comes back after a restart, by its name, by its chain and by what came after it, and a disk tells
//! a stranger nothing.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::{ChainSeed, ChainTag};
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_wire::recovery::CasePlace;
use salus_wire::{Blob, List};

fn anchor(n: u8) -> ChainAnchor {
    ChainSeed::new(Secret::from_bytes([n; 32])).anchor()
}

fn kept(chain: u8, name: u8) -> KeptRecovery {
    let terms = RecoveryTerms {
        name: Digest::from_bytes([name; 32]),
        chain: anchor(chain),
        data: anchor(chain),
        delay_ms: 1_000,
        needed: 2,
        guardians: List::new(vec![place().opener; GUARDIANS_MAX]).unwrap(),
        places: List::new(vec![place(); RECOVERY_CASES_MAX]).unwrap(),
        threshold: 3,
        share_hashes: List::new(vec![Digest::ZERO; MEMBERS_MAX]).unwrap(),
        custodian_key: Digest::ZERO,
    };
    let entry = GrantTag(ChainTag::from_digest(Digest::from_bytes([chain; 32])));
    KeptRecovery { entry, terms, share: ShareBytes(Secret::from_bytes([7; 32])), successor: None }
}

/// The longest place there is.
fn place() -> CasePlace {
    let key = SigningKey::from_seed(Secret::from_bytes([1; 32])).public_key();
    CasePlace {
        opener: key,
        veto: key,
        guardian_hashes: List::new(vec![Digest::ZERO; GUARDIANS_MAX]).unwrap(),
        guardian_key: Digest::ZERO,
        package: Blob::new(vec![1; RECOVERY_PACKAGE_BYTES]).unwrap(),
    }
}

fn machine(n: u8) -> MachineKey {
    MachineKey::new(Secret::from_bytes([n; 32]))
}

#[tokio::test]
async fn what_is_kept_is_found_again_after_a_restart() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(1));
    let open = || Recoveries::open(folder.path(), machine(1)).unwrap();
    let name = |n: u8| Digest::from_bytes([n; 32]);
    assert!(open().of_chain(&anchor(1)).await.unwrap().is_none());
    let durable = open().keep(&kept(1, 1), &mut rng).await.unwrap();
    assert!(matches!(durable.kept(), Response::RecoveryKept));
    assert_eq!(open().of_name(&name(1)).await.unwrap().unwrap().terms, kept(1, 1).terms);
    // A preparation that was replaced is not found by its name any more.
    let _ = open().keep(&kept(1, 2), &mut rng).await.unwrap();
    assert!(open().of_name(&name(1)).await.unwrap().is_none());
    assert_eq!(open().of_chain(&anchor(1)).await.unwrap().unwrap().terms.name, name(2));

    let data = kept(1, 2).terms.data;
    assert!(open().before(&anchor(9), &data).await.unwrap().is_none());
    let ended = KeptRecovery { successor: Some(anchor(9)), ..kept(1, 2) };
    let _ = open().succeed(&ended, &mut rng).await.unwrap();
    let before = open().before(&anchor(9), &data).await.unwrap();
    assert_eq!(before.map(|kept| kept.terms.chain), Some(anchor(1)));
    assert!(open().before(&anchor(8), &data).await.unwrap().is_none());
    // Whoever names a successor for what is theirs says nothing of anybody else's data.
    assert!(open().before(&anchor(9), &anchor(7)).await.unwrap().is_none());
    // Erased: nothing is left under any name.
    open().destroy(&anchor(1)).await.unwrap();
    assert!(open().of_chain(&anchor(1)).await.unwrap().is_none());
    assert!(open().of_name(&name(2)).await.unwrap().is_none());
    for objects in [CHAINS, NAMES, SUCCESSORS] {
        assert_eq!(open().disk.list(objects).await.unwrap(), Vec::<String>::new(), "{objects}");
    }
    open().destroy(&anchor(1)).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_after_somebody_looked_is_found_and_what_is_destroyed_is_not() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(1));
    let mine = Recoveries::open(folder.path(), machine(1)).unwrap();
    assert!(mine.of_chain(&anchor(1)).await.unwrap().is_none());
    let _ = mine.keep(&kept(1, 1), &mut rng).await.unwrap();
    assert!(mine.of_chain(&anchor(1)).await.unwrap().is_some());
    assert!(mine.of_chain(&anchor(2)).await.unwrap().is_none());
    mine.destroy(&anchor(1)).await.unwrap();
    assert!(mine.of_chain(&anchor(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stolen_disk_and_another_machine_tell_nothing() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(1));
    let mine = Recoveries::open(folder.path(), machine(1)).unwrap();
    let _ = mine.keep(&kept(1, 1), &mut rng).await.unwrap();
    let other = Recoveries::open(folder.path(), machine(2)).unwrap();
    assert!(other.of_chain(&anchor(1)).await.unwrap().is_none());
    let object = mine.disk.list(CHAINS).await.unwrap().remove(0);
    assert!(matches!(other.read::<KeptRecovery>(&object).await, Err(StoreError::Corrupt { .. })));
    let path = folder.path().join(&object);
    let good = std::fs::read(&path).unwrap();
    assert!(!good.windows(32).any(|window| window == anchor(1).as_bytes() || window == [7; 32]));
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&path, bad).unwrap();
    assert!(matches!(mine.of_chain(&anchor(1)).await, Err(StoreError::Corrupt { .. })));
}
