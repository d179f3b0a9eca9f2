//! The room of sealing to somebody: HPKE (RFC 9180) base mode over X-Wing.
//!
//! It promises that only the holder of the secret key opens what is sealed, now and, because X-Wing
//! joins X25519 with ML-KEM-768, after quantum computers. It refuses to say who sealed: base mode
//! authenticates nobody, so whoever needs a sender signs what is here.
//!
//! Suite 1: KEM X-Wing (0x647a, draft-connolly-cfrg-xwing-kem and draft-ietf-hpke-pq), KDF
//! HKDF-SHA256 (0x0001), AEAD AES-256-GCM (0x0002).

use core::fmt;
use std::io::{Error, ErrorKind, Read, Result as IoResult};

use borsh::{BorshDeserialize, BorshSerialize};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;

use crate::digest::debug_short;
use crate::error::{CryptoError, OpenFailed};
use crate::secret::Secret;

/// The suite byte of a [`Sealed`].
pub const KEM_SUITE: u8 = 1;
/// Bytes in a [`KemPublicKey`].
pub const KEM_PUBLIC_KEY_LEN: usize = 1216;
/// Bytes in an encapsulated key.
pub const ENCAPSULATED_LEN: usize = 1120;
/// Most bytes of plaintext in one [`Sealed`].
pub const KEM_PLAINTEXT_MAX: usize = 1024 * 1024;
/// Most bytes of ciphertext in one [`Sealed`]: the plaintext and its tag.
pub const KEM_CIPHERTEXT_MAX: usize = KEM_PLAINTEXT_MAX + crate::aead::TAG_LEN;

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type Encapsulated = <XWing as Kem>::EncappedKey;

/// An X-Wing secret key: wiped when dropped, never printed, never cloned.
pub struct KemSecretKey(Box<PrivateKey>);

impl KemSecretKey {
    /// Expands a 32-byte seed, which is the X-Wing secret key itself.
    #[expect(clippy::expect_used, reason = "X-Wing refuses only seeds that are not 32 bytes long")]
    pub fn from_seed(seed: Secret<32>) -> Self {
        Self(Box::new(PrivateKey::from_bytes(seed.expose()).expect("an X-Wing seed is 32 bytes")))
    }

    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The seed, to be sealed to disk and for nothing else.
    pub fn seed_for_storage(&self) -> Secret<32> {
        let mut seed = Secret::zeroed();
        self.0.write_exact(seed.expose_mut());
        seed
    }

    /// The key that others seal to.
    pub fn public_key(&self) -> KemPublicKey {
        let mut bytes = Box::new([0; KEM_PUBLIC_KEY_LEN]);
        XWing::sk_to_pk(&self.0).write_exact(bytes.as_mut_slice());
        KemPublicKey(bytes)
    }

    /// Opens what was sealed to this key with the same `info` and `aad`.
    ///
    /// # Errors
    /// [`OpenFailed`] if it was altered, is for another key or context, or names another suite.
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &Sealed) -> Result<Vec<u8>, OpenFailed> {
        if sealed.suite != KEM_SUITE {
            return Err(OpenFailed);
        }
        let encapsulated =
            Encapsulated::from_bytes(sealed.encapsulated.as_slice()).map_err(|_| OpenFailed)?;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            info,
            &sealed.ciphertext,
            aad,
        )
        .map_err(|_| OpenFailed)
    }
}

impl fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecretKey([REDACTED])")
    }
}

/// An X-Wing public key: 1,216 bytes that are checked to be one only when something is sealed to
/// them, so that decoding a request costs nothing before its signature is known to be good.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct KemPublicKey(Box<[u8; KEM_PUBLIC_KEY_LEN]>);

impl KemPublicKey {
    /// Copies bytes of exactly [`KEM_PUBLIC_KEY_LEN`].
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        let found = bytes.len();
        let wrong = CryptoError::BadLength { expected: KEM_PUBLIC_KEY_LEN, found };
        bytes.try_into().map(|bytes| Self(Box::new(bytes))).map_err(|_| wrong)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; KEM_PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Seals `plaintext` to the holder of the secret key. `info` and `aad` are not sent; whoever
    /// opens must know them: what it is for, between whom.
    ///
    /// # Errors
    /// [`CryptoError::BadKemKey`] if these bytes are no key; [`CryptoError::TooLong`] above
    /// [`KEM_PLAINTEXT_MAX`].
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, CryptoError> {
        let found = plaintext.len();
        if found > KEM_PLAINTEXT_MAX {
            return Err(CryptoError::TooLong { limit: KEM_PLAINTEXT_MAX, found });
        }
        let key = PublicKey::from_bytes(self.0.as_slice()).map_err(|_| CryptoError::BadKemKey)?;
        let (key, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            info,
            plaintext,
            aad,
            rng,
        )
        .map_err(|_| CryptoError::BadKemKey)?;
        let mut encapsulated = Box::new([0; ENCAPSULATED_LEN]);
        key.write_exact(encapsulated.as_mut_slice());
        Ok(Sealed { suite: KEM_SUITE, encapsulated, ciphertext })
    }
}

impl fmt::Debug for KemPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_short(f, "KemPublicKey", self.0.as_slice())
    }
}

/// A message sealed to somebody: suite, encapsulated key, ciphertext.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Sealed {
    suite: u8,
    encapsulated: Box<[u8; ENCAPSULATED_LEN]>,
    #[borsh(deserialize_with = "bounded_ciphertext")]
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// The suite byte; [`KEM_SUITE`] is the only one that opens today.
    pub fn suite(&self) -> u8 {
        self.suite
    }

    /// Bytes of ciphertext, its tag included.
    pub fn ciphertext_len(&self) -> usize {
        self.ciphertext.len()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(suite {}, {} bytes)", self.suite, self.ciphertext.len())
    }
}

/// Reads a ciphertext and refuses a longer one before allocating for it.
fn bounded_ciphertext<R: Read>(reader: &mut R) -> IoResult<Vec<u8>> {
    let len = u32::deserialize_reader(reader)?;
    let too_long = || Error::new(ErrorKind::InvalidData, "sender's ciphertext is longer than allowed");
    let len = usize::try_from(len).ok().filter(|len| *len <= KEM_CIPHERTEXT_MAX).ok_or_else(too_long)?;
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::digest::sha256_raw;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(5)
    }

    fn key(n: u8) -> KemSecretKey {
        KemSecretKey::from_seed(Secret::from_bytes([n; 32]))
    }

    /// The first vector of draft-connolly-cfrg-xwing-kem: its seed and the hash of its public key.
    #[test]
    fn x_wing_draft_key_generation() {
        let seed = hex::decode("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26").unwrap();
        let key = KemSecretKey::from_seed(Secret::from_slice(&seed).unwrap());
        let public = key.public_key();
        assert_eq!(
            sha256_raw(&[public.as_bytes()]).to_string(),
            "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"
        );
        assert_eq!(key.seed_for_storage().expose().as_slice(), seed);
    }

    #[test]
    fn opens_only_for_its_recipient_and_context() {
        let sealed = key(1).public_key().seal(b"info", b"aad", b"share", &mut rng()).unwrap();
        assert_eq!(key(1).open(b"info", b"aad", &sealed), Ok(b"share".to_vec()));
        assert_eq!(key(2).open(b"info", b"aad", &sealed), Err(OpenFailed));
        assert_eq!(key(1).open(b"other", b"aad", &sealed), Err(OpenFailed));
        assert_eq!(key(1).open(b"info", b"other", &sealed), Err(OpenFailed));
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_share_is_refused() {
        let sealed = key(1).public_key().seal(b"", b"", &[7; 32], &mut rng()).unwrap();
        let bytes = borsh::to_vec(&sealed).unwrap();
        // Every bit of the suite and ciphertext; one bit of each byte of the encapsulated key, for
        // each costs a decapsulation. The four bytes of length do not decode when flipped.
        let body = 1 + ENCAPSULATED_LEN;
        let bits = (0..8).chain((8..body * 8).step_by(9)).chain(body * 8..bytes.len() * 8);
        for bit in bits {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = borsh::from_slice::<Sealed>(&bad).ok().map(|bad| key(1).open(b"", b"", &bad));
            assert!(matches!(opened, None | Some(Err(OpenFailed))), "bit {bit}");
        }
    }

    #[test]
    fn decoding_is_strict_and_bounded() {
        let sealed = key(1).public_key().seal(b"", b"", b"x", &mut rng()).unwrap();
        let bytes = borsh::to_vec(&sealed).unwrap();
        assert_eq!(borsh::from_slice::<Sealed>(&bytes).unwrap(), sealed);
        assert!(borsh::from_slice::<Sealed>(&[&bytes[..], &[0]].concat()).is_err());
        let mut huge = bytes.clone();
        huge[1 + ENCAPSULATED_LEN..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(borsh::from_slice::<Sealed>(&huge).is_err());
        let public = borsh::to_vec(&key(1).public_key()).unwrap();
        assert_eq!(public.len(), KEM_PUBLIC_KEY_LEN);
        assert!(borsh::from_slice::<KemPublicKey>(&public[1..]).is_err());
    }

    #[test]
    fn refuses_bytes_that_are_no_key_and_plaintexts_too_long() {
        let no_key = KemPublicKey::from_slice(&[0xff; KEM_PUBLIC_KEY_LEN]).unwrap();
        assert_eq!(no_key.seal(b"", b"", b"x", &mut rng()), Err(CryptoError::BadKemKey));
        let long = vec![0; KEM_PLAINTEXT_MAX + 1];
        let refused = key(1).public_key().seal(b"", b"", &long, &mut rng());
        assert_eq!(refused, Err(CryptoError::TooLong { limit: KEM_PLAINTEXT_MAX, found: long.len() }));
        assert!(KemPublicKey::from_slice(&[0; 7]).is_err());
    }
}
