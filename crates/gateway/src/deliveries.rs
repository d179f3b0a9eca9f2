//! Key shares on their way to custodians: kept durably until taken, so that a custodian which was
//! away holds its shares when it is back, also if this gateway went away in between.
//!
//! One courier for each custodian, so that a dead one holds up nobody else.

use crate::batch::{DepositId, Input};
use crate::error::GatewayError;
use rand::rngs::StdRng;
use rand_core::Rng;
use salus_crypto::at_rest::MachineKey;
use salus_link::Peer;
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::release::Deposit;
use salus_wire::rpc::{Request, Response};
use salus_wire::{MemberIndex, decode, encode};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Deposits waiting for one custodian. A custodian that is away for longer than these last misses
/// shares, and the epochs in them are left with n - f custodians, which is enough to read.
const PENDING_MAX: usize = 50_000;
/// For a custodian to take a deposit.
const TAKE_WITHIN: Duration = Duration::from_secs(15);
/// How long a custodian that failed is left alone: at first, and at most.
const REST_FIRST: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(5);

const CONTEXT: &[u8] = b"salus/deposit/v1";
const SUFFIX: &str = "deposit";
const DRAFT: &str = "draft";

/// A deposit on disk.
struct Pending {
    path: PathBuf,
    /// Who waits for it; nobody after a restart.
    id: Option<DepositId>,
}

/// What waits for one custodian.
#[derive(Default)]
struct Pile {
    waiting: Mutex<VecDeque<Pending>>,
    more: Notify,
}

impl Pile {
    fn push(&self, pending: Pending) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(pending);
        self.more.notify_one();
    }

    fn pop(&self) -> Option<Pending> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// All couriers' piles.
#[derive(Clone)]
pub(crate) struct Deliveries {
    folder: Arc<PathBuf>,
    key: Arc<MachineKey>,
    piles: Arc<Vec<(MemberIndex, Pile)>>,
}

impl Deliveries {
    /// Takes up what an earlier life left in `folder`, made if absent. Blocks.
    pub(crate) fn open(
        folder: PathBuf,
        key: Arc<MachineKey>,
        custodians: &[MemberIndex],
    ) -> Result<Self, GatewayError> {
        let piles: Vec<_> = custodians.iter().map(|custodian| (*custodian, Pile::default())).collect();
        let deliveries = Self { folder: Arc::new(folder), key, piles: Arc::new(piles) };
        let failed = |source| GatewayError::Unreadable { path: deliveries.folder.to_path_buf(), source };
        fs::create_dir_all(&*deliveries.folder).map_err(failed)?;
        for entry in fs::read_dir(&*deliveries.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == DRAFT) {
                fs::remove_file(&path).map_err(failed)?;
            }
            if let Some(pile) = custodian_in(&path).and_then(|custodian| deliveries.pile(custodian)) {
                pile.push(Pending { path, id: None });
            }
        }
        Ok(deliveries)
    }

    fn pile(&self, custodian: MemberIndex) -> Option<&Pile> {
        self.piles.iter().find(|(other, _)| *other == custodian).map(|(_, pile)| pile)
    }

    /// Keeps a deposit durably and hands it to its courier. Blocks.
    pub(crate) fn keep(
        &self,
        id: DepositId,
        deposit: &Deposit,
        rng: &mut StdRng,
    ) -> Result<(), GatewayError> {
        let Some(pile) = self.pile(deposit.custodian) else { return Ok(()) };
        if pile.len() >= PENDING_MAX {
            tracing::error!(custodian = %deposit.custodian, "a custodian is away for too long and misses key shares");
            return Ok(());
        }
        let path = self.folder.join(format!("{}-{:016x}.{SUFFIX}", deposit.custodian, rng.next_u64()));
        let sealed = self.key.seal(CONTEXT, &encode(deposit), rng);
        let failed = |source| GatewayError::Disk { path: path.clone(), source };
        // Half a deposit never has the name of one.
        let draft = path.with_extension(DRAFT);
        let written = File::create_new(&draft).and_then(|mut file| {
            file.write_all(&sealed)?;
            file.sync_all()
        });
        if let Err(source) = written {
            let _ = fs::remove_file(&draft);
            return Err(failed(source));
        }
        fs::rename(&draft, &path).map_err(failed)?;
        File::open(&*self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        pile.push(Pending { path, id: Some(id) });
        Ok(())
    }

    /// Brings deposits to one custodian for ever, and says when one is taken.
    pub(crate) async fn courier(self, peer: Peer, told: mpsc::Sender<Input>) {
        let Some(pile) = self.pile(peer.member()) else { return };
        let mut rest = REST_FIRST;
        loop {
            let Some(pending) = pile.pop() else {
                pile.more.notified().await;
                continue;
            };
            match self.deliver(&peer, &pending.path).await {
                Ok(()) => {
                    rest = REST_FIRST;
                    if let Err(error) = fs::remove_file(&pending.path) {
                        tracing::warn!(%error, "a delivered deposit could not be removed");
                    }
                    let Some(deposit) = pending.id else { continue };
                    if told.send(Input::Deposited { deposit, from: peer.member() }).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    tracing::debug!(custodian = %peer.member(), why, "a deposit was not taken yet");
                    pile.push(pending);
                    tokio::time::sleep(rest).await;
                    rest = rest.saturating_mul(2).min(REST_MAX);
                }
            }
        }
    }

    async fn deliver(&self, peer: &Peer, path: &Path) -> Result<(), String> {
        let sealed = fs::read(path).map_err(|error| error.to_string())?;
        let plain = self.key.open(CONTEXT, &sealed).map_err(|error| error.to_string())?;
        let deposit: Deposit = decode(&plain, RPC_BYTES_MAX).map_err(|error| error.to_string())?;
        match peer.call(&Request::Deposit(Box::new(deposit)), TAKE_WITHIN).await {
            Ok(Response::Deposited) => Ok(()),
            Ok(Response::Refused(refusal)) => Err(refusal.code.to_string()),
            Ok(_) => Err("another answer than was asked for".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn custodian_in(path: &Path) -> Option<MemberIndex> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    name.split_once('-')?.0.parse().ok().map(MemberIndex::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::machine_key;
    use rand::SeedableRng;
    use salus_crypto::sign::Signature;
    use salus_wire::{List, PartyId};

    fn deposit(custodian: u16) -> Deposit {
        Deposit {
            writer: PartyId::new([1; 16]),
            custodian: MemberIndex::new(custodian),
            envelopes: List::empty(),
            signature: Signature::from_bytes([7; 64]),
        }
    }

    #[test]
    fn a_deposit_that_was_not_taken_waits_for_its_custodian_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let custodians = [MemberIndex::new(0), MemberIndex::new(1)];
        let open = || Deliveries::open(folder.path().to_owned(), machine_key(), &custodians).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let first = open();
        for custodian in [0, 1, 1, 9] {
            first.keep(DepositId(3), &deposit(custodian), &mut rng).unwrap();
        }
        let waiting =
            |deliveries: &Deliveries| custodians.map(|custodian| deliveries.pile(custodian).unwrap().len());
        assert_eq!(waiting(&first), [1, 2]);
        assert_eq!(first.pile(custodians[0]).unwrap().pop().unwrap().id, Some(DepositId(3)));
        let second = open();
        assert_eq!(waiting(&second), [1, 2]);
        let pending = second.pile(custodians[0]).unwrap().pop().unwrap();
        assert_eq!(pending.id, None);
        let sealed = fs::read(&pending.path).unwrap();
        assert!(!sealed.windows(16).any(|window| window == [7; 16]));
        let plain = machine_key().open(CONTEXT, &sealed).unwrap();
        assert_eq!(decode::<Deposit>(&plain, RPC_BYTES_MAX), Ok(deposit(0)));
    }

    #[test]
    fn only_a_lack_of_room_is_waited_out() {
        use std::io::ErrorKind;
        let failed = |kind: ErrorKind| GatewayError::Disk { path: PathBuf::new(), source: kind.into() };
        assert!(failed(ErrorKind::StorageFull).lacks_room() && failed(ErrorKind::QuotaExceeded).lacks_room());
        let folder = tempfile::tempdir().unwrap();
        let custodians = [MemberIndex::new(0)];
        let deliveries = Deliveries::open(folder.path().join("gone"), machine_key(), &custodians).unwrap();
        fs::remove_dir(folder.path().join("gone")).unwrap();
        let kept = deliveries.keep(DepositId(1), &deposit(0), &mut StdRng::seed_from_u64(1));
        let error = kept.unwrap_err();
        assert!(!error.lacks_room());
        assert_eq!(error.code(), salus_wire::Code::QueueDisk);
    }

    #[test]
    fn half_a_deposit_is_not_taken_for_one_and_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let half = folder.path().join("0-00000000000000aa.draft");
        fs::write(&half, b"half").unwrap();
        let custodians = [MemberIndex::new(0)];
        let deliveries = Deliveries::open(folder.path().to_owned(), machine_key(), &custodians).unwrap();
        assert_eq!(deliveries.pile(custodians[0]).unwrap().len(), 0);
        assert!(!half.exists());
    }
}
