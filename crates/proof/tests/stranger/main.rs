//! What a stranger sees: golden vectors, our verifier and the one in Python on each of them, and
//! every bit of a receipt.
//!
//! The generator is written from `spec/` with its own trie and its own certificate writer, and calls
//! no check that it judges. It promises the same bytes on every run.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on stops; its numbers are small"
)]

mod bits;
mod certificates;
mod consortium;
mod frame;
mod oracle;
mod receipts;
mod states;
mod text;
mod trie;
mod vectors;
