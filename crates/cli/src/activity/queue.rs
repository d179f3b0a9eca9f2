//! The queue of what should be looked at: a file of the officer's own.

use crate::files::{load, store};
use crate::output::Failure;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::Digest;
use salus_review::{Finding, Reason};
use salus_wire::activity::SignOff;
use salus_wire::{AccessTag, Code, PartyId};
use std::path::Path;

/// Findings in the order in which they came.
#[derive(Default, BorshSerialize, BorshDeserialize)]
pub(super) struct Queue {
    pub(super) entries: Vec<Entry>,
}

/// A finding, and what came of it.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Entry {
    pub(super) requester: PartyId,
    pub(super) patient: Option<Digest>,
    pub(super) day: u32,
    pub(super) accesses: Vec<AccessTag>,
    /// In words.
    pub(super) reasons: Vec<String>,
    pub(super) closed: Option<SignOff>,
}

impl Queue {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        load(path)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        store(path, self)
    }

    /// Adds a finding; says whether it is new. One that is there already learns of new reasons while it is open.
    pub(super) fn add(&mut self, finding: &Finding) -> bool {
        let Finding { requester, patient, day, accesses, reasons } = finding;
        let reasons: Vec<String> = reasons.iter().map(in_words).collect();
        let same =
            |entry: &&mut Entry| (entry.requester, entry.patient, entry.day) == (*requester, *patient, *day);
        match self.entries.iter_mut().find(same) {
            Some(entry) => {
                if entry.closed.is_none() {
                    entry.accesses.clone_from(accesses);
                    entry.reasons = reasons;
                }
                false
            }
            None => {
                let (requester, patient, day, accesses) = (*requester, *patient, *day, accesses.clone());
                self.entries.push(Entry { requester, patient, day, accesses, reasons, closed: None });
                true
            }
        }
    }

    /// The one open finding of this name.
    pub(super) fn open(&mut self, id: &str) -> Result<&mut Entry, Failure> {
        let mut named = self.entries.iter_mut().filter(|entry| entry.closed.is_none() && entry.id() == id);
        match (named.next(), named.next()) {
            (Some(entry), None) => Ok(entry),
            (None, _) => Err(Failure::new(Code::NotFound, "no such finding is open on the queue")),
            (Some(_), Some(_)) => Err(Failure::new(Code::Usage, "two findings bear this name")),
        }
    }
}

impl Entry {
    /// The day, and enough of who and whom to tell it from others.
    pub(super) fn id(&self) -> String {
        let whom = self.patient.map_or("day".to_owned(), |patient| start(&patient.to_string()));
        format!("{}:{}:{whom}", super::date(self.day), start(&self.requester.to_string()))
    }
}

/// Digits by which findings of one day are told apart.
fn start(name: &str) -> String {
    name.chars().take(12).collect()
}

fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::Volume { patients, usual } => {
            format!("{patients} patients on one day, at most {usual} are usual")
        }
        Reason::OffHours => "off hours".to_owned(),
        Reason::NoCareRelation => "no care relation".to_owned(),
        Reason::SameSurname => "same surname".to_owned(),
        Reason::OwnRecord => "own record".to_owned(),
        Reason::Watched => "watched record".to_owned(),
    }
}
