//! Every parser of Salus behind one plain function that must never panic, and a way to feed it.
//!
//! A target takes bytes from nowhere in particular and holds the parser to its promise. It is run
//! by `cargo xtask fuzz`, and on every test run with its corpus and a bounded number of mutations.
//! To add one: a function and its seeds in a room of its own, a row in [`TARGETS`], a door in
//! `fuzz_targets/` with its `[[bin]]`, a test in `tests/replay.rs`; then
//! `cargo run --package salus-fuzz -- seed`. The tests and `cargo xtask tidy` say what is missing.
#![forbid(unsafe_code)]

pub mod clinical;
pub mod consent;
pub mod corpus;
pub mod dice;
pub mod link;
pub mod mqtt;
pub mod mutate;
pub mod policy;
pub mod proof;
pub mod queue;
pub mod replay;
pub mod sample;
pub mod store;
pub mod targets;
pub mod wire;

pub use clinical::{clinical_frame, clinical_segment};
pub use consent::clinical_consent;
pub use link::link_frame;
pub use mqtt::mqtt_speaker;
pub use policy::consent_policy;
pub use proof::{proof_certificate, proof_policy, proof_receipt};
pub use queue::queue_file;
pub use store::store_journal;
pub use targets::{Seed, TARGETS, Target};
pub use wire::wire_decode;
