//! The links between members' engines: the engine's own simulated network.

use commonware_cryptography::ed25519::PublicKey as PeerKey;
use commonware_p2p::Manager as _;
use commonware_p2p::Recipients;
use commonware_p2p::simulated::{
    Config, Control, Link, Manager, Network, Oracle, Receiver, SplitOrigin, SplitSender, SplitTarget,
};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{IoBuf, Spawner as _, Supervisor as _};
use commonware_utils::ordered::Set;
use commonware_utils::{NZUsize, Probability};
use salus_engine::host::{CHANNELS, Links, Wires, Wiring, frame_bytes_max, peer_key};
use salus_wire::{Genesis, MemberIndex};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The simulated network's kinds.
pub struct Simulated;

/// Says to whom a message goes. A function and not a closure, so that the type of a link has a name.
type Forward = fn(SplitOrigin, &Recipients<PeerKey>, &IoBuf) -> Option<Recipients<PeerKey>>;

thread_local! {
    /// Everybody on the network of this thread's world, for [`to_one_side`].
    static PEERS: RefCell<Vec<PeerKey>> = const { RefCell::new(Vec::new()) };
}

/// Which of two twins a peer hears, and is heard by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    First,
    Second,
    Both,
}

fn side(peer: &PeerKey) -> Side {
    match peer.as_ref().last().map(|byte| byte % 3) {
        Some(0) => Side::First,
        Some(1) => Side::Second,
        _ => Side::Both,
    }
}

fn to_all(_: SplitOrigin, recipients: &Recipients<PeerKey>, _: &IoBuf) -> Option<Recipients<PeerKey>> {
    Some(recipients.clone())
}

/// What a twin says goes to its own side.
fn to_one_side(
    origin: SplitOrigin,
    recipients: &Recipients<PeerKey>,
    _: &IoBuf,
) -> Option<Recipients<PeerKey>> {
    let other = match origin {
        SplitOrigin::Primary => Side::Second,
        SplitOrigin::Secondary => Side::First,
    };
    let all = match recipients {
        Recipients::All => PEERS.with_borrow(Clone::clone),
        Recipients::Some(some) => some.clone(),
        Recipients::One(one) => vec![one.clone()],
    };
    let ours: Vec<PeerKey> = all.into_iter().filter(|peer| side(peer) != other).collect();
    (!ours.is_empty()).then_some(Recipients::Some(ours))
}

impl Wiring for Simulated {
    type Sender = SplitSender<PeerKey, Context, Forward>;
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
        PEERS.set(keys.clone());
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

/// A member's ends, and those of its twin, which has the same key and another mind. A member without
/// a twin leaves them be.
///
/// # Panics
/// When the network has ended.
pub async fn links(
    net: &Net,
    context: &Context,
    me: &PeerKey,
    twins: bool,
) -> (Links<Simulated>, Links<Simulated>) {
    let control = net.oracle.control(me.clone());
    let (mut first, mut second): (Vec<Wires<Simulated>>, Vec<Wires<Simulated>>) = (Vec::new(), Vec::new());
    for channel in CHANNELS {
        let wires = control.register(channel.number, channel.rate).await;
        let (sender, receiver) = wires.expect("the network runs");
        let forward: Forward = if twins { to_one_side } else { to_all };
        let senders = sender.split_with(forward);
        let split = context.child("split").with_attribute("channel", channel.number);
        let receivers = receiver.split_with(split, move |(from, _)| match (twins, side(from)) {
            (false, _) | (true, Side::First) => SplitTarget::Primary,
            (true, Side::Second) => SplitTarget::Secondary,
            (true, Side::Both) => SplitTarget::Both,
        });
        first.push((senders.0, receivers.0));
        second.push((senders.1, receivers.1));
    }
    let ends = |wires: Vec<Wires<Simulated>>, name| {
        let channels = wires.try_into().unwrap_or_else(|_| unreachable!("one for each channel"));
        let carrier = context.child(name);
        let start = Box::new(move || carrier.spawn(|_| std::future::pending()));
        Links { channels, guard: control.clone(), peers: net.oracle.manager(), start }
    };
    (ends(first, "links"), ends(second, "twin_links"))
}
