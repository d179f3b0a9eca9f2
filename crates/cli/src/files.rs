//! Files of the command line: key files, wallets, grants and receipts. Secrets are written with
//! mode 0600 through a temporary name and fsync, so that a crash leaves the old file or the new.

use crate::output::Failure;
use borsh::{BorshDeserialize, BorshSerialize};
use salus_wire::{decode, encode};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Largest file that a command takes in, except recordings.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest recording: an hour of a thousand samples a second.
const RECORDING_BYTES_MAX: usize = 2 * 3_600 * 1_000;

/// The recording that comes with Salus; `data/README.md` has its attribution.
static ECG: &[u8] = include_bytes!("../../../data/mitbih-208-mlii-360hz.i16le");

/// Reads a file of at most `maximum` bytes.
pub(crate) fn read_at_most(path: &Path, maximum: usize) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, error))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(maximum).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| Failure::file(path, error))?;
    if bytes.len() > maximum {
        return Err(Failure::file(path, format!("larger than {maximum} bytes")));
    }
    Ok(bytes)
}

/// Reads a UTF-8 file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_at_most(path, FILE_BYTES_MAX)?).map_err(|_| Failure::file(path, "not UTF-8"))
}

/// Reads a file that holds one canonical value.
pub(crate) fn load<T: BorshDeserialize>(path: &Path) -> Result<T, Failure> {
    decode(&read_at_most(path, FILE_BYTES_MAX)?, FILE_BYTES_MAX).map_err(|error| Failure::file(path, error))
}

/// Writes a secret value, replacing what was there.
pub(crate) fn store<T: BorshSerialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let bytes = encode(value);
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Failure::file(path, format!("it would be larger than {FILE_BYTES_MAX} bytes")));
    }
    write_secret(path, &bytes)
}

/// Writes bytes with mode 0600, replacing what was there.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = Path::new(&name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(fresh, path)?;
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(|error: std::io::Error| Failure::file(path, error))
}

/// The samples of a recording, or of the ECG that comes with Salus.
pub(crate) fn recording(path: Option<&Path>) -> Result<Vec<i16>, Failure> {
    let bytes = match path {
        Some(path) => read_at_most(path, RECORDING_BYTES_MAX)?,
        None => ECG.to_vec(),
    };
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() || bytes.is_empty() {
        let path = path.unwrap_or_else(|| Path::new("built-in recording"));
        return Err(Failure::file(path, "not a whole number of 16-bit samples"));
    }
    let sample = |pair: &[u8]| pair.try_into().map(i16::from_le_bytes).unwrap_or_default();
    Ok(pairs.map(sample).collect())
}
