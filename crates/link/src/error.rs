//! What can go wrong between two endpoints, and who has to act.

use salus_wire::{Code, MemberIndex};

/// Why a connection, a call or a certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The certificate library refused to make a certificate. Ours.
    #[error("could not make a certificate")]
    Issue(#[source] rcgen::Error),
    /// A certificate, key or authority that was handed to us is not one. The caller's.
    #[error("not a certificate or key in PEM")]
    BadPem,
    /// A certificate names no role of Salus. The caller's.
    #[error("the certificate's subject is not a member, party or device")]
    BadSubject,
    /// The TLS library refused keys, certificates or authorities. The caller's.
    #[error("the TLS configuration is not usable")]
    Configuration(#[source] rustls::Error),
    /// No authority at all was given, so nobody could ever connect. The caller's.
    #[error("no certificate authority to trust")]
    NoAuthority,
    /// The member's address does not answer. The peer's.
    #[error("member {member} cannot be reached at `{address}`")]
    Unreachable {
        /// Which member.
        member: MemberIndex,
        /// Where it should be.
        address: String,
        /// What the network said.
        #[source]
        source: std::io::Error,
    },
    /// The member failed a moment ago and is not tried again yet. The peer's.
    #[error("member {member} failed a moment ago, the next try is due in {wait_ms} ms")]
    BackingOff {
        /// Which member.
        member: MemberIndex,
        /// Milliseconds until a call tries it again.
        wait_ms: u64,
    },
    /// No answer within the time given. The peer's.
    #[error("member {member} gave no answer in time")]
    TimedOut {
        /// Which member.
        member: MemberIndex,
    },
    /// The connection ended before the answer came; the request may have taken effect. The peer's.
    #[error("the connection to member {member} ended before its answer")]
    Lost {
        /// Which member.
        member: MemberIndex,
    },
    /// Nobody is known under this index. The caller's.
    #[error("member {member} is not in the consortium file")]
    UnknownMember {
        /// Which member.
        member: MemberIndex,
    },
    /// The consortium file contradicts itself. The caller's.
    #[error("the consortium file is not sound: {what}")]
    Consortium {
        /// How.
        what: &'static str,
    },
    /// The consortium file is not TOML of the right shape, or has an unknown entry. The caller's.
    #[error("the consortium file cannot be read: {what}")]
    ConsortiumSyntax {
        /// The entry, as the TOML library names it.
        what: String,
    },
    /// What is to be sent is larger than [`salus_wire::limits::RPC_BYTES_MAX`]. The caller's.
    #[error("the message is larger than a call may be")]
    TooLarge,
}

impl LinkError {
    /// The stable code a user sees.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Issue(_) => Code::Internal,
            Self::BadPem | Self::BadSubject => Code::FileUnreadable,
            Self::Configuration(_)
            | Self::NoAuthority
            | Self::UnknownMember { .. }
            | Self::Consortium { .. }
            | Self::ConsortiumSyntax { .. } => Code::ConfigInvalid,
            Self::Unreachable { .. }
            | Self::BackingOff { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. } => Code::Unreachable,
            Self::TooLarge => Code::TooLarge,
        }
    }
}
