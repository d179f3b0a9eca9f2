//! When transactions are released, and what cover goes with them.
//!
//! [`Policy::TODAY`] is the product as it comes. The others are proposals, to see what each would bring and cost;
//! `docs/linkability.md` says what of them can be switched on. None holds back a withdrawal: it must end a right at
//! once, and an access is held back only until its grant is final.

use crate::number::{HOUR, MINUTE, SECOND};

/// One way of releasing transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it is called on the command line and in tables.
    pub name: &'static str,
    /// Enrolments, assignments and grants wait for the next multiple of so many milliseconds; 0 for not at all.
    pub slot_ms: u64,
    /// Each of them first waits for a time of its own, up to so many milliseconds.
    pub spread_ms: u64,
    /// The end of an enrolment waits for up to so many milliseconds.
    pub end_spread_ms: u64,
    /// Grants of nothing, by each member in an hour at random times.
    pub cover_grants_per_hour: u64,
    /// Accesses of nothing, by each member in an hour at random times.
    pub cover_accesses_per_hour: u64,
    /// How grants end with the stay.
    pub endings: Endings,
    /// When gateways anchor.
    pub anchors: Anchors,
}

/// How grants end with the stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endings {
    /// Every other patient withdraws theirs.
    Withdrawn,
    /// They were short, and nobody withdraws one.
    RunOut,
}

/// When a gateway anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// At each tick of its cadence at which there is something.
    WhenNeeded,
    /// At each tick.
    Always,
    /// Whenever it was; the control, in which every transaction has a time drawn at random.
    Shuffled,
}

impl Policy {
    /// The product as it comes.
    pub const TODAY: Self = Self {
        name: "today",
        slot_ms: 0,
        spread_ms: 0,
        end_spread_ms: 0,
        cover_grants_per_hour: 0,
        cover_accesses_per_hour: 0,
        endings: Endings::Withdrawn,
        anchors: Anchors::WhenNeeded,
    };
    /// All times drawn at random: what a measure must call guessing.
    pub const SHUFFLED: Self = Self { name: "shuffled", anchors: Anchors::Shuffled, ..Self::TODAY };

    /// Commitments in slots of a minute.
    pub const SLOTS: Self = Self { name: "slots", slot_ms: MINUTE, ..Self::TODAY };
    /// Commitments spread over a minute.
    pub const SPREAD: Self = Self { name: "spread", spread_ms: MINUTE, ..Self::TODAY };
    /// Commitments spread over ten minutes, ends of enrolments over eight hours.
    pub const WIDE: Self =
        Self { name: "wide", spread_ms: 10 * MINUTE, end_spread_ms: 8 * HOUR, ..Self::TODAY };
    /// Cover alone: from each member a grant of nothing every 10 s and an access of nothing every 100 s.
    pub const COVER: Self = Self {
        name: "cover",
        cover_grants_per_hour: HOUR / (10 * SECOND),
        cover_accesses_per_hour: HOUR / (100 * SECOND),
        ..Self::TODAY
    };
    /// A minute's spread and that cover.
    pub const BOTH: Self = Self { name: "both", spread_ms: MINUTE, ..Self::COVER };
    /// Ten minutes' spread, ends over eight hours, and that cover.
    pub const DEEP: Self =
        Self { name: "deep", spread_ms: 10 * MINUTE, end_spread_ms: 8 * HOUR, ..Self::COVER };
    /// As that, with grants that run out instead of being withdrawn, and anchors at every tick.
    pub const FULL: Self =
        Self { name: "full", endings: Endings::RunOut, anchors: Anchors::Always, ..Self::DEEP };

    /// All that are compared.
    pub const ALL: [Self; 8] =
        [Self::TODAY, Self::SLOTS, Self::SPREAD, Self::WIDE, Self::COVER, Self::BOTH, Self::DEEP, Self::FULL];

    /// The policy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name == name)
    }
}
