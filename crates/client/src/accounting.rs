//! The accounting of disclosures (45 CFR 164.528), made of a list of accesses that is complete as of a
//! height, so that the accounting is, too.
//!
//! Each disclosure has its date, its recipient, what it was of and why (164.528(b)(2)). Several of one
//! description to one recipient for one purpose are a series: the first, the last, how many (b)(3). An
//! access is accounted for once it is recorded, before anything is released: what custodians then refused is
//! listed, too, and nothing that was released is left out. Pure; refuses to know what recipients are called.

use crate::listing::{AccessList, ListedGrant};
use salus_wire::consent::IntentTerms;
use salus_wire::ids::{PartyId, TimeMs, TimeSpan};
use salus_wire::state::Tip;
use salus_wire::{Classes, Codes, Purpose};
use std::collections::BTreeMap;
use time::{Date, Duration, Month, OffsetDateTime};

/// Years before the request that an accounting goes back, 164.528(a)(1).
const YEARS: i32 = 6;

/// What was disclosed to somebody for a purpose, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// Who received it.
    pub recipient: PartyId,
    /// Why.
    pub purpose: Purpose,
    /// Of which classes.
    pub classes: Classes,
    /// Of which kinds.
    pub codes: Codes,
    /// Measured when: from the earliest to the latest of the series.
    pub measured: TimeSpan,
    /// Block time of the first.
    pub first: TimeMs,
    /// Block time of the last.
    pub last: TimeMs,
    /// How many.
    pub times: u32,
    /// Under which grants.
    pub grants: Vec<GrantPlace>,
}

/// A grant, by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantPlace {
    /// How many wallets the one is back whose it is, of those in whose place another came: 0 is the wallet asked.
    pub back: usize,
    /// Its place on the chain of that wallet, from 1.
    pub index: u16,
}

/// Everything disclosed within a window.
pub struct Accounting {
    /// The final block as of which nothing is missing.
    pub at: Tip,
    /// The block times that it is about.
    pub window: TimeSpan,
    /// In order of the first of each.
    pub disclosures: Vec<Disclosure>,
    /// Accesses whose reader sealed nonsense: nothing was released for them.
    pub void: u32,
}

/// How several disclosures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Those of one description to one recipient for one purpose as one.
    Series,
    /// Each by itself.
    Each,
}

impl Disclosure {
    /// Whether the rule demands it: not for treatment, payment, operations, nor to the patient
    /// (164.528(a)(1)(i), (ii)). The patient sees it all the same.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        match self.purpose {
            Purpose::Treatment
            | Purpose::Payment
            | Purpose::Operations
            | Purpose::PatientRequest
            | Purpose::Emergency => false,
            Purpose::Research | Purpose::PublicHealth => true,
        }
    }

    fn one(terms: &IntentTerms, at: TimeMs, grant: GrantPlace) -> Self {
        Self {
            recipient: terms.requester,
            purpose: terms.purpose,
            classes: terms.scope.classes,
            codes: terms.scope.codes.clone(),
            measured: terms.scope.span,
            first: at,
            last: at,
            times: 1,
            grants: vec![grant],
        }
    }

    fn join(&mut self, other: &Self) {
        let from = self.measured.from().min(other.measured.from());
        let until = self.measured.until().max(other.measured.until());
        self.measured = TimeSpan::new(from, until).unwrap_or(self.measured);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        self.times = self.times.saturating_add(other.times);
        self.grants.extend(other.grants.iter().copied());
        self.grants.sort_unstable();
        self.grants.dedup();
    }
}

/// Accounts for the accesses of a wallet's list and of those of wallets in whose place it came, the latest first,
/// within a window of block time. It is complete as of the earliest of their heights.
#[must_use]
pub fn account(list: &AccessList, before: &[AccessList], window: TimeSpan, detail: Detail) -> Accounting {
    let (mut each, mut void, mut at) = (Vec::new(), 0_u32, list.at);
    for (back, list) in std::iter::once(list).chain(before).enumerate() {
        if list.at.height < at.height {
            at = list.at;
        }
        for grant in &list.grants {
            void = void.saturating_add(within(back, grant, &window, &mut each));
        }
    }
    let mut disclosures = match detail {
        Detail::Each => each,
        Detail::Series => series(each),
    };
    disclosures.sort_by_key(|disclosure| (disclosure.first, disclosure.recipient));
    Accounting { at, window, disclosures, void }
}

/// Adds the disclosures under a grant; gives how many accesses hold no intent.
fn within(back: usize, grant: &ListedGrant, window: &TimeSpan, each: &mut Vec<Disclosure>) -> u32 {
    let (mut void, place) = (0_u32, GrantPlace { back, index: grant.index });
    for access in grant.accesses.iter().filter(|access| window.contains(access.since.time)) {
        match &access.intent {
            Some(intent) => each.push(Disclosure::one(&intent.terms, access.since.time, place)),
            None => void = void.saturating_add(1),
        }
    }
    void
}

fn series(each: Vec<Disclosure>) -> Vec<Disclosure> {
    let mut series: BTreeMap<(PartyId, Purpose, Classes, Codes), Disclosure> = BTreeMap::new();
    for one in each {
        let key = (one.recipient, one.purpose, one.classes, one.codes.clone());
        match series.get_mut(&key) {
            Some(all) => all.join(&one),
            None => drop(series.insert(key, one)),
        }
    }
    series.into_values().collect()
}

/// The window of an accounting that is asked for at `request`: from the beginning, in UTC, of the same day
/// six years before (of 28 February for 29 February) up to and including `request`.
#[must_use]
#[expect(clippy::expect_used, reason = "it begins at 0, or six years before the request, and ends after it")]
pub fn window(request: TimeMs) -> TimeSpan {
    let from = six_years_before(request).unwrap_or_default();
    TimeSpan::new(from, request.plus_ms(1)).expect("the beginning is earlier")
}

/// `None` before 1976 and after the year 9999.
fn six_years_before(request: TimeMs) -> Option<TimeMs> {
    let at =
        OffsetDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(request.get().try_into().ok()?))?;
    let year = at.year().checked_sub(YEARS)?;
    let day = Date::from_calendar_date(year, at.month(), at.day());
    let day = day.or_else(|_| Date::from_calendar_date(year, Month::February, 28)).ok()?;
    let midnight = day.midnight().assume_utc().unix_timestamp();
    Some(TimeMs::new(u64::try_from(midnight).ok()?.checked_mul(1_000)?))
}

#[cfg(test)]
mod tests;
