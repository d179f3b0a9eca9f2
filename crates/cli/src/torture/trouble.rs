//! Trouble with a disk, given to one process: a sync that fails once, writes and syncs that all fail,
//! or no room. Needs no privilege: a small library, compiled here with `cc` and loaded into the
//! process, stands between it and the C library.
//!
//! What it cannot show: the process asks the system itself how much room is left, and hears the
//! truth, as it does when a quota is used up. A file system that is full to the last byte is in
//! `tests/e2e_bad_input.rs`.

use crate::output::Failure;
use salus_wire::Code;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("trouble.c");
/// Bytes of the control file: `struct control` of the library.
const CONTROL_BYTES: usize = 16;
/// Where its numbers stand.
const MODE_AT: u64 = 0;
const SKIP_AT: u64 = 4;
const HITS_AT: u64 = 8;
const LOADED_AT: u64 = 12;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// One sync fails; those after it succeed, which is what makes a second try a lie.
    OneSync,
    /// Every write and every sync fails.
    Everything,
    /// No write finds room.
    NoRoom,
}

impl Trouble {
    const fn mode(self) -> u32 {
        match self {
            Self::OneSync => 1,
            Self::Everything => 2,
            Self::NoRoom => 3,
        }
    }
}

/// The library, compiled.
pub(super) struct Library(PathBuf);

impl Library {
    /// Compiles it into `folder`.
    pub(super) fn compile(folder: &Path) -> Result<Self, Failure> {
        let (source, library) = (folder.join("trouble.c"), folder.join("trouble.so"));
        std::fs::write(&source, SOURCE).map_err(|error| Failure::file(&source, error))?;
        let done = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| {
                Failure::new(Code::Usage, format!("trouble with disks needs a C compiler, `cc`: {error}"))
            })?;
        if done.status.success() {
            return Ok(Self(library));
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(Failure::new(Code::Internal, format!("`cc` refuses {}: {said}", source.display())))
    }
}

/// The control of one process's disk.
pub(super) struct Disk {
    control: File,
    path: PathBuf,
    library: PathBuf,
}

impl Disk {
    /// A disk without trouble.
    pub(super) fn new(library: &Library, folder: &Path, name: &str) -> Result<Self, Failure> {
        let path = folder.join(format!("{name}.disk"));
        let failed = |error| Failure::file(&path, error);
        let control = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path);
        let control = control.map_err(failed)?;
        control.write_all_at(&[0; CONTROL_BYTES], 0).map_err(failed)?;
        Ok(Self { control, library: library.0.clone(), path })
    }

    /// What the process must have in its environment.
    pub(super) fn environment(&self) -> [(&'static str, OsString); 2] {
        let (path, library) = (self.path.clone().into_os_string(), self.library.clone().into_os_string());
        [("LD_PRELOAD", library), ("SALUS_TORTURE_DISK", path)]
    }

    /// Begins, after `skip` more calls that succeed.
    pub(super) fn give(&self, trouble: Trouble, skip: u32) -> Result<(), Failure> {
        if self.get(LOADED_AT)? == 0 {
            let what = "a process did not load the library that gives it trouble with its disk";
            return Err(Failure::new(Code::Internal, what));
        }
        self.set(HITS_AT, 0)?;
        self.set(SKIP_AT, skip)?;
        self.set(MODE_AT, trouble.mode())
    }

    /// Ends it.
    pub(super) fn mend(&self) -> Result<(), Failure> {
        self.set(MODE_AT, 0)
    }

    /// How many calls failed since it began.
    pub(super) fn hits(&self) -> Result<u32, Failure> {
        self.get(HITS_AT)
    }

    fn get(&self, at: u64) -> Result<u32, Failure> {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, at).map_err(|error| Failure::file(&self.path, error))?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn set(&self, at: u64, value: u32) -> Result<(), Failure> {
        let done = self.control.write_all_at(&value.to_ne_bytes(), at);
        done.map_err(|error| Failure::file(&self.path, error))
    }
}
