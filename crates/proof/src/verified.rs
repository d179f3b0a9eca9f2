//! Evidence about a reading: `Verified<T>`, and what a clinical type must say to become one.
//!
//! Promises that a [`Verified`] cannot be cloned, defaulted, decoded or built anywhere but in this
//! crate, after every check (INV-6). Refuses to know what a reading means.

use crate::batch::Anchored;
use salus_crypto::Signature;
use salus_wire::receipt::Leaf;
use salus_wire::state::Tip;
use salus_wire::{Code, PartyId};

/// A type of reading that can be taken out of a leaf.
pub trait FromLeaf: Sized {
    /// Parses the leaf's frame, strictly, and says what the device signed. It need not check the
    /// signature: this crate does, with the leaf's device key.
    ///
    /// # Errors
    /// The code of whatever makes the frame no canonical reading.
    fn from_leaf(leaf: &Leaf) -> Result<Claim<Self>, Code>;
}

/// A reading as it is claimed, before its device's signature was checked.
#[derive(Debug)]
pub struct Claim<T> {
    /// The reading, decoded from the very bytes that are signed.
    pub value: T,
    /// The exact bytes under the signature, framing included (RFC 9052 `Sig_structure`).
    pub signed: Vec<u8>,
    /// By the device's key.
    pub signature: Signature,
}

/// A reading that its device signed, that stands in a segment under a final anchor. This says that
/// it was kept as it is since [`Verified::at`]; the gateway vouches for the device's key.
#[derive(Debug)]
pub struct Verified<T> {
    value: T,
    writer: PartyId,
    at: Tip,
}

impl<T> Verified<T> {
    /// For this crate's checks alone.
    pub(crate) fn new(value: T, under: &Anchored) -> Self {
        Self { value, writer: under.gateway(), at: under.at() }
    }

    /// The reading.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// The reading alone, without its evidence.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The gateway that vouches for the device.
    #[must_use]
    pub const fn writer(&self) -> PartyId {
        self.writer
    }

    /// When its anchor became final.
    #[must_use]
    pub const fn at(&self) -> Tip {
        self.at
    }
}
