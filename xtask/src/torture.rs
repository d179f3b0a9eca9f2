//! A slice of torture by real processes: builds, runs `salus torture`, and writes one line about it
//! into `reliability/torture.md`, whatever came of it, so that rounds add up over slices.

use crate::failure::Failure;
use crate::log::{append, commit, counts, number};
use crate::run;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Where the lines are kept.
const LOG: &str = "reliability/torture.md";

/// Which build to torture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// What is shipped.
    Release,
    /// What the tests have built already.
    Development,
}

impl Build {
    /// The arguments that make it, alike to how others make it, so that nothing is built twice.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["build", "--release", "--locked", "--package", "salus"],
            Self::Development => &["build", "--workspace", "--bin", "salus", "--locked"],
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Development => "debug",
        }
    }
}

/// Builds, runs `salus torture` with `arguments`, and logs.
///
/// # Errors
/// [`Failure::Refused`] when a promise was broken, after it was logged; [`Failure::Report`] when the
/// run did not say what it did.
pub(crate) fn torture(root: &Path, build: Build, arguments: &[String]) -> Result<(), Failure> {
    run::run(root, "cargo", build.arguments())?;
    let target = cargo_metadata::MetadataCommand::new().current_dir(root).no_deps().exec()?.target_directory;
    let (program, out) = (target.join(build.folder()).join("salus"), target.join("torture.json"));
    let unusable = |path: &Path, source| Failure::Read { path: path.to_owned(), source };
    if out.exists() {
        fs::remove_file(&out).map_err(|source| unusable(out.as_std_path(), source))?;
    }
    // An interrupt is for the run, which ends in order and says what it did.
    ctrlc::set_handler(|| {}).map_err(Failure::Interrupts)?;
    let mut all = vec!["torture", "--out", out.as_str()];
    all.extend(arguments.iter().map(String::as_str));
    let commit = commit(root);
    let ended = run::run(root, program.as_str(), &all);
    if let Ok(text) = fs::read_to_string(&out) {
        let value: Value = serde_json::from_str(&text).map_err(Failure::Report)?;
        append(&root.join(LOG), &line(&commit, &value))?;
    }
    ended
}

/// One row of the table.
fn line(commit: &str, value: &Value) -> String {
    let number = |name: &str| number(value, name);
    let lost =
        value.get("lost").and_then(Value::as_u64).map_or("not read back".to_owned(), |n| n.to_string());
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("none");
    format!(
        "| {commit} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        text("build"),
        number("seed"),
        number("rounds"),
        counts(value, "faults"),
        number("acknowledged"),
        number("read"),
        lost,
        number("state_roots_compared"),
        number("withdrawn_grants_refused"),
        number("recovery_ms_max"),
        number("seconds").div_ceil(60),
        text("broken").replace('|', "/"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_has_a_cell_for_each_column_and_names_what_broke() {
        let value = json!({
            "build": "release", "seed": 7, "rounds": 2, "faults": { "kill_all": 1, "disk_full": 1 },
            "acknowledged": 80, "read": 80, "lost": 0, "state_roots_compared": 12,
            "withdrawn_grants_refused": 1, "recovery_ms_max": 900, "seconds": 61, "broken": "a | b",
        });
        assert_eq!(
            line("abc", &value),
            "| abc | release | 7 | 2 | disk_full 1, kill_all 1 | 80 | 80 | 0 | 12 | 1 | 900 | 2 | a / b |"
        );
        let head = include_str!("../../reliability/torture.md");
        let columns = head.lines().find(|line| line.starts_with("| commit")).unwrap();
        assert_eq!(columns.matches('|').count(), line("abc", &value).matches('|').count());
    }
}
