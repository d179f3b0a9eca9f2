//! What is refused stays refused, over restarts and until the state shows it.

use super::*;
use crate::testing::World;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use std::path::Path;

fn tag(n: u16) -> GrantTag {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&n.to_le_bytes());
    GrantTag(ChainTag::from_digest(Digest::from_bytes(bytes)))
}

fn open(path: &Path) -> RefusalBook {
    RefusalBook::over(Journal::open(path).unwrap(), Writer::Threads(Handle::current())).unwrap()
}

fn refuses(book: &RefusalBook, grant: GrantTag) -> bool {
    book.locked(|refusals| refusals.refuses(&grant))
}

#[tokio::test]
async fn a_refusal_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("refusals");
    let book = open(&path);
    assert_eq!(book.count(), 0);
    book.before_vote(vec![tag(1), tag(2)]).await.unwrap();
    book.before_vote(vec![tag(2), tag(3)]).await.unwrap();
    drop(book);
    let book = open(&path);
    assert_eq!(book.count(), 3);
    assert!(refuses(&book, tag(3)) && !refuses(&book, tag(4)));
}

#[tokio::test]
async fn a_block_full_of_revocations_is_recorded_and_the_same_again_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("refusals");
    let book = open(&path);
    let many: Vec<GrantTag> = (0..9_000).map(tag).collect();
    book.refuse(many.clone()).await.unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    book.refuse(many).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    drop(book);
    assert_eq!(open(&path).count(), 9_000);
}

#[tokio::test]
async fn two_calls_at_once_both_return_only_when_it_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("refusals");
    let book = open(&path);
    let (one, two) = tokio::join!(book.refuse(vec![tag(1)]), book.refuse(vec![tag(1)]));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(Journal::open(&path).unwrap().1.len(), 1);
}

#[tokio::test]
async fn settling_drops_exactly_what_the_state_shows_as_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("refusals");
    let book = open(&path);
    let world = World::with_access();
    let grant = world.grant_tag();
    book.refuse(vec![grant, tag(1)]).await.unwrap();
    book.settle(&world.office(0).read).await.unwrap().unwrap();
    assert_eq!(book.count(), 2, "an active and an absent grant stay refused");
    world.revoke_grant();
    book.settle(&world.office(0).read).await.unwrap().unwrap();
    assert!(refuses(&book, grant), "somebody may have decided just before");
    book.settle(&world.office(0).read).await.unwrap().unwrap();
    assert!(refuses(&book, tag(1)) && !refuses(&book, grant));
    book.refuse(vec![tag(7)]).await.unwrap();
    drop(book);
    let book = open(&path);
    assert!(refuses(&book, tag(1)) && refuses(&book, tag(7)) && !refuses(&book, grant));
}

#[tokio::test]
async fn what_is_applied_without_a_vote_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(&dir.path().join("refusals"));
    book.before_apply(&[tag(3)]);
    assert!(refuses(&book, tag(3)));
}

#[tokio::test]
async fn a_journal_of_something_else_or_damaged_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("refusals");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let _durable = journal.append(b"not a list of grants", ()).unwrap();
    drop(journal);
    let writer = Writer::Threads(Handle::current());
    let opened = RefusalBook::over(Journal::open(&path).unwrap(), writer);
    assert!(matches!(opened.err(), Some(RefusalError::Foreign)));

    let mut bytes = salus_store::journal::record(0, b"a");
    bytes[12] ^= 1;
    bytes.extend(salus_store::journal::record(u64::try_from(bytes.len()).unwrap(), b"b"));
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Journal::open(&path).err(), Some(StoreError::Damaged { .. })));
}
