//! The links between members' engines: the engine's own simulated network.

use commonware_cryptography::ed25519::PublicKey as PeerKey;
use commonware_p2p::Manager as _;
use commonware_p2p::simulated::{Config, Control, Link, Manager, Network, Oracle, Receiver, Sender};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Spawner as _, Supervisor as _};
use commonware_utils::ordered::Set;
use commonware_utils::{NZUsize, Probability};
use salus_engine::host::{CHANNELS, Links, Wires, Wiring, frame_bytes_max, peer_key};
use salus_wire::{Genesis, MemberIndex};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The simulated network's kinds.
pub struct Simulated;

impl Wiring for Simulated {
    type Sender = Sender<PeerKey, Context>;
    type Receiver = Receiver<PeerKey>;
    type Guard = Control<PeerKey, Context>;
    type Peers = Manager<PeerKey, Context>;
}

/// How one link is, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Mean delay in milliseconds.
    pub delay_ms: u64,
    /// How much it varies.
    pub jitter_ms: u64,
    /// Messages lost in a thousand; a thousand cuts the link.
    pub lost: u16,
}

/// A link on a good day.
pub const FAIR: Weather = Weather { delay_ms: 8, jitter_ms: 3, lost: 0 };

/// The network between the members.
#[derive(Clone)]
pub struct Net {
    oracle: Oracle<PeerKey, Context>,
    keys: Arc<Vec<PeerKey>>,
    links: Arc<Mutex<BTreeMap<(MemberIndex, MemberIndex), Weather>>>,
}

impl Net {
    /// A network of the members of `genesis`, all linked, in fair weather.
    pub async fn start(context: &Context, genesis: &Genesis) -> Self {
        let keys: Vec<PeerKey> =
            genesis.members.iter().filter_map(|member| peer_key(&member.consensus)).collect();
        let config = Config {
            max_size: frame_bytes_max(),
            max_peers_per_set: NZUsize!(64),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) = Network::new(context.child("network"), config);
        network.start();
        let _ = oracle.manager().track(0, Set::from_iter_dedup(keys.iter().cloned()));
        let net = Self { oracle, keys: Arc::new(keys), links: Arc::default() };
        let members = u16::try_from(net.keys.len()).unwrap_or(u16::MAX);
        for from in (0..members).map(MemberIndex::new) {
            for to in (0..members).map(MemberIndex::new).filter(|to| *to != from) {
                net.set(from, to, FAIR).await;
            }
        }
        net
    }

    /// Changes the weather on one link in one direction.
    pub async fn set(&self, from: MemberIndex, to: MemberIndex, weather: Weather) {
        let before = crate::disk::lock(&self.links).insert((from, to), weather);
        if before == Some(weather) {
            return;
        }
        let key = |member: MemberIndex| self.keys.get(usize::from(member.get())).cloned();
        let (Some(from), Some(to)) = (key(from), key(to)) else { return };
        if before.is_some_and(|before| before.lost < 1_000) {
            let _ = self.oracle.remove_link(from.clone(), to.clone()).await;
        }
        if weather.lost < 1_000 {
            let kept = u64::from(1_000 - weather.lost);
            let link = Link {
                latency: Duration::from_millis(weather.delay_ms),
                jitter: Duration::from_millis(weather.jitter_ms),
                success_rate: Probability::new(kept, 1_000).expect("at most one"),
            };
            let _ = self.oracle.add_link(from, to, link).await;
        }
    }

    /// The weather on one link.
    #[must_use]
    pub fn weather(&self, from: MemberIndex, to: MemberIndex) -> Weather {
        crate::disk::lock(&self.links).get(&(from, to)).copied().unwrap_or(FAIR)
    }
}

/// A member's ends.
///
/// # Panics
/// When the network has ended.
pub async fn links(net: &Net, context: &Context, me: &PeerKey) -> Links<Simulated> {
    let control = net.oracle.control(me.clone());
    let mut wires: Vec<Wires<Simulated>> = Vec::new();
    for channel in CHANNELS {
        wires.push(control.register(channel.number, channel.rate).await.expect("the network runs"));
    }
    let channels = wires.try_into().unwrap_or_else(|_| unreachable!("one for each channel"));
    let carrier = context.child("links");
    let start = Box::new(move || carrier.spawn(|_| std::future::pending()));
    Links { channels, guard: control, peers: net.oracle.manager(), start }
}
