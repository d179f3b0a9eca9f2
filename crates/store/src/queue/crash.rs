//! The queue on a disk that crashes at every effect, keeps any subset of unsynced sectors, forgets
//! names that were not synced and brings deleted files back. The oracle knows what was promised and
//! does not ask the machine.

use super::file::{FileNumber, SECTOR_BYTES, Scanned, scan};
use super::machine::{Effect, Input, Limits, Machine, Reply, Ticket};
use super::row::{Arrival, Record, Route, Row, RowNumber};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_crypto::Secret;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::PublicKey;
use salus_wire::{BatchNumber, Blob, Code, DataClass, DeviceId, ObservationCode, Sequence, StreamId, TimeMs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const LIMITS: Limits = Limits { bytes_max: 200_000, file_bytes_max: 6_000 };

#[derive(Clone, Default)]
struct SimFile {
    synced: Vec<u8>,
    live: Vec<u8>,
    named: bool,
    deleted: bool,
}

#[derive(Clone, Default)]
struct SimDisk(BTreeMap<FileNumber, SimFile>);

impl SimDisk {
    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Create(file) => {
                assert!(self.0.insert(*file, SimFile::default()).is_none(), "a file number was used twice");
            }
            Effect::Write { file, at, bytes } => {
                let live = &mut self.0.get_mut(file).unwrap().live;
                live.resize(usize::try_from(*at).unwrap(), 0);
                live.extend(bytes);
            }
            Effect::Sync(file) => {
                let file = self.0.get_mut(file).unwrap();
                file.synced.clone_from(&file.live);
            }
            Effect::SyncFolder => {
                self.0.retain(|_, file| !file.deleted);
                self.0.values_mut().for_each(|file| file.named = true);
            }
            Effect::Truncate(file, length) => {
                let file = self.0.get_mut(file).unwrap();
                file.live.truncate(usize::try_from(*length).unwrap());
                file.synced.clone_from(&file.live);
            }
            Effect::Delete(file) => self.0.get_mut(file).unwrap().deleted = true,
            Effect::Reply(..) => {}
        }
    }

    /// What is there after the power comes back.
    fn crash(self, rng: &mut StdRng) -> Self {
        let survive = |(number, file): (FileNumber, SimFile)| {
            let exists = (file.named || rng.random()) && (!file.deleted || rng.random());
            exists.then(|| {
                let bytes = torn(&file, rng);
                (number, SimFile { synced: bytes.clone(), live: bytes, named: true, deleted: false })
            })
        };
        Self(self.0.into_iter().filter_map(survive).collect())
    }
}

/// The synced bytes with any subset of the later sectors over them.
fn torn(file: &SimFile, rng: &mut StdRng) -> Vec<u8> {
    let length = if rng.random() {
        file.live.len()
    } else {
        rng.random_range(file.synced.len().min(file.live.len())..=file.live.len().max(file.synced.len()))
    };
    let mut bytes = file.synced.clone();
    bytes.resize(length.max(file.synced.len().min(file.live.len())), 0);
    for at in (0..bytes.len()).step_by(SECTOR_BYTES) {
        let end = bytes.len().min(at + SECTOR_BYTES).min(file.live.len());
        if at < end && rng.random() {
            bytes[at..end].copy_from_slice(&file.live[at..end]);
        }
    }
    bytes
}

/// What was offered, promised and finished, in all lives of the queue.
#[derive(Default)]
struct Oracle {
    offered: BTreeMap<(DeviceId, Sequence), Vec<u8>>,
    acknowledged: BTreeSet<(DeviceId, Sequence)>,
    finished: BTreeSet<(DeviceId, Sequence)>,
    batches: BTreeSet<BatchNumber>,
}

impl Oracle {
    fn hear(&mut self, effect: &Effect) {
        match effect {
            Effect::Reply(_, Reply::Durable(durable)) => {
                self.acknowledged.insert((durable.device(), durable.sequence()));
            }
            Effect::Reply(_, Reply::Started(batch)) => {
                assert!(self.batches.insert(*batch), "a batch number was given twice");
            }
            _ => {}
        }
    }

    /// INV-1: what was acknowledged is here or was finished, as it was offered.
    fn check(&self, rows: &[Row]) {
        let found: BTreeSet<_> = rows.iter().map(|row| (row.arrival.device, row.arrival.sequence)).collect();
        for row in rows {
            let name = (row.arrival.device, row.arrival.sequence);
            assert_eq!(self.offered.get(&name).map(Vec::as_slice), Some(&*row.arrival.frame));
        }
        for name in &self.acknowledged {
            assert!(found.contains(name) || self.finished.contains(name), "an acknowledged frame is lost");
        }
        assert!(rows.iter().zip(rows.iter().skip(1)).all(|(a, b)| a.number < b.number));
    }
}

fn key() -> Arc<MachineKey> {
    Arc::new(MachineKey::new(Secret::from_bytes([5; 32])))
}

fn arrival(device: u8, sequence: u64, frame: Vec<u8>) -> Arrival {
    Arrival {
        device: DeviceId::new([device; 16]),
        sequence: Sequence::new(sequence),
        received: TimeMs::new(1),
        route: Route {
            key: PublicKey::from_bytes([1; 32]),
            grants: ChainAnchor::from_digest(Digest::ZERO),
            class: DataClass::Vitals,
            code: ObservationCode::Loinc(8_867),
            stream: StreamId::new([2; 16]),
        },
        frame: Blob::new(frame).unwrap(),
    }
}

/// The same recovery as the driver's, on the simulated disk.
fn recover(disk: &mut SimDisk) -> (Machine, Vec<Row>) {
    let mut machine = Machine::new(key(), LIMITS);
    let mut rows = Vec::new();
    let numbers: Vec<FileNumber> = disk.0.keys().copied().collect();
    let last = numbers.last().copied();
    for number in numbers {
        let bytes = disk.0[&number].live.clone();
        match scan(&key(), number, &bytes) {
            Scanned::Intact { records, intact } => {
                assert!(intact == bytes.len() || Some(number) == last, "a torn file that is not the last");
                disk.0.get_mut(&number).unwrap().live.truncate(intact);
                disk.0.get_mut(&number).unwrap().synced.truncate(intact);
                rows.extend(records.iter().filter_map(|record| match record {
                    Record::Row(row) => Some(row.clone()),
                    _ => None,
                }));
                machine.recover(number, u64::try_from(intact).unwrap(), records);
            }
            Scanned::NeverBegun => {
                assert_eq!(Some(number), last);
                disk.0.remove(&number);
                machine.skip(number);
            }
            Scanned::Damaged { at } => panic!("damage at {at} where there was only a crash"),
        }
    }
    for effect in machine.trim() {
        disk.carry_out(&effect);
    }
    (machine, rows)
}

fn random_input(
    rng: &mut StdRng,
    ticket: Ticket,
    machine: &Machine,
    oracle: &mut Oracle,
    rows: &[Row],
) -> Input {
    match rng.random_range(0..12) {
        0 => Input::StartBatch(ticket),
        1 if machine.done_below() < machine.durable_below() => {
            let (done, durable) = (machine.done_below().get(), machine.durable_below().get());
            let below = if rng.random() { durable } else { rng.random_range(done..=durable) };
            let below = RowNumber::new(below);
            let finished = rows.iter().filter(|row| row.number < below);
            oracle.finished.extend(finished.map(|row| (row.arrival.device, row.arrival.sequence)));
            Input::DoneBelow(ticket, below)
        }
        _ => {
            let (device, sequence) = (rng.random_range(0..3), rng.random_range(0..400));
            let new =
                || vec![u8::try_from(sequence % 251).unwrap(); 20 + usize::try_from(sequence).unwrap() * 3];
            let name = (DeviceId::new([device; 16]), Sequence::new(sequence));
            let frame = oracle.offered.entry(name).or_insert_with(new).clone();
            Input::Append(ticket, Box::new(arrival(device, sequence, frame)))
        }
    }
}

/// One life: random inputs in groups until a crash after some effect. Returns the disk as left.
fn live(disk: &mut SimDisk, oracle: &mut Oracle, rng: &mut StdRng) {
    let (mut machine, mut rows) = recover(disk);
    oracle.check(&rows);
    let mut effects_left = rng.random_range(0..60);
    for ticket in 0..u64::MAX {
        let input = random_input(rng, Ticket(ticket), &machine, oracle, &rows);
        if let Input::Append(_, arrival) = &input {
            let number = RowNumber::new(u64::MAX);
            rows.push(Row { number, arrival: (**arrival).clone() });
        }
        machine.step(input, rng).iter().for_each(|effect| oracle.hear(effect));
        if rng.random_range(0..4) != 0 {
            continue;
        }
        let mut input = Some(Input::Flush);
        while let Some(next) = input.take() {
            for effect in machine.step(next, rng) {
                if effects_left == 0 {
                    return;
                }
                effects_left -= 1;
                let full = matches!(effect, Effect::Write { .. }) && rng.random_range(0..12) == 0;
                disk.carry_out(&effect);
                if full {
                    input = Some(Input::DiskFull);
                    break;
                }
                oracle.hear(&effect);
                if matches!(effect, Effect::Sync(_)) {
                    input = Some(Input::Synced);
                }
            }
        }
        rows = recover_rows(disk);
    }
}

fn recover_rows(disk: &SimDisk) -> Vec<Row> {
    recover(&mut disk.clone()).1
}

#[test]
fn nothing_acknowledged_is_lost_whenever_it_crashes() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut disk, mut oracle) = (SimDisk::default(), Oracle::default());
        for _ in 0..6 {
            live(&mut disk, &mut oracle, &mut rng);
            disk = disk.crash(&mut rng);
        }
        let (_, rows) = recover(&mut disk);
        oracle.check(&rows);
    }
}

/// Runs a step to its end on a perfect disk, and returns the replies.
fn settle(machine: &mut Machine, disk: &mut SimDisk, rng: &mut StdRng) -> Vec<(Ticket, Reply)> {
    let mut replies = Vec::new();
    let mut input = Some(Input::Flush);
    while let Some(next) = input.take() {
        for effect in machine.step(next, rng) {
            disk.carry_out(&effect);
            match effect {
                Effect::Sync(_) => input = Some(Input::Synced),
                Effect::Reply(ticket, reply) => replies.push((ticket, reply)),
                _ => {}
            }
        }
    }
    replies
}

#[test]
fn a_repetition_is_acknowledged_and_a_reuse_refused_also_after_a_restart() {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut disk, mut machine) = (SimDisk::default(), Machine::new(key(), LIMITS));
    let frame = |n: u8| Box::new(arrival(1, 7, vec![n; 30]));
    assert_eq!(machine.step(Input::Append(Ticket(0), frame(1)), &mut rng), []);
    assert_eq!(machine.step(Input::Append(Ticket(1), frame(1)), &mut rng), []);
    let reused = [Effect::Reply(Ticket(2), Reply::Refused(Code::SequenceReused))];
    assert_eq!(machine.step(Input::Append(Ticket(2), frame(2)), &mut rng), reused);
    let replies = settle(&mut machine, &mut disk, &mut rng);
    assert!(matches!(&replies[..], [(Ticket(0), Reply::Durable(_)), (Ticket(1), Reply::Durable(_))]));
    for mut machine in [machine, recover(&mut disk).0] {
        let again = machine.step(Input::Append(Ticket(3), frame(1)), &mut rng);
        assert!(matches!(&again[..], [Effect::Reply(Ticket(3), Reply::Durable(_))]));
        assert_eq!(machine.step(Input::Append(Ticket(2), frame(2)), &mut rng), reused);
    }
}

/// Seed 2484 of the simulator: with everything done, a start deleted the only file, and what was seen was
/// forgotten when the next start came before the next file.
#[test]
fn what_was_seen_is_remembered_by_a_queue_that_starts_again_and_again_with_nothing_to_do() {
    let mut rng = StdRng::seed_from_u64(4);
    let (mut disk, mut machine) = (SimDisk::default(), Machine::new(key(), LIMITS));
    machine.step(Input::Append(Ticket(0), Box::new(arrival(1, 7, vec![1; 30]))), &mut rng);
    machine.step(Input::StartBatch(Ticket(1)), &mut rng);
    settle(&mut machine, &mut disk, &mut rng);
    machine.step(Input::DoneBelow(Ticket(2), machine.durable_below()), &mut rng);
    settle(&mut machine, &mut disk, &mut rng);
    for _ in 0..3 {
        disk.carry_out(&Effect::SyncFolder);
        let (mut machine, _) = recover(&mut disk);
        let reused = Input::Append(Ticket(3), Box::new(arrival(1, 7, vec![2; 30])));
        let refused = [Effect::Reply(Ticket(3), Reply::Refused(Code::SequenceReused))];
        assert_eq!(machine.step(reused, &mut rng), refused);
        machine.step(Input::StartBatch(Ticket(4)), &mut rng);
        let replies = settle(&mut machine, &mut disk.clone(), &mut rng);
        assert_eq!(replies, [(Ticket(4), Reply::Started(BatchNumber::new(1)))]);
    }
}

#[test]
fn a_full_queue_refuses_frames_and_empties_when_they_are_done() {
    let mut rng = StdRng::seed_from_u64(2);
    let (mut disk, mut machine) = (SimDisk::default(), Machine::new(key(), LIMITS));
    let mut kept = 0;
    let refused = (0..1_000).any(|n| {
        let effects = machine.step(Input::Append(Ticket(n), Box::new(arrival(1, n, vec![1; 900]))), &mut rng);
        settle(&mut machine, &mut disk, &mut rng);
        kept += u64::from(effects.is_empty());
        effects == [Effect::Reply(Ticket(n), Reply::Refused(Code::QueueFull))]
    });
    assert!(refused && kept > 50 && machine.bytes() <= LIMITS.bytes_max + 2_000);
    machine.step(Input::DoneBelow(Ticket(0), machine.durable_below()), &mut rng);
    assert_eq!(settle(&mut machine, &mut disk, &mut rng), [(Ticket(0), Reply::Done)]);
    assert!(machine.bytes() < LIMITS.bytes_max / 4);
    assert_eq!(
        machine.step(Input::Append(Ticket(1), Box::new(arrival(1, 5_000, vec![1; 900]))), &mut rng),
        []
    );
    let replies = settle(&mut machine, &mut disk, &mut rng);
    assert!(matches!(&replies[..], [(Ticket(1), Reply::Durable(_))]));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut machine = Machine::new(key(), LIMITS);
    machine.step(Input::Append(Ticket(0), Box::new(arrival(1, 1, vec![1; 30]))), &mut rng);
    machine.step(Input::Flush, &mut rng);
    let refused = |n| vec![Effect::Reply(Ticket(n), Reply::Refused(Code::QueueDisk))];
    assert_eq!(machine.step(Input::Failed, &mut rng), refused(0));
    let again = Input::Append(Ticket(1), Box::new(arrival(1, 1, vec![1; 30])));
    assert_eq!(machine.step(again, &mut rng), refused(1));
    assert_eq!(machine.step(Input::Synced, &mut rng), []);
    assert_eq!(machine.step(Input::Flush, &mut rng), []);
}
