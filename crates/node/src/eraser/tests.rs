//! A member under an order: closed first, shares given once more, fragments and shares gone, signed; also after
//! a restart, and on a disk that was set back.

use super::*;
use crate::refused;
use crate::testing::{CHAIN, WRITER, World, faults, kem, member, rng, service};
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::seal_body;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_fragment::SealingEpoch;
use salus_store::{Disk, Fragments};
use salus_wire::erasure::{EraseTerms, Erasure, erase_message, erasure_commitment};
use salus_wire::limits::{GRANT_PLAIN_BYTES, RPC_BYTES_MAX};
use salus_wire::release::{EpochShare, ShareBytes, reader_digest};
use salus_wire::state::{DestructionRecord, GrantRecord, Standing, StateValue};
use salus_wire::{Blob, SegmentIndex, decode};
use std::path::Path;

const ME: u16 = 1;
const INDEX: u16 = 2;

fn one_time() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([77; 32]))
}

fn reader() -> KemSecretKey {
    kem(60)
}

struct Member {
    eraser: Eraser,
    shares: Arc<Shares>,
    fragments: Arc<Fragments>,
    erasures: Arc<Erasures>,
}

/// The ledger with the order final behind one grant.
fn ordered() -> World {
    let world = World::with_access();
    let erasure = Erasure {
        salt: [1; 32],
        writer: WRITER,
        reader: reader_digest(&reader().public_key()),
        one_time: one_time().public_key(),
    };
    let body = seal_body(&world.patient.body_key(INDEX), GRANT_PLAIN_BYTES, &encode(&erasure), &mut rng());
    let record = GrantRecord {
        commitment: erasure_commitment(&world.patient.link(INDEX), &erasure),
        one_time: one_time().public_key(),
        body: Blob::new(body.unwrap()).unwrap(),
        since: world.tip(),
        standing: Standing::Active,
    };
    world.put(StateKey::Grant(tag(&world)), StateValue::Grant(record));
    world
}

fn tag(world: &World) -> GrantTag {
    GrantTag(world.patient.link(INDEX).tag())
}

async fn start(world: &World, dir: &Path, disks: &(Arc<InMemory>, Arc<InMemory>)) -> Member {
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let (custodian, store) = (Arc::clone(&disks.0), Arc::clone(&disks.1));
    let shares = Arc::new(Shares::over(Disk::over(custodian), key).await.unwrap());
    let fragments = Arc::new(Fragments::over(Disk::over(store)).await.unwrap());
    let journal = dir.join("erasures");
    let erasures = Erasures::open(&journal, Arc::clone(&shares), Arc::clone(&fragments)).await.unwrap();
    let erasures = Arc::new(erasures);
    let (ledger, at) = (Arc::clone(&world.ledger), world.tip());
    let submit: Submit = Arc::new(move |tx| {
        if let TxBody::RecordDestruction { order, holder, label } = tx.body {
            assert_eq!(tx.signer, service(ME).public_key());
            let record = DestructionRecord { label, since: at };
            let mut ledger = ledger.lock().unwrap();
            let before = ledger.insert(StateKey::Destruction(order, holder), StateValue::Destruction(record));
            assert_eq!(before, None, "one receipt is enough");
        }
        Box::pin(std::future::ready(Ok(Committed { at, outcome: Outcome::Applied })))
    });
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let kept = salus_store::Emergencies::over(Disk::over(Arc::new(InMemory::new())), key);
    let emergency = Arc::new(Emergency::new(world.office(ME), Arc::new(kem(ME)), kept));
    let eraser = Eraser::new(world.office(ME), Arc::clone(&shares), Arc::clone(&erasures), emergency, submit);
    Member { eraser, shares, fragments, erasures }
}

fn request(world: &World, nonce: u8, step: EraseStep) -> EraseRequest {
    let terms = EraseTerms {
        custodian: member(ME),
        nonce: [nonce; 16],
        sent: world.now(),
        one_time: one_time().public_key(),
        index: INDEX,
        link: ShareBytes(world.patient.link(INDEX).to_secret()),
        body_key: ShareBytes(world.patient.body_key(INDEX)),
        reader: reader().public_key(),
        step,
    };
    let signature = one_time().sign(namespaces::ERASE_REQUEST, &erase_message(CHAIN, &terms));
    EraseRequest { terms, signature }
}

fn share(world: &World, epoch: &SealingEpoch) -> EpochShare {
    let shares = epoch.shares(CHAIN, faults(), &world.writer, &mut rng());
    shares.into_iter().nth(usize::from(ME)).unwrap()
}

/// Bytes at these segments of an epoch, as an object store holds them.
async fn keep(disks: &(Arc<InMemory>, Arc<InMemory>), epoch: &SealingEpoch, segments: &[u32]) {
    use object_store::ObjectStoreExt as _;
    for segment in segments {
        let path = format!("seg/{}", epoch.locator(SegmentIndex::new(*segment)));
        disks.1.put(&path.as_str().into(), "ciphertext".into()).await.unwrap();
    }
}

async fn left(member: &Member, epoch: &SealingEpoch, segments: &[u32]) -> usize {
    let mut left = 0;
    for segment in segments {
        let there = member.fragments.holds(&epoch.locator(SegmentIndex::new(*segment))).await.unwrap();
        left += usize::from(there);
    }
    left
}

async fn held(member: &Member, world: &World) -> usize {
    member.shares.page(&world.patient.anchor(), |_| true, 0, 64).await.unwrap().shares.len()
}

fn named(epoch: &SealingEpoch, segments: u32) -> List<ErasedEpoch, 64> {
    List::new(vec![ErasedEpoch { locators: ShareBytes(epoch.locators().to_secret()), segments }]).unwrap()
}

fn disks() -> (Arc<InMemory>, Arc<InMemory>) {
    (Arc::new(InMemory::new()), Arc::new(InMemory::new()))
}

#[tokio::test]
async fn a_member_closes_gives_destroys_and_signs_once() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    let (mine, other) = (world.epoch(300, &mut rng()), World::new());
    let _durable = member_at.shares.keep(vec![share(&world, &mine)], &mut rng()).await.unwrap();
    keep(&disks, &mine, &[0, 1, 5]).await;

    let EraseAnswer::Shares(page) =
        member_at.eraser.answer(request(&world, 1, EraseStep::Shares { skip: 0 })).await.unwrap()
    else {
        panic!("the shares were asked for")
    };
    let info = erased_info(CHAIN, member(ME), tag(&world));
    let plain = reader().open(&info, &[], &page.sealed).unwrap();
    let EpochShares(given) = decode(&plain, RPC_BYTES_MAX).unwrap();
    assert_eq!((given.len(), page.remaining), (1, 0));
    // Closed: what is deposited now is dropped, for this chain alone.
    assert!(member_at.shares.is_closed(&world.patient.anchor()).await);
    assert!(!member_at.shares.is_closed(&other.lane.anchor()).await);
    let later = world.epoch(500, &mut rng());
    let _durable = member_at.shares.keep(vec![share(&world, &later)], &mut rng()).await.unwrap();
    assert_eq!(held(&member_at, &world).await, 1);

    let step = EraseStep::Fragments(named(&mine, 0));
    let answer = member_at.eraser.answer(request(&world, 2, step)).await.unwrap();
    assert_eq!(answer, EraseAnswer::Fragments(List::new(vec![6]).unwrap()));
    assert_eq!(left(&member_at, &mine, &[0, 1, 5]).await, 0);
    for nonce in [3, 4] {
        let answer = member_at.eraser.answer(request(&world, nonce, EraseStep::Finish)).await.unwrap();
        assert_eq!(answer, EraseAnswer::Finished);
    }
    assert_eq!(held(&member_at, &world).await, 0);
    let holder = Holder::Member(member(ME));
    assert!(world.ledger.lock().unwrap().contains_key(&StateKey::Destruction(tag(&world), holder)));
}

#[tokio::test]
async fn nobody_has_fragments_of_another_chain_or_writer_destroyed() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    // Whoever could read another patient's epoch knows its locator key.
    let mut terms = world.epoch(300, &mut rng()).terms().clone();
    terms.grants = world.lane.anchor();
    let theirs = SealingEpoch::generate(terms.clone(), &mut rng());
    terms.grants = world.patient.anchor();
    terms.writer = salus_wire::PartyId::new([9; 16]);
    let written = SealingEpoch::generate(terms, &mut rng());
    for (nonce, epoch) in [(1, &theirs), (2, &written)] {
        keep(&disks, epoch, &[0]).await;
        let answer =
            member_at.eraser.answer(request(&world, nonce, EraseStep::Fragments(named(epoch, 9)))).await;
        assert_eq!(answer, Ok(EraseAnswer::Fragments(List::new(vec![0]).unwrap())));
        assert_eq!(left(&member_at, epoch, &[0]).await, 1);
    }
}

#[tokio::test]
async fn a_store_that_missed_much_goes_by_what_others_found() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    let epoch = world.epoch(300, &mut rng());
    keep(&disks, &epoch, &[2, 5_000]).await;
    for (nonce, told, count, there) in [(1, 0, 3, 1), (2, 5_001, 5_001, 0)] {
        let step = EraseStep::Fragments(named(&epoch, told));
        let answer = member_at.eraser.answer(request(&world, nonce, step)).await.unwrap();
        assert_eq!(answer, EraseAnswer::Fragments(List::new(vec![count]).unwrap()));
        assert_eq!(left(&member_at, &epoch, &[2, 5_000]).await, there);
    }
}

#[tokio::test]
async fn one_request_looks_at_a_bounded_number_of_places() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    let mut random = rng();
    let epochs: Vec<SealingEpoch> = (0..3).map(|n| world.epoch(300 + 100 * n, &mut random)).collect();
    keep(&disks, &epochs[0], &[3]).await;
    let all = |from: usize| {
        let named = |epoch: &SealingEpoch| ErasedEpoch {
            locators: ShareBytes(epoch.locators().to_secret()),
            segments: u32::MAX,
        };
        EraseStep::Fragments(List::new(epochs[from..].iter().map(named).collect()).unwrap())
    };
    // Whatever the request says, no further epoch is begun, and the one that was is done.
    let answer = member_at.eraser.answer(request(&world, 1, all(0))).await;
    assert_eq!(answer, Ok(EraseAnswer::Fragments(List::new(vec![4]).unwrap())));
    assert_eq!(left(&member_at, &epochs[0], &[3]).await, 0);
    let answer = member_at.eraser.answer(request(&world, 2, all(1))).await;
    assert_eq!(answer, Ok(EraseAnswer::Fragments(List::new(vec![0]).unwrap())));
}

#[tokio::test]
async fn one_thing_at_a_time_is_done_for_a_chain_and_nobody_else_waits() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    let label = member_at.shares.erased_label(&world.patient.anchor());
    let turn = member_at.eraser.turn(label).unwrap();
    let busy = member_at.eraser.answer(request(&world, 1, EraseStep::Finish)).await.unwrap_err();
    assert_eq!((busy.code, busy.retry_after_ms), (Code::CustodianBusy, BUSY_MS));
    let other = member_at.shares.erased_label(&world.lane.anchor());
    assert!(member_at.eraser.turn(other).is_ok());
    drop(turn);
    let answer = member_at.eraser.answer(request(&world, 2, EraseStep::Finish)).await;
    assert_eq!(answer, Ok(EraseAnswer::Finished));
}

#[tokio::test]
async fn who_has_signed_looks_at_nothing_again() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    member_at.eraser.answer(request(&world, 1, EraseStep::Finish)).await.unwrap();
    // What a backup brings back under a running process is not looked for by whoever knows the order.
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let behind = Shares::over(Disk::over(disks.0.clone()), key).await.unwrap();
    let epoch = world.epoch(300, &mut rng());
    let _durable = behind.keep(vec![share(&world, &epoch)], &mut rng()).await.unwrap();
    let answer = member_at.eraser.answer(request(&world, 2, EraseStep::Finish)).await;
    assert_eq!(answer, Ok(EraseAnswer::Finished));
    assert_eq!(held(&member_at, &world).await, 1);
}

#[tokio::test]
async fn a_disk_that_is_set_back_is_emptied_again_before_anything_is_answered() {
    let (world, dir, disks_before) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks_before).await;
    let epoch = world.epoch(300, &mut rng());
    let fill = async |disks: &(Arc<InMemory>, Arc<InMemory>)| {
        let key = MachineKey::new(Secret::from_bytes([8; 32]));
        let shares = Shares::over(Disk::over(disks.0.clone()), key).await.unwrap();
        let _durable = shares.keep(vec![share(&world, &epoch)], &mut rng()).await.unwrap();
        keep(disks, &epoch, &[0, 1]).await;
    };
    fill(&disks_before).await;
    let step = EraseStep::Fragments(named(&epoch, 0));
    member_at.eraser.answer(request(&world, 1, step)).await.unwrap();
    member_at.eraser.answer(request(&world, 2, EraseStep::Finish)).await.unwrap();

    // By the record that lies elsewhere.
    let restored = disks();
    fill(&restored).await;
    let again = start(&world, dir.path(), &restored).await;
    assert_eq!((held(&again, &world).await, left(&again, &epoch, &[0, 1]).await), (0, 0));
    assert!(again.shares.is_closed(&world.patient.anchor()).await);

    // Without it, by the label of the receipt on the ledger.
    let restored = disks();
    fill(&restored).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let again = start(&world, elsewhere.path(), &restored).await;
    assert_eq!(held(&again, &world).await, 1);
    again.erasures.destroy_shares(&world.patient.anchor()).await.unwrap();
    assert_eq!(held(&again, &world).await, 0);
    assert!(again.shares.is_closed(&world.patient.anchor()).await);
}

#[tokio::test]
async fn what_is_no_order_closes_nothing() {
    let (world, dir, disks) = (ordered(), tempfile::tempdir().unwrap(), disks());
    let member_at = start(&world, dir.path(), &disks).await;
    let mut foreign = request(&world, 1, EraseStep::Finish);
    foreign.terms.sent = foreign.terms.sent.plus_ms(1);
    let refusal = member_at.eraser.answer(foreign).await.unwrap_err();
    assert_eq!(refusal.code, Code::RequestSignature);
    world.ledger.lock().unwrap().remove(&StateKey::Grant(tag(&world)));
    let refusal = member_at.eraser.answer(request(&world, 2, EraseStep::Finish)).await.unwrap_err();
    assert_eq!(refusal.code, Code::NoOrder);
    assert!(!member_at.shares.is_closed(&world.patient.anchor()).await);
    assert_eq!(refused::bare(Code::NoOrder).retry_after_ms, 0);
}
