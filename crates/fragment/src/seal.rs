//! The room where a segment is sealed and cut.
//!
//! Promises that each sealing attempt has a key of its own, drawn from fresh randomness, so that no
//! nonce is ever used twice even after a crash; that lengths are padded to a size class; that the
//! manifest commits to every byte, to the key and to every reading. Refuses to know what the
//! readings say.

use crate::epoch::SealingEpoch;
use crate::error::SealError;
use crate::layout::{fragment_len, size_class};
use crate::{check::Fragment, erasure, keys};
use rand_core::CryptoRng;
use salus_crypto::chunked::seal_chunks;
use salus_crypto::digest::{Digest, ciphertext_hash, fragment_hash};
use salus_crypto::{Secret, merkle, sharing};
use salus_wire::limits::{SEGMENT_BYTES_MAX, SEGMENT_LEAVES_MAX};
use salus_wire::manifest::Suite;
use salus_wire::receipt::Leaf;
use salus_wire::{
    Blob, Descriptor, DeviceId, Geometry, List, Manifest, SegmentIndex, Sequence, StreamId, TimeMs,
};

/// A segment before it is sealed: readings of one stream, in order.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Its place within the epoch: from 0, without gaps, each used once.
    pub index: SegmentIndex,
    /// The series of observations.
    pub stream: StreamId,
    /// The device that signed the readings.
    pub device: DeviceId,
    /// First and last sequence number within.
    pub sequences: (Sequence, Sequence),
    /// Device time of the first and the last reading.
    pub times: (TimeMs, TimeMs),
    /// The readings, encoded; taken so that padding need not copy them.
    pub plaintext: Vec<u8>,
    /// The readings, each of which can be proved alone.
    pub leaves: &'a [Leaf],
}

/// A sealed segment: what everybody may know, and one fragment for each member.
#[derive(Debug)]
pub struct SealedSegment {
    /// What everybody may know.
    pub manifest: Manifest,
    /// In order of index.
    pub fragments: Vec<Fragment>,
}

/// Pads, seals and cuts `draft` under the epoch's key.
///
/// # Errors
/// [`SealError`], always the caller's fault: nothing to seal, too much, or readings from outside
/// the epoch's span.
pub fn seal(
    epoch: &SealingEpoch,
    geometry: Geometry,
    draft: Draft<'_>,
    rng: &mut impl CryptoRng,
) -> Result<SealedSegment, SealError> {
    admit(epoch, &draft)?;
    let mut seal_random = [0; 32];
    rng.fill_bytes(&mut seal_random);
    let locator = epoch.locator(draft.index);
    let key = keys::segment(epoch.key(), &seal_random, &locator);
    let leaves = merkle::root(&leaf_digests(&key, draft.leaves));
    let mut manifest = Manifest {
        suite: Suite::V1,
        locator,
        geometry,
        ciphertext_len: 0,
        ciphertext: Digest::ZERO,
        fragments: List::empty(),
        seal_random,
        key_commitment: sharing::key_commitment(locator.as_bytes(), &key),
        leaves,
        descriptor: Blob::default(),
    };
    let descriptor_key = keys::descriptor(epoch.key(), &seal_random, &locator);
    let binding = keys::binding(&manifest);
    manifest.descriptor = keys::seal_descriptor(&descriptor_key, &binding, &describe(epoch, &draft)?)
        .ok_or(SealError::TooLarge { bytes: draft.plaintext.len() })?;
    let ciphertext = encrypt(&key, &binding, draft.plaintext);
    let fragments = cut(&mut manifest, &ciphertext)?;
    Ok(SealedSegment { manifest, fragments })
}

/// The salted digest of each leaf, in order; the salts come from the segment key.
pub(crate) fn leaf_digests(key: &Secret<32>, leaves: &[Leaf]) -> Vec<Digest> {
    (0_u32..).zip(leaves).map(|(index, leaf)| leaf.digest(&keys::leaf_salt(key, index))).collect()
}

fn admit(epoch: &SealingEpoch, draft: &Draft<'_>) -> Result<(), SealError> {
    let bytes = draft.plaintext.len();
    if bytes == 0 || draft.leaves.is_empty() {
        return Err(SealError::Empty);
    }
    if bytes > SEGMENT_BYTES_MAX {
        return Err(SealError::TooLarge { bytes });
    }
    if draft.leaves.len() > SEGMENT_LEAVES_MAX {
        return Err(SealError::TooManyLeaves { leaves: draft.leaves.len() });
    }
    let span = epoch.terms().span;
    if !span.contains(draft.times.0) || !span.contains(draft.times.1) {
        return Err(SealError::OutsideEpoch);
    }
    Ok(())
}

fn describe(epoch: &SealingEpoch, draft: &Draft<'_>) -> Result<Descriptor, SealError> {
    let bytes = draft.plaintext.len();
    let leaves = draft.leaves.len();
    Ok(Descriptor {
        index: draft.index,
        stream: draft.stream,
        class: epoch.terms().class,
        device: draft.device,
        first_sequence: draft.sequences.0,
        last_sequence: draft.sequences.1,
        first_time: draft.times.0,
        last_time: draft.times.1,
        leaves: u32::try_from(leaves).map_err(|_| SealError::TooManyLeaves { leaves })?,
        plaintext_len: u32::try_from(bytes).map_err(|_| SealError::TooLarge { bytes })?,
    })
}

fn encrypt(key: &Secret<32>, binding: &[u8], mut plaintext: Vec<u8>) -> Vec<u8> {
    plaintext.resize(size_class(plaintext.len()), 0);
    seal_chunks(keys::content(key), binding, &plaintext)
}

fn cut(manifest: &mut Manifest, ciphertext: &[u8]) -> Result<Vec<Fragment>, SealError> {
    let geometry = manifest.geometry;
    manifest.ciphertext_len = u32::try_from(ciphertext.len()).map_err(|_| SealError::Geometry)?;
    manifest.ciphertext = ciphertext_hash(ciphertext);
    let shards = erasure::cut(ciphertext, geometry, fragment_len(geometry, ciphertext.len()))
        .map_err(|_| SealError::Geometry)?;
    let hashes = shards.iter().map(|shard| fragment_hash(shard)).collect();
    manifest.fragments = List::new(hashes).map_err(|_| SealError::Geometry)?;
    Ok(shards.into_iter().map(Fragment::from_bytes).collect())
}
