//! A custodian of a member with an officer: what it remembers, whom it tells, when it forgets.

use super::*;
use crate::testing::{CHAIN, READER, World, key, member};
use futures::future::join_all;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_wire::activity::{ActivityTerms, NamedAs, activity_message};
use salus_wire::limits::{ACTIVITY_DAYS, DAY_MS};
use salus_wire::tx::PartyKind;
use salus_wire::{Classes, DataClass, PartyId, Purpose, Role, Roles, namespaces};
use std::path::Path;
use std::sync::atomic::Ordering;
use tokio::runtime::Handle;

const OFFICER: PartyId = PartyId::new([30; 16]);
const DAY: u64 = 20_000;
const NOON: u64 = DAY * DAY_MS + DAY_MS / 2;

/// A ledger with a privacy officer of member 0, whose clock and head stand at noon.
fn world() -> World {
    let world = World::new();
    at(&world, NOON, NOON);
    world.identity(OFFICER, PartyKind::Person, key(31).public_key());
    world.edit_identity(OFFICER, |identity| {
        identity.roles = Roles::of(&[Role::PrivacyOfficer]);
        identity.validity = crate::testing::span(1, u64::MAX);
    });
    world
}

fn at(world: &World, clock: u64, head: u64) {
    world.clock.store(clock, Ordering::SeqCst);
    world.head.store(head, Ordering::SeqCst);
}

fn book(world: &World, folder: &Path) -> ActivityBook {
    let kept = Activities::open(folder, MachineKey::new(Secret::from_bytes([8; 32]))).unwrap();
    ActivityBook::new(world.office(0), kept, Writer::Threads(Handle::current()))
}

fn row(n: u8, of: u16) -> Activity {
    Activity {
        at: TimeMs::new(NOON + u64::from(n)),
        requester: READER,
        member: member(of),
        patient: Digest::from_bytes([1; 32]),
        access: salus_wire::decode(&[n; 32], 32).unwrap(),
        purpose: Purpose::Treatment,
        classes: Classes::of(&[DataClass::Vitals]).unwrap(),
        named: NamedAs::Role,
    }
}

fn question(world: &World, nonce: u8, skip: u32) -> ActivityRequest {
    let terms = ActivityTerms {
        custodian: member(0),
        nonce: [nonce; 16],
        sent: world.now(),
        officer: OFFICER,
        key: key(31).public_key(),
        day: u32::try_from(DAY).unwrap(),
        skip,
    };
    let signature = key(31).sign(namespaces::ACTIVITY, &activity_message(CHAIN, &terms));
    ActivityRequest { terms, signature }
}

async fn told(world: &World, book: &ActivityBook, nonce: u8) -> Vec<Activity> {
    let page = book.tell(&question(world, nonce, 0)).await.unwrap();
    assert_eq!(page.remaining, 0);
    page.rows.into_vec()
}

#[tokio::test]
async fn an_officer_hears_of_their_own_members_people_and_of_nobody_else() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let kept = book(&world, dir.path());
    for (n, of) in [(1, 0), (2, 1), (3, 0)] {
        kept.remember(row(n, of)).await.unwrap();
    }
    assert_eq!(told(&world, &kept, 1).await, [row(1, 0), row(3, 0)]);
    let after_one = kept.tell(&question(&world, 2, 1)).await.unwrap();
    assert_eq!((after_one.rows.into_vec(), after_one.remaining), (vec![row(3, 0)], 0));
    assert_eq!(told(&world, &book(&world, dir.path()), 3).await.len(), 2, "after a restart");

    // Once more, altered, by somebody who is no officer, by one who is revoked.
    assert_eq!(kept.tell(&question(&world, 1, 0)).await.unwrap_err().code, Code::RequestReplayed);
    let mut altered = question(&world, 4, 0);
    altered.terms.skip = 1;
    assert_eq!(kept.tell(&altered).await.unwrap_err().code, Code::RequestSignature);
    world.edit_identity(OFFICER, |identity| identity.roles = Roles::of(&[Role::Nurse]));
    assert_eq!(kept.tell(&question(&world, 5, 0)).await.unwrap_err().code, Code::NotAnOfficer);
    world.edit_identity(OFFICER, |identity| {
        identity.roles = Roles::of(&[Role::PrivacyOfficer]);
        identity.standing = salus_wire::state::Standing::Revoked(identity.since);
    });
    assert_eq!(kept.tell(&question(&world, 6, 0)).await.unwrap_err().code, Code::RequesterInvalid);
}

#[tokio::test]
async fn what_comes_at_once_is_all_remembered_and_a_second_page_adds_nothing() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let kept = book(&world, dir.path());
    let all = join_all((0..200).map(|n| kept.remember(row(n, 0)))).await;
    assert!(all.iter().all(Result::is_ok));
    kept.remember(row(7, 0)).await.unwrap();
    let mut rows = told(&world, &kept, 1).await;
    rows.sort_unstable();
    assert_eq!(rows, (0..200).map(|n| row(n, 0)).collect::<Vec<_>>());
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_write_leaves_nothing_to_write_again() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let kept = book(&world, dir.path());
    for n in 0..50 {
        // The write is begun, cannot end while the disk is held, and nobody waits for it.
        let mut remembered = Box::pin(kept.remember(row(n, 0)));
        let _disk = kept.inner.kept.lock().unwrap();
        let nobody = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(remembered.as_mut().poll(nobody).is_pending());
    }
    kept.remember(row(60, 0)).await.unwrap();
    for n in 0..50 {
        kept.remember(row(n, 0)).await.unwrap();
    }
    assert_eq!(told(&world, &kept, 1).await.len(), 51, "each once");
}

#[tokio::test]
async fn one_day_is_read_at_a_time() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let kept = book(&world, dir.path());
    kept.remember(row(1, 0)).await.unwrap();
    let held = Arc::clone(&kept.reading).acquire_owned().await.unwrap();
    assert_eq!(kept.tell(&question(&world, 1, 0)).await.unwrap_err().code, Code::CustodianBusy);
    drop(held);
    assert_eq!(told(&world, &kept, 2).await.len(), 1);
}

#[tokio::test]
async fn a_disk_that_failed_remembers_nothing_more_and_says_so() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let folder = dir.path().join("activity");
    let kept = book(&world, &folder);
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(kept.remember(row(1, 0)).await.unwrap_err().code, Code::StorageFailed);
    kept.failed().await;
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(kept.remember(row(2, 0)).await.unwrap_err().code, Code::StorageFailed);
}

#[tokio::test]
async fn after_six_years_it_is_forgotten_and_no_clock_alone_does_that() {
    let (world, dir) = (world(), tempfile::tempdir().unwrap());
    let kept = book(&world, dir.path());
    kept.remember(row(1, 0)).await.unwrap();
    let six_years = u64::from(ACTIVITY_DAYS) * DAY_MS;
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    for (clock, head) in
        [(NOON + six_years, NOON + six_years), (NOON + 2 * six_years, NOON), (NOON, NOON + 2 * six_years)]
    {
        at(&world, clock, head);
        kept.end().await.unwrap();
        assert_eq!(files(), 1, "clock {clock}, head {head}");
    }
    at(&world, NOON + six_years + DAY_MS, NOON + six_years + DAY_MS);
    kept.end().await.unwrap();
    assert_eq!(files(), 0);
}
