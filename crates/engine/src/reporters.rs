//! The engine's reports, brought to whoever wants them.
//!
//! Promises that a final block reaches the desk in order with its acknowledgement, and that a
//! member that voted for two things at once is named in the log. Refuses to know what follows.

use crate::candidate::Candidate;
use crate::host::Clock;
use crate::scheme::{Payload, PeerKey, Roster, Scheme};
use commonware_actor::Feedback;
use commonware_consensus::Reporter;
use commonware_consensus::marshal::Update;
use commonware_consensus::simplex::types::{Activity, Attributable as _};
use commonware_utils::acknowledgement::Exact;
use salus_wire::{Height, MemberIndex};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Time without a vote after which a member no longer counts as heard.
const HEARD_FOR: Duration = Duration::from_secs(10);

/// Takes final blocks from the archive.
#[derive(Clone)]
pub(crate) struct Finals {
    /// To the desk.
    pub(crate) desk: mpsc::Sender<(Candidate, Exact)>,
    /// The highest final block known.
    pub(crate) tip: watch::Sender<Height>,
}

impl Reporter for Finals {
    type Activity = Update<Candidate>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match update {
            Update::Tip(_, height, _) => {
                self.tip.send_if_modified(|tip| {
                    let higher = height.get() > tip.get();
                    *tip = Height::new(tip.get().max(height.get()));
                    higher
                });
                Feedback::Ok
            }
            // The queue holds more than the archive sends before it is acknowledged. Should the
            // desk be gone, the acknowledgement is dropped here and the archive stops.
            Update::Block(block, ack) => match self.desk.try_send((block.inner().clone(), ack)) {
                Ok(()) => Feedback::Ok,
                Err(_) => Feedback::Closed,
            },
        }
    }
}

/// Listens to votes, and passes them on to the one that needs them.
#[derive(Clone)]
pub(crate) struct Ears<R> {
    /// The one that needs them.
    pub(crate) inner: R,
    /// When each signer was last heard.
    pub(crate) heard: Arc<Heard>,
}

/// When each member was last heard to vote, by its rank in the certificate's order.
pub(crate) struct Heard {
    members: Vec<MemberIndex>,
    at_ms: Vec<AtomicU64>,
    /// Bounded by the number of members.
    accused: Mutex<BTreeSet<MemberIndex>>,
    clock: Clock,
}

impl Heard {
    /// Nobody was heard yet.
    pub(crate) fn new(roster: &Roster, clock: Clock) -> Self {
        let members: Vec<MemberIndex> =
            roster.set().iter().filter_map(|key: &PeerKey| roster.member(key)).collect();
        let at_ms = members.iter().map(|_| AtomicU64::new(0)).collect();
        Self { members, at_ms, accused: Mutex::default(), clock }
    }

    /// Members other than `me` heard lately.
    pub(crate) fn others(&self, me: MemberIndex) -> u16 {
        let since =
            (self.clock)().get().saturating_sub(u64::try_from(HEARD_FOR.as_millis()).unwrap_or(u64::MAX));
        let lately = self.members.iter().zip(&self.at_ms);
        let count =
            lately.filter(|(member, at)| **member != me && at.load(Ordering::Relaxed) > since).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    pub(crate) fn accused(&self) -> Vec<MemberIndex> {
        self.accused.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn hear(&self, signer: u32) {
        if let Some(at) = usize::try_from(signer).ok().and_then(|rank| self.at_ms.get(rank)) {
            at.store((self.clock)().get(), Ordering::Relaxed);
        }
    }

    fn accuse(&self, signer: u32, what: &'static str) {
        let Some(member) = usize::try_from(signer).ok().and_then(|rank| self.members.get(rank)) else {
            return;
        };
        self.accused.lock().unwrap_or_else(PoisonError::into_inner).insert(*member);
        tracing::error!(member = member.get(), what, "a member contradicted itself");
    }
}

impl<R: Reporter<Activity = Activity<Scheme, Payload>>> Reporter for Ears<R> {
    type Activity = Activity<Scheme, Payload>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        match &activity {
            Activity::Notarize(vote) => self.heard.hear(vote.signer().get()),
            Activity::Nullify(vote) => self.heard.hear(vote.signer().get()),
            Activity::Finalize(vote) => self.heard.hear(vote.signer().get()),
            Activity::ConflictingNotarize(proof) => {
                self.heard.accuse(proof.signer().get(), "two notarisations")
            }
            Activity::ConflictingFinalize(proof) => {
                self.heard.accuse(proof.signer().get(), "two finalisations")
            }
            Activity::NullifyFinalize(proof) => {
                self.heard.accuse(proof.signer().get(), "nullified and finalised")
            }
            Activity::Notarization(_)
            | Activity::Certification(_)
            | Activity::Nullification(_)
            | Activity::Finalization(_) => {}
        }
        self.inner.report(activity)
    }
}
