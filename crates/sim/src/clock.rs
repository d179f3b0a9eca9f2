//! Clocks that are off, that jump, and that stand still.

use crate::keys::START;
use commonware_runtime::Clock as _;
use commonware_runtime::deterministic::Context;
use salus_engine::host;
use salus_node::office::Timers;
use salus_wire::TimeMs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

/// How one member's clock differs from the world's.
#[derive(Debug, Default)]
pub struct Skew {
    /// Milliseconds ahead.
    pub ahead_ms: AtomicI64,
    /// The world's time at which it stopped, or zero.
    pub frozen_at: AtomicU64,
}

/// The world's time in milliseconds.
#[must_use]
pub fn world_ms(context: &Context) -> u64 {
    let since = context.current().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the world began.
#[must_use]
pub fn age_ms(context: &Context) -> u64 {
    world_ms(context).saturating_sub(START.get())
}

/// A clock that reads this skew.
#[must_use]
pub fn clock(context: Arc<Context>, skew: Arc<Skew>) -> host::Clock {
    Arc::new(move || reading(&context, &skew))
}

/// What such a clock reads now.
#[must_use]
pub fn reading(context: &Context, skew: &Skew) -> TimeMs {
    let world = match skew.frozen_at.load(Ordering::Relaxed) {
        0 => world_ms(context),
        frozen => frozen,
    };
    TimeMs::new(world.saturating_add_signed(skew.ahead_ms.load(Ordering::Relaxed)))
}

/// The timers of a runtime.
#[must_use]
pub fn sleeper(context: Arc<Context>) -> Timers {
    Arc::new(move |time| {
        let sleep = context.sleep(time);
        Box::pin(sleep)
    })
}
