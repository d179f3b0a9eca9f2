//! What a member must be told to run an engine.
//!
//! Promises that a configuration that contradicts the genesis is refused before anything starts.
//! Refuses to know where the values come from.

use crate::error::{EngineError, WatchFailed};
use futures::future::BoxFuture;
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_wire::{Genesis, GrantTag, MemberIndex};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Longest pause that a [`Pacing`] may name.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Everything an engine needs.
#[derive(Debug)]
pub struct Config {
    /// The engine's folder. No other process may use it, and it must never be restored from an
    /// older copy: it holds the record of this member's votes, without which it could vote twice.
    pub dir: PathBuf,
    /// Which member this is.
    pub me: MemberIndex,
    /// All members in the order of the genesis, this one included.
    pub members: Vec<Peer>,
    /// Where to listen for the other members.
    pub listen: SocketAddr,
    /// The seed of this member's consensus key.
    pub consensus_seed: Secret<32>,
    /// The genesis.
    pub genesis: Genesis,
    /// How blocks are paced; the same for every member.
    pub pacing: Pacing,
}

/// A member on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its consensus key, as in the genesis.
    pub key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How blocks are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Time between blocks when nothing waits. It bounds the age of an idle ledger's head.
    pub heartbeat: Duration,
    /// Time for which a proposer gathers more transactions once one waits.
    pub gather: Duration,
    /// Time beyond the heartbeat that the members grant a proposer before they go on without it.
    pub slack: Duration,
}

/// The custodian's ear, which hears of revocations before they can be final.
pub trait Watch: Send + Sync + 'static {
    /// Called before this member's vote can help to make these revocations final. Returns only
    /// when their refusal is durable (P2 of design 4.4). May be called again for the same grants,
    /// and for revocations that never become final.
    fn before_vote(&self, revoked: Vec<GrantTag>) -> BoxFuture<'_, Result<(), WatchFailed>>;

    /// Called before a block that revokes these grants is applied here. A member that did not vote on
    /// it hears of them here first, and whoever is between a decision and its release must too. It is
    /// the state that remembers them.
    fn before_apply(&self, revoked: &[GrantTag]);
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            gather: Duration::from_millis(5),
            slack: Duration::from_millis(600),
        }
    }
}

impl Pacing {
    /// How long the members wait for a proposal.
    pub(crate) fn leader_timeout(&self) -> Duration {
        self.heartbeat.saturating_add(self.slack)
    }

    /// How long they wait for a proposal to be certified.
    pub(crate) fn certification_timeout(&self) -> Duration {
        self.leader_timeout().saturating_add(self.slack)
    }

    /// After how much silence they no longer wait for a member's turn.
    pub(crate) fn silence(&self) -> Duration {
        self.certification_timeout().saturating_add(self.slack)
    }

    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let pauses = [self.heartbeat, self.gather, self.slack];
        let bounded = pauses.iter().all(|pause| !pause.is_zero() && *pause <= PAUSE_MAX);
        if bounded && self.gather < self.heartbeat { Ok(()) } else { Err(EngineError::Pacing) }
    }
}

impl Config {
    /// Checks the members that the configuration names against the genesis.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let (named, members) = (self.members.len(), self.genesis.members.len());
        if named != members || members == 0 {
            return Err(EngineError::Members { named, members });
        }
        let pairs = (0..).map(MemberIndex::new).zip(self.members.iter().zip(self.genesis.members.iter()));
        for (member, (peer, agreed)) in pairs {
            if peer.key != agreed.consensus {
                return Err(EngineError::PeerKey { member });
            }
        }
        Ok(())
    }
}
