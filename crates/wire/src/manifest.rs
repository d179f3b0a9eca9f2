//! Manifests: what everybody may know of a sealed segment, and the sealed descriptor that only
//! whoever holds the epoch key may read.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::genesis::Faults;
use crate::ids::{
    BatchNumber, ChainId, DeviceId, Locator, MemberIndex, PartyId, SegmentIndex, Sequence, StreamId, TimeMs,
};
use crate::limits::{DESCRIPTOR_BYTES, MEMBERS_MAX};
use crate::namespaces;
use crate::scope::{DataClass, ObservationCode};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use std::io::{Error, ErrorKind, Read};

/// Which algorithms sealed a segment, so that two suites can live side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Suite {
    /// AES-256-GCM in chunks, HKDF-SHA-256, Reed-Solomon over GF(2^16), BLAKE3, SHA-256 leaves.
    V1 = 1,
}

/// How many fragments rebuild a segment, and how many more there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Geometry {
    data: u16,
    parity: u16,
}

impl Geometry {
    /// k = n - 2f data fragments and 2f of parity: an anchor needs n - f receipts, of which f may
    /// lie, and what is left must still rebuild the segment (design 4).
    #[must_use]
    pub fn for_faults(faults: Faults) -> Self {
        let parity = faults.tolerated().saturating_mul(2);
        Self { data: faults.members().saturating_sub(parity), parity }
    }

    /// Fragments that rebuild the segment; at least 1.
    #[must_use]
    pub fn data(self) -> usize {
        usize::from(self.data)
    }

    /// Fragments beyond those.
    #[must_use]
    pub fn parity(self) -> usize {
        usize::from(self.parity)
    }

    /// All fragments, one for each member.
    #[must_use]
    pub fn total(self) -> usize {
        usize::from(self.data).saturating_add(usize::from(self.parity))
    }
}

impl BorshDeserialize for Geometry {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let geometry =
            Self { data: u16::deserialize_reader(reader)?, parity: u16::deserialize_reader(reader)? };
        if geometry.data == 0 || geometry.total() > MEMBERS_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "impossible geometry"));
        }
        Ok(geometry)
    }
}

/// The public face of a sealed segment. Its digest is a leaf under an anchor.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    /// The algorithms.
    pub suite: Suite,
    /// Where stores keep it.
    pub locator: Locator,
    /// How it was cut.
    pub geometry: Geometry,
    /// Bytes of ciphertext before cutting, already a size class.
    pub ciphertext_len: u32,
    /// The [`salus_crypto::digest::ciphertext_hash`] of the whole ciphertext: if fragments check but
    /// this does not, the writer is to blame.
    pub ciphertext: Digest,
    /// BLAKE3 of each fragment, in order; as many as the geometry has fragments.
    pub fragments: List<Digest, MEMBERS_MAX>,
    /// Drawn for this sealing attempt; the segment key depends on it.
    pub seal_random: [u8; 32],
    /// Commitment to the segment key (AES-GCM alone commits to no key).
    pub key_commitment: Digest,
    /// Merkle root (RFC 9162) over the salted leaves, one for each reading.
    pub leaves: Digest,
    /// The sealed [`Descriptor`], always of [`DESCRIPTOR_BYTES`].
    pub descriptor: Blob<DESCRIPTOR_BYTES>,
}

impl Manifest {
    /// The leaf of this manifest in its batch.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(namespaces::MANIFEST, &[&encode(self)])
    }
}

/// What a segment is about. Sealed under the segment key's sibling and padded.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Descriptor {
    /// Its place within the epoch.
    pub index: SegmentIndex,
    /// The series of observations.
    pub stream: StreamId,
    /// What class of data it is.
    pub class: DataClass,
    /// What kind of observation it is.
    pub code: ObservationCode,
    /// The device that signed the readings.
    pub device: DeviceId,
    /// First sequence number within.
    pub first_sequence: Sequence,
    /// Last sequence number within.
    pub last_sequence: Sequence,
    /// Device time of the first reading.
    pub first_time: TimeMs,
    /// Device time of the last reading.
    pub last_time: TimeMs,
    /// Readings, hence leaves.
    pub leaves: u32,
    /// Bytes of plaintext before padding.
    pub plaintext_len: u32,
}

/// What a store's service key signs, under [`namespaces::HELD`].
#[must_use]
pub fn held_message(
    chain: ChainId,
    gateway: PartyId,
    batch: BatchNumber,
    root: Digest,
    store: MemberIndex,
) -> Vec<u8> {
    encode(&(chain, gateway, batch, root, store))
}
