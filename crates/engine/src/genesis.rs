//! Block 0: what every member computes for itself before the first vote.
//!
//! Promises that it follows from the genesis alone. Refuses to know who is the member here.

use crate::candidate::Candidate;
use crate::error::EngineError;
use crate::tree::{MemoryTree, StateTree};
use salus_crypto::digest::Digest;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::rpc::FinalBlock;
use salus_wire::{Block, Genesis, Header, Height, List, MemberIndex, View};

/// The header of block 0. Its state is [`salus_ledger::genesis_state`]; it has no parent and no
/// transactions.
///
/// # Errors
/// [`EngineError::State`]; a tree in memory does not fail.
pub fn header(genesis: &Genesis) -> Result<Header, EngineError> {
    let (state, _) = MemoryTree::default().extend(&[], &salus_ledger::genesis_state(genesis))?;
    Ok(Header {
        chain: genesis.chain(),
        height: Height::new(0),
        view: View::new(0),
        parent_view: View::new(0),
        parent: Digest::ZERO,
        proposer: MemberIndex::new(0),
        time: genesis.time,
        transactions: transactions_root(&[]),
        receipts: receipts_root(&[], &[]),
        state,
    })
}

/// Block 0 as the engine keeps it.
pub(crate) fn candidate(genesis: &Genesis) -> Result<Candidate, EngineError> {
    let block = Block { header: header(genesis)?, transactions: List::empty() };
    let whole = FinalBlock { block, outcomes: List::empty() };
    Candidate::new(whole).map_err(|bad| EngineError::Archive(bad.into()))
}
