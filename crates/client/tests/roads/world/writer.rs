//! The gateway's work: epochs, segments, batches, anchors.

use super::World;
use super::ledger::{START, key};
use super::people::{WRITER, gateway, span};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_clinical::{Decimal, Frame, Rate, Reading, Value, Waveform, frame, kind, segment};
use salus_crypto::{SigningKey, merkle};
use salus_fragment::{Draft, EpochTerms, SealedSegment, SealingEpoch, seal};
use salus_wire::receipt::Leaf;
use salus_wire::rpc::{BatchPlace, Fetched};
use salus_wire::tx::{Held, Tx, TxBody};
use salus_wire::{
    BatchNumber, Blob, DataClass, DeviceId, FragmentIndex, Geometry, List, Locator, Manifest, MemberIndex,
    ObservationCode, SegmentIndex, Sequence, StreamId, TimeMs,
};

/// Readings on their way into a segment.
pub(crate) type Readings = Vec<Reading>;

/// An epoch of the gateway and the number of its next segment.
pub(crate) struct Epoch {
    key: SealingEpoch,
    next: u32,
}

/// A sealed segment with what lies in it.
pub(crate) struct Sealed {
    segment: SealedSegment,
    leaves: Vec<Leaf>,
    frames: Vec<Frame>,
}

impl Sealed {
    /// Where stores keep it.
    pub(crate) fn locator(&self) -> Locator {
        self.segment.manifest.locator
    }

    /// Makes the segment contradict itself, as only its writer can before it is put.
    pub(crate) fn contradict(&mut self) {
        spoil_descriptor(&mut self.segment.manifest);
    }

    /// The same frames once more, as after a restart of the gateway.
    pub(crate) fn again(&self, epoch: &mut Epoch, world: &mut World) -> Self {
        epoch.seal(world, self.frames.clone())
    }
}

/// Flips a bit of the sealed descriptor, which then does not open.
pub(crate) fn spoil_descriptor(manifest: &mut Manifest) {
    let mut bytes = manifest.descriptor.to_vec();
    bytes[0] ^= 1;
    manifest.descriptor = Blob::new(bytes).expect("as long as before");
}

/// Heart rates, one each second from `first` on.
pub(crate) fn heart_rate(first: u64, count: u64) -> Readings {
    let kind = kind::find("8867-4").expect("in the table");
    let reading = |second: u64| {
        let value = Value::Quantity(Decimal::whole(60 + i64::try_from(second % 40).expect("small")));
        Reading::new(kind, at(second), value).expect("a reading")
    };
    (first..first + count).map(reading).collect()
}

/// Seconds of an ECG, one reading each.
pub(crate) fn waveform(first: u64, count: u64) -> Readings {
    let kind = kind::find("131330").expect("in the table");
    let reading = |second: u64| {
        let samples = (0..360_i16).map(|sample| sample.wrapping_mul(91) % 400).collect();
        let rate = Rate::new(360, 1).expect("a rate");
        let scale = Decimal::new(5, -3).expect("a scale");
        let waveform = Waveform::new(rate, scale, 1_024, samples).expect("a waveform");
        Reading::new(kind, at(second), Value::Waveform(waveform)).expect("a reading")
    };
    (first..first + count).map(reading).collect()
}

fn at(second: u64) -> TimeMs {
    START.plus_ms(second * 1_000)
}

/// The one kind of each class here.
fn code(class: DataClass) -> ObservationCode {
    match class {
        DataClass::Waveform => ObservationCode::Mdc(131_329),
        _ => ObservationCode::Loinc(8_867),
    }
}

fn device() -> SigningKey {
    key(6, 0)
}

const DEVICE: DeviceId = DeviceId::new([6; 16]);

impl World {
    /// A new epoch of the patient's chain for the hour of this number, its shares with every
    /// custodian.
    pub(crate) fn epoch(&mut self, class: DataClass, hour: u64) -> Epoch {
        let span = span(hour * 3_600_000, (hour + 1) * 3_600_000);
        let code = code(class);
        let terms = EpochTerms { writer: WRITER, class, code, span, grants: self.grants() };
        let mut rng = StdRng::seed_from_u64(1_000 + 2 * hour + u64::from(class == DataClass::Vitals));
        let key = SealingEpoch::generate(terms, &mut rng);
        let shares = key.shares(self.ledger.chain, self.ledger.faults, &gateway(), &mut rng);
        for (custodian, share) in self.custodians.iter_mut().zip(shares) {
            custodian.deposit(share);
        }
        Epoch { key, next: 0 }
    }

    /// Puts a batch to every store and, if so wished, anchors it. Gives the readings back.
    pub(crate) fn put(&mut self, segments: Vec<Sealed>, anchored: bool) -> Vec<Leaf> {
        let batch = BatchNumber::new(self.next_batch);
        self.next_batch += 1;
        let digests: Vec<_> = segments.iter().map(|sealed| sealed.segment.manifest.digest()).collect();
        let mut leaves = Vec::new();
        for (index, sealed) in segments.into_iter().enumerate() {
            let path = List::new(merkle::path(&digests, index).expect("within")).expect("short");
            let (index, count) = (number(index), number(digests.len()));
            self.keep(sealed.segment, &BatchPlace { gateway: WRITER, batch, index, count, path });
            leaves.extend(sealed.leaves);
        }
        if anchored {
            self.anchor(batch, merkle::root(&digests));
        }
        leaves
    }

    fn keep(&mut self, segment: SealedSegment, place: &BatchPlace) {
        let manifest = segment.manifest;
        for ((index, store), fragment) in (0..).zip(&mut self.stores).zip(segment.fragments) {
            let fragment = Blob::new(fragment.into_bytes()).expect("short");
            let index = FragmentIndex::new(index);
            store.keep(Fetched { manifest: manifest.clone(), index, fragment, place: place.clone() });
        }
    }

    fn anchor(&mut self, batch: BatchNumber, root: salus_crypto::Digest) {
        let (chain, quorum) = (self.ledger.chain, self.ledger.faults.quorum());
        let promise = |store: u16| {
            let key = &self.ledger.service[usize::from(store)];
            Held::sign(chain, WRITER, batch, root, MemberIndex::new(store), key)
        };
        let held = List::new((0..quorum).map(promise).collect()).expect("few members");
        let tx = Tx::sign(chain, TxBody::Anchor { gateway: WRITER, batch, root, held }, &gateway());
        self.ledger.apply(&[tx]);
    }
}

impl Epoch {
    /// Seals readings as the epoch's next segment.
    pub(crate) fn segment(&mut self, world: &mut World, readings: Readings) -> Sealed {
        let frames = readings.into_iter().map(|reading| world.signed(reading)).collect();
        self.seal(world, frames)
    }

    fn seal(&mut self, world: &mut World, frames: Vec<Frame>) -> Sealed {
        let index = SegmentIndex::new(self.next);
        self.next += 1;
        world.seals += 1;
        let (first, last) = (&frames[0], &frames[frames.len() - 1]);
        let key = device().public_key();
        let leaves: Vec<Leaf> = frames.iter().map(|frame| frame.to_leaf(key).expect("short")).collect();
        let draft = Draft {
            index,
            stream: StreamId::new([7; 16]),
            device: DEVICE,
            sequences: (first.sequence(), last.sequence()),
            times: (first.reading().effective(), last.reading().effective()),
            plaintext: segment::pack(key, &frames).expect("of one device"),
            leaves: &leaves,
        };
        let geometry = Geometry::for_faults(world.ledger.faults);
        let mut rng = StdRng::seed_from_u64(world.seals);
        let segment = seal(&self.key, geometry, draft, &mut rng).expect("within the epoch");
        Sealed { segment, leaves, frames }
    }
}

impl World {
    fn signed(&mut self, reading: Reading) -> Frame {
        self.next_sequence += 1;
        let bytes = frame::sign(&device(), DEVICE, Sequence::new(self.next_sequence), reading);
        frame::parse(&bytes).expect("just signed")
    }
}

fn number(index: usize) -> u32 {
    index.try_into().expect("small")
}
