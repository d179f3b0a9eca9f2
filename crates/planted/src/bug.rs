//! The bugs, and what each is called.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A gateway acknowledges a frame before it is synced.
    AckBeforeSync,
    /// A gateway forgets which sequence numbers it has taken.
    SequenceForgotten,
    /// A new file of the queue begins without what was seen before.
    CheckpointForgets,
    /// A batch number is given out twice.
    NumberReused,
    /// Rows are done once their anchor is submitted.
    DoneAtSubmission,
    /// Two segments of an epoch have one number.
    SegmentNumberReused,
    /// A gateway that restarts draws the same epoch keys.
    EpochKeyReused,
    /// Every segment is sealed with the same random bytes.
    SealRandomReused,
    /// A store promises what it has not written.
    HeldBeforeWrite,
    /// A fragment is not held against its hash.
    FragmentHashSkipped,
    /// A refusal is not written before the vote.
    RefusalNotDurable,
    /// A refusal is written and not obeyed until a restart.
    RefusalNotInMemory,
    /// A vote does not wait for the record of refusals.
    VoteBeforeRecord,
    /// A refusal between decision and release is missed.
    RefusalMissed,
    /// A custodian decides on a view of any age.
    StaleView,
    /// A custodian does not see that a grant is withdrawn.
    RevokedStandingIgnored,
    /// A custodian answers a request twice.
    ReplayForgotten,
    /// A custodian answers a request of any age.
    OldRequestAdmitted,
    /// A custodian answers a request made to another.
    AnyCustodian,
    /// A custodian does not look for gaps in a lane.
    EarlierTagsSkipped,
    /// A custodian releases under an access that has expired.
    ExpiredAccessReleased,
    /// A custodian releases to somebody whom the grant does not name.
    AnyGrantee,
    /// A custodian does not check who signed an intent.
    IntentUnsigned,
    /// A custodian releases more classes than the intent names.
    ClassBeyondIntent,
    /// A custodian releases for a purpose that was not granted.
    PurposeIgnored,
    /// A custodian releases kinds of observation that were not granted.
    CodesIgnored,
    /// A custodian does not see a grant's rules of denial.
    DenyRuleIgnored,
    /// A custodian does not ask the policy of the requester's member.
    PolicyIgnored,
    /// A custodian lets anybody use an access.
    OneTimeKeyIgnored,
    /// Transactions are not checked for their signatures.
    SignaturesUnchecked,
    /// An anchor needs one receipt too few.
    FewerReceipts,
    /// A store's receipt counts as often as it is given.
    ReceiptsRepeated,
    /// Anybody can withdraw a grant.
    AnyoneWithdraws,
    /// An entry can be written twice.
    EntryOverwritten,
    /// Anybody can register a party.
    AnyRegistrar,
    /// A block can be earlier than its parent.
    TimeRunsBack,
    /// A block repeats the transactions of its parent.
    TransactionTwice,
    /// A restart does not replay blocks above the written state.
    BlocksNotReplayed,
    /// A restart forgets the votes that were cast.
    VotesForgotten,
    /// A certificate of f signatures is enough.
    LiarsCertify,
    /// An entry is not held against the state root.
    ProofUnchecked,
    /// A transaction is final because a member says so.
    MemberBelieved,
    /// One member's refusal ends a read.
    RefusalBelieved,
    /// A list of accesses ends where a member says.
    ListEndsEarly,
    /// A torn record stays in the journal of refusals.
    JournalTailKept,
    /// Each custodian gets the epoch key itself.
    KeyNotSplit,
    /// A key share is not held against its hash.
    ShareHashSkipped,
    /// A vote does not ask whether the block gives the state that it names.
    RootUnchecked,
    /// A vote does not ask whether the block gives the outcomes that it names.
    OutcomesUnchecked,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AckBeforeSync,
        Self::SequenceForgotten,
        Self::CheckpointForgets,
        Self::NumberReused,
        Self::DoneAtSubmission,
        Self::SegmentNumberReused,
        Self::EpochKeyReused,
        Self::SealRandomReused,
        Self::HeldBeforeWrite,
        Self::FragmentHashSkipped,
        Self::RefusalNotDurable,
        Self::RefusalNotInMemory,
        Self::VoteBeforeRecord,
        Self::RefusalMissed,
        Self::StaleView,
        Self::RevokedStandingIgnored,
        Self::ReplayForgotten,
        Self::OldRequestAdmitted,
        Self::AnyCustodian,
        Self::EarlierTagsSkipped,
        Self::ExpiredAccessReleased,
        Self::AnyGrantee,
        Self::IntentUnsigned,
        Self::ClassBeyondIntent,
        Self::PurposeIgnored,
        Self::CodesIgnored,
        Self::DenyRuleIgnored,
        Self::PolicyIgnored,
        Self::OneTimeKeyIgnored,
        Self::SignaturesUnchecked,
        Self::FewerReceipts,
        Self::ReceiptsRepeated,
        Self::AnyoneWithdraws,
        Self::EntryOverwritten,
        Self::AnyRegistrar,
        Self::TimeRunsBack,
        Self::TransactionTwice,
        Self::BlocksNotReplayed,
        Self::VotesForgotten,
        Self::LiarsCertify,
        Self::ProofUnchecked,
        Self::MemberBelieved,
        Self::RefusalBelieved,
        Self::ListEndsEarly,
        Self::JournalTailKept,
        Self::KeyNotSplit,
        Self::ShareHashSkipped,
        Self::RootUnchecked,
        Self::OutcomesUnchecked,
    ];

    /// What it does, in a few words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "a gateway acknowledges a frame before it is synced",
            Self::SequenceForgotten => "a gateway forgets which sequence numbers it has taken",
            Self::CheckpointForgets => "a new file of the queue begins without what was seen before",
            Self::NumberReused => "a batch number is given out twice",
            Self::DoneAtSubmission => "rows are done once their anchor is submitted",
            Self::SegmentNumberReused => "two segments of an epoch have one number",
            Self::EpochKeyReused => "a gateway that restarts draws the same epoch keys",
            Self::SealRandomReused => "every segment is sealed with the same random bytes",
            Self::HeldBeforeWrite => "a store promises what it has not written",
            Self::FragmentHashSkipped => "a fragment is not held against its hash",
            Self::RefusalNotDurable => "a refusal is not written before the vote",
            Self::RefusalNotInMemory => "a refusal is written and not obeyed until a restart",
            Self::VoteBeforeRecord => "a vote does not wait for the record of refusals",
            Self::RefusalMissed => "a refusal between decision and release is missed",
            Self::StaleView => "a custodian decides on a view of any age",
            Self::RevokedStandingIgnored => "a custodian does not see that a grant is withdrawn",
            Self::ReplayForgotten => "a custodian answers a request twice",
            Self::OldRequestAdmitted => "a custodian answers a request of any age",
            Self::AnyCustodian => "a custodian answers a request made to another",
            Self::EarlierTagsSkipped => "a custodian does not look for gaps in a lane",
            Self::ExpiredAccessReleased => "a custodian releases under an access that has expired",
            Self::AnyGrantee => "a custodian releases to somebody whom the grant does not name",
            Self::IntentUnsigned => "a custodian does not check who signed an intent",
            Self::ClassBeyondIntent => "a custodian releases more classes than the intent names",
            Self::PurposeIgnored => "a custodian releases for a purpose that was not granted",
            Self::CodesIgnored => "a custodian releases kinds of observation that were not granted",
            Self::DenyRuleIgnored => "a custodian does not see a grant's rules of denial",
            Self::PolicyIgnored => "a custodian does not ask the policy of the requester's member",
            Self::OneTimeKeyIgnored => "a custodian lets anybody use an access",
            Self::SignaturesUnchecked => "transactions are not checked for their signatures",
            Self::FewerReceipts => "an anchor needs one receipt too few",
            Self::ReceiptsRepeated => "a store's receipt counts as often as it is given",
            Self::AnyoneWithdraws => "anybody can withdraw a grant",
            Self::EntryOverwritten => "an entry can be written twice",
            Self::AnyRegistrar => "anybody can register a party",
            Self::TimeRunsBack => "a block can be earlier than its parent",
            Self::TransactionTwice => "a block repeats the transactions of its parent",
            Self::BlocksNotReplayed => "a restart does not replay blocks above the written state",
            Self::VotesForgotten => "a restart forgets the votes that were cast",
            Self::LiarsCertify => "a certificate of f signatures is enough",
            Self::ProofUnchecked => "an entry is not held against the state root",
            Self::MemberBelieved => "a transaction is final because a member says so",
            Self::RefusalBelieved => "one member's refusal ends a read",
            Self::ListEndsEarly => "a list of accesses ends where a member says",
            Self::JournalTailKept => "a torn record stays in the journal of refusals",
            Self::KeyNotSplit => "each custodian gets the epoch key itself",
            Self::ShareHashSkipped => "a key share is not held against its hash",
            Self::RootUnchecked => "a vote does not ask whether the block gives the state that it names",
            Self::OutcomesUnchecked => {
                "a vote does not ask whether the block gives the outcomes that it names"
            }
        }
    }
}
