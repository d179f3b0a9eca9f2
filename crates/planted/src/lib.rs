//! Bugs that are planted in the product on purpose, to see that the simulator finds them (ADR 10).
//!
//! Without the feature `armed`, which only `cargo xtask planted` asks for, [`is`] is a constant
//! `false` and no bug is in the build. With it, a thread chooses at most one at a time.
#![forbid(unsafe_code)]

mod armed;
mod bug;

#[cfg(feature = "armed")]
pub use armed::arm;
pub use armed::is;
pub use bug::Bug;
