//! A frame: one reading, signed by its device. A COSE_Sign1 (RFC 9052) over SenML (RFC 8428) in
//! CBOR, specified in `spec/frame.md`.
//!
//! Promises that a [`Frame`] has exactly one encoding (RFC 8949 section 4.2.1), so that its fields
//! can be stored apart and give back the very bytes that were signed: what was received is encoded
//! again and compared. Refuses to know whether the signature verifies until it is asked, and whose
//! key it is.
//!
//! Deviations from RFC 8428, on purpose: one record in a pack; the name is a LOINC or MDC code and
//! not a globally unique name, because the device stands in the COSE header; units are UCUM.

use crate::error::Reject;
use crate::reading::{Reading, Sample};
use crate::senml;
use ciborium::Value as Cbor;
use coset::{
    Algorithm, AsCborValue, CoseSign1, Header, HeaderBuilder, Label, ProtectedHeader,
    RegisteredLabelWithPrivate, TaggedCborSerializable, iana,
};
use salus_crypto::{PublicKey, Signature, SigningKey};
use salus_proof::{Claim, FromLeaf};
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::receipt::Leaf;
use salus_wire::{Blob, Code, DeviceId, Sequence};

/// The external associated data of every signature (RFC 9052 section 4.3).
pub const EXTERNAL_AAD: &[u8] = b"salus/frame/v1";
/// The header label of the sequence number, of the private range (RFC 9052 section 16.2).
pub const SEQUENCE_LABEL: i64 = -65_537;

/// Deepest nesting of a frame: tag, array, and the headers' map.
const DEPTH_MAX: usize = 8;

/// A reading as its device signed it. The signature is not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    device: DeviceId,
    sequence: Sequence,
    reading: Reading,
    signature: Signature,
}

/// Parses one frame, strictly. The signature is not checked.
///
/// # Errors
/// [`Reject`] for anything but the one encoding of a known, possible reading; the device's fault.
pub fn parse(bytes: &[u8]) -> Result<Frame, Reject> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(Reject::TooLarge { bytes: bytes.len() });
    }
    let cose = CoseSign1::from_cbor_value(untag(read_cbor(bytes).ok_or(Reject::NotCose)?)?)
        .map_err(|_| Reject::NotCose)?;
    let frame = interpret(cose)?;
    if frame.to_bytes() != bytes {
        return Err(Reject::NotCanonical);
    }
    Ok(frame)
}

/// Signs one reading; what a device does. Precondition: `sequence` was never signed before with
/// this key.
#[must_use]
pub fn sign(key: &SigningKey, device: DeviceId, sequence: Sequence, reading: Reading) -> Vec<u8> {
    let unsigned = Frame { device, sequence, reading, signature: Signature::from_bytes([0; 64]) };
    let signature = key.sign_raw(&unsigned.signed_bytes());
    Frame { signature, ..unsigned }.to_bytes()
}

impl Frame {
    /// Puts a frame together from parts that were stored apart; its signature is whatever it is.
    pub(crate) const fn from_parts(
        device: DeviceId,
        sequence: Sequence,
        reading: Reading,
        signature: Signature,
    ) -> Self {
        Self { device, sequence, reading, signature }
    }

    /// The device that claims to have signed.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's own count.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// What was read.
    #[must_use]
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The signature, not yet checked.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`Reject::Signature`] when it is not by `key`.
    pub fn verify(&self, key: &PublicKey) -> Result<(), Reject> {
        key.verify_raw(&self.signed_bytes(), &self.signature).map_err(|_| Reject::Signature)
    }

    /// The bytes under the signature (the `Sig_structure` of RFC 9052 section 4.4), for checking
    /// many frames in one batch.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        self.cose().tbs_data(EXTERNAL_AAD)
    }

    /// The one encoding of this frame.
    #[must_use]
    #[expect(clippy::expect_used, reason = "writing known headers to memory cannot fail")]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.cose().to_tagged_vec().expect("writing to memory cannot fail")
    }

    /// The leaf of this frame, with the key that the gateway vouches for.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] when the frame exceeds its limit, which no parsed or signed one does.
    pub fn to_leaf(&self, device_key: PublicKey) -> Result<Leaf, Reject> {
        let bytes = self.to_bytes();
        let length = bytes.len();
        let frame = Blob::new(bytes).map_err(|_| Reject::TooLarge { bytes: length })?;
        Ok(Leaf { device_key, frame })
    }

    fn cose(&self) -> CoseSign1 {
        let header = HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .key_id(self.device.as_bytes().to_vec())
            .value(SEQUENCE_LABEL, self.sequence.get().into())
            .build();
        CoseSign1 {
            protected: ProtectedHeader { original_data: None, header },
            unprotected: Header::default(),
            payload: Some(write_cbor(&senml::write(&self.reading))),
            signature: self.signature.as_bytes().to_vec(),
        }
    }
}

impl FromLeaf for Sample {
    fn from_leaf(leaf: &Leaf) -> Result<Claim<Self>, Code> {
        let frame = parse(&leaf.frame).map_err(|reject| reject.code())?;
        let signed = frame.signed_bytes();
        let Frame { device, sequence, reading, signature } = frame;
        Ok(Claim { value: Self { device, sequence, reading }, signed, signature })
    }
}

fn untag(value: Cbor) -> Result<Cbor, Reject> {
    match value {
        Cbor::Tag(CoseSign1::TAG, inner) => Ok(*inner),
        _ => Err(Reject::NotCose),
    }
}

fn interpret(cose: CoseSign1) -> Result<Frame, Reject> {
    if !cose.unprotected.is_empty() {
        return Err(Reject::Headers);
    }
    let header = cose.protected.header;
    let expected: Algorithm = RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA);
    if header.alg.as_ref() != Some(&expected) {
        return Err(Reject::Headers);
    }
    let device = <[u8; 16]>::try_from(header.key_id).map(DeviceId::new).map_err(|_| Reject::Headers)?;
    let [(Label::Int(SEQUENCE_LABEL), sequence)] = header.rest.as_slice() else {
        return Err(Reject::Headers);
    };
    let sequence =
        sequence.as_integer().and_then(|number| u64::try_from(number).ok()).ok_or(Reject::Headers)?;
    let payload = read_cbor(&cose.payload.ok_or(Reject::Payload)?).ok_or(Reject::Payload)?;
    let reading = senml::read(payload)?;
    let signature = <[u8; 64]>::try_from(cose.signature).map_err(|_| Reject::NotCose)?;
    Ok(Frame::from_parts(device, Sequence::new(sequence), reading, Signature::from_bytes(signature)))
}

/// One CBOR item of bounded depth and nothing after it.
fn read_cbor(mut bytes: &[u8]) -> Option<Cbor> {
    let value = ciborium::de::from_reader_with_recursion_limit(&mut bytes, DEPTH_MAX).ok()?;
    bytes.is_empty().then_some(value)
}

#[expect(clippy::expect_used, reason = "writing a value of ours to memory cannot fail")]
fn write_cbor(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("writing to memory cannot fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::kind;
    use crate::reading::{Rate, TIME_END, TIME_MIN, Value, WAVEFORM_SAMPLES_MAX, Waveform};
    use proptest::prelude::*;
    use salus_crypto::{Batch, Secret};
    use salus_wire::TimeMs;

    const DEVICE: DeviceId = DeviceId::new([7; 16]);

    fn key() -> SigningKey {
        SigningKey::from_seed(Secret::from_bytes([9; 32]))
    }

    fn heart_rate(mantissa: i64, exponent: i8, time: u64) -> Reading {
        let value = Value::Quantity(Decimal::new(mantissa, exponent).unwrap());
        Reading::new(kind::find("8867-4").unwrap(), TimeMs::new(time), value).unwrap()
    }

    fn ecg(samples: Vec<i16>) -> Reading {
        let rate = Rate::new(1_000_000, 1_000_000).unwrap();
        let scale = Decimal::new(i64::MAX, -9).unwrap();
        let waveform = Waveform::new(rate, scale, i32::MIN, samples).unwrap();
        Reading::new(kind::find("131389").unwrap(), TIME_MIN, Value::Waveform(waveform)).unwrap()
    }

    #[test]
    fn a_signed_frame_parses_and_verifies() {
        let reading = heart_rate(72, 0, 1_700_000_000_000);
        let bytes = sign(&key(), DEVICE, Sequence::new(41), reading.clone());
        let frame = parse(&bytes).unwrap();
        assert_eq!(frame.device(), DEVICE);
        assert_eq!(frame.sequence(), Sequence::new(41));
        assert_eq!(frame.reading(), &reading);
        assert_eq!(frame.to_bytes(), bytes);
        assert_eq!(frame.verify(&key().public_key()), Ok(()));
        let other = SigningKey::from_seed(Secret::from_bytes([8; 32])).public_key();
        assert_eq!(frame.verify(&other), Err(Reject::Signature));
    }

    #[test]
    fn the_longest_reading_fits_and_no_longer_frame_is_looked_at() {
        let longest = sign(&key(), DEVICE, Sequence::new(u64::MAX), ecg(vec![-1; WAVEFORM_SAMPLES_MAX]));
        assert!(parse(&longest).is_ok());
        assert!(longest.len() + 256 < FRAME_BYTES_MAX);
        let garbage = vec![0; FRAME_BYTES_MAX + 1];
        assert_eq!(parse(&garbage), Err(Reject::TooLarge { bytes: FRAME_BYTES_MAX + 1 }));
        assert_eq!(parse(&garbage[1..]), Err(Reject::NotCose));
    }

    #[test]
    fn many_signatures_check_in_one_batch() {
        use rand::SeedableRng;
        let mut batch = Batch::new();
        for sequence in 0..20 {
            let bytes = sign(&key(), DEVICE, Sequence::new(sequence), heart_rate(72, 0, 1_700_000_000_000));
            let frame = parse(&bytes).unwrap();
            batch.push_raw(&frame.signed_bytes(), key().public_key(), *frame.signature());
        }
        assert_eq!(batch.verify(&mut rand::rngs::StdRng::seed_from_u64(1)), Ok(()));
    }

    #[test]
    fn a_leaf_yields_the_sample_and_what_was_signed() {
        let bytes = sign(&key(), DEVICE, Sequence::new(3), heart_rate(7, 1, 1_700_000_000_000));
        let frame = parse(&bytes).unwrap();
        let mut leaf = frame.to_leaf(key().public_key()).unwrap();
        let claim = Sample::from_leaf(&leaf).unwrap();
        assert_eq!(claim.value.reading(), frame.reading());
        assert_eq!((claim.value.device(), claim.value.sequence()), (DEVICE, Sequence::new(3)));
        assert_eq!((claim.signed, claim.signature), (frame.signed_bytes(), *frame.signature()));
        leaf.frame = Blob::new([&bytes[..], &[0]].concat()).unwrap();
        assert_eq!(Sample::from_leaf(&leaf).err(), Some(Code::FrameMalformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_quantity_comes_back(
            mantissa in any::<i64>(),
            exponent in -9_i8..=9,
            time in TIME_MIN.get()..TIME_END.get(),
            sequence in any::<u64>(),
        ) {
            let reading = heart_rate(mantissa, exponent, time);
            let bytes = sign(&key(), DEVICE, Sequence::new(sequence), reading.clone());
            let frame = parse(&bytes).unwrap();
            prop_assert_eq!(frame.reading(), &reading);
        }

        #[test]
        fn any_waveform_comes_back(samples in proptest::collection::vec(any::<i16>(), 1..400)) {
            let bytes = sign(&key(), DEVICE, Sequence::new(0), ecg(samples.clone()));
            let frame = parse(&bytes).unwrap();
            prop_assert_eq!(frame.reading(), &ecg(samples));
        }

        #[test]
        fn altered_frames_are_refused(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let good = sign(&key(), DEVICE, Sequence::new(5), heart_rate(72, 0, 1_700_000_000_000));
            let mut bytes = good.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let verdict = parse(&bytes).and_then(|frame| frame.verify(&key().public_key()));
            prop_assert_eq!(verdict.is_ok(), bytes == good);
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
