//! An append-only file of small records, each synced before it counts.
//!
//! # Format
//!
//! A record is `u32 length ‖ 8 bytes of check ‖ payload ‖ 8 bytes of check`, little-endian. The
//! first check covers the record's offset and length, the second also the payload; both are the
//! first bytes of SHA-256 under [`NAMESPACE`].
//!
//! # Recovery
//!
//! A record is synced before the next is begun, so a crash can tear only the last. Recovery cuts
//! a bad tail when it is no longer than one record and no good head of a record lies within it, and
//! refuses to go on otherwise: that is damage, and what was promised would be forgotten. A failed
//! write or sync poisons the journal until it is opened again.

use crate::durable::Durable;
use crate::error::StoreError;
use salus_crypto::digest::{Namespace, sha256};
use salus_planted::{Bug, is};
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of one record's payload.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a whole journal.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Hashed: the place and content of a record of a journal.
pub const NAMESPACE: Namespace = Namespace::new("salus/journal/v1");

const LENGTH_LEN: usize = 4;
const CHECK_LEN: usize = 8;
const HEAD_LEN: usize = LENGTH_LEN + CHECK_LEN;

/// What a journal's bytes say. Pure.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovered {
    /// Good records, then nothing, or a torn one from `keep` on.
    Good {
        /// The payloads, in order.
        records: Vec<Vec<u8>>,
        /// Bytes up to the end of the last good record.
        keep: u64,
    },
    /// A bad record with a good one after it.
    Damaged {
        /// Where the bad record begins.
        at: u64,
    },
}

/// The bytes of a record that begins at `offset`. Pure.
#[must_use]
pub fn record(offset: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(head_check(offset, length));
    bytes.extend(payload);
    bytes.extend(body_check(offset, length, payload));
    bytes
}

/// Reads what a crash left. Pure.
#[must_use]
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut records = Vec::new();
    let mut offset = 0_usize;
    while let Some((payload, end)) = record_at(bytes, offset) {
        records.push(payload.to_vec());
        offset = end;
    }
    let keep = u64_of(offset);
    let mut later = offset.saturating_add(1)..bytes.len();
    let longer = later.len() > RECORD_BYTES_MAX.saturating_add(HEAD_LEN).saturating_add(CHECK_LEN);
    if longer || later.any(|later| head_at(bytes, later).is_some()) {
        return Recovered::Damaged { at: keep };
    }
    Recovered::Good { records, keep }
}

/// The payload of a good record at `offset`, and where it ends.
fn record_at(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let length = head_at(bytes, offset)?;
    let start = offset.checked_add(HEAD_LEN)?;
    let middle = start.checked_add(usize::try_from(length).ok()?)?;
    let end = middle.checked_add(CHECK_LEN)?;
    let payload = bytes.get(start..middle)?;
    (bytes.get(middle..end)? == body_check(u64_of(offset), length, payload)).then_some((payload, end))
}

/// The length in a good head at `offset`.
fn head_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let (length, rest) = bytes.get(offset..)?.split_first_chunk::<LENGTH_LEN>()?;
    let check = rest.first_chunk::<CHECK_LEN>()?;
    let length = u32::from_le_bytes(*length);
    let bounded = usize::try_from(length).is_ok_and(|length| length <= RECORD_BYTES_MAX);
    (bounded && *check == head_check(u64_of(offset), length)).then_some(length)
}

fn head_check(offset: u64, length: u32) -> [u8; CHECK_LEN] {
    shortened(&[b"head", &offset.to_le_bytes(), &length.to_le_bytes()])
}

fn body_check(offset: u64, length: u32, payload: &[u8]) -> [u8; CHECK_LEN] {
    shortened(&[b"body", &offset.to_le_bytes(), &length.to_le_bytes(), payload])
}

fn shortened(parts: &[&[u8]]) -> [u8; CHECK_LEN] {
    let digest = sha256(NAMESPACE, parts);
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn u64_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What a journal is written to: a file, or what a simulation tears.
pub trait Medium: Debug + Send {
    /// All bytes, at most `limit` of them.
    ///
    /// # Errors
    /// The disk's.
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>>;
    /// Cuts everything from `length` on; that, and that the medium exists, is durable on return.
    ///
    /// # Errors
    /// The disk's.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Writes at the end. Not durable before [`Medium::sync`].
    ///
    /// # Errors
    /// The disk's; part of the bytes may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    ///
    /// # Errors
    /// The disk's; what was appended may be lost.
    fn sync(&mut self) -> io::Result<()>;
    /// Puts these bytes in the place of all, durably and in one step.
    ///
    /// # Errors
    /// The disk's; the old bytes may still be there, whole.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// An open journal. Its calls block until the disk has answered.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    medium: Box<dyn Medium>,
    /// Where the next record begins; `None` once poisoned.
    end: Option<u64>,
}

impl Journal {
    /// Opens a journal in a file, or begins one, and gives the payloads it holds. What a crash tore
    /// is cut.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] as the module says; [`StoreError::JournalFull`] when the file is
    /// larger than any journal; a failure of the disk.
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        let file = LogFile::open(path).map_err(|source| failed(path, source))?;
        Self::on(path, Box::new(file))
    }

    /// The same on any medium; `name` stands in errors.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn on(name: &Path, mut medium: Box<dyn Medium>) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        let bytes =
            medium.read(JOURNAL_BYTES_MAX.saturating_add(1)).map_err(|source| failed(name, source))?;
        if u64_of(bytes.len()) > JOURNAL_BYTES_MAX {
            return Err(StoreError::JournalFull { path: name.to_owned() });
        }
        let (records, keep) = match recover(&bytes) {
            Recovered::Good { records, keep } => (records, keep),
            Recovered::Damaged { at } => return Err(StoreError::Damaged { path: name.to_owned(), at }),
        };
        if !is(Bug::JournalTailKept) {
            medium.cut(keep).map_err(|source| failed(name, source))?;
        }
        Ok((Self { path: name.to_owned(), medium, end: Some(keep) }, records))
    }

    /// Appends one record and syncs it. On success it is durable.
    ///
    /// # Errors
    /// [`StoreError::JournalFull`] before anything is written; [`StoreError::Poisoned`] after any
    /// failure; a failure of the disk.
    pub fn append<P>(&mut self, payload: &[u8], promise: P) -> Result<Durable<P>, StoreError> {
        let start = self.end.ok_or(StoreError::Poisoned)?;
        let bytes = record(start, payload);
        let end = start.saturating_add(u64_of(bytes.len()));
        if payload.len() > RECORD_BYTES_MAX || end > JOURNAL_BYTES_MAX {
            return Err(StoreError::JournalFull { path: self.path.clone() });
        }
        self.end = None;
        let written = self.medium.append(&bytes).and_then(|()| self.medium.sync());
        written.map_err(|source| failed(&self.path, source))?;
        self.end = Some(end);
        Ok(Durable::witness(promise, 1))
    }

    /// Writes the journal anew with only these records, and takes its place in one step.
    ///
    /// # Errors
    /// As [`Journal::append`]; the old file stays when the new one could not be written.
    pub fn rewrite(&mut self, payloads: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for payload in payloads {
            bytes.extend(record(u64_of(bytes.len()), payload));
        }
        let end = u64_of(bytes.len());
        if payloads.iter().any(|payload| payload.len() > RECORD_BYTES_MAX) || end > JOURNAL_BYTES_MAX {
            return Err(StoreError::JournalFull { path: self.path.clone() });
        }
        self.end.take().ok_or(StoreError::Poisoned)?;
        self.medium.replace(&bytes).map_err(|source| failed(&self.path, source))?;
        self.end = Some(end);
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source }
}

/// A journal's file.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Medium for LogFile {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.file).take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()?;
        sync_folder(&self.path)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let next = self.path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        sync_folder(&self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        Ok(())
    }
}

/// A new or renamed file is there after a crash only once its folder is synced.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
