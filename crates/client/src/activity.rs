//! The review of who looks at what: a privacy officer asks every custodian what their member's people looked at.
//! ADR 17.

use crate::drive::{ANSWER_WITHIN, Consortium};
use crate::emergency::{Officer, fault};
use crate::error::{ClientError, Fault};
use crate::patience::Patience;
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use salus_wire::activity::{Activity, ActivityPage, ActivityRequest, ActivityTerms, activity_message};
use salus_wire::rpc::{Request, Response};
use salus_wire::{Code, Faults, MemberIndex, TimeMs, namespaces};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pages that are taken from one custodian for one day: more than four million rows.
const PAGES_MAX: usize = 1_024;

/// How long a busy custodian is asked again for one page.
const BUSY_WITHIN: Duration = Duration::from_secs(30);
/// Once enough have answered for a day, the others get as long again and at most this.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);

/// What custodians remember of some days, together.
#[derive(Debug, Default)]
pub struct ActivityList {
    /// What f + 1 or more custodians tell alike, by time: so at least one honest one does. The time is one that an
    /// honest custodian could have told.
    pub rows: Vec<Activity>,
    /// What fewer tell: it may be a lie, or a look that was in vain.
    pub unsure: Vec<Activity>,
    /// Days for which fewer than 2f + 1 custodians answered: something may be missing.
    pub incomplete: Vec<u32>,
    /// Custodians that did not answer, and why.
    pub faults: Vec<Fault>,
}

/// What each custodian told of some days.
#[derive(Default)]
struct Told {
    /// By everything in a row but its time, at what time each custodian told it.
    rows: BTreeMap<Activity, BTreeMap<MemberIndex, TimeMs>>,
}

impl Told {
    fn hear(&mut self, from: MemberIndex, rows: Vec<Activity>) {
        for row in rows {
            let at = row.at;
            let content = Activity { at: TimeMs::new(0), ..row };
            let time = self.rows.entry(content).or_default().entry(from).or_insert(at);
            *time = at.min(*time);
        }
    }

    /// Splits what `sure` or more custodians tell alike, with the time of the `sure`-th of them, from the rest.
    fn split(self, sure: usize) -> (Vec<Activity>, Vec<Activity>) {
        let timed = self.rows.into_iter().map(|(row, told)| {
            let mut times: Vec<TimeMs> = told.into_values().collect();
            times.sort_unstable();
            let at = times.get(sure.saturating_sub(1)).or(times.first()).copied().unwrap_or_default();
            (times.len() >= sure, Activity { at, ..row })
        });
        let (mut rows, mut unsure): (Vec<_>, Vec<_>) = timed.partition(|(sure, _)| *sure);
        rows.sort_unstable();
        unsure.sort_unstable();
        let bare = |rows: Vec<(bool, Activity)>| rows.into_iter().map(|(_, row)| row).collect();
        (bare(rows), bare(unsure))
    }
}

impl Consortium {
    /// What the people of an officer's `member` looked at from day `first` through day `last`, in days of UTC
    /// since 1970-01-01. `day_done` hears of each day that is gathered.
    ///
    /// # Errors
    /// When none answered for a day: [`ClientError::Refused`] if all say the same, else
    /// [`ClientError::Unproven`] with what each member did.
    pub async fn activity(
        &self,
        officer: &Officer,
        member: MemberIndex,
        faults: Faults,
        (first, last): (u32, u32),
        mut day_done: impl FnMut(u32),
    ) -> Result<ActivityList, ClientError> {
        let (mut told, mut list) = (Told::default(), ActivityList::default());
        let mut failed: BTreeMap<MemberIndex, Fault> = BTreeMap::new();
        // Custodians date one access by their own clocks: the day before may hold what others tell of the first.
        for day in first.saturating_sub(1)..=last {
            let mut asked: FuturesUnordered<_> = (0..self.members)
                .map(MemberIndex::new)
                .filter(|to| failed.get(to).is_none_or(|fault| fault.code != Code::Unreachable))
                .map(|to| async move { (to, self.day_of(officer, member, to, day).await) })
                .collect();
            let mut answered = 0_u16;
            while let Some((to, answer)) = self.next_answer(&mut asked, answered >= faults.quorum()).await {
                match answer {
                    Ok(rows) => {
                        answered = answered.saturating_add(1);
                        told.hear(to, rows);
                    }
                    Err(fault) => drop(failed.insert(to, fault)),
                }
            }
            if answered == 0 {
                return Err(refused(failed.into_values().collect()));
            }
            if answered < faults.quorum() {
                list.incomplete.push(day);
            }
            day_done(day);
        }
        let (rows, unsure) = told.split(usize::from(faults.tolerated()).saturating_add(1));
        let asked_for = |row: &Activity| row.day() >= first;
        list.rows = rows.into_iter().filter(asked_for).collect();
        list.unsure = unsure.into_iter().filter(asked_for).collect();
        list.faults = failed.into_values().collect();
        Ok(list)
    }

    /// The next answer; when enough are there, only if it comes soon.
    async fn next_answer<F: Future>(
        &self,
        asked: &mut FuturesUnordered<F>,
        enough: bool,
    ) -> Option<F::Output> {
        if !enough {
            return asked.next().await;
        }
        let pause = self.ground.pause(OTHERS_WITHIN);
        match select(asked.next(), std::pin::pin!(pause)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => None,
        }
    }

    /// All that one custodian remembers of one day.
    async fn day_of(
        &self,
        officer: &Officer,
        member: MemberIndex,
        to: MemberIndex,
        day: u32,
    ) -> Result<Vec<Activity>, Fault> {
        let mut rows: Vec<Activity> = Vec::new();
        for _ in 0..PAGES_MAX {
            let skip = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let ActivityPage { rows: page, remaining } = self.page_of(officer, to, day, skip).await?;
            let theirs = page.iter().all(|row| row.day() == day && row.member == member);
            if !theirs || (page.is_empty() && remaining > 0) {
                let detail = "its answer is about another day or member".to_owned();
                return Err(Fault { member: to, code: Code::BodyMismatch, detail });
            }
            rows.extend(page.into_vec());
            if remaining == 0 {
                return Ok(rows);
            }
        }
        Err(Fault { member: to, code: Code::TooLarge, detail: "it does not come to an end".to_owned() })
    }

    /// One page, asked for again while the custodian is busy.
    async fn page_of(
        &self,
        officer: &Officer,
        to: MemberIndex,
        day: u32,
        skip: u32,
    ) -> Result<ActivityPage, Fault> {
        let mut patience = Patience::new(BUSY_WITHIN);
        loop {
            let Ok(request) = self.activity_request(officer, to, day, skip) else {
                return Err(Fault { member: to, code: Code::Internal, detail: String::new() });
            };
            let answer = self.call(to, &Request::Activity(request), ANSWER_WITHIN).await;
            if let Some(Response::Activity(page)) = answer {
                return Ok(page);
            }
            let again = answer.as_ref().and_then(|answer| self.pause(answer, &mut patience));
            match again {
                Some(pause) => self.ground.pause(pause).await,
                None => return Err(fault(to, answer)),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::chain::ChainTag;
    use salus_crypto::digest::Digest;
    use salus_wire::activity::NamedAs;
    use salus_wire::{AccessTag, Classes, PartyId, Purpose};

    const SURE: usize = 2;

    fn row(access: u8, at: u64) -> Activity {
        Activity {
            at: TimeMs::new(at),
            requester: PartyId::new([1; 16]),
            member: MemberIndex::new(0),
            patient: Digest::from_bytes([access; 32]),
            access: AccessTag(ChainTag::from_digest(Digest::from_bytes([access; 32]))),
            purpose: Purpose::Treatment,
            classes: Classes::ORDINARY,
            named: NamedAs::Role,
        }
    }

    fn told(by: &[(u16, Vec<Activity>)]) -> (Vec<Activity>, Vec<Activity>) {
        let mut told = Told::default();
        by.iter().for_each(|(from, rows)| told.hear(MemberIndex::new(*from), rows.clone()));
        told.split(SURE)
    }

    #[test]
    fn one_that_lies_neither_accuses_nor_clears_nor_dates_anybody() {
        let honest = [(0, vec![row(1, 900)]), (1, vec![row(1, 901)]), (2, vec![row(1, 905)])];
        let lies = [
            // At another patient's record; as somebody whom the patient named; at another time; twice; nothing.
            vec![Activity { patient: Digest::from_bytes([9; 32]), ..row(1, 900) }],
            vec![Activity { named: NamedAs::Person, ..row(1, 900) }],
            vec![row(1, 3)],
            vec![row(1, 999_999)],
            vec![row(1, 4), row(1, 5)],
            vec![row(7, 900)],
            vec![],
        ];
        for lie in lies {
            let (rows, unsure) = told(&[&[(3, lie.clone())], &honest[..]].concat());
            let contents: Vec<_> =
                rows.iter().map(|row| Activity { at: TimeMs::new(0), ..row.clone() }).collect();
            assert_eq!(contents, [row(1, 0)], "{lie:?}");
            assert!((900..=905).contains(&rows[0].at.get()), "{lie:?} dated it {:?}", rows[0].at);
            assert!(unsure.len() <= 1);
        }
    }

    #[test]
    fn what_one_alone_tells_is_not_sure() {
        let (rows, unsure) = told(&[(0, vec![row(1, 900)]), (1, vec![row(2, 900)])]);
        assert_eq!((rows, unsure), (vec![], vec![row(1, 900), row(2, 900)]));
    }
}
