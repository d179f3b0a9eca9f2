//! Shares kept, paged, contradicted, and unreadable without the machine key.

use super::*;
use crate::disk::tests::Failing;
use object_store::memory::InMemory;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::Signature;
use salus_wire::release::ShareBytes;
use salus_wire::{DataClass, List, ObservationCode, PartyId, TimeSpan};
use std::io::ErrorKind;
use std::sync::Arc;

fn rng() -> StdRng {
    StdRng::seed_from_u64(3)
}

fn machine_key(n: u8) -> MachineKey {
    MachineKey::new(Secret::from_bytes([n; 32]))
}

fn chain(n: u8) -> ChainAnchor {
    ChainAnchor::from_digest(Digest::from_bytes([n; 32]))
}

fn share(grants: u8, epoch: u8, from: u64, secret: u8) -> EpochShare {
    let header = EpochHeader {
        epoch: EpochId::new([epoch; 16]),
        writer: PartyId::new([4; 16]),
        class: DataClass::Vitals,
        code: ObservationCode::Loinc(8_867),
        span: TimeSpan::new(TimeMs::new(from), TimeMs::new(from + 10)).unwrap(),
        grants: chain(grants),
        threshold: 3,
        share_hashes: List::empty(),
        key_commitment: Digest::ZERO,
    };
    let signature = Signature::from_bytes([0; 64]);
    EpochShare { header, signature, share: ShareBytes(Secret::from_bytes([secret; 32])) }
}

async fn in_memory() -> Shares {
    Shares::over(Disk::over(Arc::new(InMemory::new())), machine_key(1)).await.unwrap()
}

async fn keep(shares: &Shares, these: Vec<EpochShare>) -> Result<Response, StoreError> {
    shares.keep(these, &mut rng()).await.map(Durable::deposited)
}

async fn epochs(shares: &Shares, grants: u8, skip: u32, page_max: usize) -> (Vec<u8>, u32) {
    let page = shares.page(&chain(grants), |_| true, skip, page_max).await.unwrap();
    (page.shares.iter().map(|share| share.header.epoch.as_bytes()[0]).collect(), page.remaining)
}

#[tokio::test]
async fn pages_are_in_order_of_span_and_of_one_chain() {
    let shares = in_memory().await;
    let four = vec![share(1, 9, 100, 0), share(1, 8, 300, 0), share(2, 7, 150, 0), share(1, 6, 200, 0)];
    assert!(matches!(keep(&shares, four).await, Ok(Response::Deposited)));
    assert_eq!(shares.count(), 4);
    for (grants, skip, page_max, expected) in [
        (1, 0, 9, (vec![9, 6, 8], 0)),
        (1, 0, 2, (vec![9, 6], 1)),
        (1, 2, 2, (vec![8], 0)),
        (1, 3, 2, (vec![], 0)),
        (1, u32::MAX, 2, (vec![], 0)),
        (2, 0, 9, (vec![7], 0)),
        (3, 0, 9, (vec![], 0)),
    ] {
        assert_eq!(epochs(&shares, grants, skip, page_max).await, expected);
    }
    let early = shares.page(&chain(1), |header| header.span.from() < TimeMs::new(250), 1, 1).await.unwrap();
    assert_eq!((early.shares.len(), early.remaining), (1, 0));
}

#[tokio::test]
async fn a_share_comes_back_as_it_was_and_may_be_deposited_again() {
    let dir = tempfile::tempdir().unwrap();
    let shares = Shares::open(dir.path(), machine_key(1)).await.unwrap();
    assert!(keep(&shares, vec![share(1, 9, 100, 42)]).await.is_ok());
    assert!(keep(&shares, vec![share(1, 9, 100, 42)]).await.is_ok());
    assert_eq!(shares.count(), 1);
    drop(shares);
    let shares = Shares::open(dir.path(), machine_key(1)).await.unwrap();
    assert_eq!(shares.count(), 1);
    let page = shares.page(&chain(1), |_| true, 0, 9).await.unwrap();
    assert_eq!(encode(&page.shares[0]), encode(&share(1, 9, 100, 42)));
}

#[tokio::test]
async fn another_share_of_a_kept_epoch_is_refused() {
    let shares = in_memory().await;
    assert!(keep(&shares, vec![share(1, 9, 100, 42)]).await.is_ok());
    for other in [share(1, 9, 100, 43), share(1, 9, 101, 42)] {
        assert!(matches!(keep(&shares, vec![other]).await, Err(StoreError::Occupied)));
    }
    let page = shares.page(&chain(1), |_| true, 0, 9).await.unwrap();
    assert_eq!(encode(&page.shares[0]), encode(&share(1, 9, 100, 42)));
}

#[tokio::test]
async fn nothing_on_the_disk_shows_a_share_its_chain_or_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let shares = Shares::open(dir.path(), machine_key(1)).await.unwrap();
    assert!(keep(&shares, vec![share(0xaa, 0xbb, 100, 0xcc)]).await.is_ok());
    let objects = shares.disk.list(FOLDER).await.unwrap();
    let bytes = std::fs::read(dir.path().join(&objects[0])).unwrap();
    for canary in [[0xaa; 16], [0xbb; 16], [0xcc; 16]] {
        assert!(!bytes.windows(16).any(|window| window == canary));
    }
    assert!(!objects[0].contains(&chain(0xaa).as_bytes().map(|b| format!("{b:02x}")).concat()[..16]));
    let stranger = Shares::open(dir.path(), machine_key(2)).await.unwrap();
    assert!(stranger.page(&chain(0xaa), |_| true, 0, 9).await.unwrap().shares.is_empty());
    assert!(matches!(stranger.read(&objects[0]).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn every_flipped_byte_of_a_sealed_share_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let shares = Shares::open(dir.path(), machine_key(1)).await.unwrap();
    assert!(keep(&shares, vec![share(1, 9, 100, 42)]).await.is_ok());
    let object = shares.disk.list(FOLDER).await.unwrap().remove(0);
    let path = dir.path().join(&object);
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(shares.read(&object).await, Err(StoreError::Corrupt { .. })), "byte {at}");
    }
    // A sealed share moved to another name does not open there either.
    let elsewhere = path.with_file_name("elsewhere");
    std::fs::write(&elsewhere, &good).unwrap();
    let moved = object.rsplit_once('/').unwrap().0.to_owned() + "/elsewhere";
    assert!(matches!(shares.read(&moved).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_full_disk_deposits_nothing() {
    let disk = Disk::over(Failing::after(1, ErrorKind::StorageFull));
    let shares = Shares::over(disk, machine_key(1)).await.unwrap();
    let both = vec![share(1, 9, 100, 0), share(1, 8, 200, 0)];
    assert!(matches!(keep(&shares, both).await, Err(StoreError::Full { .. })));
    assert_eq!(shares.count(), 0);
}

#[tokio::test]
async fn an_erased_chain_takes_nothing_more_and_is_destroyed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || Shares::open(folder.path(), machine_key(1)).await.unwrap();
    let shares = open().await;
    keep(&shares, vec![share(1, 1, 0, 0), share(1, 2, 10, 0), share(2, 3, 0, 0)]).await.unwrap();
    let label = shares.erased_label(&chain(1));
    shares.close(label).await;
    assert!(shares.is_closed(&chain(1)).await && !shares.is_closed(&chain(2)).await);
    // What comes with a share of an erased chain is kept.
    keep(&shares, vec![share(1, 4, 20, 0), share(2, 5, 20, 0)]).await.unwrap();
    assert_eq!(epochs(&shares, 1, 0, 9).await, (vec![1, 2], 0));
    assert_eq!(shares.destroy(&chain(1)).await.unwrap(), 2);
    assert_eq!(shares.destroy(&chain(1)).await.unwrap(), 0);
    assert_eq!((epochs(&shares, 1, 0, 9).await.0, epochs(&shares, 2, 0, 9).await.0), (vec![], vec![3, 5]));
    assert_eq!(shares.count(), 2);
    // Its folder is gone too: the name of one says that there was somebody.
    assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
    // Another machine has another name for it, which no folder has.
    let other = Shares::over(Disk::over(Arc::new(InMemory::new())), machine_key(2)).await.unwrap();
    assert_ne!(other.erased_label(&chain(1)), label);

    assert_eq!(shares.marked().await.unwrap(), Height::new(0));
    shares.mark(Height::new(7)).await.unwrap();
    shares.mark(Height::new(9)).await.unwrap();
    assert_eq!((open().await.marked().await.unwrap(), open().await.count()), (Height::new(9), 2));
}

#[tokio::test]
async fn a_chain_is_found_by_its_label_alone_and_no_other_goes() {
    let folder = tempfile::tempdir().unwrap();
    let shares = Shares::open(folder.path(), machine_key(1)).await.unwrap();
    keep(&shares, vec![share(1, 1, 0, 0), share(1, 2, 10, 0), share(2, 3, 0, 0)]).await.unwrap();
    let labels = BTreeSet::from([shares.erased_label(&chain(1)), shares.erased_label(&chain(7))]);
    assert_eq!(shares.destroy_labelled(&BTreeSet::new()).await.unwrap(), 0);
    assert_eq!(shares.destroy_labelled(&labels).await.unwrap(), 2);
    assert_eq!((epochs(&shares, 1, 0, 9).await.0, epochs(&shares, 2, 0, 9).await.0), (vec![], vec![3]));
    assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
}

#[tokio::test]
async fn to_destroy_a_chain_nothing_else_is_listed() {
    let listed = crate::disk::tests::Listed::new();
    let shares = Shares::over(Disk::over(listed.clone()), machine_key(1)).await.unwrap();
    keep(&shares, vec![share(1, 1, 0, 0), share(2, 3, 0, 0)]).await.unwrap();
    listed.forget();
    assert_eq!(shares.destroy(&chain(1)).await.unwrap(), 1);
    assert_eq!(listed.prefixes(), [shares.folder(&chain(1))]);
}

#[tokio::test]
async fn nothing_crosses_a_close() {
    use futures::FutureExt;
    let shares = in_memory().await;
    let label = shares.erased_label(&chain(1));
    let mut closing = Box::pin(shares.close(label));
    // Whoever closes waits for what is under way.
    let waits = || (&mut closing).now_or_never().is_none();
    assert_eq!(shares.while_open(&chain(1), waits).await, Some(true));
    closing.await;
    assert_eq!(shares.while_open(&chain(1), || ()).await, None);
    assert_eq!(shares.while_open(&chain(2), || ()).await, Some(()));
}
