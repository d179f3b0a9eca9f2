//! Gathering segments: for each opened epoch, segment 0, 1, 2 … until n - f stores say there is no
//! next one. The stores that hold plain data fragments are asked first, the others when one of
//! those is silent, wrong or has nothing.
//!
//! An anchored segment was held by n - f stores when they signed, of which f may lie: "no such
//! segment" from n - f stores means that none was anchored there. What is found but not anchored, a
//! batch under way, is left out. What is anchored and cannot be rebuilt is counted as missing, never
//! passed over in silence.

use crate::ask::{Answer, AskId, Silence, Told, What};
use crate::error::{ClientError, Fault};
use crate::read::ReadPlan;
use crate::read_keys::{Access, Opened};
use rand_core::CryptoRng;
use salus_clinical::Sample;
use salus_fragment::{CheckedFragment, Fragment, OpeningEpoch, Quorum, check, open};
use salus_proof::receipt::verify_leaves;
use salus_proof::{Proven, Verified, batch, state};
use salus_wire::ids::{FragmentIndex, Locator, MemberIndex, PartyId, SegmentIndex, TimeMs};
use salus_wire::manifest::{Geometry, Manifest};
use salus_wire::receipt::Leaf;
use salus_wire::rpc::{BatchPlace, Fetch, FetchTerms, Fetched, fetch_message};
use salus_wire::{Code, Scope, StateKey, StateProof, namespaces};
use std::collections::{BTreeMap, BTreeSet};

/// Segments asked for at once, per epoch.
const WINDOW: u32 = 8;
/// Segments of one read; a longer history is read in shorter spans.
const SEGMENTS_MAX: usize = 65_536;

/// What a receipt of one reading is made of, beside the state proof.
#[derive(Clone)]
pub struct Evidence {
    /// The reading.
    pub leaf: Leaf,
    /// Its salt.
    pub salt: [u8; 32],
    /// Its index in the segment.
    pub index: u32,
    /// The segment it came from, in [`SegmentEvidence`] order.
    pub segment: std::sync::Arc<SegmentEvidence>,
}

/// What all readings of one segment share.
pub struct SegmentEvidence {
    /// The manifest.
    pub manifest: Manifest,
    /// Its place in its batch.
    pub place: BatchPlace,
    /// The salted digests of all leaves, in order.
    pub leaves: Vec<salus_crypto::digest::Digest>,
}

pub(crate) struct SegmentGathering {
    access: Access,
    epochs: Vec<EpochRead>,
    missing: usize,
    wanted: BTreeMap<Locator, Wanted>,
    asked: BTreeMap<AskId, Locator>,
    opened: Vec<OpenedSegment>,
    /// Segments that could not be rebuilt: the places that stores named for each, if any did.
    unopened: Vec<Vec<BatchPlace>>,
    /// Segments that contradict themselves: their writer's fault if they are anchored, else nothing.
    accused: Vec<(Manifest, BatchPlace)>,
    faults: Vec<Fault>,
    failed: Option<ClientError>,
    geometry: Geometry,
    quorum: usize,
    writer: PartyId,
}

struct EpochRead {
    key: OpeningEpoch,
    next: u32,
    /// The lowest index known to be absent.
    end: Option<u32>,
}

struct Wanted {
    epoch: usize,
    index: u32,
    asked: BTreeSet<MemberIndex>,
    absent: BTreeSet<MemberIndex>,
    failed: BTreeSet<MemberIndex>,
    /// Stores that may still answer, and that others are asked beside.
    slow: BTreeSet<MemberIndex>,
    /// Whether what was found contradicts itself.
    accused: bool,
    /// Fragments by the manifest and place that came with them. Stores that lie, of whom there are
    /// at most f < k, may agree on a manifest of their own but never have k fragments of it.
    found: Vec<Found>,
}

struct Found {
    manifest: Manifest,
    place: BatchPlace,
    good: Vec<CheckedFragment>,
}

struct OpenedSegment {
    manifest: Manifest,
    place: BatchPlace,
    leaves: Vec<([u8; 32], Leaf)>,
}

impl SegmentGathering {
    pub(crate) fn new(plan: &ReadPlan, opened: Opened) -> Self {
        let epochs = opened.epochs.into_iter().map(|key| EpochRead { key, next: 0, end: None }).collect();
        Self {
            access: opened.access,
            epochs,
            missing: opened.missing,
            wanted: BTreeMap::new(),
            asked: BTreeMap::new(),
            opened: Vec::new(),
            unopened: Vec::new(),
            accused: Vec::new(),
            faults: Vec::new(),
            failed: None,
            geometry: Geometry::for_faults(plan.faults),
            quorum: usize::from(plan.faults.quorum()),
            writer: plan.grant.grant.writer,
        }
    }

    pub(crate) fn epochs_missing(&self) -> usize {
        self.missing
    }

    pub(crate) fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    pub(crate) fn asked(&mut self, id: AskId, locator: Locator) {
        self.asked.insert(id, locator);
    }

    /// Whether every segment was opened or one cannot be.
    pub(crate) fn is_done(&self) -> bool {
        self.failed.is_some() || (self.wanted.is_empty() && self.epochs.iter().all(EpochRead::is_read))
    }

    /// The state keys that prove every segment anchored, and that the state proven is not from
    /// before the access.
    pub(crate) fn anchors(&mut self) -> Result<Vec<StateKey>, ClientError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let opened = self.opened.iter().map(|segment| &segment.place);
        let accused = self.accused.iter().map(|(_, place)| place);
        let places = opened.chain(self.unopened.iter().flatten()).chain(accused);
        let mut keys: BTreeSet<StateKey> = places.map(anchor_key).collect();
        keys.insert(StateKey::Access(self.access.tag));
        if keys.len() > salus_wire::limits::STATE_KEYS_MAX {
            return Err(ClientError::BeyondGrant);
        }
        Ok(keys.into_iter().collect())
    }

    /// What to ask now: new segments within the window, and more stores for those that need them.
    pub(crate) fn asks(&mut self, plan: &ReadPlan, now: TimeMs) -> Vec<(MemberIndex, What)> {
        if self.failed.is_some() {
            return Vec::new();
        }
        self.widen();
        let mut asks = Vec::new();
        for (locator, wanted) in &mut self.wanted {
            for store in wanted.stores_to_ask(self.geometry, self.quorum) {
                wanted.asked.insert(store);
                let terms = FetchTerms { store, access: self.access.tag, locator: *locator, sent: now };
                let message = fetch_message(plan.chain, &terms);
                let signature = self.access.one_time.sign(namespaces::FETCH, &message);
                asks.push((store, What::Fetch(Fetch { terms, signature })));
            }
        }
        asks
    }

    /// Takes one store's answer.
    pub(crate) fn told(&mut self, plan: &ReadPlan, told: Told) {
        if told.what.as_ref().is_err_and(|silence| *silence == Silence::Slow) {
            return self.slow(&told);
        }
        let Some(locator) = self.asked.remove(&told.id) else { return };
        let Some(mut wanted) = self.wanted.remove(&locator) else { return };
        wanted.slow.remove(&told.from);
        match told.what {
            Ok(Answer::Fetched(fetched)) => self.fragment(told.from, &mut wanted, *fetched, locator),
            Err(Silence::Refused(refusal)) if refusal.code == Code::NoSuchSegment => {
                wanted.absent.insert(told.from);
            }
            Err(Silence::Refused(refusal)) => self.fault(&mut wanted, told.from, refusal.code),
            _ => self.fault(&mut wanted, told.from, Code::Unreachable),
        }
        self.settle(plan, locator, wanted);
    }

    fn slow(&mut self, told: &Told) {
        let wanted = self.asked.get(&told.id).and_then(|locator| self.wanted.get_mut(locator));
        if let Some(wanted) = wanted {
            wanted.slow.insert(told.from);
        }
    }

    fn fragment(&mut self, from: MemberIndex, wanted: &mut Wanted, fetched: Fetched, locator: Locator) {
        let Fetched { manifest, index, fragment, place } = fetched;
        let expected = FragmentIndex::new(from.get());
        let sound = index == expected
            && manifest.locator == locator
            && manifest.geometry == self.geometry
            && place.gateway == self.writer;
        if !sound {
            return self.fault(wanted, from, Code::BadFragment);
        }
        match check(&manifest, index, Fragment::from_bytes(fragment.into_vec())) {
            Ok(checked) => wanted.keep(manifest, place, checked),
            Err(_) => self.fault(wanted, from, Code::BadFragment),
        }
    }

    fn fault(&mut self, wanted: &mut Wanted, member: MemberIndex, code: Code) {
        wanted.failed.insert(member);
        let fault = Fault { member, code, detail: "fetch of a fragment".to_owned() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Opens a segment when it can be, closes the epoch when there is none, else keeps waiting.
    fn settle(&mut self, plan: &ReadPlan, locator: Locator, mut wanted: Wanted) {
        let data = self.geometry.data();
        while let Some(whole) = wanted.take_whole(data) {
            match self.open(&mut wanted, whole) {
                Ok(()) => return,
                Err(contradiction) => {
                    self.accused.push(*contradiction);
                    wanted.accused = true;
                }
            }
        }
        let ended = self.epochs.get(wanted.epoch).and_then(|epoch| epoch.end);
        let beyond_end = wanted.found.is_empty() && ended.is_some_and(|end| wanted.index >= end);
        if wanted.absent.len() >= self.quorum || beyond_end {
            return self.close(wanted.epoch, wanted.index);
        }
        let answered = wanted.absent.len().saturating_add(wanted.failed.len()).saturating_add(wanted.good());
        if answered >= usize::from(plan.faults.members()) {
            return self.give_up(wanted);
        }
        self.wanted.insert(locator, wanted);
    }

    /// Nobody is left to ask. Without any trace of a segment there may be none, or not: whichever,
    /// the walk of this epoch ends here.
    fn give_up(&mut self, wanted: Wanted) {
        if wanted.found.is_empty() {
            self.close(wanted.epoch, wanted.index);
            // Whether it is missing shows when it is held against its anchor.
            if wanted.accused {
                return;
            }
        }
        self.unopened.push(wanted.found.into_iter().map(|found| found.place).collect());
    }

    fn close(&mut self, epoch: usize, index: u32) {
        if let Some(epoch) = self.epochs.get_mut(epoch) {
            epoch.end = Some(epoch.end.map_or(index, |end| end.min(index)));
        }
    }

    /// Opens a segment of which there are enough fragments. One that cannot be opened is handed back,
    /// and those who hold it have nothing else.
    fn open(&mut self, wanted: &mut Wanted, whole: Found) -> Result<(), Box<(Manifest, BatchPlace)>> {
        let Found { manifest, place, good } = whole;
        let Some(epoch) = self.epochs.get(wanted.epoch) else { return Ok(()) };
        let holders: Vec<MemberIndex> = good.iter().map(|one| MemberIndex::new(one.index().get())).collect();
        let Some(leaves) = opened_leaves(&epoch.key, SegmentIndex::new(wanted.index), &manifest, good) else {
            wanted.failed.extend(holders);
            return Err(Box::new((manifest, place)));
        };
        for other in std::mem::take(&mut wanted.found).into_iter().flat_map(|found| found.good) {
            self.fault(wanted, MemberIndex::new(other.index().get()), Code::BadFragment);
        }
        self.opened.push(OpenedSegment { manifest, place, leaves });
        if self.opened.len() > SEGMENTS_MAX {
            self.failed = Some(ClientError::BeyondGrant);
        }
        Ok(())
    }

    fn widen(&mut self) {
        for (number, epoch) in self.epochs.iter_mut().enumerate() {
            let pending = self.wanted.values().filter(|wanted| wanted.epoch == number).count();
            let room = usize::try_from(WINDOW).unwrap_or(1).saturating_sub(pending);
            for _ in 0..room {
                if epoch.end.is_some() {
                    break;
                }
                let locator = epoch.key.locator(SegmentIndex::new(epoch.next));
                self.wanted.insert(locator, Wanted::new(number, epoch.next));
                epoch.next = epoch.next.saturating_add(1);
            }
        }
    }

    /// Checks a state proof against the policy, every manifest against its anchor, and every
    /// reading against its manifest. A writer is at fault only for what is anchored: anything else
    /// may be the word of stores.
    pub(crate) fn verify(
        &self,
        plan: &ReadPlan,
        proof: &StateProof,
        rng: &mut impl CryptoRng,
    ) -> Result<Gathered, Code> {
        let state = state::verify(&plan.policy, proof).map_err(|_| Code::ProofInvalid)?;
        // A state that holds the access holds every anchor that was final before it.
        if !matches!(state.get(&StateKey::Access(self.access.tag)), Proven::Present(_)) {
            return Err(Code::NotReady);
        }
        let is_anchored = |(manifest, place): &(Manifest, BatchPlace)| {
            batch::verify(&state, place, manifest.clone()).is_ok()
        };
        if self.accused.iter().any(is_anchored) {
            return Err(Code::WriterFault);
        }
        let mut readings = BTreeMap::new();
        for segment in &self.opened {
            if matches!(state.get(&anchor_key(&segment.place)), Proven::Absent) {
                continue;
            }
            let anchored = batch::verify(&state, &segment.place, segment.manifest.clone())
                .map_err(|_| Code::ProofInvalid)?;
            let samples =
                verify_leaves::<Sample>(&anchored, &segment.leaves, rng).map_err(|_| Code::WriterFault)?;
            for (verified, evidence) in samples.into_iter().zip(segment.evidence()) {
                let sample = verified.get();
                let (reading, effective) = (sample.reading(), sample.reading().effective());
                let Scope { codes, span, .. } = &plan.scope;
                if span.contains(effective) && codes.contains(reading.kind().code()) {
                    let key = (effective, sample.device(), sample.sequence());
                    readings.entry(key).or_insert((verified, evidence));
                }
            }
        }
        let is_kept = |place: &BatchPlace| !matches!(state.get(&anchor_key(place)), Proven::Absent);
        let is_lost = |places: &[BatchPlace]| places.is_empty() || places.iter().any(is_kept);
        let segments_missing = self.unopened.iter().filter(|places| is_lost(places)).count();
        Ok(Gathered { readings: readings.into_values().collect(), segments_missing })
    }
}

/// What a read verified.
pub(crate) struct Gathered {
    pub(crate) readings: Vec<(Verified<Sample>, Evidence)>,
    /// Segments that are anchored, or may be, and could not be rebuilt.
    pub(crate) segments_missing: usize,
}

fn anchor_key(place: &BatchPlace) -> StateKey {
    StateKey::Anchor(place.gateway, place.batch)
}

impl EpochRead {
    fn is_read(&self) -> bool {
        self.end.is_some()
    }
}

impl Wanted {
    fn new(epoch: usize, index: u32) -> Self {
        Self {
            epoch,
            index,
            asked: BTreeSet::new(),
            absent: BTreeSet::new(),
            failed: BTreeSet::new(),
            slow: BTreeSet::new(),
            accused: false,
            found: Vec::new(),
        }
    }

    /// The first of those found of which there are enough fragments.
    fn take_whole(&mut self, data: usize) -> Option<Found> {
        let whole = self.found.iter().position(|found| found.good.len() >= data)?;
        Some(self.found.swap_remove(whole))
    }

    fn keep(&mut self, manifest: Manifest, place: BatchPlace, checked: CheckedFragment) {
        let same = |found: &&mut Found| found.manifest == manifest && found.place == place;
        match self.found.iter_mut().find(same) {
            Some(found) => found.good.push(checked),
            None => self.found.push(Found { manifest, place, good: vec![checked] }),
        }
    }

    /// Fragments that are what their manifest says, of whatever manifest.
    fn good(&self) -> usize {
        self.found.iter().map(|found| found.good.len()).sum()
    }

    /// Those among them that do not go with the most.
    fn outvoted(&self) -> usize {
        let most = self.found.iter().map(|found| found.good.len()).max().unwrap_or(0);
        self.good().saturating_sub(most)
    }

    /// The first k stores; then one more for each that failed, is slow or disagrees; then all, once one said it has
    /// nothing, since only n - f such answers end an epoch.
    fn stores_to_ask(&self, geometry: Geometry, quorum: usize) -> Vec<MemberIndex> {
        let total = geometry.total();
        let out = self.failed.len().saturating_add(self.slow.len());
        let breadth = if self.absent.is_empty() {
            geometry.data().saturating_add(out).saturating_add(self.outvoted())
        } else {
            quorum.saturating_add(out).saturating_add(self.good())
        };
        let stores = (0..u16::try_from(breadth.min(total)).unwrap_or(0)).map(MemberIndex::new);
        stores.filter(|store| !self.asked.contains(store)).collect()
    }
}

impl OpenedSegment {
    fn evidence(&self) -> Vec<Evidence> {
        let leaves = self.leaves.iter().map(|(salt, leaf)| leaf.digest(salt)).collect();
        let shared = SegmentEvidence { manifest: self.manifest.clone(), place: self.place.clone(), leaves };
        let segment = std::sync::Arc::new(shared);
        let numbered = (0_u32..).zip(&self.leaves);
        numbered
            .map(|(index, (salt, leaf))| Evidence {
                leaf: leaf.clone(),
                salt: *salt,
                index,
                segment: segment.clone(),
            })
            .collect()
    }
}

/// The leaves of a segment, each with its salt; nothing when it contradicts itself.
fn opened_leaves(
    epoch: &OpeningEpoch,
    index: SegmentIndex,
    manifest: &Manifest,
    good: Vec<CheckedFragment>,
) -> Option<Vec<([u8; 32], Leaf)>> {
    let quorum = Quorum::gather(manifest, good).ok()?;
    let key = epoch.segment_key(index, manifest).ok()?;
    let segment = open(manifest, quorum, key).ok()?;
    let leaves = salus_clinical::segment::unpack(segment.plaintext()).ok()?;
    Some((0_u32..).zip(leaves).map(|(index, leaf)| (segment.salt(index), leaf)).collect())
}
