//! Remote calls between Salus endpoints: one request, one response, inside TLS 1.3.

use crate::activity::{ActivityPage, ActivityRequest};
use crate::block::{Block, Outcome};
use crate::bounded::{Blob, List};
use crate::code::Code;
use crate::codec::encode;
use crate::emergency::{EmergencyDeposit, EmergencyUse, Glass, GlassRequest, ReviewsRequest};
use crate::erasure::{EraseAnswer, EraseRequest};
use crate::ids::{
    AccessTag, BatchNumber, ChainId, FragmentIndex, Height, Locator, MemberIndex, PartyId, TimeMs,
};
use crate::limits::{BATCH_SEGMENTS_MAX, FOLLOW_BLOCKS_MAX, FRAGMENT_BYTES_MAX, REVIEWS_MAX, STATE_KEYS_MAX};
use crate::manifest::Manifest;
use crate::recovery::{RecoverRequest, Recovered, RecoveryDeposit};
use crate::release::{Deposit, ReleaseRequest, Released};
use crate::state::{CertifiedChain, StateKey, StateProof, StateValue, Tip};
use crate::tx::{Held, Tx};
use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::Digest;
use salus_crypto::sign::Signature;

/// Longest explanation that goes with a refusal.
pub const DETAIL_BYTES_MAX: usize = 256;

/// What a client asks of a member.
#[derive(BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// How the node is.
    Status,
    /// Order this transaction; answered when it is final or refused.
    Submit(Box<Tx>),
    /// Entries of the state at the node's head, unproven.
    Read(List<StateKey, STATE_KEYS_MAX>),
    /// Entries and absences, all under one final header, with their proof.
    Prove(List<StateKey, STATE_KEYS_MAX>),
    /// Final blocks above a height; waits up to a second for the first.
    Follow(Height),
    /// The header at a height with its certificate.
    Certified(Height),
    /// Keep these fragments.
    Put(Box<Put>),
    /// Give the fragment at a locator.
    Fetch(Fetch),
    /// Keep these key shares.
    Deposit(Box<Deposit>),
    /// Release key shares.
    Release(ReleaseRequest),
    /// Keep what opens a patient's data in an emergency.
    Prepare(Box<EmergencyDeposit>),
    /// Break the glass: give what opens the next look.
    BreakGlass(GlassRequest),
    /// Say which emergency uses there were, for review.
    Reviews(ReviewsRequest),
    /// Obey an erasure order.
    Erase(EraseRequest),
    /// Say what one member's people looked at on one day.
    Activity(ActivityRequest),
    /// Keep what gives a lost wallet back.
    KeepRecovery(Box<RecoveryDeposit>),
    /// Give it to the wallet that guardians approved.
    Recover(RecoverRequest),
}

/// What a member answers.
#[derive(BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Submit`].
    Committed(Committed),
    /// To [`Request::Read`].
    Values(Values),
    /// To [`Request::Prove`].
    Proof(Box<StateProof>),
    /// To [`Request::Follow`], in ascending height.
    Blocks(List<FinalBlock, FOLLOW_BLOCKS_MAX>),
    /// To [`Request::Certified`].
    Certified(Box<CertifiedChain>),
    /// To [`Request::Put`], after fsync.
    Held(Held),
    /// To [`Request::Fetch`].
    Fragment(Box<Fetched>),
    /// To [`Request::Deposit`], after fsync.
    Deposited,
    /// To [`Request::Release`].
    Released(Box<Released>),
    /// To [`Request::Prepare`], after fsync.
    Prepared,
    /// To [`Request::BreakGlass`].
    Glass(Box<Glass>),
    /// To [`Request::Reviews`], the newest first.
    Reviews(List<EmergencyUse, REVIEWS_MAX>),
    /// To anything: no.
    Refused(Refusal),
    /// To [`Request::Erase`].
    Erased(EraseAnswer),
    /// To [`Request::Activity`].
    Activity(ActivityPage),
    /// To [`Request::KeepRecovery`], after fsync.
    RecoveryKept,
    /// To [`Request::Recover`], after fsync of what it ends.
    Recovered(Box<Recovered>),
}

/// A no, with its reason. The detail never holds patient data or an identifier of one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What more may be said, in UTF-8.
    pub detail: Blob<DETAIL_BYTES_MAX>,
    /// Milliseconds after which asking again may help, 0 when it will not.
    pub retry_after_ms: u32,
}

impl Refusal {
    /// A refusal without detail; asking again will not help.
    #[must_use]
    pub fn bare(code: Code) -> Self {
        Self { code, detail: Blob::default(), retry_after_ms: 0 }
    }

    /// A refusal for now.
    #[must_use]
    pub fn busy(code: Code, retry_after_ms: u32) -> Self {
        Self { code, detail: Blob::default(), retry_after_ms }
    }
}

/// A node's state of health. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// Which member answers.
    pub member: MemberIndex,
    /// Of which consortium.
    pub chain: ChainId,
    /// Its head.
    pub head: Tip,
    /// The state root there.
    pub state: Digest,
    /// The node's clock.
    pub now: TimeMs,
    /// Other members connected.
    pub peers: u16,
    /// Transactions waiting.
    pub waiting: u32,
    /// Objects in its store.
    pub fragments: u64,
    /// Epochs of which it holds shares.
    pub epochs: u64,
}

/// A transaction is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Committed {
    /// In this block.
    pub at: Tip,
    /// With this result.
    pub outcome: Outcome,
}

/// State entries at one head.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Values {
    /// The head.
    pub at: Tip,
    /// In the order asked for.
    pub values: List<Option<StateValue>, STATE_KEYS_MAX>,
}

/// A final block with what became of each transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalBlock {
    /// The block.
    pub block: Block,
    /// In the order of its transactions.
    pub outcomes: List<Outcome, { crate::limits::BLOCK_TXS_MAX }>,
}

/// A batch on its way to one store.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Put {
    /// The gateway.
    pub gateway: PartyId,
    /// Its batch.
    pub batch: BatchNumber,
    /// Which store; also the index of every fragment within.
    pub store: MemberIndex,
    /// The whole batch: every manifest with this store's fragment of it.
    pub segments: List<PutSegment, BATCH_SEGMENTS_MAX>,
    /// By the gateway's key over [`put_message`], under [`crate::namespaces::PUT`].
    pub signature: Signature,
}

/// One segment of a [`Put`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PutSegment {
    /// The manifest.
    pub manifest: Manifest,
    /// The store's fragment.
    pub fragment: Blob<FRAGMENT_BYTES_MAX>,
}

/// What a gateway signs over a put: the root binds every manifest, and they bind the fragments.
#[must_use]
pub fn put_message(
    chain: ChainId,
    gateway: PartyId,
    batch: BatchNumber,
    store: MemberIndex,
    root: Digest,
) -> Vec<u8> {
    encode(&(chain, gateway, batch, store, root))
}

/// A reader asks a store for its fragment of one segment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fetch {
    /// What is asked.
    pub terms: FetchTerms,
    /// By the access's one-time key over the terms, under [`crate::namespaces::FETCH`].
    pub signature: Signature,
}

/// The signed part of a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FetchTerms {
    /// The store asked.
    pub store: MemberIndex,
    /// Under this final access.
    pub access: AccessTag,
    /// The segment.
    pub locator: Locator,
    /// The reader's clock.
    pub sent: TimeMs,
}

/// What a reader signs over a fetch, under [`crate::namespaces::FETCH`].
#[must_use]
pub fn fetch_message(chain: ChainId, terms: &FetchTerms) -> Vec<u8> {
    encode(&(chain, terms))
}

/// A store's fragment with the place of its manifest in an anchored batch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fetched {
    /// The manifest.
    pub manifest: Manifest,
    /// Which fragment.
    pub index: FragmentIndex,
    /// Its bytes, unchecked.
    pub fragment: Blob<FRAGMENT_BYTES_MAX>,
    /// The batch that holds the manifest.
    pub place: BatchPlace,
}

/// Where a manifest stands in a batch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchPlace {
    /// The gateway.
    pub gateway: PartyId,
    /// Its batch.
    pub batch: BatchNumber,
    /// The manifest's index in the batch.
    pub index: u32,
    /// Manifests in the batch.
    pub count: u32,
    /// The Merkle path (RFC 9162) to the batch's root.
    pub path: List<Digest, 32>,
}
