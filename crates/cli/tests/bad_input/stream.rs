//! Devices that stream on while something happens, one of which is revoked on the ledger.

use super::consortium::{Consortium, SOON};
use super::device::{Device, settle};
use super::frames::Kept;
use salus_gateway::{DeviceClient, Dialect};
use salus_wire::Code;
use std::time::Instant;

/// Blocks after the one that holds a device's revocation until its frames are refused.
const REFUSED_WITHIN_BLOCKS: u64 = 10;
/// Frames that the other device sends after that.
const FRAMES_AFTER: u64 = 20;

/// A device that streams.
struct Streaming<'a> {
    device: &'a Device,
    client: DeviceClient,
    next: u64,
    kept: Kept,
}

impl<'a> Streaming<'a> {
    async fn begin(device: &'a Device) -> Self {
        let client = device.connect(Dialect::V5).await.unwrap();
        Self { device, client, next: 1_000, kept: Kept::new() }
    }

    async fn send(&mut self) -> Result<(), Code> {
        let sequence = self.next;
        self.next += 1;
        let settled = settle(&mut self.client, self.device.beat(sequence)).await;
        settled.result.map_err(|nack| nack.code.unwrap())?;
        self.kept.insert((self.device.id.to_string(), sequence));
        Ok(())
    }
}

/// Revokes `revoked` on the ledger while both stream; says what was kept, and after how many blocks
/// the first frame was refused.
pub(crate) async fn revoked_while_streaming(
    consortium: &Consortium,
    revoked: &Device,
    other: &Device,
) -> (Kept, u64) {
    let (mut bad, mut good) = (Streaming::begin(revoked).await, Streaming::begin(other).await);
    for _ in 0..20 {
        bad.send().await.unwrap();
        good.send().await.unwrap();
    }
    let value = consortium.salus(&["device", "revoke", "--device", &revoked.path]);
    let final_at = value["height"].as_u64().unwrap();
    let started = Instant::now();
    let code = loop {
        good.send().await.unwrap();
        match bad.send().await {
            Ok(()) => assert!(started.elapsed() < SOON, "frames of a revoked device are kept"),
            Err(code) => break code,
        }
    };
    assert_eq!(code, Code::DeviceRevoked);
    let blocks = consortium.height(0).saturating_sub(final_at);
    assert!(blocks <= REFUSED_WITHIN_BLOCKS, "refused only {blocks} blocks later");
    for _ in 0..FRAMES_AFTER {
        assert_eq!(bad.send().await, Err(Code::DeviceRevoked));
        good.send().await.unwrap();
    }
    // A new connection changes nothing.
    let mut again = Streaming::begin(revoked).await;
    assert_eq!(again.send().await, Err(Code::DeviceRevoked));
    let mut kept = bad.kept;
    kept.extend(good.kept);
    (kept, blocks)
}
