//! The seam between what is to be written and the proof that it was.
//!
//! A [`Plan`] is a value: anybody may make, inspect or simulate one. A [`Durable`] is evidence: it
//! is made only where a sync has just succeeded, inside this crate, and what is acknowledged to
//! others is made by consuming one.

use bytes::Bytes;

/// One object to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its name: segments of `[a-z0-9]`, joined by `/`.
    pub object: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// What to do when the name is taken.
    pub taken: Taken,
}

/// What to do when an object's name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is lost by writing the same bytes again; other bytes are refused.
    SameBytes,
    /// The caller has read what is there and found it to mean the same.
    Replace,
}

/// Objects to be written, and what may be promised once all of them are durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a plan that no disk carries out keeps nothing"]
pub struct Plan<P> {
    /// In no particular order: a promise needs all of them.
    pub writes: Vec<Write>,
    /// What they make true.
    pub promise: P,
}

/// Evidence that everything a promise rests on has been written and synced (INV-1). No Clone, no
/// public constructor: an acknowledgement consumes it.
#[derive(Debug)]
#[must_use = "something is durable and nobody is told"]
pub struct Durable<P> {
    promise: P,
    created: u64,
}

impl<P> Durable<P> {
    /// To be called only after a sync has succeeded that covers all that `promise` rests on.
    pub(crate) const fn witness(promise: P, created: u64) -> Self {
        Self { promise, created }
    }

    /// What is now true.
    pub const fn promise(&self) -> &P {
        &self.promise
    }

    /// Objects that were not there before.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// Uses the evidence up.
    pub(crate) fn into_promise(self) -> P {
        self.promise
    }
}
