//! From rows to segments: rows of one stream, in order, as much as one segment holds. Pure.

use crate::batch::{BATCH_COST_MAX, BATCH_ROWS_MAX};
use crate::epochs::Live;
use rand_core::CryptoRng;
use salus_clinical::segment::SHAPES_MAX;
use salus_clinical::{Decimal, Frame, Rate, Reading, Value, frame, segment};
use salus_crypto::chain::ChainAnchor;
use salus_fragment::{Draft, Fragment, SealedSegment, seal};
use salus_planted::{Bug, is};
use salus_store::queue::{Route, Row, RowNumber};
use salus_wire::ids::{DeviceId, TimeMs};
use salus_wire::limits::BATCH_SEGMENTS_MAX;
use salus_wire::manifest::{Geometry, Manifest};
use salus_wire::receipt::Leaf;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What one segment's frames may count, by [`segment::cost`].
const PIECE_COST_MAX: usize = 1024 * 1024;
/// Milliseconds of device time within one segment, so that it fits an epoch.
const PIECE_SPAN_MS_MAX: u64 = 600_000;

/// Frames that become one segment.
pub(crate) struct Piece {
    pub(crate) route: Route,
    /// Device times of the earliest and the latest frame.
    pub(crate) times: (TimeMs, TimeMs),
    device: DeviceId,
    frames: Vec<Frame>,
    cost: usize,
    /// The distinct shapes of the readings, of which one segment holds few.
    shapes: Vec<Shape>,
}

/// What readings of one column of a segment share: the kind, and how a waveform was taken.
type Shape = (&'static str, Option<(Rate, Decimal, i32)>);

/// A manifest, and a fragment for each store.
pub(crate) type Sealed = (Manifest, Vec<Vec<u8>>);

/// A run of rows as pieces.
pub(crate) struct Taken {
    pub(crate) pieces: Vec<Piece>,
    /// The first row that was not taken.
    pub(crate) below: RowNumber,
    /// Rows whose bytes are no frame.
    pub(crate) spoilt: usize,
}

/// Takes rows from the front, as many as one batch holds. Those of erased chains are dropped.
pub(crate) fn take(waiting: &mut VecDeque<Row>, erased: &BTreeSet<ChainAnchor>) -> Taken {
    let mut taken = Taken { pieces: Vec::new(), below: RowNumber::default(), spoilt: 0 };
    let mut open: BTreeMap<Series, usize> = BTreeMap::new();
    let (mut rows, mut cost) = (0_usize, 0_usize);
    while let Some(row) = waiting.front() {
        let full =
            taken.pieces.len() >= BATCH_SEGMENTS_MAX || rows >= BATCH_ROWS_MAX || cost >= BATCH_COST_MAX;
        if full {
            break;
        }
        taken.below = row.number.next();
        rows = rows.saturating_add(1);
        match frame::parse(&row.arrival.frame) {
            _ if erased.contains(&row.arrival.route.grants) => {}
            Ok(frame) => {
                cost = cost.saturating_add(segment::cost(frame.reading()));
                add(&mut taken.pieces, &mut open, &row.arrival.route, frame);
            }
            Err(_) => taken.spoilt = taken.spoilt.saturating_add(1),
        }
        waiting.pop_front();
    }
    taken
}

/// What keeps rows apart: one segment is of one stream, device, key and chain.
type Series =
    (salus_wire::StreamId, DeviceId, salus_crypto::sign::PublicKey, salus_crypto::chain::ChainAnchor);

fn add(pieces: &mut Vec<Piece>, open: &mut BTreeMap<Series, usize>, route: &Route, frame: Frame) {
    let key = (route.stream, frame.device(), route.key, route.grants);
    let current = open.get(&key).and_then(|index| pieces.get_mut(*index));
    if let Some(piece) = current.filter(|piece| piece.fits(&frame)) {
        return piece.push(frame);
    }
    open.insert(key, pieces.len());
    pieces.push(Piece::new(route.clone(), frame));
}

impl Piece {
    fn new(route: Route, frame: Frame) -> Self {
        let at = frame.reading().effective();
        let cost = segment::cost(frame.reading());
        let shapes = vec![shape(frame.reading())];
        Self { route, times: (at, at), device: frame.device(), frames: vec![frame], cost, shapes }
    }

    fn fits(&self, frame: &Frame) -> bool {
        let at = frame.reading().effective();
        let (first, last) = (self.times.0.min(at), self.times.1.max(at));
        let shaped = self.shapes.len() < SHAPES_MAX || self.shapes.contains(&shape(frame.reading()));
        shaped
            && self.cost.saturating_add(segment::cost(frame.reading())) <= PIECE_COST_MAX
            && last.since_ms(first) < PIECE_SPAN_MS_MAX
    }

    fn push(&mut self, frame: Frame) {
        let at = frame.reading().effective();
        self.times = (self.times.0.min(at), self.times.1.max(at));
        self.cost = self.cost.saturating_add(segment::cost(frame.reading()));
        let shape = shape(frame.reading());
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
        }
        self.frames.push(frame);
    }

    /// Two pieces of half the frames each, in order. Nothing for a single frame, which always packs.
    pub(crate) fn halves(mut self) -> Vec<Self> {
        if self.frames.len() < 2 {
            debug_assert!(false, "a single admitted frame always packs");
            return Vec::new();
        }
        let later = self.frames.split_off(self.frames.len() / 2);
        [self.frames, later].into_iter().filter_map(|frames| Self::of(&self.route, frames)).collect()
    }

    fn of(route: &Route, frames: Vec<Frame>) -> Option<Self> {
        let mut frames = frames.into_iter();
        let mut piece = Self::new(route.clone(), frames.next()?);
        frames.for_each(|frame| piece.push(frame));
        Some(piece)
    }

    /// Packs, seals and cuts; `None` when the frames differ in more ways than one segment holds.
    pub(crate) fn seal(
        &self,
        live: &mut Live,
        geometry: Geometry,
        rng: &mut impl CryptoRng,
    ) -> Option<Sealed> {
        let key = self.route.key;
        let plaintext = segment::pack(key, &self.frames).ok()?;
        let leaves: Result<Vec<Leaf>, _> = self.frames.iter().map(|frame| frame.to_leaf(key)).collect();
        let sequences = self.frames.iter().map(Frame::sequence);
        let draft = Draft {
            index: live.next,
            stream: self.route.stream,
            device: self.device,
            sequences: (sequences.clone().min()?, sequences.max()?),
            times: self.times,
            plaintext,
            leaves: &leaves.ok()?,
        };
        let sealed = seal(&live.key, geometry, draft, rng).ok()?;
        if !is(Bug::SegmentNumberReused) {
            live.next = live.next.next()?;
        }
        Some(parts(sealed))
    }
}

/// A segment as stores get it.
pub(crate) fn parts(sealed: SealedSegment) -> Sealed {
    (sealed.manifest, sealed.fragments.into_iter().map(Fragment::into_bytes).collect())
}

fn shape(reading: &Reading) -> Shape {
    let waveform = match reading.value() {
        Value::Quantity(_) => None,
        Value::Waveform(waveform) => Some((waveform.rate(), waveform.scale(), waveform.origin())),
    };
    (reading.kind().name(), waveform)
}
