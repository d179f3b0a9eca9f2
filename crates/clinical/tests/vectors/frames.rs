//! The frames, good and bad, as a stranger would write them from `spec/frame.md`.

use crate::cbor::{array, bytes, decimal, double, head, int, long_head, map, tag, text};
use crate::text::Vector;
use salus_crypto::{Secret, SigningKey};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

const DEVICE: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const SEQUENCE: i64 = 41;
const TIME_MS: i64 = 1_700_000_000_123;
const AAD: &[u8] = b"salus/frame/v1";

const MALFORMED: &str = "SAL-4001";
const SIGNATURE: &str = "SAL-4005";
const UNIT: &str = "SAL-4006";
const CLOCK: &str = "SAL-4007";

/// The parts of a frame, each of which can be spoilt before it is signed.
#[derive(Clone)]
struct Parts {
    tag: Vec<u8>,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    payload: Vec<u8>,
}

fn key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([0x2a; 32]))
}

fn headers() -> Fields {
    vec![(int(1), int(-8)), (int(4), bytes(&DEVICE)), (int(-65_537), int(SEQUENCE))]
}

fn quantity(name: &str, unit: &str, value: Vec<u8>) -> Fields {
    let time = decimal(-3, TIME_MS);
    vec![(int(0), text(name)), (int(1), text(unit)), (int(2), value), (int(6), time)]
}

fn heart_rate() -> Fields {
    quantity("8867-4", "/min", decimal(0, 72))
}

fn ecg() -> Fields {
    let samples: Vec<u8> =
        [955_i16, 959, 963, 1024, -1].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    vec![
        (int(0), text("131330")),
        (int(1), text("mV")),
        (int(6), decimal(-3, TIME_MS)),
        (int(8), bytes(&samples)),
        (text("rate_"), array(&[int(360), int(1)])),
        (text("scale_"), decimal(-3, 5)),
        (text("origin_"), int(1024)),
    ]
}

fn pack(fields: &Fields) -> Vec<u8> {
    array(&[map(fields)])
}

fn parts(payload: Vec<u8>) -> Parts {
    Parts { tag: head(6, 18), protected: map(&headers()), unprotected: map(&[]), payload }
}

fn signed_bytes(parts: &Parts, aad: &[u8]) -> Vec<u8> {
    array(&[text("Signature1"), bytes(&parts.protected), bytes(aad), bytes(&parts.payload)])
}

fn assemble(parts: &Parts, signature: &[u8]) -> Vec<u8> {
    let items = [bytes(&parts.protected), parts.unprotected.clone(), bytes(&parts.payload), bytes(signature)];
    [parts.tag.clone(), array(&items)].concat()
}

fn signed(parts: &Parts) -> Vec<u8> {
    assemble(parts, key().sign_raw(&signed_bytes(parts, AAD)).as_bytes())
}

fn with_key(vector: Vector) -> Vector {
    vector.with("device_key", key().public_key())
}

/// Every frame vector.
pub(crate) fn all() -> Vec<Vector> {
    let packed = [bad_packs(), bad_fields(), bad_units(), bad_numbers(), bad_waveforms()].concat();
    [good(), bad_bytes(), bad_headers(), packed, bad_signatures()]
        .concat()
        .into_iter()
        .map(with_key)
        .collect()
}

fn good() -> Vec<Vector> {
    let one = |name: &str, comment: &str, sequence: &str, fields: &Fields| {
        let mut parts = parts(pack(fields));
        let mut headers = headers();
        headers[2].1 = head(0, sequence.parse().expect("a number"));
        parts.protected = map(&headers);
        Vector::new(format!("frame/good/{name}"), "ok", comment, signed(&parts))
            .with("device", hex::encode(DEVICE))
            .with("sequence", sequence)
            .with("time_ms", TIME_MS)
    };
    let with =
        |name: &str, comment: &str, kind: &str, unit: &str, (exponent, mantissa): (i64, i64), value: &str| {
            one(name, comment, "41", &quantity(kind, unit, decimal(exponent, mantissa)))
                .with("name", kind)
                .with("value", value)
        };
    vec![
        with("heart-rate", "the example of spec/frame.md", "8867-4", "/min", (0, 72), "72"),
        with("precision", "72.0 is not 72", "8867-4", "/min", (-1, 720), "72.0"),
        with("temperature", "two decimals", "8310-5", "Cel", (-2, 3_712), "37.12"),
        with("negative", "kept, and marked implausible", "8310-5", "Cel", (-1, -5), "-0.5"),
        with("smallest", "the least mantissa", "8310-5", "Cel", (-9, i64::MIN), "-9223372036.854775808"),
        with("largest", "the greatest exponent", "8480-6", "mm[Hg]", (9, 1), "1000000000"),
        one("ecg", "five samples at 360 Hz", "41", &ecg())
            .with("name", "131330")
            .with("rate", "360/1")
            .with("scale", "0.005")
            .with("origin", 1024)
            .with("samples", "955 959 963 1024 -1"),
        one("sequence-first", "the least sequence", "0", &heart_rate())
            .with("name", "8867-4")
            .with("value", "72"),
        one("sequence-last", "the greatest sequence", "18446744073709551615", &heart_rate())
            .with("name", "8867-4")
            .with("value", "72"),
    ]
}

fn bad(name: &str, expect: &str, comment: &str, bytes: Vec<u8>) -> Vector {
    Vector::new(format!("frame/bad/{name}"), expect, comment, bytes)
}

fn bad_bytes() -> Vec<Vector> {
    let whole = parts(pack(&heart_rate()));
    let frame = signed(&whole);
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = whole.clone();
        change(&mut parts);
        signed(&parts)
    };
    let long_payload = {
        let signature = key().sign_raw(&signed_bytes(&whole, AAD));
        let length = u8::try_from(whole.payload.len()).expect("short");
        let payload = [long_head(2, length), whole.payload.clone()].concat();
        let items = [bytes(&whole.protected), map(&[]), payload, bytes(signature.as_bytes())];
        [head(6, 18), array(&items)].concat()
    };
    let five = [head(6, 18), head(4, 5), frame[2..].to_vec(), int(0)].concat();
    vec![
        bad("empty", MALFORMED, "no bytes", vec![]),
        bad("cut-short", MALFORMED, "the last byte is missing", frame[..frame.len() - 1].to_vec()),
        bad("head-only", MALFORMED, "the payload is missing", frame[..40].to_vec()),
        bad("trailing-byte", MALFORMED, "a zero follows", [frame.clone(), vec![0]].concat()),
        bad("twice", MALFORMED, "the frame follows itself", [frame.clone(), frame.clone()].concat()),
        bad("untagged", MALFORMED, "without tag 18", with(&|parts| parts.tag = vec![])),
        bad("other-tag", MALFORMED, "tag 98, COSE_Sign", with(&|parts| parts.tag = head(6, 98))),
        bad("long-tag", MALFORMED, "tag 18 in three bytes", with(&|parts| parts.tag = long_head(6, 18))),
        bad("five-items", MALFORMED, "an array of five", five),
        bad("long-length", MALFORMED, "the payload's length in two bytes", long_payload),
        bad("deep", MALFORMED, "a thousand arrays", [vec![0x81; 1_000], vec![0]].concat()),
        bad(
            "huge-claim",
            MALFORMED,
            "claims 2^62 bytes",
            [head(6, 18), head(4, 4), head(2, 1 << 62)].concat(),
        ),
    ]
}

fn bad_headers() -> Vec<Vector> {
    let with = |name: &str, comment: &str, fields: Fields| {
        let mut parts = parts(pack(&heart_rate()));
        parts.protected = map(&fields);
        bad(name, MALFORMED, comment, signed(&parts))
    };
    let [alg, kid, sequence] = <[_; 3]>::try_from(headers()).expect("three headers");
    let unprotected = |name: &str, comment: &str, protected: Vec<u8>, unprotected: &Fields| {
        let parts = Parts { protected, unprotected: map(unprotected), ..parts(pack(&heart_rate())) };
        bad(name, MALFORMED, comment, signed(&parts))
    };
    let without_alg = map(&[kid.clone(), sequence.clone()]);
    let long = [head(5, 3), int(1), int(-8), int(4), kid.1.clone(), int(-65_537), long_head(0, 41)].concat();
    vec![
        with("alg-es256", "ECDSA", vec![(int(1), int(-7)), kid.clone(), sequence.clone()]),
        with("alg-missing", "no algorithm", vec![kid.clone(), sequence.clone()]),
        unprotected("alg-unprotected", "the algorithm is not signed", without_alg, &vec![alg.clone()]),
        unprotected("unprotected", "a header that is not signed", map(&headers()), &vec![(int(3), int(0))]),
        unprotected("protected-empty", "no headers at all", vec![], &vec![]),
        unprotected("long-sequence", "the sequence in three bytes", long, &vec![]),
        with(
            "kid-short",
            "15 bytes of device",
            vec![alg.clone(), (int(4), bytes(&DEVICE[1..])), sequence.clone()],
        ),
        with("kid-missing", "no device", vec![alg.clone(), sequence.clone()]),
        with(
            "kid-text",
            "the device as text",
            vec![alg.clone(), (int(4), text("0123456789abcdef")), sequence.clone()],
        ),
        with("sequence-missing", "no sequence", vec![alg.clone(), kid.clone()]),
        with("sequence-negative", "sequence -1", vec![alg.clone(), kid.clone(), (int(-65_537), int(-1))]),
        with("sequence-text", "sequence as text", vec![alg.clone(), kid.clone(), (int(-65_537), text("41"))]),
        with("sequence-other-label", "label -65538", vec![alg.clone(), kid.clone(), (int(-65_538), int(41))]),
        with("header-order", "sequence before device", vec![alg.clone(), sequence.clone(), kid.clone()]),
        with(
            "header-extra",
            "a content type",
            vec![alg.clone(), (int(3), int(112)), kid.clone(), sequence.clone()],
        ),
        with("header-critical", "a critical header", vec![alg, (int(2), array(&[int(4)])), kid, sequence]),
    ]
}

fn bad_payload(name: &str, expect: &str, comment: &str, payload: Vec<u8>) -> Vector {
    bad(name, expect, comment, signed(&parts(payload)))
}

fn bad_packs() -> Vec<Vector> {
    let with = |name, comment, payload| bad_payload(name, MALFORMED, comment, payload);
    let open_map = [head(4, 1), vec![0xbf], map(&heart_rate())[1..].to_vec(), vec![0xff]].concat();
    let open_array = [vec![0x9f], map(&heart_rate()), vec![0xff]].concat();
    let mut in_pieces = heart_rate();
    in_pieces[0].1 = [vec![0x7f], text("8867-4"), vec![0xff]].concat();
    let record = map(&heart_rate());
    vec![
        with("payload-empty", "an empty payload", vec![]),
        with("records-none", "an empty pack", array(&[])),
        with("records-two", "two records", array(&[record.clone(), record.clone()])),
        with("record-bare", "a record without its pack", record.clone()),
        with("payload-trailing", "a zero follows the pack", [array(&[record]), vec![0]].concat()),
        with("indefinite-map", "a map without length", open_map),
        with("indefinite-array", "an array without length", open_array),
        with("indefinite-text", "a text in pieces", pack(&in_pieces)),
    ]
}

fn bad_fields() -> Vec<Vector> {
    let with = |name, comment, change: &dyn Fn(&mut Fields)| {
        let mut fields = heart_rate();
        change(&mut fields);
        bad_payload(name, MALFORMED, comment, pack(&fields))
    };
    vec![
        with("field-order", "unit before name", &|fields| fields.swap(0, 1)),
        with("field-twice", "the value twice", &|fields| fields.push(fields[2].clone())),
        with("field-unknown", "a base name", &|fields| fields.insert(0, (int(-2), text("urn:")))),
        with("field-other", "a label of nobody", &|fields| fields.push((text("x"), int(0)))),
        with("field-null-key", "null as a label", &|fields| fields.push((vec![0xf6], int(0)))),
        with("name-missing", "no name", &|fields| drop(fields.remove(0))),
        with("unit-missing", "no unit", &|fields| drop(fields.remove(1))),
        with("value-missing", "no value", &|fields| drop(fields.remove(2))),
        with("time-missing", "no time", &|fields| drop(fields.remove(3))),
        with("name-bytes", "the name as bytes", &|fields| fields[0].1 = bytes(b"8867-4")),
    ]
}

fn bad_units() -> Vec<Vector> {
    let with = |case, comment, name, unit| {
        bad_payload(case, UNIT, comment, pack(&quantity(name, unit, decimal(0, 72))))
    };
    vec![
        with("kind-unknown", "a kind nobody listed", "8867-5", "/min"),
        with("kind-padded", "a space in the name", "8867-4 ", "/min"),
        with("unit-other", "not the unit of the kind", "8867-4", "bpm"),
        with("unit-case", "units are case sensitive", "8867-4", "/MIN"),
        with("unit-convertible", "no unit is converted", "8310-5", "[degF]"),
    ]
}

fn bad_numbers() -> Vec<Vector> {
    let with = |name: &str, expect: &str, comment: &str, value: Vec<u8>| {
        bad(name, expect, comment, signed(&parts(pack(&quantity("8867-4", "/min", value)))))
    };
    let at = |name: &str, expect: &str, comment: &str, time: Vec<u8>| {
        let mut fields = heart_rate();
        fields[3].1 = time;
        bad(name, expect, comment, signed(&parts(pack(&fields))))
    };
    let bignum = tag(2, &bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0]));
    let long = [head(6, 4), head(4, 2), long_head(0, 0), int(72)].concat();
    vec![
        with("value-integer", MALFORMED, "a bare integer", int(72)),
        with("value-double", MALFORMED, "floating point", double(72.0)),
        with("value-half", MALFORMED, "floating point of two bytes", vec![0xf9, 0x54, 0x80]),
        with("value-text", MALFORMED, "a number as text", text("72")),
        with("value-bigfloat", MALFORMED, "tag 5, powers of two", tag(5, &array(&[int(0), int(72)]))),
        with("value-three", MALFORMED, "three parts", tag(4, &array(&[int(0), int(72), int(0)]))),
        with("value-bignum", MALFORMED, "a big mantissa", tag(4, &array(&[int(0), bignum]))),
        with(
            "value-small-bignum",
            MALFORMED,
            "72 as bignum",
            tag(4, &array(&[int(0), tag(2, &bytes(&[72]))])),
        ),
        with("value-exponent", MALFORMED, "ten to the tenth", decimal(10, 72)),
        with("value-exponent-low", MALFORMED, "ten to the minus tenth", decimal(-10, 72)),
        with("value-long", MALFORMED, "the exponent in three bytes", long),
        with("value-mantissa", MALFORMED, "2^63", tag(4, &array(&[int(0), head(0, 1 << 63)]))),
        at("time-double", MALFORMED, "floating point", double(1_700_000_000.123)),
        at("time-integer", MALFORMED, "whole seconds", int(1_700_000_000)),
        at("time-exponent", MALFORMED, "tenths of a second", decimal(-1, 17_000_000_000)),
        at("time-negative", CLOCK, "before 1970", decimal(-3, -1)),
        at("time-zero", CLOCK, "1970", decimal(-3, 0)),
        at("time-relative", CLOCK, "the last relative time", decimal(-3, (1 << 28) * 1_000 - 1)),
        at("time-far", CLOCK, "the year 10000", decimal(-3, 253_402_300_800_000)),
    ]
}

fn bad_waveforms() -> Vec<Vector> {
    let with = |name: &str, expect: &str, comment: &str, change: &dyn Fn(&mut Fields)| {
        let mut fields = ecg();
        change(&mut fields);
        bad(&format!("waveform-{name}"), expect, comment, signed(&parts(pack(&fields))))
    };
    let rate = |samples: i64, seconds: i64| array(&[int(samples), int(seconds)]);
    vec![
        with("empty", MALFORMED, "no samples", &|fields| fields[3].1 = bytes(&[])),
        with("odd", MALFORMED, "half a sample", &|fields| fields[3].1 = bytes(&[1, 2, 3])),
        with("text", MALFORMED, "samples as text", &|fields| fields[3].1 = text("abcd")),
        with("rate-zero", MALFORMED, "no samples a second", &|fields| fields[4].1 = rate(0, 1)),
        with("rate-forever", MALFORMED, "no seconds", &|fields| fields[4].1 = rate(360, 0)),
        with("rate-huge", MALFORMED, "above a million", &|fields| fields[4].1 = rate(1_000_001, 1)),
        with("rate-bare", MALFORMED, "not a fraction", &|fields| fields[4].1 = int(360)),
        with("rate-missing", MALFORMED, "no rate", &|fields| drop(fields.remove(4))),
        with("scale-zero", MALFORMED, "every sample would be zero", &|fields| fields[5].1 = decimal(0, 0)),
        with("scale-negative", MALFORMED, "upside down", &|fields| fields[5].1 = decimal(-3, -5)),
        with("scale-missing", MALFORMED, "no scale", &|fields| drop(fields.remove(5))),
        with("origin-huge", MALFORMED, "beyond 32 bits", &|fields| fields[6].1 = int(1 << 31)),
        with("origin-missing", MALFORMED, "no origin", &|fields| drop(fields.remove(6))),
        with("and-value", MALFORMED, "samples and a value", &|fields| {
            fields.insert(2, (int(2), decimal(0, 1)))
        }),
        with("as-heart-rate", UNIT, "a kind that is a quantity", &|fields| {
            fields[0].1 = text("8867-4");
            fields[1].1 = text("/min");
        }),
        bad(
            "quantity-as-ecg",
            UNIT,
            "a kind that is a waveform",
            signed(&parts(pack(&quantity("131330", "mV", decimal(0, 1))))),
        ),
    ]
}

fn bad_signatures() -> Vec<Vector> {
    let parts = parts(pack(&heart_rate()));
    let by = |key: &SigningKey, message: &[u8]| assemble(&parts, key.sign_raw(message).as_bytes());
    let message = signed_bytes(&parts, AAD);
    let mut flipped = signed(&parts);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let other = SigningKey::from_seed(Secret::from_bytes([0x2b; 32]));
    let mut replaced = parts.clone();
    replaced.payload = pack(&quantity("8867-4", "/min", decimal(0, 73)));
    let signature = key().sign_raw(&message);
    vec![
        bad("signature-short", MALFORMED, "63 bytes", assemble(&parts, &signature.as_bytes()[1..])),
        bad("signature-zero", SIGNATURE, "all zeros", assemble(&parts, &[0; 64])),
        bad("signature-flipped", SIGNATURE, "one bit differs", flipped),
        bad("signature-other-key", SIGNATURE, "by another device", by(&other, &message)),
        bad("signature-without-aad", SIGNATURE, "no associated data", by(&key(), &signed_bytes(&parts, b""))),
        bad("signature-payload-only", SIGNATURE, "without the structure", by(&key(), &parts.payload)),
        bad("value-replaced", SIGNATURE, "72 became 73", assemble(&replaced, signature.as_bytes())),
    ]
}
