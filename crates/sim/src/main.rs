//! `salus-sim`: runs worlds and says what was broken in them.
#![forbid(unsafe_code)]

#[cfg(feature = "planted")]
mod hunts;
mod total;

use clap::Parser;
use indicatif::ProgressBar;
use salus_sim::plan::Plan;
use salus_sim::run::run;
use salus_sim::trim::{Trim, shrink};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use total::Total;

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
    /// Begin no further world after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Write what came of it here as well, as one JSON value
    #[arg(long)]
    out: Option<PathBuf>,
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
    #[command(flatten)]
    trim: Trim,
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
    let total = worlds(&cli, jobs, started);
    let (value, seconds) = (total.value(started.elapsed().as_secs_f64()), started.elapsed().as_secs_f64());
    if cli.json {
        println!("{value:#}");
    } else {
        total.print(seconds);
    }
    if let Some(path) = &cli.out
        && let Err(error) = std::fs::write(path, format!("{value:#}\n"))
    {
        eprintln!("cannot write `{}`: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if total.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed after the other until the last, the end of the time, an interrupt, or a broken promise.
/// What has begun is brought to its end, so that all seeds of the total's range were run.
fn worlds(cli: &Cli, jobs: usize, started: Instant) -> Total {
    let (next, stop) = (AtomicU64::new(cli.from), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)) {
        eprintln!("an interrupt will end this at once: {error}");
    }
    let total = Mutex::new(Total::default());
    let until = cli.from.saturating_add(cli.seeds);
    let bar = ProgressBar::new(cli.seeds);
    let late = || cli.minutes.is_some_and(|minutes| started.elapsed().as_secs() / 60 >= minutes);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && !late() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until {
                        return;
                    }
                    let broken = one(cli, seed, &total, &bar);
                    bar.inc(1);
                    if broken && !cli.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.range = cli.from..next.into_inner().min(until);
    total
}

/// Runs one world; says whether something was broken in it.
fn one(cli: &Cli, seed: u64, total: &Mutex<Total>, bar: &ProgressBar) -> bool {
    let mut plan = cli.trim.apply(Plan::draw(seed, cli.members));
    plan.story = cli.story;
    let outcome = run(seed, plan.clone());
    outcome.story.iter().for_each(|line| println!("{line}"));
    let differs = cli.twice && run(seed, plan).trace != outcome.trace;
    let broken = match &outcome.broken {
        _ if differs => Some("two runs of it differ".to_owned()),
        broken => broken.as_ref().map(ToString::to_string),
    };
    if let Some(broken) = &broken {
        let again = format!("cargo xtask sim --from {seed} --seeds 1 --members {} --story", cli.members);
        bar.suspend(|| eprintln!("seed {seed}: {broken}\nagain: {again}{}", cli.trim));
        // A trimmed world was trimmed by somebody who looks at it.
        if outcome.broken.is_some() && cli.trim == Trim::default() {
            let (trim, smallest) = shrink(seed, &Plan::draw(seed, cli.members), &outcome);
            let there = smallest.broken.map_or(String::new(), |broken| broken.to_string());
            bar.suspend(|| eprintln!("shortest: {again}{trim}\n  there: {there}"));
        }
    }
    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
    total.add(&outcome);
    total.broken.extend(broken.as_ref().map(|broken| (seed, broken.clone())));
    broken.is_some()
}
