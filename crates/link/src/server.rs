//! The listening side: accepts certified connections, reads requests, writes answers.
//!
//! It promises that strangers cost little (a bounded number of handshakes, each with a deadline),
//! that a peer which sends garbage or stops half-way loses its connection and nothing else, and
//! that everything a peer can make us hold is bounded. It knows nothing of what requests mean.

use crate::frame::{Budget, CallId, Frame, FrameError, first_byte, read_rest, write_frame};
use crate::tls::{Incoming, PeerCert, ServerTls};
use salus_wire::Code;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::rpc::{Refusal, Request, Response};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long to rest after the listener itself failed, for example for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Certified connections at once; further ones are closed after their handshake.
    pub connections: usize,
    /// The same for one subject, so that nobody's credential can shut everybody else out.
    pub connections_each: usize,
    /// Handshakes under way at once; further callers are closed at once.
    pub handshakes: usize,
    /// Requests under way on one connection; when full, its socket is not read.
    pub in_flight: usize,
    /// Bytes of large requests that all connections may hold at once.
    pub bytes: usize,
    /// For a handshake.
    pub handshake_within: Duration,
    /// For the rest of a request whose first byte has come.
    pub frame_within: Duration,
    /// For writing one answer.
    pub write_within: Duration,
    /// After which a connection without any request under way is closed.
    pub idle_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_each: 32,
            handshakes: 64,
            in_flight: 32,
            bytes: 4 * RPC_BYTES_MAX,
            handshake_within: Duration::from_secs(5),
            frame_within: Duration::from_secs(15),
            write_within: Duration::from_secs(15),
            idle_within: Duration::from_secs(120),
        }
    }
}

/// What the connections of one listener share.
struct Shared<H> {
    tls: ServerTls,
    limits: Limits,
    budget: Budget,
    connections: Semaphore,
    seated: Seated,
    handler: H,
}

/// Connections by whom their certificate speaks for.
#[derive(Default)]
struct Seated(Mutex<HashMap<PeerCert, Row>>);

/// The connections of one subject.
#[derive(Clone, Copy, Default)]
struct Row {
    count: usize,
    /// Whether the log holds already that it asked for more than its share.
    told: bool,
}

/// One connection's place among its subject's; given back when dropped.
struct Seat<'a> {
    seated: &'a Seated,
    peer: PeerCert,
}

impl Seated {
    fn take(&self, peer: PeerCert, most: usize) -> Option<Seat<'_>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(&peer).copied().unwrap_or_default();
        let full = row.count >= most;
        if full && !row.told {
            tracing::warn!(member = %peer.member(), most, "a caller has as many connections as it may");
        }
        let count = row.count.saturating_add(usize::from(!full));
        rows.insert(peer, Row { count, told: full || row.told });
        (!full).then(|| Seat { seated: self, peer })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut rows = self.seated.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(&self.peer).copied().unwrap_or_default();
        match row.count.saturating_sub(1) {
            0 => rows.remove(&self.peer),
            count => rows.insert(self.peer, Row { count, ..row }),
        };
    }
}

/// Serves until the future is dropped; all connections and requests under way end with it.
/// `handler` answers one request and must be safe to drop at any await.
pub async fn serve<H, F>(listener: TcpListener, tls: ServerTls, limits: Limits, handler: H)
where
    H: Fn(PeerCert, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let shared = Arc::new(Shared {
        tls,
        budget: Budget::new(limits.bytes),
        connections: Semaphore::new(limits.connections),
        seated: Seated::default(),
        limits,
        handler,
    });
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(slot) = Arc::clone(&handshakes).try_acquire_owned() {
                    let shared = Arc::clone(&shared);
                    tasks.spawn(async move {
                        let certified = greet(stream, &shared).await;
                        drop(slot);
                        if let Some((stream, peer)) = certified {
                            converse(stream, peer, shared).await;
                        }
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for now");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn greet<H>(stream: TcpStream, shared: &Shared<H>) -> Option<(Incoming, PeerCert)> {
    match timeout(shared.limits.handshake_within, shared.tls.accept(stream)).await {
        Ok(Ok(certified)) => Some(certified),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a handshake did not finish in time");
            None
        }
    }
}

async fn converse<H, F>(stream: Incoming, peer: PeerCert, shared: Arc<Shared<H>>)
where
    H: Fn(PeerCert, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let Some(_seat) = shared.seated.take(peer, shared.limits.connections_each) else { return };
    let Ok(_slot) = shared.connections.try_acquire() else {
        tracing::warn!(limit = shared.limits.connections, "closed a connection over the limit");
        return;
    };
    let (reader, writer) = tokio::io::split(stream);
    let (answers, outbox) = mpsc::channel(shared.limits.in_flight.max(1));
    let write_within = shared.limits.write_within;
    let ended = tokio::select! {
        ended = read_requests(reader, peer, Arc::clone(&shared), answers) => ended,
        ended = write_answers(writer, outbox, write_within) => ended.map_err(FrameError::Io),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, member = %peer.member(), "closed a connection");
    }
}

async fn read_requests<H, F>(
    mut reader: ReadHalf<Incoming>,
    peer: PeerCert,
    shared: Arc<Shared<H>>,
    answers: mpsc::Sender<Vec<u8>>,
) -> Result<(), FrameError>
where
    H: Fn(PeerCert, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let limits = shared.limits;
    let slots = Arc::new(Semaphore::new(limits.in_flight.max(1)));
    let mut jobs = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(std::io::Error::other)?;
        while let Some(job) = jobs.try_join_next() {
            job.map_err(std::io::Error::other)?;
        }
        let first = match timeout(limits.idle_within, first_byte(&mut reader)).await {
            Ok(first) => first?,
            Err(_) if jobs.is_empty() => None,
            Err(_) => continue,
        };
        let Some(first) = first else { return Ok(()) };
        let frame = read_rest(&mut reader, first, &shared.budget, limits.frame_within).await?;
        let (shared, answers) = (Arc::clone(&shared), answers.clone());
        jobs.spawn(async move {
            let answer = answer(frame, peer, &shared.handler).await;
            drop(slot);
            let _ = answers.send(answer).await;
        });
    }
}

async fn answer<H, F>(frame: Frame, peer: PeerCert, handler: &H) -> Vec<u8>
where
    H: Fn(PeerCert, Request) -> F,
    F: Future<Output = Response>,
{
    let Frame { id, body, room: _room } = frame;
    let request = salus_wire::decode::<Request>(&body, RPC_BYTES_MAX);
    drop(body);
    let response = match request {
        Ok(request) => handler(peer, request).await,
        Err(_) => refused(Code::Malformed),
    };
    write_frame(id, &response).unwrap_or_else(|| oversized(id))
}

fn oversized(id: CallId) -> Vec<u8> {
    write_frame(id, &refused(Code::TooLarge)).unwrap_or_default()
}

fn refused(code: Code) -> Response {
    Response::Refused(Refusal::bare(code))
}

async fn write_answers(
    mut writer: WriteHalf<Incoming>,
    mut outbox: mpsc::Receiver<Vec<u8>>,
    within: Duration,
) -> std::io::Result<()> {
    while let Some(frame) = outbox.recv().await {
        timeout(within, writer.write_all(&frame)).await??;
        if outbox.is_empty() {
            timeout(within, writer.flush()).await??;
        }
    }
    Ok(())
}
