//! The room that holds what must not be seen: fixed-size secrets, wiped when dropped.
//!
//! It promises that a [`Secret`] is never printed, cloned, serialised or compared in variable time,
//! and that it lives on the heap so that moving it leaves no copy behind. It refuses to know what
//! the secret opens.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::CryptoError;

/// `N` secret bytes. Only this crate reads them, but for [`Secret::danger_expose`].
///
/// A second copy does not compile:
/// ```compile_fail,E0599
/// let secret = salus_crypto::Secret::from_bytes([0; 32]);
/// let second = secret.clone();
/// ```
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Draws a fresh secret.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self::zeroed();
        rng.fill_bytes(secret.expose_mut());
        secret
    }

    /// Takes bytes that came from a key file or a sealed message. The argument's own copy is wiped;
    /// the caller's original is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.expose_mut().copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    /// Copies bytes of exactly `N` length, for example out of an opened message.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] if there are more or fewer.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != N {
            return Err(CryptoError::BadLength { expected: N, found: bytes.len() });
        }
        let mut secret = Self::zeroed();
        secret.expose_mut().copy_from_slice(bytes);
        Ok(secret)
    }

    /// Shows the bytes outside this crate. For writing a key file or sealing a secret into a
    /// message, and for nothing else: whatever is copied from here is no longer wiped.
    pub fn danger_expose(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn expose(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Room for a secret that the caller fills in place.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from_bytes([7; 32])), "[REDACTED]");
    }

    #[test]
    fn equality_looks_at_every_byte() {
        let secret = Secret::from_bytes([7; 32]);
        assert_eq!(secret, Secret::from_bytes([7; 32]));
        for at in 0..32 {
            let mut bytes = [7; 32];
            bytes[at] ^= 0x80;
            assert_ne!(secret, Secret::from_bytes(bytes));
        }
    }

    #[test]
    fn from_slice_is_exact() {
        assert_eq!(Secret::<4>::from_slice(&[1, 2, 3, 4]).unwrap(), Secret::from_bytes([1, 2, 3, 4]));
        assert_eq!(
            Secret::<4>::from_slice(&[1, 2, 3]),
            Err(CryptoError::BadLength { expected: 4, found: 3 })
        );
    }
}
