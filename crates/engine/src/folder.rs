//! The engine's folder: one engine at a time, one consortium for ever.
//!
//! Promises that a second engine on the same folder, which could vote twice, does not start, and
//! that a folder is not taken up for another consortium. Refuses to know what is in it.

use crate::error::EngineError;
use salus_wire::ChainId;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// The file that is locked while an engine runs.
const LOCK: &str = "lock";
/// The file that names the consortium.
const CHAIN: &str = "consortium";

/// Makes or takes up the folder. It is ours until the answer is dropped.
///
/// # Errors
/// [`EngineError::Folder`], [`EngineError::InUse`], [`EngineError::OtherConsortium`].
pub(crate) fn take(dir: &Path, chain: ChainId) -> Result<File, EngineError> {
    let unusable = |source| EngineError::Folder { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(unusable)?;
    let lock = File::create(dir.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(EngineError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let name = dir.join(CHAIN);
    let ours = chain.0.to_string();
    match fs::read_to_string(&name) {
        Ok(named) if named == ours => Ok(lock),
        Ok(_) => Err(EngineError::OtherConsortium { path: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&name, ours).map(|()| lock).map_err(unusable)
        }
        Err(error) => Err(unusable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::digest::Digest;

    #[test]
    fn one_engine_at_a_time_and_one_consortium() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (ChainId(Digest::ZERO), ChainId(Digest::from_bytes([1; 32])));
        let held = take(dir.path(), one).unwrap();
        assert!(matches!(take(dir.path(), one), Err(EngineError::InUse { .. })));
        drop(held);
        assert!(matches!(take(dir.path(), other), Err(EngineError::OtherConsortium { .. })));
        take(dir.path(), one).unwrap();
    }
}
