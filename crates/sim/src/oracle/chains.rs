//! Who is behind which tag: what the ledger hides, and an observer above all members knows.
//!
//! A patient's grants stand in the order in which they were first asked for, which is the order of the
//! patient's chain; a grant's accesses in the order in which they were first intended, which is
//! the order of its lane. Refuses to know what is final.

use super::PatientNo;
use super::kept::{Fault, fault};
use salus_wire::{AccessTag, GrantTag};
use std::collections::{BTreeMap, BTreeSet};

/// All chains and lanes that were told of.
#[derive(Default)]
pub(crate) struct Chains {
    grants: BTreeMap<PatientNo, Vec<GrantTag>>,
    owners: BTreeMap<GrantTag, PatientNo>,
    lanes: BTreeMap<GrantTag, Vec<AccessTag>>,
    accesses: BTreeMap<AccessTag, GrantTag>,
    intended: BTreeSet<AccessTag>,
}

impl Chains {
    /// A patient asks for a grant; again, when an earlier request was lost.
    pub(crate) fn granting(&mut self, patient: PatientNo, grant: GrantTag) -> Result<(), Fault> {
        match self.owners.insert(grant, patient) {
            None => self.grants.entry(patient).or_default().push(grant),
            Some(owner) if owner == patient => {}
            Some(owner) => {
                return fault("INV-3", format!("{owner:?} and {patient:?} share the tag {grant:?}"));
            }
        }
        Ok(())
    }

    /// A reader is about to record this access.
    pub(crate) fn intended(&mut self, access: AccessTag, grant: GrantTag) -> Result<(), Fault> {
        self.intended.insert(access);
        self.learn(access, grant)
    }

    /// This access is under this grant, as somebody who used it shows.
    pub(crate) fn learn(&mut self, access: AccessTag, grant: GrantTag) -> Result<(), Fault> {
        match self.accesses.insert(access, grant) {
            None => self.lanes.entry(grant).or_default().push(access),
            Some(known) if known == grant => {}
            Some(known) => {
                return fault("INV-5", format!("{access:?} is used under {grant:?}, it is under {known:?}"));
            }
        }
        Ok(())
    }

    /// Whose grant it is.
    pub(crate) fn owner(&self, grant: &GrantTag) -> Option<PatientNo> {
        self.owners.get(grant).copied()
    }

    /// Whether a reader told of the access before it used it.
    pub(crate) fn is_intended(&self, access: &AccessTag) -> bool {
        self.intended.contains(access)
    }

    /// The patient's grants, in order.
    pub(crate) fn of_patient(&self, patient: PatientNo) -> &[GrantTag] {
        self.grants.get(&patient).map(Vec::as_slice).unwrap_or_default()
    }

    /// The accesses under the grant, in order.
    pub(crate) fn lane(&self, grant: &GrantTag) -> &[AccessTag] {
        self.lanes.get(grant).map(Vec::as_slice).unwrap_or_default()
    }

    /// The grants before this one on its chain.
    pub(crate) fn before_grant(&self, grant: &GrantTag) -> impl Iterator<Item = &GrantTag> {
        let chain = self.owner(grant).map(|owner| self.of_patient(owner)).unwrap_or_default();
        chain.iter().take_while(move |other| *other != grant)
    }

    /// The accesses before this one on the lane of its grant.
    pub(crate) fn before_access(&self, access: &AccessTag) -> impl Iterator<Item = &AccessTag> {
        let lane = self.accesses.get(access).map(|grant| self.lane(grant)).unwrap_or_default();
        lane.iter().take_while(move |other| *other != access)
    }
}
