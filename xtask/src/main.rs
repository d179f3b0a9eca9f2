//! The project's own tools: check the house style, run every test, fuzz, count.
//!
//! `xtask` names none of the product's crates, so it builds in seconds and judges a tree that does
//! not compile. It changes nothing in the tree; `test` installs the tools it lacks.
#![forbid(unsafe_code)]

mod campaign;
mod failure;
mod fuzz;
mod log;
mod run;
mod stats;
mod test;
mod tidy;
mod tools;
mod torture;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use torture::Build;

/// The project's own tools. The one to run before a commit is `cargo xtask test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the whole tree against the house style (STYLE.md); prints `file:line: rule: what to do`.
    Tidy,
    /// Run everything that must pass before a commit lands: format, clippy, tidy, build, tests.
    ///
    /// Installs what it lacks: cargo-nextest through cargo, and python3 and mosquitto-clients
    /// through apt-get when run as root. The last line is `N passed, N failed`.
    Test,
    /// Feed mutated input to the parsers.
    ///
    /// With a nightly toolchain this runs cargo-fuzz on each target; with stable alone it runs the
    /// same targets on the corpus and on seeded mutations of it.
    Fuzz {
        /// How long to run each target.
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        seconds: u32,
        /// One target instead of all.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// Run a real consortium as processes to which things happen while a device streams: kill -9,
    /// freezes, bad links, bad disks; and see that nothing acknowledged is lost and members agree.
    ///
    /// Runs the release build, and appends a line to `reliability/torture.md`. What follows is handed to
    /// `salus torture`: `--rounds N --minutes M --seed S --members N`. A failure prints the command that
    /// repeats its choices.
    Torture {
        /// The development build instead, which the tests have made already.
        #[arg(long)]
        development: bool,
        /// For `salus torture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Run a whole consortium in one thread, once for each seed, under faults and lies, and check
    /// every promise in it.
    ///
    /// Runs the release build. What follows is handed to `salus-sim`: `--seeds N --from S
    /// --members N --keep-going --twice --story --json`. A failure prints the command that repeats it,
    /// and one that repeats the smallest world found in which the same promise is broken.
    Sim {
        /// For `salus-sim`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Go on with the simulator's campaign at the seed after the last one logged, and append a line to
    /// `reliability/campaigns.md`.
    ///
    /// A slice ends after its minutes or seeds, or in order when interrupted; all its seeds were run.
    Campaign {
        /// How many members take part.
        #[arg(long, default_value_t = 4)]
        members: u16,
        /// At most so many seeds.
        #[arg(long, default_value_t = 1_000_000)]
        seeds: u64,
        /// At most so many minutes.
        #[arg(long, default_value_t = 55)]
        minutes: u64,
    },
    /// Plant each bug of a list in the product, one at a time, and count the seeds that the simulator
    /// takes to find it.
    ///
    /// Runs the release build with the bugs compiled in, and prints the table kept in
    /// reliability/planted.md. What follows is handed to `salus-sim`: `--seeds N` (at most),
    /// `--times N`, `--bug NAME`, `--from S --members N`.
    Planted {
        /// For `salus-sim`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Play adversaries that see the whole ledger and know a fifth of the encounters, and set what they can
    /// link beside a guess (docs/linkability.md).
    ///
    /// Runs the development build, which is quick enough. What follows is handed to `salus-linkage`:
    /// `--patients N --days D --worlds W --seed S --policy NAME.. --all --json`.
    Linkage {
        /// For `salus-linkage`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Count functions, files and lines, crate by crate, beside the limits of the house.
    #[command(visible_alias = "loc")]
    Stats,
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    let root = workspace_root();
    match command {
        Command::Tidy => tidy::tidy(&root),
        Command::Test => test::test(&root),
        Command::Fuzz { seconds, target } => fuzz::fuzz(&root, seconds, target.as_deref()),
        Command::Torture { development, arguments } => {
            let build = if development { Build::Development } else { Build::Release };
            torture::torture(&root, build, &arguments)
        }
        Command::Sim { arguments } => sim(&root, &arguments),
        Command::Campaign { members, seeds, minutes } => campaign::campaign(&root, members, seeds, minutes),
        Command::Planted { arguments } => planted(&root, &arguments),
        Command::Linkage { arguments } => linkage(&root, &arguments),
        Command::Stats => stats::stats(&root),
    }
}

fn sim(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    run::run(root, "cargo", &simulator(&[], arguments))
}

fn planted(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    run::run(root, "cargo", &simulator(&["--planted"], arguments))
}

fn linkage(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    run::run(root, "cargo", &["build", "--workspace", "--bin", "salus-linkage", "--locked"])?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(root).no_deps().exec()?.target_directory;
    let program = target.join("debug").join("salus-linkage");
    run::run(root, program.as_str(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One build for both: that bugs could be planted changes nothing while none is.
fn simulator<'a>(first: &[&'a str], arguments: &'a [String]) -> Vec<&'a str> {
    let build = ["run", "--release", "--locked", "--package", "salus-sim", "--features", "planted", "--"];
    let arguments = arguments.iter().map(String::as_str);
    build.into_iter().chain(first.iter().copied()).chain(arguments).collect()
}

/// The folder above this crate's manifest.
fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
