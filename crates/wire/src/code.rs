//! Stable codes for everything Salus refuses. One table: number, who is to blame, what happened
//! and what to do next. A code's meaning never changes and its number is never used again.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::io::{Error, ErrorKind, Read, Write};

/// Who has to act for the refused thing to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever sent or asked.
    Caller,
    /// Another member, store, custodian or writer.
    Peer,
    /// This process, its disk or its configuration.
    Ours,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $blame:ident, $what:literal, $next:literal;)*) => {
        /// A refusal with a page of its own under `docs/errors`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( #[doc = $what] $name, )* }

        impl Code {
            /// Every code, in order of number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable number.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            /// Who has to act.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $(Self::$name => Blame::$blame,)* }
            }

            /// What happened, in lower case without a full stop.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// What to do next.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)* }
            }

            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    // 1xxx: transactions and the ledger
    Malformed = 1001, Caller, "the bytes are not a canonical message", "send exactly one message in the encoding of spec/encoding.md";
    BadSignature = 1002, Caller, "the signature does not verify", "sign with the key that is registered, for this consortium";
    UnknownSigner = 1003, Caller, "the signer is not known to the ledger in this role", "register the identity with its member first";
    AlreadyExists = 1004, Caller, "the ledger already holds an entry under this key", "treat it as done if it is yours, else take the next tag, batch or identifier";
    NotFound = 1005, Caller, "the ledger holds no such entry", "check the identifier, and that it became final";
    Revoked = 1006, Caller, "the identity, device or grant is revoked", "ask its member for a new registration or grant";
    OutsideValidity = 1007, Caller, "the identity is not valid at this block time", "register a new validity span with its member";
    TooFewReceipts = 1008, Caller, "fewer than n - f distinct stores signed for the batch", "put the fragments to more stores, then anchor";
    BadReceipt = 1009, Peer, "a store's signature on its receipt does not verify", "ask that store again, and report it to its member";
    TooLarge = 1010, Caller, "the message is larger than its limit", "send less at a time";
    QuotaExceeded = 1011, Caller, "this member's share of the queue is full", "wait a second and submit again";
    NotReady = 1012, Ours, "this node is still catching up with the ledger", "wait, or ask another member";
    StorageFailed = 1013, Ours, "this node's disk failed or is full", "free space or replace the disk, then restart the node";
    TimedOut = 1014, Ours, "no final block held the transaction in time", "ask whether it became final before you submit it again";
    // 2xxx: custodians and consent
    RequestSignature = 2001, Caller, "the request is not signed by the access's one-time key", "sign it with the key bound in the access";
    RequestReplayed = 2002, Caller, "this request was already answered or is too old", "make a new request with a fresh nonce and the time now";
    ViewStale = 2003, Ours, "this custodian's view of the ledger is too old to decide", "ask another custodian, and check this member's links";
    AccessNotFinal = 2004, Caller, "the access is not final on the ledger", "record the access and wait for finality";
    AccessExpired = 2005, Caller, "the access has expired", "record a new access at the next tag of the lane";
    WrongTag = 2006, Caller, "the tag does not lie on the chain that the grant or key names", "use the lane and chain of this very grant";
    TagGap = 2007, Caller, "an earlier tag of the chain is absent from the ledger", "use the tags of a chain in order, without gaps";
    NoGrant = 2008, Caller, "no such grant is final on the ledger", "ask the patient for a grant";
    GrantRevoked = 2009, Caller, "the grant is revoked", "ask the patient for a new grant";
    GrantExpired = 2010, Caller, "the grant has expired", "ask the patient for a new grant";
    OtherGrantee = 2011, Caller, "the grant names somebody else", "read under a grant that names you";
    ClassNotGranted = 2012, Caller, "the grant does not cover this class of data", "ask only for granted classes, or for a wider grant";
    SpanNotGranted = 2013, Caller, "the grant does not cover this span of time", "ask only for the granted span, or for a wider grant";
    PurposeNotGranted = 2014, Caller, "the grant does not cover this purpose of use", "state a granted purpose";
    RequesterInvalid = 2015, Caller, "the requester is unknown, revoked or outside its validity", "have the member register the requester";
    BodyMismatch = 2016, Caller, "what was shown does not match its commitment on the ledger", "show the grant and access exactly as committed";
    CustodianBusy = 2017, Ours, "this custodian is at its limit of requests", "wait a second and ask again";
    NothingHeld = 2018, Caller, "this custodian holds no key share for the request", "check the span and class, or ask another custodian";
    RoleNotHeld = 2019, Caller, "the requester does not hold the role that the grant names", "have the member register the requester in that role";
    CodeNotGranted = 2020, Caller, "the grant does not cover this kind of observation", "ask only for the granted kinds, or for a wider grant";
    GrantNotYet = 2021, Caller, "the grant does not hold yet", "wait until its validity begins";
    DeniedByRule = 2022, Caller, "a rule of the grant denies this", "ask for what no rule denies, or ask the patient";
    ChainErased = 2023, Caller, "the patient has ordered that this data be destroyed", "there is nothing to read any more, and nothing more is taken";
    NoOrder = 2024, Caller, "no such erasure order is final on the ledger", "commit the order with the wallet that holds the chain and wait for finality";
    FragmentsUnnamed = 2025, Peer, "it cannot be known yet which fragments are the patient's", "give the order again when every custodian answers, or leave those fragments as ciphertext with --leave-unnamed";
    PolicyDenies = 2028, Caller, "the policy of the requester's own institution does not allow this", "see what it allows with salus policy explain, or ask the institution";
    PolicyInvalid = 2029, Caller, "the requester's own institution published what is no policy", "have the institution publish a policy that salus policy check takes";
    SecondFactor = 2030, Caller, "the requester has no second factor, or it did not sign", "have the member register the requester's second factor, and sign with it";
    NotEmergency = 2031, Caller, "this grant opens in an emergency alone, to physicians and nurses, for emergency treatment", "read under a grant of your own, or break the glass";
    NoCard = 2032, Caller, "nothing is prepared under this card, or every look is used up", "check the card, or ask the patient to prepare new looks";
    GlassLimit = 2033, Caller, "too many emergency uses by this person for now", "read under an ordinary grant, or wait until a day has passed";
    GlassSuspended = 2034, Caller, "emergency uses of this person wait for their review, or were found unjustified", "have the privacy officer of their member close the reviews";
    NotAnOfficer = 2035, Caller, "only a privacy officer of the requester's member may see and close its reviews", "ask with the key of a registered privacy officer";
    LookSpent = 2036, Caller, "this look is used up, or was given more than an hour ago", "break the glass again, for the next look";
    NoRecovery = 2040, Caller, "no such recovery is prepared at this custodian, or its case is not final", "check the guardian's file, and open the case with salus recovery open";
    RecoveryEarly = 2041, Caller, "the delay of this recovery is not over", "finish it when the time that salus recovery status names has come";
    RecoveryVetoed = 2042, Caller, "this case of recovery was vetoed, or another one or a withdrawal came before it", "ask the patient, and have the guardians approve a new case";
    RecoveryApproval = 2043, Caller, "too few of the named guardians approved this case", "have as many different guardians approve the same case as were named for it";
    ChainMoved = 2044, Caller, "a recovery has ended the chain of this grant or order, or is open and older", "ask the patient for a grant of the wallet that came in its place, or to veto";
    RecoveryTooShort = 2045, Caller, "the delay of this recovery is shorter than this custodian takes, or than the one before it", "prepare it with a longer --delay";
    // 3xxx: stores
    BadFragment = 3001, Peer, "a fragment does not match its manifest", "the read goes on with other stores, report the store that served it";
    StoreFull = 3002, Ours, "the store has no room", "add space, the gateway keeps the data until then";
    NoSuchSegment = 3003, Caller, "the store holds no segment there", "ask other stores, this may be the end of the epoch";
    AccessRequired = 3004, Caller, "stores serve only a final, unexpired access", "record the access first and sign the fetch with its one-time key";
    BatchMismatch = 3005, Caller, "the fragments and manifests do not make up the batch", "send the whole batch again";
    // 4xxx: gateway and devices
    FrameMalformed = 4001, Caller, "the frame is not a canonical signed reading", "encode the frame as spec/frame.md says";
    DeviceUnknown = 4002, Caller, "the device is not enrolled at this gateway", "enrol the device";
    DeviceRevoked = 4003, Caller, "the device is revoked", "enrol the device again with a new key";
    DeviceUnassigned = 4004, Caller, "the device is not assigned to a patient at this time", "assign the device";
    FrameSignature = 4005, Caller, "the frame's signature is not the device's", "sign with the enrolled key";
    UnitUnknown = 4006, Caller, "the unit does not fit the kind of observation", "send the unit that spec/frame.md lists for it";
    ClockOff = 4007, Caller, "the device's clock is too far from the gateway's", "set the device's clock";
    SequenceReused = 4008, Caller, "another frame with this sequence number was already kept", "never sign two frames with one sequence, check for a cloned device";
    FrameTooLarge = 4009, Caller, "the frame is larger than its limit", "send shorter frames";
    QueueFull = 4010, Ours, "the gateway's queue is full", "the device keeps the frame and sends it again later";
    CertificateMismatch = 4011, Caller, "the connection's certificate belongs to another device", "connect with the device's own certificate";
    QueueDisk = 4012, Ours, "the gateway's disk failed or is full", "free space or replace the disk, then restart the gateway";
    // 5xxx: reading, receipts and the command line
    ConfigInvalid = 5001, Caller, "the configuration has an unknown or invalid entry", "correct the named entry";
    FileUnreadable = 5002, Caller, "a file is missing, unreadable or not what it should be", "check the named path";
    Unreachable = 5003, Peer, "a member or gateway cannot be reached", "check that it runs and that its address is right";
    ReceiptInvalid = 5004, Caller, "the receipt does not verify", "do not rely on it, ask for it again from another member";
    TooFewShares = 5005, Peer, "too few custodians released a key share", "see the reason of each custodian";
    TooFewFragments = 5006, Peer, "too few good fragments to rebuild a segment", "see the reason of each store";
    WriterFault = 5007, Peer, "the writer's own commitments contradict each other", "report the gateway that wrote it";
    Usage = 5008, Caller, "the command cannot do that", "see --help";
    PromiseBroken = 5009, Ours, "something that Salus promises did not hold", "keep the folder and report it";
    ProofInvalid = 5010, Peer, "a member's proof does not verify", "ask another member, and report that one";
    Internal = 5011, Ours, "an unexpected failure inside this process", "see the log for the chain of causes";
    ConsentRefused = 5012, Caller, "the consent says what cannot be kept", "change the named element, spec/consent.md lists what is taken";
    ProofStale = 5013, Peer, "a member's proof is too old to say what is so now", "ask another member, and set this machine's clock";
    PolicyRefused = 5014, Caller, "the text is no policy that can be published", "correct what is named, docs/adr/0012-policy.md lists what a policy may say";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SAL-{:04}", self.number())
    }
}

impl BorshSerialize for Code {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.number().serialize(writer)
    }
}

impl BorshDeserialize for Code {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let number = u16::deserialize_reader(reader)?;
        Self::from_number(number).ok_or_else(|| Error::new(ErrorKind::InvalidData, "unknown code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_ascending_and_round_trip() {
        let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert_eq!(crate::decode::<Code>(&crate::encode(code), 2), Ok(*code));
        }
        assert!(crate::decode::<Code>(&9_999_u16.to_le_bytes(), 2).is_err());
    }
}
