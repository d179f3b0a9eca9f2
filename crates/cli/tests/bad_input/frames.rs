//! Frames that are wrong in every way that a device, its maker, its clock or a thief can think of,
//! among good ones.

use super::consortium::{Consortium, SOON};
use super::device::{Device, authority, kept, refused, settle, tls_of};
use super::until::until;
use salus_client::drive::now;
use salus_gateway::{DeviceClient, Dialect, quarantine};
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::{Code, DeviceId, TimeMs};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DAY_MS: u64 = 86_400_000;
/// What CONNACK states as the Maximum Packet Size.
const PACKET_BYTES_MAX: usize = 70 * 1024;
/// CONNECT of MQTT 5: clean start, keep-alive of 60 s, client identifier `d`.
const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01d";
const TOPIC: &[u8] = b"salus/v1/frame";

/// What a device was told is kept: device and sequence.
pub(crate) type Kept = BTreeSet<(String, u64)>;

/// Each bad frame gets its code, and the good ones before and after it are kept.
pub(crate) async fn each_bad_frame_has_its_code(
    consortium: &Consortium,
    device: &Device,
    other: &Device,
) -> Kept {
    let mut client = device.connect(Dialect::V5).await.unwrap();
    let mut sequence = 100;
    for (what, bad, expected) in bad_frames(device, other) {
        kept(&mut client, device.beat(sequence)).await;
        assert_eq!(refused(&mut client, bad).await, expected, "{what}");
        kept(&mut client, device.beat(sequence + 1)).await;
        sequence += 2;
    }
    let mut all: Kept = (100..sequence).map(|sequence| (device.id.to_string(), sequence)).collect();
    all.extend(repeated_and_reordered(&mut client, device).await);
    client.finish().await.unwrap();
    let codes: BTreeSet<Code> = bad_frames(device, other).into_iter().map(|(_, _, code)| code).collect();
    in_quarantine(consortium, &codes).await;
    all
}

fn bad_frames(device: &Device, other: &Device) -> Vec<(&'static str, Vec<u8>, Code)> {
    let good = || device.beat(9);
    let mut flipped = good();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = good();
    longer.push(0);
    let key = device.key();
    let swapped = |from: &[u8], to: &[u8]| resigned(&key, &good(), from, to);
    let at = |time: u64| device.beat_at(9, TimeMs::new(time), 72);
    let now = now().get();
    vec![
        ("empty", Vec::new(), Code::FrameMalformed),
        ("truncated", good()[..good().len() / 2].to_vec(), Code::FrameMalformed),
        ("trailing byte", longer, Code::FrameMalformed),
        ("garbage", vec![0xa5; 5_000], Code::FrameMalformed),
        ("signature altered", flipped, Code::FrameSignature),
        (
            "signed by another",
            super::device::signed(&other.key(), device.id, 9, salus_client::drive::now(), 72),
            Code::FrameSignature,
        ),
        ("replayed of another device", other.beat(9), Code::CertificateMismatch),
        ("wrong unit", swapped(b"/min", b"/sec"), Code::UnitUnknown),
        ("wrong kind", swapped(b"8867-4", b"8867-5"), Code::UnitUnknown),
        ("clock ahead by 10 minutes", at(now + 600_000), Code::ClockOff),
        ("clock ahead by ten years", at(now + 3_650 * DAY_MS), Code::ClockOff),
        ("clock behind by two days", at(now - 2 * DAY_MS), Code::ClockOff),
        ("clock reset to 1980", at(315_532_800_000), Code::ClockOff),
    ]
}

/// The same frame with `from` replaced in its payload, and signed again by the same key: what a
/// device with wrong firmware sends.
fn resigned(key: &salus_crypto::sign::SigningKey, frame: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut frame = frame.to_vec();
    let found = frame.windows(from.len()).position(|window| window == from).unwrap();
    frame[found..found + to.len()].copy_from_slice(to);
    // D2 84, the protected headers, A0, the payload, 58 40 and the signature (RFC 9052).
    let signature = frame.len() - 64;
    let headers = 2..2 + item(&frame[2..]);
    let payload = headers.end + 1..signature - 2;
    let mut signed = b"\x84\x6aSignature1".to_vec();
    signed.extend(&frame[headers]);
    signed.extend(b"\x4esalus/frame/v1");
    signed.extend(&frame[payload]);
    let again = key.sign_raw(&signed);
    frame[signature..].copy_from_slice(again.as_bytes());
    frame
}

/// Bytes of a CBOR byte string with its head, of fewer than 256 bytes.
fn item(bytes: &[u8]) -> usize {
    match bytes[0] {
        0x58 => 2 + usize::from(bytes[1]),
        head => 1 + usize::from(head - 0x40),
    }
}

/// Repetitions are harmless, reuse is refused, and the order of sequences is nobody's business.
async fn repeated_and_reordered(client: &mut DeviceClient, device: &Device) -> Kept {
    let once = device.beat(50);
    for _ in 0..3 {
        kept(client, once.clone()).await;
    }
    let reused = device.beat_at(50, now(), 73);
    let nack = settle(client, reused).await.result.unwrap_err();
    assert_eq!(nack.code, Some(Code::SequenceReused));
    for sequence in [49, 41, 48, 42, 40] {
        kept(client, device.beat(sequence)).await;
    }
    [40, 41, 42, 48, 49, 50].map(|sequence| (device.id.to_string(), sequence)).into()
}

/// What was refused for what it is lies in the gateway's quarantine, with its code.
async fn in_quarantine(consortium: &Consortium, codes: &BTreeSet<Code>) {
    let data = consortium.dir.join("gateway-0/data");
    let key = consortium.dir.join("keys/gateway-0/machine.key");
    let key = salus_store::key_file::read_machine_key(&key, &data).unwrap();
    until("all codes are in quarantine", SOON, async || {
        let kept = quarantine::list(&data.join("quarantine"), &key).unwrap_or_default();
        let found: BTreeSet<Code> = kept.into_iter().map(|kept| kept.code).collect();
        found.is_superset(codes).then_some(())
    })
    .await;
    assert!(consortium.log("gateway-0").contains("refused a device's frame"));
}

/// Packets made by hand: a frame above its limit is refused and the connection goes on; a packet
/// above the limit of packets, or one that stops half-way, ends it and nothing else.
pub(crate) async fn oversized_and_cut_packets(device: &Device) -> Kept {
    let mut stream = device.raw().await;
    stream.write_all(CONNECT).await.unwrap();
    let connack = packet(&mut stream).await.unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:?}");
    let limit = u32::try_from(PACKET_BYTES_MAX).unwrap().to_be_bytes();
    assert!(connack.windows(5).any(|window| window[0] == 0x27 && window[1..] == limit), "{connack:?}");
    for (id, payload, expected) in [
        (1, device.beat(300), None),
        (2, vec![0xd2; FRAME_BYTES_MAX + 1], Some((0x99, Code::FrameTooLarge))),
        (3, device.beat(301), None),
    ] {
        stream.write_all(&publish(id, &payload)).await.unwrap();
        let puback = packet(&mut stream).await.unwrap();
        assert_eq!((puback[0], puback[3]), (0x40, u8::try_from(id).unwrap()), "{puback:?}");
        let text = String::from_utf8_lossy(&puback).into_owned();
        match expected {
            None => assert!(puback.len() <= 6 && puback.get(4).is_none_or(|reason| *reason == 0)),
            Some((reason, code)) => {
                assert!(puback[4] == reason && text.contains(&code.to_string()), "{text}")
            }
        }
    }
    let _ = stream.write_all(&publish(4, &vec![0xd2; PACKET_BYTES_MAX])).await;
    let disconnect = packet(&mut stream).await;
    assert!(disconnect.is_none_or(|packet| packet[0] == 0xe0 && packet[2] == 0x95), "packet too large");
    assert_eq!(packet(&mut stream).await, None);
    let mut stream = device.raw().await;
    stream.write_all(CONNECT).await.unwrap();
    packet(&mut stream).await.unwrap();
    let whole = publish(1, &device.beat(302));
    stream.write_all(&whole[..whole.len() / 2]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(packet(&mut stream).await, None);
    [300, 301].map(|sequence| (device.id.to_string(), sequence)).into()
}

/// A PUBLISH of MQTT 5 at QoS 1.
fn publish(id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(TOPIC.len()).unwrap()];
    body.extend(TOPIC);
    body.extend(id.to_be_bytes());
    body.push(0);
    body.extend(payload);
    let mut packet = vec![0x32];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push(u8::try_from(length % 0x80).unwrap() | 0x80);
        length /= 0x80;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend(body);
    packet
}

/// The next packet, of fewer than 16 KiB; `None` when the gateway has closed.
async fn packet(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let read = async {
        let mut head = vec![0; 2];
        stream.read_exact(&mut head).await.ok()?;
        let mut length = usize::from(head[1] & 0x7f);
        if head[1] & 0x80 != 0 {
            let more = stream.read_u8().await.ok()?;
            head.push(more);
            length += usize::from(more) << 7;
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await.ok()?;
        head.extend(rest);
        Some(head)
    };
    tokio::time::timeout(SOON, read).await.unwrap()
}

/// A certificate of the right member alone makes no device, and one of a foreign authority not even
/// a connection.
pub(crate) async fn strangers(consortium: &Consortium, device: &Device) {
    let own = authority(consortium);
    let unknown = DeviceId::new([0x5a; 16]);
    let tls = tls_of(&own, &own, unknown);
    let at = device.at.to_string();
    let mut client = DeviceClient::connect(&at, &tls, unknown, Dialect::V5).await.unwrap();
    let frame = super::device::signed(&device.key(), unknown, 1, now(), 72);
    assert_eq!(refused(&mut client, frame).await, Code::DeviceUnknown);
    let foreign = salus_link::Authority::generate(salus_wire::MemberIndex::new(0), now()).unwrap();
    let tls = tls_of(&foreign, &own, device.id);
    let error = DeviceClient::connect(&at, &tls, device.id, Dialect::V5).await.err().unwrap();
    assert_eq!(error.code(), Code::Unreachable);
}

/// Reads everything and waits until all of `kept` is there; nothing else may be, each must be there
/// once, and in order.
pub(crate) async fn read_back(consortium: &Consortium, kept: &Kept) {
    let readings = read_back_at_least(consortium, kept).await;
    let names: Vec<(String, u64)> = readings.iter().map(name).collect();
    let once: BTreeSet<&(String, u64)> = names.iter().collect();
    assert_eq!(names.len(), once.len(), "each is read once");
    assert_eq!(once.len(), kept.len(), "nothing that was refused is read");
    let times: Vec<u64> = readings.iter().map(|reading| reading["time_ms"].as_u64().unwrap()).collect();
    for device in names.iter().map(|(device, _)| device).collect::<BTreeSet<_>>() {
        let of_device = names.iter().zip(&times).filter(|((other, _), _)| other == device);
        assert!(of_device.map(|(_, time)| time).is_sorted(), "in the order of time");
    }
}

/// Reads everything and waits until all of `kept` is there.
pub(crate) async fn read_back_at_least(consortium: &Consortium, kept: &Kept) -> Vec<Value> {
    let person = consortium.people("reader.person");
    let grant = consortium.people("all.grant");
    let words = ["read", "--person", &person, "--grant", &grant, "--print"];
    until("all that was acknowledged is read", SOON, async || {
        let output = consortium.try_salus(&words);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success() || value["error"] == "SAL-2018", "{value}");
        let readings = value["values"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<(String, u64)> = readings.iter().map(name).collect();
        kept.is_subset(&names).then_some(readings)
    })
    .await
}

fn name(reading: &Value) -> (String, u64) {
    (reading["device"].as_str().unwrap().to_owned(), reading["sequence"].as_u64().unwrap())
}
