//! Erasure at the gateway: what it holds of a patient's chain is dropped when the operator is shown the
//! patient's order, and the gateway signs on the ledger that nothing is left.
//!
//! The operator's command leaves a mark in the registry's folder, named by a keyed hash of the chain, and takes
//! the chain's assignments, with their salts, out of the entries of its devices, and the refused frames of
//! devices that are left without one. The running gateway sees the mark: it seals nothing more for the chain,
//! drops its rows, and once everything before is anchored begins a new file of the queue, so that the old ones
//! go. Then it signs. The mark stays: rows of a queue that is set back to an earlier day are dropped again.

use crate::config::GatewayConfig;
use crate::error::GatewayError;
use crate::quarantine;
use crate::registry::{self, Enrolled, Registry, sealed_file};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_client::{ClientError, Consortium};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::SigningKey;
use salus_proof::TrustPolicy;
use salus_store::key_file;
use salus_store::queue::{DEVICES_MAX, Queue, RowNumber};
use salus_wire::{ChainId, Code, DeviceId, GrantTag, Holder, List, MemberIndex, PartyId, Tx, TxBody};
use std::collections::{BTreeMap, BTreeSet};
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

/// What a mark holds, sealed: nothing of the patient's, and once it is signed no device either.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mark {
    /// The order, as it stands on the ledger.
    pub order: GrantTag,
    /// Devices that are no longer anybody's here, until the queue has forgotten them.
    pub devices: List<DeviceId, DEVICES_MAX>,
    /// Whether the receipt is final.
    pub signed: bool,
}

/// The name of a chain's mark: to whoever does not hold this machine's key it says nothing.
pub(crate) fn label(key: &MachineKey, grants: &ChainAnchor) -> Digest {
    key.label(&[b"erased", grants.as_bytes()])
}

/// Drops what the gateway of `config` holds of a chain, whether or not it runs. The caller has seen the order
/// stand on the ledger. Says how many assignments went, and how many refused frames. May be done again.
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
    let folder = config.registry_folder();
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    let mut assignments = 0_usize;
    for enrolled in registry::all(&folder, &key)? {
        let kept: Vec<_> = enrolled
            .assignments
            .iter()
            .filter(|assigned| assigned.assignment.grants != *grants)
            .cloned()
            .collect();
        let dropped = enrolled.assignments.len().saturating_sub(kept.len());
        assignments = assignments.saturating_add(dropped);
        match (dropped, kept.is_empty()) {
            (0, _) => {}
            (_, true) => gone.push(enrolled.enrolment.device),
            (_, false) => {
                let assignments = List::new(kept).map_err(|_| GatewayError::TooLarge)?;
                left.push(Enrolled { enrolment: enrolled.enrolment, assignments });
            }
        }
    }
    let name = label(&key, grants);
    // The mark first: from then on nothing new begins.
    if assignments > 0 || !folder.join(format!("{name}.{SUFFIX}")).exists() {
        let devices = List::new(gone.clone()).map_err(|_| GatewayError::TooLarge)?;
        mark(&folder, &key, name, &Mark { order, devices, signed: false }, rng)?;
    }
    for device in &left {
        registry::add(&folder, &key, device, rng)?;
    }
    for device in &gone {
        registry::remove(&folder, &key, *device)?;
    }
    let devices: BTreeSet<DeviceId> = gone.into_iter().collect();
    let frames = quarantine::drop_of(&config.quarantine_folder(), &key, &devices)
        .map_err(|source| GatewayError::Unreadable { path: config.quarantine_folder(), source })?;
    Ok((assignments, frames))
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
    pub(crate) queue: Queue,
    pub(crate) consortium: Consortium,
    pub(crate) policy: TrustPolicy,
    pub(crate) chain: ChainId,
    pub(crate) party: PartyId,
    pub(crate) home: MemberIndex,
    pub(crate) key: SigningKey,
}

impl Forgetter {
    /// Runs for ever: signs for every mark, once nothing of its chain is left.
    pub(crate) async fn run(self) {
        // Rows below these were there when the mark was seen.
        let mut below: BTreeMap<Digest, RowNumber> = BTreeMap::new();
        loop {
            sleep(LOOK_EVERY).await;
            for (name, mark) in self.registry.unsigned() {
                let stats = self.queue.stats();
                let until = *below.entry(name).or_insert(stats.durable_below);
                if stats.done_below < until {
                    continue;
                }
                match self.sign(name, &mark).await {
                    Ok(()) => drop(below.remove(&name)),
                    Err(code) => tracing::warn!(%code, "that data is forgotten is not signed yet"),
                }
            }
        }
    }

    async fn sign(&self, name: Digest, mark: &Mark) -> Result<(), Code> {
        let devices = mark.devices.iter().copied().collect();
        self.queue.leave(devices).await.map_err(|error| error.code())?;
        let holder = Holder::Writer(self.party);
        let body = TxBody::RecordDestruction { order: mark.order, holder, label: name };
        let tx = Tx::sign(self.chain, body, &self.key);
        match self.consortium.settle(&tx, self.home, &self.policy).await {
            Ok(_) | Err(ClientError::Refused { code: Code::AlreadyExists }) => {}
            Err(error) => return Err(error.code()),
        }
        tracing::info!("everything of a patient was forgotten by their order, and it is signed");
        self.registry.signed(name, mark.order).map_err(|error| error.code())
    }
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
