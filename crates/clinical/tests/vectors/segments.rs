//! Packed segments, good and bad. Their bytes come from the product once and are then only read:
//! what a compressor writes may change, what it must read may not.

use crate::text::Vector;
use salus_clinical::{Decimal, Reading, Value};
use salus_clinical::{Frame, frame, kind, reading, segment};
use salus_crypto::{PublicKey, Secret, SigningKey};
use salus_wire::{DeviceId, Sequence, TimeMs};

const FAULT: &str = "SAL-5007";
const START: u64 = 1_700_000_000_000;

fn key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([0x2a; 32]))
}

fn frame(sequence: u64, name: &str, time: u64, value: Value) -> Frame {
    let reading =
        Reading::new(kind::find(name).expect("listed"), TimeMs::new(time), value).expect("possible");
    let bytes = frame::sign(&key(), DeviceId::new([7; 16]), Sequence::new(sequence), reading);
    frame::parse(&bytes).expect("our own")
}

fn beat(sequence: u64, per_minute: i64) -> Frame {
    frame(sequence, "8867-4", START + sequence * 1_000, Value::Quantity(Decimal::whole(per_minute)))
}

fn ecg(sequence: u64, seed: i32) -> Frame {
    let samples =
        (0..90).map(|at: i32| i16::try_from(1024 + (at * at * seed) % 37).expect("small")).collect();
    let rate = reading::Rate::new(360, 1).expect("possible");
    let scale = Decimal::new(5, -3).expect("possible");
    let waveform = reading::Waveform::new(rate, scale, 1024, samples).expect("possible");
    frame(sequence, "131330", START + sequence * 250, Value::Waveform(waveform))
}

fn good(name: &str, comment: &str, frames: &[Frame]) -> Vector {
    let packed = segment::pack(key().public_key(), frames).expect("within limits");
    let vector = Vector::new(format!("segment/good/{name}"), "ok", comment, packed);
    let vector = vector.with("device_key", key().public_key());
    frames.iter().fold(vector, |vector, frame| vector.with("frame", hex::encode(frame.to_bytes())))
}

fn bad(name: &str, comment: &str, change: impl Fn(&mut Vec<u8>)) -> Vector {
    let frames = [beat(1, 72), beat(2, 75), beat(4, 71)];
    let mut packed = segment::pack(key().public_key(), &frames).expect("within limits");
    change(&mut packed);
    Vector::new(format!("segment/bad/{name}"), FAULT, comment, packed)
}

/// Every packed segment.
pub(crate) fn all() -> Vec<Vector> {
    let steady: Vec<Frame> = (0..4).map(|at| beat(at, 72)).collect();
    let uneven: Vec<Frame> =
        [72, 75, 71, 70, 74, 90].into_iter().zip(3_u64..).map(|(rate, at)| beat(at * at, rate)).collect();
    let warm = frame(9, "8310-5", START + 9_000, Value::Quantity(Decimal::new(371, -1).expect("possible")));
    vec![
        good("one-heartbeat", "one reading", &[beat(1, 72)]),
        good("steady", "every column is a progression", &steady),
        good("uneven", "compressed columns", &uneven),
        good("ecg", "samples of three frames in one column", &[ecg(0, 3), ecg(1, 5), ecg(2, 7)]),
        good("mixed", "three shapes", &[beat(1, 72), ecg(2, 3), beat(3, 70), warm, ecg(5, 5)]),
        bad("empty", "no bytes", Vec::clear),
        bad("cut-short", "the last byte is missing", |bytes| bytes.truncate(bytes.len() - 1)),
        bad("trailing-byte", "a zero follows", |bytes| bytes.push(0)),
        bad("version", "version 2", |bytes| bytes[0] = 2),
        bad("count-zero", "no frames", |bytes| bytes[COUNT..COUNT + 4].fill(0)),
        bad("count-one-more", "a frame without a signature", |bytes| bytes[COUNT] += 1),
        bad("count-huge", "4,294,967,295 frames", |bytes| bytes[COUNT..COUNT + 4].fill(0xff)),
        bad("kind-unknown", "another kind", |bytes| replace(bytes, b"8867-4", b"8867-5")),
        bad("kind-other-form", "a kind that is a waveform", |bytes| replace(bytes, b"8867-4", b"131330")),
    ]
}

/// Where the count of frames stands: after version, device and key.
const COUNT: usize = 1 + 16 + 32;

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// What the frames of a good vector must unpack to.
pub(crate) fn expected(vector: &Vector) -> (PublicKey, Vec<Vec<u8>>) {
    let key = PublicKey::from_hex(vector.fact("device_key").expect("a key")).expect("hexadecimal");
    let frames = vector.facts.iter().filter(|(name, _)| name == "frame");
    (key, frames.map(|(_, value)| hex::decode(value).expect("hexadecimal")).collect())
}
