//! The member's voice in the protocol: it proposes when its turn comes, and says whether another's
//! proposal deserves a vote.
//!
//! Promises:
//! * A vote (to notarise; the engine verifies before that one) goes out only for a block that this
//!   member executed, and only when the refusal of every grant that the block, or an ancestor that
//!   is not final, withdraws is durable (P2). The same holds before a proposal of its own.
//! * The clock rule: a block's time is later than its parent's and at most
//!   [`CLOCK_AHEAD_MS_MAX`] ahead of this member's clock. A block from the future is not refused
//!   but waited for; the view ends first if it is too far.
//! * `false` means invalid for ever. What cannot be judged now stays pending until the engine gives
//!   up the question.
//!
//! Refuses to know how votes are counted. Every future here may be dropped at any await.

use crate::candidate::Candidate;
use crate::config::{Pacing, Watch};
use crate::desk::{Order, Reply};
use crate::error::EngineError;
use crate::host::{Clock, Runtime};
use crate::judge::{Head, LINEAGE_MAX, Place, Slot, Verdict};
use crate::scheme::{Roster, Round, Scheme, payload};
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::{Application, Viewable as _};
use commonware_cryptography::Digested;
use futures::StreamExt as _;
use salus_planted::{Bug, is};
use salus_wire::limits::CLOCK_AHEAD_MS_MAX;
use salus_wire::{GrantTag, Header, MemberIndex, TimeMs, View};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// See the head of this module. Cloning shares all of it.
#[derive(Clone)]
pub(crate) struct Voter {
    /// The desk.
    pub(crate) orders: mpsc::Sender<Order>,
    /// The last applied block.
    pub(crate) head: watch::Receiver<Head>,
    /// Transactions waiting, and their bytes.
    pub(crate) waiting: watch::Receiver<(usize, usize)>,
    /// Who is who.
    pub(crate) roster: Arc<Roster>,
    /// Which member this is.
    pub(crate) me: MemberIndex,
    /// How blocks are paced.
    pub(crate) pacing: Pacing,
    /// Told of revocations before a vote.
    pub(crate) watch: Arc<dyn Watch>,
    /// The member's clock.
    pub(crate) clock: Clock,
    /// Told of what must stop the engine.
    pub(crate) fatal: mpsc::Sender<EngineError>,
}

/// The engine gave up, or the block can never be final: there is nothing to say.
struct Unsaid;

impl<E: Runtime> Application<E> for Voter {
    type SigningScheme = Scheme;
    type Context = Round;
    type Block = Candidate;
    type Input = ();

    async fn propose(
        &mut self,
        (context, round): (E, Round),
        ancestry: impl Ancestry<Candidate>,
        (): (),
    ) -> Option<Digested<Candidate>> {
        self.try_propose(context, round, ancestry).await.ok()
    }

    async fn verify(&mut self, (context, round): (E, Round), ancestry: impl Ancestry<Candidate>) -> bool {
        match self.try_verify(context, round, ancestry).await {
            Ok(valid) => valid,
            Err(Unsaid) => futures::future::pending().await,
        }
    }
}

impl Voter {
    async fn try_propose(
        &mut self,
        context: impl Runtime,
        round: Round,
        mut ancestry: impl Ancestry<Candidate>,
    ) -> Result<Digested<Candidate>, Unsaid> {
        let parent = ancestry.next().await.ok_or(Unsaid)?;
        let parent = parent.inner().clone();
        self.reach(&parent, &mut ancestry).await?;
        self.pace(&context, &parent).await?;
        let earliest = if is(Bug::TimeRunsBack) { TimeMs::new(0) } else { parent.header().time.plus_ms(1) };
        let time = (self.clock)().max(earliest);
        let (view, parent_view) = views(&round);
        let slot = Slot { view, parent_view, proposer: self.me, time };
        let header = Box::new(parent.header().clone());
        let built = self.ask(|reply| Order::Build { parent: header, slot, reply }).await?;
        let (candidate, revoked) = built.ok_or(Unsaid)?;
        self.record(revoked).await?;
        let digest = payload(candidate.header_digest());
        Ok(Digested::precomputed(candidate, digest))
    }

    async fn try_verify(
        &mut self,
        context: impl Runtime,
        round: Round,
        mut ancestry: impl Ancestry<Candidate>,
    ) -> Result<bool, Unsaid> {
        let candidate = ancestry.next().await.ok_or(Unsaid)?.inner().clone();
        let parent = ancestry.next().await.ok_or(Unsaid)?.inner().clone();
        let later = candidate.header().time > parent.header().time || is(Bug::TimeRunsBack);
        if !self.fits(candidate.header(), &round) || !later {
            tracing::warn!(height = %candidate.header().height, "a proposal does not fit its place");
            return Ok(false);
        }
        self.wait_until(&context, candidate.header().time).await;
        self.reach(&parent, &mut ancestry).await?;
        match self.check(&candidate, &parent).await? {
            Verdict::Valid(revoked) => self.record(revoked).await.map(|()| true),
            Verdict::Invalid(fault) => {
                tracing::warn!(height = %candidate.header().height, %fault, "a proposal is invalid");
                Ok(false)
            }
            Verdict::Unplaced(_) => Err(Unsaid),
        }
    }

    /// Whether the header names the very place at which the engine met it. A certificate signs the
    /// views beside the digest, and this makes them agree.
    fn fits(&self, header: &Header, round: &Round) -> bool {
        let (view, parent_view) = views(round);
        header.view == view
            && header.parent_view == parent_view
            && self.roster.key(header.proposer) == Some(&round.leader)
    }

    /// Has `block` executed here, and first what lies between it and the final block: a certified
    /// block is not always one on which this member voted.
    async fn reach(
        &mut self,
        block: &Candidate,
        ancestry: &mut impl Ancestry<Candidate>,
    ) -> Result<(), Unsaid> {
        self.come_near(block).await?;
        let mut missing: Vec<Candidate> = Vec::new();
        let mut at = block.clone();
        loop {
            match self.place(&at).await? {
                Place::Known => break,
                Place::Stale => return Err(Unsaid),
                Place::Unknown if missing.len() > LINEAGE_MAX => return Err(Unsaid),
                Place::Unknown => {
                    let older = ancestry.next().await.ok_or(Unsaid)?.inner().clone();
                    missing.push(std::mem::replace(&mut at, older));
                }
            }
        }
        while let Some(next) = missing.pop() {
            match self.check(&next, &at).await? {
                Verdict::Valid(_) => at = next,
                Verdict::Invalid(_) | Verdict::Unplaced(_) => return Err(Unsaid),
            }
        }
        Ok(())
    }

    /// Waits while so much lies between the final block and this one that the archive is quicker.
    async fn come_near(&mut self, block: &Candidate) -> Result<(), Unsaid> {
        let near = u64::try_from(LINEAGE_MAX).unwrap_or(u64::MAX);
        let height = block.header().height.get();
        let close = self.head.wait_for(|head| height.saturating_sub(head.height.get()) < near).await;
        close.map(drop).map_err(|_| Unsaid)
    }

    /// Waits until it is time to propose: at once when transactions wait, else at the heartbeat.
    async fn pace(&mut self, context: &impl Runtime, parent: &Candidate) -> Result<(), Unsaid> {
        let heartbeat = u64::try_from(self.pacing.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let due = parent.header().time.plus_ms(heartbeat);
        let digest = parent.header_digest();
        loop {
            self.waiting.mark_unchanged();
            if self.ask(|reply| Order::Fresh { parent: digest, reply }).await? > 0 {
                context.sleep(self.pacing.gather).await;
                return Ok(());
            }
            let left = Duration::from_millis(due.since_ms((self.clock)()));
            tokio::select! {
                biased;
                () = context.sleep(left) => return Ok(()),
                changed = self.waiting.changed() => changed.map_err(|_| Unsaid)?,
            }
        }
    }

    /// Waits while `time` is too far ahead of the clock.
    async fn wait_until(&self, context: &impl Runtime, time: TimeMs) {
        let ahead = time.since_ms((self.clock)()).saturating_sub(CLOCK_AHEAD_MS_MAX);
        if ahead > 0 {
            context.sleep(Duration::from_millis(ahead)).await;
        }
    }

    /// Returns when the refusal of these grants is durable.
    async fn record(&self, revoked: Vec<GrantTag>) -> Result<(), Unsaid> {
        if revoked.is_empty() {
            return Ok(());
        }
        if is(Bug::VoteBeforeRecord) {
            return Ok(());
        }
        if let Err(failed) = self.watch.before_vote(revoked).await {
            let _ = self.fatal.send(failed.into()).await;
            return Err(Unsaid);
        }
        Ok(())
    }

    async fn place(&self, block: &Candidate) -> Result<Place, Unsaid> {
        let (digest, height) = (block.header_digest(), block.header().height);
        self.ask(|reply| Order::Place { digest, height, reply }).await
    }

    async fn check(&self, candidate: &Candidate, parent: &Candidate) -> Result<Verdict, Unsaid> {
        let (candidate, parent) = (candidate.clone(), Box::new(parent.header().clone()));
        self.ask(|reply| Order::Check { candidate, parent, reply }).await
    }

    async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Unsaid> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| Unsaid)?;
        answer.await.map_err(|_| Unsaid)
    }
}

/// The view of a round and of its parent, in our terms.
fn views(round: &Round) -> (View, View) {
    (View::new(round.view().get()), View::new(round.parent.0.get()))
}
