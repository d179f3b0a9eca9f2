//! Starting and stopping an engine.
//!
//! Promises that [`Engine::start`] returns only when the state and the archive are open and agree,
//! and that whatever goes wrong later ends the engine and is told by [`Engine::ended`]: it never
//! limps on. The engine has threads and an async runtime of its own, so its host may use any.

use crate::config::{Config, Watch};
use crate::error::EngineError;
use crate::folder;
use crate::handle::Handle;
use crate::host::{self, Footprint, Host, Member};
use crate::stack;
use crate::tree::DiskTree;
use commonware_runtime::Runner as _;
use commonware_runtime::tokio::{Config as RuntimeConfig, Context, Runner};
use salus_wire::TimeMs;
use std::net::TcpListener;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Threads of the engine's runtime beside those of the state and of file access.
const WORKERS: usize = 2;
/// Threads for file access.
const FILE_THREADS: usize = 4;

/// A running engine. Dropping it stops it.
pub struct Engine {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<Result<(), EngineError>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Opens what is in `config.dir`, or begins there, and takes part. Blocks until the state and
    /// the archive are open; the other members need not be there.
    ///
    /// # Errors
    /// [`EngineError`], the first that applies. Nothing runs then.
    pub fn start(config: Config, watch: Arc<dyn Watch>) -> Result<Self, EngineError> {
        config.check()?;
        let member =
            Member::new(config.genesis.clone(), config.me, &config.consensus_seed, config.pacing, watch)?;
        let folder = folder::take(&config.dir, config.genesis.chain())?;
        check_address(&config)?;
        let runtime = RuntimeConfig::new()
            .with_worker_threads(WORKERS)
            .with_max_blocking_threads(FILE_THREADS)
            .with_tcp_nodelay(Some(true))
            .with_storage_directory(config.dir.join("blocks"));
        let (started, begun) = std_mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let body = move || {
            let result =
                Runner::new(runtime).start(|context| on_disk(context, config, member, started, stopped));
            if let Err(error) = &result {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "the engine stopped");
            }
            drop(folder);
            // The host may have gone before.
            let _ = end.send(result);
        };
        let thread =
            std::thread::Builder::new().name("engine".into()).spawn(body).map_err(EngineError::Thread)?;
        match begun.recv() {
            Ok(handle) => Ok(Self { handle, stop: Some(stop), ended, thread: Some(thread) }),
            Err(_) => Err(why(thread, ended)),
        }
    }

    /// A handle on it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Resolves when the engine has ended by itself, with the reason. A host should end then too.
    pub async fn ended(&mut self) -> EngineError {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => EngineError::Stopped { part: "runtime" },
        }
    }

    /// Stops it and waits until its files are closed.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed, and reported as an end.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Runs on threads, sockets and a disk.
async fn on_disk(
    runtime: Context,
    config: Config,
    member: Member,
    started: std_mpsc::Sender<Handle>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let tree = DiskTree::open(&config.dir.join("state"))?;
    let links = stack::links(&runtime, &config, &member);
    let host = Host { runtime, footprint: Footprint::default(), clock: Arc::new(now), links, tree };
    // Nobody may be waiting any more.
    host::run(host, member, move |handle| drop(started.send(handle)), stopped).await
}

/// The machine's clock.
fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimeMs::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Why the engine ended before it had begun.
fn why(thread: JoinHandle<()>, mut ended: oneshot::Receiver<Result<(), EngineError>>) -> EngineError {
    let _ = thread.join();
    match ended.try_recv() {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => EngineError::Stopped { part: "runtime" },
    }
}

/// Tries the address, because the network underneath does not report that it cannot have it.
fn check_address(config: &Config) -> Result<(), EngineError> {
    let address = config.listen;
    TcpListener::bind(address).map(drop).map_err(|source| EngineError::Listen { address, source })
}
