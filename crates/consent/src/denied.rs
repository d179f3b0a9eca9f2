//! Every way to say no, one variant for each cause. A denial names no patient, no tag and no key;
//! what it tells the asker, the asker already knew.

use crate::policy::Clause;
use salus_wire::Code;

/// Why a custodian releases nothing. The requester is to blame unless the variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request is not signed by the one-time key it names.
    #[error("the request is not signed by the one-time key it names")]
    RequestSignature,
    /// The request is for another custodian; somebody carried it here.
    #[error("the request is addressed to another custodian")]
    OtherCustodian,
    /// The request's time is further from this custodian's clock than requests may be.
    #[error("the request was not sent just now")]
    NotJustNow,
    /// This very request was already admitted.
    #[error("the request was already admitted once")]
    Replayed,
    /// Ours: too many requests are remembered to admit another.
    #[error("this custodian remembers as many requests as it may")]
    ReplayFull,
    /// A place on a chain is 0 or past the end of every chain.
    #[error("no chain has a tag at that place")]
    NoSuchPlace,
    /// Ours: the view is older, or newer, than this custodian's clock allows.
    #[error("this custodian's view of the ledger is stale")]
    ViewStale,
    /// Ours: an entry that the decision needs was not read.
    #[error("this custodian did not read all that the decision needs")]
    ViewIncomplete,
    /// The access is not on the ledger.
    #[error("the access is not final on the ledger")]
    AccessNotFinal,
    /// The access was recorded with another one-time key.
    #[error("the access was recorded with another one-time key")]
    OtherOneTime,
    /// An earlier tag of the lane is absent.
    #[error("an earlier tag of the lane is absent from the ledger")]
    LaneGap,
    /// An earlier tag of the grant chain is absent.
    #[error("an earlier tag of the grant chain is absent from the ledger")]
    GrantGap,
    /// The sealed intent does not open with the link that was shown, or is no intent.
    #[error("the sealed intent does not open")]
    IntentSealed,
    /// The intent is not what the access committed to.
    #[error("the intent is not what the access committed to")]
    IntentCommitment,
    /// The intent binds another one-time key than the access.
    #[error("the intent binds another one-time key")]
    IntentOneTime,
    /// No grant stands under the tag.
    #[error("no such grant is final on the ledger")]
    NoGrant,
    /// The sealed grant does not open with the key that was shown, or is no grant.
    #[error("the sealed grant does not open")]
    GrantSealed,
    /// The grant is not what its entry committed to.
    #[error("the grant is not what its entry committed to")]
    GrantCommitment,
    /// The grant binds another one-time key than its entry.
    #[error("the grant binds another one-time key")]
    GrantOneTime,
    /// The access is older than the time for which it, or any access, may be used.
    #[error("the access has expired")]
    AccessExpired,
    /// The intent names another grant than the one shown.
    #[error("the intent names another grant")]
    OtherGrant,
    /// The access does not stand on the grant's lane at the place shown.
    #[error("the access does not stand on the lane of the grant")]
    OffLane,
    /// The requester is not registered.
    #[error("the requester is not registered")]
    RequesterUnknown,
    /// The requester is a gateway, and gateways do not read.
    #[error("the requester is a gateway")]
    RequesterGateway,
    /// The requester's registration was revoked.
    #[error("the requester's registration is revoked")]
    RequesterRevoked,
    /// The requester's registration does not hold at this block time.
    #[error("the requester's registration does not hold now")]
    RequesterOutsideValidity,
    /// The intent is not signed by the requester's registered key.
    #[error("the intent is not signed by the requester's registered key")]
    IntentSignature,
    /// The grant is somebody else's.
    #[error("the grant names another grantee")]
    OtherGrantee,
    /// The grant names another key than the requester's registered one.
    #[error("the grant names another key of the grantee")]
    OtherGranteeKey,
    /// The intent asks for a class that the grant does not cover.
    #[error("the grant does not cover a class in the intent")]
    ClassNotGranted,
    /// The requester does not hold, at the member that the grant names, the role that it names.
    #[error("the requester does not hold the role that the grant names")]
    RoleNotHeld,
    /// The intent asks for a kind of observation that the grant does not cover.
    #[error("the grant does not cover a kind of observation in the intent")]
    CodeNotGranted,
    /// The intent asks for a span that the grant does not cover.
    #[error("the grant does not cover the span in the intent")]
    SpanNotGranted,
    /// The grant does not allow the intent's purpose.
    #[error("the grant does not allow the purpose of the intent")]
    PurposeNotGranted,
    /// The grant's time has not come.
    #[error("the grant does not hold yet")]
    GrantNotYet,
    /// A rule of denial in the grant matches everything that the intent asks for.
    #[error("a rule of the grant denies what the intent asks for")]
    DeniedByRule,
    /// The grant's time is over.
    #[error("the grant has expired")]
    GrantExpired,
    /// The key to re-seal to is not the one that the intent names.
    #[error("the reader's key is not the one in the intent")]
    OtherReader,
    /// The request asks for a class beyond its intent.
    #[error("the request goes beyond the classes of its intent")]
    ClassBeyondIntent,
    /// The request asks for a kind of observation beyond its intent.
    #[error("the request goes beyond the kinds of observation in its intent")]
    CodeBeyondIntent,
    /// The request asks for a span beyond its intent.
    #[error("the request goes beyond the span of its intent")]
    SpanBeyondIntent,
    /// The grant is revoked on the ledger.
    #[error("the grant is revoked")]
    GrantRevoked,
    /// This member has verified a block that revokes the grant (P2).
    #[error("the grant is being revoked")]
    GrantRefused,
    /// An emergency grant is read under without breaking the glass, or another purpose is stated, or glass is
    /// broken under a grant that is none.
    #[error("the grant opens in an emergency alone, or is no emergency grant")]
    NotEmergency,
    /// The requester has no second factor, or it did not sign.
    #[error("the requester's second factor did not sign")]
    SecondFactor,
    /// Nothing is prepared under the card, or every look is used up.
    #[error("no look is prepared under this card")]
    NoLook,
    /// The requester had as many emergency uses, or looks of one, as anybody may have.
    #[error("the requester has used up emergency uses for now")]
    GlassLimit,
    /// Emergency uses of the requester wait for their review, or were found unjustified.
    #[error("emergency uses of the requester are not reviewed, or unjustified")]
    GlassSuspended,
    /// The look is used up, or was given longer ago than it may be used.
    #[error("the look is used up or was given too long ago")]
    LookSpent,
    /// Who asks for reviews is not a privacy officer.
    #[error("the asker is not a privacy officer")]
    NotAnOfficer,
    /// Ours: the permit was not used at once.
    #[error("the permit was not used in time")]
    PermitSpent,
    /// The policy of the requester's member forbids it. The policy stands on the ledger for all to read.
    #[error("clause `{0}` of the policy of the requester's member forbids it")]
    PolicyForbids(Clause),
    /// No clause of the policy of the requester's member permits all of it.
    #[error("no clause of the policy of the requester's member permits all of it")]
    PolicyPermitsNot,
    /// The requester's member published what is no policy. It is to blame.
    #[error("what the requester's member published is no policy")]
    PolicyInvalid,
    /// No entry stands under the tag of an order.
    #[error("no such erasure order is final on the ledger")]
    NoOrder,
    /// What stands there does not open with the key that was shown, or is no order.
    #[error("what stands there is no erasure order")]
    NotAnOrder,
    /// What stands under the tag is no preparation of this chain's recovery, or does not fit this custodian.
    #[error("what stands there prepares no recovery")]
    NotARecovery,
    /// Nothing is kept under the name, or the case is none of its places.
    #[error("no such recovery is prepared here")]
    NoRecovery,
    /// The case does not stand on the ledger.
    #[error("no such case is final on the ledger")]
    CaseNotFinal,
    /// The case or its approvals are not what was committed to.
    #[error("the case is not what its entry committed to")]
    CaseCommitment,
    /// The case was opened too long after the new wallet asked.
    #[error("the approvals were too old when the case was opened")]
    ApprovalsOld,
    /// Approvals are not of different guardians in order.
    #[error("one guardian approved twice")]
    ApprovalTwice,
    /// An approval is not signed by a guardian that was named.
    #[error("an approval is not that of a named guardian")]
    NotAGuardian,
    /// Fewer guardians approved than are needed.
    #[error("too few guardians approved")]
    TooFewApprovals,
    /// The delay of the case is not over at this head.
    #[error("the delay of the case is not over")]
    RecoveryEarly,
    /// The case was vetoed, or never counted, or another leads.
    #[error("the case was vetoed, or another came before it")]
    RecoveryVetoed,
    /// The grant is not older than an open case of recovery of its chain.
    #[error("a case of recovery of the grant's chain is open, and older than the grant")]
    RecoveryOpen,
    /// The chain was ended by a recovery, or does not hold what it claims to have come into.
    #[error("the chain was ended, or is not in charge of this data")]
    ChainMoved,
}

impl Denied {
    /// The stable code that the requester is given.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::RequestSignature | Self::OtherOneTime => Code::RequestSignature,
            Self::OtherCustodian | Self::NotJustNow | Self::Replayed => Code::RequestReplayed,
            Self::ReplayFull | Self::PermitSpent => Code::CustodianBusy,
            Self::ViewStale => Code::ViewStale,
            Self::ViewIncomplete => Code::Internal,
            Self::AccessNotFinal => Code::AccessNotFinal,
            Self::AccessExpired => Code::AccessExpired,
            Self::NoSuchPlace | Self::OffLane | Self::OtherGrant => Code::WrongTag,
            Self::LaneGap | Self::GrantGap => Code::TagGap,
            Self::IntentSealed
            | Self::IntentCommitment
            | Self::IntentOneTime
            | Self::GrantSealed
            | Self::GrantCommitment
            | Self::GrantOneTime
            | Self::OtherReader => Code::BodyMismatch,
            Self::NoOrder | Self::NotAnOrder => Code::NoOrder,
            Self::NoGrant => Code::NoGrant,
            Self::NotARecovery | Self::CaseCommitment => Code::BodyMismatch,
            Self::NoRecovery | Self::CaseNotFinal => Code::NoRecovery,
            Self::ApprovalsOld | Self::ApprovalTwice | Self::NotAGuardian | Self::TooFewApprovals => {
                Code::RecoveryApproval
            }
            Self::RecoveryEarly => Code::RecoveryEarly,
            Self::RecoveryVetoed => Code::RecoveryVetoed,
            Self::ChainMoved | Self::RecoveryOpen => Code::ChainMoved,
            Self::RequesterUnknown
            | Self::RequesterGateway
            | Self::RequesterRevoked
            | Self::RequesterOutsideValidity => Code::RequesterInvalid,
            Self::IntentSignature => Code::BadSignature,
            Self::OtherGrantee | Self::OtherGranteeKey => Code::OtherGrantee,
            Self::RoleNotHeld => Code::RoleNotHeld,
            Self::CodeNotGranted | Self::CodeBeyondIntent => Code::CodeNotGranted,
            Self::GrantNotYet => Code::GrantNotYet,
            Self::DeniedByRule => Code::DeniedByRule,
            Self::ClassNotGranted | Self::ClassBeyondIntent => Code::ClassNotGranted,
            Self::SpanNotGranted | Self::SpanBeyondIntent => Code::SpanNotGranted,
            Self::PurposeNotGranted => Code::PurposeNotGranted,
            Self::GrantExpired => Code::GrantExpired,
            Self::GrantRevoked | Self::GrantRefused => Code::GrantRevoked,
            Self::NotEmergency => Code::NotEmergency,
            Self::SecondFactor => Code::SecondFactor,
            Self::NoLook => Code::NoCard,
            Self::GlassLimit => Code::GlassLimit,
            Self::GlassSuspended => Code::GlassSuspended,
            Self::LookSpent => Code::LookSpent,
            Self::NotAnOfficer => Code::NotAnOfficer,
            Self::PolicyForbids(_) | Self::PolicyPermitsNot => Code::PolicyDenies,
            Self::PolicyInvalid => Code::PolicyInvalid,
        }
    }
}
