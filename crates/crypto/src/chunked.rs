//! The room of long messages: AES-256-GCM in chunks, so that a reader may open a part at a time.
//!
//! It promises that chunks cannot be reordered, dropped, repeated or cut off at the end, and that
//! one plaintext has one sealed form. It refuses a second message under one key: sealing consumes
//! the key, because the chunk counter starts at zero for each message.
//!
//! Layout: chunks of [`CHUNK_LEN`] plaintext bytes, the last one shorter or equal (and empty only
//! when the message is), each followed by its 16-byte tag. The nonce is 11 bytes of big-endian chunk
//! index, then 1 for the last chunk and 0 for all others. The associated data is the caller's ‖ u32
//! big-endian chunk index. Source: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár,
//! "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015), as in age.

use crate::aead::{AeadKey, NONCE_LEN, TAG_LEN};
use crate::error::OpenFailed;

/// Plaintext bytes in every chunk but the last.
pub const CHUNK_LEN: usize = 65_536;

const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;

/// Bytes that `plaintext_len` bytes take once sealed.
pub const fn sealed_len(plaintext_len: usize) -> usize {
    let chunks = if plaintext_len == 0 { 1 } else { plaintext_len.div_ceil(CHUNK_LEN) };
    plaintext_len.saturating_add(chunks.saturating_mul(TAG_LEN))
}

/// Seals a whole message in one allocation.
///
/// Precondition: `key` seals nothing else, ever; it is derived from bytes drawn for this message.
/// The message is shorter than 2^32 chunks (256 TiB).
///
/// A second message under one key does not compile:
/// ```compile_fail,E0382
/// # use salus_crypto::{Secret, aead::AeadKey, chunked::seal_chunks};
/// let key = AeadKey::new(Secret::from_bytes([0; 32]));
/// seal_chunks(key, b"", b"first");
/// seal_chunks(key, b"", b"second");
/// ```
pub fn seal_chunks(key: AeadKey, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; sealed_len(plaintext.len())];
    let mut framing = Framing::new(aad);
    let mut pieces = plaintext.chunks(CHUNK_LEN);
    let mut outs = sealed.chunks_mut(SEALED_CHUNK_LEN).peekable();
    // Driven by the output, of which even the empty message has one chunk.
    while let Some(out) = outs.next() {
        let piece = pieces.next().unwrap_or_default();
        let nonce = framing.next(outs.peek().is_none());
        key.seal_into(nonce, &framing.aad, piece, out);
    }
    sealed
}

/// Opens a whole message in one allocation.
///
/// # Errors
/// [`OpenFailed`] if any chunk was altered, moved or is missing, or the form is not the one that
/// [`seal_chunks`] writes.
pub fn open_chunks(key: &AeadKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenFailed> {
    let mut plaintext = vec![0; plaintext_len(sealed.len())?];
    let mut framing = Framing::new(aad);
    let mut outs = plaintext.chunks_mut(CHUNK_LEN);
    let mut pieces = sealed.chunks(SEALED_CHUNK_LEN).peekable();
    while let Some(piece) = pieces.next() {
        let out = outs.next().unwrap_or_default();
        let nonce = framing.next(pieces.peek().is_none());
        key.open_into(nonce, &framing.aad, piece, out)?;
    }
    Ok(plaintext)
}

/// The plaintext length behind a sealed length, if [`sealed_len`] can yield it: this refuses a last
/// chunk without a whole tag, and an empty last chunk after a full one.
fn plaintext_len(sealed_len_found: usize) -> Result<usize, OpenFailed> {
    let chunks = sealed_len_found.div_ceil(SEALED_CHUNK_LEN);
    let len = sealed_len_found.checked_sub(chunks.saturating_mul(TAG_LEN)).ok_or(OpenFailed)?;
    if sealed_len(len) == sealed_len_found { Ok(len) } else { Err(OpenFailed) }
}

/// The nonce and associated data of one chunk after another.
struct Framing {
    aad: Vec<u8>,
    caller_len: usize,
    index: u32,
}

impl Framing {
    fn new(caller: &[u8]) -> Self {
        let mut aad = Vec::with_capacity(caller.len().saturating_add(4));
        aad.extend_from_slice(caller);
        Self { aad, caller_len: caller.len(), index: 0 }
    }

    fn next(&mut self, last: bool) -> [u8; NONCE_LEN] {
        let index = self.index.to_be_bytes();
        self.aad.truncate(self.caller_len);
        self.aad.extend_from_slice(&index);
        // The counter cannot wrap: 2^32 chunks are 256 TiB in one slice.
        self.index = self.index.wrapping_add(1);
        let [a, b, c, d] = index;
        [0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    fn key() -> AeadKey {
        AeadKey::new(Secret::from_bytes([4; 32]))
    }

    fn message(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    #[test]
    fn lengths_around_a_chunk_round_trip() {
        for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN, 3 * CHUNK_LEN - 1] {
            let sealed = seal_chunks(key(), b"aad", &message(len));
            assert_eq!(sealed.len(), sealed_len(len), "{len}");
            assert_eq!(open_chunks(&key(), b"aad", &sealed), Ok(message(len)), "{len}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_short_message_is_refused() {
        let sealed = seal_chunks(key(), b"aad", b"72 /min");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_chunks(&key(), b"aad", &bad), Err(OpenFailed));
        }
        assert_eq!(open_chunks(&key(), b"aae", &sealed), Err(OpenFailed));
    }

    #[test]
    fn chunks_do_not_move_vanish_or_repeat() {
        let sealed = seal_chunks(key(), b"", &message(2 * CHUNK_LEN + 5));
        let (first, rest) = sealed.split_at(SEALED_CHUNK_LEN);
        let (second, last) = rest.split_at(SEALED_CHUNK_LEN);
        for bad in [
            vec![],
            vec![first],
            vec![first, second],
            vec![second, first, last],
            vec![first, last],
            vec![first, first, last],
            vec![first, second, second, last],
            vec![last],
            vec![first, second, &last[..last.len() - 1]],
        ] {
            assert_eq!(open_chunks(&key(), b"", &bad.concat()), Err(OpenFailed));
        }
    }

    #[test]
    fn an_empty_last_chunk_after_a_full_one_is_refused() {
        let mut sealed = vec![0; SEALED_CHUNK_LEN + TAG_LEN];
        let mut framing = Framing::new(b"");
        let (first, last) = sealed.split_at_mut(SEALED_CHUNK_LEN);
        let nonce = framing.next(false);
        key().seal_into(nonce, &framing.aad, &message(CHUNK_LEN), first);
        let nonce = framing.next(true);
        key().seal_into(nonce, &framing.aad, &[], last);
        assert_eq!(open_chunks(&key(), b"", &sealed), Err(OpenFailed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn round_trip_and_no_prefix_opens(len in 0_usize..200_000, cut in 1_usize..70_000) {
            let sealed = seal_chunks(key(), b"aad", &message(len));
            prop_assert_eq!(open_chunks(&key(), b"aad", &sealed), Ok(message(len)));
            let kept = sealed.len().saturating_sub(cut);
            prop_assert_eq!(open_chunks(&key(), b"aad", &sealed[..kept]), Err(OpenFailed));
        }
    }
}
