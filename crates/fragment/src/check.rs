//! The room where a fragment becomes evidence: bytes from a store are compared with a manifest.
//!
//! Promises that a [`CheckedFragment`] is byte for byte what the writer's manifest commits to, and
//! that nothing but [`check`] makes one (INV-6). Refuses to know whether the manifest is anchored:
//! the reader proves that separately.

use crate::error::{BadFragment, NotEnough};
use crate::layout::{fragment_len, padded_len};
use salus_crypto::digest::{Digest, fragment_hash};
use salus_planted::{Bug, is};
use salus_wire::{FragmentIndex, Manifest};
use std::collections::BTreeMap;

/// Bytes that claim to be a fragment. Nothing opens them before [`check`].
#[derive(PartialEq, Eq)]
pub struct Fragment(Vec<u8>);

/// A fragment that is what its manifest says. Made by [`check`] alone.
pub struct CheckedFragment {
    manifest: Digest,
    index: FragmentIndex,
    bytes: Vec<u8>,
}

/// As many distinct fragments of one manifest as rebuild the segment.
pub struct Quorum {
    manifest: Digest,
    fragments: BTreeMap<usize, Vec<u8>>,
}

impl Fragment {
    /// Takes bytes as a store served them.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes to whoever writes or sends them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl std::fmt::Debug for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fragment({} bytes)", self.0.len())
    }
}

impl CheckedFragment {
    /// Which fragment, hence which store.
    #[must_use]
    pub const fn index(&self) -> FragmentIndex {
        self.index
    }

    /// The digest of the manifest against which it was checked.
    #[must_use]
    pub const fn manifest(&self) -> Digest {
        self.manifest
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the bytes to a store that keeps them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::fmt::Debug for CheckedFragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckedFragment({} of {:?})", self.index, self.manifest)
    }
}

/// Compares a fragment's length and BLAKE3 hash with its manifest.
///
/// # Errors
/// [`BadFragment`], which names the store, or the writer when the manifest itself is impossible.
pub fn check(
    manifest: &Manifest,
    index: FragmentIndex,
    fragment: Fragment,
) -> Result<CheckedFragment, BadFragment> {
    let length = expected_len(manifest)?;
    let expected = manifest.fragments.get(usize::from(index.get())).ok_or(BadFragment::Index(index))?;
    if fragment.0.len() != length {
        return Err(BadFragment::Length(index));
    }
    if fragment_hash(&fragment.0) != *expected && !is(Bug::FragmentHashSkipped) {
        return Err(BadFragment::Hash(index));
    }
    Ok(CheckedFragment { manifest: manifest.digest(), index, bytes: fragment.0 })
}

/// The length of every fragment of `manifest`, or the writer's fault if its own numbers do not
/// belong to any segment.
fn expected_len(manifest: &Manifest) -> Result<usize, BadFragment> {
    let ciphertext = usize::try_from(manifest.ciphertext_len).map_err(|_| BadFragment::Manifest)?;
    let possible = manifest.fragments.len() == manifest.geometry.total() && padded_len(ciphertext).is_some();
    if !possible {
        return Err(BadFragment::Manifest);
    }
    Ok(fragment_len(manifest.geometry, ciphertext))
}

impl Quorum {
    /// Gathers the distinct fragments of `manifest` among `fragments`; others are dropped.
    ///
    /// # Errors
    /// [`NotEnough`] when fewer than the geometry's data fragments remain.
    pub fn gather(manifest: &Manifest, fragments: Vec<CheckedFragment>) -> Result<Self, NotEnough> {
        let digest = manifest.digest();
        let need = manifest.geometry.data();
        let mut distinct: BTreeMap<usize, Vec<u8>> = fragments
            .into_iter()
            .filter(|fragment| fragment.manifest == digest)
            .map(|fragment| (usize::from(fragment.index.get()), fragment.bytes))
            .collect();
        let have = distinct.len();
        if have < need {
            return Err(NotEnough { have, need });
        }
        // The lowest indices are kept: data fragments first, so that a healthy read never computes.
        if let Some(surplus) = distinct.keys().nth(need).copied() {
            drop(distinct.split_off(&surplus));
        }
        Ok(Self { manifest: digest, fragments: distinct })
    }

    /// The digest of the manifest to which the fragments belong.
    #[must_use]
    pub const fn manifest(&self) -> Digest {
        self.manifest
    }

    pub(crate) fn into_fragments(self) -> BTreeMap<usize, Vec<u8>> {
        self.fragments
    }
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Quorum({} of {:?})", self.fragments.len(), self.manifest)
    }
}
