//! The adversaries: one module for each thing they try.
//!
//! Each learns from a region of its own, made by the same code from another seed, of which it knows
//! everything; then it is tried on the region in question, of whose encounters it knows a fifth. Which fifth
//! is turned, so that each encounter is once among the known.

pub mod access;
pub mod anchors;
pub mod attribution;
pub mod bayes;
pub mod patient;

use crate::ledger::{Ledger, Truth};
use crate::region::World;

/// A region, what is seen of it, and what is true.
pub struct Case<'a> {
    /// Who was where.
    pub world: &'a World,
    /// What is seen.
    pub ledger: &'a Ledger,
    /// What is true.
    pub truth: &'a Truth,
    /// Added to the numbers of patients, so that those of several regions differ.
    pub offset: usize,
}

impl Case<'_> {
    /// The patient of an encounter.
    #[must_use]
    pub fn patient(&self, encounter: usize) -> Option<usize> {
        self.world.encounters.get(encounter).map(|stay| stay.patient)
    }

    /// The patient's number over all regions.
    #[must_use]
    pub fn cluster(&self, encounter: usize) -> usize {
        self.offset + self.patient(encounter).unwrap_or(0)
    }
}

/// Of the fifths in which encounters are known, the one of this encounter.
#[must_use]
pub fn fifth(encounter: usize) -> usize {
    // Encounters stand in the order of time; a large odd factor mixes neighbours.
    (encounter.wrapping_mul(2_654_435_761) >> 7) % 5
}
