//! Reads every vector and holds the product to it.

use crate::text::{Vector, checked_in, write_copies};
use crate::{frames, segments};
use salus_clinical::{Frame, Value, frame, segment};
use salus_crypto::PublicKey;
use salus_wire::Code;

fn judge(vector: &Vector) -> Result<Frame, Code> {
    let key = PublicKey::from_hex(vector.fact("device_key").expect("a key")).expect("hexadecimal");
    let frame = frame::parse(&vector.bytes).map_err(|reject| reject.code())?;
    frame.verify(&key).map_err(|reject| reject.code())?;
    Ok(frame)
}

fn facts(frame: &Frame) -> Vec<(String, String)> {
    let reading = frame.reading();
    let mut facts = vec![
        ("device", frame.device().to_string()),
        ("sequence", frame.sequence().to_string()),
        ("time_ms", reading.effective().to_string()),
        ("name", reading.kind().name().to_owned()),
    ];
    match reading.value() {
        Value::Quantity(value) => facts.push(("value", value.to_string())),
        Value::Waveform(waveform) => {
            let samples: Vec<String> = waveform.samples().iter().map(ToString::to_string).collect();
            let rate = format!("{}/{}", waveform.rate().samples(), waveform.rate().seconds());
            facts.push(("rate", rate));
            facts.push(("scale", waveform.scale().to_string()));
            facts.push(("origin", waveform.origin().to_string()));
            facts.push(("samples", samples.join(" ")));
        }
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn frames_end_as_their_vectors_say() {
    for vector in frames::all() {
        match judge(&vector) {
            Ok(frame) => {
                assert_eq!(vector.expect, "ok", "{}", vector.path);
                let stated: Vec<_> =
                    vector.facts.iter().filter(|(name, _)| name != "device_key").cloned().collect();
                assert_eq!(facts(&frame), stated, "{}", vector.path);
                assert_eq!(frame.to_bytes(), vector.bytes);
            }
            Err(code) => assert_eq!(code.to_string(), vector.expect, "{}", vector.path),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_refused() {
    for vector in frames::all().iter().filter(|vector| vector.expect == "ok") {
        for bit in 0..vector.bytes.len() * 8 {
            let mut altered = vector.clone();
            altered.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(judge(&altered).is_err(), "bit {bit} of {}", vector.path);
        }
    }
}

/// A changed format is a reviewed file: the vectors as generated lie where the message says.
#[test]
fn frames_are_checked_in_as_they_are_generated() {
    let made = frames::all();
    let copy = write_copies(&made);
    let found = checked_in("frame");
    let changed: Vec<&str> =
        made.iter().filter(|one| found.get(&one.path) != Some(one)).map(|one| one.path.as_str()).collect();
    assert!(
        changed.is_empty() && found.len() == made.len(),
        "changed: {changed:?}; {} of {} are checked in; as generated they are in {}",
        found.len(),
        made.len(),
        copy.display()
    );
}

#[test]
fn segments_end_as_their_vectors_say() {
    let made = segments::all();
    let copy = write_copies(&made);
    let found = checked_in("segment");
    let listed: Vec<&str> = made.iter().map(|vector| vector.path.as_str()).collect();
    let lacking: Vec<&&str> = listed.iter().filter(|path| !found.contains_key(**path)).collect();
    assert!(lacking.is_empty(), "{lacking:?} lie in {}", copy.display());
    for vector in found.values() {
        match segment::unpack(&vector.bytes) {
            Ok(leaves) => {
                assert_eq!(vector.expect, "ok", "{}", vector.path);
                let (key, frames) = segments::expected(vector);
                assert!(leaves.iter().all(|leaf| leaf.device_key == key), "{}", vector.path);
                assert!(leaves.iter().map(|leaf| leaf.frame.to_vec()).eq(frames), "{}", vector.path);
            }
            Err(fault) => assert_eq!(fault.code().to_string(), vector.expect, "{}", vector.path),
        }
    }
}

#[test]
fn the_example_of_the_specification_is_the_vector() {
    let spec = include_str!("../../../../spec/frame.md");
    let example = frames::all().into_iter().find(|vector| vector.path == "frame/good/heart-rate");
    let bytes = example.expect("the example").bytes;
    // The last fenced block, without comments and spaces.
    let block = spec.rsplit("```").nth(1).expect("a fenced block");
    let digits: String = block
        .lines()
        .skip(1)
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::chars)
        .filter(|digit| !digit.is_whitespace())
        .collect();
    assert_eq!(digits, hex::encode(bytes));
}
