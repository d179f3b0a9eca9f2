//! Feeds the fuzz targets without a fuzzer: for stable toolchains, and to look at one input again.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use salus_fuzz::replay::{Broken, once, replay};
use salus_fuzz::{TARGETS, Target, corpus};
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Feed the parsers of Salus with damaged input.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one target, or all, on the corpus and on mutations of it.
    Run {
        /// The target; without one, all.
        target: Option<String>,
        /// How long to run each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What the mutations follow from; without one, the clock.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Run one target on one file.
    Once {
        /// The target.
        target: String,
        /// The input.
        file: PathBuf,
    },
    /// Write every target's seeds into the corpus, after a format has changed.
    Seed,
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("salus-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Run { target, seconds, seed } => {
            let targets = match target {
                Some(name) => vec![named(&name)?],
                None => TARGETS.to_vec(),
            };
            let seed = seed.unwrap_or_else(clock_seed);
            targets.into_iter().try_for_each(|target| run(target, Duration::from_secs(seconds), seed))
        }
        Command::Once { target, file } => Ok(once(named(&target)?, &fs::read(file)?)?),
        Command::Seed => {
            println!("{} inputs written", corpus::write_seeds()?);
            Ok(())
        }
    }
}

fn named(name: &str) -> Result<Target, String> {
    Target::named(name).ok_or_else(|| format!("no target is called `{name}`"))
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn run(target: Target, limit: Duration, seed: u64) -> Result<(), Box<dyn Error>> {
    println!("{}: seed {seed}", target.name);
    let inputs = corpus::read(target.name)?;
    let started = Instant::now();
    match replay(target, &inputs, seed, |_| started.elapsed() < limit) {
        Ok(runs) => {
            println!("{}: {runs} runs, nothing found", target.name);
            Ok(())
        }
        Err(broken) => Err(report(&broken, seed)?.into()),
    }
}

/// Keeps the input and says how to look at it again.
fn report(broken: &Broken, seed: u64) -> Result<String, Box<dyn Error>> {
    let path = corpus::keep_artifact(broken.target, seed, &broken.input)?;
    let again = format!("cargo run --package salus-fuzz -- once {} {}", broken.target, path.display());
    Ok(format!("{broken}; to see it again: {again}"))
}
