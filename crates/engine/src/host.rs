//! What an engine runs on: a runtime, a clock, links to the other members, and a state tree.
//!
//! The product's host has threads, sockets and a disk ([`crate::Engine`]); a simulator's has none of
//! them. Everything above this line is the same code on both. This module, and what it is built of,
//! names the engine's own types; only a simulator needs it beside this crate.

use crate::config::{Pacing, Watch};
use crate::error::EngineError;
use crate::gossip;
use crate::handle::Handle;
use crate::scheme::{self, PeerKey, Roster, Scheme};
use crate::tree::StateTree;
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::{marshal, simplex};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_runtime::{Clock as EngineClock, Handle as Task, Metrics, Quota, Spawner, Storage};
use commonware_utils::{NZU32, NZUsize};
use rand::CryptoRng;
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_wire::limits::MEMBERS_MAX;
use salus_wire::{Genesis, MemberIndex, TimeMs};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Slots of a new index of digests, which take about a megabyte.
const INDEX_SLOTS: u32 = 16_384;
/// Messages that wait in a queue of one of the engine's parts.
const MAILBOX_SLOTS: NonZeroUsize = NZUsize!(512);
/// Messages a second from one peer on a channel; what is above is dropped and made up for.
const RATE: Quota = Quota::per_second(NZU32!(2_048));
/// The same for blocks and their repair.
const RATE_BLOCKS: Quota = Quota::per_second(NZU32!(512));

/// Tasks, timers, files and randomness.
pub trait Runtime: Spawner + EngineClock + Storage + Metrics + CryptoRng {}

impl<T: Spawner + EngineClock + Storage + Metrics + CryptoRng> Runtime for T {}

/// Tells the time by this member's own clock. Timers are the runtime's.
pub type Clock = Arc<dyn Fn() -> TimeMs + Send + Sync>;

/// The kinds of one implementation of links.
pub trait Wiring: 'static {
    /// Sends on one channel.
    type Sender: Sender<PublicKey = PeerKey>;
    /// Receives on one channel.
    type Receiver: Receiver<PublicKey = PeerKey>;
    /// Turns peers away.
    type Guard: Blocker<PublicKey = PeerKey> + Sync;
    /// Knows who is there.
    type Peers: Provider<PublicKey = PeerKey> + Sync;
}

/// Both ends of a channel.
pub type Wires<W> = (<W as Wiring>::Sender, <W as Wiring>::Receiver);

/// A channel between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its number, the same at every member.
    pub number: u64,
    /// How much a peer may send on it.
    pub rate: Quota,
}

/// The channels, in the order in which [`Links::channels`] holds their ends.
pub const CHANNELS: [Channel; 6] = [
    Channel { number: 0, rate: RATE },        // votes
    Channel { number: 1, rate: RATE },        // certificates
    Channel { number: 2, rate: RATE },        // requests for certificates
    Channel { number: 3, rate: RATE_BLOCKS }, // repair of blocks
    Channel { number: 4, rate: RATE_BLOCKS }, // blocks
    Channel { number: 5, rate: RATE },        // transactions
];

/// A member's links.
pub struct Links<W: Wiring> {
    /// The ends of [`CHANNELS`].
    pub channels: [Wires<W>; 6],
    /// Turns peers away.
    pub guard: W::Guard,
    /// Knows who is there.
    pub peers: W::Peers,
    /// Begins to carry messages. The task ends when it no longer does.
    pub start: Box<dyn FnOnce() -> Task<()> + Send>,
}

/// What a member takes up on its runtime.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// Goes before the names of its files, for a runtime that has the files of several members.
    pub prefix: String,
    /// Slots of a new index of digests, a power of two; it doubles as it fills.
    pub index_slots: u32,
    /// Messages that wait in a queue of one of the engine's parts.
    pub mailbox_slots: NonZeroUsize,
}

impl Default for Footprint {
    fn default() -> Self {
        Self { prefix: String::new(), index_slots: INDEX_SLOTS, mailbox_slots: MAILBOX_SLOTS }
    }
}

/// What one engine runs on.
pub struct Host<E, W: Wiring, T> {
    /// The runtime.
    pub runtime: E,
    /// What the member takes up on it.
    pub footprint: Footprint,
    /// The member's clock.
    pub clock: Clock,
    /// The links.
    pub links: Links<W>,
    /// The state as it was left, empty at the beginning.
    pub tree: T,
}

/// Who the member is, and by what it goes.
pub struct Member {
    pub(crate) genesis: Genesis,
    pub(crate) me: MemberIndex,
    pub(crate) pacing: Pacing,
    pub(crate) roster: Arc<Roster>,
    pub(crate) key: ed25519::PrivateKey,
    pub(crate) votes: Scheme,
    pub(crate) watch: Arc<dyn Watch>,
}

impl Member {
    /// Checks that the key is this member's.
    ///
    /// # Errors
    /// [`EngineError`], the first that applies.
    pub fn new(
        genesis: Genesis,
        me: MemberIndex,
        consensus_seed: &Secret<32>,
        pacing: Pacing,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, EngineError> {
        pacing.check()?;
        let roster = Roster::of(&genesis)?;
        let key = scheme::signer(consensus_seed)?;
        let votes = scheme::voting(genesis.chain(), &roster, me, key.clone())?;
        Ok(Self { genesis, me, pacing, roster: Arc::new(roster), key, votes, watch })
    }

    /// The member's name on its links.
    #[must_use]
    pub fn public_key(&self) -> PeerKey {
        self.key.public_key()
    }
}

/// Runs an engine until `stopped` resolves, or a part of it ends. `started` gets a handle once the
/// state and the archive are open and agree.
///
/// # Errors
/// What kept it from beginning, or ended it.
pub async fn run<E: Runtime, W: Wiring, T: StateTree + 'static>(
    host: Host<E, W, T>,
    member: Member,
    started: impl FnOnce(Handle) + Send,
    stopped: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    crate::stack::run(host, member, started, stopped).await
}

/// A consensus key as the links know it; `None` for bytes that are no key.
#[must_use]
pub fn peer_key(key: &PublicKey) -> Option<PeerKey> {
    scheme::peer_key(key)
}

/// The largest payload of any part. Sending a larger one would end the process; it cannot happen,
/// because blocks and messages are bounded when they are made.
#[must_use]
pub fn frame_bytes_max() -> u32 {
    let members = u32::try_from(MEMBERS_MAX).unwrap_or(u32::MAX);
    let blocks = marshal::max_payload_size::<Standard<crate::candidate::Candidate>, Scheme>(members, &());
    let votes = simplex::max_payload_size::<Scheme, scheme::Payload>(members);
    commonware_p2p::max_message_size(&[blocks, votes, gossip::MESSAGE_BYTES_MAX])
}
