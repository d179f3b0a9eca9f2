//! `salus-sim`: runs worlds and says what was broken in them.
#![forbid(unsafe_code)]

#[cfg(feature = "planted")]
mod hunts;

use clap::Parser;
use salus_sim::plan::Plan;
use salus_sim::run::{Outcome, run};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Simulates a whole consortium, one world for each seed, and checks every promise in it
#[derive(Parser)]
struct Cli {
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many members take part
    #[arg(long, default_value_t = 4)]
    members: u16,
    /// How many worlds to run at once; one for each core when left out
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on to the last seed when a promise is broken
    #[arg(long)]
    keep_going: bool,
    /// Run each seed twice and compare what happened, event for event
    #[arg(long)]
    twice: bool,
    /// Tell the story of each world; one at a time
    #[arg(long)]
    story: bool,
    /// Print one JSON value at the end instead of text
    #[arg(long)]
    json: bool,
    /// Plant each bug in turn and count the seeds that it takes to find it, at most `--seeds`; the
    /// table of all of them is printed as Markdown
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
    /// How many times to search for each planted bug, from seeds far apart
    #[cfg(feature = "planted")]
    #[arg(long, default_value_t = 3)]
    times: u64,
    /// Only the planted bugs whose names begin so
    #[cfg(feature = "planted")]
    #[arg(long, default_value = "")]
    bug: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let started = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if cli.story { 1 } else { cli.jobs.unwrap_or(cores).max(1) };
    #[cfg(feature = "planted")]
    if cli.planted {
        return hunts::all(&cli, jobs);
    }
    let (next, stop) = (AtomicU64::new(cli.from), AtomicBool::new(false));
    let total = Mutex::new(Total::default());
    let until = cli.from.saturating_add(cli.seeds);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until {
                        return;
                    }
                    let broken = one(&cli, seed, &total);
                    if broken && !cli.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.print(cli.json, started.elapsed().as_secs_f64());
    if total.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one world; says whether something was broken in it.
fn one(cli: &Cli, seed: u64, total: &Mutex<Total>) -> bool {
    let mut plan = Plan::draw(seed, cli.members);
    plan.story = cli.story;
    let outcome = run(seed, plan.clone());
    outcome.story.iter().for_each(|line| println!("{line}"));
    let differs = cli.twice && run(seed, plan).trace != outcome.trace;
    let broken = match &outcome.broken {
        _ if differs => Some("two runs of it differ".to_owned()),
        broken => broken.as_ref().map(ToString::to_string),
    };
    if let Some(broken) = &broken {
        println!("seed {seed}: {broken}");
        println!("again: cargo xtask sim --from {seed} --seeds 1 --members {} --story", cli.members);
    }
    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
    total.add(&outcome);
    total.broken.extend(broken.as_ref().map(|broken| (seed, broken.clone())));
    broken.is_some()
}

/// What all worlds came to.
#[derive(Default)]
struct Total {
    seeds: u64,
    simulated_ms: u64,
    faults: BTreeMap<&'static str, u64>,
    checked: BTreeMap<&'static str, u64>,
    broken: BTreeMap<u64, String>,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.simulated_ms += outcome.lasted_ms;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        let Some(summary) = &outcome.summary else { return };
        let (controls, exposed) = outcome.earnest;
        for (what, count) in [
            ("blocks", summary.blocks),
            ("transactions", summary.transactions),
            ("frames kept", summary.kept),
            ("reads", summary.reads),
            ("reads that succeeded", summary.reads_successful),
            ("grants", summary.grants),
            ("withdrawals", summary.withdrawals),
            ("key shares released", summary.releases),
            ("lists proven complete", summary.listings),
            ("restarts", summary.restarts),
            ("sound requests by hand", controls),
            ("liars exposed by their votes", exposed),
        ] {
            *self.checked.entry(what).or_default() += count;
        }
    }

    fn print(&self, json: bool, seconds: f64) {
        let rate = self.rate(seconds);
        let hours = std::time::Duration::from_millis(self.simulated_ms).as_secs_f64() / 3_600.0;
        if json {
            let value = serde_json::json!({
                "seeds": self.seeds,
                "simulated_hours": hours,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds(),
                "seeds_per_second": rate,
                "faults": self.faults,
                "checked": self.checked,
                "broken": self.broken,
            });
            println!("{value:#}");
            return;
        }
        println!("{} seeds, {hours:.2} simulated hours", self.seeds);
        println!("{seconds:.1} s, {:.1} CPU-seconds, {rate:.2} seeds/s", cpu_seconds());
        println!("faults injected:");
        self.faults.iter().for_each(|(kind, count)| println!("  {count:>9} {kind}"));
        println!("checked:");
        self.checked.iter().for_each(|(what, count)| println!("  {count:>9} {what}"));
        println!("broken: {}", self.broken.len());
    }

    fn rate(&self, seconds: f64) -> f64 {
        u32::try_from(self.seeds).map_or(0.0, f64::from) / seconds.max(0.001)
    }
}

/// What this process has used of its cores.
fn cpu_seconds() -> f64 {
    let used = |field: usize, stat: &str| -> u64 {
        stat.split_whitespace().nth(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // A clock tick is a hundredth of a second on Linux.
    f64::from(u32::try_from(used(13, &stat) + used(14, &stat)).unwrap_or(u32::MAX)) / 100.0
}
