//! The devices that this gateway takes frames from: one sealed file each, written by `salus device
//! enrol`, read again when it changes.
//!
//! What the operator put here is believed at once, so that a gateway that starts while the ledger
//! is out of reach still takes frames; what the ledger is proven to say overrules it. The names of
//! the files reveal no device.

use crate::error::GatewayError;
use crate::forget::{self, Mark, Stage};
use borsh::{BorshDeserialize, BorshSerialize};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rand_core::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_crypto::sign::PublicKey;
use salus_store::queue::DEVICES_MAX;
use salus_wire::tx::{Assignment, Enrolment, assignment_commitment, enrolment_commitment};
use salus_wire::{Code, DataClass, DeviceId, GrantTag, List, PartyId, TimeMs, decode, encode};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Assignments of one device, past ones included.
pub const ASSIGNMENTS_MAX: usize = 64;
/// Grant tags of one patient's chain.
pub const GRANT_TAGS_MAX: usize = 1_024;
/// Bytes of one device's entry.
pub(crate) const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;

const CONTEXT: &[u8] = b"salus/registry/v1";
const SUFFIX: &str = "device";

/// A device as its operator enrolled it, commitments opened.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Enrolled {
    /// What the enrolment on the ledger commits to.
    pub enrolment: Enrolment,
    /// To whom the device was assigned, and when.
    pub assignments: List<Assigned, ASSIGNMENTS_MAX>,
}

/// One assignment of a device.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Assigned {
    /// What the assignment on the ledger commits to.
    pub assignment: Assignment,
    /// Every tag of the patient's grant chain, so that the gateway hears of a withdrawal. Tags open
    /// nothing.
    pub grant_tags: List<GrantTag, GRANT_TAGS_MAX>,
}

/// What the ledger is proven to say of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It stands.
    Active,
    /// It was revoked.
    Revoked,
    /// It is not there.
    Absent,
}

/// Keeps a device's entry in `folder`, made if absent, in place of an earlier one. A running gateway
/// takes note within a second or two.
///
/// # Errors
/// [`GatewayError::Unreadable`], or [`GatewayError::TooLarge`].
pub fn add(
    folder: &Path,
    key: &MachineKey,
    device: &Enrolled,
    rng: &mut impl CryptoRng,
) -> Result<(), GatewayError> {
    let plain = encode(device);
    if plain.len() > ENTRY_BYTES_MAX {
        return Err(GatewayError::TooLarge);
    }
    let path = folder.join(file_name(key, device.enrolment.device));
    sealed_file(&path, &key.seal(CONTEXT, &plain, rng))
}

/// Writes a file in place of an earlier one, so that a crash leaves the one or the other.
pub(crate) fn sealed_file(path: &Path, sealed: &[u8]) -> Result<(), GatewayError> {
    let failed = |source| GatewayError::Unreadable { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(failed)?;
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft).map_err(failed)?;
    file.write_all(sealed).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Every entry of a registry.
pub(crate) fn all(folder: &Path, key: &MachineKey) -> Result<Vec<Enrolled>, GatewayError> {
    let mut all = Vec::new();
    for path in stamps(folder)?.keys().filter(|path| is(path, SUFFIX)) {
        match read(path, key) {
            Ok(device) => all.push(device),
            // It was removed meanwhile.
            Err(GatewayError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Removes the entry of a device, which may be gone already.
pub(crate) fn remove(folder: &Path, key: &MachineKey, device: DeviceId) -> Result<(), GatewayError> {
    let path = folder.join(file_name(key, device));
    let removed = forget::remove(&path).and_then(|()| forget::sync(folder));
    removed.map_err(|source| GatewayError::Unreadable { path, source })
}

fn is(path: &Path, suffix: &str) -> bool {
    path.extension().is_some_and(|extension| extension == suffix)
}

/// The files of a registry that mean something, and when each was written.
fn stamps(folder: &Path) -> Result<BTreeMap<PathBuf, Stamp>, GatewayError> {
    let failed = |source| GatewayError::Unreadable { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !is(&path, SUFFIX) && !is(&path, forget::SUFFIX) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) => {
                let modified = (metadata.mtime(), metadata.mtime_nsec());
                stamps.insert(path, Stamp { inode: metadata.ino(), modified });
            }
            // It was removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(stamps)
}

/// The marks of erased chains, by name. One that does not open still closes its chain.
fn marks(stamps: &BTreeMap<PathBuf, Stamp>, key: &MachineKey) -> (BTreeSet<String>, BTreeMap<String, Mark>) {
    let (mut erased, mut marks) = (BTreeSet::new(), BTreeMap::new());
    for path in stamps.keys().filter(|path| is(path, forget::SUFFIX)) {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let mark = fs::read(path).ok().and_then(|sealed| Mark::open(key, &sealed));
        marks.extend(mark.map(|mark| (name.clone(), mark)));
        erased.insert(name);
    }
    (erased, marks)
}

/// The entry of one device, for adding an assignment to it.
///
/// # Errors
/// [`GatewayError::Unreadable`] when there is none, or it does not open.
pub fn get(folder: &Path, key: &MachineKey, device: DeviceId) -> Result<Enrolled, GatewayError> {
    read(&folder.join(file_name(key, device)), key)
}

fn file_name(key: &MachineKey, device: DeviceId) -> String {
    format!("{}.{SUFFIX}", key.label(&[b"device", device.as_bytes()]))
}

fn read(path: &Path, key: &MachineKey) -> Result<Enrolled, GatewayError> {
    let failed = |source| GatewayError::Unreadable { path: path.to_owned(), source };
    let damaged = || failed(std::io::ErrorKind::InvalidData.into());
    let sealed = fs::read(path).map_err(failed)?;
    let plain = key.open(CONTEXT, &sealed).map_err(|_| damaged())?;
    decode(&plain, ENTRY_BYTES_MAX).map_err(|_| damaged())
}

/// What changes when a file is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
}

#[derive(Default)]
struct Known {
    stamps: BTreeMap<PathBuf, Stamp>,
    devices: HashMap<DeviceId, Arc<Enrolled>>,
    standings: HashMap<Digest, Standing>,
    /// The names of erased chains.
    erased: BTreeSet<String>,
    marks: BTreeMap<String, Mark>,
    /// Erased chains of which the pipeline has not been told.
    news: Vec<ChainAnchor>,
    /// Erased chains that some entry named while this process ran: nothing more of theirs is taken.
    barred: BTreeSet<ChainAnchor>,
}

/// The registry of a running gateway.
pub(crate) struct Registry {
    folder: PathBuf,
    key: Arc<MachineKey>,
    party: PartyId,
    known: RwLock<Known>,
}

/// Where a device's readings of one time belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: PublicKey,
    pub(crate) grants: ChainAnchor,
    /// The class of all its readings, where that does not follow from their kind.
    pub(crate) sensitivity: Option<DataClass>,
}

impl Registry {
    /// An empty registry over `folder`; [`Registry::refresh`] reads it.
    pub(crate) fn new(folder: PathBuf, key: Arc<MachineKey>, party: PartyId) -> Self {
        Self { folder, key, party, known: RwLock::default() }
    }

    /// Reads what changed, and says whether anything did. Blocks. An entry that cannot be read is
    /// left out, and logged.
    pub(crate) fn refresh(&self) -> Result<bool, GatewayError> {
        let stamps = stamps(&self.folder)?;
        if self.known.read().unwrap_or_else(PoisonError::into_inner).stamps == stamps {
            return Ok(false);
        }
        let mut devices = HashMap::new();
        for path in stamps.keys().filter(|path| is(path, SUFFIX)).take(DEVICES_MAX) {
            match read(path, &self.key) {
                Ok(device) => {
                    devices.insert(device.enrolment.device, Arc::new(device));
                }
                Err(error) => tracing::warn!(%error, "an entry of the registry is left out"),
            }
        }
        let (erased, marks) = marks(&stamps, &self.key);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let held = known.devices.values().chain(devices.values());
        let held = held.flat_map(|device| device.assignments.iter());
        let held: BTreeSet<ChainAnchor> = held.map(|assigned| assigned.assignment.grants).collect();
        let gone = |grants: &ChainAnchor| erased.contains(&forget::label(&self.key, grants).to_string());
        let news: Vec<ChainAnchor> =
            held.into_iter().filter(gone).filter(|grants| !known.barred.contains(grants)).collect();
        known.barred.extend(news.iter().copied());
        known.news.extend(news);
        known.stamps = stamps;
        known.devices = devices;
        known.erased = erased;
        known.marks = marks;
        Ok(true)
    }

    /// Chains that were erased since this was asked last.
    pub(crate) fn newly_erased(&self) -> Vec<ChainAnchor> {
        std::mem::take(&mut self.known.write().unwrap_or_else(PoisonError::into_inner).news)
    }

    /// Those of these chains that are erased.
    pub(crate) fn erased(&self, chains: impl Iterator<Item = ChainAnchor>) -> Vec<ChainAnchor> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.erased.is_empty() {
            return Vec::new();
        }
        let chains: BTreeSet<ChainAnchor> = chains.collect();
        let gone =
            |grants: &ChainAnchor| known.erased.contains(&forget::label(&self.key, grants).to_string());
        chains.into_iter().filter(gone).collect()
    }

    /// Marks under which everything but the queue is forgotten, and of which no receipt is known to be final.
    pub(crate) fn ready(&self) -> Vec<(Digest, Mark)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let open = known.marks.iter().filter(|(_, mark)| mark.stage == Stage::Ready);
        open.filter_map(|(name, mark)| Some((Digest::from_hex(name).ok()?, mark.clone()))).collect()
    }

    /// The receipt for a mark is final: it needs no device any more, unless more was forgotten meanwhile. Blocks.
    pub(crate) fn signed(&self, name: Digest, mark: &Mark) -> Result<(), GatewayError> {
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| GatewayError::Entropy)?;
        let _turn = forget::turn(&self.folder)?;
        if forget::marked(&self.folder, &self.key, name)?.as_ref() != Some(mark) {
            return Ok(());
        }
        let signed = Mark { devices: List::empty(), stage: Stage::Signed, ..mark.clone() };
        forget::mark(&self.folder, &self.key, name, &signed, &mut rng)?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).marks.insert(name.to_string(), signed);
        Ok(())
    }

    /// Whether a chain is erased, of those that some entry named while this process ran.
    pub(crate) fn bars(&self, grants: &ChainAnchor) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).barred.contains(grants)
    }

    /// Whether a device ever was an erased patient's: what it sends may be theirs, and no refused frame of it is
    /// kept.
    pub(crate) fn keeps_nothing_of(&self, device: DeviceId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.marks.is_empty() {
            return false;
        }
        let name = forget::device_name(&self.key, device);
        known.marks.values().any(|mark| mark.refused.contains(&name))
    }

    /// Where the readings of `device` at time `at` belong, or why they are refused.
    pub(crate) fn place(&self, device: DeviceId, at: TimeMs) -> Result<Place, Code> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let enrolled = known.devices.get(&device).ok_or(Code::DeviceUnknown)?;
        let enrolment = enrolment_commitment(&enrolled.enrolment);
        match known.standings.get(&enrolment) {
            Some(Standing::Revoked) => return Err(Code::DeviceRevoked),
            Some(Standing::Absent) => return Err(Code::DeviceUnknown),
            Some(Standing::Active) | None => {}
        }
        let holds = |assigned: &&Assigned| {
            let Assignment { writer, validity, enrolment: of, .. } = &assigned.assignment;
            let standing = known.standings.get(&assignment_commitment(&assigned.assignment));
            *writer == self.party
                && !known.barred.contains(&assigned.assignment.grants)
                && *of == enrolment
                && validity.contains(at)
                && matches!(standing, Some(Standing::Active) | None)
        };
        // The last assignment is the one in force where two overlap.
        let assigned = enrolled.assignments.iter().rev().find(holds).ok_or(Code::DeviceUnassigned)?;
        let Assignment { grants, sensitivity, .. } = assigned.assignment;
        Ok(Place { key: enrolled.enrolment.key, grants, sensitivity })
    }

    /// The grant chain that a tag belongs to, if it is of a patient here.
    pub(crate) fn chain_of(&self, tag: &GrantTag) -> Option<ChainAnchor> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let assigned = known.devices.values().flat_map(|device| device.assignments.iter());
        let mut holding = assigned.filter(|assigned| assigned.grant_tags.contains(tag));
        holding.next().map(|assigned| assigned.assignment.grants)
    }

    /// Commitments of which the ledger's word is not known or not final: enrolments, then
    /// assignments, of at most `most` devices.
    pub(crate) fn unproven(&self, most: usize) -> (Vec<Digest>, Vec<Digest>) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let open =
            |commitment: &Digest| matches!(known.standings.get(commitment), None | Some(Standing::Absent));
        let enrolments = known.devices.values().map(|device| enrolment_commitment(&device.enrolment));
        let assignments = known.devices.values().flat_map(|device| {
            device.assignments.iter().map(|assigned| assignment_commitment(&assigned.assignment))
        });
        (enrolments.filter(open).take(most).collect(), assignments.filter(open).take(most).collect())
    }

    /// Takes the ledger's proven word.
    pub(crate) fn learn(&self, commitment: Digest, standing: Standing) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // What is revoked stays so: the ledger never takes it back, an older view might.
        if known.standings.get(&commitment) != Some(&Standing::Revoked) {
            known.standings.insert(commitment, standing);
        }
    }

    /// Whether a commitment is of a device here.
    pub(crate) fn holds(&self, enrolment: &Digest) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.devices.values().any(|device| enrolment_commitment(&device.enrolment) == *enrolment)
    }

    /// How many devices are enrolled.
    pub(crate) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).devices.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::Secret;
    use salus_crypto::chain::ChainSeed;
    use salus_crypto::sign::SigningKey;
    use salus_wire::TimeSpan;

    pub(crate) const PARTY: PartyId = PartyId::new([3; 16]);

    pub(crate) fn machine_key() -> Arc<MachineKey> {
        Arc::new(MachineKey::new(Secret::from_bytes([5; 32])))
    }

    pub(crate) fn device_key(n: u8) -> SigningKey {
        SigningKey::from_seed(Secret::from_bytes([n; 32]))
    }

    fn chain(n: u8) -> ChainSeed {
        ChainSeed::new(Secret::from_bytes([n; 32]))
    }

    /// Device `n`, assigned to patient `patient` for times in `span`.
    pub(crate) fn enrolled(n: u8, patient: u8, span: (u64, u64)) -> Enrolled {
        let key = device_key(n).public_key();
        let enrolment = Enrolment { salt: [n; 32], device: DeviceId::new([n; 16]), key };
        let assignment = Assignment {
            salt: [n; 32],
            enrolment: enrolment_commitment(&enrolment),
            grants: chain(patient).anchor(),
            writer: PARTY,
            validity: TimeSpan::new(TimeMs::new(span.0), TimeMs::new(span.1)).unwrap(),
            sensitivity: None,
        };
        let tags = chain(patient).tags().into_iter().map(GrantTag).collect();
        let grant_tags = List::new(tags).unwrap();
        let assignments = List::new(vec![Assigned { assignment, grant_tags }]).unwrap();
        Enrolled { enrolment, assignments }
    }

    /// A registry that holds `devices`, and the folder it lives in.
    pub(crate) fn registry(devices: &[Enrolled]) -> (Registry, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(folder.path().to_owned(), machine_key(), PARTY);
        for device in devices {
            add(folder.path(), &machine_key(), device, &mut StdRng::seed_from_u64(1)).unwrap();
        }
        registry.refresh().unwrap();
        (registry, folder)
    }

    const DEVICE: DeviceId = DeviceId::new([1; 16]);
    const NOW: TimeMs = TimeMs::new(500);

    #[test]
    fn an_entry_is_found_until_the_ledger_says_otherwise() {
        let entry = enrolled(1, 9, (0, 1_000));
        let (registry, _folder) = registry(std::slice::from_ref(&entry));
        let place = registry.place(DEVICE, NOW).unwrap();
        assert_eq!((place.key, place.grants), (device_key(1).public_key(), chain(9).anchor()));
        assert_eq!(registry.place(DeviceId::new([2; 16]), NOW), Err(Code::DeviceUnknown));
        assert_eq!(registry.place(DEVICE, TimeMs::new(1_000)), Err(Code::DeviceUnassigned));
        let commitment = enrolment_commitment(&entry.enrolment);
        assert_eq!(registry.unproven(10).0, [commitment]);
        registry.learn(commitment, Standing::Absent);
        assert_eq!(registry.place(DEVICE, NOW), Err(Code::DeviceUnknown));
        registry.learn(commitment, Standing::Active);
        assert_eq!(registry.place(DEVICE, NOW), Ok(place));
        assert!(registry.unproven(10).0.is_empty());
        registry.learn(commitment, Standing::Revoked);
        registry.learn(commitment, Standing::Active);
        assert_eq!(registry.place(DEVICE, NOW), Err(Code::DeviceRevoked));
    }

    #[test]
    fn assignments_of_another_gateway_or_device_or_withdrawn_ones_do_not_count() {
        let good = enrolled(1, 9, (0, 1_000));
        let changed = |change: fn(&mut Assignment)| {
            let mut entry = good.clone();
            let mut assigned = entry.assignments.into_vec();
            change(&mut assigned[0].assignment);
            entry.assignments = List::new(assigned).unwrap();
            registry(&[entry])
        };
        for (registry, _folder) in [
            changed(|assignment| assignment.writer = PartyId::new([4; 16])),
            changed(|assignment| assignment.enrolment = Digest::ZERO),
        ] {
            assert_eq!(registry.place(DEVICE, NOW), Err(Code::DeviceUnassigned));
        }
        let (registry, _folder) = registry(std::slice::from_ref(&good));
        registry.learn(assignment_commitment(&good.assignments[0].assignment), Standing::Revoked);
        assert_eq!(registry.place(DEVICE, NOW), Err(Code::DeviceUnassigned));
    }

    #[test]
    fn a_changed_entry_is_read_again_and_a_spoilt_one_left_out() {
        let (registry, folder) = registry(&[enrolled(1, 9, (0, 1_000)), enrolled(2, 9, (0, 1_000))]);
        assert!(!registry.refresh().unwrap());
        add(folder.path(), &machine_key(), &enrolled(1, 8, (0, 2_000)), &mut StdRng::seed_from_u64(2))
            .unwrap();
        assert!(registry.refresh().unwrap());
        assert_eq!(registry.place(DEVICE, TimeMs::new(1_500)).unwrap().grants, chain(8).anchor());
        let name = file_name(&machine_key(), DeviceId::new([2; 16]));
        fs::write(folder.path().join(name), b"spoilt").unwrap();
        assert!(registry.refresh().unwrap());
        assert_eq!(registry.place(DeviceId::new([2; 16]), NOW), Err(Code::DeviceUnknown));
        assert_eq!(registry.len(), 1);
        let entry = get(folder.path(), &machine_key(), DEVICE).unwrap();
        assert_eq!(entry, enrolled(1, 8, (0, 2_000)));
    }

    #[test]
    fn a_tag_names_the_chain_of_a_patient_here() {
        let (registry, _folder) = registry(&[enrolled(1, 9, (0, 1_000))]);
        assert_eq!(registry.chain_of(&GrantTag(chain(9).link(7).tag())), Some(chain(9).anchor()));
        assert_eq!(registry.chain_of(&GrantTag(chain(8).link(7).tag())), None);
        assert!(registry.holds(&enrolment_commitment(&enrolled(1, 9, (0, 1)).enrolment)));
    }

    #[test]
    fn files_reveal_no_device() {
        let (_registry, folder) = registry(&[enrolled(1, 9, (0, 1_000))]);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(16).any(|window| window == [1; 16]));
            assert!(!path.to_string_lossy().contains(&DEVICE.to_string()));
        }
    }
}
