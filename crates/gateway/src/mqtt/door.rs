//! The listener for devices: certified connections in, a bounded number of each kind.

use crate::desk::Desk;
use crate::mqtt::flow::Flow;
use crate::mqtt::session;
use salus_link::tls::Incoming;
use salus_link::{Lobby, Places, ServerTls, Subject};
use salus_wire::DeviceId;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Handshakes under way at once, shared as [`Lobby`] says; further callers are closed at once.
const HANDSHAKES_MAX: usize = 64;
/// For a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Connections of one device: an old one that has not been noticed to be gone, and its successors.
const CONNECTIONS_OF_DEVICE_MAX: usize = 4;
/// How long to rest after the listener itself failed, for example for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a listener allows.
pub(crate) struct Limits {
    /// Devices connected at once.
    pub(crate) connections_max: usize,
    /// Frames of one device in a second.
    pub(crate) device_frames_per_s: NonZeroU32,
}

/// What all connections share.
struct Shared {
    tls: ServerTls,
    desk: Arc<Desk>,
    flow: Arc<Flow>,
    connections: Semaphore,
    seats: Places<DeviceId>,
}

/// Serves devices until the desk closes and they are gone, or until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: ServerTls, limits: Limits, desk: Arc<Desk>) {
    let lobby = Lobby::new(HANDSHAKES_MAX);
    let shared = Arc::new(Shared {
        tls,
        flow: Arc::new(Flow::new(limits.device_frames_per_s, desk.clock)),
        connections: Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)),
        seats: Places::new(usize::MAX, CONNECTIONS_OF_DEVICE_MAX),
        desk,
    });
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.desk.closing() => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept devices for now");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Some(seat) = lobby.enter(from.ip(), Instant::now()) else { continue };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let greeted = tokio::select! {
                greeted = greet(stream, &shared.tls) => greeted,
                () = seat.gives_way() => None,
            };
            drop(seat);
            if let Some((stream, device)) = greeted {
                converse(stream, device, &shared).await;
            }
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn converse(stream: Incoming, device: DeviceId, shared: &Shared) {
    let (Ok(_place), Ok(_seat)) = (shared.connections.try_acquire(), shared.seats.enter(device)) else {
        tracing::warn!("closed a device's connection over the limit");
        return;
    };
    let (desk, flow) = (Arc::clone(&shared.desk), Arc::clone(&shared.flow));
    if let Err(error) = session::serve(stream, device, desk, flow).await {
        tracing::debug!(%error, "a device's connection ended");
    }
}

async fn greet(stream: TcpStream, tls: &ServerTls) -> Option<(Incoming, DeviceId)> {
    let accepted = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await.ok()?;
    let (stream, peer) = accepted.inspect_err(|error| tracing::debug!(%error, "a handshake failed")).ok()?;
    match peer.subject() {
        Subject::Device(device) => Some((stream, device)),
        _ => None,
    }
}
