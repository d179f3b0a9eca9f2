//! Key files: exactly 32 secret bytes, readable by their owner alone. The machine key, which seals
//! what is at rest, must also lie outside the data folder: a copied or stolen data folder is then
//! worth nothing.

use crate::error::StoreError;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::secret::Secret;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Bytes of a private key kept as text.
pub const KEY_TEXT_BYTES_MAX: u64 = 64 * 1024;
/// Permissions of a key file: its owner reads and writes, nobody else does anything.
const OWNER_ONLY: u32 = 0o600;
/// The permission bits of group and others.
const ANYBODY_ELSE: u32 = 0o077;

/// Reads a key file.
///
/// # Errors
/// [`StoreError::KeyExposed`], [`StoreError::NotAKey`] or [`StoreError::File`].
pub fn read(path: &Path) -> Result<Secret<32>, StoreError> {
    let (mut file, length) = open_private(path)?;
    let mut bytes = [0; 32];
    if length != 32 || file.read_exact(&mut bytes).is_err() {
        return Err(StoreError::NotAKey { path: path.to_owned() });
    }
    Ok(Secret::from_bytes(bytes))
}

/// Reads a private key that another standard keeps as text, such as PEM.
///
/// # Errors
/// [`StoreError::KeyExposed`], or [`StoreError::NotAKey`] when it is not text of at most
/// [`KEY_TEXT_BYTES_MAX`]; [`StoreError::File`].
pub fn read_text(path: &Path) -> Result<String, StoreError> {
    let (mut file, length) = open_private(path)?;
    let mut text = String::new();
    if length > KEY_TEXT_BYTES_MAX || file.read_to_string(&mut text).is_err() {
        return Err(StoreError::NotAKey { path: path.to_owned() });
    }
    Ok(text)
}

/// Opens a file that nobody but its owner may read, and gives its length.
fn open_private(path: &Path) -> Result<(File, u64), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & ANYBODY_ELSE != 0 {
        return Err(StoreError::KeyExposed { path: path.to_owned() });
    }
    Ok((file, metadata.len()))
}

/// Creates a key file that did not exist, and syncs it and its folder.
///
/// # Errors
/// [`StoreError::File`], also when the file exists: a key is never overwritten.
pub fn create(path: &Path, key: &Secret<32>) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(OWNER_ONLY).open(path).map_err(failed)?;
    file.write_all(key.danger_expose()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Reads the machine key, which must lie outside `data_folder`.
///
/// # Errors
/// As [`read`], and [`StoreError::KeyAmongData`].
pub fn read_machine_key(path: &Path, data_folder: &Path) -> Result<MachineKey, StoreError> {
    let resolve = |path: &Path| {
        path.canonicalize().map_err(|source| StoreError::File { path: path.to_owned(), source })
    };
    let key = read(path)?;
    if resolve(path)?.starts_with(resolve(data_folder)?) {
        return Err(StoreError::KeyAmongData { path: path.to_owned() });
    }
    Ok(MachineKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn key() -> Secret<32> {
        Secret::from_bytes([7; 32])
    }

    #[test]
    fn what_is_created_is_read_back_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, &key()).unwrap();
        assert_eq!(read(&path).unwrap(), key());
        assert!(matches!(create(&path, &key()), Err(StoreError::File { .. })));
    }

    #[test]
    fn an_exposed_short_long_or_missing_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(read(&path), Err(StoreError::File { .. })));
        for length in [0, 31, 33] {
            std::fs::write(&path, vec![1; length]).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read(&path), Err(StoreError::NotAKey { .. })));
        }
        std::fs::write(&path, [1; 32]).unwrap();
        for mode in [0o640, 0o604, 0o610] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(StoreError::KeyExposed { .. })));
        }
    }

    #[test]
    fn a_machine_key_among_the_data_is_refused_also_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        create(&data.join("key"), &key()).unwrap();
        create(&dir.path().join("key"), &key()).unwrap();
        std::os::unix::fs::symlink(data.join("key"), dir.path().join("link")).unwrap();
        let among = |path: &Path| read_machine_key(path, &data);
        assert!(among(&dir.path().join("key")).is_ok());
        assert!(matches!(among(&data.join("key")), Err(StoreError::KeyAmongData { .. })));
        assert!(matches!(among(&dir.path().join("link")), Err(StoreError::KeyAmongData { .. })));
    }
}
