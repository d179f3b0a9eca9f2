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
