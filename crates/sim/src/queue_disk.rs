//! The files of the gateway's queue, as a disk keeps them.

use rand::RngExt;
use rand::rngs::StdRng;
use salus_store::queue::file::FileNumber;
use salus_store::queue::machine::Effect;
use std::collections::BTreeMap;

/// One file.
#[derive(Clone, Default)]
pub(crate) struct QueueFile {
    /// What was synced of it.
    pub(crate) synced: Vec<u8>,
    /// What is read of it.
    pub(crate) live: Vec<u8>,
    named: bool,
    /// It is gone, or will be.
    pub(crate) deleted: bool,
}

/// The gateway's disk, which outlives its crashes: what was synced stays, what was not is torn.
#[derive(Default)]
pub(crate) struct QueueDisk(pub(crate) BTreeMap<FileNumber, QueueFile>);

impl QueueDisk {
    /// Does what the queue's machine asks of a disk.
    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Create(file) => drop(self.0.insert(file, QueueFile::default())),
            Effect::Write { file, at, bytes } => {
                if let Some(file) = self.0.get_mut(&file) {
                    file.live.resize(usize::try_from(at).unwrap_or(0), 0);
                    file.live.extend(bytes);
                }
            }
            Effect::Sync(file) => {
                if let Some(file) = self.0.get_mut(&file) {
                    file.synced.clone_from(&file.live);
                }
            }
            Effect::SyncFolder => {
                self.0.retain(|_, file| !file.deleted);
                self.0.values_mut().for_each(|file| file.named = true);
            }
            Effect::Truncate(file, length) => {
                if let Some(file) = self.0.get_mut(&file) {
                    file.live.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                    file.synced.clone_from(&file.live);
                }
            }
            Effect::Delete(file) => {
                if let Some(file) = self.0.get_mut(&file) {
                    file.deleted = true;
                }
            }
            Effect::Reply(..) => {}
        }
    }

    /// Unsynced sectors are there or not; so are names, and deleted files.
    pub(crate) fn crash(&mut self, rng: &mut StdRng) {
        let files = std::mem::take(&mut self.0);
        for (number, file) in files {
            let exists = (file.named || rng.random()) && (!file.deleted || rng.random());
            if exists {
                let bytes = torn(&file, rng);
                let file = QueueFile { synced: bytes.clone(), live: bytes, named: true, deleted: false };
                self.0.insert(number, file);
            }
        }
    }
}

fn torn(file: &QueueFile, rng: &mut StdRng) -> Vec<u8> {
    let (short, long) = (file.synced.len().min(file.live.len()), file.synced.len().max(file.live.len()));
    let length = rng.random_range(short..=long);
    let mut bytes = file.synced.clone();
    bytes.resize(length, 0);
    for at in (0..length).step_by(512) {
        let end = length.min(at + 512).min(file.live.len());
        if at < end
            && rng.random()
            && let (Some(to), Some(from)) = (bytes.get_mut(at..end), file.live.get(at..end))
        {
            to.copy_from_slice(from);
        }
    }
    bytes
}
