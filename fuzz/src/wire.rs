//! Canonical decoding of everything that a peer, a disk or a file can hand us.
//!
//! The promise: bytes are either refused, or they are *the* encoding of the value they decode to.

use crate::sample::{Sampler, sample};
use crate::targets::Seed;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_wire::emergency::{EmergencyKit, Given, LookShares, Review};
use salus_wire::erasure::{EraseAnswer, EraseRequest, Erasure};
use salus_wire::limits::{
    BLOCK_BYTES_MAX, DESCRIPTOR_BYTES, EMERGENCY_KIT_PLAIN_BYTES, GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES,
    LEAF_BYTES_MAX, RECOVERY_PACKAGE_PLAIN_BYTES, RPC_BYTES_MAX, TX_BYTES_MAX,
};
use salus_wire::receipt::Leaf;
use salus_wire::recovery::{RecoverRequest, Recovery, RecoveryPackage, RecoveryPart};
use salus_wire::release::{Deposit, EpochHeader, EpochShares, ReleaseRequest, Released};
use salus_wire::rpc::{Fetch, Fetched, FinalBlock, Put, Request, Response};
use salus_wire::state::CertifiedChain;
use salus_wire::{
    Block, Descriptor, Genesis, Grant, Header, Intent, Manifest, Receipt, StateKey, StateProof, StateValue,
    Tx, decode, encode,
};

/// Seeds of each type.
const SAMPLES: u64 = 3;

/// A type that travels.
pub struct Shape {
    /// What it is, for people.
    pub name: &'static str,
    /// Whether these bytes are a value of it; panics if they are not the only encoding of it.
    pub accepts: fn(&[u8]) -> bool,
    /// Some bytes that are a value of it.
    pub sample: fn(&mut Sampler) -> Option<Vec<u8>>,
}

/// The types, by the byte that selects one. New ones go to the end, so that the corpus stays valid.
pub const SHAPES: &[Shape] = &[
    shape::<Tx, TX_BYTES_MAX>("tx"),
    shape::<Block, BLOCK_BYTES_MAX>("block"),
    shape::<Header, BLOCK_BYTES_MAX>("header"),
    shape::<Request, RPC_BYTES_MAX>("request"),
    shape::<Response, RPC_BYTES_MAX>("response"),
    shape::<Put, RPC_BYTES_MAX>("put"),
    shape::<Fetch, RPC_BYTES_MAX>("fetch"),
    shape::<Fetched, RPC_BYTES_MAX>("fetched"),
    shape::<FinalBlock, RPC_BYTES_MAX>("final_block"),
    shape::<Manifest, RPC_BYTES_MAX>("manifest"),
    shape::<Descriptor, DESCRIPTOR_BYTES>("descriptor"),
    shape::<Leaf, { LEAF_BYTES_MAX + 1024 }>("leaf"),
    shape::<Receipt, RPC_BYTES_MAX>("receipt"),
    shape::<Grant, GRANT_PLAIN_BYTES>("grant"),
    shape::<Intent, INTENT_PLAIN_BYTES>("intent"),
    shape::<Deposit, RPC_BYTES_MAX>("deposit"),
    shape::<EpochHeader, RPC_BYTES_MAX>("epoch_header"),
    shape::<EpochShares, RPC_BYTES_MAX>("epoch_shares"),
    shape::<ReleaseRequest, RPC_BYTES_MAX>("release_request"),
    shape::<Released, RPC_BYTES_MAX>("released"),
    shape::<Genesis, RPC_BYTES_MAX>("genesis"),
    shape::<StateKey, RPC_BYTES_MAX>("state_key"),
    shape::<StateValue, RPC_BYTES_MAX>("state_value"),
    shape::<StateProof, RPC_BYTES_MAX>("state_proof"),
    shape::<CertifiedChain, RPC_BYTES_MAX>("certified_chain"),
    shape::<LookShares, RPC_BYTES_MAX>("look_shares"),
    shape::<Given, RPC_BYTES_MAX>("given"),
    shape::<EmergencyKit, EMERGENCY_KIT_PLAIN_BYTES>("emergency_kit"),
    shape::<Review, INTENT_PLAIN_BYTES>("review"),
    shape::<Erasure, GRANT_PLAIN_BYTES>("erasure"),
    shape::<EraseRequest, RPC_BYTES_MAX>("erase_request"),
    shape::<EraseAnswer, RPC_BYTES_MAX>("erase_answer"),
    shape::<Recovery, GRANT_PLAIN_BYTES>("recovery"),
    shape::<RecoveryPart, RPC_BYTES_MAX>("recovery_part"),
    shape::<RecoveryPackage, RECOVERY_PACKAGE_PLAIN_BYTES>("recovery_package"),
    shape::<RecoverRequest, RPC_BYTES_MAX>("recover_request"),
];

/// The first byte selects the type; the rest is decoded as one.
pub fn wire_decode(data: &[u8]) {
    let Some((selector, bytes)) = data.split_first() else { return };
    if let Some(shape) = SHAPES.get(usize::from(*selector)) {
        (shape.accepts)(bytes);
    }
}

/// Some values of every type.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (selector, shape) in (0_u8..).zip(SHAPES) {
        for number in 0..SAMPLES {
            if let Some(sample) = (shape.sample)(&mut Sampler::new(number)) {
                let input = [&[selector], sample.as_slice()].concat();
                seeds.push(Seed::new(&format!("{}-{number}", shape.name), input));
            }
        }
    }
    seeds
}

const fn shape<T: BorshSerialize + BorshDeserialize, const MAX: usize>(name: &'static str) -> Shape {
    Shape { name, accepts: accepts::<T, MAX>, sample: sample::<T> }
}

fn accepts<T: BorshSerialize + BorshDeserialize, const MAX: usize>(bytes: &[u8]) -> bool {
    let Ok(value) = decode::<T>(bytes, MAX) else { return false };
    assert!(encode(&value) == bytes, "one value has two encodings");
    true
}
