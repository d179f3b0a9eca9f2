//! HL7 FHIR R4 (4.0.1) in and out.
//!
//! Promises that what is read has one meaning and none of it is lost, and that everything else is
//! refused by the name of the element. Refuses to guess, to fetch what a reference points at, and to
//! know a server.
//!
//! The rooms, in reading order: [`consent`] is a patient's consent and opens with its profile;
//! [`opaque`] are the texts it carries for the patient alone; [`refused`] is why one is turned away.
//! Within, `json` is the strict tree and `moment` the times.

pub mod consent;
pub mod opaque;
pub mod refused;

mod json;
mod moment;

pub use consent::{Actor, ConsentParts, ConsentTerms, Patient};
pub use moment::{first_ms, write as instant};
pub use opaque::{ConsentId, Plain, Uri};
pub use refused::{ConsentRefused, Why};
