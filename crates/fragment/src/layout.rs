//! How long things are: size classes, ciphertexts, fragments.
//!
//! Promises that a plaintext of any permitted length has one padded length, one ciphertext length
//! and one fragment length for a geometry, and that lengths leak no more than a size class. Refuses
//! to know any content.

use salus_crypto::aead::TAG_LEN;
use salus_crypto::chunked::{CHUNK_LEN, sealed_len};
use salus_wire::Geometry;
use salus_wire::limits::{FRAGMENT_BYTES_MAX, SEGMENT_BYTES_MAX};

/// The smallest size class, in bytes.
pub const SIZE_CLASS_MIN: usize = 1024;
/// Fragments are a multiple of this many bytes long: the erasure code works on such blocks.
pub const SHARD_ALIGN: usize = 64;

const _: () = assert!(SEGMENT_BYTES_MAX.is_multiple_of(CHUNK_LEN));
const _: () = assert!(sealed_len(SEGMENT_BYTES_MAX).next_multiple_of(SHARD_ALIGN) <= FRAGMENT_BYTES_MAX);

/// The least class that holds `len` bytes: 1 KiB times 1, 1.25, 1.5 or 1.75 times a power of two.
/// Padding wastes at most a quarter, and on the average a tenth.
#[must_use]
pub const fn size_class(len: usize) -> usize {
    if len <= SIZE_CLASS_MIN {
        return SIZE_CLASS_MIN;
    }
    let octave = 1_usize << len.ilog2();
    len.next_multiple_of(octave / 4)
}

/// The size class whose sealed form has `ciphertext_len` bytes, or `None` when no segment's has.
#[must_use]
pub fn padded_len(ciphertext_len: usize) -> Option<usize> {
    if ciphertext_len > sealed_len(SEGMENT_BYTES_MAX) {
        return None;
    }
    // Every chunk but the last is full, so dividing by a full sealed chunk counts the chunks.
    let chunks = ciphertext_len.div_ceil(sealed_len(CHUNK_LEN));
    let padded = ciphertext_len.checked_sub(chunks.checked_mul(TAG_LEN)?)?;
    (size_class(padded) == padded && sealed_len(padded) == ciphertext_len).then_some(padded)
}

/// Bytes of each fragment of a ciphertext of `ciphertext_len` bytes, a multiple of [`SHARD_ALIGN`].
#[must_use]
pub fn fragment_len(geometry: Geometry, ciphertext_len: usize) -> usize {
    ciphertext_len.div_ceil(geometry.data().max(1)).max(1).next_multiple_of(SHARD_ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::Faults;

    #[test]
    fn classes_are_quarters_of_octaves() {
        let check = |len, class| assert_eq!(size_class(len), class, "{len}");
        check(0, 1024);
        check(1024, 1024);
        check(1025, 1280);
        check(1280, 1280);
        check(1281, 1536);
        check(1793, 2048);
        check(2049, 2560);
        check(SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX);
        check(SEGMENT_BYTES_MAX - 1, SEGMENT_BYTES_MAX);
    }

    #[test]
    fn a_class_is_its_own_class_and_wastes_at_most_a_quarter() {
        for len in (1..=SEGMENT_BYTES_MAX).step_by(997) {
            let class = size_class(len);
            assert_eq!(size_class(class), class);
            assert!(class >= len);
            assert!(len < SIZE_CLASS_MIN || (class - len) * 4 < len, "{len}");
        }
    }

    #[test]
    fn only_sealed_size_classes_are_lengths_of_ciphertexts() {
        for len in (1..=SEGMENT_BYTES_MAX).step_by(4_999) {
            let class = size_class(len);
            let sealed = sealed_len(class);
            assert_eq!(padded_len(sealed), Some(class));
            assert_eq!(padded_len(sealed - 1), None);
            assert_eq!(padded_len(sealed + 1), None);
        }
        assert_eq!(padded_len(0), None);
        assert_eq!(padded_len(usize::MAX), None);
    }

    #[test]
    fn fragments_hold_the_ciphertext_and_no_more_than_a_block_extra() {
        for members in [1, 4, 6, 7, 64] {
            let geometry = Geometry::for_faults(Faults::for_members(members).unwrap());
            for len in [1, 63, 64, 1040, 70_000, sealed_len(SEGMENT_BYTES_MAX)] {
                let fragment = fragment_len(geometry, len);
                assert!(fragment * geometry.data() >= len);
                assert!((fragment - SHARD_ALIGN) * geometry.data() < len);
                assert!(fragment <= FRAGMENT_BYTES_MAX);
            }
        }
    }
}
