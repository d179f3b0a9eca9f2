//! `salus-linkage`, run by `cargo xtask linkage`: measures what can be linked on the ledger, and prints it.
#![forbid(unsafe_code)]

use clap::Parser;
use salus_linkage::{Leak, Policy, Region, Setting, measure};
use std::process::ExitCode;

/// Plays adversaries with the whole ledger and a fifth of the encounters, and sets each beside a guess
#[derive(Parser)]
struct Cli {
    /// Hospitals, each a member
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    members: u16,
    /// Gateways, at least one for each member
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    gateways: u16,
    /// Patients of each region
    #[arg(long, default_value_t = 400)]
    patients: usize,
    /// Days
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=365))]
    days: u64,
    /// Regions to try; one more is the adversary's own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    worlds: u64,
    /// From which all follows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ways of releasing transactions: today, slots, spread, wide, cover, both, deep, full
    #[arg(long, num_args = 1.., default_values = ["today"], value_parser = policy)]
    policy: Vec<Policy>,
    /// Compare all of them
    #[arg(long, conflicts_with = "policy")]
    all: bool,
    /// Print one JSON value instead of tables
    #[arg(long)]
    json: bool,
}

fn policy(name: &str) -> Result<Policy, String> {
    Policy::named(name).ok_or_else(|| format!("there is no policy `{name}`"))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Cli { members, gateways, patients, days, .. } = cli;
    let setting = Setting {
        region: Region { members, gateways, patients, days },
        worlds: cli.worlds,
        seed: cli.seed,
        policies: if cli.all { Policy::ALL.to_vec() } else { cli.policy },
        leak: Leak::Nothing,
        shuffled_patients: false,
    };
    match measure(&setting) {
        Ok(report) if cli.json => println!("{:#}", report.value()),
        Ok(report) => print!("{}", report.table()),
        Err(error) => {
            eprintln!("linkage: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
