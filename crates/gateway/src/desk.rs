//! The desk where a device's frame is looked at: what is it, whose is it, is it signed; and then
//! into the queue. Every no has a code; what cannot be understood goes to quarantine.

use crate::intake::{Claim, Intake};
use crate::quarantine::Quarantine;
use crate::registry::Registry;
use salus_clinical::frame;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_store::queue::{Arrival, Durable, Route};
use salus_wire::{Blob, Code, DeviceId, StreamId, TimeMs};
use std::sync::Arc;
use tokio::sync::watch;

/// By how much a reading's time may differ from the gateway's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    pub(crate) behind_ms: u64,
    pub(crate) ahead_ms: u64,
}

/// The gateway's clock.
pub(crate) type Clock = fn() -> TimeMs;

/// See the head of this file.
pub(crate) struct Desk {
    pub(crate) registry: Arc<Registry>,
    pub(crate) intake: Intake,
    pub(crate) quarantine: Quarantine,
    pub(crate) tolerance: Tolerance,
    pub(crate) machine_key: Arc<MachineKey>,
    pub(crate) clock: Clock,
    pub(crate) open: watch::Receiver<bool>,
}

impl Desk {
    /// Takes a frame that came over the connection of `device`.
    ///
    /// # Errors
    /// The code with which the device is answered.
    pub(crate) async fn take(&self, device: DeviceId, bytes: &[u8]) -> Result<Durable, Code> {
        let now = (self.clock)();
        let taken = match self.admit(device, bytes, now) {
            Ok(claim) => self.intake.take(claim).await,
            Err(code) => Err(code),
        };
        if let Err(code) = &taken {
            tracing::debug!(%code, "refused a frame");
            self.quarantine.keep(*code, device, now, bytes);
        }
        taken
    }

    /// Resolves when the gateway is about to end.
    pub(crate) async fn closing(&self) {
        let mut open = self.open.clone();
        let _ = open.wait_for(|open| !*open).await;
    }

    /// Everything but the signature and the sequence.
    fn admit(&self, device: DeviceId, bytes: &[u8], now: TimeMs) -> Result<Claim, Code> {
        let frame = frame::parse(bytes).map_err(|reject| reject.code())?;
        if frame.device() != device {
            return Err(Code::CertificateMismatch);
        }
        let reading = frame.reading();
        let off = now.since_ms(reading.effective()) > self.tolerance.behind_ms
            || reading.effective().since_ms(now) > self.tolerance.ahead_ms;
        let place = match self.registry.place(device, reading.effective()) {
            // A clock that was reset lies outside of every assignment, too: it is the clock.
            Ok(_) | Err(Code::DeviceUnassigned) if off => return Err(Code::ClockOff),
            place => place?,
        };
        let stream = self.stream(device, reading.kind().name(), &place.grants);
        let class = place.sensitivity.unwrap_or_else(|| reading.class());
        let code = reading.kind().code();
        let route = Route { key: place.key, grants: place.grants, class, code, stream };
        let kept = Blob::new(bytes.to_vec()).map_err(|_| Code::FrameTooLarge)?;
        let (signed, signature) = (frame.signed_bytes(), *frame.signature());
        let sequence = frame.sequence();
        let arrival = Arrival { device, sequence, received: now, route, frame: kept };
        Ok(Claim { signed, signature, arrival })
    }

    /// The same for the same series, and without meaning to anybody else.
    fn stream(&self, device: DeviceId, kind: &str, grants: &ChainAnchor) -> StreamId {
        let label =
            self.machine_key.label(&[b"stream", device.as_bytes(), kind.as_bytes(), grants.as_bytes()]);
        StreamId::new(label.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}
