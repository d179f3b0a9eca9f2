//! Why a node does not start, or ended.

use crate::erasures::ErasureError;
use crate::refusals::RefusalError;
use salus_engine::EngineError;
use salus_link::LinkError;
use salus_store::StoreError;
use salus_wire::Code;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration has an unknown, missing or wrong entry. The operator's.
    #[error("`{}`, entry `{entry}`: {what}", file.display())]
    Config {
        /// Which file.
        file: PathBuf,
        /// Which entry.
        entry: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file that the configuration names cannot be read. The operator's.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The consortium file is not one. The operator's.
    #[error("the consortium file `{}` is not sound", path.display())]
    Consortium {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// The configuration names a member that the consortium does not have. The operator's.
    #[error("the consortium has no member {member}")]
    NoSuchMember {
        /// The member named.
        member: u16,
    },
    /// A key is not the one that the genesis binds to this member. The operator's.
    #[error("the key in `{}` is not this member's in the genesis", path.display())]
    ForeignKey {
        /// Which file.
        path: PathBuf,
    },
    /// The TLS certificate is not this member's. The operator's.
    #[error("the certificate in `{}` does not speak for this member's node", path.display())]
    ForeignCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A member's address cannot be resolved. The operator's.
    #[error("the address `{address}` of member {member} does not resolve")]
    Address {
        /// Whose.
        member: usize,
        /// As the consortium file has it.
        address: String,
    },
    /// The certificates cannot be used. The operator's.
    #[error("the node's certificate or an authority cannot be used")]
    Tls(#[source] LinkError),
    /// The address to serve on cannot be bound. The operator's.
    #[error("cannot listen for calls on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk of the data folder is full, or so nearly that the ledger could not be kept on it. Ours.
    #[error("the disk of `{}` is full: {free} bytes are free, {needed} are needed to go on", path.display())]
    DiskFull {
        /// The data folder.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes below which a node stops.
        needed: u64,
    },
    /// The data folder or a key file cannot be used. Ours.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The record of refusals cannot be used. Ours.
    #[error("the record of refusals cannot be used")]
    Refusals(#[from] RefusalError),
    /// The record of erasures cannot be used. Ours.
    #[error("the record of erasures cannot be used")]
    Erasures(#[from] ErasureError),
    /// The engine does not start, or ended. Ours.
    #[error("the ledger engine stopped")]
    Engine(#[from] EngineError),
    /// A task of this process was lost. Ours.
    #[error("a task of the node was lost")]
    Lost,
}

impl NodeError {
    /// The stable code that an operator sees.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Config { .. } | Self::NoSuchMember { .. } | Self::Address { .. } | Self::Listen { .. } => {
                Code::ConfigInvalid
            }
            Self::Consortium { .. } => Code::ConfigInvalid,
            Self::Unreadable { .. } | Self::ForeignKey { .. } | Self::ForeignCertificate { .. } => {
                Code::FileUnreadable
            }
            Self::Tls(source) => source.code(),
            Self::Store(source) => source.code(),
            Self::DiskFull { .. } | Self::Refusals(_) | Self::Erasures(_) => Code::StorageFailed,
            Self::Engine(source) => engine(source),
            Self::Lost => Code::Internal,
        }
    }
}

const fn engine(error: &EngineError) -> Code {
    match error {
        EngineError::Folder { .. }
        | EngineError::State(_)
        | EngineError::Archive(_)
        | EngineError::Mismatch { .. }
        | EngineError::Watch(_) => Code::StorageFailed,
        EngineError::Diverged { .. } | EngineError::Stopped { .. } | EngineError::Thread(_) => Code::Internal,
        _ => Code::ConfigInvalid,
    }
}
