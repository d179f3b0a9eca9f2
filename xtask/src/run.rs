//! Starting other programs from the root of the workspace, with a clean environment.

use crate::failure::Failure;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What `cargo run` tells the program it runs about its own package. Left in place, it would look
/// to build scripts like a changed environment and make cargo build them again.
const OWN_PACKAGE: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"];

/// A command that will run in `root`, without standard input.
pub(crate) fn command(root: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OWN_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program to its end, its output going where ours goes.
///
/// # Errors
/// [`Failure::Start`] if it cannot be started, [`Failure::Refused`] if it ends with a failure.
pub(crate) fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let status = command(root, program, arguments)
        .status()
        .map_err(|source| Failure::Start { command: line(program, arguments), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Refused { command: line(program, arguments), status })
}

/// Runs a program to its end, showing its standard error line by line and handing each line to
/// `see`. Says whether it succeeded.
///
/// # Errors
/// [`Failure::Start`] if it cannot be started or its output cannot be read.
pub(crate) fn run_seeing_stderr(
    root: &Path,
    program: &str,
    arguments: &[&str],
    mut see: impl FnMut(&str),
) -> Result<bool, Failure> {
    let started = |source| Failure::Start { command: line(program, arguments), source };
    let mut child = command(root, program, arguments).stderr(Stdio::piped()).spawn().map_err(started)?;
    if let Some(stderr) = child.stderr.take() {
        for text in BufReader::new(stderr).lines() {
            let text = text.map_err(started)?;
            eprintln!("{text}");
            see(&text);
        }
    }
    Ok(child.wait().map_err(started)?.success())
}

/// Whether a program can be run at all, asked with arguments that do nothing.
pub(crate) fn answers(root: &Path, program: &str, arguments: &[&str]) -> bool {
    command(root, program, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a program prints on standard output, if it succeeds.
pub(crate) fn output(root: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = command(root, program, arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn line(program: &str, arguments: &[&str]) -> String {
    format!("{program} {}", arguments.join(" "))
}
