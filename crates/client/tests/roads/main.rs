//! The roads of a reader and of a patient, driven to their end without network or engine.
//!
//! [`world`] is a consortium of the real pure rooms: a ledger that applies blocks, a trie that
//! proves, members who certify, custodians who decide, stores that serve. A test bends what members
//! answer and looks at what comes of it.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on stops")]

mod bent_lists;
mod custodians;
mod erasing;
mod listing;
mod order;
mod proofs;
mod reading;
mod settling;
mod stores;
mod world;
