//! Wrong: takes a round of the engine for a height of the ledger.
//!
//! EXPECT: E0308 expected `Height`, found `View`
#![forbid(unsafe_code)]

use salus_wire::{Height, View};

/// Compares what cannot be compared.
pub fn compare_height_with_view(seen: Height, round: View) -> bool {
    seen <= round // wrong
}
