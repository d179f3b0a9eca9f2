//! The logs in `reliability/`: one line for each run, added at the end, and what those lines are made of.

use crate::failure::Failure;
use crate::run;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Adds a line.
///
/// # Errors
/// [`Failure::Read`].
pub(crate) fn append(log: &Path, line: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().append(true).open(log);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    written.map_err(|source| Failure::Read { path: log.to_owned(), source })
}

/// The commit under test, with a `+` when the tree has more than that.
pub(crate) fn commit(root: &Path) -> String {
    let hash = run::output(root, "git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let changed = run::output(root, "git", &["status", "--porcelain", "--", ":!reliability"]);
    if changed.is_none_or(|changed| changed.is_empty()) { hash } else { format!("{hash}+") }
}

/// A whole number of a report; 0 when it is not there.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Kinds and how often each was, as `kind 3, other 1`.
pub(crate) fn counts(value: &Value, name: &str) -> String {
    let kinds = value.get(name).and_then(Value::as_object);
    let mut each: Vec<String> =
        kinds.into_iter().flatten().map(|(kind, count)| format!("{kind} {count}")).collect();
    each.sort_unstable();
    each.join(", ")
}
