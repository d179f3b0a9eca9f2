//! Which accesses a privacy officer should look at (45 CFR 164.308(a)(1)(ii)(D)).
//!
//! Pure: what custodians remember and what the member knows of its people and patients are arguments, findings
//! are values. A finding is a question to a person, never an accusation and never a denial: nothing is refused
//! for it. Five detectors, each of which can be read in one sentence:
//!
//! - [`Reason::Volume`]: on one day somebody opened the records of far more patients than they usually do;
//! - [`Reason::OffHours`]: somebody looked when they were not on duty, or, when no duty is known of them, at an
//!   hour at which they are hardly ever there;
//! - [`Reason::NoCareRelation`]: a grant to a role let somebody in, and next to none of the others who looked
//!   after the patient in these days are people they otherwise share patients with (the idea that an access
//!   explains itself by other facts: Fabbri and LeFevre, "Explanation-Based Auditing", VLDB 2011);
//! - [`Reason::SameSurname`]: somebody looked at a patient who bears their own surname, which few do;
//! - [`Reason::OwnRecord`]: somebody looked at their own record, or [`Reason::Watched`]: at one that the member
//!   watches.
//!
//! What the member does not know is not guessed: without surnames no surname is compared.
#![forbid(unsafe_code)]

mod facts;

mod care;
mod hours;
mod surname;
mod volume;

mod find;

pub use facts::{Duty, Facts, Patient, Person};
pub use find::{Finding, Reason, find};

#[cfg(test)]
mod tests;
