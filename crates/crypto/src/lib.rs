//! The only room that names a cryptographic dependency: every digest, signature, seal and share of Salus is made here.
//!
//! It promises that each primitive is used under its own namespace, that the precondition which
//! makes it safe stands beside it, and that secrets are wiped when dropped, never printed and never
//! cloned. It refuses to know what the bytes mean, where randomness comes from (an argument), what
//! time it is, and where anything is stored.
//!
//! The rooms, in reading order: [`namespaces`] lists every domain-separation string of this crate;
//! [`digest`] hashes; [`merkle`] proves membership; [`secret`] holds what must not be seen;
//! [`sign`] signs; [`kdf`] derives; [`aead`] seals one message, [`chunked`] a long one, [`at_rest`]
//! what a machine keeps, [`kem`] what is for somebody; [`sharing`] splits a key among custodians;
//! [`chain`] lists grants and accesses without linking them.

pub mod namespaces;

pub mod digest;
pub mod merkle;
pub mod secret;
pub mod sign;

pub mod kdf;

pub mod aead;
pub mod chunked;

pub mod at_rest;
pub mod kem;

pub mod chain;
pub mod sharing;

mod error;

pub use digest::{Digest, Namespace};
pub use error::{BadSignature, CryptoError, OpenFailed};
pub use secret::Secret;
pub use sign::{Batch, PublicKey, Signature, SigningKey};
