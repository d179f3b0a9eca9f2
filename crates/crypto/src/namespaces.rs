//! Every domain-separation string of this crate, in one file.
//!
//! Promises that no two kinds of hashed, signed or derived bytes share a string; a test holds that.
//! Refuses to know the namespaces of higher rooms: `salus-wire` lists its own with [`Namespace::new`].

use crate::digest::Namespace;

/// Hashed: the whole ciphertext of a sealed segment.
pub const CIPHERTEXT: Namespace = Namespace::new("salus/ciphertext/v1");
