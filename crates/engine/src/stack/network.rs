//! Links between members: authenticated by their consensus keys, encrypted, known addresses only.
//!
//! Promises that strangers are turned away before a handshake ends, that frames are large enough
//! for every block and small enough to bound memory, and that a peer's rate is limited on each
//! channel. The links carry ledger facts only, no patient data.

use super::parts::Setup;
use crate::candidate::Candidate;
use crate::gossip;
use crate::scheme::{Payload, PeerKey, Scheme, vote_namespace};
use commonware_consensus::marshal::standard::Standard;
use commonware_consensus::{marshal, simplex};
use commonware_cryptography::{ChaCha20Poly1305, ed25519};
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{Address, AddressableManager as _};
use commonware_runtime::tokio::Context;
use commonware_runtime::{Quota, Supervisor as _};
use commonware_stream::{cups, sake};
use commonware_utils::ordered::Map;
use commonware_utils::{NZU32, NZUsize};
use salus_wire::limits::MEMBERS_MAX;
use std::num::NonZeroUsize;
use std::time::Duration;

/// How far a peer's clock may be off at a handshake, and how old the handshake may be.
const HANDSHAKE_SKEW: Duration = Duration::from_secs(10);
/// Time between attempts to reach a member that is away.
const DIAL_AGAIN: Duration = Duration::from_millis(250);
/// Time between two connections of one member.
const COOLDOWN: Duration = Duration::from_millis(500);
/// Time for which a member that broke the protocol is turned away.
const BLOCKED_FOR: Duration = Duration::from_secs(600);
/// Messages in a queue of the network's own parts.
const MAILBOX: NonZeroUsize = NZUsize!(512);

const VOTES: u64 = 0;
const CERTIFICATES: u64 = 1;
const RESOLVER: u64 = 2;
const BACKFILL: u64 = 3;
const BLOCKS: u64 = 4;
const TRANSACTIONS: u64 = 5;

/// Messages a second from one peer on a channel; what is above is dropped and made up for.
const RATE: Quota = Quota::per_second(NZU32!(2_048));
/// The same for blocks and their repair.
const RATE_BLOCKS: Quota = Quota::per_second(NZU32!(512));

type Link = cups::Cups<sake::Sake<ed25519::PrivateKey>, ChaCha20Poly1305>;
/// The network before it starts.
pub(super) type Network = lookup::Network<Context, Link>;
/// Knows the peers and turns them away.
pub(super) type Oracle = lookup::Oracle<PeerKey>;
/// Both ends of a channel.
pub(super) type Wires = (lookup::Sender<PeerKey, Context>, lookup::Receiver<PeerKey>);

/// The channels of the voter and of transactions.
pub(super) struct Channels {
    pub(super) votes: Wires,
    pub(super) certificates: Wires,
    pub(super) resolver: Wires,
    pub(super) transactions: Wires,
}

/// The channels of the archive.
pub(super) struct BlockChannels {
    pub(super) backfill: Wires,
    pub(super) blocks: Wires,
}

/// A network of the members that the configuration names. It listens once it is started.
pub(super) fn prepare(context: &Context, setup: &Setup) -> (Network, Oracle) {
    let handshake = sake::Sake {
        signer: setup.key.clone(),
        synchrony_bound: HANDSHAKE_SKEW,
        max_handshake_age: HANDSHAKE_SKEW,
        version: sake::Version::V1,
    };
    let members = setup.roster.len();
    let mut config = lookup::Config::local(
        Link::new(handshake, cups::Version::V1),
        &vote_namespace(setup.config.genesis.chain()),
        setup.config.listen,
        NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN),
        frame_bytes_max(),
        MAILBOX,
    );
    config.allow_dns = false;
    config.tracked_peer_sets = NonZeroUsize::MIN;
    config.peer_connection_cooldown = COOLDOWN;
    config.dial_frequency = DIAL_AGAIN;
    config.block_duration = BLOCKED_FOR;
    let (network, mut oracle) = Network::new(context.child("network"), config);
    let peers = setup.config.members.iter().zip((0..).map(salus_wire::MemberIndex::new));
    let peers = peers.filter_map(|(peer, member)| {
        Some((setup.roster.key(member)?.clone(), Address::Symmetric(peer.address)))
    });
    oracle.track(0, Map::from_iter_dedup(peers));
    (network, oracle)
}

/// Registers every channel; the same for all members.
pub(super) fn channels(network: &mut Network) -> (Channels, BlockChannels) {
    let channels = Channels {
        votes: network.register(VOTES, RATE),
        certificates: network.register(CERTIFICATES, RATE),
        resolver: network.register(RESOLVER, RATE),
        transactions: network.register(TRANSACTIONS, RATE),
    };
    let blocks = BlockChannels {
        backfill: network.register(BACKFILL, RATE_BLOCKS),
        blocks: network.register(BLOCKS, RATE_BLOCKS),
    };
    (channels, blocks)
}

/// The largest payload of any part. Sending a larger one would end the process; it cannot happen,
/// because blocks and messages are bounded when they are made.
fn frame_bytes_max() -> u32 {
    let members = u32::try_from(MEMBERS_MAX).unwrap_or(u32::MAX);
    let blocks = marshal::max_payload_size::<Standard<Candidate>, Scheme>(members, &());
    let votes = simplex::max_payload_size::<Scheme, Payload>(members);
    commonware_p2p::max_message_size(&[blocks, votes, gossip::MESSAGE_BYTES_MAX])
}
