//! How much devices may send: a rate for each, and room under way for all together.
//!
//! It promises that a device that floods is slowed down and nobody else: its socket is not read until
//! its bucket has enough, which costs no signature check and no disk. It promises that what all devices
//! have under way together is bounded in bytes, and that the room goes round: a connection asks for
//! one frame at a time, and whoever asked first is first.

use crate::desk::Clock;
use futures::future::BoxFuture;
use salus_link::Quota;
use salus_wire::DeviceId;
use salus_wire::limits::FRAME_BYTES_MAX;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// KiB of frames under way at once, over all connections.
const UNDER_WAY_KIB_MAX: usize = 16 * 1024;
/// KiB that a frame counts for at least: what is kept beside its bytes.
const FRAME_KIB_MIN: usize = 8;

const _: () = assert!(FRAME_BYTES_MAX / 1024 < UNDER_WAY_KIB_MAX && FRAME_KIB_MIN < UNDER_WAY_KIB_MAX);

/// See the head of this file.
pub(crate) struct Flow {
    quota: Quota<DeviceId>,
    room: Arc<Semaphore>,
    clock: Clock,
}

/// A frame's room; given back when it is dropped.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

/// When a frame may go on.
pub(crate) enum Turn {
    /// At once.
    Now(Room),
    /// When this resolves.
    Later(BoxFuture<'static, Room>),
}

impl Flow {
    /// So many frames a second for each device; every KiB that is begun counts as one.
    pub(crate) fn new(frames_per_second: NonZeroU32, clock: Clock) -> Self {
        Self {
            quota: Quota::new(frames_per_second),
            room: Arc::new(Semaphore::new(UNDER_WAY_KIB_MAX)),
            clock,
        }
    }

    /// When a frame of so many bytes may go on. A connection asks for the next only then.
    pub(crate) fn turn(self: &Arc<Self>, device: DeviceId, bytes: usize) -> Turn {
        let (tokens, kib) = costs(bytes);
        let paid = self.quota.take(&device, tokens, (self.clock)());
        if paid.is_ok()
            && let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib)
        {
            return Turn::Now(Some(room));
        }
        let flow = Arc::clone(self);
        Turn::Later(Box::pin(async move {
            let mut paid = paid;
            while let Err(wait_ms) = paid {
                sleep(Duration::from_millis(u64::from(wait_ms))).await;
                paid = flow.quota.take(&device, tokens, (flow.clock)());
            }
            // The semaphore is never closed.
            Arc::clone(&flow.room).acquire_many_owned(kib).await.ok()
        }))
    }
}

/// Tokens and KiB of room.
fn costs(bytes: usize) -> (u32, u32) {
    let kib = bytes.div_ceil(1024);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (number(kib), number(kib.clamp(FRAME_KIB_MIN, UNDER_WAY_KIB_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use salus_wire::TimeMs;

    const START: TimeMs = TimeMs::new(1_790_000_000_000);

    fn flow(frames_per_second: u32) -> Arc<Flow> {
        Arc::new(Flow::new(NonZeroU32::new(frames_per_second).unwrap(), || START))
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::new([n; 16])
    }

    fn now(flow: &Arc<Flow>, who: u8, bytes: usize) -> Option<Room> {
        match flow.turn(device(who), bytes) {
            Turn::Now(room) => Some(room),
            Turn::Later(_) => None,
        }
    }

    #[test]
    fn a_device_that_floods_waits_and_another_does_not() {
        let flow = flow(4);
        let kept: Vec<_> = (0..4).map(|_| now(&flow, 1, 300).unwrap()).collect();
        assert!(now(&flow, 1, 300).is_none());
        assert!(now(&flow, 2, 4_096).is_some());
        assert!(now(&flow, 2, 1).is_none());
        // More than a whole bucket costs a whole bucket.
        assert!(now(&flow, 3, FRAME_BYTES_MAX).is_some());
        assert_eq!(kept.len(), 4);
    }

    #[test]
    fn room_is_bounded_in_bytes_and_goes_to_whoever_asked_first() {
        let flow = flow(1_000_000);
        let mut held: Vec<Room> = std::iter::from_fn(|| now(&flow, 1, 64 * 1024)).collect();
        assert_eq!(held.len() * 64, UNDER_WAY_KIB_MAX);
        let Turn::Later(mut first) = flow.turn(device(2), 100) else { panic!("there is no room") };
        let Turn::Later(mut second) = flow.turn(device(3), 100) else { panic!("there is no room") };
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        held.pop();
        let room = first.now_or_never().unwrap();
        assert!(room.is_some() && second.now_or_never().unwrap().is_some());
    }
}
