//! The proving ground: a whole consortium in one thread, from one seed.
//!
//! Members, gateway, devices, patients and readers run the product's own code on the engine's
//! deterministic runtime. Where the product meets the machine it runs on ([`salus_engine::host`],
//! the office of `salus-node`, the ground of `salus-client`, the disks of `salus-store`) the world
//! stands: its network loses, delays and cuts, its disks tear, fill up and rot, its clocks jump, its
//! processes die at any step, and up to f of its members lie. An [`oracle`] that shares no predicate
//! with the product watches every step.
//!
//! The same seed gives the same world, event for event; [`run::Outcome::trace`] proves it.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a simulation stops at what cannot be")]

pub mod clock;
pub mod colluder;
pub mod disk;
pub mod false_tree;
pub mod foul;
pub mod gateway;
pub mod keys;
pub mod liar;
pub mod links;
pub mod member;
pub mod oracle;
pub mod people;
pub mod plan;
#[cfg(feature = "planted")]
pub mod planted;
pub mod queue_disk;
pub mod road;
pub mod run;
pub mod thief;
pub mod trim;
pub mod world;
