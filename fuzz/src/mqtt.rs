//! What a device, or anything that holds its certificate, may send after the handshake. The
//! promises: nothing panics; bytes are always taken, so that nobody can make the gateway spin;
//! answers stay small; a frame is heard only after CONNECT was answered.

use crate::targets::Seed;
use salus_gateway::mqtt::speaker::{Heard, Speaker};
use salus_wire::Code;
use salus_wire::limits::FRAME_BYTES_MAX;

/// Bytes that one packet may be answered with.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The first byte says in pieces of how many bytes the rest arrives.
pub fn mqtt_speaker(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let mut speaker = Speaker::default();
    for piece in bytes.chunks(usize::from(*size).max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (taken, heard) = speaker.hear(rest);
            assert!(taken > 0 && taken <= rest.len(), "no progress");
            rest = rest.get(taken..).unwrap_or_default();
            if let Some(Heard::Frame(id, payload)) = heard {
                assert!(speaker.is_connected(), "a frame before CONNECT");
                assert!(payload.len() <= FRAME_BYTES_MAX.saturating_add(8 * 1024), "a frame over the limit");
                speaker.refuse(id, Code::FrameMalformed);
            }
            assert!(speaker.take_out().len() <= ANSWER_BYTES_MAX, "an answer without bound");
        }
    }
}

/// MQTT 5 and 3.1.1: CONNECT, PUBLISH at each QoS, SUBSCRIBE, PINGREQ, DISCONNECT; in one piece and
/// in many.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let topic = b"\x00\x0esalus/v1/frame";
    let publish = |flags: u8, id: &[u8], props: &[u8]| {
        let body = [&topic[..], id, props, b"frame"].concat();
        let length = u8::try_from(body.len()).unwrap_or(0);
        [&[0x30 | flags, length], body.as_slice()].concat()
    };
    let v5 = [
        &b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03dev"[..],
        &publish(0x02, &[0, 1], &[0]),
        b"\x82\x07\x00\x02\x00\x00\x01#\x01",
        b"\xc0\x00\xe0\x00",
    ]
    .concat();
    let v3 = [
        &b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dev"[..],
        &publish(0x02, &[0, 1], &[]),
        b"\x82\x06\x00\x02\x00\x01#\x01",
        b"\xc0\x00\xe0\x00",
    ]
    .concat();
    let qos = |flags: u8| {
        [&b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03dev"[..], &publish(flags, &[0, 1], &[0])].concat()
    };
    let piece = |size: u8, bytes: &[u8]| [&[size], bytes].concat();
    vec![
        Seed::new("v5", piece(255, &v5)),
        Seed::new("v5-pieces", piece(1, &v5)),
        Seed::new("v3", piece(255, &v3)),
        Seed::new("v3-pieces", piece(3, &v3)),
        Seed::new("qos0", piece(255, &qos(0))),
        Seed::new("qos2", piece(255, &qos(4))),
        Seed::new("publish-first", piece(255, &publish(2, &[0, 1], &[]))),
    ]
}
