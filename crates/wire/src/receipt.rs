//! Receipts: everything a stranger needs, offline, to know that one reading was kept as it is.

use crate::bounded::{Blob, List};
use crate::limits::LEAF_BYTES_MAX;
use crate::manifest::Manifest;
use crate::namespaces;
use crate::rpc::BatchPlace;
use crate::state::StateProof;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::sign::PublicKey;

/// Format version of a receipt file; the first byte of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ReceiptVersion {
    /// `spec/receipt.md`.
    V1 = 1,
}

/// One reading, its place in a segment, the segment's place in a batch, the batch's anchor in a
/// final state, and the certificate.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The format.
    pub version: ReceiptVersion,
    /// The reading.
    pub leaf: Leaf,
    /// The leaf's salt.
    pub salt: [u8; 32],
    /// The leaf's index in the segment.
    pub index: u32,
    /// Leaves of the segment.
    pub count: u32,
    /// Merkle path (RFC 9162) from the leaf to the manifest's leaves root.
    pub path: List<Digest, 32>,
    /// The segment's manifest.
    pub manifest: Manifest,
    /// The manifest's place in its batch.
    pub place: BatchPlace,
    /// Exactly one item: the anchor of the batch, present.
    pub anchor: StateProof,
}

/// A reading as its device signed it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leaf {
    /// The device's key, vouched for by the gateway.
    pub device_key: PublicKey,
    /// The frame, a COSE_Sign1 (RFC 9052) over SenML-CBOR (RFC 8428).
    pub frame: Blob<LEAF_BYTES_MAX>,
}

impl Leaf {
    /// The salted digest that stands in the segment's tree: SHA-256 under [`namespaces::LEAF`] of
    /// the salt and the encoded leaf.
    #[must_use]
    pub fn digest(&self, salt: &[u8; 32]) -> Digest {
        sha256(namespaces::LEAF, &[salt, &crate::codec::encode(self)])
    }
}
