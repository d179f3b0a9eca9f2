//! What a device sent and nobody could take, kept sealed for the biomedical engineer: a ring of the
//! last refused frames, bounded in number and in bytes. It promises nothing about what falls out of
//! it.

use crate::forget;
use borsh::{BorshDeserialize, BorshSerialize};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::at_rest::MachineKey;
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::{Blob, Code, DeviceId, TimeMs, decode, encode};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Frames kept; the oldest is overwritten.
pub const FRAMES_MAX: u64 = 1_024;
/// Refused frames waiting to be written; further ones are dropped.
const WAITING_MAX: usize = 64;

const CONTEXT: &[u8] = b"salus/quarantine/v1";

/// A refused frame.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Quarantined {
    /// Why.
    pub code: Code,
    /// Over whose connection it came.
    pub device: DeviceId,
    /// When.
    pub received: TimeMs,
    /// As it came; cut at the limit of a frame.
    pub frame: Blob<FRAME_BYTES_MAX>,
}

/// The way to the ring.
#[derive(Clone)]
pub(crate) struct Quarantine(mpsc::Sender<Quarantined>);

/// The other end; runs until all of them are dropped.
pub(crate) struct Ring {
    waiting: mpsc::Receiver<Quarantined>,
    folder: PathBuf,
    key: Arc<MachineKey>,
}

/// A ring in `folder`, made if absent.
pub(crate) fn quarantine(folder: PathBuf, key: Arc<MachineKey>) -> (Quarantine, Ring) {
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    (Quarantine(sender), Ring { waiting, folder, key })
}

impl Quarantine {
    /// Keeps a refused frame, if it was refused for what it is and there is room just now.
    pub(crate) fn keep(&self, code: Code, device: DeviceId, received: TimeMs, bytes: &[u8]) {
        let for_now =
            matches!(code, Code::QueueFull | Code::QueueDisk | Code::QuotaExceeded | Code::Internal);
        let cut = bytes.get(..bytes.len().min(FRAME_BYTES_MAX)).unwrap_or_default();
        if let (false, Ok(frame)) = (for_now, Blob::new(cut.to_vec())) {
            let _ = self.0.try_send(Quarantined { code, device, received, frame });
        }
    }
}

impl Ring {
    /// Runs until nobody can refuse a frame any more. A disk that fails here is logged and borne:
    /// nothing was promised.
    pub(crate) async fn run(mut self) {
        let Ok(mut rng) = StdRng::try_from_rng(&mut SysRng) else { return };
        let mut next = newest(&self.folder).map_or(0, |number| number.wrapping_add(1));
        while let Some(refused) = self.waiting.recv().await {
            let sealed = self.key.seal(CONTEXT, &encode(&refused), &mut rng);
            let path = self.folder.join(name(next));
            let oldest = next.checked_sub(FRAMES_MAX).map(|number| self.folder.join(name(number)));
            next = next.wrapping_add(1);
            let folder = self.folder.clone();
            let write = move || {
                fs::create_dir_all(&folder)?;
                fs::write(path, sealed)?;
                oldest.map_or(Ok(()), |oldest| fs::remove_file(oldest).or(Ok(())))
            };
            let written = tokio::task::spawn_blocking(write).await;
            if let Ok(Err(error)) = written.map(|written: std::io::Result<()>| written) {
                tracing::warn!(%error, "a refused frame could not be kept");
            }
        }
    }
}

/// What is in quarantine in `folder`, oldest first; what does not open is left out. Blocks.
///
/// # Errors
/// The disk's failure.
pub fn list(folder: &Path, key: &MachineKey) -> std::io::Result<Vec<Quarantined>> {
    let mut numbers = numbers(folder)?;
    numbers.sort_unstable();
    let mut frames = Vec::new();
    for number in numbers {
        let sealed = fs::read(folder.join(name(number)))?;
        let plain = key.open(CONTEXT, &sealed).unwrap_or_default();
        frames.extend(decode::<Quarantined>(&plain, FRAME_BYTES_MAX.saturating_add(64)).ok());
    }
    Ok(frames)
}

/// Removes what came over the connections of `devices`; says how much. Blocks.
pub(crate) fn drop_of(
    folder: &Path,
    key: &MachineKey,
    devices: &BTreeSet<DeviceId>,
) -> std::io::Result<usize> {
    if devices.is_empty() || !folder.exists() {
        return Ok(0);
    }
    let mut gone = 0_usize;
    for number in numbers(folder)? {
        let path = folder.join(name(number));
        let plain = key.open(CONTEXT, &fs::read(&path)?).unwrap_or_default();
        let refused = decode::<Quarantined>(&plain, FRAME_BYTES_MAX.saturating_add(64));
        if refused.is_ok_and(|refused| devices.contains(&refused.device)) {
            fs::remove_file(&path)?;
            gone = gone.saturating_add(1);
        }
    }
    forget::sync(folder)?;
    Ok(gone)
}

fn name(number: u64) -> String {
    format!("{number:016x}.frame")
}

fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let digits = file.to_str().and_then(|file| file.strip_suffix(".frame"));
        numbers.extend(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
    }
    Ok(numbers)
}

fn newest(folder: &Path) -> Option<u64> {
    numbers(folder).ok()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::machine_key;

    const DEVICE: DeviceId = DeviceId::new([1; 16]);

    #[tokio::test]
    async fn the_last_refused_frames_are_kept_sealed_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (quarantine, ring) = quarantine(folder.path().to_owned(), machine_key());
        let running = tokio::spawn(ring.run());
        for n in 0..FRAMES_MAX + 5 {
            let refused = Quarantined {
                code: Code::ClockOff,
                device: DEVICE,
                received: TimeMs::new(n),
                frame: Blob::new(b"a plain frame".to_vec()).unwrap(),
            };
            quarantine.0.send(refused).await.unwrap();
        }
        quarantine.keep(Code::QueueFull, DEVICE, TimeMs::new(1), b"for now only");
        drop(quarantine);
        running.await.unwrap();
        let kept = list(folder.path(), &machine_key()).unwrap();
        assert_eq!(u64::try_from(kept.len()).unwrap(), FRAMES_MAX);
        assert_eq!(kept.last().unwrap().received, TimeMs::new(FRAMES_MAX + 4));
        let bytes = fs::read(folder.path().join(name(FRAMES_MAX))).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"plain"));
    }
}
