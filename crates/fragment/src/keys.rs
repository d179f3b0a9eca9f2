//! The room of derivations: what grows out of an epoch key and a segment key, each under its label.
//!
//! Promises that every derived value has a label of its own and depends on every input listed in
//! `spec/segment.md`. Refuses to know who holds the keys.

use crate::locators::LocatorKey;
use crate::namespaces::{CONTENT_KEY, DESCRIPTOR_KEY, LEAF_SALT, LOCATOR_KEY, SEGMENT_KEY};
use salus_crypto::aead::{AeadKey, TAG_LEN};
use salus_crypto::{Secret, kdf};
use salus_wire::limits::DESCRIPTOR_BYTES;
use salus_wire::{Blob, Descriptor, Locator, Manifest, decode, encode};

/// Bytes of a descriptor before sealing: u16 little-endian length, the descriptor, zeros.
const DESCRIPTOR_PLAIN: usize = DESCRIPTOR_BYTES - TAG_LEN;
/// Bytes of the length before the descriptor.
const LENGTH_BYTES: usize = 2;
/// The descriptor key seals one message, so one nonce is enough.
const DESCRIPTOR_NONCE: [u8; 12] = [0; 12];

/// The key of an epoch's locators, which finds its fragments and opens nothing.
pub(crate) fn locators(epoch: &Secret<32>) -> LocatorKey {
    LocatorKey::new(kdf::derive(LOCATOR_KEY, epoch, &[], &[]))
}

/// The key of one sealing attempt of one segment.
pub(crate) fn segment(epoch: &Secret<32>, seal_random: &[u8; 32], locator: &Locator) -> Secret<32> {
    kdf::derive(SEGMENT_KEY, epoch, seal_random, &[locator.as_bytes()])
}

/// The key of the same attempt's descriptor, which seals that and nothing else.
pub(crate) fn descriptor(epoch: &Secret<32>, seal_random: &[u8; 32], locator: &Locator) -> AeadKey {
    AeadKey::new(kdf::derive(DESCRIPTOR_KEY, epoch, seal_random, &[locator.as_bytes()]))
}

/// The key of the same attempt's ciphertext, which seals that and nothing else.
pub(crate) fn content(segment: &Secret<32>) -> AeadKey {
    AeadKey::new(kdf::derive(CONTENT_KEY, segment, &[], &[]))
}

/// The salt of leaf `index`: it leaves this room in receipts, so it is no secret there.
pub(crate) fn leaf_salt(segment: &Secret<32>, index: u32) -> [u8; 32] {
    *kdf::prf(LEAF_SALT, segment, &[&index.to_le_bytes()]).as_bytes()
}

/// What a segment's ciphertext and descriptor are bound to: locator, suite, root of the leaves.
pub(crate) fn binding(manifest: &Manifest) -> Vec<u8> {
    encode(&(manifest.locator, manifest.suite, manifest.leaves))
}

/// Seals a descriptor; `None` if it does not fit, which its fixed width rules out.
pub(crate) fn seal_descriptor(
    key: &AeadKey,
    binding: &[u8],
    descriptor: &Descriptor,
) -> Option<Blob<DESCRIPTOR_BYTES>> {
    let plain = encode(descriptor);
    let mut bytes = u16::try_from(plain.len()).ok()?.to_le_bytes().to_vec();
    bytes.extend(plain);
    if bytes.len() > DESCRIPTOR_PLAIN {
        return None;
    }
    bytes.resize(DESCRIPTOR_PLAIN, 0);
    key.seal_in_place(DESCRIPTOR_NONCE, binding, &mut bytes);
    Blob::new(bytes).ok()
}

/// Opens a descriptor; `None` if its key, binding, padding or encoding is wrong.
pub(crate) fn open_descriptor(key: &AeadKey, binding: &[u8], sealed: &[u8]) -> Option<Descriptor> {
    let mut bytes = sealed.to_vec();
    let plain = key.open_in_place(DESCRIPTOR_NONCE, binding, &mut bytes).ok()?;
    let (length, rest) = plain.split_first_chunk::<LENGTH_BYTES>()?;
    let (descriptor, padding) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    decode(descriptor, DESCRIPTOR_PLAIN).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::chain::ChainAnchor;
    use salus_crypto::digest::Digest;
    use salus_wire::{PartyId, SegmentIndex};

    #[test]
    fn derived_values_differ_by_label_and_by_every_input() {
        let epoch = Secret::from_bytes([1; 32]);
        let (writer, grants) = (PartyId::new([2; 16]), ChainAnchor::from_digest(Digest::ZERO));
        let at = |index| locators(&epoch).of(writer, &grants).at(SegmentIndex::new(index));
        let all = [
            *at(0).as_bytes(),
            *at(1).as_bytes(),
            *locators(&epoch).to_secret().danger_expose(),
            *segment(&epoch, &[0; 32], &at(0)).danger_expose(),
            *segment(&epoch, &[0; 32], &at(1)).danger_expose(),
            *segment(&epoch, &[1; 32], &at(0)).danger_expose(),
            leaf_salt(&epoch, 0),
            leaf_salt(&epoch, 1),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
