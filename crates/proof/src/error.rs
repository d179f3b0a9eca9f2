//! Why something is not proven, one variant per cause, and why a trust policy is none.
//!
//! Promises a stable name for each cause, which golden vectors and other verifiers use too
//! (`spec/receipt.md`), and messages without identifiers or patient data. Refuses to guess who
//! altered a proof: whoever served it is to blame.

use salus_wire::{Code, DecodeError};

/// A proof that does not hold: the fault of whoever made or served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The bytes are not one canonical value within its limits.
    #[error("the proof's bytes are not canonical")]
    Malformed,
    /// There is no header to prove anything with.
    #[error("the proof holds no header")]
    NoHeader,
    /// A header of another consortium.
    #[error("a header belongs to another consortium")]
    OtherChain,
    /// A header is not the parent of the next.
    #[error("the proof's headers do not follow from each other")]
    BrokenChain,
    /// The certificate's bytes are not canonical.
    #[error("the certificate's bytes are not canonical")]
    CertificateMalformed,
    /// The certificate is for another block, view or parent.
    #[error("the certificate is for another block")]
    CertificateOther,
    /// The certificate is for another number of members.
    #[error("the certificate counts other members than the trust policy")]
    CertificateMembers,
    /// Fewer than n - f members signed.
    #[error("fewer than a quorum of members signed the certificate")]
    CertificateQuorum,
    /// A signature in the certificate does not verify.
    #[error("a member's signature in the certificate does not verify")]
    CertificateSignature,
    /// What is claimed to stand, or to be absent, does not fit where its path ends.
    #[error("a state entry contradicts the end of its own path")]
    StateEntry,
    /// A path does not lead to the header's state root.
    #[error("a state path does not lead to the state root")]
    StatePath,
    /// The proof is not about the batch's anchor, or about more than that.
    #[error("the proof is not about the anchor of the batch")]
    AnchorOther,
    /// The anchor is absent from the state.
    #[error("the batch is not anchored")]
    AnchorAbsent,
    /// The manifest does not stand where it is said to stand under the anchor's root.
    #[error("the manifest is not under the anchor")]
    ManifestPath,
    /// The reading does not stand where it is said to stand under the manifest's leaves root.
    #[error("the reading is not under the manifest")]
    LeafPath,
    /// The readings of a segment, all together, do not make its leaves root: the writer's fault.
    #[error("the segment's readings are not those that its manifest commits to")]
    LeavesRoot,
    /// The leaf is not a reading, for this reason.
    #[error("the leaf is not a canonical signed reading: {0}")]
    Leaf(Code),
    /// The device's signature over the reading does not verify.
    #[error("the device's signature does not verify")]
    DeviceSignature,
}

impl Unproven {
    /// The name of this cause in vectors and other verifiers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoHeader => "no-header",
            Self::OtherChain => "other-chain",
            Self::BrokenChain => "broken-chain",
            Self::CertificateMalformed => "certificate-malformed",
            Self::CertificateOther => "certificate-other",
            Self::CertificateMembers => "certificate-members",
            Self::CertificateQuorum => "certificate-quorum",
            Self::CertificateSignature => "certificate-signature",
            Self::StateEntry => "state-entry",
            Self::StatePath => "state-path",
            Self::AnchorOther => "anchor-other",
            Self::AnchorAbsent => "anchor-absent",
            Self::ManifestPath => "manifest-path",
            Self::LeafPath => "leaf-path",
            Self::LeavesRoot => "leaves-root",
            Self::Leaf(_) => "leaf",
            Self::DeviceSignature => "device-signature",
        }
    }

    /// The stable code that a user sees.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Leaf(code) => code,
            Self::DeviceSignature => Code::FrameSignature,
            Self::LeavesRoot => Code::WriterFault,
            Self::Malformed
            | Self::AnchorOther
            | Self::AnchorAbsent
            | Self::ManifestPath
            | Self::LeafPath => Code::ReceiptInvalid,
            Self::NoHeader
            | Self::OtherChain
            | Self::BrokenChain
            | Self::CertificateMalformed
            | Self::CertificateOther
            | Self::CertificateMembers
            | Self::CertificateQuorum
            | Self::CertificateSignature
            | Self::StateEntry
            | Self::StatePath => Code::ProofInvalid,
        }
    }
}

impl From<DecodeError> for Unproven {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// A trust policy that cannot be used: the fault of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// No members, or more than a consortium may have.
    #[error("a trust policy names 1 to {} members", salus_wire::limits::MEMBERS_MAX)]
    Members,
    /// Two members with one key would let one machine vote twice.
    #[error("two members of the trust policy have the same consensus key")]
    SharedKey,
    /// The text is not a trust policy of version 1.
    #[error("the text is not a trust policy: {}", .0.message())]
    Text(#[source] toml::de::Error),
    /// The text is of a version that this program does not know.
    #[error("the trust policy has another version than 1")]
    Version,
    /// A digest or key is not 64 lower-case hexadecimal digits.
    #[error("the trust policy holds a malformed digest or key")]
    Hex,
}
