//! The hospital's edge: devices in, sealed segments out, acknowledged only once durable.
//!
//! The road of a frame: [`mqtt`] takes it off a device's connection; the desk decides whether it
//! may come in ([`registry`] says whose it is), its signature is checked, and the queue of
//! `salus-store` makes it durable, which alone lets the device be answered; [`batch`] seals it into
//! a segment and says what to bring where, the pipeline brings it. The follower listens to the
//! ledger for withdrawals. [`device_client`] is the other end of [`mqtt`].
#![forbid(unsafe_code)]

pub mod batch;
pub mod config;
pub mod device_client;
pub mod error;
pub mod forget;
pub mod mqtt;
pub mod quarantine;
pub mod registry;
pub mod run;

mod deliveries;
mod desk;
#[cfg(test)]
mod door_tests;
mod epochs;
mod follow;
mod intake;
mod pipeline;
mod segments;
mod stragglers;

pub use config::GatewayConfig;
pub use device_client::{DeviceClient, Dialect};
pub use epochs::Members;
pub use error::{DeviceError, GatewayError};
pub use run::run;
