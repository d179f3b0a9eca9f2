//! Genesis: who the members are, which keys speak for them, how many may fail.

use crate::bounded::{Blob, List};
use crate::codec::encode;
use crate::ids::{ChainId, MemberIndex, TimeMs};
use crate::limits::{MEMBERS_MAX, NAME_BYTES_MAX};
use crate::namespaces;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::sign::PublicKey;

/// One organisation of the consortium, with the keys that speak for it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GenesisMember {
    /// Display name in UTF-8.
    pub name: Blob<NAME_BYTES_MAX>,
    /// Votes on blocks.
    pub consensus: PublicKey,
    /// Registers and revokes identities and devices.
    pub registrar: PublicKey,
    /// Signs what its store holds and what its custodian released.
    pub service: PublicKey,
    /// Key shares are sealed to it (X-Wing).
    pub custodian: KemPublicKey,
    /// See [`authority_fingerprint`].
    pub authority: Digest,
}

/// The agreement from which a ledger grows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Display name in UTF-8.
    pub name: Blob<NAME_BYTES_MAX>,
    /// The time of block 0.
    pub time: TimeMs,
    /// The members; a member's index is its place here.
    pub members: List<GenesisMember, MEMBERS_MAX>,
}

/// How many members there are and how many of them may lie or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    members: u16,
}

impl Genesis {
    /// The identity of the consortium: SHA-256 under [`namespaces::GENESIS`] of this value.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        ChainId(sha256(namespaces::GENESIS, &[&encode(self)]))
    }

    /// The bounds that follow from the number of members; `None` without members.
    #[must_use]
    pub fn faults(&self) -> Option<Faults> {
        Faults::for_members(self.members.len())
    }

    /// The member at `index`.
    #[must_use]
    pub fn member(&self, index: MemberIndex) -> Option<&GenesisMember> {
        self.members.get(usize::from(index.get()))
    }
}

impl Faults {
    /// The bounds for `members` organisations; `None` for 0 or more than [`MEMBERS_MAX`].
    #[must_use]
    pub fn for_members(members: usize) -> Option<Self> {
        let bounded = members > 0 && members <= MEMBERS_MAX;
        u16::try_from(members).ok().filter(|_| bounded).map(|members| Self { members })
    }

    /// n, the members.
    #[must_use]
    pub const fn members(self) -> u16 {
        self.members
    }

    /// f = floor((n - 1) / 3), the members that may lie or fail.
    #[must_use]
    pub const fn tolerated(self) -> u16 {
        self.members.saturating_sub(1) / 3
    }

    /// n - f: votes that make a block final, and store receipts that an anchor needs.
    #[must_use]
    pub const fn quorum(self) -> u16 {
        self.members.saturating_sub(self.tolerated())
    }

    /// t = 2f + 1: key shares that open an epoch.
    #[must_use]
    pub const fn key_threshold(self) -> u16 {
        self.tolerated().saturating_mul(2).saturating_add(1)
    }
}

/// SHA-256 under [`namespaces::AUTHORITY`] of the DER certificate of a member's authority.
#[must_use]
pub fn authority_fingerprint(der: &[u8]) -> Digest {
    sha256(namespaces::AUTHORITY, &[der])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Geometry;

    #[test]
    fn bounds_follow_from_the_number_of_members() {
        // n, f, quorum, key threshold, data fragments (design 4)
        for (n, f, quorum, threshold, data) in [
            (1, 0, 1, 1, 1),
            (4, 1, 3, 3, 2),
            (6, 1, 5, 3, 4),
            (7, 2, 5, 5, 3),
            (10, 3, 7, 7, 4),
            (64, 21, 43, 43, 22),
        ] {
            let faults = Faults::for_members(n).unwrap();
            assert_eq!(faults.tolerated(), f);
            assert_eq!(faults.quorum(), quorum);
            assert_eq!(faults.key_threshold(), threshold);
            assert_eq!(Geometry::for_faults(faults).data(), data);
            assert_eq!(Geometry::for_faults(faults).total(), n);
            assert!(faults.key_threshold() <= faults.quorum());
        }
        assert_eq!(Faults::for_members(0), None);
        assert_eq!(Faults::for_members(65), None);
    }
}
