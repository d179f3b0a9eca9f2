//! Why a gateway does not start or ended, and why a device's client failed.

use salus_client::ClientError;
use salus_link::LinkError;
use salus_store::StoreError;
use salus_store::queue::QueueError;
use salus_wire::Code;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a gateway does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
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
    /// A file cannot be read or written. The operator's.
    #[error("`{}` cannot be read or written", path.display())]
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
    /// The TLS certificate is not this gateway's. The operator's.
    #[error("the certificate in `{}` does not speak for this gateway", path.display())]
    ForeignCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The certificates cannot be used. The operator's.
    #[error("the gateway's certificate or an authority cannot be used")]
    Tls(#[source] LinkError),
    /// The address to serve on cannot be bound. The operator's.
    #[error("cannot listen for devices on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key file cannot be used. The operator's.
    #[error("a key cannot be used")]
    Store(#[from] StoreError),
    /// The registration file is no transaction, or of another gateway. The operator's.
    #[error("the registration in `{}` is not this gateway's", path.display())]
    BadRegistration {
        /// Which file.
        path: PathBuf,
    },
    /// The ledger refuses the registration, or holds another for this id. The operator's.
    #[error("the ledger refuses this gateway: {}", .0.what())]
    Refused(Code),
    /// What is to be kept for a device does not fit. The caller's.
    #[error("more than a registry entry may hold")]
    TooLarge,
    /// The queue does not open, or its disk failed. Ours.
    #[error("the queue cannot be used")]
    Queue(#[from] QueueError),
    /// The disk failed or is full. Ours.
    #[error("the disk failed at `{}`", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No member could be asked. The peers'.
    #[error("the consortium cannot be asked")]
    Client(#[from] ClientError),
    /// The operating system gave no randomness. Ours.
    #[error("no randomness from the operating system")]
    Entropy,
    /// A task of this process was lost. Ours.
    #[error("a task of the gateway was lost")]
    Lost,
}

impl GatewayError {
    /// Whether there was no room on the disk, which may pass.
    pub(crate) fn lacks_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Disk { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// The stable code that an operator sees.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Config { .. }
            | Self::Consortium { .. }
            | Self::NoSuchMember { .. }
            | Self::Listen { .. } => Code::ConfigInvalid,
            Self::Unreadable { .. } | Self::ForeignCertificate { .. } | Self::BadRegistration { .. } => {
                Code::FileUnreadable
            }
            Self::Tls(source) => source.code(),
            Self::Store(source) => source.code(),
            Self::Refused(code) => *code,
            Self::TooLarge => Code::TooLarge,
            Self::Queue(source) => source.code(),
            Self::Disk { .. } => Code::QueueDisk,
            Self::Client(source) => source.code(),
            Self::Entropy | Self::Lost => Code::Internal,
        }
    }
}

/// Why a device's client failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The gateway does not answer, or closed the connection. The gateway's, or the network's.
    #[error("the gateway cannot be reached at `{address}`")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The gateway refused the connection. The device's.
    #[error("the gateway refused the connection: {reason}")]
    Refused {
        /// The gateway's words.
        reason: String,
    },
    /// The gateway broke the MQTT protocol. The gateway's.
    #[error("the gateway did not speak MQTT")]
    Protocol,
    /// A frame is larger than the gateway takes. The caller's.
    #[error("the frame is larger than the gateway takes")]
    TooLarge,
}

impl DeviceError {
    /// The stable code that a user sees.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::Protocol => Code::Unreachable,
            Self::Refused { .. } => Code::DeviceUnknown,
            Self::TooLarge => Code::FrameTooLarge,
        }
    }
}
