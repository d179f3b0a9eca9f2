//! Disks that are full: the data folder of a process on a small file system of its own, which
//! somebody else fills to the last byte.

use super::consortium::Consortium;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

/// A small file system over a folder; unmounted when dropped. Needs root.
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB over a folder of a process that was not started yet.
    pub(crate) fn under(consortium: &Consortium, folder: &str, mib: u32) -> Self {
        let folder = consortium.dir.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(&folder)
            .status()
            .unwrap();
        assert!(mounted.success(), "mounting a small file system needs root");
        Self { folder }
    }

    /// Takes every byte that is left.
    pub(crate) fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        let mut piece = 1024 * 1024;
        while piece > 0 {
            match file.write(&vec![0x55; piece]) {
                Ok(0) => piece /= 2,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => piece /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives it all back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("somebody-elses-file")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
