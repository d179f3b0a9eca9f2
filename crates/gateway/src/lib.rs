//! The hospital's edge: devices in, sealed segments out, acknowledged only once durable.
#![forbid(unsafe_code)]

pub mod batch;
mod epochs;
mod segments;

pub use epochs::Members;
