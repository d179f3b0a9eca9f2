//! Final blocks for a follower, in order, bounded in number and in bytes.

use crate::limits::FOLLOW_BYTES_MAX;
use crate::office::Office;
use crate::refused;
use futures::future::{Either, select};
use salus_engine::Handle;
use salus_wire::limits::FOLLOW_BLOCKS_MAX;
use salus_wire::rpc::{FinalBlock, Refusal, Response};
use salus_wire::{Code, Height, List, encode};
use std::time::Duration;

/// How long a follower waits for the first block.
const FIRST_BLOCK_WITHIN: Duration = Duration::from_secs(1);

/// The blocks above `above`; none when none came in time. The first is given whatever its size.
pub(crate) async fn blocks(office: &Office, engine: &Handle, above: Height) -> Result<Response, Refusal> {
    let first = above.next().ok_or(refused::bare(Code::NotFound))?;
    let mut blocks: Vec<FinalBlock> = Vec::new();
    let reached = std::pin::pin!(engine.reached(first));
    if let Either::Left((reached, _)) = select(reached, (office.timers)(FIRST_BLOCK_WITHIN)).await {
        reached.map_err(refused::engine)?;
        let mut next = Some(first);
        let mut bytes = 0_usize;
        while let Some(height) = next.filter(|_| blocks.len() < FOLLOW_BLOCKS_MAX) {
            let Some(block) = engine.block(height).await.map_err(refused::engine)? else { break };
            bytes = bytes.saturating_add(encode(block.as_ref()).len());
            if bytes > FOLLOW_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            blocks.push(FinalBlock::clone(&block));
            next = height.next();
        }
    }
    List::new(blocks).map(Response::Blocks).map_err(|_| refused::bare(Code::Internal))
}
