//! How long the machine gave a process no processor although it could have run (Linux): on a machine
//! that others keep busy, that time is not the product's.

use std::fs;
use std::time::Duration;

/// Processes as they were at one moment.
pub(super) struct Starving {
    pids: Vec<u32>,
    before: Duration,
}

impl Starving {
    /// Begins to look.
    pub(super) fn since_now(pids: Vec<u32>) -> Self {
        let before = waited(&pids);
        Self { pids, before }
    }

    /// How much longer the thread that waited longest has waited by now.
    pub(super) fn time(&self) -> Duration {
        waited(&self.pids).saturating_sub(self.before)
    }
}

fn waited(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| longest(*pid)).max().unwrap_or_default()
}

fn longest(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let schedstats =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    schedstats.map(|text| delay(&text)).max().unwrap_or_default()
}

/// The second number: nanoseconds spent waiting on a run queue (sched-stats in the kernel's
/// documentation).
fn delay(schedstat: &str) -> Duration {
    let nanos = schedstat.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    nanos.map_or(Duration::ZERO, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_wait() {
        assert_eq!(delay("17 42 9\n"), Duration::from_nanos(42));
        assert_eq!(delay(""), Duration::ZERO);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        assert!(fs::read_to_string(format!("/proc/{0}/task/{0}/schedstat", std::process::id())).is_ok());
        assert_eq!(waited(&[0]), Duration::ZERO);
    }
}
