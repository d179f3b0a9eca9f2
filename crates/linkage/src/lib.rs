//! Measures what an adversary with the whole ledger can link to whom (T-14). No part of the product.
//!
//! A synthetic region ([`region`]) of hospitals, gateways and patients lives for some days. The product's own
//! code makes the transactions of what happens there ([`parts`]); a [`policy`] says when each is released and
//! what cover goes with it; [`ledger`] orders them in blocks, has the replicated state machine apply them, and
//! keeps what an observer sees apart from the truth. Adversaries ([`attack`]) see the observer's side, know a
//! fifth of the encounters, and learn their habits from a region of their own of which they know everything.
//! [`score`] sets each beside a guess.
//!
//! It refuses to know keys: what an adversary is given is what stands on the ledger, nothing that opens it.
#![forbid(unsafe_code)]

pub mod attack;
pub mod error;
pub mod ledger;
pub mod measure;
pub mod number;
pub mod parts;
pub mod policy;
pub mod region;
pub mod score;

pub use error::LinkageError;
pub use ledger::{Eyes, Ledger, Truth};
pub use measure::{Report, Setting, measure};
pub use parts::Leak;
pub use policy::Policy;
pub use region::{Region, World};
