//! One member of the consortium: engine, store and custodian behind one door.
//!
//! The roles are modules that know nothing of each other: [`keeper`] keeps and serves fragments,
//! [`deposits`] takes key shares in, [`custodian`] gives them out, [`refusals`] hears of
//! revocations before the engine votes, [`eraser`] obeys orders of erasure and [`erasures`] remembers them,
//! [`activity`] remembers who was let in, [`recovery`] gives lost wallets back, and [`cover`] hides when others are
//! busy. What they share is their
//! [`office`]: identity, clock, and the member's own view of the ledger. [`door`] bounds how much of each is done at
//! once and turns
//! every error into a coded refusal. [`mod@run`] puts it all together and is the only place that opens
//! files and sockets.
//!
//! No log line and no refusal names a patient, a device, a grant or a stream.
#![forbid(unsafe_code)]

pub mod activity;
pub mod config;
pub mod cover;
pub mod custodian;
pub mod deposits;
pub mod door;
pub mod emergency;
pub mod eraser;
pub mod erasures;
pub mod error;
pub mod keeper;
pub mod keys;
pub mod limits;
pub mod office;
pub mod recovery;
pub mod refusals;
pub mod run;
mod turns;

mod follow;
mod refused;

pub use config::NodeConfig;
pub use error::NodeError;
pub use run::{Node, run, until_told};

#[cfg(test)]
mod testing;
