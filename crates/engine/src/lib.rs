//! Orders blocks through the BFT engine, keeps them and the state they give, and proves both.
//!
//! This is the only crate that names the engine (commonware: simplex, marshal, authenticated
//! links) and the state database (nomt). Others submit transactions, read and prove entries, and
//! follow blocks through a [`Handle`]; a custodian listens through [`Watch`].
//!
//! It promises INV-4, one history: a final block was executed and found right by at least n - 2f
//! honest members. It promises durability: what it reports as final is on this member's disk, and
//! it stops when the disk fails. It refuses to know whose data the ledger is about.
//!
//! # The way of a transaction
//! [`Handle::submit`] → [`desk`](crate) admits it (signature, then the ledger's rules) into the
//! mempool and passes it to the other members → the member whose turn it is builds a block and
//! executes it → the others execute it too, compare three roots, have revocations recorded
//! ([`Watch::before_vote`]), and vote → n - f votes make it final → the archive makes it durable →
//! the desk applies it, acknowledges it and answers the caller. The state is written behind that,
//! in groups; after a crash the archive gives it back.
#![forbid(unsafe_code)]

mod candidate;
mod config;
mod desk;
mod engine;
mod error;
mod folder;
mod genesis;
mod gossip;
mod handle;
pub mod host;
mod judge;
mod mempool;
mod pace;
mod recovery;
mod reporters;
mod scheme;
mod stack;
mod tree;
mod voter;

#[cfg(test)]
mod testing;

pub use config::{Config, Pacing, Peer, Watch};
pub use engine::Engine;
pub use error::{EngineError, Refused, WatchFailed};
pub use genesis::header as genesis_header;
pub use handle::{Handle, Stats};
pub use judge::Head;
pub use tree::{DiskTree, MemoryTree, StateError, StateTree};
