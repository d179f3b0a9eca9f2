//! What a member knows of its own people and patients. All of it may be missing.

use salus_crypto::digest::Digest;
use salus_wire::{PartyId, TimeMs};
use std::collections::BTreeMap;

/// What is known beside the accesses.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By the party under which they are registered.
    pub people: BTreeMap<PartyId, Person>,
    /// By the name that records of activity give them ([`salus_wire::activity::patient_name`]).
    pub patients: BTreeMap<Digest, Patient>,
    /// What the member's clocks show beyond UTC, in minutes: hours of the day are local.
    pub utc_offset_minutes: i32,
}

/// One of the member's people.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Their surname, as written.
    pub surname: Option<String>,
    /// When they were on duty, in no particular order. When there is any, it is taken for all of it.
    pub duty: Vec<Duty>,
}

/// A time on duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    /// From.
    pub from: TimeMs,
    /// Until.
    pub until: TimeMs,
}

/// One patient.
#[derive(Clone, Debug, Default)]
pub struct Patient {
    /// Their surname, as written.
    pub surname: Option<String>,
    /// Who they are among the member's own people, if they are.
    pub party: Option<PartyId>,
    /// Whether every access to them is to be looked at.
    pub watched: bool,
}
