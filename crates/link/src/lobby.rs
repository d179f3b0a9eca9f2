//! Where callers are before they have shown who they are.
//!
//! Strangers that say nothing must not keep others out. The lobby promises that one address has at
//! most as many places as are still free, and that whoever has had its fair time gives way when there
//! is no place for a newcomer. It knows addresses, which a stranger can have many of, so it is the
//! handshake's deadline and the fair time that bound what many addresses can do together.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// For which a place is sure: many times what a handshake needs.
pub const FAIR_TIME: Duration = Duration::from_millis(500);

/// A number of places. Clones share them.
#[derive(Clone)]
pub struct Lobby(Arc<Mutex<Guests>>);

struct Guests {
    /// In order of arrival.
    all: Vec<Guest>,
    most: usize,
}

struct Guest {
    address: IpAddr,
    since: Instant,
    leave: Arc<Notify>,
}

/// A place in the lobby; given back when it is dropped.
pub struct Seat {
    lobby: Lobby,
    leave: Arc<Notify>,
}

impl Lobby {
    /// A lobby of `most` places.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Guests { all: Vec::new(), most })))
    }

    /// A place for a caller from `address`, for which another may have to go; `None` when all that
    /// could go have been there for less than [`FAIR_TIME`].
    #[must_use]
    pub fn enter(&self, address: IpAddr, now: Instant) -> Option<Seat> {
        let mut guests = self.lock();
        let own = guests.all.iter().filter(|guest| guest.address == address).count();
        let free = guests.most.saturating_sub(guests.all.len());
        if own >= free {
            // With a share of its own used up, only one of its own goes.
            let goes = guests.all.iter().position(|guest| own == 0 || guest.address == address)?;
            let guest = guests.all.get(goes)?;
            if now.saturating_duration_since(guest.since) < FAIR_TIME {
                return None;
            }
            guests.all.remove(goes).leave.notify_one();
        }
        let leave = Arc::new(Notify::new());
        guests.all.push(Guest { address, since: now, leave: Arc::clone(&leave) });
        Some(Seat { lobby: self.clone(), leave })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        // A list of guests holds no invariant that a panic in between could break.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Resolves when this caller has to give way.
    pub async fn gives_way(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.lock().all.retain(|guest| !Arc::ptr_eq(&guest.leave, &self.leave));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    #[tokio::test]
    async fn silent_strangers_of_one_address_leave_half_to_others_and_then_give_way() {
        let (lobby, start) = (Lobby::new(8), Instant::now());
        let silent: Vec<Seat> = std::iter::from_fn(|| lobby.enter(address(1), start)).collect();
        assert_eq!(silent.len(), 4);
        let other = lobby.enter(address(2), start).unwrap();
        let later = start + FAIR_TIME;
        let newcomer = lobby.enter(address(1), later).unwrap();
        silent[0].gives_way().await;
        assert_eq!(lobby.lock().all.len(), 5);
        // The one that had to go takes no place with it.
        drop(silent);
        assert_eq!(lobby.lock().all.len(), 2);
        drop((other, newcomer));
        assert!(lobby.lock().all.is_empty());
    }

    #[tokio::test]
    async fn a_lobby_full_of_many_addresses_lets_a_newcomer_in_after_the_fair_time() {
        let (lobby, start) = (Lobby::new(4), Instant::now());
        let all: Vec<Seat> = (0..4).map(|n| lobby.enter(address(n), start).unwrap()).collect();
        assert!(lobby.enter(address(9), start).is_none());
        let newcomer = lobby.enter(address(9), start + FAIR_TIME);
        assert!(newcomer.is_some());
        all[0].gives_way().await;
        assert_eq!(lobby.lock().all.len(), 4);
    }
}
