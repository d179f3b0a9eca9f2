//! What a stranger needs to check Salus, offline, trusting nobody but a quorum of named keys.
//!
//! It promises that a [`FinalHeader`], a [`ProvenState`], an [`Anchored`] and a [`Verified`] exist
//! only after the check that their name says (INV-6): each has one constructor, private to the
//! module that checks. It promises that the bytes that were checked are the bytes that are decoded.
//! It refuses to know who serves a proof, how to reach them, what time it is, and what a reading
//! means; [`FromLeaf`] is where clinical meaning comes in.
//!
//! `spec/` describes all of this for a verifier in any language; `spec/verifier` is one in Python,
//! and a test holds the two to the same verdict on every vector.
//!
//! The rooms, in reading order: [`policy`] says whom to believe; [`certificate`] and [`chain`] make
//! a header final; [`trie`] and [`state`] prove what stands in the state under it, and what does
//! not; [`batch`] finds a manifest under an anchor; [`receipt`] finds a reading under a manifest.
#![forbid(unsafe_code)]

pub mod batch;
pub mod certificate;
pub mod chain;
pub mod policy;
pub mod receipt;
pub mod state;
pub mod trie;

mod error;
mod verified;

pub use batch::Anchored;
pub use chain::FinalHeader;
pub use error::{BadPolicy, Unproven};
pub use policy::TrustPolicy;
pub use receipt::RECEIPT_BYTES_MAX;
pub use state::{Proven, ProvenState};
pub use verified::{Claim, FromLeaf, Verified};
