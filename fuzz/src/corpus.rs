//! The corpus on disk: a folder for each target, a file for each input.

use crate::mutate::INPUT_BYTES_MAX;
use crate::targets::TARGETS;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files of one folder that are read.
pub const FILES_MAX: usize = 10_000;

/// The folder of a target's inputs.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The inputs of a target, in order of file name. Files over the limit of one input are left out.
///
/// # Errors
/// What the system says of the folder or a file.
pub fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder(target))?.take(FILES_MAX) {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        let input = fs::read(path)?;
        if input.len() <= INPUT_BYTES_MAX {
            inputs.push(input);
        }
    }
    Ok(inputs)
}

/// Keeps an input that broke a parser, for whoever mends it. Gives the path.
///
/// # Errors
/// What the system says of the folder or the file.
pub fn keep_artifact(target: &str, seed: u64, input: &[u8]) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("seed-{seed}-length-{}", input.len()));
    fs::write(&path, input)?;
    Ok(path)
}

/// Writes every target's seeds, over those of an older format. Gives their number.
///
/// # Errors
/// What the system says of a folder or a file.
pub fn write_seeds() -> io::Result<usize> {
    let mut written = 0;
    for target in TARGETS {
        let folder = folder(target.name);
        fs::create_dir_all(&folder)?;
        for seed in (target.seeds)() {
            fs::write(folder.join(seed.name), seed.input)?;
            written += 1;
        }
    }
    Ok(written)
}
