//! The room of derivation: HKDF-SHA-256 (RFC 5869) to make keys, HMAC-SHA-256 to make labels.
//!
//! It promises that what is derived under one [`Namespace`] says nothing about what is derived
//! under another. It refuses to stretch passwords: input keys are 32 uniform bytes.

use aws_lc_rs::{hkdf, hmac};

use crate::digest::{Digest, Namespace};
use crate::secret::Secret;

/// HKDF-SHA-256 of `ikm` and `salt`, with u8 length of `ns` ‖ `ns` ‖ the parts of `info` in order
/// as its info.
///
/// Precondition: the parts of `info` have a fixed layout or carry their own lengths, as in
/// [`sha256`](crate::digest::sha256). `salt` may be empty when `ikm` is uniform, as our keys are.
pub fn derive(ns: Namespace, ikm: &Secret<32>, salt: &[u8], info: &[&[u8]]) -> Secret<32> {
    let mut okm = Secret::zeroed();
    let len = [ns.len_byte()];
    hkdf_sha256(ikm.expose(), salt, &framed(ns, &len, info), okm.expose_mut());
    okm
}

/// HMAC-SHA-256 under `key` of u8 length of `ns` ‖ `ns` ‖ parts in order: a label or salt that looks
/// random to everybody without the key. The parts are framed as for [`derive()`].
pub fn prf(ns: Namespace, key: &Secret<32>, parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in framed(ns, &[ns.len_byte()], parts) {
        context.update(part);
    }
    let mut label = [0; 32];
    for (to, from) in label.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    Digest::from_bytes(label)
}

fn framed<'a>(ns: Namespace, len: &'a [u8; 1], parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut framed: Vec<&[u8]> = vec![len, ns.as_str().as_bytes()];
    framed.extend_from_slice(parts);
    framed
}

/// How many bytes `hkdf_sha256` is to fill.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[expect(clippy::expect_used, reason = "HKDF refuses only outputs above 255 hashes; ours are one or two")]
fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("HKDF output is at most 255 hashes long");
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Namespace = Namespace::new("a");
    const B: Namespace = Namespace::new("b");

    #[test]
    fn rfc_5869_appendix_a() {
        let check = |ikm: &str, salt: &str, info: &str, okm: &str| {
            let [ikm, salt, info, okm] = [ikm, salt, info, okm].map(|text| hex::decode(text).unwrap());
            let mut out = vec![0; okm.len()];
            hkdf_sha256(&ikm, &salt, &[&info], &mut out);
            assert_eq!(out, okm);
        };
        check(
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        );
        check(
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        );
    }

    #[test]
    fn every_input_matters() {
        let (key, other) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
        let base = derive(A, &key, b"salt", &[b"in", b"fo"]);
        assert_eq!(base, derive(A, &key, b"salt", &[b"info"]));
        for differs in [
            derive(B, &key, b"salt", &[b"info"]),
            derive(A, &other, b"salt", &[b"info"]),
            derive(A, &key, b"salt2", &[b"info"]),
            derive(A, &key, b"salt", &[b"info2"]),
        ] {
            assert_ne!(base, differs);
        }
    }

    #[test]
    fn prf_is_hmac_of_the_framed_parts() {
        let key = Secret::from_bytes([1; 32]);
        let hmac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]), b"\x01aparts");
        assert_eq!(prf(A, &key, &[b"par", b"ts"]).as_bytes(), hmac.as_ref());
        assert_ne!(prf(B, &key, &[b"parts"]), prf(A, &key, &[b"parts"]));
    }
}
