//! The driver of erasure: carries an order to every member, step by step. What was destroyed at a member stays
//! so, and every step may be taken again.
//!
//! All members are asked at once. Once n − f have done a step, the others get as long again as those took; so one
//! that lies holds nobody up for longer than that, and one that was only slow is asked when the order is given
//! again.

use super::Consortium;
use crate::erasure::{
    Errand, FoundEpochs, KnownEpoch, LastShares, Receipts, Unnamed, agreed_count, fault, named,
};
use crate::error::{ClientError, Fault};
use crate::patience::Patience;
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rand::Rng as _;
use salus_proof::TrustPolicy;
use salus_wire::erasure::{EraseAnswer, EraseStep};
use salus_wire::ids::MemberIndex;
use salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX;
use salus_wire::rpc::Response;
use salus_wire::{Code, Height};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For one request to one member: a disk is looked through, or a receipt becomes final.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// For one step at all members, when fewer than n − f have done it.
const STEP_WITHIN: Duration = Duration::from_secs(30 * 60);
/// What the others get at least, once n − f have done a step.
const GRACE_MIN: Duration = Duration::from_secs(10);
/// Pages of shares taken from one custodian: some forty patient-years of six kinds.
const PAGES_MAX: u32 = 32_768;
/// Epochs in one page of shares.
#[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "64")]
const PAGE_EPOCHS: u32 = EPOCHS_PER_ENVELOPE_MAX as u32;

/// What one member does, on its way.
type Doing<'a, T> = (MemberIndex, BoxFuture<'a, Result<T, Fault>>);

impl Consortium {
    /// Closes the chain at every member that can be reached, and finds out from their shares which fragments
    /// are the patient's. `told` hears how many members have answered.
    ///
    /// # Errors
    /// As [`LastShares::find`]; nothing may be destroyed then.
    pub async fn close_chain(
        &self,
        errand: &Errand,
        ordered: Height,
        unnamed: Unnamed,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<(FoundEpochs, Vec<Fault>), ClientError> {
        let shares = Mutex::new(LastShares::default());
        let of = errand.faults();
        let mut done = 0_usize;
        let asked = self.everybody().map(|member| -> Doing<'_, ()> {
            (member, Box::pin(self.last_shares(errand, member, ordered, &shares)))
        });
        let mut faults = self
            .step("closing the chain", asked.collect(), |_, ()| {
                done = done.saturating_add(1);
                told(done);
                lock(&shares).suffice(of)
            })
            .await;
        let shares = shares.into_inner().unwrap_or_else(PoisonError::into_inner);
        faults.extend(shares.lacking());
        let found = shares.find(of, unnamed, faults.clone())?;
        Ok((found, faults))
    }

    /// Each page is opened as it comes: what a custodian can fill here is the epochs that the writer signed.
    async fn last_shares(
        &self,
        errand: &Errand,
        member: MemberIndex,
        ordered: Height,
        shares: &Mutex<LastShares>,
    ) -> Result<(), Fault> {
        // A member decides on its own view, which may be a block behind.
        let _reached = self.follow(member, Height::new(ordered.get().saturating_sub(1))).await;
        let at = |code| fault(member, code, "the last key shares");
        for page in 0..PAGES_MAX {
            let skip = page.saturating_mul(PAGE_EPOCHS);
            let answer = self.erase_step(errand, member, || EraseStep::Shares { skip }).await;
            let EraseAnswer::Shares(page) = answer.map_err(at)? else { return Err(at(Code::Malformed)) };
            if errand.take(member, &page, &mut lock(shares)).map_err(at)? {
                return Ok(());
            }
        }
        Err(at(Code::TooLarge))
    }

    /// Has every member destroy the fragments of `epochs`, whose counts grow to what stores have had.
    /// `told` hears how many members have done so.
    pub async fn destroy_fragments(
        &self,
        errand: &Errand,
        epochs: &mut [KnownEpoch],
        told: &(dyn Fn(usize) + Sync),
    ) -> Vec<Fault> {
        let everybody: Vec<MemberIndex> = self.everybody().collect();
        let (counts, mut faults) = self.fragments_at_all(errand, &everybody, epochs, &|_| {}).await;
        let mut grown = Vec::with_capacity(epochs.len());
        for (at, epoch) in epochs.iter_mut().enumerate() {
            let said = counts.iter().filter_map(|(_, counts)| counts.get(at).copied()).collect();
            let agreed = agreed_count(said, errand.faults());
            grown.push(if agreed > epoch.segments { agreed } else { 0 });
            epoch.segments = epoch.segments.max(agreed);
        }
        // Who found less than others may have missed a run of segments, with more behind it.
        let found_less = |counts: &[u32]| grown.iter().zip(counts).any(|(grown, count)| count < grown);
        let again: Vec<MemberIndex> =
            counts.iter().filter(|(_, counts)| found_less(counts)).map(|(member, _)| *member).collect();
        let done = counts.len().saturating_sub(again.len());
        told(done);
        if !again.is_empty() {
            let told = |more: usize| told(done.saturating_add(more));
            faults.extend(self.fragments_at_all(errand, &again, epochs, &told).await.1);
        }
        faults
    }

    async fn fragments_at_all(
        &self,
        errand: &Errand,
        members: &[MemberIndex],
        epochs: &[KnownEpoch],
        told: &(dyn Fn(usize) + Sync),
    ) -> (Vec<(MemberIndex, Vec<u32>)>, Vec<Fault>) {
        let asked = members.iter().map(|member| -> Doing<'_, Vec<u32>> {
            (*member, Box::pin(self.fragments_at(errand, *member, epochs)))
        });
        let (mut counts, enough) = (Vec::new(), usize::from(errand.faults().quorum()));
        let faults = self
            .step("destroying fragments", asked.collect(), |member, found| {
                counts.push((member, found));
                told(counts.len());
                counts.len() >= enough
            })
            .await;
        (counts, faults)
    }

    /// A member answers for as many of the first epochs as one request may cost it.
    async fn fragments_at(
        &self,
        errand: &Errand,
        member: MemberIndex,
        epochs: &[KnownEpoch],
    ) -> Result<Vec<u32>, Fault> {
        let at = |code| fault(member, code, "destroying fragments");
        let mut counts: Vec<u32> = Vec::new();
        while let Some(left) = epochs.get(counts.len()..).filter(|left| !left.is_empty()) {
            let answer = self.erase_step(errand, member, || EraseStep::Fragments(named(left))).await;
            match answer.map_err(at)? {
                EraseAnswer::Fragments(found) if (1..=left.len()).contains(&found.len()) => {
                    counts.extend(found.into_vec());
                }
                _ => return Err(at(Code::Malformed)),
            }
        }
        Ok(counts)
    }

    /// Has each of `members` destroy its shares and sign on the ledger that nothing is left. `told` hears how
    /// many have.
    pub async fn finish_erasure(
        &self,
        errand: &Errand,
        members: &[MemberIndex],
        told: &(dyn Fn(usize) + Sync),
    ) -> Vec<Fault> {
        let asked = members
            .iter()
            .map(|member| -> Doing<'_, ()> { (*member, Box::pin(self.finish_at(errand, *member))) });
        let enough = usize::from(errand.faults().quorum()).min(members.len());
        let mut done = 0_usize;
        self.step("destroying key shares", asked.collect(), |_, ()| {
            done = done.saturating_add(1);
            told(done);
            done >= enough
        })
        .await
    }

    async fn finish_at(&self, errand: &Errand, member: MemberIndex) -> Result<(), Fault> {
        let at = |code| fault(member, code, "destroying key shares");
        match self.erase_step(errand, member, || EraseStep::Finish).await.map_err(at)? {
            EraseAnswer::Finished => Ok(()),
            _ => Err(at(Code::Malformed)),
        }
    }

    /// Waits for members to do a step; `take` hears of each that has, and says whether the others need not be
    /// waited for much longer. Gives the faults of those that have not.
    async fn step<T>(
        &self,
        what: &str,
        asked: Vec<Doing<'_, T>>,
        mut take: impl FnMut(MemberIndex, T) -> bool,
    ) -> Vec<Fault> {
        let started = self.ground.now();
        let mut faults = Vec::new();
        let mut silent: BTreeSet<MemberIndex> = asked.iter().map(|(member, _)| *member).collect();
        let mut asked: FuturesUnordered<_> =
            asked.into_iter().map(|(member, doing)| doing.map(move |done| (member, done))).collect();
        let mut end = self.ground.pause(STEP_WITHIN);
        let mut enough = false;
        loop {
            let (member, answer) = match select(asked.next(), &mut end).await {
                Either::Left((Some(answer), _)) => answer,
                Either::Left((None, _)) => return faults,
                Either::Right(_) => break,
            };
            silent.remove(&member);
            match answer {
                Ok(done) => {
                    if take(member, done) && !enough {
                        enough = true;
                        let took = Duration::from_millis(self.ground.now().since_ms(started));
                        end = self.ground.pause(took.clamp(GRACE_MIN, STEP_WITHIN));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        faults.extend(silent.into_iter().map(|member| fault(member, Code::Unreachable, what)));
        faults
    }

    /// Who has signed that nothing is left, proven. Asks members in turn, since one that is behind proves,
    /// truthfully, fewer receipts than there are; the fullest proof counts.
    ///
    /// # Errors
    /// As [`Consortium::proven`].
    pub async fn receipts(
        &self,
        errand: &Errand,
        home: MemberIndex,
        policy: &TrustPolicy,
    ) -> Result<Receipts, ClientError> {
        let mut best: Option<Receipts> = None;
        let mut failed = None;
        for member in self.in_turn(home) {
            match self.proven(errand.receipt_keys(), member, policy).await {
                Ok(state) => {
                    let receipts = errand.receipts(&state);
                    if receipts.complete() {
                        return Ok(receipts);
                    }
                    let newer = best.as_ref().is_none_or(|best| best.at.height < receipts.at.height);
                    best = if newer { Some(receipts) } else { best };
                }
                Err(error) => failed = Some(error),
            }
        }
        best.ok_or(failed.unwrap_or(ClientError::Unreachable))
    }

    fn everybody(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        (0..self.members).map(MemberIndex::new)
    }

    async fn erase_step(
        &self,
        errand: &Errand,
        member: MemberIndex,
        step: impl Fn() -> EraseStep,
    ) -> Result<EraseAnswer, Code> {
        let mut patience = Patience::new(REQUEST_WITHIN);
        loop {
            let mut rng = self.ground.rng().map_err(|error| error.code())?;
            let request = errand.request(member, step(), self.ground.now(), &mut rng);
            let refusal = match self.call(member, &request, REQUEST_WITHIN).await {
                Some(Response::Erased(answer)) => return Ok(answer),
                Some(Response::Refused(refusal)) => refusal,
                Some(_) => return Err(Code::Malformed),
                None => return Err(Code::Unreachable),
            };
            match patience.pause(refusal.retry_after_ms, rng.next_u32()) {
                Some(pause) => self.ground.pause(pause).await,
                None => return Err(refusal.code),
            }
        }
    }
}

fn lock(shares: &Mutex<LastShares>) -> std::sync::MutexGuard<'_, LastShares> {
    // What was taken stands, whatever a panic in between did.
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}
