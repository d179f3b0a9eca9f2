//! What a device sent and nobody could take, kept sealed for the biomedical engineer: a ring of the
//! last refused frames, bounded in number and in bytes. It promises nothing about what falls out of
//! it. Of a device that ever was an erased patient's nothing is kept, whatever it sends.

use crate::forget;
use crate::registry::Registry;
use borsh::{BorshDeserialize, BorshSerialize};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::at_rest::MachineKey;
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::{Blob, Code, DeviceId, TimeMs, decode, encode};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
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
    shelf: Shelf,
}

/// The frames on disk, as a running gateway writes and drops them: one at a time, so that none is written behind the
/// back of who drops them.
#[derive(Clone)]
pub(crate) struct Shelf {
    folder: Arc<PathBuf>,
    key: Arc<MachineKey>,
    registry: Arc<Registry>,
    turn: Arc<Mutex<()>>,
}

/// A ring in `folder`, made if absent.
pub(crate) fn quarantine(
    folder: PathBuf,
    key: Arc<MachineKey>,
    registry: Arc<Registry>,
) -> (Quarantine, Ring, Shelf) {
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    let shelf = Shelf { folder: Arc::new(folder), key, registry, turn: Arc::default() };
    (Quarantine(sender), Ring { waiting, shelf: shelf.clone() }, shelf)
}

impl Shelf {
    /// Writes a frame, and drops the oldest for it. Blocks.
    fn write(&self, number: u64, refused: &Quarantined, rng: &mut StdRng) -> std::io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.registry.keeps_nothing_of(refused.device) {
            return Ok(());
        }
        fs::create_dir_all(&*self.folder)?;
        fs::write(self.folder.join(name(number)), self.key.seal(CONTEXT, &encode(refused), rng))?;
        let oldest = number.checked_sub(FRAMES_MAX).map(|number| self.folder.join(name(number)));
        oldest.map_or(Ok(()), |oldest| forget::remove(&oldest))
    }

    /// Drops every frame of devices that were an erased patient's; none comes after. Blocks.
    pub(crate) fn drop_erased(&self) -> std::io::Result<usize> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        drop_of(&self.folder, &self.key, |device| self.registry.keeps_nothing_of(device))
    }
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
        let mut next = newest(&self.shelf.folder).map_or(0, |number| number.wrapping_add(1));
        while let Some(refused) = self.waiting.recv().await {
            let (shelf, number) = (self.shelf.clone(), next);
            next = next.wrapping_add(1);
            let write = move || (shelf.write(number, &refused, &mut rng), rng);
            let Ok((written, back)) = tokio::task::spawn_blocking(write).await else { return };
            rng = back;
            if let Err(error) = written {
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
        let Some(sealed) = read(&folder.join(name(number)))? else { continue };
        let plain = key.open(CONTEXT, &sealed).unwrap_or_default();
        frames.extend(decode::<Quarantined>(&plain, FRAME_BYTES_MAX.saturating_add(64)).ok());
    }
    Ok(frames)
}

/// Removes what came over the connections of some devices; says how much. What is gone already is no failure: a
/// running gateway writes over the oldest. Blocks.
pub(crate) fn drop_of(
    folder: &Path,
    key: &MachineKey,
    of: impl Fn(DeviceId) -> bool,
) -> std::io::Result<usize> {
    if !folder.exists() {
        return Ok(0);
    }
    let mut gone = 0_usize;
    for number in numbers(folder)? {
        let path = folder.join(name(number));
        let Some(sealed) = read(&path)? else { continue };
        let plain = key.open(CONTEXT, &sealed).unwrap_or_default();
        let refused = decode::<Quarantined>(&plain, FRAME_BYTES_MAX.saturating_add(64));
        if refused.is_ok_and(|refused| of(refused.device)) {
            forget::remove(&path)?;
            gone = gone.saturating_add(1);
        }
    }
    forget::sync(folder)?;
    Ok(gone)
}

/// A file's bytes; `None` when it is gone meanwhile.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
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
    use crate::registry::tests::{PARTY, machine_key};

    const DEVICE: DeviceId = DeviceId::new([1; 16]);

    #[tokio::test]
    async fn the_last_refused_frames_are_kept_sealed_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::new(folder.path().join("registry"), machine_key(), PARTY));
        let (quarantine, ring, _shelf) =
            quarantine(folder.path().join("quarantine"), machine_key(), registry);
        let folder = folder.path().join("quarantine");
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
        let kept = list(&folder, &machine_key()).unwrap();
        assert_eq!(u64::try_from(kept.len()).unwrap(), FRAMES_MAX);
        assert_eq!(kept.last().unwrap().received, TimeMs::new(FRAMES_MAX + 4));
        let bytes = fs::read(folder.join(name(FRAMES_MAX))).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"plain"));
    }
}
