//! Links between members: authenticated by their consensus keys, encrypted, known addresses only.
//!
//! Promises that strangers are turned away before a handshake ends, that frames are large enough
//! for every block and small enough to bound memory, and that a peer's rate is limited on each
//! channel. The links carry ledger facts only, no patient data.

use crate::config::Config;
use crate::host::{CHANNELS, Links, Member, Wiring, frame_bytes_max};
use crate::scheme::{PeerKey, vote_namespace};
use commonware_cryptography::{ChaCha20Poly1305, ed25519};
use commonware_p2p::authenticated::lookup;
use commonware_p2p::{Address, AddressableManager as _};
use commonware_runtime::Supervisor as _;
use commonware_runtime::tokio::Context;
use commonware_stream::{cups, sake};
use commonware_utils::NZUsize;
use commonware_utils::ordered::Map;
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

type Link = cups::Cups<sake::Sake<ed25519::PrivateKey>, ChaCha20Poly1305>;
/// The network before it starts.
type Network = lookup::Network<Context, Link>;
/// Knows the peers and turns them away.
pub(crate) type Oracle = lookup::Oracle<PeerKey>;
/// Links of the product.
pub(crate) struct Tcp;

impl Wiring for Tcp {
    type Sender = lookup::Sender<PeerKey, Context>;
    type Receiver = lookup::Receiver<PeerKey>;
    type Guard = Oracle;
    type Peers = Oracle;
}

/// Links to the members that the configuration names. They listen once they are started.
pub(crate) fn links(context: &Context, config: &Config, member: &Member) -> Links<Tcp> {
    let (mut network, oracle) = prepare(context, config, member);
    let channels = CHANNELS.map(|channel| network.register(channel.number, channel.rate));
    let start = Box::new(move || network.start());
    Links { channels, guard: oracle.clone(), peers: oracle, start }
}

fn prepare(context: &Context, config: &Config, member: &Member) -> (Network, Oracle) {
    let handshake = sake::Sake {
        signer: member.key.clone(),
        synchrony_bound: HANDSHAKE_SKEW,
        max_handshake_age: HANDSHAKE_SKEW,
        version: sake::Version::V1,
    };
    let members = member.roster.len();
    let mut tuning = lookup::Config::local(
        Link::new(handshake, cups::Version::V1),
        &vote_namespace(member.genesis.chain()),
        config.listen,
        NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN),
        frame_bytes_max(),
        MAILBOX,
    );
    tuning.allow_dns = false;
    tuning.tracked_peer_sets = NonZeroUsize::MIN;
    tuning.peer_connection_cooldown = COOLDOWN;
    tuning.dial_frequency = DIAL_AGAIN;
    tuning.block_duration = BLOCKED_FOR;
    let (network, mut oracle) = Network::new(context.child("network"), tuning);
    let peers = config.members.iter().zip((0..).map(salus_wire::MemberIndex::new));
    let peers = peers.filter_map(|(peer, index)| {
        Some((member.roster.key(index)?.clone(), Address::Symmetric(peer.address)))
    });
    oracle.track(0, Map::from_iter_dedup(peers));
    (network, oracle)
}
