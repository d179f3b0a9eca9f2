//! A good deposit, and everything that must keep one from being taken.

use super::*;
use crate::testing::{CHAIN, READER, START, WRITER, World, faults, kem, key, member, rng};
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::Signature;
use salus_store::Disk;
use salus_wire::release::ShareBytes;
use salus_wire::state::Standing;
use salus_wire::tx::PartyKind;
use salus_wire::{List, PartyId, encode};
use std::sync::atomic::Ordering;

const ME: u16 = 1;

/// What is said, and what makes it so.
type Row<T> = (Code, T);
type Bad = fn(&World) -> Deposit;

async fn intake(world: &World) -> Deposits {
    let disk = Disk::over(Arc::new(InMemory::new()));
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let shares = Arc::new(Shares::over(disk, key).await.unwrap());
    Deposits::new(world.office(ME), Arc::new(kem(ME)), shares)
}

/// This custodian's share of a fresh epoch.
fn share(world: &World) -> EpochShare {
    let mut rng = rng();
    let shares = world.epoch(300, &mut rng).shares(CHAIN, faults(), &world.writer, &mut rng);
    shares.into_iter().nth(usize::from(ME)).unwrap()
}

fn envelope(writer: PartyId, to: u16, plain: &[u8]) -> Envelope {
    let info = envelope_info(CHAIN, writer, member(to));
    Envelope { sealed: kem(to).public_key().seal(&info, &[], plain, &mut rng()).unwrap() }
}

fn holding(shares: Vec<EpochShare>) -> Vec<u8> {
    encode(&EpochShares(List::new(shares).unwrap()))
}

fn deposit(world: &World, envelopes: Vec<Envelope>) -> Deposit {
    let (writer, custodian) = (WRITER, member(ME));
    let envelopes = List::new(envelopes).unwrap();
    let message = deposit_message(CHAIN, writer, custodian, &envelopes);
    let signature = world.writer.sign(namespaces::DEPOSIT, &message);
    Deposit { writer, custodian, envelopes, signature }
}

fn good(world: &World) -> Deposit {
    deposit(world, vec![envelope(WRITER, ME, &holding(vec![share(world)]))])
}

#[tokio::test]
async fn a_good_deposit_is_kept_and_may_be_repeated() {
    let world = World::new();
    let intake = intake(&world).await;
    for _ in 0..2 {
        assert!(matches!(intake.take(good(&world)).await, Ok(Response::Deposited)));
        assert_eq!(intake.shares.count(), 1);
    }
    let page = intake.shares.page(&world.patient.anchor(), |_| true, 0, 9).await.unwrap();
    assert_eq!(encode(&page.shares[0]), encode(&share(&world)));
}

#[tokio::test]
async fn a_writer_that_may_not_write_now_is_refused() {
    let rows: &[Row<fn(&World)>] = &[
        (Code::UnknownSigner, |w| w.ledger.lock().unwrap().clear()),
        (Code::UnknownSigner, |w| w.edit_identity(WRITER, |i| i.kind = PartyKind::Person)),
        (Code::Revoked, |w| w.edit_identity(WRITER, |i| i.standing = Standing::Revoked(i.since))),
        (Code::OutsideValidity, |w| {
            w.edit_identity(WRITER, |i| i.validity = crate::testing::span(1, START.get()));
        }),
        (Code::BadSignature, |w| w.edit_identity(WRITER, |i| i.key = key(77).public_key())),
        (Code::ViewStale, |w| w.clock.store(START.get() + 10_001, Ordering::SeqCst)),
        (Code::ViewStale, |w| w.clock.store(START.get() - 10_001, Ordering::SeqCst)),
    ];
    for (row, (code, violate)) in rows.iter().enumerate() {
        let world = World::new();
        let deposit = good(&world);
        violate(&world);
        let intake = intake(&world).await;
        assert_eq!(intake.take(deposit).await.err().map(|r| r.code), Some(*code), "row {row}");
        assert_eq!(intake.shares.count(), 0);
    }
}

#[tokio::test]
async fn a_deposit_that_is_not_right_in_itself_is_refused() {
    let rows: &[Row<Bad>] = &[
        (Code::RequestReplayed, |w| Deposit { custodian: member(2), ..good(w) }),
        (Code::BadSignature, |w| Deposit { signature: Signature::from_bytes([0; 64]), ..good(w) }),
        (Code::BadSignature, |w| Deposit { envelopes: List::empty(), ..good(w) }),
        (Code::BodyMismatch, |w| deposit(w, vec![envelope(WRITER, 2, &holding(vec![share(w)]))])),
        (Code::BodyMismatch, |w| deposit(w, vec![envelope(READER, ME, &holding(vec![share(w)]))])),
        (Code::Malformed, |w| deposit(w, vec![envelope(WRITER, ME, b"no shares")])),
        (Code::BadSignature, |w| with(w, |share| share.header.writer = READER)),
        (Code::WriterFault, |w| with(w, |share| share.header.threshold = 1)),
        (Code::WriterFault, |w| with(w, |share| share.signature = Signature::from_bytes([0; 64]))),
        (Code::WriterFault, |w| with(w, |share| share.share = ShareBytes(Secret::from_bytes([1; 32])))),
    ];
    for (row, (code, bad)) in rows.iter().enumerate() {
        let world = World::new();
        let intake = intake(&world).await;
        let refused = intake.take(bad(&world)).await.err().map(|refusal| refusal.code);
        assert_eq!(refused, Some(*code), "row {row}");
        assert_eq!(intake.shares.count(), 0);
    }
}

fn with(world: &World, edit: fn(&mut EpochShare)) -> Deposit {
    let mut share = share(world);
    edit(&mut share);
    deposit(world, vec![envelope(WRITER, ME, &holding(vec![share]))])
}

#[tokio::test]
async fn one_bad_share_keeps_the_whole_deposit_out() {
    let world = World::new();
    let intake = intake(&world).await;
    let mut bad = share(&world);
    bad.share = ShareBytes(Secret::from_bytes([1; 32]));
    let envelopes = [vec![share(&world)], vec![bad]].map(|shares| envelope(WRITER, ME, &holding(shares)));
    assert!(intake.take(deposit(&world, envelopes.into())).await.is_err());
    assert_eq!(intake.shares.count(), 0);
}
