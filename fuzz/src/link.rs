//! Calls as a peer may frame them. The promises: nothing panics; what is read is what stands there,
//! frame after frame, which is written here again; nothing is read beyond the first bad frame.

use crate::targets::Seed;
use salus_link::frame::{Budget, CallId, FrameError, first_byte, read_rest, write_frame};
use salus_wire::Height;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::rpc::{Request, Response};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Memory never makes a reader wait, so this never passes.
const WITHIN: Duration = Duration::from_secs(60);

#[expect(clippy::expect_used, reason = "without a runtime there is nothing to feed")]
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Bytes as they come out of TLS.
pub fn link_frame(data: &[u8]) {
    let read = RUNTIME.block_on(read_all(data));
    assert!(data.starts_with(&read), "a frame is read that is not there");
}

/// Everything that was read, written again.
async fn read_all(mut data: &[u8]) -> Vec<u8> {
    let budget = Budget::new(0);
    let mut written = Vec::new();
    while let Ok(Some(first)) = first_byte(&mut data).await {
        match read_rest(&mut data, first, &budget, WITHIN).await {
            Ok(frame) => {
                let _ = salus_wire::decode::<Request>(&frame.body, RPC_BYTES_MAX);
                let _ = salus_wire::decode::<Response>(&frame.body, RPC_BYTES_MAX);
                written.extend(rewritten(frame.id, &frame.body));
            }
            Err(FrameError::Slow) => unreachable!("memory is never slow"),
            Err(_) => break,
        }
    }
    written
}

/// The frame around a body that is encoded already.
fn rewritten(id: CallId, body: &[u8]) -> Vec<u8> {
    let empty = write_frame(id, &()).unwrap_or_default();
    let length = u32::try_from(body.len().saturating_add(8)).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), empty.get(4..).unwrap_or_default(), body].concat()
}

/// Frames of two requests, one cut short, one that claims too much.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let status = write_frame(CallId::new(1), &Request::Status).unwrap_or_default();
    let follow = write_frame(CallId::new(2), &Request::Follow(Height::new(7))).unwrap_or_default();
    let both = [status.clone(), follow.clone()].concat();
    let cut = follow.get(..follow.len().saturating_sub(1)).unwrap_or_default().to_vec();
    let huge = [&u32::MAX.to_le_bytes(), follow.get(4..).unwrap_or_default()].concat();
    vec![Seed::new("status", status), Seed::new("both", both), Seed::new("cut", cut), Seed::new("huge", huge)]
}
