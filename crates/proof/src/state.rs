//! What stands in the state under a final header, and what does not.
//!
//! Promises that every answer of a [`ProvenState`] holds at one height, presence and absence alike,
//! so that a list that ends in an absence is complete as of that height (INV-5). Refuses to answer
//! about a key that the proof is not about: that is neither presence nor absence.

use crate::chain::{self, FinalHeader};
use crate::error::Unproven;
use crate::policy::TrustPolicy;
use crate::trie;
use salus_crypto::Digest;
use salus_planted::{Bug, is};
use salus_wire::state::Tip;
use salus_wire::{ProvenItem, StateKey, StateProof, StateValue, Terminal, encode};
use std::collections::BTreeMap;

/// Entries and absences that were checked against one final state root. Only [`verify`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct ProvenState {
    header: FinalHeader,
    entries: BTreeMap<StateKey, Option<StateValue>>,
}

/// What a proof says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven<'a> {
    /// This stands there.
    Present(&'a StateValue),
    /// Nothing stands there.
    Absent,
    /// The proof is not about this key.
    NotAsked,
}

impl ProvenState {
    /// What the proof says about `key`.
    #[must_use]
    pub fn get(&self, key: &StateKey) -> Proven<'_> {
        match self.entries.get(key) {
            Some(Some(value)) => Proven::Present(value),
            Some(None) => Proven::Absent,
            None => Proven::NotAsked,
        }
    }

    /// The height and time as of which all of it holds.
    #[must_use]
    pub const fn at(&self) -> Tip {
        self.header.tip()
    }

    /// The final header whose state this is.
    #[must_use]
    pub const fn header(&self) -> &FinalHeader {
        &self.header
    }
}

/// Checks the header chain of `proof`, then every item against the first header's state root.
///
/// # Errors
/// [`Unproven`] as [`chain::verify`], and [`Unproven::StateEntry`] or [`Unproven::StatePath`] for
/// the first item that does not hold.
pub fn verify(policy: &TrustPolicy, proof: &StateProof) -> Result<ProvenState, Unproven> {
    let header = chain::verify(policy, &proof.chain)?;
    let mut entries = BTreeMap::new();
    for item in proof.items.iter() {
        check(&header.header().state, item)?;
        entries.insert(item.key, item.value.clone());
    }
    Ok(ProvenState { header, entries })
}

fn check(state: &Digest, item: &ProvenItem) -> Result<(), Unproven> {
    if is(Bug::ProofUnchecked) {
        return Ok(());
    }
    let path = item.key.path();
    if !ends_rightly(&path, item) {
        return Err(Unproven::StateEntry);
    }
    match trie::root(&path, &item.terminal, &item.siblings) {
        Some(root) if root == *state => Ok(()),
        _ => Err(Unproven::StatePath),
    }
}

/// Whether the end of the path says what the item claims: an entry ends at its own leaf with its
/// own value; an absence ends at nothing, or at the leaf of another entry that stands in the way.
fn ends_rightly(path: &Digest, item: &ProvenItem) -> bool {
    match (&item.value, &item.terminal) {
        (Some(entry), Terminal::Leaf { path: leaf, value }) => {
            leaf == path && *value == trie::value_hash(&encode(entry))
        }
        (None, Terminal::Leaf { path: leaf, .. }) => {
            leaf != path && trie::share_bits(leaf, path, item.siblings.len())
        }
        (None, Terminal::Empty) => true,
        (Some(_), Terminal::Empty) => false,
    }
}
