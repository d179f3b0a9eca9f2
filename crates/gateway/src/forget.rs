//! Erasure at the gateway: what it holds of a patient's chain is dropped when the operator is shown the
//! patient's order, and the gateway signs on the ledger that nothing is left.
//!
//! The operator's command leaves a mark in the registry's folder, named by a keyed hash of the chain, and takes
//! the chain's assignments, with their salts, out of the entries of its devices, and the refused frames of
//! every device that was the patient's. It may be cut short anywhere and given again: only when all of that is done
//! is the mark *ready*. The running gateway takes nothing more for the chain as soon as it sees the mark, and seals
//! nothing. Of a ready mark it waits until every frame that it had begun to take is with the queue, begins a new file
//! of the queue, and waits until the ones before are done and gone; it drops what was put into quarantine
//! meanwhile. Then it signs. The mark stays: rows of a queue that is set back to an earlier day are dropped again,
//! and refused frames of those devices are never kept.

use crate::config::GatewayConfig;
use crate::error::GatewayError;
use crate::intake::Intake;
use crate::quarantine::{self, Shelf};
use crate::registry::{self, Assigned, ENTRY_BYTES_MAX, Enrolled, Registry, sealed_file};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_client::{ClientError, Consortium};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::SigningKey;
use salus_proof::TrustPolicy;
use salus_store::key_file;
use salus_store::queue::{DEVICES_MAX, Queue};
use salus_wire::{ChainId, Code, DeviceId, GrantTag, Holder, List, MemberIndex, PartyId, Tx, TxBody};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The suffix of a mark.
pub(crate) const SUFFIX: &str = "erased";
/// Seals marks, and nothing else.
pub(crate) const CONTEXT: &[u8] = b"salus/forgotten/v1";
/// Between looks at what is to be signed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a mark holds, sealed: nothing of the patient's, and once it is signed no device either, but for names that
/// only this machine can tie to one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mark {
    /// The order, as it stands on the ledger.
    pub order: GrantTag,
    /// Devices that are no longer anybody's here, until the queue has forgotten them.
    pub devices: List<DeviceId, DEVICES_MAX>,
    /// The keyed names of all devices that were the patient's here.
    pub refused: List<Digest, DEVICES_MAX>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a gateway is in forgetting a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Stage {
    /// The chain is closed; entries and refused frames may be there still.
    Begun = 0,
    /// They are gone; the queue may have rows.
    Ready = 1,
    /// The receipt is final.
    Signed = 2,
}

impl Mark {
    pub(crate) fn open(key: &MachineKey, sealed: &[u8]) -> Option<Self> {
        let plain = key.open(CONTEXT, sealed).ok()?;
        salus_wire::decode(&plain, ENTRY_BYTES_MAX).ok()
    }

    /// The mark to begin with when entries of `theirs` are to go; `None` when an earlier one says all that there is
    /// to say.
    fn begun(
        earlier: Option<Self>,
        order: GrantTag,
        key: &MachineKey,
        theirs: &Theirs,
    ) -> Result<Option<Self>, GatewayError> {
        let further = earlier.as_ref().is_some_and(|mark| mark.stage != Stage::Begun);
        if further && theirs.assignments == 0 {
            return Ok(None);
        }
        let (mut devices, mut refused) = earlier.map_or_else(Default::default, |mark| {
            (BTreeSet::from_iter(mark.devices.into_vec()), BTreeSet::from_iter(mark.refused.into_vec()))
        });
        devices.extend(theirs.gone.iter().copied());
        let all = theirs.gone.iter().copied().chain(theirs.left.iter().map(|left| left.enrolment.device));
        refused.extend(all.map(|device| device_name(key, device)));
        let too_large = |_| GatewayError::TooLarge;
        let devices = List::new(devices.into_iter().collect()).map_err(too_large)?;
        let refused = List::new(refused.into_iter().collect()).map_err(too_large)?;
        Ok(Some(Self { order, devices, refused, stage: Stage::Begun }))
    }
}

/// The name of a chain's mark: to whoever does not hold this machine's key it says nothing.
pub(crate) fn label(key: &MachineKey, grants: &ChainAnchor) -> Digest {
    key.label(&[b"erased", grants.as_bytes()])
}

/// What names a device that was an erased patient's, to this machine alone.
pub(crate) fn device_name(key: &MachineKey, device: DeviceId) -> Digest {
    key.label(&[b"erased device", device.as_bytes()])
}

/// Drops what the gateway of `config` holds of a chain, whether or not it runs. The caller has seen the order
/// stand on the ledger. Says how many assignments went, and how many refused frames. May be done again, and must be
/// when it was cut short.
///
/// # Errors
/// [`GatewayError`]; some of it may be gone.
pub fn forget(
    config: &GatewayConfig,
    order: GrantTag,
    grants: &ChainAnchor,
    rng: &mut impl CryptoRng,
) -> Result<(usize, usize), GatewayError> {
    let key = key_file::read_machine_key(&config.machine_key_file, &config.data_dir)?;
    let (registry, quarantine) = (config.registry_folder(), config.quarantine_folder());
    let premises = Premises { registry: &registry, quarantine: &quarantine, key: &key };
    forget_in_steps(&premises, order, grants, rng, &mut || Ok(()))
}

/// Where a gateway holds what the operator's command takes away.
pub(crate) struct Premises<'a> {
    pub(crate) registry: &'a Path,
    pub(crate) quarantine: &'a Path,
    pub(crate) key: &'a MachineKey,
}

/// The same; `next` is asked before each change to the disk, and a test ends it there.
pub(crate) fn forget_in_steps(
    premises: &Premises<'_>,
    order: GrantTag,
    grants: &ChainAnchor,
    rng: &mut impl CryptoRng,
    next: &mut dyn FnMut() -> Result<(), GatewayError>,
) -> Result<(usize, usize), GatewayError> {
    let Premises { registry: folder, quarantine, key } = premises;
    let _turn = turn(folder)?;
    let name = label(key, grants);
    let earlier = marked(folder, key, name)?;
    let theirs = theirs(folder, key, grants)?;
    let refused = earlier.clone().map(|mark| mark.refused).unwrap_or_else(List::empty);
    let begun = Mark::begun(earlier, order, key, &theirs)?;
    // The mark first: from then on nothing new begins.
    if let Some(begun) = &begun {
        next()?;
        mark(folder, key, name, begun, rng)?;
    }
    for device in &theirs.left {
        next()?;
        registry::add(folder, key, device, rng)?;
    }
    for device in &theirs.gone {
        next()?;
        registry::remove(folder, key, *device)?;
    }
    next()?;
    let refused = begun.as_ref().map_or(&refused, |begun| &begun.refused);
    let frames = quarantine::drop_of(quarantine, key, |device| refused.contains(&device_name(key, device)));
    let frames =
        frames.map_err(|source| GatewayError::Unreadable { path: quarantine.to_path_buf(), source })?;
    if let Some(begun) = begun {
        next()?;
        mark(folder, key, name, &Mark { stage: Stage::Ready, ..begun }, rng)?;
    }
    Ok((theirs.assignments, frames))
}

/// What a registry holds of one chain.
struct Theirs {
    /// Devices that are nobody's without it.
    gone: Vec<DeviceId>,
    /// Entries of the others, as they are without it.
    left: Vec<Enrolled>,
    assignments: usize,
}

fn theirs(folder: &Path, key: &MachineKey, grants: &ChainAnchor) -> Result<Theirs, GatewayError> {
    let mut theirs = Theirs { gone: Vec::new(), left: Vec::new(), assignments: 0 };
    for enrolled in registry::all(folder, key)? {
        let others = |assigned: &&Assigned| assigned.assignment.grants != *grants;
        let kept: Vec<Assigned> = enrolled.assignments.iter().filter(others).cloned().collect();
        let dropped = enrolled.assignments.len().saturating_sub(kept.len());
        theirs.assignments = theirs.assignments.saturating_add(dropped);
        match (dropped, kept.is_empty()) {
            (0, _) => {}
            (_, true) => theirs.gone.push(enrolled.enrolment.device),
            (_, false) => {
                let assignments = List::new(kept).map_err(|_| GatewayError::TooLarge)?;
                theirs.left.push(Enrolled { enrolment: enrolled.enrolment, assignments });
            }
        }
    }
    Ok(theirs)
}

/// Holds the folder's marks until it is dropped: the operator's command and the running gateway both write them.
pub(crate) fn turn(folder: &Path) -> Result<File, GatewayError> {
    let path = folder.join("lock");
    let failed = |source| GatewayError::Unreadable { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// The mark of a name, if there is one that opens.
pub(crate) fn marked(folder: &Path, key: &MachineKey, name: Digest) -> Result<Option<Mark>, GatewayError> {
    let path = folder.join(format!("{name}.{SUFFIX}"));
    match fs::read(&path) {
        Ok(sealed) => Ok(Mark::open(key, &sealed)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GatewayError::Unreadable { path, source }),
    }
}

/// Writes a mark in place of an earlier one.
pub(crate) fn mark(
    folder: &Path,
    key: &MachineKey,
    name: Digest,
    mark: &Mark,
    rng: &mut impl CryptoRng,
) -> Result<(), GatewayError> {
    let path = folder.join(format!("{name}.{SUFFIX}"));
    sealed_file(&path, &key.seal(CONTEXT, &salus_wire::encode(mark), rng))
}

/// Makes removals from a folder durable.
pub(crate) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What signs for the gateway that a chain is forgotten.
pub(crate) struct Forgetter {
    pub(crate) registry: Arc<Registry>,
    pub(crate) intake: Intake,
    pub(crate) queue: Queue,
    pub(crate) shelf: Shelf,
    pub(crate) consortium: Consortium,
    pub(crate) policy: TrustPolicy,
    pub(crate) chain: ChainId,
    pub(crate) party: PartyId,
    pub(crate) home: MemberIndex,
    pub(crate) key: SigningKey,
}

impl Forgetter {
    /// Runs for ever: signs for every mark that is ready, once nothing of its chain is left.
    pub(crate) async fn run(self) {
        loop {
            sleep(LOOK_EVERY).await;
            for (name, mark) in self.registry.ready() {
                let signed = match settle(&mark, &self.intake, &self.queue, &self.shelf).await {
                    Ok(()) => self.sign(name, mark).await,
                    Err(code) => Err(code),
                };
                if let Err(code) = signed {
                    tracing::warn!(%code, "that data is forgotten is not signed yet");
                }
            }
        }
    }

    async fn sign(&self, name: Digest, mark: Mark) -> Result<(), Code> {
        let holder = Holder::Writer(self.party);
        let body = TxBody::RecordDestruction { order: mark.order, holder, label: name };
        let tx = Tx::sign(self.chain, body, &self.key);
        match self.consortium.settle(&tx, self.home, &self.policy).await {
            Ok(_) | Err(ClientError::Refused { code: Code::AlreadyExists }) => {}
            Err(error) => return Err(error.code()),
        }
        tracing::info!("everything of a patient was forgotten by their order, and it is signed");
        let registry = Arc::clone(&self.registry);
        let signed = tokio::task::spawn_blocking(move || registry.signed(name, &mark)).await;
        signed.map_err(|_| Code::Internal)?.map_err(|error| error.code())
    }
}

/// Returns when nothing is left that the running gateway holds under a mark: what it had begun to take is with the
/// queue, the files of the queue that could hold it are gone, and so is what was refused meanwhile. The registry
/// has seen the mark.
///
/// # Errors
/// The code of what failed; nothing may be signed then.
pub(crate) async fn settle(mark: &Mark, intake: &Intake, queue: &Queue, shelf: &Shelf) -> Result<(), Code> {
    intake.barrier().await?;
    queue.leave(mark.devices.iter().copied().collect()).await.map_err(|error| error.code())?;
    let shelf = shelf.clone();
    let dropped = tokio::task::spawn_blocking(move || shelf.drop_erased()).await;
    dropped.map_err(|_| Code::Internal)?.map(drop).map_err(|_| Code::FileUnreadable)
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
