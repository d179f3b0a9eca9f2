//! The room of signatures: Ed25519 under the ZIP-215 rules, one by one or in batches.
//!
//! It promises that a single check and a batch check always agree, on every machine, also for
//! strange points and scalars: a ledger whose members disagree on one signature has forked. It
//! promises that everything signed is framed by a [`Namespace`], but for the `_raw` calls, whose
//! framing is another standard's. It refuses to know who owns a key.
//!
//! Sources: RFC 8032 (signing), ZIP 215 (verification).

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::batch::{Item, Verifier};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::digest::{Namespace, debug_short, decode_hex};
use crate::error::{BadSignature, CryptoError};
use crate::secret::Secret;

/// An Ed25519 private key: wiped when dropped, never printed, never cloned.
pub struct SigningKey(Box<ed25519_zebra::SigningKey>);

impl SigningKey {
    /// Expands a 32-byte seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: Secret<32>) -> Self {
        Self(Box::new(ed25519_zebra::SigningKey::from_bytes(seed.expose())))
    }

    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The seed, to be sealed to disk and for nothing else.
    pub fn seed_for_storage(&self) -> Secret<32> {
        Secret::from_bytes(*self.0.as_bytes())
    }

    /// The key that others check with.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(VerificationKeyBytes::from(self.0.as_ref()).into())
    }

    /// Signs u8 length of `ns` ‖ `ns` ‖ `message`.
    pub fn sign(&self, ns: Namespace, message: &[u8]) -> Signature {
        self.sign_raw(&framed(ns, message))
    }

    /// Signs exactly `message`. Only for structures that another standard already frames: the COSE
    /// Sig_structure of a device frame, and the engine's own union of namespace and message.
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([REDACTED])")
    }
}

/// An Ed25519 public key: 32 bytes that may not even be a point until something verifies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes 32 bytes as a key; a check under bytes that are no point fails as [`BadSignature`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes: exactly 64 lower-case digits.
    ///
    /// # Errors
    /// [`CryptoError::BadHex`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, CryptoError> {
        decode_hex(text).map(Self)
    }

    /// Checks what [`SigningKey::sign`] made.
    ///
    /// # Errors
    /// [`BadSignature`] whatever the reason; the sender's fault.
    pub fn verify(&self, ns: Namespace, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.verify_raw(&framed(ns, message), signature)
    }

    /// Checks what [`SigningKey::sign_raw`] made: bytes framed by another standard.
    ///
    /// # Errors
    /// [`BadSignature`] whatever the reason; the sender's fault.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        VerificationKey::try_from(self.0)
            .and_then(|key| key.verify(&signature.0.into(), message))
            .map_err(|_| BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_short(f, "PublicKey", &self.0)
    }
}

/// An Ed25519 signature, not yet checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes 64 bytes as a signature; whether it is one, only a check tells.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_short(f, "Signature", &self.0)
    }
}

/// Many signatures to be checked at once, at about half the price each. It copies no message: an
/// entry is 160 bytes whatever was signed, and the caller's own limit on what it reads bounds them.
#[derive(Default)]
pub struct Batch(Vec<Item>);

impl Batch {
    /// An empty batch, which verifies.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many signatures wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what [`SigningKey::sign`] made.
    pub fn push(&mut self, ns: Namespace, message: &[u8], key: PublicKey, signature: Signature) {
        self.push_raw(&framed(ns, message), key, signature);
    }

    /// Adds what [`SigningKey::sign_raw`] made: bytes framed by another standard.
    pub fn push_raw(&mut self, message: &[u8], key: PublicKey, signature: Signature) {
        self.0.push(Item::from((VerificationKeyBytes::from(key.0), signature.0.into(), message)));
    }

    /// Checks all at once. `rng` must be unpredictable to whoever made the signatures: with known
    /// coefficients, bad signatures can be made to cancel.
    ///
    /// # Errors
    /// [`BadSignature`] if at least one is bad; [`Batch::find_bad`] says which.
    pub fn verify(&self, rng: &mut impl CryptoRng) -> Result<(), BadSignature> {
        let mut verifier = Verifier::new();
        for item in &self.0 {
            verifier.queue(item.clone());
        }
        verifier.verify(rng).map_err(|_| BadSignature)
    }

    /// Checks one by one and lists the bad ones by order of pushing, for when the whole failed.
    pub fn find_bad(&self) -> Vec<usize> {
        let bad = |item: &Item| item.clone().verify_single().is_err();
        self.0.iter().enumerate().filter(|(_, item)| bad(item)).map(|(index, _)| index).collect()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} signatures)", self.0.len())
    }
}

fn framed(ns: Namespace, message: &[u8]) -> Vec<u8> {
    [&[ns.len_byte()], ns.as_str().as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NS: Namespace = Namespace::new("salus/test/v1");
    const OTHER: Namespace = Namespace::new("salus/test/v2");

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(Secret::from_bytes([n; 32]))
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    #[test]
    fn rfc_8032_section_7_1() {
        let check = |seed: &str, public: &str, message: &str, signature: &str| {
            let key = SigningKey::from_seed(Secret::from_slice(&hex::decode(seed).unwrap()).unwrap());
            let message = hex::decode(message).unwrap();
            assert_eq!(key.public_key().to_string(), public);
            let made = key.sign_raw(&message);
            assert_eq!(hex::encode(made.as_bytes()), signature);
            assert_eq!(key.public_key().verify_raw(&message, &made), Ok(()));
        };
        check(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        check(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = key(1);
        let public = key.public_key();
        let signature = key.sign(NS, b"72");
        assert_eq!(public.verify(NS, b"72", &signature), Ok(()));
        for bit in 0..512 {
            let mut bytes = *signature.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(public.verify(NS, b"72", &Signature::from_bytes(bytes)), Err(BadSignature));
        }
        assert_eq!(public.verify(NS, b"73", &signature), Err(BadSignature));
        assert_eq!(public.verify(OTHER, b"72", &signature), Err(BadSignature));
        assert_eq!(public.verify_raw(b"72", &signature), Err(BadSignature));
    }

    #[test]
    fn batch_finds_the_bad_ones() {
        let mut batch = Batch::new();
        assert_eq!(batch.verify(&mut rng()), Ok(()));
        for n in 0..20 {
            batch.push(NS, &[n], key(n % 5).public_key(), key(n % 5).sign(NS, &[n]));
        }
        assert_eq!(batch.verify(&mut rng()), Ok(()));
        assert_eq!(batch.find_bad(), Vec::<usize>::new());
        batch.push(NS, b"x", key(1).public_key(), key(2).sign(NS, b"x"));
        batch.push_raw(b"x", key(1).public_key(), key(1).sign_raw(b"x"));
        batch.push(NS, b"x", PublicKey::from_bytes([0xee; 32]), key(2).sign(NS, b"x"));
        assert_eq!(batch.verify(&mut rng()), Err(BadSignature));
        assert_eq!(batch.find_bad(), [20, 22]);
    }

    /// Encodings of points of small order, canonical or not: where the rules of libraries part.
    /// Under ZIP 215 a signature (R, s = 0) by such a key verifies for every message.
    #[test]
    fn single_and_batch_agree_on_points_of_small_order() {
        let points = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for a in points {
            for r in points {
                let key = PublicKey::from_hex(a).unwrap();
                let mut bytes = [0; 64];
                bytes[..32].copy_from_slice(&hex::decode(r).unwrap());
                let signature = Signature::from_bytes(bytes);
                let mut batch = Batch::new();
                batch.push(NS, b"any", key, signature);
                assert_eq!(key.verify(NS, b"any", &signature), Ok(()), "key {a}, r {r}");
                assert_eq!(batch.verify(&mut rng()), Ok(()));
                assert_eq!(batch.find_bad(), Vec::<usize>::new());
            }
        }
    }

    #[test]
    fn a_scalar_at_or_above_the_order_is_refused() {
        // The order of the group, little-endian: RFC 8032 section 5.1.7 refuses it, or signatures
        // would be malleable.
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        // With the identity point as key and as R, only the scalar can be at fault.
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let key = PublicKey::from_bytes(*bytes.first_chunk().unwrap());
        bytes[32..].copy_from_slice(&hex::decode(order).unwrap());
        let signature = Signature::from_bytes(bytes);
        let mut batch = Batch::new();
        batch.push(NS, b"any", key, signature);
        assert_eq!(key.verify(NS, b"any", &signature), Err(BadSignature));
        assert_eq!(batch.verify(&mut rng()), Err(BadSignature));
    }

    #[test]
    fn seeds_survive_storage_and_debug_shows_nothing() {
        let key = key(9);
        let again = SigningKey::from_seed(key.seed_for_storage());
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(format!("{key:?}"), "SigningKey([REDACTED])");
    }
}
