//! A heart rate as a device signs it: COSE_Sign1 over SenML-CBOR, written byte by byte from
//! `spec/frame.md`, and a type that reads just enough of it to be verified.

use salus_crypto::{PublicKey, Signature, SigningKey};
use salus_proof::{Claim, FromLeaf};
use salus_wire::receipt::Leaf;
use salus_wire::{Blob, Code};

const AAD: &[u8] = b"salus/frame/v1";

/// The payload of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beat(pub(crate) Vec<u8>);

impl FromLeaf for Beat {
    fn from_leaf(leaf: &Leaf) -> Result<Claim<Self>, Code> {
        parse(&leaf.frame).ok_or(Code::FrameMalformed)
    }
}

/// Tag 18, array of 4: protected bytes, empty map, payload bytes, 64 bytes of signature.
fn parse(frame: &[u8]) -> Option<Claim<Beat>> {
    let rest = frame.strip_prefix(&[0xd2, 0x84])?;
    let (protected, rest) = byte_string(rest)?;
    let rest = rest.strip_prefix(&[0xa0])?;
    let (payload, rest) = byte_string(rest)?;
    let (signature, rest) = byte_string(rest)?;
    let signature = Signature::from_bytes(signature.try_into().ok()?);
    rest.is_empty().then(|| Claim {
        value: Beat(payload.to_vec()),
        signed: to_be_signed(protected, payload),
        signature,
    })
}

/// A CBOR byte string of fewer than 256 bytes.
fn byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes {
        [head @ 0x40..=0x57, rest @ ..] => (head - 0x40, rest),
        [0x58, length, rest @ ..] if *length >= 24 => (*length, rest),
        _ => return None,
    };
    rest.split_at_checked(usize::from(length))
}

fn put_byte_string(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short strings only");
    let head = if length < 24 { vec![0x40 + length] } else { vec![0x58, length] };
    [head, bytes.to_vec()].concat()
}

/// RFC 9052 section 4.4: `["Signature1", protected, external_aad, payload]`.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let context = [[0x84, 0x6a].as_slice(), b"Signature1"].concat();
    [context, put_byte_string(protected), put_byte_string(AAD), put_byte_string(payload)].concat()
}

/// The frame of `device`'s reading number `sequence`: 72 beats a minute.
pub(crate) fn beat(device: [u8; 16], sequence: u8, key: &SigningKey) -> Vec<u8> {
    let sequence = if sequence < 24 { vec![sequence] } else { vec![0x18, sequence] };
    // {1: -8, 4: h'device', -65537: sequence}
    let protected =
        [&[0xa3, 0x01, 0x27, 0x04, 0x50], device.as_slice(), &[0x3a, 0, 1, 0, 0], &sequence].concat();
    // [{0: "8867-4", 1: "/min", 2: 4([0, 72]), 6: 4([-3, 1700000000123])}]
    let payload = [
        [0x81, 0xa4, 0x00, 0x66].as_slice(),
        b"8867-4",
        &[0x01, 0x64],
        b"/min",
        &[0x02, 0xc4, 0x82, 0x00, 0x18, 72, 0x06, 0xc4, 0x82, 0x22, 0x1b],
        &1_700_000_000_123_u64.to_be_bytes(),
    ]
    .concat();
    let signature = key.sign_raw(&to_be_signed(&protected, &payload));
    let parts = [
        put_byte_string(&protected),
        vec![0xa0],
        put_byte_string(&payload),
        put_byte_string(signature.as_bytes()),
    ];
    [vec![0xd2, 0x84], parts.concat()].concat()
}

/// The example at the end of `spec/frame.md`.
#[test]
fn a_beat_is_a_frame_as_specified() {
    let device = std::array::from_fn(|n| n as u8);
    let text = include_str!("../../../../vectors/frame/good/heart-rate.txt");
    let (_, body) = text.split_once("\n\n").expect("a header and a body");
    let body: String = body.split_whitespace().collect();
    assert_eq!(hex::encode(beat(device, 41, &crate::consortium::key(0x2a))), body);
}

pub(crate) fn leaf(device_key: PublicKey, frame: Vec<u8>) -> Leaf {
    Leaf { device_key, frame: Blob::new(frame).expect("within its limit") }
}
