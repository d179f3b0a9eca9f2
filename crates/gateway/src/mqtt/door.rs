//! The listener for devices: certified connections in, a bounded number of each kind.

use crate::desk::Desk;
use crate::mqtt::session;
use salus_link::{ServerTls, Subject};
use salus_wire::DeviceId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Handshakes under way at once; further callers are closed at once.
const HANDSHAKES_MAX: usize = 64;
/// For a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Connections of one device: an old one that has not been noticed to be gone, and its successors.
const CONNECTIONS_OF_DEVICE_MAX: usize = 4;
/// How long to rest after the listener itself failed, for example for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Connections by device.
#[derive(Default)]
struct Connected(Mutex<HashMap<DeviceId, usize>>);

/// One connection's place; given back when dropped.
struct Seat {
    connected: Arc<Connected>,
    device: DeviceId,
}

impl Seat {
    fn take(connected: &Arc<Connected>, device: DeviceId) -> Option<Self> {
        let mut counts = connected.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(device).or_default();
        if *count >= CONNECTIONS_OF_DEVICE_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Self { connected: Arc::clone(connected), device })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.connected.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(&self.device).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.device);
        } else {
            counts.insert(self.device, left);
        }
    }
}

/// Serves devices until the desk closes and they are gone, or until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: ServerTls, connections_max: usize, desk: Arc<Desk>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let connections = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let connected = Arc::new(Connected::default());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = desk.closing() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept devices for now");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else { continue };
        let (tls, desk) = (tls.clone(), Arc::clone(&desk));
        let (connections, connected) = (Arc::clone(&connections), Arc::clone(&connected));
        tasks.spawn(async move {
            let greeted = greet(stream, &tls).await;
            drop(handshake);
            let Some((stream, device)) = greeted else { return };
            let (Ok(_place), Some(_seat)) = (connections.try_acquire(), Seat::take(&connected, device))
            else {
                tracing::warn!("closed a device's connection over the limit");
                return;
            };
            if let Err(error) = session::serve(stream, device, desk).await {
                tracing::debug!(%error, "a device's connection ended");
            }
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn greet(stream: TcpStream, tls: &ServerTls) -> Option<(salus_link::tls::Incoming, DeviceId)> {
    let accepted = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await.ok()?;
    let (stream, peer) = accepted.inspect_err(|error| tracing::debug!(%error, "a handshake failed")).ok()?;
    match peer.subject() {
        Subject::Device(device) => Some((stream, device)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_bounded_number_of_connections() {
        let connected = Arc::new(Connected::default());
        let device = DeviceId::new([1; 16]);
        let mut seats: Vec<_> =
            (0..CONNECTIONS_OF_DEVICE_MAX).map(|_| Seat::take(&connected, device).unwrap()).collect();
        assert!(Seat::take(&connected, device).is_none());
        assert!(Seat::take(&connected, DeviceId::new([2; 16])).is_some());
        seats.pop();
        assert!(Seat::take(&connected, device).is_some());
        drop(seats);
        assert!(connected.0.lock().unwrap().is_empty());
    }
}
