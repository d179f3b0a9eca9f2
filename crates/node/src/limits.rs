//! How much of each kind of work is done at once, and what is said beyond that. A request that
//! finds no place is refused at once: it never waits in a queue that somebody else could fill. How
//! much one connection may have under way is bounded below this, by the link.

use salus_wire::Code;
use salus_wire::rpc::Refusal;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Transactions waiting to become final.
pub const SUBMITS_AT_ONCE: usize = 1_024;
/// Reads of the state, proofs and certificates.
pub const READS_AT_ONCE: usize = 64;
/// Followers waiting for a block.
pub const FOLLOWS_AT_ONCE: usize = 64;
/// Batches being checked and written.
pub const PUTS_AT_ONCE: usize = 8;
/// Fragments being read.
pub const FETCHES_AT_ONCE: usize = 32;
/// Deposits being opened and written.
pub const DEPOSITS_AT_ONCE: usize = 4;
/// Releases being decided.
pub const RELEASES_AT_ONCE: usize = 16;
/// Key shares in one deposit.
pub const DEPOSIT_SHARES_MAX: usize = 4_096;
/// Encoded bytes of blocks in one answer to a follower.
pub const FOLLOW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that must be free on the disk for a node to start or go on. The engine cannot go on without
/// a write that its disk refuses, so the node stops in order before that; a store stops taking
/// fragments much earlier ([`salus_store::disk::RESERVE_BYTES`]).
pub const DISK_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Milliseconds after which to ask again when this node had no place.
pub const RETRY_MS: u32 = 1_000;

const _: () = assert!(DISK_BYTES_MIN < salus_store::disk::RESERVE_BYTES);

/// One gate for each kind of work.
#[derive(Debug)]
pub struct Gates {
    pub(crate) submits: Gate,
    pub(crate) reads: Gate,
    pub(crate) follows: Gate,
    pub(crate) puts: Gate,
    pub(crate) fetches: Gate,
    pub(crate) deposits: Gate,
    pub(crate) releases: Gate,
}

/// A number of places.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Semaphore,
    full: Code,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            submits: Gate::new(SUBMITS_AT_ONCE, Code::QuotaExceeded),
            reads: Gate::new(READS_AT_ONCE, Code::QuotaExceeded),
            follows: Gate::new(FOLLOWS_AT_ONCE, Code::QuotaExceeded),
            puts: Gate::new(PUTS_AT_ONCE, Code::QuotaExceeded),
            fetches: Gate::new(FETCHES_AT_ONCE, Code::QuotaExceeded),
            deposits: Gate::new(DEPOSITS_AT_ONCE, Code::CustodianBusy),
            releases: Gate::new(RELEASES_AT_ONCE, Code::CustodianBusy),
        }
    }
}

impl Gate {
    fn new(places: usize, full: Code) -> Self {
        Self { places: Semaphore::new(places), full }
    }

    /// A place, given back when it is dropped.
    ///
    /// # Errors
    /// A refusal for now when all places are taken.
    pub(crate) fn enter(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.places.try_acquire().map_err(|_| Refusal::busy(self.full, RETRY_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_refuses_at_once_and_opens_again() {
        let gate = Gate::new(1, Code::CustodianBusy);
        let place = gate.enter().unwrap();
        let refusal = gate.enter().unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::CustodianBusy, RETRY_MS));
        drop(place);
        assert!(gate.enter().is_ok());
    }
}
