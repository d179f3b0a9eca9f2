//! Which bug is there.

use crate::bug::Bug;

#[cfg(feature = "armed")]
thread_local! {
    static PRESENT: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug is there, on this thread.
#[cfg(feature = "armed")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PRESENT.get() == Some(bug)
}

/// Whether this bug is there: no.
#[cfg(not(feature = "armed"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

/// Chooses the bug for this thread, or none.
#[cfg(feature = "armed")]
pub fn arm(bug: Option<Bug>) {
    PRESENT.set(bug);
}
