//! The calling side: one handle for each member, over one connection that comes and goes.
//!
//! A [`Peer`] connects when first called, carries many calls at once, and after a failure leaves
//! the member alone for a while that doubles. It promises that every call ends within the time its
//! caller gives. It never sends a request twice: whether that is harmless, only the caller knows.

use crate::error::LinkError;
use crate::frame::{Budget, CallId, FrameError, first_byte, read_rest, write_frame};
use crate::tls::{ClientTls, Outgoing, TrustedAuthority};
use rustls::pki_types::ServerName;
use salus_wire::MemberIndex;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::rpc::{Request, Response};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Calls under way to one member; further ones wait.
const CALLS_MAX: usize = 64;
/// Requests waiting to be written to one member.
const OUTBOX_MAX: usize = 16;
/// For reaching a member and completing the handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// For the rest of an answer whose first byte has come.
const FRAME_WITHIN: Duration = Duration::from_secs(15);
/// For writing one request.
const WRITE_WITHIN: Duration = Duration::from_secs(15);
/// How long a member is left alone after a first failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// And at most.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Where a member is, and under whose authority it must be certified.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The member and its authority.
    pub authority: TrustedAuthority,
    /// `host:port`.
    pub address: String,
}

/// All members that can be called.
#[derive(Clone, Debug)]
pub struct Caller {
    peers: Vec<Peer>,
}

impl Caller {
    /// Handles for all of `endpoints`; connects to none yet.
    ///
    /// # Errors
    /// [`LinkError`] when an authority is not usable.
    pub fn new(tls: &ClientTls, endpoints: &[Endpoint]) -> Result<Self, LinkError> {
        let peers: Result<Vec<Peer>, LinkError> =
            endpoints.iter().map(|endpoint| Peer::new(tls, endpoint.clone())).collect();
        Ok(Self { peers: peers? })
    }

    /// The handle of one member.
    ///
    /// # Errors
    /// [`LinkError::UnknownMember`] when there is none.
    pub fn peer(&self, member: MemberIndex) -> Result<&Peer, LinkError> {
        self.peers.iter().find(|peer| peer.member() == member).ok_or(LinkError::UnknownMember { member })
    }

    /// All handles, in the order of the endpoints.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter()
    }
}

/// The handle of one member. Clones share its connection.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    connector: TlsConnector,
    name: ServerName<'static>,
    budget: Budget,
    slots: Semaphore,
    state: tokio::sync::Mutex<State>,
}

enum State {
    Idle,
    Up { connection: Arc<Connection>, delay: Duration },
    Down { until: Instant, delay: Duration },
}

impl Peer {
    /// A handle; connects when first called.
    ///
    /// # Errors
    /// [`LinkError`] when the authority is not usable.
    pub fn new(tls: &ClientTls, endpoint: Endpoint) -> Result<Self, LinkError> {
        let (connector, name) = tls.towards(&endpoint.authority)?;
        Ok(Self(Arc::new(Inner {
            endpoint,
            connector,
            name,
            budget: Budget::new(2 * RPC_BYTES_MAX),
            slots: Semaphore::new(CALLS_MAX),
            state: tokio::sync::Mutex::new(State::Idle),
        })))
    }

    /// Whom it calls.
    #[must_use]
    pub fn member(&self) -> MemberIndex {
        self.0.endpoint.authority.member
    }

    /// Asks, and waits at most `within` for the answer.
    ///
    /// # Errors
    /// [`LinkError`]. After [`LinkError::TimedOut`] or [`LinkError::Lost`] the request may or may
    /// not have taken effect.
    pub async fn call(&self, request: &Request, within: Duration) -> Result<Response, LinkError> {
        let mut used = None;
        match timeout(within, self.ask(request, &mut used)).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some((connection, heard)) = used {
                    connection.close_if_silent_since(heard);
                }
                Err(LinkError::TimedOut { member: self.member() })
            }
        }
    }

    async fn ask(
        &self,
        request: &Request,
        used: &mut Option<(Arc<Connection>, u64)>,
    ) -> Result<Response, LinkError> {
        let lost = || LinkError::Lost { member: self.member() };
        let _slot = self.0.slots.acquire().await.map_err(|_| lost())?;
        let connection = self.connection().await?;
        let id = connection.next_id();
        let frame = write_frame(id, request).ok_or(LinkError::TooLarge)?;
        let waiting = Waiting::register(&connection, id).ok_or_else(lost)?;
        *used = Some((Arc::clone(&connection), connection.heard.load(Ordering::Relaxed)));
        connection.outbox.send(frame).await.map_err(|_| lost())?;
        waiting.answer().await.ok_or_else(lost)
    }

    /// The open connection, or a new one unless the member failed a moment ago.
    async fn connection(&self) -> Result<Arc<Connection>, LinkError> {
        let mut state = self.0.state.lock().await;
        let delay = match &*state {
            State::Idle => BACKOFF_FIRST,
            State::Up { connection, .. } if connection.is_open() => return Ok(Arc::clone(connection)),
            State::Up { connection, .. } if connection.heard.load(Ordering::Relaxed) > 0 => BACKOFF_FIRST,
            State::Up { delay, .. } => *delay,
            State::Down { until, delay } => {
                let wait = until.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    return Err(LinkError::BackingOff { member: self.member(), wait_ms });
                }
                *delay
            }
        };
        let longer = delay.saturating_mul(2).min(BACKOFF_MAX);
        match self.connect().await {
            Ok(connection) => {
                *state = State::Up { connection: Arc::clone(&connection), delay: longer };
                Ok(connection)
            }
            Err(source) => {
                *state = State::Down { until: Instant::now() + delay, delay: longer };
                let address = self.0.endpoint.address.clone();
                Err(LinkError::Unreachable { member: self.member(), address, source })
            }
        }
    }

    async fn connect(&self) -> std::io::Result<Arc<Connection>> {
        let reach = async {
            let stream = TcpStream::connect(&self.0.endpoint.address).await?;
            let _ = stream.set_nodelay(true);
            self.0.connector.connect(self.0.name.clone(), stream).await
        };
        let stream = timeout(CONNECT_WITHIN, reach).await??;
        Ok(Connection::start(stream, self.0.budget.clone()))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({} at {})", self.member(), self.0.endpoint.address)
    }
}

/// Calls that wait for an answer, or `None` once the connection has ended.
type Pending = Mutex<Option<HashMap<CallId, oneshot::Sender<Response>>>>;

struct Connection {
    outbox: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    ids: AtomicU64,
    heard: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Connection {
    fn start(stream: Outgoing, budget: Budget) -> Arc<Self> {
        let (outbox, requests) = mpsc::channel(OUTBOX_MAX);
        let pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::new(AtomicU64::new(0));
        let ending = Ending(Arc::clone(&pending));
        let counter = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(stream);
            let ended = tokio::select! {
                ended = read_answers(reader, &budget, &ending.0, &counter) => ended,
                ended = write_requests(writer, requests) => ended.map_err(FrameError::Io),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
            drop(ending);
        });
        Arc::new(Self { outbox, pending, ids: AtomicU64::new(0), heard, task: task.abort_handle() })
    }

    fn next_id(&self) -> CallId {
        CallId::new(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn is_open(&self) -> bool {
        lock(&self.pending).is_some()
    }

    /// A connection on which a whole call went by without a byte coming back is dead, whatever TCP
    /// still believes.
    fn close_if_silent_since(&self, heard: u64) {
        if self.heard.load(Ordering::Relaxed) == heard {
            *lock(&self.pending) = None;
            self.task.abort();
        }
    }
}

/// Marks the connection as ended however its task ends.
struct Ending(Arc<Pending>);

impl Drop for Ending {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

/// One call's place among the pending; given up when dropped.
struct Waiting {
    pending: Arc<Pending>,
    id: CallId,
    answer: oneshot::Receiver<Response>,
}

impl Waiting {
    fn register(connection: &Connection, id: CallId) -> Option<Self> {
        let (sender, answer) = oneshot::channel();
        lock(&connection.pending).as_mut()?.insert(id, sender);
        Some(Self { pending: Arc::clone(&connection.pending), id, answer })
    }

    async fn answer(mut self) -> Option<Response> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(pending) = lock(&self.pending).as_mut() {
            pending.remove(&self.id);
        }
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, Option<HashMap<CallId, oneshot::Sender<Response>>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_answers(
    mut reader: ReadHalf<Outgoing>,
    budget: &Budget,
    pending: &Pending,
    heard: &AtomicU64,
) -> Result<(), FrameError> {
    while let Some(first) = first_byte(&mut reader).await? {
        heard.fetch_add(1, Ordering::Relaxed);
        let frame = read_rest(&mut reader, first, budget, FRAME_WITHIN).await?;
        let response =
            salus_wire::decode::<Response>(&frame.body, RPC_BYTES_MAX).map_err(std::io::Error::other)?;
        let waiting = lock(pending).as_mut().and_then(|pending| pending.remove(&frame.id));
        if let Some(waiting) = waiting {
            // A caller that gave up in this instant drops the answer, as if it had come late.
            let _ = waiting.send(response);
        }
    }
    Ok(())
}

async fn write_requests(
    mut writer: WriteHalf<Outgoing>,
    mut requests: mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    while let Some(frame) = requests.recv().await {
        timeout(WRITE_WITHIN, writer.write_all(&frame)).await??;
        if requests.is_empty() {
            timeout(WRITE_WITHIN, writer.flush()).await??;
        }
    }
    Ok(())
}
