//! The listening side: accepts certified connections, reads requests, writes answers.
//!
//! It promises that strangers cost little (a bounded number of handshakes, each with a deadline, of
//! which no address has all), that no certificate and no member's authority takes all connections,
//! that a peer which sends garbage or stops half-way loses its connection and nothing else, and
//! that everything a peer can make us hold is bounded. It knows nothing of what requests mean.

use crate::frame::{Budget, CallId, Frame, FrameError, first_byte, read_rest, write_frame};
use crate::lobby::Lobby;
use crate::places::Places;
use crate::tls::{Incoming, PeerCert, ServerTls};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::rpc::{Refusal, Request, Response};
use salus_wire::{Code, MemberIndex};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long to rest after the listener itself failed, for example for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Certified connections at once; further ones are closed after their handshake. Those whom one
    /// member certifies have at most as many as are free.
    pub connections: usize,
    /// The same for one subject, so that nobody's credential can shut everybody else out.
    pub connections_each: usize,
    /// Handshakes under way at once, shared as [`Lobby`] says; further callers are closed at once.
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
            connections: 512,
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
    connections: Places<MemberIndex>,
    seats: Places<PeerCert>,
    handler: H,
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
        connections: Places::new(limits.connections, limits.connections),
        seats: Places::new(usize::MAX, limits.connections_each),
        limits,
        handler,
    });
    let lobby = Lobby::new(limits.handshakes);
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(seat) = lobby.enter(from.ip(), Instant::now()) else { continue };
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let certified = tokio::select! {
                        certified = greet(stream, &shared) => certified,
                        () = seat.gives_way() => None,
                    };
                    drop(seat);
                    if let Some((stream, peer)) = certified {
                        converse(stream, peer, shared).await;
                    }
                });
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
    let (_seat, _slot) = match (shared.seats.enter(peer), shared.connections.enter(peer.member())) {
        (Ok(seat), Ok(slot)) => (seat, slot),
        (Err(full), _) | (_, Err(full)) => {
            if full.first {
                tracing::warn!(member = %peer.member(), "those of a member have as many connections as they may");
            }
            return;
        }
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
