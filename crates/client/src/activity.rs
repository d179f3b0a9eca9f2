//! The review of who looks at what: a privacy officer asks every custodian what their member's people looked at.
//! ADR 17.

use crate::drive::{ANSWER_WITHIN, Consortium};
use crate::emergency::{Officer, fault};
use crate::error::{ClientError, Fault};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use salus_wire::activity::{Activity, ActivityPage, ActivityRequest, ActivityTerms, activity_message};
use salus_wire::rpc::{Request, Response};
use salus_wire::{AccessTag, Code, MemberIndex, PartyId, namespaces};
use std::collections::{BTreeMap, BTreeSet};

/// Pages that are taken from one custodian for one day: more than four million rows.
const PAGES_MAX: usize = 1_024;

/// What custodians remember of some days, together.
#[derive(Debug, Default)]
pub struct ActivityList {
    /// Each access once, by time, with the custodians that remember it. An access that opened anything is
    /// remembered by f + 1 honest custodians at least; what fewer say may be a lie, or was in vain.
    pub rows: Vec<(Activity, BTreeSet<MemberIndex>)>,
    /// Custodians that did not answer, and why.
    pub faults: Vec<Fault>,
}

impl Consortium {
    /// What the people of an officer's member looked at from day `first` through day `last`, in days of UTC
    /// since 1970-01-01. `day_done` hears of each day that is gathered.
    ///
    /// # Errors
    /// When none answered for a day: [`ClientError::Refused`] if all say the same, else
    /// [`ClientError::Unproven`] with what each member did.
    pub async fn activity(
        &self,
        officer: &Officer,
        first: u32,
        last: u32,
        mut day_done: impl FnMut(u32),
    ) -> Result<ActivityList, ClientError> {
        let mut told: BTreeMap<(PartyId, AccessTag), (Activity, BTreeSet<MemberIndex>)> = BTreeMap::new();
        let mut faults: BTreeMap<MemberIndex, Fault> = BTreeMap::new();
        for day in first..=last {
            let mut asked: FuturesUnordered<_> = (0..self.members)
                .map(MemberIndex::new)
                .map(|to| async move { (to, self.day_of(officer, to, day).await) })
                .collect();
            let mut answered = 0_usize;
            while let Some((to, answer)) = asked.next().await {
                match answer {
                    Ok(rows) => {
                        answered = answered.saturating_add(1);
                        for row in rows {
                            let of = told.entry((row.requester, row.access));
                            // Custodians decided at their own times; the first counts.
                            let (kept, by) = of.or_insert_with(|| (row.clone(), BTreeSet::new()));
                            kept.at = kept.at.min(row.at);
                            by.insert(to);
                        }
                    }
                    Err(fault) => drop(faults.insert(to, fault)),
                }
            }
            if answered == 0 {
                return Err(refused(faults.into_values().collect()));
            }
            day_done(day);
        }
        let mut rows: Vec<_> = told.into_values().collect();
        rows.sort_unstable();
        Ok(ActivityList { rows, faults: faults.into_values().collect() })
    }

    /// All that one custodian remembers of one day.
    async fn day_of(&self, officer: &Officer, to: MemberIndex, day: u32) -> Result<Vec<Activity>, Fault> {
        let mut rows: Vec<Activity> = Vec::new();
        for _ in 0..PAGES_MAX {
            let skip = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let Ok(request) = self.activity_request(officer, to, day, skip) else {
                return Err(Fault { member: to, code: Code::Internal, detail: String::new() });
            };
            let answer = self.call(to, &Request::Activity(request), ANSWER_WITHIN).await;
            let Some(Response::Activity(ActivityPage { rows: page, remaining })) = answer else {
                return Err(fault(to, answer));
            };
            if !page.iter().all(|row| row.day() == day) || (page.is_empty() && remaining > 0) {
                let detail = "its answer is not about that day".to_owned();
                return Err(Fault { member: to, code: Code::BodyMismatch, detail });
            }
            rows.extend(page.into_vec());
            if remaining == 0 {
                return Ok(rows);
            }
        }
        Err(Fault { member: to, code: Code::TooLarge, detail: "it does not come to an end".to_owned() })
    }

    fn activity_request(
        &self,
        officer: &Officer,
        custodian: MemberIndex,
        day: u32,
        skip: u32,
    ) -> Result<ActivityRequest, ClientError> {
        let mut nonce = [0; 16];
        rand_core::Rng::fill_bytes(&mut self.ground.rng()?, &mut nonce);
        let (sent, officer_party, key) = (self.ground.now(), officer.party, officer.key.public_key());
        let terms = ActivityTerms { custodian, nonce, sent, officer: officer_party, key, day, skip };
        let signature = officer.key.sign(namespaces::ACTIVITY, &activity_message(officer.chain, &terms));
        Ok(ActivityRequest { terms, signature })
    }
}

fn refused(faults: Vec<Fault>) -> ClientError {
    match faults.first().map(|fault| fault.code) {
        Some(code) if faults.iter().all(|fault| fault.code == code) => ClientError::Refused { code },
        _ => ClientError::Unproven { faults },
    }
}
