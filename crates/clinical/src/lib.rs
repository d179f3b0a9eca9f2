//! Clinical formats in and out: the frame a device signs, the readings within, how many of them lie in
//! a segment, the consent a patient gives.
//!
//! Promises that what it accepts has one meaning and one encoding, that numbers stay exact decimals
//! and integers, that a segment gives back the very bytes that devices signed, and that nothing is
//! written out for people but a [`Verified`](salus_proof::Verified) [`Sample`] (INV-6). Refuses to
//! guess: an unknown kind, unit, field or byte is a [`Reject`] with a code, an unknown element of a
//! consent a [`ConsentRefused`] with its name. It knows no network, no disk and no clock.
//!
//! The rooms, in reading order: [`decimal`] keeps numbers exact; [`kind`] lists what can be
//! observed; [`reading`] is one observation; [`frame`] is a reading as its device signs it;
//! [`segment`] packs many frames; [`render`] writes verified readings; [`fhir`] reads and writes a
//! patient's consent. `spec/frame.md`, `spec/segment.md` and `spec/consent.md` say the same to a
//! stranger.
#![forbid(unsafe_code)]

pub mod decimal;
pub mod fhir;
pub mod frame;
pub mod kind;
pub mod reading;
pub mod render;
pub mod segment;

mod column;
mod error;
mod senml;

pub use decimal::Decimal;
pub use error::{Reject, SegmentFault};
pub use fhir::{ConsentRefused, ConsentTerms};
pub use frame::Frame;
pub use kind::Kind;
pub use reading::{Rate, Reading, Sample, Value, Waveform};
