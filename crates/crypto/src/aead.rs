//! The room of AES-256-GCM: one message under one key and one nonce.
//!
//! It promises that bytes open only under the key, nonce and associated data they were sealed with.
//! It refuses to choose nonces, and so it is dangerous: [`chunked`](crate::chunked),
//! [`at_rest`](crate::at_rest), [`chain`](crate::chain) and [`kem`](crate::kem) make nonce reuse
//! impossible, and one of them is nearly always what is wanted.
//!
//! Sources: NIST SP 800-38D. The cipher is not key-committing: where it matters which key opened
//! something, a [`key_commitment`](crate::sharing::key_commitment) stands beside the ciphertext.

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::error::OpenFailed;
use crate::secret::Secret;

/// Bytes in a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes by which a sealed message is longer than its plaintext.
pub const TAG_LEN: usize = 16;

/// An AES-256 key, expanded. The library wipes it when dropped.
pub struct AeadKey(LessSafeKey);

impl AeadKey {
    /// Expands a key.
    #[expect(clippy::expect_used, reason = "the library refuses only keys that are not 32 bytes long")]
    pub fn new(key: Secret<32>) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose()).expect("an AES-256 key is 32 bytes");
        Self(LessSafeKey::new(unbound))
    }

    /// Encrypts all of `buf` and appends a tag of [`TAG_LEN`] bytes.
    ///
    /// Precondition: no two messages are ever sealed under one key and one nonce, or both lose
    /// their secrecy and forgeries become possible. At most 2^32 messages under one key, and
    /// at most 64 GiB in one message (more panics; every caller's limit is far below).
    pub fn seal_in_place(&self, nonce: [u8; NONCE_LEN], aad: &[u8], buf: &mut Vec<u8>) {
        let tag = self.seal_detached(nonce, aad, buf);
        buf.extend_from_slice(&tag);
    }

    /// Checks and decrypts `buf`, a sealed message; the plaintext is its returned front part.
    ///
    /// # Errors
    /// [`OpenFailed`] whatever the reason; `buf` then holds nothing useful.
    pub fn open_in_place<'buf>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buf: &'buf mut [u8],
    ) -> Result<&'buf mut [u8], OpenFailed> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), buf).map_err(|_| OpenFailed)
    }

    /// Encrypts `buf` in place; the tag goes elsewhere. Same precondition as
    /// [`seal_in_place`](Self::seal_in_place).
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only messages above 64 GiB")]
    pub(crate) fn seal_detached(&self, nonce: [u8; NONCE_LEN], aad: &[u8], buf: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), buf);
        let tag = tag.expect("a message is below 64 GiB");
        *tag.as_ref().first_chunk().expect("a GCM tag is 16 bytes")
    }

    /// Encrypts `plaintext` into `out`, which is longer by [`TAG_LEN`]: no copy, no allocation. Same
    /// precondition as [`seal_in_place`](Self::seal_in_place).
    #[expect(clippy::expect_used, reason = "refused only for wrong lengths, which `out` excludes")]
    pub(crate) fn seal_into(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let (ciphertext, tag) = out.split_at_mut(plaintext.len());
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], tag)
            .expect("out is one tag longer than the plaintext");
    }

    /// Checks and decrypts `sealed` into `out`, which is shorter by [`TAG_LEN`].
    pub(crate) fn open_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), OpenFailed> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenFailed)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out).map_err(|_| OpenFailed)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AeadKey {
        AeadKey::new(Secret::from_bytes([3; 32]))
    }

    /// Test case 16 of the GCM specification by McGrew and Viega, which NIST SP 800-38D adopts.
    #[test]
    fn gcm_specification_test_case_16() {
        let unhex = |text| hex::decode(text).unwrap();
        let key = AeadKey::new(
            Secret::from_slice(&unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"))
                .unwrap(),
        );
        let nonce = *unhex("cafebabefacedbaddecaf888").first_chunk().unwrap();
        let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plaintext = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let sealed = unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        );
        let mut buf = plaintext.clone();
        key.seal_in_place(nonce, &aad, &mut buf);
        assert_eq!(buf, sealed);
        assert_eq!(key.open_in_place(nonce, &aad, &mut buf).unwrap(), plaintext);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let mut sealed = b"72 /min".to_vec();
        key().seal_in_place([0; 12], b"aad", &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key().open_in_place([0; 12], b"aad", &mut bad), Err(OpenFailed));
        }
        for (nonce, aad) in [([1; 12], &b"aad"[..]), ([0; 12], b"aae"), ([0; 12], b"")] {
            assert_eq!(key().open_in_place(nonce, aad, &mut sealed.clone()), Err(OpenFailed));
        }
        for len in 0..sealed.len() {
            assert!(key().open_in_place([0; 12], b"aad", &mut sealed.clone()[..len]).is_err());
        }
    }

    #[test]
    fn the_ways_to_seal_agree() {
        let mut one = b"72 /min".to_vec();
        key().seal_in_place([0; 12], b"aad", &mut one);
        let mut two = vec![0; one.len()];
        key().seal_into([0; 12], b"aad", b"72 /min", &mut two);
        assert_eq!(one, two);
        let mut opened = vec![0; 7];
        assert_eq!(key().open_into([0; 12], b"aad", &two, &mut opened), Ok(()));
        assert_eq!(opened, b"72 /min");
    }
}
