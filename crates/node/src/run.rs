//! The composition of one node, and its life from start to end. Everything that touches the
//! system's files, sockets and signals is opened here.

use crate::activity::ActivityBook;
use crate::config::NodeConfig;
use crate::cover::{Cover, CoverRates};
use crate::custodian::Custodian;
use crate::deposits::Deposits;
use crate::door::Door;
use crate::emergency::Emergency;
use crate::eraser::Eraser;
use crate::erasures::Erasures;
use crate::error::NodeError;
use crate::keeper::Keeper;
use crate::keys::{ACTIVITY_FOLDER, Keys};
use crate::limits::{COVER_WAITING_MAX, DISK_BYTES_MIN, Gates};
use crate::office::{Office, ReadState, read_from, submit_to, system_clock, system_entropy, system_timers};
use crate::recovery::Recovery;
use crate::refusals::{RefusalBook, RefusalError, Writer};
use salus_crypto::secret::Secret;
use salus_engine::{Config as EngineConfig, Engine, Pacing, Peer, Watch};
use salus_link::{Consortium, Limits, PeerCert, ServerTls, serve};
use salus_store::{Activities, Emergencies, Fragments, Journal, Recoveries, Shares, StoreError};
use salus_wire::{GenesisMember, MemberIndex};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle as Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// How often the room on the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often refusals that the state shows by now are dropped.
const SETTLE_EVERY: Duration = Duration::from_secs(60);
/// How often activity whose time is over is looked for.
const END_EVERY: Duration = Duration::from_secs(3_600);
/// Refusals below which dropping them is not worth rewriting the journal.
const SETTLE_ABOVE: usize = 1_024;

// See `RefusalBook::settle`.
const _: () = assert!(SETTLE_EVERY.as_secs() * 1_000 > salus_consent::PERMIT_MS_MAX);

/// A node that has opened everything and is about to answer. Callers may connect already.
pub struct Node {
    member: MemberIndex,
    data_dir: PathBuf,
    listener: TcpListener,
    tls: ServerTls,
    engine: Engine,
    refusals: Arc<RefusalBook>,
    erasures: Arc<Erasures>,
    activity: Arc<ActivityBook>,
    door: Arc<Door>,
    cover: CoverRates,
}

/// Runs a node until `shutdown` resolves, or until it fails.
///
/// # Errors
/// [`NodeError`]: it did not start, or a part of it without which it must not go on has ended.
pub async fn run(config: NodeConfig, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
    Node::start(config).await?.until(shutdown).await
}

impl Node {
    /// Reads and checks everything that `config` names, binds the address, and starts the engine.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing runs then.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let consortium = read_consortium(&config.consortium_file)?;
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| NodeError::Unreadable { path: config.data_dir.clone(), source })?;
        has_room(&config.data_dir)?;
        let keys = Keys::load(&config, own_entry(&config, &consortium)?)?;
        let tls = ServerTls::endpoints(&keys.tls, &consortium.authorities()).map_err(NodeError::Tls)?;
        let listener = bind(config.listen_rpc).await?;
        let refusals =
            Journal::open(&config.data_dir.join("refusals.journal")).map_err(RefusalError::from)?;
        let refusals = RefusalBook::over(refusals, Writer::Threads(Runtime::current()))?;
        let refusals = Arc::new(refusals);
        let fragments = Arc::new(Fragments::open(&config.data_dir.join("store")).await?);
        let shares = Arc::new(Shares::open(&config.data_dir.join("custodian"), keys.machine).await?);
        let erasures =
            Erasures::open(&config.erasures_dir, Arc::clone(&shares), Arc::clone(&fragments)).await?;
        let erasures = Arc::new(erasures);
        let engine = start_engine(&config, &consortium, keys.consensus_seed, Arc::clone(&refusals)).await?;
        let office = Arc::new(Office {
            chain: consortium.chain(),
            me: config.member,
            faults: consortium.faults(),
            service: keys.service,
            read: read_from(engine.handle()),
            clock: system_clock(),
            entropy: system_entropy(),
            timers: system_timers(),
        });
        let kem = Arc::new(keys.custodian);
        let kept = Emergencies::open(&config.data_dir.join("emergency"), keys.emergency)?;
        let emergency = Arc::new(Emergency::new(Arc::clone(&office), Arc::clone(&kem), kept));
        let kept = Activities::open(&config.data_dir.join(ACTIVITY_FOLDER), keys.activity)?;
        let writer = Writer::Threads(Runtime::current());
        let activity = Arc::new(ActivityBook::new(Arc::clone(&office), kept, writer));
        let kept = Recoveries::open(&config.data_dir.join("recovery"), keys.recovery)?;
        let least = config.recovery_delay_ms_min;
        let recovery = Arc::new(Recovery::new(Arc::clone(&office), Arc::clone(&kem), kept, least));
        let submit = submit_to(engine.handle());
        let eraser = Eraser::new(
            Arc::clone(&office),
            Arc::clone(&shares),
            Arc::clone(&erasures),
            Arc::clone(&emergency),
            submit,
        )
        .knowing(Arc::clone(&recovery));
        let custodian = Custodian::new(
            Arc::clone(&office),
            Arc::clone(&shares),
            Arc::clone(&refusals),
            Arc::clone(&emergency),
        );
        let door = Arc::new(Door {
            engine: engine.handle(),
            keeper: Keeper::new(Arc::clone(&office), fragments),
            deposits: Deposits::new(Arc::clone(&office), kem, shares),
            custodian: custodian
                .heeding(Arc::clone(&erasures))
                .remembering(Arc::clone(&activity))
                .knowing(Arc::clone(&recovery)),
            activity: Some(Arc::clone(&activity)),
            emergency,
            eraser: Some(eraser),
            recovery: Some(recovery),
            gates: Gates::new(&config.rates),
            office,
        });
        let (member, data_dir, cover) = (config.member, config.data_dir, config.cover);
        Ok(Self { member, data_dir, listener, tls, engine, refusals, erasures, activity, door, cover })
    }

    /// Answers until `shutdown` resolves, or until the node fails; closes its files either way.
    ///
    /// # Errors
    /// [`NodeError`] when a part of it without which it must not go on has ended.
    pub async fn until(self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        let Self { member, data_dir, listener, tls, mut engine, refusals, erasures, activity, door, cover } =
            self;
        let ledger = engine.handle();
        tracing::info!(%member, "the node answers calls");
        let read = Arc::clone(&door.office.read);
        let (stores, remembered) = (Arc::clone(&door), Arc::clone(&activity));
        let ending = Arc::clone(&door.emergency);
        let cover = covering(&door, cover);
        let failed = async {
            tokio::select! {
                () = stores.keeper.failed() => {},
                () = stores.deposits.failed() => {},
                () = stores.emergency.failed() => {},
                () = remembered.failed() => {},
                () = recoveries_failed(&stores) => {},
            }
        };
        let handler = move |peer: PeerCert, request| {
            let door = Arc::clone(&door);
            async move { door.answer(peer.subject(), request).await }
        };
        let ended = tokio::select! {
            () = serve(listener, tls, Limits::default(), handler) => Err(NodeError::Lost),
            // An engine that a full disk stopped says only that it stopped.
            error = engine.ended() => Err(has_room(&data_dir).err().unwrap_or(NodeError::Engine(error))),
            error = fills_up(&data_dir) => Err(error),
            error = settle(&refusals, &read) => Err(error),
            () = end_activity(&activity, &ending) => Err(NodeError::Lost),
            _ = cover.run() => Err(NodeError::Lost),
            Err(error) = erasures.look(&ledger, member) => Err(error.into()),
            () = failed => Err(NodeError::Store(StoreError::Poisoned)),
            () = shutdown => Ok(()),
        };
        tracing::info!(%member, "the node stops");
        let stopped = tokio::task::spawn_blocking(move || engine.stop()).await;
        ended.and(stopped.map_err(|_| NodeError::Lost))
    }
}

/// Resolves when the system asks this process to end: SIGTERM or SIGINT. A process that cannot hear
/// of them runs until it is killed, which loses nothing.
pub async fn until_told() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Whether the disk has the room that a node needs.
fn has_room(data_dir: &Path) -> Result<(), NodeError> {
    let free = salus_store::disk::free_bytes(data_dir)?;
    if free >= DISK_BYTES_MIN {
        return Ok(());
    }
    Err(NodeError::DiskFull { path: data_dir.to_owned(), free, needed: DISK_BYTES_MIN })
}

/// Cover that yields to whoever has something to commit: at this member's door, or anywhere in the engine's pool.
fn covering(door: &Arc<Door>, rates: CoverRates) -> Cover {
    let (office, submit) = (Arc::clone(&door.office), submit_to(door.engine.clone()));
    let door = Arc::clone(door);
    let busy = move || door.gates.submits.is_half_full() || door.engine.stats().waiting >= COVER_WAITING_MAX;
    Cover::new(office, submit, Arc::new(busy), rates)
}

async fn recoveries_failed(door: &Door) {
    match &door.recovery {
        Some(recovery) => recovery.failed().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the disk has become too full to go on.
async fn fills_up(data_dir: &Path) -> NodeError {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = has_room(data_dir) {
            return error;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { address, source })
}

fn read_consortium(path: &Path) -> Result<Consortium, NodeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| NodeError::Unreadable { path: path.to_owned(), source })?;
    Consortium::parse(&text).map_err(|source| NodeError::Consortium { path: path.to_owned(), source })
}

fn own_entry<'a>(config: &NodeConfig, consortium: &'a Consortium) -> Result<&'a GenesisMember, NodeError> {
    let member = config.member;
    consortium.genesis().member(member).ok_or(NodeError::NoSuchMember { member: member.get() })
}

async fn start_engine(
    config: &NodeConfig,
    consortium: &Consortium,
    consensus_seed: Secret<32>,
    refusals: Arc<RefusalBook>,
) -> Result<Engine, NodeError> {
    let engine = EngineConfig {
        dir: config.data_dir.join("engine"),
        me: config.member,
        members: peers(consortium)?,
        listen: config.listen_peers,
        consensus_seed,
        genesis: consortium.genesis().clone(),
        pacing: Pacing::default(),
    };
    let watch: Arc<dyn Watch> = refusals;
    // Opening the archive and the state is file work, on the threads for that.
    let started = tokio::task::spawn_blocking(move || Engine::start(engine, watch)).await;
    Ok(started.map_err(|_| NodeError::Lost)??)
}

fn peers(consortium: &Consortium) -> Result<Vec<Peer>, NodeError> {
    let members = consortium.members().iter().zip(consortium.genesis().members.iter());
    members
        .enumerate()
        .map(|(member, (place, entry))| {
            let address = resolve(&place.peers)
                .ok_or_else(|| NodeError::Address { member, address: place.peers.clone() })?;
            Ok(Peer { key: entry.consensus, address })
        })
        .collect()
}

fn resolve(address: &str) -> Option<SocketAddr> {
    address.to_socket_addrs().ok()?.next()
}

/// Forgets activity and uses in emergencies whose time is over. What could not be forgotten is tried again.
async fn end_activity(activity: &ActivityBook, emergency: &Emergency) {
    loop {
        // What stands in the way is in the log already.
        let _ = activity.end().await;
        let _ = emergency.end().await;
        tokio::time::sleep(END_EVERY).await;
    }
}

/// Keeps the record of refusals small; ends only when it can no longer be written.
async fn settle(refusals: &RefusalBook, read: &ReadState) -> NodeError {
    loop {
        tokio::time::sleep(SETTLE_EVERY).await;
        if refusals.count() <= SETTLE_ABOVE {
            continue;
        }
        match refusals.settle(read).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return NodeError::Refusals(error),
            Err(refusal) => tracing::debug!(code = %refusal.code, "refusals are settled later"),
        }
    }
}
