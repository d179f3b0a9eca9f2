//! A segment's plaintext: many frames of one device, in columns. Specified in `spec/segment.md`.
//!
//! Promises that unpacking gives back the very leaves that went in, bit for bit, because a frame
//! has one encoding; that samples and numbers stay integers throughout; and that what unpacks is
//! bounded before anything is allocated. Refuses to check signatures, which the reader does on the
//! leaves.

use crate::column::{self, Column, Packed};
use crate::decimal::Decimal;
use crate::error::SegmentFault;
use crate::frame::Frame;
use crate::kind;
use crate::reading::{Rate, Reading, Value, WAVEFORM_SAMPLES_MAX, Waveform};
use borsh::{BorshDeserialize, BorshSerialize};
use pco::DeltaSpec;
use salus_crypto::{PublicKey, Signature};
use salus_wire::limits::{SEGMENT_BYTES_MAX, SEGMENT_LEAVES_MAX};
use salus_wire::receipt::Leaf;
use salus_wire::{Blob, DeviceId, List, Sequence, TimeMs, decode, encode};
use std::collections::BTreeMap;

/// What a frame counts towards [`UNPACKED_BYTES_MAX`] beside its samples: at least its bytes on the
/// wire, and its share of the columns.
pub const FRAME_COST: usize = 256;
/// The most that the frames of one segment may count, by [`cost`]. What keeps to it also keeps to
/// [`SEGMENT_BYTES_MAX`] once packed, however badly it compresses.
pub const UNPACKED_BYTES_MAX: usize = SEGMENT_BYTES_MAX - OVERHEAD;
/// Different combinations of kind and waveform parameters in one segment.
pub const SHAPES_MAX: usize = 16;

/// Bytes of the segment that belong to no frame: the head, and each column's own tables.
const OVERHEAD: usize = 256 * 1024;
/// Bytes of the name of a kind.
const KIND_NAME_MAX: usize = 16;

/// The format of a packed segment; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
enum Version {
    V1 = 1,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct Table {
    version: Version,
    device: DeviceId,
    device_key: PublicKey,
    frames: u32,
    sequences: Column,
    times: Column,
    signatures: List<Signature, SEGMENT_LEAVES_MAX>,
    shapes: List<Shape, SHAPES_MAX>,
    shape_of_frame: Column,
    values: List<Values, SHAPES_MAX>,
}

/// What the readings of a segment have in common but for their values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
enum Shape {
    Quantity { kind: Blob<KIND_NAME_MAX> },
    Waveform { kind: Blob<KIND_NAME_MAX>, rate: (u32, u32), scale: (i64, i8), origin: i32 },
}

/// The values of all readings of one shape, in order of frame.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
enum Values {
    Quantity { mantissas: Column, exponents: Column },
    Waveform { lengths: Column, samples: Packed },
}

/// What one reading counts towards [`UNPACKED_BYTES_MAX`], in bytes.
#[must_use]
pub fn cost(reading: &Reading) -> usize {
    match reading.value() {
        Value::Quantity(_) => FRAME_COST,
        Value::Waveform(waveform) => FRAME_COST.saturating_add(waveform.samples().len().saturating_mul(2)),
    }
}

/// Packs frames of one device, in the order given.
///
/// # Errors
/// [`SegmentFault`], the caller's fault: no frames or too many, of several devices, of too many
/// shapes, or together above [`UNPACKED_BYTES_MAX`].
pub fn pack(device_key: PublicKey, frames: &[Frame]) -> Result<Vec<u8>, SegmentFault> {
    let device = admit(frames)?;
    let (shapes, shape_of_frame) = shapes_of(frames)?;
    let values = (0..shapes.len())
        .map(|shape| {
            let of_shape = frames.iter().zip(&shape_of_frame).filter(|(_, at)| **at == shape);
            Values::pack(of_shape.map(|(frame, _)| frame.reading().value()))
        })
        .collect::<Result<_, _>>()?;
    let table = Table {
        version: Version::V1,
        device,
        device_key,
        frames: u32::try_from(frames.len()).map_err(|_| too_many(frames.len()))?,
        sequences: Column::pack(&integers(frames, |frame| frame.sequence().get().cast_signed()))?,
        times: Column::pack(&integers(frames, |frame| frame.reading().effective().get().cast_signed()))?,
        signatures: list(frames.iter().map(|frame| *frame.signature()).collect())?,
        shapes: list(shapes)?,
        shape_of_frame: Column::pack(&indices(&shape_of_frame)?)?,
        values: list(values)?,
    };
    let bytes = encode(&table);
    if bytes.len() > SEGMENT_BYTES_MAX {
        return Err(SegmentFault::TooLarge { limit: SEGMENT_BYTES_MAX });
    }
    Ok(bytes)
}

/// Unpacks what [`pack`] made into the leaves as they were signed, in order.
///
/// # Errors
/// [`SegmentFault::Malformed`] or [`SegmentFault::TooLarge`], the writer's fault.
pub fn unpack(plaintext: &[u8]) -> Result<Vec<Leaf>, SegmentFault> {
    let table: Table = decode(plaintext, SEGMENT_BYTES_MAX).map_err(|_| SegmentFault::Malformed)?;
    let device_key = table.device_key;
    let frames = table.frames()?;
    frames.iter().map(|frame| frame.to_leaf(device_key).map_err(|_| SegmentFault::Malformed)).collect()
}

impl Table {
    fn frames(self) -> Result<Vec<Frame>, SegmentFault> {
        let count = usize::try_from(self.frames).map_err(|_| SegmentFault::Malformed)?;
        let base = count.checked_mul(FRAME_COST).ok_or(SegmentFault::Malformed)?;
        let shaped = self.signatures.len() == count && self.values.len() == self.shapes.len();
        if count == 0 || count > SEGMENT_LEAVES_MAX || !shaped {
            return Err(SegmentFault::Malformed);
        }
        let mut room = Room::new(base)?;
        let shape_of_frame = shape_indices(&self.shape_of_frame, count, self.shapes.len())?;
        let mut values = unpack_values(&self.shapes, self.values.into_vec(), &shape_of_frame, &mut room)?;
        let sequences = self.sequences.unpack(count)?;
        let times = self.times.unpack(count)?;
        let mut frames = Vec::with_capacity(count);
        for (((shape, sequence), time), signature) in
            shape_of_frame.iter().zip(sequences).zip(times).zip(self.signatures.iter())
        {
            let (kind, values) = values.get_mut(*shape).ok_or(SegmentFault::Malformed)?;
            let value = values.next().ok_or(SegmentFault::Malformed)?;
            let effective = TimeMs::new(time.cast_unsigned());
            let reading = Reading::new(kind, effective, value).map_err(|_| SegmentFault::Malformed)?;
            let sequence = Sequence::new(sequence.cast_unsigned());
            frames.push(Frame::from_parts(self.device, sequence, reading, *signature));
        }
        Ok(frames)
    }
}

/// What is left of [`UNPACKED_BYTES_MAX`] while a segment unpacks.
struct Room(usize);

impl Room {
    fn new(taken: usize) -> Result<Self, SegmentFault> {
        let mut room = Self(UNPACKED_BYTES_MAX);
        room.take(taken)?;
        Ok(room)
    }

    fn take(&mut self, bytes: usize) -> Result<(), SegmentFault> {
        self.0 = self.0.checked_sub(bytes).ok_or(SegmentFault::TooLarge { limit: UNPACKED_BYTES_MAX })?;
        Ok(())
    }
}

type UnpackedValues = (&'static kind::Kind, std::vec::IntoIter<Value>);

fn unpack_values(
    shapes: &[Shape],
    values: Vec<Values>,
    shape_of_frame: &[usize],
    room: &mut Room,
) -> Result<Vec<UnpackedValues>, SegmentFault> {
    shapes
        .iter()
        .zip(values)
        .enumerate()
        .map(|(index, (shape, values))| {
            let count = shape_of_frame.iter().filter(|shape| **shape == index).count();
            let kind = shape.kind().filter(|_| count > 0).ok_or(SegmentFault::Malformed)?;
            Ok((kind, values.unpack(shape, count, room)?.into_iter()))
        })
        .collect()
}

impl Shape {
    fn of(reading: &Reading) -> Result<Self, SegmentFault> {
        let kind = Blob::new(reading.kind().name().as_bytes().to_vec())
            .map_err(|_| SegmentFault::TooLarge { limit: KIND_NAME_MAX })?;
        Ok(match reading.value() {
            Value::Quantity(_) => Self::Quantity { kind },
            Value::Waveform(waveform) => Self::Waveform {
                kind,
                rate: (waveform.rate().samples(), waveform.rate().seconds()),
                scale: (waveform.scale().mantissa(), waveform.scale().exponent()),
                origin: waveform.origin(),
            },
        })
    }

    fn kind(&self) -> Option<&'static kind::Kind> {
        let (Self::Quantity { kind } | Self::Waveform { kind, .. }) = self;
        kind::find(str::from_utf8(kind).ok()?)
    }
}

impl Values {
    fn pack<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Self, SegmentFault> {
        let (mut mantissas, mut exponents, mut lengths, mut samples) = (vec![], vec![], vec![], vec![]);
        for value in values {
            match value {
                Value::Quantity(value) => {
                    mantissas.push(value.mantissa());
                    exponents.push(i64::from(value.exponent()));
                }
                Value::Waveform(waveform) => {
                    lengths
                        .push(i64::try_from(waveform.samples().len()).map_err(|_| SegmentFault::Malformed)?);
                    samples.extend_from_slice(waveform.samples());
                }
            }
        }
        if samples.is_empty() {
            return Ok(Self::Quantity {
                mantissas: Column::pack(&mantissas)?,
                exponents: Column::pack(&exponents)?,
            });
        }
        // Waveforms are smooth: first and second differences are what compresses them.
        let deltas = [DeltaSpec::TryConsecutive(1), DeltaSpec::TryConsecutive(2)];
        Ok(Self::Waveform { lengths: Column::pack(&lengths)?, samples: column::pack(&samples, &deltas)? })
    }

    fn unpack(&self, shape: &Shape, count: usize, room: &mut Room) -> Result<Vec<Value>, SegmentFault> {
        match (self, shape) {
            (Self::Quantity { mantissas, exponents }, Shape::Quantity { .. }) => {
                quantities(&mantissas.unpack(count)?, &exponents.unpack(count)?)
            }
            (Self::Waveform { lengths, samples }, Shape::Waveform { rate, scale, origin, .. }) => {
                let lengths = sample_lengths(lengths, count)?;
                let total: usize = lengths.iter().sum();
                room.take(total.saturating_mul(2))?;
                let rate = Rate::new(rate.0, rate.1).map_err(|_| SegmentFault::Malformed)?;
                let scale = Decimal::new(scale.0, scale.1).map_err(|_| SegmentFault::Malformed)?;
                waveforms(&lengths, &column::unpack(samples, total)?, (rate, scale, *origin))
            }
            (Self::Quantity { .. }, Shape::Waveform { .. })
            | (Self::Waveform { .. }, Shape::Quantity { .. }) => Err(SegmentFault::Malformed),
        }
    }
}

fn quantities(mantissas: &[i64], exponents: &[i64]) -> Result<Vec<Value>, SegmentFault> {
    mantissas
        .iter()
        .zip(exponents)
        .map(|(mantissa, exponent)| {
            let exponent = i8::try_from(*exponent).map_err(|_| SegmentFault::Malformed)?;
            Decimal::new(*mantissa, exponent).map(Value::Quantity).map_err(|_| SegmentFault::Malformed)
        })
        .collect()
}

fn waveforms(
    lengths: &[usize],
    mut samples: &[i16],
    (rate, scale, origin): (Rate, Decimal, i32),
) -> Result<Vec<Value>, SegmentFault> {
    lengths
        .iter()
        .map(|length| {
            let (these, rest) = samples.split_at_checked(*length).ok_or(SegmentFault::Malformed)?;
            samples = rest;
            let waveform = Waveform::new(rate, scale, origin, these.to_vec());
            waveform.map(Value::Waveform).map_err(|_| SegmentFault::Malformed)
        })
        .collect()
}

fn sample_lengths(lengths: &Column, count: usize) -> Result<Vec<usize>, SegmentFault> {
    let bounded = |length: i64| usize::try_from(length).ok().filter(|length| *length <= WAVEFORM_SAMPLES_MAX);
    lengths.unpack(count)?.into_iter().map(|length| bounded(length).ok_or(SegmentFault::Malformed)).collect()
}

fn shape_indices(column: &Column, count: usize, shapes: usize) -> Result<Vec<usize>, SegmentFault> {
    let bounded = |index: i64| usize::try_from(index).ok().filter(|index| *index < shapes);
    column.unpack(count)?.into_iter().map(|index| bounded(index).ok_or(SegmentFault::Malformed)).collect()
}

fn admit(frames: &[Frame]) -> Result<DeviceId, SegmentFault> {
    let device = frames.first().map(Frame::device).ok_or(too_many(0))?;
    if frames.len() > SEGMENT_LEAVES_MAX {
        return Err(too_many(frames.len()));
    }
    if frames.iter().any(|frame| frame.device() != device) {
        return Err(SegmentFault::SeveralDevices);
    }
    let total = frames.iter().fold(0, |total: usize, frame| total.saturating_add(cost(frame.reading())));
    if total > UNPACKED_BYTES_MAX {
        return Err(SegmentFault::TooLarge { limit: UNPACKED_BYTES_MAX });
    }
    Ok(device)
}

/// The distinct shapes, in order of first use, and which of them each frame has.
fn shapes_of(frames: &[Frame]) -> Result<(Vec<Shape>, Vec<usize>), SegmentFault> {
    let mut index_of: BTreeMap<Shape, usize> = BTreeMap::new();
    let mut shapes = Vec::new();
    let mut shape_of_frame = Vec::with_capacity(frames.len());
    for frame in frames {
        let shape = Shape::of(frame.reading())?;
        let next = shapes.len();
        let index = *index_of.entry(shape.clone()).or_insert(next);
        if index == next {
            shapes.push(shape);
        }
        if shapes.len() > SHAPES_MAX {
            return Err(SegmentFault::TooManyShapes);
        }
        shape_of_frame.push(index);
    }
    Ok((shapes, shape_of_frame))
}

fn integers(frames: &[Frame], of: impl Fn(&Frame) -> i64) -> Vec<i64> {
    frames.iter().map(of).collect()
}

fn indices(indices: &[usize]) -> Result<Vec<i64>, SegmentFault> {
    indices.iter().map(|index| i64::try_from(*index).map_err(|_| SegmentFault::Malformed)).collect()
}

fn list<T, const MAX: usize>(items: Vec<T>) -> Result<List<T, MAX>, SegmentFault> {
    List::new(items).map_err(|_| SegmentFault::TooLarge { limit: MAX })
}

const fn too_many(frames: usize) -> SegmentFault {
    SegmentFault::Count { frames, limit: SEGMENT_LEAVES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::reading::TIME_MIN;
    use proptest::prelude::*;
    use salus_crypto::{Secret, SigningKey};

    const ECG: &[u8] = include_bytes!("../../../data/mitbih-208-mlii-360hz.i16le");
    const DEVICE: DeviceId = DeviceId::new([7; 16]);
    const START: u64 = 1_700_000_000_000;

    fn key() -> SigningKey {
        SigningKey::from_seed(Secret::from_bytes([9; 32]))
    }

    fn frame(sequence: u64, kind: &str, time: u64, value: Value) -> Frame {
        let reading = Reading::new(kind::find(kind).unwrap(), TimeMs::new(time), value).unwrap();
        frame::parse(&frame::sign(&key(), DEVICE, Sequence::new(sequence), reading)).unwrap()
    }

    fn quantity(sequence: u64, mantissa: i64, exponent: i8) -> Frame {
        let value = Value::Quantity(Decimal::new(mantissa, exponent).unwrap());
        frame(sequence, "8867-4", START + sequence * 1_000, value)
    }

    fn waveform(samples: &[i16], origin: i32) -> Value {
        let (rate, scale) = (Rate::new(360, 1).unwrap(), Decimal::new(5, -3).unwrap());
        Value::Waveform(Waveform::new(rate, scale, origin, samples.to_vec()).unwrap())
    }

    /// The real ECG in frames of this many seconds.
    fn ecg(seconds: usize) -> Vec<Frame> {
        let samples: Vec<i16> = ECG.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let frames = samples.chunks(360 * seconds).zip(0_u64..);
        let ms = u64::try_from(seconds).unwrap() * 1_000;
        frames.map(|(part, at)| frame(at, "131330", START + at * ms, waveform(part, 1024))).collect()
    }

    fn leaves(frames: &[Frame]) -> Vec<Leaf> {
        frames.iter().map(|frame| frame.to_leaf(key().public_key()).unwrap()).collect()
    }

    fn round_trip(frames: &[Frame]) -> Vec<u8> {
        let packed = pack(key().public_key(), frames).unwrap();
        assert_eq!(unpack(&packed).unwrap(), leaves(frames));
        packed
    }

    #[test]
    fn the_real_ecg_comes_back_bit_for_bit_and_small() {
        // Hundredths of the goal of 3.2 : 1 (goals.md), counting everything: signatures, times, key.
        let check = |seconds, at_least: usize| {
            let frames = ecg(seconds);
            let packed = round_trip(&frames);
            let signatures = frames.len() * 64;
            let (whole, samples) =
                (ECG.len() * 100 / packed.len(), ECG.len() * 100 / (packed.len() - signatures));
            assert!(whole >= at_least && samples >= 340, "{seconds} s: {whole} whole, {samples} samples");
            println!("{seconds} s frames: {whole} whole, {samples} without signatures (hundredths)");
        };
        check(1, 250);
        check(10, 320);
        check(60, 330);
    }

    #[test]
    fn mixed_shapes_come_back_in_order() {
        round_trip(&[
            quantity(1, 72, 0),
            frame(2, "131330", START, waveform(&[1, -2, i16::MIN, i16::MAX], 1024)),
            quantity(3, 720, -1),
            frame(9, "8310-5", START, Value::Quantity(Decimal::new(i64::MIN, -9).unwrap())),
            frame(4, "131330", START - 5, waveform(&[5], 0)),
            frame(u64::MAX, "131330", TIME_MIN.get(), waveform(&[0; 9], 1024)),
        ]);
    }

    #[test]
    fn one_heartbeat_takes_little_more_than_its_signature() {
        assert!(round_trip(&[quantity(1, 72, 0)]).len() < 280);
    }

    #[test]
    fn what_cannot_be_packed_is_refused() {
        let public = key().public_key();
        let check = |frames: &[Frame], fault| assert_eq!(pack(public, frames), Err(fault));
        check(&[], too_many(0));
        let stranger = frame::sign(
            &key(),
            DeviceId::new([8; 16]),
            Sequence::new(1),
            quantity(1, 1, 0).reading().clone(),
        );
        check(&[quantity(1, 1, 0), frame::parse(&stranger).unwrap()], SegmentFault::SeveralDevices);
        let shapes: Vec<Frame> = (0..17).map(|at| frame(1, "131330", START, waveform(&[1], at))).collect();
        check(&shapes, SegmentFault::TooManyShapes);
        let one = frame(1, "131330", START, waveform(&[1; WAVEFORM_SAMPLES_MAX], 0));
        check(&vec![one; 70], SegmentFault::TooLarge { limit: UNPACKED_BYTES_MAX });
    }

    #[test]
    fn the_worst_that_fits_also_fits_once_packed() {
        // Noise does not compress; sequences and times without any rule neither.
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 20
        };
        let count = UNPACKED_BYTES_MAX / FRAME_COST;
        let model = quantity(1, 72, 0);
        let frames: Vec<Frame> = (0..count)
            .map(|_| {
                let value = Value::Quantity(Decimal::new(noise().cast_signed(), -3).unwrap());
                let time = TimeMs::new(START + noise() % 1_000_000_000);
                let reading = Reading::new(model.reading().kind(), time, value).unwrap();
                Frame::from_parts(DEVICE, Sequence::new(noise()), reading, *model.signature())
            })
            .collect();
        round_trip(&frames);
        let samples: Vec<i16> = (0..WAVEFORM_SAMPLES_MAX)
            .map(|_| i16::from_le_bytes([noise().to_le_bytes()[0], noise().to_le_bytes()[1]]))
            .collect();
        let one = frame(1, "131330", START, waveform(&samples, 0));
        round_trip(&vec![one.clone(); UNPACKED_BYTES_MAX / cost(one.reading())]);
    }

    #[test]
    fn altered_segments_are_refused_or_are_other_leaves() {
        let frames = [quantity(1, 72, 0), quantity(2, 75, 0), quantity(4, 71, 0)];
        let packed = round_trip(&frames);
        assert_eq!(unpack(&[&packed[..], &[0]].concat()), Err(SegmentFault::Malformed));
        for length in 0..packed.len() {
            assert!(unpack(&packed[..length]).is_err(), "{length}");
        }
        for bit in 0..packed.len() * 8 {
            let mut altered = packed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(unpack(&altered), Ok(leaves(&frames)), "bit {bit}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_unpacks() {
        // 65,536 equal frames of 32,000 equal samples would be 4 GiB of leaves.
        let frames = vec![frame(1, "131330", START, waveform(&[1; WAVEFORM_SAMPLES_MAX], 0)); 2];
        let packed = pack(key().public_key(), &frames).unwrap();
        let mut table: Table = decode(&packed, SEGMENT_BYTES_MAX).unwrap();
        let count = UNPACKED_BYTES_MAX / FRAME_COST - 1;
        table.frames = u32::try_from(count).unwrap();
        table.signatures = list(vec![*frames[0].signature(); count]).unwrap();
        let bomb = encode(&table);
        assert_eq!(unpack(&bomb), Err(SegmentFault::TooLarge { limit: UNPACKED_BYTES_MAX }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_frames_come_back(
            rows in proptest::collection::vec((any::<u64>(), 0_u64..1_000_000, any::<i64>(), -9_i8..=9), 1..60),
        ) {
            let model = quantity(1, 72, 0);
            let frames: Vec<Frame> = rows.into_iter().map(|(sequence, time, mantissa, exponent)| {
                let value = Value::Quantity(Decimal::new(mantissa, exponent).unwrap());
                let reading = Reading::new(model.reading().kind(), TimeMs::new(START + time), value).unwrap();
                Frame::from_parts(DEVICE, Sequence::new(sequence), reading, *model.signature())
            }).collect();
            round_trip(&frames);
        }
    }
}
