//! The road of a segment: sealed, cut, checked, gathered, opened, and every way it may go wrong.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops; its numbers are small"
)]

mod fragments;
mod shares;
mod vectors;
mod world;
