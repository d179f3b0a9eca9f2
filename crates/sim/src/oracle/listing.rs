//! INV-5, completeness: a list that is told to be complete as of a height is exactly what the ledger
//! holds up to there.
//!
//! The patient walks a chain, and each lane, until the first absent tag, so the list ends at the first
//! that is not final; what stands behind a gap opens nothing, and [`super::seen`] holds custodians
//! to that. Promises that an access that comes to be known later is held against earlier lists too.

use super::PatientNo;
use super::chains::Chains;
use super::kept::{Fault, fault};
use super::ledger::Ledger;
use salus_wire::{AccessTag, GrantTag, Height};

/// What patients were shown.
#[derive(Default)]
pub(crate) struct Listings {
    shown: Vec<Listing>,
}

/// One list.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) patient: PatientNo,
    pub(crate) at: Height,
    pub(crate) grants: Vec<(GrantTag, Vec<AccessTag>)>,
}

impl Listings {
    /// A patient was shown this.
    pub(crate) fn listed(&mut self, listing: Listing, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let checked = if listing.at <= ledger.head() { listing.check(ledger, chains) } else { Ok(()) };
        self.shown.push(listing);
        checked
    }

    /// Checks the lists of this very height, which the ledger has just reached.
    pub(crate) fn reached(&self, at: Height, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        self.shown.iter().filter(|listing| listing.at == at).try_for_each(|list| list.check(ledger, chains))
    }

    /// Checks all lists again, with all that is known by now.
    pub(crate) fn again(&self, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let reached = self.shown.iter().filter(|listing| listing.at <= ledger.head());
        reached.into_iter().try_for_each(|listing| listing.check(ledger, chains))
    }

    /// A list as of a height that no honest member has reached.
    pub(crate) fn unconfirmed(&self, ledger: &Ledger) -> Option<Height> {
        self.shown.iter().map(|listing| listing.at).find(|at| *at > ledger.head())
    }
}

impl Listing {
    fn check(&self, ledger: &Ledger, chains: &Chains) -> Result<(), Fault> {
        let expected = expected(self.patient, self.at, ledger, chains);
        if self.grants == expected {
            return Ok(());
        }
        let (shown, patient, at) = (&self.grants, self.patient, self.at);
        fault("INV-5", format!("{patient:?} was shown {shown:?} as of {at}, the ledger has {expected:?}"))
    }
}

fn expected(
    patient: PatientNo,
    at: Height,
    ledger: &Ledger,
    chains: &Chains,
) -> Vec<(GrantTag, Vec<AccessTag>)> {
    let stands = |grant: &&GrantTag| ledger.grant(grant).is_some_and(|found| found.committed.height <= at);
    let grants = chains.of_patient(patient).iter().take_while(stands);
    grants.map(|grant| (*grant, accesses(grant, at, ledger, chains))).collect()
}

/// In the order of the lane, which need not be the order of becoming final: who loses a tag takes the
/// next, and may be quicker with it.
fn accesses(grant: &GrantTag, at: Height, ledger: &Ledger, chains: &Chains) -> Vec<AccessTag> {
    let stands = |access: &&AccessTag| ledger.access(access).is_some_and(|place| place.height <= at);
    chains.lane(grant).iter().take_while(stands).copied().collect()
}
