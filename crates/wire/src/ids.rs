//! Names for things that count, order or identify. No two roles share a type.

use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use std::fmt;
use std::io::{Error, ErrorKind, Read};
use std::str::FromStr;

/// Text that is not an identifier of the expected length in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier in lower-case hexadecimal")]
pub struct BadId;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize,
        )]
        pub struct $name($inner);
        impl $name {
            /// Names the number.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }
            /// The bare number, for encoding and display.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
            /// The next one, or `None` past the end of the range.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
        pub struct $name([u8; $len]);
        impl $name {
            /// Names the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
            /// The bare bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown: String = hex::encode(self.0).chars().take(8).collect();
                write!(f, "{}({shown}..)", stringify!($name))
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| BadId)?;
                if hex::encode(bytes) != text {
                    return Err(BadId);
                }
                Ok(Self(bytes))
            }
        }
    };
}

number!(
    /// Blocks since genesis, which is height 0.
    Height(u64)
);
number!(
    /// A round of the BFT engine. Views grow faster than heights when leaders fail.
    View(u64)
);
number!(
    /// A member's place in the genesis list, from 0.
    MemberIndex(u16)
);
number!(
    /// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
    TimeMs(u64)
);
number!(
    /// A gateway's count of the batches it has anchored or tried to.
    BatchNumber(u64)
);
number!(
    /// Which of the n fragments of a segment, from 0; equals the index of the member that stores it.
    FragmentIndex(u16)
);
number!(
    /// A segment's place within its epoch, from 0 without gaps.
    SegmentIndex(u32)
);
number!(
    /// A device's own count of the frames it has signed; never reused.
    Sequence(u64)
);

opaque!(
    /// A registered person, gateway or application. Random, never derived from anything.
    PartyId[16]
);
opaque!(
    /// A device, as its certificate names it. Never on the ledger in the clear.
    DeviceId[16]
);
opaque!(
    /// One device's series of one kind of observation. Never on the ledger.
    StreamId[16]
);
opaque!(
    /// One epoch key: one writer, one patient, one data class, one kind, one span of at most an hour.
    EpochId[16]
);
opaque!(
    /// Where stores keep a segment. Looks random to everybody who does not hold the epoch key.
    Locator[32]
);

/// The consortium: the digest of its genesis. Every signature is made for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ChainId(pub Digest);

/// The key under which the ledger shows a grant. Nobody without the chain can link two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct GrantTag(pub ChainTag);

/// The key under which the ledger shows an access. Nobody without the lane can link two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct AccessTag(pub ChainTag);

impl TimeMs {
    /// This time and `ms` more, stopping at the end of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time, or 0 when this time is not later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A span of time, `from` included, `until` excluded, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize)]
pub struct TimeSpan {
    from: TimeMs,
    until: TimeMs,
}

impl TimeSpan {
    /// The span, or `None` when it would be empty.
    #[must_use]
    pub fn new(from: TimeMs, until: TimeMs) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// The first millisecond of the span.
    #[must_use]
    pub const fn from(&self) -> TimeMs {
        self.from
    }

    /// The first millisecond after the span.
    #[must_use]
    pub const fn until(&self) -> TimeMs {
        self.until
    }

    /// Whether `time` lies within.
    #[must_use]
    pub fn contains(&self, time: TimeMs) -> bool {
        self.from <= time && time < self.until
    }

    /// Whether all of `other` lies within.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.from <= other.from && other.until <= self.until
    }

    /// Whether the two share a millisecond.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

impl BorshDeserialize for TimeSpan {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let from = TimeMs::deserialize_reader(reader)?;
        let until = TimeMs::deserialize_reader(reader)?;
        Self::new(from, until).ok_or_else(|| Error::new(ErrorKind::InvalidData, "empty span"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips_and_has_one_form() {
        let id = PartyId::new([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<PartyId>(), Err(BadId));
        assert_eq!("ab".parse::<PartyId>(), Err(BadId));
    }

    #[test]
    fn an_empty_span_cannot_be_built_or_decoded() {
        let at = TimeMs::new(5);
        assert_eq!(TimeSpan::new(at, at), None);
        let bytes = crate::encode(&(at, at));
        assert!(crate::decode::<TimeSpan>(&bytes, 16).is_err());
    }

    #[test]
    fn spans_cover_and_overlap_half_open() {
        let span = |a, b| TimeSpan::new(TimeMs::new(a), TimeMs::new(b)).unwrap();
        assert!(span(0, 10).covers(&span(0, 10)));
        assert!(!span(0, 10).covers(&span(5, 11)));
        assert!(!span(0, 10).overlaps(&span(10, 20)));
        assert!(span(0, 10).contains(TimeMs::new(9)) && !span(0, 10).contains(TimeMs::new(10)));
    }
}
