//! What can go wrong in the cryptographic room, one variant per cause.
//!
//! Promises that no message carries key material, patient data or an identifier. Refuses to know
//! why a seal does not open: a wrong key, wrong context and a flipped bit look the same on purpose.

/// A signature that does not verify: the fault of whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "signature does not verify: the signer's key, the message or the signature was altered by its sender"
)]
pub struct BadSignature;

/// A sealed message that does not open: wrong key, wrong context, or altered bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open under this key and context: they were altered or are not ours")]
pub struct OpenFailed;

/// Every failure of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A signature did not verify; the sender's fault.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// A sealed message did not open; the sender's or the disk's fault.
    #[error(transparent)]
    OpenFailed(#[from] OpenFailed),
    /// Text given as hexadecimal was not: exact length, lower case only; the caller's fault.
    #[error("expected {expected} lower-case hexadecimal digits from the caller")]
    BadHex {
        /// How many digits were expected.
        expected: usize,
    },
    /// Bytes given as a fixed-size value had another length; the sender's fault.
    #[error("sender gave {found} bytes where exactly {expected} were expected")]
    BadLength {
        /// How many bytes were expected.
        expected: usize,
        /// How many came.
        found: usize,
    },
}
