//! The batch machine on its own: what it says, in which order, and that what it sealed opens again.
#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_clinical::{Decimal, Rate, Reading, Value, Waveform, frame, kind, segment};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::{Digest, PublicKey, Secret, SigningKey, merkle};
use salus_fragment::{CheckedShare, Fragment, OpeningEpoch, Quorum, check, open};
use salus_gateway::Members;
use salus_gateway::batch::{Anchors, BATCH_ROWS_MAX, BATCHES_MAX, DepositId, Effect, Input, Machine, Setup};
use salus_store::fragments::plan;
use salus_store::queue::{Arrival, Route, Row, RowNumber};
use salus_wire::genesis::Faults;
use salus_wire::limits::{BATCH_SEGMENTS_MAX, EPOCH_MS_MAX, RPC_BYTES_MAX};
use salus_wire::release::{Deposit, EpochHeader, EpochShares, deposit_message, envelope_info};
use salus_wire::rpc::{Put, put_message};
use salus_wire::tx::Held;
use salus_wire::{
    BatchNumber, Blob, ChainId, Code, DataClass, DeviceId, FragmentIndex, Locator, Manifest, MemberIndex,
    PartyId, SegmentIndex, Sequence, StreamId, TimeMs, Tx, TxBody, decode, encode, namespaces,
};
use std::collections::BTreeMap;

const CHAIN: ChainId = ChainId(Digest::from_bytes([1; 32]));
const GATEWAY: PartyId = PartyId::new([2; 16]);
const START: TimeMs = TimeMs::new(1_790_000_000_000);
const CADENCE_MS: u64 = 500;
const MEMBERS: u8 = 4;
const QUORUM: u16 = 3;

fn key(role: u8, number: u8) -> SigningKey {
    let mut seed = [role; 32];
    seed[0] = number;
    SigningKey::from_seed(Secret::from_bytes(seed))
}

fn custodian(member: u8) -> KemSecretKey {
    KemSecretKey::from_seed(Secret::from_bytes([100 + member; 32]))
}

fn chain(patient: u8) -> ChainAnchor {
    ChainAnchor::from_digest(Digest::from_bytes([patient; 32]))
}

fn batch(number: u64) -> BatchNumber {
    BatchNumber::new(number)
}

fn members() -> impl Iterator<Item = MemberIndex> {
    (0..u16::from(MEMBERS)).map(MemberIndex::new)
}

/// A heart rate of a patient, at a number of seconds after the start.
fn heart_rate(second: u64) -> Reading {
    let kind = kind::find("8867-4").expect("in the table");
    let value = Value::Quantity(Decimal::whole(60 + i64::try_from(second % 50).expect("small")));
    Reading::new(kind, START.plus_ms(second * 1_000), value).expect("a reading")
}

/// A piece of ECG whose zero is `origin`.
fn ecg(second: u64, origin: i32) -> Reading {
    let kind = kind::find("131330").expect("in the table");
    let rate = Rate::new(360, 1).expect("a rate");
    let scale = Decimal::new(5, -3).expect("a scale");
    let waveform = Waveform::new(rate, scale, origin, vec![7, -3, 12]).expect("a waveform");
    Reading::new(kind, START.plus_ms(second * 1_000), Value::Waveform(waveform)).expect("a reading")
}

/// The machine, the world around it, and everything it ever said.
struct Bench {
    machine: Machine,
    rng: StdRng,
    now: TimeMs,
    next_row: u64,
    reserved: usize,
    puts: Vec<(BatchNumber, MemberIndex, Put)>,
    deposits: Vec<(DepositId, MemberIndex, Deposit)>,
    anchors: Vec<(BatchNumber, Tx)>,
    done: Vec<RowNumber>,
    spoilt: usize,
}

impl Bench {
    fn new() -> Self {
        Self::anchoring(Anchors::WhenNeeded)
    }

    fn anchoring(anchors: Anchors) -> Self {
        let members = Members {
            chain: CHAIN,
            faults: Faults::for_members(usize::from(MEMBERS)).expect("members"),
            service_keys: (0..MEMBERS).map(|member| key(3, member).public_key()).collect(),
            custodians: (0..MEMBERS).map(|member| custodian(member).public_key()).collect(),
        };
        let setup = Setup { members, gateway: GATEWAY, key: key(4, 0), cadence_ms: CADENCE_MS, anchors };
        Self {
            machine: Machine::new(setup),
            rng: StdRng::seed_from_u64(5),
            now: START,
            next_row: 0,
            reserved: 0,
            puts: Vec::new(),
            deposits: Vec::new(),
            anchors: Vec::new(),
            done: Vec::new(),
            spoilt: 0,
        }
    }

    /// A row of a device's reading for a patient.
    fn row(&mut self, device: u8, patient: u8, reading: Reading) -> Row {
        let sequence = Sequence::new(self.next_row);
        let (signer, id) = (key(6, device), DeviceId::new([device; 16]));
        let (class, code) = (reading.class(), reading.kind().code());
        let stream = StreamId::new([device ^ if class == DataClass::Vitals { 0 } else { 0x80 }; 16]);
        let frame = Blob::new(frame::sign(&signer, id, sequence, reading)).expect("short");
        let route = Route { key: signer.public_key(), grants: chain(patient), class, code, stream };
        let number = RowNumber::new(self.next_row);
        self.next_row += 1;
        Row { number, arrival: Arrival { device: id, sequence, received: self.now, route, frame } }
    }

    fn step(&mut self, input: Input) -> usize {
        let effects = self.machine.step(input, self.now, &mut self.rng);
        let count = effects.len();
        for effect in effects {
            match effect {
                Effect::Reserve => self.reserved += 1,
                Effect::Deposit { id, to, deposit } => self.deposits.push((id, to, *deposit)),
                Effect::Put { batch, to, put } => self.puts.push((batch, to, *put)),
                Effect::Anchor { batch, tx } => self.anchors.push((batch, *tx)),
                Effect::Done(below) => self.done.push(below),
                Effect::Spoilt(count) => self.spoilt += count,
            }
        }
        count
    }

    fn tick(&mut self, ms: u64) -> usize {
        self.now = self.now.plus_ms(ms);
        self.step(Input::Tick)
    }

    /// Rows that become the batch of this number.
    fn seal(&mut self, number: u64, rows: Vec<Row>) {
        let reserved = self.reserved;
        self.step(Input::Rows(rows));
        self.tick(CADENCE_MS);
        assert_eq!(self.reserved, reserved + 1);
        self.step(Input::Number(batch(number)));
    }

    fn root(&self, number: u64) -> Digest {
        let (_, _, put) = self.puts.iter().find(|(of, ..)| *of == batch(number)).expect("it was put");
        let digests: Vec<Digest> = put.segments.iter().map(|segment| segment.manifest.digest()).collect();
        merkle::root(&digests)
    }

    fn hold(&mut self, number: u64, store: MemberIndex) -> usize {
        let signer = key(3, u8::try_from(store.get()).expect("small"));
        let held = Held::sign(CHAIN, GATEWAY, batch(number), self.root(number), store, &signer);
        self.step(Input::Held { batch: batch(number), from: store, answer: Ok(held) })
    }

    fn hold_all(&mut self, number: u64) {
        for store in members() {
            self.hold(number, store);
        }
    }

    /// Every custodian takes what it was ever brought.
    fn take_deposits(&mut self) {
        let brought: Vec<_> = self.deposits.iter().map(|(id, to, _)| (*id, *to)).collect();
        for (deposit, from) in brought {
            self.step(Input::Deposited { deposit, from });
        }
    }

    fn settle(&mut self, number: u64, result: Result<(), Code>) {
        self.step(Input::Settled { batch: batch(number), result });
    }

    /// A batch from rows to its end.
    fn keep(&mut self, number: u64, rows: Vec<Row>) {
        self.seal(number, rows);
        self.take_deposits();
        self.hold_all(number);
        self.settle(number, Ok(()));
    }

    fn anchored(&self) -> Vec<u64> {
        self.anchors.iter().map(|(number, _)| number.get()).collect()
    }

    fn new_epochs(&self) -> usize {
        self.opened_epochs().len()
    }

    /// Every epoch that was deposited, opened from the shares of the last t custodians.
    fn opened_epochs(&self) -> Vec<OpeningEpoch> {
        let mut shares: BTreeMap<_, Vec<CheckedShare>> = BTreeMap::new();
        for (_, to, deposit) in self.deposits.iter().filter(|(_, to, _)| to.get() > 0) {
            let message = deposit_message(CHAIN, GATEWAY, *to, &deposit.envelopes);
            let writer = key(4, 0).public_key();
            writer.verify(namespaces::DEPOSIT, &message, &deposit.signature).expect("it is signed");
            for envelope in deposit.envelopes.iter() {
                let secret = custodian(u8::try_from(to.get()).expect("small"));
                let plain = secret.open(&envelope_info(CHAIN, GATEWAY, *to), &[], &envelope.sealed);
                let EpochShares(given) = decode(&plain.expect("for it"), RPC_BYTES_MAX).expect("shares");
                for share in given.into_vec() {
                    let faults = Faults::for_members(usize::from(MEMBERS)).expect("members");
                    let checked = CheckedShare::check(CHAIN, faults, &writer, *to, share).expect("good");
                    shares.entry(checked.header().epoch).or_default().push(checked);
                }
            }
        }
        shares.into_values().map(|shares| OpeningEpoch::combine(shares).expect("t shares")).collect()
    }

    /// The frames of every segment of every epoch, as a reader finds them: from number 0 on, up to
    /// the first that is absent, out of the fragments of the last two stores.
    fn opened(&self) -> Vec<(EpochHeader, Vec<Vec<Vec<u8>>>)> {
        let kept = self.manifests();
        let open_epoch = |epoch: OpeningEpoch| {
            let segments = (0_u32..)
                .map(SegmentIndex::new)
                .map_while(|index| kept.get(&epoch.locator(index)).map(|found| (index, found)))
                .map(|(index, (manifest, fragments))| frames(&epoch, index, manifest, fragments))
                .collect();
            (epoch.header().clone(), segments)
        };
        self.opened_epochs().into_iter().map(open_epoch).collect()
    }

    fn manifests(&self) -> BTreeMap<Locator, (Manifest, BTreeMap<u16, Vec<u8>>)> {
        let mut kept: BTreeMap<Locator, (Manifest, BTreeMap<u16, Vec<u8>>)> = BTreeMap::new();
        for (_, to, put) in &self.puts {
            for segment in put.segments.iter() {
                let found = kept.entry(segment.manifest.locator);
                let found = found.or_insert_with(|| (segment.manifest.clone(), BTreeMap::new()));
                assert_eq!(found.0, segment.manifest, "one locator, one manifest");
                found.1.insert(to.get(), segment.fragment.to_vec());
            }
        }
        kept
    }

    /// All frames that open again, in an order of their own.
    fn all_opened(&self) -> Vec<Vec<u8>> {
        let epochs = self.opened();
        let mut frames: Vec<_> = epochs.into_iter().flat_map(|(_, segments)| segments).flatten().collect();
        frames.sort_unstable();
        frames
    }
}

fn frames(
    epoch: &OpeningEpoch,
    index: SegmentIndex,
    manifest: &Manifest,
    fragments: &BTreeMap<u16, Vec<u8>>,
) -> Vec<Vec<u8>> {
    let good = [2, 3].map(|store| {
        let fragment = Fragment::from_bytes(fragments[&store].clone());
        check(manifest, FragmentIndex::new(store), fragment).expect("good")
    });
    let quorum = Quorum::gather(manifest, good.into()).expect("two are enough");
    let segment_key = epoch.segment_key(index, manifest).expect("its place");
    let opened = open(manifest, quorum, segment_key).expect("it opens");
    let leaves = segment::unpack(opened.plaintext()).expect("it unpacks");
    opened.prove(&leaves).expect("the committed leaves");
    leaves.into_iter().map(|leaf| leaf.frame.to_vec()).collect()
}

fn sorted_frames(rows: &[Row]) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = rows.iter().map(|row| row.arrival.frame.to_vec()).collect();
    frames.sort_unstable();
    frames
}

fn vitals(bench: &mut Bench, from: u64, count: u64) -> Vec<Row> {
    (from..from + count).map(|second| bench.row(1, 1, heart_rate(second))).collect()
}

#[test]
fn a_number_is_taken_before_anything_is_sealed() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 3);
    bench.step(Input::Rows(rows));
    bench.tick(CADENCE_MS);
    bench.tick(CADENCE_MS);
    assert_eq!((bench.reserved, bench.puts.len(), bench.deposits.len()), (1, 0, 0));
    bench.step(Input::Number(batch(7)));
    assert!(bench.puts.iter().all(|(number, ..)| *number == batch(7)));
    assert_eq!((bench.puts.len(), bench.deposits.len()), (4, 4));
}

#[test]
fn nothing_is_begun_without_rows() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(CADENCE_MS), 0);
    assert!(bench.machine.is_idle());
}

#[test]
fn with_steady_anchors_a_batch_of_nothing_is_put_anchored_and_ends() {
    let mut bench = Bench::anchoring(Anchors::Always);
    for number in 0..3 {
        bench.tick(CADENCE_MS);
        bench.step(Input::Number(batch(number)));
        bench.hold_all(number);
        bench.settle(number, Ok(()));
    }
    assert_eq!((bench.anchored(), bench.done.clone()), (vec![0, 1, 2], vec![]));
    assert!(bench.machine.is_idle());
    assert_eq!((bench.deposits.len(), bench.puts.len()), (0, 12), "nobody has a key of it");
    for (number, store, put) in bench.puts.clone() {
        let [segment] = &*put.segments else { panic!("one segment") };
        let fragment = Fragment::from_bytes(segment.fragment.to_vec());
        check(&segment.manifest, FragmentIndex::new(store.get()), fragment).expect("as any other");
        let taken = plan(GATEWAY, number, store, put.segments.into_vec());
        assert!(taken.is_ok(), "a store takes it");
    }
    assert_ne!(bench.root(0), bench.root(1), "a root that is known would say that it is nothing");
    let rows = vitals(&mut bench, 0, 2);
    bench.keep(3, rows.clone());
    assert_eq!((bench.anchored(), bench.done.clone()), (vec![0, 1, 2, 3], vec![RowNumber::new(2)]));
    assert_eq!(bench.all_opened(), sorted_frames(&rows));
}

/// When batches begin, looked at every 50 ms for a while in which numbers take their time and the ledger answers.
fn beginnings(anchors: Anchors, rows_every: Option<u64>) -> Vec<u64> {
    let mut bench = Bench::anchoring(anchors);
    let mut begun = Vec::new();
    for ms in 0..10_000 {
        bench.now = START.plus_ms(ms);
        let (reserved, number) = (bench.reserved, u64::try_from(begun.len()).expect("few"));
        if rows_every.is_some_and(|every| ms % every == 3) {
            let row = vitals(&mut bench, ms, 1);
            bench.step(Input::Rows(row));
        }
        if ms % 50 == 0 {
            bench.step(Input::Tick);
        }
        if bench.reserved > reserved {
            bench.now = bench.now.plus_ms(ms % 7);
            bench.step(Input::Number(batch(number)));
            begun.push(ms);
            bench.take_deposits();
            bench.hold_all(number);
            bench.settle(number, Ok(()));
        }
    }
    begun
}

#[test]
fn with_steady_anchors_rows_do_not_change_when_batches_begin() {
    let steady = beginnings(Anchors::Always, None);
    assert_eq!(steady.len(), 20);
    assert!(steady.is_sorted() && steady.iter().zip(0..).all(|(at, tick)| *at == tick * CADENCE_MS));
    assert_eq!(beginnings(Anchors::Always, Some(10)), steady);
    assert_eq!(beginnings(Anchors::Always, Some(1_700)), steady);
    assert_eq!(beginnings(Anchors::WhenNeeded, None).len(), 0);
}

#[test]
fn with_steady_anchors_a_whole_batch_does_not_wait_for_its_tick() {
    let mut bench = Bench::anchoring(Anchors::Always);
    bench.tick(CADENCE_MS);
    bench.step(Input::Number(batch(0)));
    let rows = vitals(&mut bench, 0, BATCH_ROWS_MAX.try_into().expect("few"));
    bench.step(Input::Rows(rows));
    assert_eq!(bench.reserved, 2);
}

#[test]
fn a_put_and_an_anchor_bind_every_manifest_and_are_signed() {
    let mut bench = Bench::new();
    let rows = vec![bench.row(1, 1, heart_rate(0)), bench.row(2, 2, ecg(0, 0))];
    bench.keep(0, rows);
    let root = bench.root(0);
    let gateway = key(4, 0).public_key();
    for (_, to, put) in &bench.puts {
        let message = put_message(CHAIN, GATEWAY, batch(0), *to, root);
        assert_eq!((put.store, put.segments.len()), (*to, 2));
        gateway.verify(namespaces::PUT, &message, &put.signature).expect("it is signed");
    }
    let [(_, tx)] = bench.anchors.as_slice() else { panic!("one anchor") };
    gateway.verify(namespaces::TX, &Tx::message(CHAIN, &tx.body), &tx.signature).expect("it is signed");
    let TxBody::Anchor { root: anchored, held, .. } = &tx.body else { panic!("an anchor") };
    assert_eq!(*anchored, root);
    assert!(held.is_sorted_by(|a, b| a.store < b.store) && held.len() >= usize::from(QUORUM));
}

#[test]
fn an_anchor_waits_for_a_quorum_of_stores_and_of_custodians() {
    for stores_first in [true, false] {
        let mut bench = Bench::new();
        let rows = vitals(&mut bench, 0, 3);
        bench.seal(0, rows);
        let deposits: Vec<_> = bench.deposits.iter().map(|(id, to, _)| (*id, *to)).collect();
        for (deposit, custodian) in &deposits[..2] {
            bench.step(Input::Deposited { deposit: *deposit, from: *custodian });
            bench.step(Input::Deposited { deposit: *deposit, from: *custodian });
        }
        for store in members().take(2) {
            bench.hold(0, store);
            bench.hold(0, store);
        }
        let third = |bench: &mut Bench, store: bool| {
            let (deposit, from) = deposits[2];
            if store {
                bench.hold(0, from)
            } else {
                bench.step(Input::Deposited { deposit, from })
            };
        };
        third(&mut bench, stores_first);
        assert_eq!(bench.anchored(), [0; 0]);
        third(&mut bench, !stores_first);
        assert_eq!(bench.anchored(), [0]);
        assert_eq!(bench.done, []);
    }
}

#[test]
fn anchors_and_ends_come_in_order() {
    let mut bench = Bench::new();
    for number in 0..3 {
        let rows = vitals(&mut bench, number * 10, 2);
        bench.seal(number, rows);
    }
    bench.take_deposits();
    for number in [2, 1] {
        bench.hold_all(number);
        assert_eq!(bench.anchored(), [0; 0]);
    }
    bench.hold_all(0);
    assert_eq!(bench.anchored(), [0]);
    bench.settle(0, Ok(()));
    assert_eq!((bench.anchored(), bench.done.clone()), (vec![0, 1], vec![RowNumber::new(2)]));
    bench.settle(1, Ok(()));
    bench.settle(2, Ok(()));
    assert_eq!(bench.done, [2, 4, 6].map(RowNumber::new));
    assert!(bench.machine.is_idle());
    bench.settle(2, Ok(()));
    assert_eq!(bench.done.len(), 3);
}

#[test]
fn a_store_that_fails_is_brought_the_same_bytes_again() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 2);
    bench.seal(0, rows);
    let first: Vec<u8> = encode(&bench.puts[1].2);
    for attempt in 0..3 {
        let failed =
            Input::Held { batch: batch(0), from: MemberIndex::new(1), answer: Err(Code::Unreachable) };
        bench.step(failed);
        bench.tick(999);
        assert_eq!(bench.puts.len(), 4 + attempt);
        bench.tick(1);
        let (number, to, put) = &bench.puts[4 + attempt];
        assert_eq!((*number, *to, encode(put)), (batch(0), MemberIndex::new(1), first.clone()));
    }
    bench.hold(0, MemberIndex::new(1));
    bench.tick(60_000);
    assert_eq!(bench.puts.len(), 7, "what it holds is not brought again");
}

#[test]
fn a_promise_that_is_not_the_stores_own_counts_for_nothing() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 2);
    bench.seal(0, rows);
    bench.take_deposits();
    bench.hold(0, MemberIndex::new(0));
    bench.hold(0, MemberIndex::new(1));
    let (root, two) = (bench.root(0), MemberIndex::new(2));
    let other = MemberIndex::new(3);
    let forged = [
        Held::sign(CHAIN, GATEWAY, batch(0), root, two, &key(3, 3)),
        Held::sign(CHAIN, GATEWAY, batch(1), root, two, &key(3, 2)),
        Held::sign(CHAIN, GATEWAY, batch(0), Digest::ZERO, two, &key(3, 2)),
        Held::sign(CHAIN, PartyId::new([9; 16]), batch(0), root, two, &key(3, 2)),
        Held::sign(ChainId(Digest::ZERO), GATEWAY, batch(0), root, two, &key(3, 2)),
        Held::sign(CHAIN, GATEWAY, batch(0), root, other, &key(3, 3)),
        Held { store: other, ..Held::sign(CHAIN, GATEWAY, batch(0), root, two, &key(3, 2)) },
    ];
    for held in forged {
        bench.step(Input::Held { batch: batch(0), from: two, answer: Ok(held) });
        assert_eq!(bench.anchored(), [0; 0]);
    }
    let nobody = Held::sign(CHAIN, GATEWAY, batch(0), root, MemberIndex::new(9), &key(3, 2));
    bench.step(Input::Held { batch: batch(0), from: MemberIndex::new(9), answer: Ok(nobody) });
    assert_eq!(bench.anchored(), [0; 0]);
    bench.hold(0, two);
    assert_eq!(bench.anchored(), [0]);
}

#[test]
fn an_anchor_that_exists_is_final_and_one_that_failed_is_sent_again() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 2);
    bench.seal(0, rows);
    bench.take_deposits();
    bench.hold_all(0);
    bench.settle(0, Err(Code::TimedOut));
    bench.tick(999);
    assert_eq!((bench.anchored(), bench.done.len()), (vec![0], 0));
    bench.tick(1);
    assert_eq!(bench.anchored(), [0, 0]);
    let anchored = |(_, tx): &(BatchNumber, Tx)| match &tx.body {
        TxBody::Anchor { batch, root, .. } => (*batch, *root),
        _ => panic!("an anchor"),
    };
    assert_eq!(anchored(&bench.anchors[0]), anchored(&bench.anchors[1]));
    // That the number is taken does not say by whom: only a proof of this very root is an end.
    bench.settle(0, Err(Code::AlreadyExists));
    assert_eq!(bench.done, []);
    bench.settle(0, Ok(()));
    assert_eq!(bench.done, [RowNumber::new(2)]);
}

#[test]
fn segments_of_an_epoch_are_numbered_without_gaps_over_batches() {
    let mut bench = Bench::new();
    let mut rows = Vec::new();
    for number in 0..4 {
        let more = vitals(&mut bench, number * 10, 5);
        rows.extend(more.clone());
        bench.keep(number, more);
    }
    let epochs = bench.opened();
    assert_eq!(epochs.len(), 1, "one epoch lasts over all of them");
    assert_eq!(epochs[0].1.len(), 4);
    assert_eq!(bench.all_opened(), sorted_frames(&rows));
}

#[test]
fn rows_of_many_streams_devices_and_patients_open_again_to_the_same_frames() {
    let mut bench = Bench::new();
    let mut rows = Vec::new();
    for second in 0..20 {
        for device in 1..=5 {
            let patient = 1 + device % 2;
            rows.push(bench.row(device, patient, heart_rate(second)));
            rows.push(bench.row(device, patient, ecg(second, 1_024)));
        }
    }
    bench.keep(0, rows.clone());
    assert_eq!(bench.all_opened(), sorted_frames(&rows));
    let epochs = bench.opened();
    assert_eq!(epochs.len(), 4, "two patients, two classes");
    assert_eq!(epochs.iter().map(|(_, segments)| segments.len()).sum::<usize>(), 10);
    for frames in epochs.iter().flat_map(|(_, segments)| segments) {
        let devices = frames.iter().map(|bytes| frame::parse(bytes).expect("a frame").device());
        let mut devices: Vec<DeviceId> = devices.collect();
        devices.dedup();
        assert_eq!(devices.len(), 1, "a segment is of one device");
    }
}

#[test]
fn a_turn_begins_a_new_epoch_for_that_chain_alone() {
    let mut bench = Bench::new();
    let both = |bench: &mut Bench, at| vec![bench.row(1, 1, heart_rate(at)), bench.row(2, 2, heart_rate(at))];
    let rows = both(&mut bench, 0);
    bench.keep(0, rows);
    assert_eq!(bench.new_epochs(), 2);
    bench.step(Input::Turn(chain(1)));
    let rows = both(&mut bench, 1);
    bench.keep(1, rows);
    assert_eq!(bench.new_epochs(), 3);
    let rows = both(&mut bench, 2);
    bench.keep(2, rows);
    let of = |patient| {
        let epochs = bench.opened();
        let epochs = epochs.iter().filter(|(header, _)| header.grants == chain(patient));
        let mut segments: Vec<usize> = epochs.map(|(_, segments)| segments.len()).collect();
        segments.sort_unstable();
        segments
    };
    assert_eq!((of(1), of(2)), (vec![1, 2], vec![3]));
}

#[test]
fn a_batch_with_a_new_epoch_waits_for_its_deposit() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 1);
    bench.keep(0, rows);
    bench.step(Input::Turn(chain(1)));
    let rows = vitals(&mut bench, 1, 1);
    bench.seal(1, rows);
    bench.hold_all(1);
    assert_eq!(bench.anchored(), [0]);
    bench.take_deposits();
    assert_eq!(bench.anchored(), [0, 1]);
}

#[test]
fn a_reading_outside_the_span_starts_another_epoch_and_late_ones_find_theirs() {
    let mut bench = Bench::new();
    let mut rows = vitals(&mut bench, 100_000, 2);
    rows.push(bench.row(1, 1, heart_rate(80_000)));
    rows.push(bench.row(1, 1, heart_rate(100_010)));
    rows.push(bench.row(1, 1, heart_rate(80_010)));
    bench.keep(0, rows.clone());
    let late = vitals(&mut bench, 80_020, 1);
    rows.extend(late.clone());
    bench.keep(1, late);
    assert_eq!(bench.all_opened(), sorted_frames(&rows));
    let epochs = bench.opened();
    assert_eq!(epochs.len(), 2);
    for (header, segments) in &epochs {
        let frames = segments.iter().flatten().map(|bytes| frame::parse(bytes).expect("a frame"));
        assert!(frames.into_iter().all(|frame| header.span.contains(frame.reading().effective())));
    }
}

#[test]
fn a_key_is_replaced_after_its_hour() {
    let mut bench = Bench::new();
    for (number, wait) in [(0, 0), (1, EPOCH_MS_MAX - 2 * CADENCE_MS), (2, CADENCE_MS)] {
        bench.tick(wait);
        let rows = vitals(&mut bench, number, 1);
        bench.keep(number, rows);
    }
    assert_eq!(bench.new_epochs(), 2);
}

#[test]
fn batches_under_way_are_bounded_and_the_rest_waits() {
    let mut bench = Bench::new();
    for number in 0..u64::try_from(BATCHES_MAX).expect("small") {
        let rows = vitals(&mut bench, number, 1);
        bench.seal(number, rows);
    }
    let room = bench.machine.room();
    let rows = vitals(&mut bench, 50, 3);
    bench.step(Input::Rows(rows));
    bench.tick(60_000);
    assert_eq!((bench.reserved, bench.machine.room()), (BATCHES_MAX, room - 3));
    bench.take_deposits();
    bench.hold_all(0);
    bench.settle(0, Ok(()));
    assert_eq!(bench.reserved, BATCHES_MAX + 1);
}

#[test]
fn rows_that_are_no_frames_are_told_of_and_hold_nothing_up() {
    let mut bench = Bench::new();
    let mut rows = vitals(&mut bench, 0, 3);
    rows[1].arrival.frame = Blob::new(vec![1, 2, 3]).expect("short");
    bench.keep(0, rows.clone());
    rows.remove(1);
    assert_eq!((bench.spoilt, bench.all_opened()), (1, sorted_frames(&rows)));
    assert_eq!(bench.done, [RowNumber::new(3)]);
    let mut rows = vitals(&mut bench, 9, 1);
    rows[0].arrival.frame = Blob::default();
    bench.seal(1, rows);
    bench.tick(0);
    assert_eq!(bench.done, [3, 4].map(RowNumber::new));
}

/// Rows enough for two batches, both brought to their end.
fn assert_kept_in_two_batches(bench: &mut Bench, rows: &[Row]) {
    bench.keep(0, rows.to_vec());
    bench.tick(CADENCE_MS);
    bench.step(Input::Number(batch(1)));
    bench.take_deposits();
    bench.hold_all(1);
    bench.settle(1, Ok(()));
    assert!(bench.puts.iter().all(|(_, _, put)| put.segments.len() <= BATCH_SEGMENTS_MAX));
    assert_eq!(bench.all_opened().len(), rows.len());
    assert_eq!(bench.done.last(), Some(&RowNumber::new(bench.next_row)));
}

#[test]
fn a_batch_has_no_more_streams_than_an_anchor_may_cover() {
    let mut bench = Bench::new();
    let of_its_own_stream = |n: u64| {
        let mut row = bench.row(1, 1, heart_rate(n));
        row.arrival.route.stream = StreamId::new(u128::from(n).to_le_bytes());
        row
    };
    let rows: Vec<Row> = (0..300).map(of_its_own_stream).collect();
    assert_kept_in_two_batches(&mut bench, &rows);
}

#[test]
fn a_batch_has_no_more_shapes_of_waveform_than_its_segments_hold() {
    let mut bench = Bench::new();
    let of_its_own_shape = |n: u16| bench.row(1, 1, ecg(u64::from(n % 500), i32::from(n)));
    let rows: Vec<Row> = (0..5_000).map(of_its_own_shape).collect();
    assert_kept_in_two_batches(&mut bench, &rows);
}

#[test]
fn a_device_key_is_the_one_that_signed() {
    let mut bench = Bench::new();
    let rows = vitals(&mut bench, 0, 2);
    let signer: PublicKey = rows[0].arrival.route.key;
    bench.keep(0, rows);
    for bytes in bench.all_opened() {
        frame::parse(&bytes).expect("a frame").verify(&signer).expect("signed by the device");
    }
}
