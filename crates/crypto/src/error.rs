//! What can go wrong in the cryptographic room, one variant per cause.
//!
//! Promises that no message carries key material, patient data or an identifier. Refuses to know
//! why a seal does not open: a wrong key, wrong context and a flipped bit look the same on purpose.

/// A signature that does not verify: the fault of whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify: its sender altered the message or does not hold the key")]
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
    /// A plaintext was longer than its seal allows; the caller's fault.
    #[error("caller gave {found} bytes to a seal that takes at most {limit}")]
    TooLong {
        /// The most bytes allowed.
        limit: usize,
        /// How many came.
        found: usize,
    },
    /// A public key for sealing is not a valid X-Wing key; its owner's fault.
    #[error("recipient's sealing key is not a valid X-Wing public key")]
    BadKemKey,
    /// A file of sealed rows is full, and the caller must begin a new one.
    #[error("file holds 2^32 sealed rows: the caller must begin a new file")]
    RowsExhausted,
    /// A secret was to be split into fewer shares than open it, or more than 255; the caller's fault.
    #[error("caller asked for {count} shares where {threshold} open the secret and 255 are the most")]
    BadShareCount {
        /// How many shares were asked for.
        count: u16,
        /// How many open the secret.
        threshold: u16,
    },
    /// Fewer shares than the threshold; more must be asked of custodians.
    #[error("caller gave {found} key shares where {threshold} are needed")]
    NotEnoughShares {
        /// How many came.
        found: usize,
        /// How many are needed.
        threshold: u16,
    },
    /// Two shares with one index: a share was counted twice; the caller's fault.
    #[error("caller gave two key shares with one index")]
    DuplicateShare,
}
