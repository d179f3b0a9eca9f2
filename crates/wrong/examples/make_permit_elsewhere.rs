//! Wrong: makes a permit without asking `consent` to decide.
//!
//! EXPECT: E0451 of struct `Permit` are private
#![forbid(unsafe_code)]

use salus_consent::{FinalView, Grounds, Opened, Permit};
use salus_wire::{MemberIndex, TimeMs};

/// Permits whatever was asked.
pub fn permit_without_decision(
    opened: Opened,
    member: MemberIndex,
    grounds: Grounds,
    view: &FinalView,
    now: TimeMs,
) -> Permit {
    Permit { opened, member, grounds, at: view.at(), decided: now } // wrong
}
