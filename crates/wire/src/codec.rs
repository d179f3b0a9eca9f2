//! Canonical encoding and decoding. A decoder that returns a value has consumed every byte.

use borsh::{BorshDeserialize, BorshSerialize};

/// Why some bytes are not a value. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than this type may ever have.
    #[error("{length} bytes where at most {maximum} are allowed")]
    TooLarge {
        /// Bytes offered.
        length: usize,
        /// Bytes allowed.
        maximum: usize,
    },
    /// Not the canonical encoding of any value of this type, or bytes are left over.
    #[error("not a canonical encoding")]
    Malformed,
}

/// The canonical bytes of `value`.
#[expect(
    clippy::expect_used,
    reason = "writing to memory cannot fail, and no list here can pass u32::MAX elements"
)]
#[must_use]
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory cannot fail")
}

/// Decodes exactly one value of at most `maximum` bytes; no byte may remain.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], maximum: usize) -> Result<T, DecodeError> {
    let length = bytes.len();
    if length > maximum {
        return Err(DecodeError::TooLarge { length, maximum });
    }
    borsh::from_slice(bytes).map_err(|_| DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_and_oversize_are_refused() {
        let bytes = encode(&7_u64);
        assert_eq!(decode::<u64>(&bytes, 8), Ok(7));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<u64>(&longer, 16), Err(DecodeError::Malformed));
        assert!(matches!(decode::<u64>(&bytes, 7), Err(DecodeError::TooLarge { .. })));
    }
}
