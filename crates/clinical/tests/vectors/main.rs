//! Golden vectors of frames and packed segments: each file says what must become of its bytes.
//!
//! The frames are written byte by byte from `spec/frame.md`, with a CBOR writer of its own, so that
//! they judge the product and are not judged by it. Promises the same bytes on every run.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops; its numbers are small"
)]

mod cbor;
mod frames;
mod read;
mod segments;
mod text;
