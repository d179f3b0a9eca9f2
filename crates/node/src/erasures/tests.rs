//! The record: what it says after a restart, on a disk as it was and on one that was set back, and that it never
//! fills.

use super::*;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainSeed;
use salus_crypto::secret::Secret;

struct Disks {
    custodian: Arc<InMemory>,
    store: Arc<InMemory>,
    record: Arc<InMemory>,
}

impl Disks {
    fn new() -> Self {
        Self { custodian: Arc::default(), store: Arc::default(), record: Arc::default() }
    }

    async fn start(&self) -> Result<Erasures, ErasureError> {
        let key = MachineKey::new(Secret::from_bytes([8; 32]));
        let shares = Shares::over(Disk::over(self.custodian.clone()), key).await.unwrap();
        let fragments = Fragments::over(Disk::over(self.store.clone())).await.unwrap();
        Erasures::over(Disk::over(self.record.clone()), Arc::new(shares), Arc::new(fragments)).await
    }

    async fn keep(&self, locators: &Locators, number: u32) {
        let path = format!("seg/{}", locators.at(SegmentIndex::new(number)));
        self.store.put(&path.as_str().into(), "ciphertext".into()).await.unwrap();
    }
}

fn locators(n: u8) -> Locators {
    Locators::new(Secret::from_bytes([n; 32]))
}

fn chain(n: u8) -> ChainAnchor {
    ChainSeed::new(Secret::from_bytes([n; 32])).anchor()
}

async fn holds(erasures: &Erasures, locators: &Locators, number: u32) -> bool {
    erasures.fragments.holds(&locators.at(SegmentIndex::new(number))).await.unwrap()
}

#[tokio::test]
async fn only_what_a_disk_missed_is_destroyed_again() {
    let disks = Disks::new();
    let erasures = disks.start().await.unwrap();
    let label = erasures.shares.erased_label(&chain(1));
    erasures.close(label).await.unwrap();
    for n in 1..=3 {
        disks.keep(&locators(n), 0).await;
        assert_eq!(erasures.destroy_fragments(label, vec![(locators(n), 0)]).await.unwrap(), [1]);
    }
    // A disk from after the second time: what the third destroyed is there, and what the first did is not looked
    // for, which shows here because something else was put in its place.
    erasures.fragments.mark_erased(&label, 2).await.unwrap();
    for n in 1..=3 {
        disks.keep(&locators(n), 0).await;
    }
    let again = disks.start().await.unwrap();
    for (n, there) in [(1, true), (2, true), (3, false)] {
        assert_eq!(holds(&again, &locators(n), 0).await, there, "run {n}");
    }
    // A disk that knows of nothing.
    again.fragments.mark_erased(&label, 0).await.unwrap();
    let again = disks.start().await.unwrap();
    for n in 1..=3 {
        assert!(!holds(&again, &locators(n), 0).await, "run {n}");
    }
    assert_eq!(again.fragments.marked_erased(&label).await.unwrap(), 3);
    assert!(again.shares.is_closed(&chain(1)).await);
}

#[tokio::test]
async fn a_record_that_begins_anew_goes_on_where_the_disk_is() {
    let disks = Disks::new();
    let erasures = disks.start().await.unwrap();
    let label = erasures.shares.erased_label(&chain(1));
    for n in 1..=2 {
        disks.keep(&locators(n), 0).await;
        erasures.destroy_fragments(label, vec![(locators(n), 0)]).await.unwrap();
    }
    let lost = Disks { record: Arc::default(), ..disks };
    let erasures = lost.start().await.unwrap();
    lost.keep(&locators(3), 0).await;
    erasures.destroy_fragments(label, vec![(locators(3), 0)]).await.unwrap();
    // Set back to before all: what the new record knows is destroyed again.
    erasures.fragments.mark_erased(&label, 0).await.unwrap();
    for n in [1, 3] {
        lost.keep(&locators(n), 0).await;
    }
    let again = lost.start().await.unwrap();
    assert!(holds(&again, &locators(1), 0).await && !holds(&again, &locators(3), 0).await);
}

#[tokio::test]
async fn a_crash_between_two_files_is_as_if_nothing_was_begun() {
    let disks = Disks::new();
    let erasures = disks.start().await.unwrap();
    let label = erasures.shares.erased_label(&chain(1));
    erasures.close(label).await.unwrap();
    let names: Names = List::new(vec![(ShareBytes(locators(1).to_secret()), 1)]).unwrap();
    erasures.record.lock().await.keep_run(&label, 0, &names).await.unwrap();
    disks.keep(&locators(1), 0).await;
    let erasures = disks.start().await.unwrap();
    assert!(holds(&erasures, &locators(1), 0).await);
    disks.keep(&locators(2), 0).await;
    erasures.destroy_fragments(label, vec![(locators(2), 0)]).await.unwrap();
    erasures.fragments.mark_erased(&label, 0).await.unwrap();
    disks.keep(&locators(2), 0).await;
    let erasures = disks.start().await.unwrap();
    assert!(holds(&erasures, &locators(1), 0).await && !holds(&erasures, &locators(2), 0).await);
}

#[tokio::test]
async fn many_orders_stand_beside_each_other() {
    let disks = Disks::new();
    let erasures = disks.start().await.unwrap();
    for n in 1..=200 {
        erasures.destroy_shares(&chain(n)).await.unwrap();
        // Again and again, nothing grows.
        erasures.close(erasures.shares.erased_label(&chain(n))).await.unwrap();
        erasures.destroy_shares(&chain(n)).await.unwrap();
    }
    let again = disks.start().await.unwrap();
    assert_eq!(again.record.lock().await.standings().filter(|(_, standing)| standing.destroyed).count(), 200);
    for n in [1, 100, 200] {
        assert!(again.shares.is_closed(&chain(n)).await);
    }
    assert!(!again.shares.is_closed(&chain(201)).await);
}

#[tokio::test]
async fn a_record_that_is_not_this_machines_is_not_gone_by() {
    let disks = Disks::new();
    let erasures = disks.start().await.unwrap();
    let labels = [1, 2].map(|n| erasures.shares.erased_label(&chain(n)));
    for label in labels {
        erasures.close(label).await.unwrap();
    }
    let path = |label: &ErasedLabel| format!("chain/{label}/standing");
    let first = disks.record.get(&path(&labels[0]).as_str().into()).await.unwrap().bytes().await.unwrap();
    for bytes in [b"spoilt".to_vec(), first.to_vec()] {
        disks.record.put(&path(&labels[1]).as_str().into(), bytes.into()).await.unwrap();
        assert!(matches!(disks.start().await.map(drop), Err(ErasureError::Foreign)));
    }
}
