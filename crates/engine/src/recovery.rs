//! Taking up the work where this member left it, whatever the moment at which it stopped.
//!
//! The state on disk holds the height of the last block written to it, and the archive holds every
//! block before it is applied; so the state can be behind the archive but never ahead of it.
//! Promises to bring it up to what the archive has delivered, and to refuse a state of other
//! blocks. A state that was lost whole is made again from block 0.

use crate::candidate::Candidate;
use crate::config::Config;
use crate::error::EngineError;
use crate::handle::Archive;
use crate::judge::Judge;
use crate::tree::{DiskTree, StateTree as _};
use commonware_consensus::types;
use salus_wire::Height;
use salus_wire::state::{StateKey, StateValue};

/// Opens the state and brings it up to the archive.
///
/// # Errors
/// [`EngineError::State`]; [`EngineError::Mismatch`] when the two do not belong together.
pub(crate) async fn recover(
    config: &Config,
    genesis: &Candidate,
    archive: &Archive,
) -> Result<Judge<DiskTree>, EngineError> {
    let mut tree = DiskTree::open(&config.dir.join("state"))?;
    if tree.is_empty() {
        tree.write(&salus_ledger::genesis_state(&config.genesis), &genesis.header().state)?;
    }
    let height = height(&tree)?;
    let last =
        if height == genesis.header().height { genesis.clone() } else { block(archive, height).await? };
    let mut judge = Judge::new(&config.genesis, tree, last.header())?;
    let delivered = archive.get_processed().await.map_or(0, |processed| processed.height().get());
    while let Some(next) = judge.head().height.next().filter(|next| next.get() <= delivered) {
        judge.commit(&block(archive, next).await?)?;
    }
    Ok(judge)
}

/// The height at which the state stands.
fn height(tree: &DiskTree) -> Result<Height, EngineError> {
    match tree.read(&[], &[StateKey::Tip])?.pop().flatten() {
        Some(StateValue::Tip(tip)) => Ok(tip.height),
        _ => Err(EngineError::Mismatch { height: Height::new(0) }),
    }
}

async fn block(archive: &Archive, height: Height) -> Result<Candidate, EngineError> {
    let block = archive.get_block(types::Height::new(height.get())).await;
    block.map(|block| block.inner().clone()).ok_or(EngineError::Mismatch { height })
}
