//! Opening the parts, setting them to work, and watching them.
//!
//! Promises that when any part ends the whole ends. Refuses to know how a part is tuned.

use super::archive;
use super::consensus::{self, Roles};
use super::network::{self, Channels, Network, Oracle};
use crate::candidate::Candidate;
use crate::config::{Config, Watch};
use crate::desk::{self, Desk, Inbox, Outbox};
use crate::error::EngineError;
use crate::gossip;
use crate::handle::{self, Handle};
use crate::judge::Judge;
use crate::recovery;
use crate::reporters::{Finals, Heard};
use crate::scheme::{Roster, Scheme};
use crate::tree::DiskTree;
use crate::voter::Voter;
use commonware_consensus::types::Epoch;
use commonware_cryptography::ed25519;
use commonware_runtime::tokio::Context;
use commonware_runtime::{Handle as Task, Spawner as _, Supervisor as _};
use commonware_utils::acknowledgement::Exact;
use salus_wire::Height;
use std::collections::HashMap;
use std::sync::{Arc, mpsc as std_mpsc};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// The only epoch: membership does not change in this version.
pub(crate) const EPOCH: Epoch = Epoch::zero();

/// What [`run`] starts from.
pub(crate) struct Setup {
    /// The configuration, checked.
    pub(crate) config: Config,
    /// The members' keys.
    pub(crate) roster: Arc<Roster>,
    /// This member's key.
    pub(crate) key: ed25519::PrivateKey,
    /// How this member votes.
    pub(crate) votes: Scheme,
    /// Told of revocations.
    pub(crate) watch: Arc<dyn Watch>,
}

/// What is open before this member takes part.
struct Opened {
    network: Network,
    oracle: Oracle,
    channels: Channels,
    archive: handle::Archive,
    archiving: Task<()>,
    finals: mpsc::Receiver<(Candidate, Exact)>,
    tip: watch::Receiver<Height>,
    genesis: Candidate,
    judge: Judge<DiskTree>,
}

/// The parts at work.
struct Parts {
    state: Task<Result<(), EngineError>>,
    archiving: Task<()>,
    consensus: Task<()>,
    sending: Task<()>,
    receiving: Task<()>,
    network: Task<()>,
    fatal: mpsc::Receiver<EngineError>,
}

/// Runs an engine until it is told to stop or a part of it ends.
///
/// # Errors
/// What kept it from beginning, or ended it.
pub(crate) async fn run(
    context: Context,
    setup: Setup,
    started: std_mpsc::Sender<Handle>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let opened = open(&context, &setup).await?;
    let head = opened.judge.head();
    tracing::info!(height = head.height.get(), member = setup.config.me.get(), "the ledger is open");
    let (handle, parts) = begin(&context, opened, setup);
    // Nobody may be waiting any more.
    let _ = started.send(handle);
    parts.work(stopped).await
}

async fn open(context: &Context, setup: &Setup) -> Result<Opened, EngineError> {
    let genesis = crate::genesis::candidate(&setup.config.genesis)?;
    let (mut network, oracle) = network::prepare(context, setup);
    let (channels, blocks_wires) = network::channels(&mut network);
    let (desk, finals) = mpsc::channel(desk::FINALS_MAX);
    let (tip_in, tip) = watch::channel(Height::new(0));
    let reporter = Finals { desk, tip: tip_in };
    let (archive, archiving) =
        archive::open(context, setup, &oracle, genesis.clone(), blocks_wires, reporter).await?;
    let judge = recovery::recover(&setup.config, &genesis, &archive).await?;
    Ok(Opened { network, oracle, channels, archive, archiving, finals, tip, genesis, judge })
}

fn begin(context: &Context, opened: Opened, setup: Setup) -> (Handle, Parts) {
    let Opened { network, oracle, channels, archive, archiving, finals, tip, genesis, judge } = opened;
    let (head_in, head) = watch::channel(judge.head());
    let (waiting_in, waiting) = watch::channel((0, 0));
    let (applied, _) = broadcast::channel(desk::FOLLOW_MAX);
    let (gossip_in, outgoing) = mpsc::channel(gossip::OUTGOING_MAX);
    let (orders_in, orders) = mpsc::channel(desk::ORDERS_MAX);
    let (asks_in, asks) = mpsc::channel(desk::ASKS_MAX);
    let (fatal_in, fatal) = mpsc::channel(1);
    let me = setup.config.me;
    let roster = Arc::clone(&setup.roster);
    let heard = Arc::new(Heard::new(&roster));
    let handle = Handle {
        me,
        asks: asks_in.clone(),
        head: head.clone(),
        tip: tip.clone(),
        waiting: waiting.clone(),
        applied: applied.downgrade(),
        archive: archive.clone(),
        heard: Arc::clone(&heard),
    };
    let voter = Voter {
        orders: orders_in,
        head,
        waiting,
        roster: Arc::clone(&roster),
        me,
        pacing: setup.config.pacing,
        watch: Arc::clone(&setup.watch),
        fatal: fatal_in,
    };
    let inbox = Inbox { finals, orders, asks, tip };
    let outbox = Outbox { head: head_in, waiting: waiting_in, applied, gossip: gossip_in };
    let desk = Desk { judge, me, inbox, outbox, waiters: HashMap::new() };
    let (to_peers, from_peers) = channels.transactions;
    let votes = (channels.votes, channels.certificates, channels.resolver);
    let parts = Parts {
        state: context.child("desk").dedicated().spawn(|context| desk.run(context)),
        archiving,
        consensus: consensus::start(context, setup, oracle, &genesis, Roles { voter, archive, heard }, votes),
        sending: context.child("gossip_out").spawn(|_| gossip::send(outgoing, to_peers)),
        receiving: context.child("gossip_in").spawn(|_| gossip::receive(from_peers, roster, asks_in)),
        network: network.start(),
        fatal,
    };
    (handle, parts)
}

impl Parts {
    /// Waits for the first end.
    async fn work(mut self, stopped: oneshot::Receiver<()>) -> Result<(), EngineError> {
        let ended = |part| Err(EngineError::Stopped { part });
        tokio::select! {
            _ = stopped => Ok(()),
            Some(error) = self.fatal.recv() => Err(error),
            result = self.state => match result {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => ended("state"),
            },
            _ = self.archiving => ended("archive"),
            _ = self.consensus => ended("consensus"),
            _ = self.sending => ended("gossip"),
            _ = self.receiving => ended("gossip"),
            _ = self.network => ended("network"),
        }
    }
}
