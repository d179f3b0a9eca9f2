//! What processes cost, from `/proc` (Linux): CPU time, resident memory, bytes on disk.

use std::fs;
use std::path::Path;

/// Clock ticks a second that Linux reports in `/proc/<pid>/stat`; 100 on every architecture it
/// supports (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user and system, that a process and its threads have used; 0 when it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    // Fields 14 and 15, counted from after the name, which may hold blanks (proc(5)).
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// CPU seconds of the calling thread.
pub(crate) fn thread_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// Resident mebibytes of a process; 0 when it is gone.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// What a process holds.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) resident_kib: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

/// What a process holds now; `None` when it is gone.
pub(crate) fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let files = u64::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()?;
    Some(Held { resident_kib: number("VmRSS:")?, files, threads: number("Threads:")? })
}

/// Bytes of all blocks that a folder's files take on disk.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.blocks().saturating_mul(512),
        Err(_) => 0,
    };
    entries.flatten().map(size).fold(0, u64::saturating_add)
}

/// The processor's name and count, for the report.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{} x {cores}", name.trim_start_matches([' ', '\t', ':']))
}
