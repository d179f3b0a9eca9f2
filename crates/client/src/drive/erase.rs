//! The driver of erasure: carries an order to every member, step by step. What was destroyed at a member stays
//! so, and every step may be taken again.

use super::Consortium;
use crate::erasure::{Errand, FoundEpochs, KnownEpoch, LastShares, Receipts, fault, runs};
use crate::error::{ClientError, Fault};
use crate::patience::Patience;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::Rng as _;
use salus_proof::TrustPolicy;
use salus_wire::erasure::{EraseAnswer, EraseStep};
use salus_wire::ids::MemberIndex;
use salus_wire::rpc::Response;
use salus_wire::{Code, Height};
use std::time::Duration;

/// For one step at one member: a disk is looked through, or a receipt becomes final.
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// Pages of shares taken from one custodian.
const PAGES_MAX: u32 = 4_096;

impl Consortium {
    /// Closes the chain at every member that can be reached, and finds out from their shares which fragments
    /// are the patient's. `told` hears how many members have answered.
    ///
    /// # Errors
    /// [`ClientError::TooFewShares`] when fewer custodians than the threshold gave all they hold.
    pub async fn close_chain(
        &self,
        errand: &Errand,
        ordered: Height,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<(FoundEpochs, Vec<Fault>), ClientError> {
        let mut shares = LastShares::default();
        let (mut faults, mut done) = (Vec::new(), 0_usize);
        let mut asked: FuturesUnordered<_> =
            self.everybody().map(|member| self.last_shares(errand, member, ordered)).collect();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(pages) => {
                    let whole =
                        pages.iter().all(|(from, page)| errand.take(*from, page, &mut shares).is_ok());
                    if whole {
                        done = done.saturating_add(1);
                        told(done);
                    } else if let Some((from, _)) = pages.first() {
                        faults.push(fault(*from, Code::BodyMismatch, "the last key shares"));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        let needed = usize::from(errand.faults().key_threshold());
        if done < needed {
            return Err(ClientError::TooFewShares { released: done, needed, faults });
        }
        Ok((shares.find(), faults))
    }

    async fn last_shares(
        &self,
        errand: &Errand,
        member: MemberIndex,
        ordered: Height,
    ) -> Result<Vec<(MemberIndex, Box<salus_wire::erasure::ErasedShares>)>, Fault> {
        // A member decides on its own view, which may be a block behind.
        let _reached = self.follow(member, Height::new(ordered.get().saturating_sub(1))).await;
        let (mut pages, mut skip) = (Vec::new(), 0_u32);
        for _ in 0..PAGES_MAX {
            let answer = self.erase_step(errand, member, || EraseStep::Shares { skip }).await;
            let page = match answer.map_err(|code| fault(member, code, "closing the chain"))? {
                EraseAnswer::Shares(page) => page,
                _ => return Err(fault(member, Code::Malformed, "closing the chain")),
            };
            let remaining = page.remaining;
            pages.push((member, page));
            if remaining == 0 {
                break;
            }
            skip = skip.saturating_add(PAGE_EPOCHS);
        }
        Ok(pages)
    }

    /// Has every member destroy the fragments of `epochs`, whose counts grow to what some store has had.
    /// `told` hears how many members have done so.
    pub async fn destroy_fragments(
        &self,
        errand: &Errand,
        epochs: &mut [KnownEpoch],
        told: &(dyn Fn(usize) + Sync),
    ) -> Vec<Fault> {
        let counts = self.fragments_everywhere(errand, epochs, &|_| {}).await.0;
        let mut short = false;
        for (_, counts) in &counts {
            for (epoch, count) in epochs.iter_mut().zip(counts) {
                short |= epoch.segments != 0 && epoch.segments != *count;
                epoch.segments = epoch.segments.max(*count);
            }
        }
        let differ = counts
            .iter()
            .any(|(_, counts)| epochs.iter().zip(counts).any(|(epoch, count)| epoch.segments != *count));
        if !differ && !short && counts.len() == usize::from(self.members) {
            told(counts.len());
            return Vec::new();
        }
        // Who found less than others may have missed a run of segments, with more behind it.
        self.fragments_everywhere(errand, epochs, told).await.1
    }

    async fn fragments_everywhere(
        &self,
        errand: &Errand,
        epochs: &[KnownEpoch],
        told: &(dyn Fn(usize) + Sync),
    ) -> (Vec<(MemberIndex, Vec<u32>)>, Vec<Fault>) {
        let mut asked: FuturesUnordered<_> =
            self.everybody().map(|member| self.fragments_at(errand, member, epochs)).collect();
        let (mut counts, mut faults) = (Vec::new(), Vec::new());
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(found) => {
                    counts.push(found);
                    told(counts.len());
                }
                Err(fault) => faults.push(fault),
            }
        }
        (counts, faults)
    }

    async fn fragments_at(
        &self,
        errand: &Errand,
        member: MemberIndex,
        epochs: &[KnownEpoch],
    ) -> Result<(MemberIndex, Vec<u32>), Fault> {
        let mut counts = Vec::new();
        for run in epochs.chunks(salus_wire::limits::ERASED_EPOCHS_MAX) {
            let named = || runs(run).into_iter().next().unwrap_or_else(salus_wire::List::empty);
            match self.erase_step(errand, member, || EraseStep::Fragments(named())).await {
                Ok(EraseAnswer::Fragments(found)) if found.len() == run.len() => {
                    counts.extend(found.into_vec());
                }
                Ok(_) => return Err(fault(member, Code::Malformed, "destroying fragments")),
                Err(code) => return Err(fault(member, code, "destroying fragments")),
            }
        }
        Ok((member, counts))
    }

    /// Has each of `members` destroy its shares and sign on the ledger that nothing is left. `told` hears how
    /// many have.
    pub async fn finish_erasure(
        &self,
        errand: &Errand,
        members: &[MemberIndex],
        told: &(dyn Fn(usize) + Sync),
    ) -> Vec<Fault> {
        let finish = |member: &MemberIndex| {
            let member = *member;
            async move {
                match self.erase_step(errand, member, || EraseStep::Finish).await {
                    Ok(EraseAnswer::Finished) => Ok(()),
                    Ok(_) => Err(fault(member, Code::Malformed, "destroying key shares")),
                    Err(code) => Err(fault(member, code, "destroying key shares")),
                }
            }
        };
        let mut asked: FuturesUnordered<_> = members.iter().map(finish).collect();
        let (mut faults, mut done) = (Vec::new(), 0_usize);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(()) => {
                    done = done.saturating_add(1);
                    told(done);
                }
                Err(fault) => faults.push(fault),
            }
        }
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
        let mut patience = Patience::new(STEP_WITHIN);
        loop {
            let mut rng = self.ground.rng().map_err(|error| error.code())?;
            let request = errand.request(member, step(), self.ground.now(), &mut rng);
            let refusal = match self.call(member, &request, STEP_WITHIN).await {
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

/// Epochs in one page of shares.
const PAGE_EPOCHS: u32 = 64;

const _: () = assert!(salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX == 64);
