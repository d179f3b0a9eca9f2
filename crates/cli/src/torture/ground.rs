//! What stands between the processes and the machine during a run: proxies on every link, and a
//! library between each process and its disk.

use super::links::Links;
use super::trouble::{Disk, Library};
use crate::demo::stage::{Process, Stage};
use crate::output::Failure;
use salus_wire::Code;
use std::collections::BTreeMap;

/// See the head of this module.
pub(super) struct Ground {
    pub(super) links: Links,
    disks: BTreeMap<Process, Disk>,
}

impl Ground {
    /// Lays it under a stage on which nothing was started yet.
    pub(super) async fn lay(stage: &mut Stage) -> Result<Self, Failure> {
        let folder = stage.layout.root().join("torture");
        std::fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, error))?;
        let links = Links::lay(&stage.layout, &folder).await?;
        let library = Library::compile(&folder)?;
        let mut disks = BTreeMap::new();
        for process in (0..stage.members).map(Process::Member).chain([Process::Gateway]) {
            let disk = Disk::new(&library, &folder, &process.to_string())?;
            stage.surround(process, disk.environment());
            let entry = match process {
                Process::Member(_) => "SALUS_NODE_CONSORTIUM_FILE",
                Process::Gateway => "SALUS_GATEWAY_CONSORTIUM_FILE",
            };
            stage.surround(process, links.file_of(process).map(|file| (entry, file.as_os_str().to_owned())));
            disks.insert(process, disk);
        }
        Ok(Self { links, disks })
    }

    /// A process's disk.
    pub(super) fn disk(&self, process: Process) -> Result<&Disk, Failure> {
        let disk = self.disks.get(&process);
        disk.ok_or_else(|| Failure::new(Code::Internal, format!("{process} has no disk")))
    }
}
