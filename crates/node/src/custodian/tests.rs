//! The whole road of a key: deposited by a writer with four custodians, released by three of them
//! to a reader, put together. And the refusals that are this room's own; the clauses of the
//! decision are tested where they are decided.

use super::*;
use crate::activity::ActivityBook;
use crate::deposits::Deposits;
use crate::refusals::Writer;
use crate::testing::{CHAIN, START, WRITER, World, faults, kem, member, rng, service, span, vitals};
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::secret::Secret;
use salus_fragment::{CheckedShare, OpeningEpoch, SealingEpoch};
use salus_store::{Activities, Disk, Emergencies, Journal};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::release::{
    Deposit, Envelope, EpochShare, ReleaseTerms, ShareBytes, deposit_message, envelope_info,
    release_request_message,
};
use salus_wire::state::PolicyRecord;
use salus_wire::{Blob, MemberIndex, SegmentIndex, StateKey, StateValue, TimeSpan, decode};
use std::sync::atomic::Ordering;

struct Member {
    deposits: Deposits,
    custodian: Custodian,
    refusals: Arc<RefusalBook>,
    _dir: tempfile::TempDir,
}

async fn start(world: &World, n: u16) -> Member {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::over(Arc::new(InMemory::new()));
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let shares = Arc::new(Shares::over(disk, key).await.unwrap());
    let runtime = tokio::runtime::Handle::current();
    let refusals = Arc::new(
        RefusalBook::over(Journal::open(&dir.path().join("refusals")).unwrap(), Writer::Threads(runtime))
            .unwrap(),
    );
    let office = world.office(n);
    let deposits = Deposits::new(Arc::clone(&office), Arc::new(kem(n)), Arc::clone(&shares));
    let custodian = Custodian::new(office, shares, Arc::clone(&refusals), emergency(world, n));
    Member { deposits, custodian, refusals, _dir: dir }
}

/// The emergency role over an empty disk.
fn emergency(world: &World, n: u16) -> Arc<Emergency> {
    let key = MachineKey::new(Secret::from_bytes([8; 32]));
    let kept = Emergencies::over(Disk::over(Arc::new(InMemory::new())), key);
    Arc::new(Emergency::new(world.office(n), Arc::new(kem(n)), kept))
}

async fn deposit(world: &World, member_at: &Member, n: u16, epochs: &[SealingEpoch]) {
    let mut rng = rng();
    let mine = |epoch: &SealingEpoch| {
        let shares = epoch.shares(CHAIN, faults(), &world.writer, &mut rng);
        shares.into_iter().nth(usize::from(n)).unwrap()
    };
    let shares: Vec<EpochShare> = epochs.iter().map(mine).collect();
    let plain = encode(&EpochShares(List::new(shares).unwrap()));
    let info = envelope_info(CHAIN, WRITER, member(n));
    let sealed = kem(n).public_key().seal(&info, &[], &plain, &mut rng).unwrap();
    let envelopes = List::new(vec![Envelope { sealed }]).unwrap();
    let message = deposit_message(CHAIN, WRITER, member(n), &envelopes);
    let signature = world.writer.sign(namespaces::DEPOSIT, &message);
    let deposit = Deposit { writer: WRITER, custodian: member(n), envelopes, signature };
    member_at.deposits.take(deposit).await.unwrap();
}

fn request(world: &World, n: u16, nonce: u8, span: TimeSpan, skip: u32) -> ReleaseRequest {
    let terms = ReleaseTerms {
        custodian: member(n),
        nonce: [nonce; 16],
        sent: world.now(),
        one_time: world.one_time.public_key(),
        access_index: 1,
        access_link: ShareBytes(world.lane.link(1).to_secret()),
        grant_index: 1,
        grant_link: ShareBytes(world.patient.link(1).to_secret()),
        grant_body_key: ShareBytes(world.patient.body_key(1)),
        reader: world.ephemeral.public_key(),
        scope: vitals(span),
        skip,
    };
    let message = release_request_message(CHAIN, &terms);
    let signature = world.one_time.sign(namespaces::RELEASE_REQUEST, &message);
    ReleaseRequest { terms, signature }
}

fn whole(world: &World, n: u16, nonce: u8) -> ReleaseRequest {
    request(world, n, nonce, span(200, 80_000), 0)
}

fn opened(world: &World, released: &Released) -> Vec<EpochShare> {
    let Released { custodian, access, sealed, remaining, signature } = released;
    let message = released_message(CHAIN, *custodian, *access, sealed, *remaining);
    let signer = service(custodian.get()).public_key();
    assert!(signer.verify(namespaces::RELEASED, &message, signature).is_ok());
    let info = release_info(CHAIN, *custodian, *access);
    let plain = world.ephemeral.open(&info, &[], sealed).unwrap();
    decode::<EpochShares>(&plain, RPC_BYTES_MAX).unwrap().0.into_vec()
}

fn checked(world: &World, custodian: MemberIndex, share: EpochShare) -> CheckedShare {
    CheckedShare::check(CHAIN, faults(), &world.writer.public_key(), custodian, share).unwrap()
}

#[tokio::test]
async fn three_of_four_custodians_give_the_key_back() {
    let world = World::with_access();
    let epoch = world.epoch(300, &mut rng());
    let mut shares = Vec::new();
    for n in [0, 2, 3] {
        let member_at = start(&world, n).await;
        deposit(&world, &member_at, n, std::slice::from_ref(&epoch)).await;
        let released = member_at.custodian.answer(whole(&world, n, 1)).await.unwrap();
        assert_eq!((released.access, released.remaining), (world.access_tag(), 0));
        let mut page = opened(&world, &released);
        assert_eq!(page.len(), 1);
        shares.push(checked(&world, member(n), page.remove(0)));
    }
    let opening = OpeningEpoch::combine(shares).unwrap();
    let first = SegmentIndex::new(0);
    assert_eq!(opening.locator(first), epoch.locator(first));
}

async fn code(member_at: &Member, request: ReleaseRequest) -> Option<Code> {
    member_at.custodian.answer(request).await.err().map(|refusal| refusal.code)
}

async fn holding_one(world: &World) -> Member {
    let member_at = start(world, 0).await;
    deposit(world, &member_at, 0, &[world.epoch(300, &mut rng())]).await;
    member_at
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    assert_eq!(code(&member_at, whole(&world, 0, 1)).await, None);
    assert_eq!(code(&member_at, whole(&world, 0, 1)).await, Some(Code::RequestReplayed));
    assert_eq!(code(&member_at, whole(&world, 0, 2)).await, None);
}

#[tokio::test]
async fn only_what_is_asked_for_is_released() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    let elsewhere = request(&world, 0, 1, span(500, 600), 0);
    assert_eq!(code(&member_at, elsewhere).await, Some(Code::NothingHeld));
    let beyond = request(&world, 0, 2, span(100, 400), 0);
    assert_eq!(code(&member_at, beyond).await, Some(Code::SpanNotGranted));
}

#[tokio::test]
async fn a_long_history_comes_in_pages_without_gap_or_overlap() {
    let world = World::with_access();
    let member_at = start(&world, 0).await;
    let mut rng = rng();
    let starts: Vec<u64> = (0..70).map(|n| 300 + 1_000 * n).collect();
    for starts in starts.chunks(40) {
        let epochs: Vec<SealingEpoch> = starts.iter().map(|from| world.epoch(*from, &mut rng)).collect();
        deposit(&world, &member_at, 0, &epochs).await;
    }
    let mut seen = Vec::new();
    for (nonce, skip, remaining) in [(1, 0, 6), (2, 64, 0)] {
        let request = request(&world, 0, nonce, span(200, 80_000), skip);
        let released = member_at.custodian.answer(request).await.unwrap();
        assert_eq!(released.remaining, remaining);
        seen.extend(opened(&world, &released).iter().map(|share| share.header.span.from().get()));
    }
    assert_eq!(seen, starts);
}

#[tokio::test]
async fn nothing_is_released_on_a_stale_view_or_after_a_revocation() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    world.clock.store(START.get() + 10_001, Ordering::SeqCst);
    assert_eq!(code(&member_at, whole(&world, 0, 1)).await, Some(Code::ViewStale));
    world.head.store(START.get() + 10_001, Ordering::SeqCst);
    assert_eq!(code(&member_at, whole(&world, 0, 2)).await, None);
    world.revoke_grant();
    assert_eq!(code(&member_at, whole(&world, 0, 3)).await, Some(Code::GrantRevoked));
}

#[tokio::test]
async fn the_policy_of_the_readers_member_is_asked_as_it_stands() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    let publish = |version, text: &str| {
        let text = Blob::new(text.as_bytes().to_vec()).unwrap();
        let record = PolicyRecord { version, text, since: world.tip() };
        world.put(StateKey::Policy(member(0)), StateValue::Policy(record));
    };
    publish(1, "@id(\"all\") permit (principal, action, resource);");
    assert_eq!(code(&member_at, whole(&world, 0, 1)).await, None);
    publish(2, "@id(\"nobody\") forbid (principal, action, resource);");
    let refusal = member_at.custodian.answer(whole(&world, 0, 2)).await.err().unwrap();
    assert_eq!(refusal.code, Code::PolicyDenies);
    assert!(String::from_utf8_lossy(&refusal.detail).contains("`nobody`"));
    publish(3, "permit");
    assert_eq!(code(&member_at, whole(&world, 0, 3)).await, Some(Code::PolicyInvalid));
}

#[tokio::test]
async fn a_refusal_before_a_vote_stops_what_the_ledger_still_allows() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    member_at.refusals.refuse(vec![world.grant_tag()]).await.unwrap();
    assert_eq!(code(&member_at, whole(&world, 0, 1)).await, Some(Code::GrantRevoked));
}

#[tokio::test]
async fn a_refusal_between_decision_and_release_stops_the_release() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    let custodian = &member_at.custodian;
    let permit = custodian.permit(whole(&world, 0, 1)).await.unwrap();
    let page = custodian.shares.page(&permit.grants(), |epoch| permit.opens(epoch), 0, 9).await.unwrap();
    assert_eq!(page.shares.len(), 1);
    member_at.refusals.refuse(vec![world.grant_tag()]).await.unwrap();
    let released =
        member_at.refusals.locked(|refusals| release(permit, page, refusals, &custodian.office, &mut rng()));
    assert_eq!(released.err().map(|refusal| refusal.code), Some(Code::GrantRevoked));
}

#[tokio::test]
async fn a_permit_releases_no_share_that_it_does_not_open() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    let custodian = &member_at.custodian;
    let permit = custodian.permit(request(&world, 0, 1, span(500, 600), 0)).await.unwrap();
    let page = custodian.shares.page(&permit.grants(), |_| true, 0, 9).await.unwrap();
    assert_eq!(page.shares.len(), 1);
    let released =
        member_at.refusals.locked(|refusals| release(permit, page, refusals, &custodian.office, &mut rng()));
    assert_eq!(released.err().map(|refusal| refusal.code), Some(Code::Internal));
}

#[tokio::test]
async fn a_permit_that_waited_too_long_releases_nothing() {
    let world = World::with_access();
    let member_at = holding_one(&world).await;
    let custodian = &member_at.custodian;
    let permit = custodian.permit(whole(&world, 0, 1)).await.unwrap();
    let page = custodian.shares.page(&permit.grants(), |_| true, 0, 9).await.unwrap();
    world.clock.store(START.get() + salus_consent::PERMIT_MS_MAX + 1, Ordering::SeqCst);
    let released =
        member_at.refusals.locked(|refusals| release(permit, page, refusals, &custodian.office, &mut rng()));
    assert_eq!(released.err().map(|refusal| refusal.code), Some(Code::CustodianBusy));
}

#[tokio::test]
async fn nothing_is_released_before_who_was_let_in_is_remembered() {
    let world = World::with_access();
    let (dir, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = dir.path().join("activity");
    let kept = Activities::open(&folder, MachineKey::new(Secret::from_bytes([8; 32]))).unwrap();
    let files = kept.files();
    let writer = Writer::Threads(tokio::runtime::Handle::current());
    let book = Arc::new(ActivityBook::new(world.office(0), kept, writer));
    let Member { deposits, custodian, refusals, _dir } = holding_one(&world).await;
    let custodian = custodian.remembering(book);
    custodian.answer(whole(&world, 0, 1)).await.unwrap();
    custodian.answer(whole(&world, 0, 2)).await.unwrap();
    let mut rows = Vec::new();
    files.each(0, |row| rows.push(row)).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.requester, row.member, row.patient, row.access)).collect();
    let patient = salus_wire::activity::patient_name(&world.patient.anchor());
    assert_eq!(
        told,
        [(crate::testing::READER, member(0), patient, world.access_tag())],
        "one access, one row"
    );

    // A book that cannot be written: the access is allowed, and yet nothing is given.
    let kept =
        Activities::open(&open.path().join("gone"), MachineKey::new(Secret::from_bytes([8; 32]))).unwrap();
    std::fs::remove_dir(open.path().join("gone")).unwrap();
    let writer = Writer::Threads(tokio::runtime::Handle::current());
    let custodian = custodian.remembering(Arc::new(ActivityBook::new(world.office(0), kept, writer)));
    let member_at = Member { deposits, custodian, refusals, _dir };
    assert_eq!(code(&member_at, whole(&world, 0, 3)).await, Some(Code::StorageFailed));
}
