//! What was seen of each device: enough to answer a repetition, bounded whatever a device sends.
//!
//! It promises never to call a frame a repetition of one that was not kept. It does not know where
//! frames are.

use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::digest::{Namespace, sha256};
use salus_wire::{DeviceId, Sequence};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Error, ErrorKind, Read};

/// Devices that one queue remembers.
pub const DEVICES_MAX: usize = 4_096;
/// Ranges of seen sequences of one device; beyond, the oldest gap counts as seen.
pub const RANGES_MAX: usize = 256;
/// Frames of one device that can be told from others under their sequence.
pub const RECENT_MAX: usize = 128;

const FRAME: Namespace = Namespace::new("salus/queue-frame/v1");

/// What stands for a frame's bytes: half a SHA-256, which nobody can collide without 2^64 work on
/// frames that the same device signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of these bytes.
    pub(super) fn of(frame: &[u8]) -> Self {
        let digest = sha256(FRAME, &[frame]);
        Self(digest.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

/// Whether a frame was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Never.
    New,
    /// Yes, with the same bytes.
    Same,
    /// The sequence was, with other bytes or too long ago to tell.
    Other,
    /// No more devices can be remembered.
    Full,
}

/// What was seen of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct SeenDevice {
    /// First and last sequence of each range, ascending, never touching.
    ranges: BTreeMap<Sequence, Sequence>,
    /// In order of arrival.
    recent: VecDeque<(Sequence, Fingerprint)>,
}

/// What was seen of all devices.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<DeviceId, SeenDevice>);

impl Seen {
    pub(super) fn judge(&self, device: &DeviceId, sequence: Sequence, fingerprint: Fingerprint) -> Verdict {
        match self.0.get(device) {
            Some(seen) => seen.judge(sequence, fingerprint),
            None if self.0.len() < DEVICES_MAX => Verdict::New,
            None => Verdict::Full,
        }
    }

    pub(super) fn note(&mut self, device: DeviceId, sequence: Sequence, fingerprint: Fingerprint) {
        self.0.entry(device).or_default().note(sequence, fingerprint);
    }

    /// Takes over what a checkpoint remembers; it replaces what came before.
    pub(super) fn restore(&mut self, devices: Vec<(DeviceId, SeenDevice)>) {
        self.0 = devices.into_iter().take(DEVICES_MAX).collect();
    }

    /// Forgets that these devices ever sent anything.
    pub(super) fn forget(&mut self, devices: &[DeviceId]) {
        for device in devices {
            self.0.remove(device);
        }
    }

    pub(super) fn to_checkpoint(&self) -> Vec<(DeviceId, SeenDevice)> {
        let mut devices: Vec<_> = self.0.iter().map(|(device, seen)| (*device, seen.clone())).collect();
        devices.sort_by_key(|(device, _)| *device);
        devices
    }
}

impl SeenDevice {
    fn judge(&self, sequence: Sequence, fingerprint: Fingerprint) -> Verdict {
        let within = self.ranges.range(..=sequence).next_back().is_some_and(|(_, last)| sequence <= *last);
        let kept = self.recent.iter().rev().find(|(seen, _)| *seen == sequence);
        match kept {
            _ if !within => Verdict::New,
            Some((_, same)) if *same == fingerprint => Verdict::Same,
            _ => Verdict::Other,
        }
    }

    fn note(&mut self, sequence: Sequence, fingerprint: Fingerprint) {
        self.recent.push_back((sequence, fingerprint));
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        self.cover(sequence);
        if self.ranges.len() > RANGES_MAX {
            self.close_oldest_gap();
        }
    }

    fn cover(&mut self, sequence: Sequence) {
        let (mut first, mut last) = (sequence, sequence);
        if let Some((before, end)) = self.ranges.range(..=sequence).next_back().map(|(a, b)| (*a, *b)) {
            if end >= sequence {
                return;
            }
            if end.next() == Some(sequence) {
                first = before;
            }
        }
        if let Some(end) = sequence.next().and_then(|after| self.ranges.remove(&after)) {
            last = end;
        }
        self.ranges.insert(first, last);
    }

    fn close_oldest_gap(&mut self) {
        if let (Some((first, _)), Some((_, last))) = (self.ranges.pop_first(), self.ranges.pop_first()) {
            self.ranges.insert(first, last);
        }
    }
}

impl BorshDeserialize for SeenDevice {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let ranges = BTreeMap::<Sequence, Sequence>::deserialize_reader(reader)?;
        let recent = VecDeque::<(Sequence, Fingerprint)>::deserialize_reader(reader)?;
        let seen = Self { ranges, recent };
        let ordered =
            seen.ranges.iter().zip(seen.ranges.iter().skip(1)).all(|((_, end), (start, _))| end < start);
        let proper = seen.ranges.iter().all(|(first, last)| first <= last);
        if seen.ranges.len() > RANGES_MAX || seen.recent.len() > RECENT_MAX || !ordered || !proper {
            return Err(Error::new(ErrorKind::InvalidData, "not what a device can have sent"));
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const DEVICE: DeviceId = DeviceId::new([1; 16]);

    fn print(n: u64) -> Fingerprint {
        Fingerprint::of(&n.to_le_bytes())
    }

    #[test]
    fn a_repetition_is_told_from_a_reuse() {
        let mut seen = Seen::default();
        let at = Sequence::new(7);
        assert_eq!(seen.judge(&DEVICE, at, print(1)), Verdict::New);
        seen.note(DEVICE, at, print(1));
        assert_eq!(seen.judge(&DEVICE, at, print(1)), Verdict::Same);
        assert_eq!(seen.judge(&DEVICE, at, print(2)), Verdict::Other);
        assert_eq!(seen.judge(&DeviceId::new([2; 16]), at, print(1)), Verdict::New);
    }

    #[test]
    fn a_repetition_too_old_to_tell_is_never_called_the_same() {
        let mut seen = SeenDevice::default();
        for n in 0..=u64::try_from(RECENT_MAX).unwrap() {
            seen.note(Sequence::new(n), print(n));
        }
        assert_eq!(seen.judge(Sequence::new(0), print(0)), Verdict::Other);
        assert_eq!(seen.judge(Sequence::new(1), print(1)), Verdict::Same);
        assert_eq!(seen.ranges.len(), 1);
    }

    #[test]
    fn frames_held_back_while_offline_are_still_new() {
        let mut seen = SeenDevice::default();
        for n in 10_000..12_000 {
            seen.note(Sequence::new(n), print(n));
        }
        assert_eq!(seen.judge(Sequence::new(500), print(500)), Verdict::New);
    }

    #[test]
    fn devices_are_bounded() {
        let mut seen = Seen::default();
        for n in 0..u128::try_from(DEVICES_MAX).unwrap() {
            seen.note(DeviceId::new(n.to_le_bytes()), Sequence::new(1), print(1));
        }
        assert_eq!(seen.judge(&DeviceId::new([0xff; 16]), Sequence::new(1), print(1)), Verdict::Full);
        assert_eq!(seen.judge(&DeviceId::new([0; 16]), Sequence::new(2), print(1)), Verdict::New);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ranges_are_exact_until_they_are_too_many(sequences in prop::collection::vec(0_u64..500, 1..400)) {
            let mut seen = SeenDevice::default();
            let mut oracle = BTreeSet::new();
            for n in sequences {
                let new = seen.judge(Sequence::new(n), print(n)) == Verdict::New;
                prop_assert_eq!(new, oracle.insert(n));
                seen.note(Sequence::new(n), print(n));
                prop_assert!(seen.ranges.len() <= RANGES_MAX && seen.recent.len() <= RECENT_MAX);
            }
            let back: SeenDevice = borsh::from_slice(&borsh::to_vec(&seen).unwrap()).unwrap();
            prop_assert_eq!(back, seen);
        }
    }

    #[test]
    fn past_the_maximum_the_oldest_gap_closes() {
        let mut seen = SeenDevice::default();
        for n in 0..=u64::try_from(RANGES_MAX).unwrap() {
            seen.note(Sequence::new(2 * n), print(n));
        }
        assert_eq!(seen.ranges.len(), RANGES_MAX);
        assert_eq!(seen.judge(Sequence::new(1), print(1)), Verdict::Other);
        assert_eq!(seen.judge(Sequence::new(3), print(1)), Verdict::New);
    }
}
