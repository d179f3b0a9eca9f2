//! Durability: what is written here survives the process and the power, and nothing says so before it does.
//!
//! INV-1 is held here by a type. What is to be written is planned as a value ([`Plan`]), a
//! [`Disk`] writes and syncs it, and only then exists a [`Durable`], which is the only thing an
//! acknowledgement can be made of. Planning is pure; the disk may be a folder, memory, or one that
//! fails at will, so that a simulator runs the same plans.
//!
//! This crate does not know who may write or read, and it checks no fragment and no share: that is
//! for the rooms that call it. What is secret is sealed under a machine key before it gets here
//! ([`shares`]) or is ciphertext already ([`fragments`]).
#![forbid(unsafe_code)]

pub mod activity;
pub mod disk;
pub mod durable;
pub mod emergency;
pub mod error;
pub mod fragments;
pub mod journal;
pub mod key_file;
pub mod queue;
pub mod recovery;
pub mod shares;

pub use activity::Activities;
pub use disk::Disk;
pub use durable::{Durable, Plan, Write};
pub use emergency::Emergencies;
pub use error::StoreError;
pub use fragments::{BatchPromise, Fragments};
pub use journal::Journal;
pub use recovery::{KeptRecovery, Recoveries};
pub use shares::{DepositPromise, Shares};
