//! Opening the parts, setting them to work, and watching them.
//!
//! Promises that when any part ends the whole ends. Refuses to know how a part is tuned.

use super::archive::{self, Wired};
use super::consensus::{self, Roles};
use crate::candidate::Candidate;
use crate::desk::{self, Desk, Inbox, Outbox};
use crate::error::EngineError;
use crate::gossip;
use crate::handle::{self, Handle};
use crate::host::{Clock, Footprint, Host, Links, Member, Runtime, Wires, Wiring};
use crate::judge::Judge;
use crate::pace::Pace;
use crate::recovery;
use crate::reporters::{Finals, Heard};
use crate::tree::StateTree;
use crate::voter::Voter;
use commonware_consensus::types::Epoch;
use commonware_runtime::Handle as Task;
use commonware_utils::acknowledgement::Exact;
use salus_planted::{Bug, is};
use salus_wire::Height;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// The only epoch: membership does not change in this version.
pub(crate) const EPOCH: Epoch = Epoch::zero();

/// What is open before this member takes part.
struct Opened<W: Wiring, T: StateTree> {
    footprint: Footprint,
    votes: (Wires<W>, Wires<W>, Wires<W>),
    transactions: Wires<W>,
    guard: W::Guard,
    network: Task<()>,
    archive: handle::Archive,
    archiving: Task<()>,
    finals: mpsc::Receiver<(Candidate, Exact)>,
    tip: watch::Receiver<Height>,
    genesis: Candidate,
    judge: Judge<T>,
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

/// See [`crate::host::run`].
pub(crate) async fn run<E: Runtime, W: Wiring, T: StateTree + 'static>(
    host: Host<E, W, T>,
    member: Member,
    started: impl FnOnce(Handle) + Send,
    stopped: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let Host { runtime, footprint, clock, links, tree } = host;
    let opened = open(&runtime, footprint, links, tree, &member).await?;
    let head = opened.judge.head();
    tracing::info!(height = head.height.get(), member = member.me.get(), "the ledger is open");
    let (handle, parts) = begin(&runtime, clock, opened, member);
    started(handle);
    parts.work(stopped).await
}

async fn open<E: Runtime, W: Wiring, T: StateTree>(
    runtime: &E,
    footprint: Footprint,
    links: Links<W>,
    tree: T,
    member: &Member,
) -> Result<Opened<W, T>, EngineError> {
    let genesis = crate::genesis::candidate(&member.genesis)?;
    let Links { channels, guard, peers, start: network } = links;
    let [votes, certificates, resolver, backfill, blocks, transactions] = channels;
    let (desk, finals) = mpsc::channel(desk::FINALS_MAX);
    let (tip_in, tip) = watch::channel(Height::new(0));
    let reporter = Finals { desk, tip: tip_in };
    let wired: Wired<W> =
        Wired { footprint: footprint.clone(), backfill, blocks, guard: guard.clone(), peers };
    let (archive, archiving) = archive::open(runtime, member, genesis.clone(), wired, reporter).await?;
    // Before the archive is waited for: a block that it lost is asked of the others, and none of its
    // parts goes on before the network has told it who they are.
    let network = network();
    let judge = recovery::recover(&member.genesis, tree, &genesis, &archive).await?;
    if is(Bug::VotesForgotten) {
        let _ = runtime.remove(&format!("{}votes", footprint.prefix), None).await;
    }
    let votes = (votes, certificates, resolver);
    Ok(Opened {
        footprint,
        votes,
        transactions,
        guard,
        network,
        archive,
        archiving,
        finals,
        tip,
        genesis,
        judge,
    })
}

fn begin<E: Runtime, W: Wiring, T: StateTree + 'static>(
    runtime: &E,
    clock: Clock,
    opened: Opened<W, T>,
    member: Member,
) -> (Handle, Parts) {
    let Opened {
        footprint,
        votes,
        transactions,
        guard,
        network,
        archive,
        archiving,
        finals,
        tip,
        genesis,
        judge,
    } = opened;
    let (head_in, head) = watch::channel(judge.head());
    let (waiting_in, waiting) = watch::channel((0, 0));
    let (applied, _) = broadcast::channel(desk::FOLLOW_MAX);
    let (gossip_in, outgoing) = gossip::channels(gossip::OUTGOING_MAX);
    let (passed_in, passed) = gossip::channels(desk::PASSED_MAX);
    let (orders_in, orders) = mpsc::channel(desk::ORDERS_MAX);
    let (asks_in, asks) = mpsc::channel(desk::ASKS_MAX);
    let (urgent_in, urgent) = mpsc::channel(desk::URGENT_MAX);
    let (fatal_in, fatal) = mpsc::channel(1);
    let me = member.me;
    let roster = Arc::clone(&member.roster);
    let heard = Arc::new(Heard::new(&roster, Arc::clone(&clock)));
    let handle = Handle {
        me,
        asks: asks_in,
        urgent: urgent_in,
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
        pacing: member.pacing,
        watch: Arc::clone(&member.watch),
        clock: Arc::clone(&clock),
        fatal: fatal_in,
    };
    let inbox = Inbox { finals, orders, urgent, asks, passed, tip };
    let outbox = Outbox { head: head_in, waiting: waiting_in, applied, gossip: gossip_in };
    let (watch, waiters, pace) = (Arc::clone(&member.watch), HashMap::new(), Pace::default());
    let desk = Desk { judge, me, clock, watch, inbox, outbox, waiters, pace };
    let (to_peers, from_peers) = transactions;
    let roles = Roles { voter, archive, heard };
    let parts = Parts {
        state: runtime.child("desk").dedicated().spawn(|context| desk.run(context)),
        archiving,
        consensus: consensus::start::<E, W>(runtime, &footprint, member, guard, &genesis, roles, votes),
        sending: runtime.child("gossip_out").spawn(|_| gossip::send(outgoing, to_peers)),
        receiving: runtime.child("gossip_in").spawn(|_| gossip::receive(from_peers, roster, passed_in)),
        network,
        fatal,
    };
    (handle, parts)
}

impl Parts {
    /// Waits for the first end.
    async fn work(mut self, stopped: oneshot::Receiver<()>) -> Result<(), EngineError> {
        let ended = |part| Err(EngineError::Stopped { part });
        tokio::select! {
            biased;
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
