//! Why an engine cannot start, or stopped; and why it refuses a request.
//!
//! Promises that a message says whose fault it is and holds nothing secret. Refuses to know exit
//! codes and wire responses: the node turns these into both.

use crate::tree::StateError;
use salus_wire::{Code, Height, MemberIndex};
use std::path::PathBuf;

/// Milliseconds after which to ask again when nothing better is known.
const RETRY_MS: u32 = 1_000;

/// Why an engine does not start, or stopped. It never goes on after one of these.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration names another number of members than the genesis.
    #[error("the configuration names {named} members, the genesis {members}")]
    Members {
        /// In the configuration.
        named: usize,
        /// In the genesis.
        members: usize,
    },
    /// A member's consensus key in the genesis is no Ed25519 key.
    #[error("the consensus key of member {member} in the genesis is not a valid key")]
    MemberKey {
        /// Whose.
        member: MemberIndex,
    },
    /// Two members of the genesis share a consensus key.
    #[error("member {member} shares its consensus key with another member")]
    KeyTwice {
        /// The later of the two.
        member: MemberIndex,
    },
    /// The configuration gives a member another key than the genesis does.
    #[error("the configuration gives member {member} another consensus key than the genesis")]
    PeerKey {
        /// Whose.
        member: MemberIndex,
    },
    /// The consensus seed is not that of this member.
    #[error("the consensus key is not this member's key in the genesis")]
    OwnKey,
    /// A pause is zero, or longer than members can wait.
    #[error("the pacing needs a gather below the heartbeat, and both above zero and at most a minute")]
    Pacing,
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another engine runs on the data folder.
    #[error("another engine runs on the data folder {path}")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The data folder was made for another consortium.
    #[error("the data folder {path} belongs to another consortium")]
    OtherConsortium {
        /// Which.
        path: PathBuf,
    },
    /// The address to listen on cannot be bound.
    #[error("cannot listen for members on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The state database failed.
    #[error("the state cannot be kept")]
    State(#[from] StateError),
    /// A block archive failed to open.
    #[error("the archive of blocks cannot be opened")]
    Archive(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The state database is ahead of the archive of blocks, or of another consortium.
    #[error("the state database does not belong to the archive of blocks at height {height}")]
    Mismatch {
        /// Where they part.
        height: Height,
    },
    /// A final block does not give the state it names: this software or its disk is at fault.
    #[error("the final block at height {height} does not give the state it names")]
    Diverged {
        /// Where.
        height: Height,
    },
    /// What must be durable before a vote could not be made so.
    #[error("a refusal could not be made durable before a vote")]
    Watch(#[from] WatchFailed),
    /// A part of the engine ended by itself; the log says why.
    #[error("the engine's {part} stopped")]
    Stopped {
        /// Which.
        part: &'static str,
    },
    /// The operating system gave no thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
}

/// The custodian could not make its refusals durable.
#[derive(Debug, thiserror::Error)]
#[error("the custodian could not record its refusals")]
pub struct WatchFailed(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", code.what())]
pub struct Refused {
    /// The stable code.
    pub code: Code,
    /// Milliseconds after which asking again may help; 0 when it will not.
    pub retry_after_ms: u32,
}

impl Refused {
    /// For good.
    #[must_use]
    pub const fn bare(code: Code) -> Self {
        Self { code, retry_after_ms: 0 }
    }

    /// For now.
    #[must_use]
    pub const fn busy(code: Code) -> Self {
        Self::after(code, RETRY_MS)
    }

    /// For so many milliseconds.
    #[must_use]
    pub const fn after(code: Code, retry_after_ms: u32) -> Self {
        Self { code, retry_after_ms }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        match code {
            Code::QuotaExceeded | Code::NotReady => Self::busy(code),
            _ => Self::bare(code),
        }
    }
}
