//! INV-1 kept, INV-2 sealed, INV-6 checked, as a reader sees them: what was acknowledged is found, bit for
//! bit and once; no read shows another patient's readings, or bytes that no device signed.
//!
//! A frame may be read a while after it was acknowledged, because it must be anchored first: so it is
//! kept when *some* complete read of everything that began after the acknowledgment showed it,
//! and from then on every such read must. Refuses to know grants.

use super::{PatientNo, ReadOutcome};
use salus_wire::{DeviceId, Sequence};
use std::collections::{BTreeMap, BTreeSet};

type FrameId = (DeviceId, Sequence);

/// Every reading that a device signed.
#[derive(Default)]
pub(crate) struct Kept {
    frames: BTreeMap<FrameId, Frame>,
}

#[derive(Default)]
struct Frame {
    offered: BTreeSet<(PatientNo, Vec<u8>)>,
    acknowledged: Option<u64>,
    shown: Option<u64>,
    kept: bool,
}

impl Kept {
    /// A device signed a reading.
    pub(crate) fn offered(&mut self, patient: PatientNo, device: DeviceId, sequence: Sequence, bytes: &[u8]) {
        let frame = self.frames.entry((device, sequence)).or_default();
        frame.offered.insert((patient, bytes.to_vec()));
    }

    /// A gateway acknowledged it, as event `now`.
    pub(crate) fn acknowledged(
        &mut self,
        device: DeviceId,
        sequence: Sequence,
        now: u64,
    ) -> Result<(), Fault> {
        let Some(frame) = self.frames.get_mut(&(device, sequence)) else {
            return fault("INV-6", format!("acknowledged but never offered: {}", name(&(device, sequence))));
        };
        frame.acknowledged.get_or_insert(now);
        Ok(())
    }

    /// A read of `patient` that began as event `began` gave this, as event `now`.
    pub(crate) fn read(
        &mut self,
        patient: PatientNo,
        began: u64,
        now: u64,
        outcome: &ReadOutcome,
    ) -> Result<(), Fault> {
        let mut shown = BTreeSet::new();
        for (device, sequence, bytes) in &outcome.frames {
            let id = (*device, *sequence);
            self.genuine(patient, id, bytes)?;
            if !shown.insert(id) {
                return fault("INV-1", format!("shown twice in one read: {}", name(&id)));
            }
        }
        if outcome.everything && outcome.complete {
            self.whole(patient, began, &shown)?;
        }
        for id in &shown {
            if let Some(frame) = self.frames.get_mut(id) {
                frame.shown.get_or_insert(now);
            }
        }
        Ok(())
    }

    /// An error if an acknowledged frame was not kept.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let mut acknowledged = self.frames.iter().filter(|(_, frame)| frame.acknowledged.is_some());
        match acknowledged.find(|(_, frame)| !frame.kept) {
            Some((id, _)) => {
                fault("INV-1", format!("in no complete read since it was acknowledged: {}", name(id)))
            }
            None => Ok(()),
        }
    }

    /// How many acknowledged frames a complete read has shown so far.
    pub(crate) fn kept_count(&self) -> u64 {
        count(self.frames.values().filter(|frame| frame.kept).count())
    }

    /// How many acknowledged frames of the patient no complete read has shown yet.
    pub(crate) fn owed(&self, patient: PatientNo) -> u64 {
        let mine = |frame: &&Frame| frame.offered.iter().any(|(whose, _)| *whose == patient);
        let owed = |frame: &&Frame| frame.acknowledged.is_some() && !frame.kept;
        count(self.frames.values().filter(mine).filter(owed).count())
    }

    /// How many frames were acknowledged.
    pub(crate) fn acknowledged_count(&self) -> u64 {
        count(self.frames.values().filter(|frame| frame.acknowledged.is_some()).count())
    }

    fn genuine(&self, patient: PatientNo, id: FrameId, bytes: &[u8]) -> Result<(), Fault> {
        let offered = self.frames.get(&id).map(|frame| &frame.offered);
        let mut same = offered.into_iter().flatten().filter(|(_, signed)| signed == bytes).peekable();
        if same.peek().is_none() {
            return fault("INV-6", format!("read but never signed with these bytes: {}", name(&id)));
        }
        if !same.any(|(whose, _)| *whose == patient) {
            return fault("INV-2", format!("another patient's reading shown to {patient:?}: {}", name(&id)));
        }
        Ok(())
    }

    fn whole(&mut self, patient: PatientNo, began: u64, shown: &BTreeSet<FrameId>) -> Result<(), Fault> {
        for (id, frame) in &mut self.frames {
            if !frame.offered.iter().any(|(whose, _)| *whose == patient) {
                continue;
            }
            let found = shown.contains(id);
            if !found && frame.shown.is_some_and(|at| at < began) {
                return fault("INV-1", format!("shown before, gone from a complete read: {}", name(id)));
            }
            frame.kept |= found && frame.acknowledged.is_some_and(|at| at < began);
        }
        Ok(())
    }
}

/// A promise and how it is broken.
pub(crate) type Fault = (&'static str, String);

/// An error of the promise.
pub(crate) fn fault<T>(promise: &'static str, how: String) -> Result<T, Fault> {
    Err((promise, how))
}

fn name((device, sequence): &FrameId) -> String {
    format!("{device:?} {sequence}")
}

fn count(frames: usize) -> u64 {
    u64::try_from(frames).unwrap_or(u64::MAX)
}
