//! The queue of what should be looked at: a file of the officer's own.

use crate::files::{load, store};
use crate::output::Failure;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::Digest;
use salus_review::{Finding, Reason};
use salus_wire::activity::SignOff;
use salus_wire::{AccessTag, Code, PartyId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::Path;

/// The suffix of the file that is locked while a queue is changed.
const LOCK: &str = ".lock";

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
    pub(super) accesses: BTreeSet<AccessTag>,
    /// In words.
    pub(super) reasons: BTreeSet<String>,
    pub(super) closed: Option<SignOff>,
}

/// Holds a queue against everybody else who would change it, until it is dropped.
pub(super) struct Locked(#[expect(dead_code, reason = "held, not read: the lock ends with it")] File);

/// Waits until nobody else changes the queue.
pub(super) fn lock(path: &Path) -> Result<Locked, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(LOCK);
    let file = OpenOptions::new().create(true).append(true).open(&name);
    let locked = file.and_then(|file| file.lock().map(|()| Locked(file)));
    locked.map_err(|error| Failure::file(Path::new(&name), error))
}

impl Queue {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        load(path)
    }

    pub(super) fn write(&self, path: &Path, _locked: &Locked) -> Result<(), Failure> {
        store(path, self)
    }

    /// Adds findings; says how many are new. One that is open learns of what is new; one that was closed without it is
    /// asked about again.
    pub(super) fn add(&mut self, findings: &[Finding]) -> usize {
        let mut there: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (nth, entry) in self.entries.iter().enumerate() {
            there.entry((entry.requester, entry.patient, entry.day)).or_default().push(nth);
        }
        let before = self.entries.len();
        for Finding { requester, patient, day, accesses, reasons } in findings {
            let (requester, patient, day) = (*requester, *patient, *day);
            let mut accesses: BTreeSet<AccessTag> = accesses.iter().copied().collect();
            let mut reasons: BTreeSet<String> = reasons.iter().map(in_words).collect();
            let mut open = None;
            for nth in there.get(&(requester, patient, day)).into_iter().flatten() {
                match self.entries.get(*nth) {
                    Some(entry) if entry.closed.is_none() => open = Some(*nth),
                    Some(entry) => {
                        accesses.retain(|access| !entry.accesses.contains(access));
                        reasons.retain(|reason| !entry.reasons.contains(reason));
                    }
                    None => {}
                }
            }
            match open.and_then(|nth| self.entries.get_mut(nth)) {
                Some(entry) => {
                    entry.accesses.extend(accesses);
                    entry.reasons.extend(reasons);
                }
                None if accesses.is_empty() && reasons.is_empty() => {}
                None => {
                    self.entries.push(Entry { requester, patient, day, accesses, reasons, closed: None });
                }
            }
        }
        self.entries.len().saturating_sub(before)
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

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::chain::ChainTag;
    use salus_crypto::sign::Signature;
    use salus_wire::TimeMs;
    use salus_wire::activity::{SignOffTerms, Verdict};

    fn finding(accesses: &[u8], reasons: &[Reason]) -> Finding {
        let tag = |n: &u8| AccessTag(ChainTag::from_digest(Digest::from_bytes([*n; 32])));
        Finding {
            requester: PartyId::new([1; 16]),
            patient: None,
            day: 5,
            accesses: accesses.iter().map(tag).collect(),
            reasons: reasons.iter().copied().collect(),
        }
    }

    fn close(entry: &mut Entry) {
        let Entry { requester, patient, day, .. } = *entry;
        let (officer, at, about) = (PartyId::new([2; 16]), TimeMs::new(1), Digest::ZERO);
        let terms = SignOffTerms { requester, patient, day, about, officer, at, verdict: Verdict::Explained };
        entry.closed = Some(SignOff { terms, signature: Signature::from_bytes([0; 64]) });
    }

    #[test]
    fn what_was_closed_is_asked_about_again_when_there_is_more() {
        let mut queue = Queue::default();
        assert_eq!(queue.add(&[finding(&[1, 2], &[Reason::OffHours, Reason::Watched])]), 1);
        // Fewer files the next time take nothing away.
        assert_eq!(queue.add(&[finding(&[1], &[Reason::OffHours])]), 0);
        assert_eq!((queue.entries[0].accesses.len(), queue.entries[0].reasons.len()), (2, 2));
        close(&mut queue.entries[0]);
        assert_eq!(queue.add(&[finding(&[1, 2], &[Reason::Watched])]), 0, "it is closed");
        assert_eq!(queue.add(&[finding(&[1, 2, 3], &[Reason::Watched])]), 1, "another access");
        assert_eq!(queue.entries[1].accesses.len(), 1);
        close(&mut queue.entries[1]);
        let more = Reason::Volume { patients: 90, usual: 20 };
        assert_eq!(queue.add(&[finding(&[], &[more])]), 1, "another reason");
        assert_eq!(queue.add(&[finding(&[], &[more])]), 0);
    }
}
