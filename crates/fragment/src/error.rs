//! What can go wrong with a segment, and whose fault it is.
//!
//! Promises that every variant names one cause and one party, and carries neither patient data nor
//! an identifier of one: only positions among members and counts. Refuses to know what to do next;
//! [`Code`] says that.

use salus_wire::{Code, FragmentIndex, MemberIndex};

/// A segment that cannot be sealed. Always the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Nothing to seal.
    #[error("the caller gave a segment without readings")]
    Empty,
    /// More plaintext than a segment may hold.
    #[error("the caller gave {bytes} bytes of plaintext, more than a segment may hold")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// More readings than a segment may hold.
    #[error("the caller gave {leaves} readings, more than a segment may hold")]
    TooManyLeaves {
        /// Readings given.
        leaves: usize,
    },
    /// Readings of another time than the epoch's.
    #[error("the caller gave readings from outside the span of the epoch")]
    OutsideEpoch,
    /// The geometry cannot be computed with.
    #[error("the caller gave a geometry that no erasure code of ours can cut")]
    Geometry,
}

/// A fragment that is not the one its manifest promises. The store that served it is to blame, but
/// for [`BadFragment::Manifest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFragment {
    /// No fragment has this index.
    #[error("store {0} served a fragment whose index the manifest does not have")]
    Index(FragmentIndex),
    /// The length differs.
    #[error("store {0} served a fragment of the wrong length")]
    Length(FragmentIndex),
    /// The hash differs.
    #[error("store {0} served a fragment whose hash is not the one in the manifest")]
    Hash(FragmentIndex),
    /// The manifest itself is impossible; the writer's fault.
    #[error("the writer's manifest has impossible lengths or counts")]
    Manifest,
}

/// Too few checked fragments to rebuild a segment. The caller goes on asking stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{have} good fragments where {need} are needed")]
pub struct NotEnough {
    /// Distinct checked fragments of this manifest.
    pub have: usize,
    /// Fragments that rebuild the segment.
    pub need: usize,
}

/// In what way a writer's own commitments contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The fragments match the manifest but do not make the committed ciphertext.
    #[error("its fragments do not make its ciphertext")]
    Ciphertext,
    /// The epoch key does not yield the committed segment key.
    #[error("its segment key is not the one it committed to")]
    Key,
    /// The ciphertext does not open.
    #[error("its ciphertext does not open")]
    Seal,
    /// The descriptor does not open or is not a descriptor.
    #[error("its descriptor does not open")]
    Descriptor,
    /// The descriptor names another place, class or time than the epoch and locator.
    #[error("its descriptor does not fit its epoch")]
    Place,
    /// The padding is not zero or not of the size class.
    #[error("its padding is wrong")]
    Padding,
    /// The readings do not make the committed leaves.
    #[error("its readings are not the ones it committed to")]
    Leaves,
}

/// A segment that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Manifest, fragments and key do not belong together; the caller's fault.
    #[error("the caller mixed the manifest, fragments or key of different segments")]
    Mixed,
    /// The writer's fault, provable with the anchored manifest.
    #[error("the writer is at fault: {0}")]
    Writer(Contradiction),
}

/// A key share, or a set of them, that is not what its epoch promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareFault {
    /// The header does not carry the writer's signature; whoever gave it is to blame.
    #[error("custodian {0} gave a share whose header the writer did not sign")]
    Unsigned(MemberIndex),
    /// The share does not match its hash; whoever gave it is to blame.
    #[error("custodian {0} gave a share that does not match its hash")]
    Hash(MemberIndex),
    /// The signed header has a wrong threshold or number of hashes; the writer's fault.
    #[error("the writer signed an epoch header of impossible shape")]
    Shape,
    /// The writer signed two headers for one epoch.
    #[error("the writer signed two headers for one epoch")]
    TwoHeaders,
    /// t shares that match their hashes do not make the committed key; the writer's fault.
    #[error("the writer's shares do not make the key that it committed to")]
    Key,
    /// More custodians have to answer.
    #[error("{have} good shares where {need} are needed")]
    TooFew {
        /// Shares of distinct custodians.
        have: usize,
        /// The threshold.
        need: usize,
    },
}

impl BadFragment {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Index(_) | Self::Length(_) | Self::Hash(_) => Code::BadFragment,
            Self::Manifest => Code::WriterFault,
        }
    }

    /// The store to blame, if a store is.
    #[must_use]
    pub const fn store(&self) -> Option<MemberIndex> {
        match self {
            Self::Index(index) | Self::Length(index) | Self::Hash(index) => {
                Some(MemberIndex::new(index.get()))
            }
            Self::Manifest => None,
        }
    }
}

impl NotEnough {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::TooFewFragments
    }
}

impl OpenError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Mixed => Code::Internal,
            Self::Writer(_) => Code::WriterFault,
        }
    }
}

impl SealError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Internal
    }
}

impl ShareFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unsigned(_) | Self::Hash(_) | Self::TooFew { .. } => Code::TooFewShares,
            Self::Shape | Self::TwoHeaders | Self::Key => Code::WriterFault,
        }
    }

    /// The custodian to blame, if a custodian is.
    #[must_use]
    pub const fn custodian(&self) -> Option<MemberIndex> {
        match self {
            Self::Unsigned(custodian) | Self::Hash(custodian) => Some(*custodian),
            Self::Shape | Self::TwoHeaders | Self::Key | Self::TooFew { .. } => None,
        }
    }
}
