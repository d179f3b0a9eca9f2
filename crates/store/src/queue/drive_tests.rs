//! The driver on real files: what is kept across lives of the process, and what a reader gets.

use super::QueueError;
use super::drive::{Queue, Reader, open};
use super::machine::Limits;
use super::row::{Arrival, Route, Row, RowNumber};
use salus_crypto::Secret;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::PublicKey;
use salus_wire::{BatchNumber, Blob, Code, DataClass, DeviceId, ObservationCode, Sequence, StreamId, TimeMs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn arrival(sequence: u64, bytes: usize) -> Arrival {
    Arrival {
        device: DeviceId::new([1; 16]),
        sequence: Sequence::new(sequence),
        received: TimeMs::new(1),
        route: Route {
            key: PublicKey::from_bytes([1; 32]),
            grants: ChainAnchor::from_digest(Digest::ZERO),
            class: DataClass::Vitals,
            code: ObservationCode::Loinc(8_867),
            stream: StreamId::new([2; 16]),
        },
        frame: Blob::new(vec![7; bytes]).unwrap(),
    }
}

async fn start(folder: &Path) -> Result<(Queue, Reader), QueueError> {
    let key = Arc::new(MachineKey::new(Secret::from_bytes([5; 32])));
    let limits = Limits { file_bytes_max: 20_000, ..Limits::default() };
    open(folder.to_path_buf(), key, limits).await
}

/// Drops the queue and waits until its thread has let go of the folder.
async fn end(queue: Queue, folder: &Path) -> (Queue, Reader) {
    drop(queue);
    again(folder).await
}

async fn again(folder: &Path) -> (Queue, Reader) {
    unlocked(folder).await.unwrap()
}

/// Opens once the thread of the last life has let go.
async fn unlocked(folder: &Path) -> Result<(Queue, Reader), QueueError> {
    loop {
        match start(folder).await {
            Err(QueueError::Disk { path, .. }) if path.ends_with("lock") => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.arrival.sequence.get()).collect()
}

fn newest(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "queue")).max().unwrap()
}

#[tokio::test]
async fn rows_come_back_in_order_and_across_lives_until_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, reader) = start(folder.path()).await.unwrap();
    let mut pending = Vec::new();
    for n in 0..200 {
        pending.push(queue.offer(arrival(n, 500)).await.unwrap());
    }
    for (n, pending) in (0..).zip(pending) {
        assert_eq!(pending.durable().await.unwrap().sequence().get(), n);
    }
    let (first, reader) = reader.next(5_000).await.unwrap();
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    let (rest, _) = reader.next(usize::MAX).await.unwrap();
    assert_eq!(numbers(&rest), (10..200).collect::<Vec<_>>());
    assert_eq!(queue.start_batch().await.unwrap(), BatchNumber::new(0));
    queue.done_below(RowNumber::new(150)).await.unwrap();
    let (queue, reader) = end(queue, folder.path()).await;
    assert_eq!(numbers(&reader.next(usize::MAX).await.unwrap().0), (150..200).collect::<Vec<_>>());
    assert_eq!(queue.start_batch().await.unwrap(), BatchNumber::new(1));
    assert_eq!(queue.append(arrival(150, 500)).await.unwrap().sequence().get(), 150);
    let reused = queue.append(arrival(150, 501)).await;
    assert!(matches!(reused, Err(QueueError::Refused(Code::SequenceReused))));
}

#[tokio::test]
async fn files_whose_rows_are_done_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _reader) = start(folder.path()).await.unwrap();
    for n in 0..30 {
        let _ = queue.append(arrival(n, 5_000)).await.unwrap();
    }
    let before = queue.stats().bytes;
    queue.done_below(RowNumber::new(30)).await.unwrap();
    // Whoever is answered next is answered after the files are gone.
    let _ = queue.append(arrival(30, 100)).await.unwrap();
    assert!(queue.stats().bytes < before / 3, "{} of {before}", queue.stats().bytes);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(files <= 3, "{files}");
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_damage_before_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = start(folder.path()).await.unwrap();
    for n in 0..3 {
        let _ = queue.append(arrival(n, 100)).await.unwrap();
    }
    let file = newest(folder.path());
    let (queue, _) = end(queue, folder.path()).await;
    drop(queue);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend([9; 700]);
    std::fs::write(&file, &bytes).unwrap();
    let (queue, reader) = again(folder.path()).await;
    assert_eq!(numbers(&reader.next(usize::MAX).await.unwrap().0), [0, 1, 2]);
    let _ = queue.append(arrival(3, 100)).await.unwrap();
    let (queue, reader) = end(queue, folder.path()).await;
    assert_eq!(numbers(&reader.next(usize::MAX).await.unwrap().0), [0, 1, 2, 3]);
    drop(queue);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1_100] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let refused = unlocked(folder.path()).await;
    assert!(matches!(refused, Err(QueueError::Damaged { .. })));
}

#[tokio::test]
async fn two_processes_cannot_share_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (_queue, _reader) = start(folder.path()).await.unwrap();
    let second = start(folder.path()).await;
    assert_eq!(second.unwrap_err().code(), Code::QueueDisk);
}

#[tokio::test]
async fn frames_are_not_readable_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _reader) = start(folder.path()).await.unwrap();
    let _ = queue.append(arrival(1, 600)).await.unwrap();
    let bytes = std::fs::read(newest(folder.path())).unwrap();
    assert!(!bytes.windows(20).any(|window| window == [7; 20]));
    assert!(!bytes.windows(16).any(|window| window == [1; 16]));
}

#[tokio::test]
async fn a_device_that_leaves_is_forgotten_with_the_files_that_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _reader) = start(folder.path()).await.unwrap();
    for sequence in 0..3 {
        let _durable = queue.append(arrival(sequence, 100)).await.unwrap();
    }
    let first = newest(folder.path());
    queue.done_below(RowNumber::new(3)).await.unwrap();
    queue.leave(vec![DeviceId::new([1; 16])]).await.unwrap();
    assert!(!first.exists());
    // Under a sequence of before it is a new frame, now and in the next life.
    let other = Arrival { frame: Blob::new(vec![8; 9]).unwrap(), ..arrival(1, 9) };
    let (queue, _reader) = end(queue, folder.path()).await;
    let _durable = queue.append(other).await.unwrap();
    assert_eq!(queue.stats().durable_below, RowNumber::new(4));
}

#[tokio::test]
async fn who_leaves_is_told_when_the_files_of_before_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _reader) = start(folder.path()).await.unwrap();
    for sequence in 0..3 {
        let _durable = queue.append(arrival(sequence, 100)).await.unwrap();
    }
    let first = newest(folder.path());
    let mut left = Box::pin(queue.leave(vec![DeviceId::new([1; 16])]));
    assert!(futures::poll!(&mut left).is_pending());
    for done in 1..3 {
        queue.done_below(RowNumber::new(done)).await.unwrap();
        assert!(futures::poll!(&mut left).is_pending(), "row {done} is in it");
        assert!(first.exists());
    }
    queue.done_below(RowNumber::new(3)).await.unwrap();
    left.await.unwrap();
    assert!(!first.exists());
    // What came after is in the new file, and stays.
    let _durable = queue.append(arrival(9, 100)).await.unwrap();
    let second = newest(folder.path());
    let _ = futures::join!(queue.leave(Vec::new()), queue.done_below(RowNumber::new(4)));
    assert!(!second.exists());
}
