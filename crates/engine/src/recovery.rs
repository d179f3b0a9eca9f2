//! Taking up the work where this member left it, whatever the moment at which it stopped.
//!
//! The state on disk holds the height of the last block written to it, and the archive holds every
//! block before it is applied; so the state can be behind the archive but never ahead of it.
//! Promises to bring it up to what the archive has delivered, and to refuse a state of other
//! blocks. A state that was lost whole is made again from block 0.

use crate::candidate::Candidate;
use crate::error::EngineError;
use crate::handle::Archive;
use crate::judge::Judge;
use crate::tree::StateTree;
use commonware_consensus::types;
use salus_crypto::digest::Digest;
use salus_planted::{Bug, is};
use salus_wire::state::{StateKey, StateValue};
use salus_wire::{Genesis, Height};

/// Takes up the state and brings it up to the archive.
///
/// # Errors
/// [`EngineError::State`]; [`EngineError::Mismatch`] when the two do not belong together.
pub(crate) async fn recover<T: StateTree>(
    agreed: &Genesis,
    mut tree: T,
    genesis: &Candidate,
    archive: &Archive,
) -> Result<Judge<T>, EngineError> {
    if tree.root() == Digest::ZERO {
        tree.write(&salus_ledger::genesis_state(agreed), &genesis.header().state)?;
    }
    let height = height(&tree)?;
    let last =
        if height == genesis.header().height { genesis.clone() } else { block(archive, height).await? };
    let mut judge = Judge::new(agreed, tree, last.header())?;
    let mut delivered = archive.get_processed().await.map_or(0, |processed| processed.height().get());
    if is(Bug::BlocksNotReplayed) {
        delivered = 0;
    }
    while let Some(next) = judge.head().height.next().filter(|next| next.get() <= delivered) {
        judge.commit(&block(archive, next).await?)?;
    }
    Ok(judge)
}

/// The height at which the state stands.
fn height(tree: &impl StateTree) -> Result<Height, EngineError> {
    match tree.read(&[], &[StateKey::Tip])?.pop().flatten() {
        Some(StateValue::Tip(tip)) => Ok(tip.height),
        _ => Err(EngineError::Mismatch { height: Height::new(0) }),
    }
}

async fn block(archive: &Archive, height: Height) -> Result<Candidate, EngineError> {
    let block = archive.get_block(types::Height::new(height.get())).await;
    block.map(|block| block.inner().clone()).ok_or(EngineError::Mismatch { height })
}
