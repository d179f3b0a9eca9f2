//! Values with recognisable bytes, and the text form of a golden file.

use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::{ChainAnchor, ChainTag};
use salus_crypto::kem::{KemPublicKey, Sealed};
use salus_crypto::{Digest, PublicKey, Signature};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::state::Tip;
use salus_wire::{AccessTag, Blob, GrantTag, Height, List, PartyId, TimeMs, TimeSpan, decode, encode};
use std::fmt::Write;

/// One encoding, and what around it must be refused.
pub(crate) struct Golden {
    /// The file.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) type_name: &'static str,
    /// The encoding.
    pub(crate) bytes: Vec<u8>,
    /// Where counts stand, the most that each may be, and of what.
    pub(crate) lists: Vec<(usize, u32, &'static str)>,
    /// Where a byte may not be this, and what that would be.
    pub(crate) wrong: Vec<(usize, u8, &'static str)>,
    /// Decodes and encodes again.
    pub(crate) reencode: fn(&[u8]) -> Option<Vec<u8>>,
}

pub(crate) fn golden<T: BorshSerialize + BorshDeserialize>(
    name: &'static str,
    type_name: &'static str,
    value: &T,
) -> Golden {
    let reencode = |bytes: &[u8]| decode::<T>(bytes, RPC_BYTES_MAX).ok().map(|value| encode(&value));
    Golden { name, type_name, bytes: encode(value), lists: Vec::new(), wrong: Vec::new(), reencode }
}

impl Golden {
    /// At byte `at` stands the count of a list of at most `maximum`.
    pub(crate) fn list(mut self, at: usize, maximum: u32, what: &'static str) -> Self {
        self.lists.push((at, maximum, what));
        self
    }

    /// Byte `at` may not be `byte`, for that would be `what`.
    pub(crate) fn wrong(mut self, at: usize, byte: u8, what: &'static str) -> Self {
        self.wrong.push((at, byte, what));
        self
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("type: {}\nbytes: {}\n", self.type_name, self.bytes.len());
        for (at, maximum, what) in &self.lists {
            writeln!(text, "list: at {at}, at most {maximum} {what}").expect("a string takes text");
        }
        for (at, byte, what) in &self.wrong {
            writeln!(text, "wrong: {byte:02x} at {at} is {what}").expect("a string takes text");
        }
        text.push('\n');
        for line in self.bytes.chunks(40) {
            writeln!(text, "{}", hex::encode(line)).expect("a string takes text");
        }
        text
    }
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

pub(crate) fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

pub(crate) fn signature(n: u8) -> Signature {
    Signature::from_bytes([n; 64])
}

pub(crate) fn kem_key(n: u8) -> KemPublicKey {
    KemPublicKey::from_slice(&[n; 1216]).expect("the right length")
}

/// Suite 1, an encapsulated key and twenty bytes of ciphertext.
pub(crate) fn sealed(n: u8) -> Sealed {
    let bytes = [[1].as_slice(), &[n; 1120], &20_u32.to_le_bytes(), &[n; 20]].concat();
    decode(&bytes, bytes.len()).expect("a sealed message")
}

pub(crate) fn party(n: u8) -> PartyId {
    PartyId::new([n; 16])
}

pub(crate) fn grant_tag(n: u8) -> GrantTag {
    GrantTag(ChainTag::from_digest(digest(n)))
}

pub(crate) fn access_tag(n: u8) -> AccessTag {
    AccessTag(ChainTag::from_digest(digest(n)))
}

pub(crate) fn chain_anchor(n: u8) -> ChainAnchor {
    ChainAnchor::from_digest(digest(n))
}

pub(crate) fn time(n: u64) -> TimeMs {
    TimeMs::new(0x0102_0304_0500 + n)
}

pub(crate) fn span() -> TimeSpan {
    TimeSpan::new(time(1), time(2)).expect("not empty")
}

pub(crate) fn tip(n: u64) -> Tip {
    Tip { height: Height::new(0x1011_1213_1415_1600 + n), time: time(n) }
}

pub(crate) fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::new(items).expect("within its limit")
}

pub(crate) fn blob<const MAX: usize>(length: usize, n: u8) -> Blob<MAX> {
    Blob::new(vec![n; length]).expect("within its limit")
}
