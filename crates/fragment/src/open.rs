//! The room where a segment is put together from any k checked fragments and opened.
//!
//! Promises that what it returns is what the writer committed to, down to the padding, and that a
//! writer whose commitments contradict each other is named. Refuses to know the format of the
//! plaintext and whether the manifest is anchored.

use crate::check::Quorum;
use crate::error::{Contradiction, OpenError};
use crate::layout::{fragment_len, size_class};
use crate::seal::leaf_digests;
use crate::{erasure, keys};
use salus_crypto::aead::AeadKey;
use salus_crypto::chunked::{open_chunks, sealed_len};
use salus_crypto::digest::{Digest, ciphertext_hash};
use salus_crypto::{Secret, merkle, sharing};
use salus_wire::receipt::Leaf;
use salus_wire::{DataClass, Descriptor, List, Manifest, ObservationCode, SegmentIndex, TimeSpan};

/// The keys of one segment, made by [`crate::OpeningEpoch::segment_key`] alone. A gateway's
/// [`crate::SealingEpoch`] yields none.
#[derive(Debug)]
pub struct SegmentKey {
    pub(crate) manifest: Digest,
    pub(crate) index: SegmentIndex,
    pub(crate) class: DataClass,
    pub(crate) code: ObservationCode,
    pub(crate) span: TimeSpan,
    pub(crate) segment: Secret<32>,
    pub(crate) descriptor: AeadKey,
}

/// A segment that opened. Whether its readings are the committed ones, [`OpenedSegment::prove`]
/// tells once they are decoded.
pub struct OpenedSegment {
    descriptor: Descriptor,
    plaintext: Vec<u8>,
    leaves: Digest,
    key: Secret<32>,
}

/// What proves one reading of a segment: goes into its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafProof {
    /// The leaf's salt.
    pub salt: [u8; 32],
    /// The leaf's index in the segment.
    pub index: u32,
    /// Leaves of the segment.
    pub count: u32,
    /// The Merkle path (RFC 9162) to the manifest's leaves root.
    pub path: List<Digest, 32>,
}

/// Rebuilds the ciphertext from `quorum`, checks it, and opens it with `key`.
///
/// # Errors
/// [`OpenError::Mixed`] when the three do not belong together; [`OpenError::Writer`] when the
/// writer's own commitments contradict each other.
pub fn open(manifest: &Manifest, quorum: Quorum, key: SegmentKey) -> Result<OpenedSegment, OpenError> {
    let digest = manifest.digest();
    if quorum.manifest() != digest || key.manifest != digest {
        return Err(OpenError::Mixed);
    }
    if sharing::key_commitment(manifest.locator.as_bytes(), &key.segment) != manifest.key_commitment {
        return Err(OpenError::Writer(Contradiction::Key));
    }
    let binding = keys::binding(manifest);
    let descriptor = keys::open_descriptor(&key.descriptor, &binding, &manifest.descriptor)
        .ok_or(OpenError::Writer(Contradiction::Descriptor))?;
    let placed = descriptor.index == key.index
        && descriptor.class == key.class
        && descriptor.code == key.code
        && key.span.contains(descriptor.first_time)
        && key.span.contains(descriptor.last_time);
    if !placed {
        return Err(OpenError::Writer(Contradiction::Place));
    }
    let ciphertext = rebuild(manifest, quorum).map_err(OpenError::Writer)?;
    let plaintext = open_chunks(&keys::content(&key.segment), &binding, &ciphertext)
        .map_err(|_| OpenError::Writer(Contradiction::Seal))?;
    let plaintext =
        unpad(plaintext, &descriptor, manifest).ok_or(OpenError::Writer(Contradiction::Padding))?;
    Ok(OpenedSegment { descriptor, plaintext, leaves: manifest.leaves, key: key.segment })
}

fn rebuild(manifest: &Manifest, quorum: Quorum) -> Result<Vec<u8>, Contradiction> {
    let geometry = manifest.geometry;
    let len = usize::try_from(manifest.ciphertext_len).map_err(|_| Contradiction::Ciphertext)?;
    let ciphertext = erasure::join(quorum.into_fragments(), geometry, fragment_len(geometry, len), len)
        .map_err(|_| Contradiction::Ciphertext)?;
    if ciphertext_hash(&ciphertext) != manifest.ciphertext {
        return Err(Contradiction::Ciphertext);
    }
    Ok(ciphertext)
}

/// Cuts the padding off, which must be zeros up to the size class and no further.
fn unpad(mut plaintext: Vec<u8>, descriptor: &Descriptor, manifest: &Manifest) -> Option<Vec<u8>> {
    let len = usize::try_from(descriptor.plaintext_len).ok()?;
    let class = size_class(len);
    let sealed = usize::try_from(manifest.ciphertext_len).ok()?;
    let padding = plaintext.get(len..)?;
    let right = plaintext.len() == class && sealed_len(class) == sealed;
    if !right || padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    plaintext.truncate(len);
    Some(plaintext)
}

impl OpenedSegment {
    /// What the segment is about.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The readings, encoded.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// The salt of leaf `index`.
    #[must_use]
    pub fn salt(&self, index: u32) -> [u8; 32] {
        keys::leaf_salt(&self.key, index)
    }

    /// Compares the decoded readings with the committed leaves and yields the proof of each.
    ///
    /// # Errors
    /// [`Contradiction::Leaves`] as the writer's fault when they are not the committed ones.
    pub fn prove(&self, leaves: &[Leaf]) -> Result<Vec<LeafProof>, OpenError> {
        let fault = OpenError::Writer(Contradiction::Leaves);
        let count = u32::try_from(leaves.len()).map_err(|_| fault)?;
        let digests = leaf_digests(&self.key, leaves);
        if count != self.descriptor.leaves || merkle::root(&digests) != self.leaves {
            return Err(fault);
        }
        (0_u32..)
            .zip(merkle::paths(&digests))
            .map(|(index, path)| {
                let path = List::new(path).map_err(|_| fault)?;
                Ok(LeafProof { salt: self.salt(index), index, count, path })
            })
            .collect()
    }
}

impl std::fmt::Debug for OpenedSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenedSegment([REDACTED])")
    }
}
