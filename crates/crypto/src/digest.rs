//! The room of plain and tagged hashes: SHA-256 on the ledger and in receipts, BLAKE3 for fragments.
//!
//! It promises that a digest made under one [`Namespace`] is never a digest under another. It
//! refuses to know what is hashed, and to frame it: callers hand over parts of fixed layout, or
//! parts that carry their own length, because the parts are only concatenated.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::Digest as _;

use crate::error::CryptoError;
use crate::namespaces;

/// Bytes in a [`Digest`].
pub const DIGEST_LEN: usize = 32;

/// A 32-byte hash value. Public: comparing two takes variable time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Digest([u8; DIGEST_LEN]);

impl Digest {
    /// Thirty-two zero bytes: a placeholder, such as the parent of the first block; no known preimage.
    pub const ZERO: Self = Self([0; DIGEST_LEN]);

    /// Takes 32 bytes that some other step hashed.
    pub const fn from_bytes(bytes: [u8; DIGEST_LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes: exactly 64 lower-case digits.
    ///
    /// # Errors
    /// [`CryptoError::BadHex`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, CryptoError> {
        decode_hex(text).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_short(f, "Digest", &self.0)
    }
}

/// A domain-separation string of at most 255 bytes: one per kind of signed or hashed thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespace(&'static str);

impl Namespace {
    /// Names a domain. Meant for `const` items only, where a string that is empty or longer than
    /// 255 bytes does not compile.
    pub const fn new(name: &'static str) -> Self {
        assert!(!name.is_empty() && name.len() <= 255, "a namespace is 1 to 255 bytes");
        Self(name)
    }

    /// The string itself.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// The length byte that stands before the string in everything hashed, signed or derived.
    pub(crate) fn len_byte(&self) -> u8 {
        // `new` holds the length at 255 or less, so the fallback is never taken.
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

/// SHA-256( u8 length of `ns` ‖ `ns` ‖ parts in order ).
///
/// Precondition: the parts have a fixed layout or carry their own lengths. `["ab", "c"]` and
/// `["a", "bc"]` give one digest.
pub fn sha256(ns: Namespace, parts: &[&[u8]]) -> Digest {
    let mut hasher = sha2::Sha256::new();
    hasher.update([ns.len_byte()]);
    hasher.update(ns.as_str());
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// SHA-256 of a whole ciphertext, tagged: what a manifest commits to.
pub fn ciphertext_hash(ciphertext: &[u8]) -> Digest {
    sha256(namespaces::CIPHERTEXT, &[ciphertext])
}

/// Plain BLAKE3 of one fragment: what a manifest lists for each store. It needs no tag because
/// nothing else in Salus is hashed with BLAKE3.
pub fn fragment_hash(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Plain SHA-256 of concatenated parts, for structures whose own standard fixes the bytes
/// (RFC 9162 trees). Everything of our own goes through [`sha256`].
pub(crate) fn sha256_raw(parts: &[&[u8]]) -> Digest {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// The length of a part as eight big-endian bytes, for parts that do not carry their own.
pub(crate) fn len_prefix(part: &[u8]) -> [u8; 8] {
    // A slice is shorter than 2^63 bytes on every machine, so the fallback is never taken.
    u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()
}

/// Reads exactly `N` bytes from lower-case hexadecimal, the only spelling we write.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], CryptoError> {
    let bad = CryptoError::BadHex { expected: N.saturating_mul(2) };
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(bad);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| bad)?;
    Ok(bytes)
}

/// Writes `Name(first four bytes…)`: enough to follow a value through a log, no more.
pub(crate) fn debug_short(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    let head = bytes.get(..4).unwrap_or(bytes);
    write!(f, "{name}({}…)", hex::encode(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Namespace = Namespace::new("a");
    const AB: Namespace = Namespace::new("ab");

    #[test]
    fn sha256_is_length_tagged() {
        // printf '\x01abc' | sha256sum
        let expected = sha256_raw(&[b"\x01abc"]);
        assert_eq!(sha256(A, &[b"b", b"c"]), expected);
        assert_ne!(sha256(AB, &[b"c"]), expected);
    }

    #[test]
    fn known_answers() {
        let check = |digest: Digest, expected: &str| assert_eq!(digest.to_string(), expected);
        // FIPS 180-4 example and the BLAKE3 test vector for the empty input.
        check(sha256_raw(&[b"a", b"bc"]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(fragment_hash(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn hex_round_trips_and_refuses_other_spellings() {
        let digest = fragment_hash(b"x");
        let text = digest.to_string();
        assert_eq!(Digest::from_hex(&text), Ok(digest));
        for bad in
            [text.to_uppercase(), text[1..].to_owned(), format!("{text}0"), text.replace(&text[..1], "g")]
        {
            assert_eq!(Digest::from_hex(&bad), Err(CryptoError::BadHex { expected: 64 }));
        }
    }

    #[test]
    fn borsh_is_32_bytes_and_strict() {
        let digest = fragment_hash(b"x");
        let bytes = borsh::to_vec(&digest).unwrap();
        assert_eq!(bytes, digest.as_bytes());
        assert!(borsh::from_slice::<Digest>(&bytes[1..]).is_err());
        assert!(borsh::from_slice::<Digest>(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn debug_is_short() {
        assert_eq!(format!("{:?}", Digest::ZERO), "Digest(00000000…)");
    }
}
