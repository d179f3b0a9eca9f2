//! What devices send and what writers pack. The promises: nothing panics; an accepted frame is the
//! one encoding of what it says and survives a segment; an unpacked segment holds frames that are
//! each accepted alone, of one device, and not more than a segment may hold.

use crate::targets::Seed;
use salus_clinical::{Decimal, Frame, Rate, Reading, Sample, Value, Waveform, frame, kind, segment};
use salus_crypto::{PublicKey, Secret, SigningKey};
use salus_proof::FromLeaf;
use salus_wire::limits::SEGMENT_BYTES_MAX;
use salus_wire::{DeviceId, Sequence, TimeMs};

/// Where the readings of the seeds begin.
const START: TimeMs = TimeMs::new(1_700_000_000_000);

/// Bytes as a frame.
#[expect(clippy::panic, reason = "a target says by panicking that a promise is broken")]
pub fn clinical_frame(data: &[u8]) {
    let Ok(frame) = frame::parse(data) else { return };
    assert!(frame.to_bytes() == data, "an accepted frame has another encoding");
    let key = PublicKey::from_bytes([3; 32]);
    let Ok(leaf) = frame.to_leaf(key) else { panic!("an accepted frame is no leaf") };
    assert!(Sample::from_leaf(&leaf).is_ok(), "an accepted frame is no sample");
    assert!(data.len() <= segment::cost(frame.reading()), "a frame takes more than it counts for");
    let packed = segment::pack(key, std::slice::from_ref(&frame));
    let unpacked = packed.and_then(|packed| segment::unpack(&packed));
    assert!(unpacked == Ok(vec![leaf]), "a frame does not survive a segment");
}

/// Bytes as the plaintext of a segment.
#[expect(clippy::panic, reason = "a target says by panicking that a promise is broken")]
pub fn clinical_segment(data: &[u8]) {
    let Ok(leaves) = segment::unpack(data) else { return };
    let mut frames: Vec<Frame> = Vec::new();
    for leaf in &leaves {
        let Ok(frame) = frame::parse(&leaf.frame) else { panic!("a segment holds what is no frame") };
        frames.push(frame);
    }
    let bytes: usize = leaves.iter().map(|leaf| leaf.frame.len()).sum();
    assert!(bytes <= SEGMENT_BYTES_MAX, "a segment unpacks to {bytes} bytes");
    let Some(first) = leaves.first() else { panic!("a segment holds nothing") };
    let again = segment::pack(first.device_key, &frames).and_then(|packed| segment::unpack(&packed));
    assert!(again == Ok(leaves), "a segment does not survive being packed again");
}

/// Frames of both forms, and some that are nearly good.
#[must_use]
pub fn frame_seeds() -> Vec<Seed> {
    let good: Vec<Vec<u8>> = frames().iter().map(Frame::to_bytes).collect();
    let whole = good.first().cloned().unwrap_or_default();
    let cut = whole.get(..whole.len().saturating_sub(1)).unwrap_or_default().to_vec();
    let names = ["heart-rate", "precise", "negative", "ecg", "ecg-other"];
    let named = names.into_iter().zip(good).map(|(name, input)| Seed::new(name, input));
    named.chain([Seed::new("cut", cut), Seed::new("trailing", [whole, vec![0]].concat())]).collect()
}

/// Segments of one frame, of several, and of several shapes.
#[must_use]
pub fn segment_seeds() -> Vec<Seed> {
    let frames = frames();
    let one = frames.get(..1).unwrap_or_default().to_vec();
    let uneven: Vec<Frame> =
        [71, 75, 70, 90, 64].into_iter().zip(1..).filter_map(|(rate, at)| beat(rate, at * at)).collect();
    [("one", one), ("uneven", uneven), ("mixed", frames)]
        .into_iter()
        .filter_map(|(name, frames)| Some(Seed::new(name, segment::pack(key().public_key(), &frames).ok()?)))
        .collect()
}

fn key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([9; 32]))
}

fn beat(rate: i64, sequence: u64) -> Option<Frame> {
    made("8867-4", sequence, Value::Quantity(Decimal::whole(rate)))
}

fn ecg(origin: i32, sequence: u64) -> Option<Frame> {
    let samples = (0..80_i16).map(|at| 1_000 + at * at % 61).collect();
    let waveform = Waveform::new(Rate::new(360, 1).ok()?, Decimal::new(5, -3).ok()?, origin, samples).ok()?;
    made("131330", sequence, Value::Waveform(waveform))
}

fn made(name: &str, sequence: u64, value: Value) -> Option<Frame> {
    let reading = Reading::new(kind::find(name)?, START.plus_ms(sequence * 1_000), value).ok()?;
    let bytes = frame::sign(&key(), DeviceId::new([7; 16]), Sequence::new(sequence), reading);
    frame::parse(&bytes).ok()
}

fn frames() -> Vec<Frame> {
    let quantity = |name, mantissa, exponent, sequence| {
        made(name, sequence, Value::Quantity(Decimal::new(mantissa, exponent).ok()?))
    };
    let all = [
        beat(72, 1),
        quantity("8310-5", 3_712, -2, 2),
        quantity("8310-5", i64::MIN, -9, 3),
        ecg(1_024, 4),
        ecg(-1, 5),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_what_they_say() {
        assert_eq!(frames().len(), 5);
        assert_eq!(frame_seeds().iter().filter(|seed| frame::parse(&seed.input).is_ok()).count(), 5);
        assert_eq!(segment_seeds().iter().filter(|seed| segment::unpack(&seed.input).is_ok()).count(), 3);
    }
}
