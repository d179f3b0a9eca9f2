//! What a custodian remembers of the keys it released: one journal for each day, or several when one is full,
//! sealed at rest under a key of its own, and gone when its time is over.
//!
//! A file is named by its day and part alone. Its records are lists of rows, each list sealed and bound to the
//! file. Calls block until the disk has answered.

use crate::durable::Durable;
use crate::error::StoreError;
use crate::journal::{Journal, RECORD_BYTES_MAX, Recovered, recover, sync_folder};
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_wire::activity::Activity;
use salus_wire::{List, decode, encode};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows in one record.
pub const RECORD_ROWS_MAX: usize = 1_024;
/// Parts of one day. A full part holds some 60 MiB; what comes after the last is refused.
pub const PARTS_MAX: u32 = 1_000;
/// Bytes of one row, generously.
const ROW_BYTES_MAX: usize = 192;
const SUFFIX: &str = "activity";

const _: () = assert!(RECORD_ROWS_MAX * ROW_BYTES_MAX + 64 <= RECORD_BYTES_MAX);

/// The promise behind a release: who was let in is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivityPromise;

/// The folder of activity of one custodian.
#[derive(Debug)]
pub struct Activities {
    files: Arc<Files>,
    current: Option<Current>,
}

/// What reads the folder, also while it is written.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    key: MachineKey,
}

/// The journal that was written last.
#[derive(Debug)]
struct Current {
    part: Part,
    journal: Journal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    day: u32,
    part: u32,
}

type Rows = List<Activity, RECORD_ROWS_MAX>;

impl Activities {
    /// Opens a folder, sealed under `key`.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be created; [`StoreError::Corrupt`] when it was written with another key.
    pub fn open(folder: &Path, key: MachineKey) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let files = Arc::new(Files { folder: folder.to_owned(), key });
        files.fits()?;
        Ok(Self { files, current: None })
    }

    /// What reads it.
    #[must_use]
    pub fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Remembers rows of one day, at most [`RECORD_ROWS_MAX`], with one sync.
    ///
    /// # Errors
    /// As [`Journal::append`]; [`StoreError::JournalFull`] when the day has no part left, or the rows are too
    /// many.
    pub fn remember(
        &mut self,
        day: u32,
        rows: Vec<Activity>,
        rng: &mut impl CryptoRng,
    ) -> Result<Durable<ActivityPromise>, StoreError> {
        let full = StoreError::JournalFull { path: self.files.folder.clone() };
        let Ok(rows) = Rows::new(rows) else { return Err(full) };
        let plain = encode(&rows);
        loop {
            let mut current = self.current(day)?;
            let part = current.part;
            let sealed = self.files.key.seal(part.context().as_bytes(), &plain, rng);
            let done = current.journal.append(&sealed, ActivityPromise);
            if matches!(done, Err(StoreError::JournalFull { .. })) && part.part < PARTS_MAX {
                self.current = Some(self.begin(Part { part: part.part.saturating_add(1), ..part })?);
                continue;
            }
            self.current = Some(current);
            return done;
        }
    }

    /// Forgets every day before `day`, durably, and says how many files that were.
    ///
    /// # Errors
    /// A failure of the disk; some may be gone.
    pub fn end_before(&mut self, day: u32) -> Result<usize, StoreError> {
        let over: Vec<Part> = self.files.parts()?.into_iter().filter(|part| part.day < day).collect();
        if self.current.as_ref().is_some_and(|current| current.part.day < day) {
            self.current = None;
        }
        for part in &over {
            let path = self.files.path(*part);
            fs::remove_file(&path).map_err(|source| StoreError::File { path, source })?;
        }
        let failed = |source| StoreError::File { path: self.files.folder.clone(), source };
        if !over.is_empty() {
            sync_folder(&self.files.folder.join(SUFFIX)).map_err(failed)?;
        }
        Ok(over.len())
    }

    /// The journal that a day's next row goes to.
    fn current(&mut self, day: u32) -> Result<Current, StoreError> {
        match self.current.take() {
            Some(current) if current.part.day == day => Ok(current),
            _ => {
                let last = self.files.parts()?.into_iter().filter(|part| part.day == day).max();
                self.begin(last.unwrap_or(Part { day, part: 1 }))
            }
        }
    }

    /// Opens a part, or the next one that is not damaged: what is damaged stays as it is, for whoever reads it.
    fn begin(&self, mut part: Part) -> Result<Current, StoreError> {
        loop {
            match Journal::open(&self.files.path(part)) {
                Ok((journal, _)) => return Ok(Current { part, journal }),
                Err(StoreError::Damaged { .. }) if part.part < PARTS_MAX => {
                    part.part = part.part.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Files {
    /// Hands on what is remembered of a day, in order. A record that a crash cut, or that is being written, is left
    /// out: nothing was promised of it. Holds one file at a time.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::Corrupt`] when a file is not what was written; a failure of the
    /// disk.
    pub fn each(&self, day: u32, mut take: impl FnMut(Activity)) -> Result<(), StoreError> {
        for part in self.parts()?.into_iter().filter(|part| part.day == day) {
            for record in self.records(part)? {
                self.opened(part, &record)?.into_iter().for_each(&mut take);
            }
        }
        Ok(())
    }

    fn records(&self, part: Part) -> Result<Vec<Vec<u8>>, StoreError> {
        let path = self.path(part);
        let bytes = fs::read(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        match recover(&bytes) {
            Recovered::Good { records, .. } => Ok(records),
            Recovered::Damaged { at } => Err(StoreError::Damaged { path, at }),
        }
    }

    /// Whether the key is the one that the newest file was written with.
    fn fits(&self) -> Result<(), StoreError> {
        let Some(newest) = self.parts()?.pop() else { return Ok(()) };
        match self.records(newest) {
            Ok(records) => records.first().map_or(Ok(()), |record| self.opened(newest, record).map(drop)),
            // What is damaged is passed over when it is written to, and said when it is read.
            Err(StoreError::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, part: Part, record: &[u8]) -> Result<Vec<Activity>, StoreError> {
        let plain = self.key.open(part.context().as_bytes(), record).ok();
        let rows: Option<Rows> = plain.and_then(|plain| decode(&plain, RECORD_BYTES_MAX).ok());
        rows.map(List::into_vec).ok_or_else(|| StoreError::Corrupt { object: part.context() })
    }

    fn parts(&self) -> Result<Vec<Part>, StoreError> {
        let failed = |source| StoreError::File { path: self.folder.clone(), source };
        let mut parts = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            parts.extend(entry.map_err(failed)?.file_name().to_str().and_then(Part::parse));
        }
        parts.sort_unstable();
        Ok(parts)
    }

    fn path(&self, part: Part) -> PathBuf {
        self.folder.join(part.context())
    }
}

impl Part {
    /// The name of the file, which its records are bound to.
    fn context(self) -> String {
        format!("{}-{}.{SUFFIX}", self.day, self.part)
    }

    fn parse(name: &str) -> Option<Self> {
        let (day, part) = name.strip_suffix(SUFFIX)?.strip_suffix('.')?.split_once('-')?;
        let part = Self { day: day.parse().ok()?, part: part.parse().ok()? };
        (part.context() == name).then_some(part)
    }
}

#[cfg(test)]
mod tests;
