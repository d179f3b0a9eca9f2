//! A slice of the simulator's campaign: goes on at the seed after the last one that is logged, and writes
//! a line about it into `reliability/campaigns.md`, whatever came of it, so that seeds add up over slices.

use crate::failure::Failure;
use crate::log::{append, commit, counts, number};
use crate::run;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Where the lines are kept.
const LOG: &str = "reliability/campaigns.md";
/// How a line begins that counts, in a cell of its own.
const SEEDS: &str = "seeds ";

/// Runs worlds of so many members for so many minutes, or so many of them, and logs.
///
/// # Errors
/// [`Failure::Refused`] when a promise was broken, after it was logged; [`Failure::Report`] when the run
/// did not say what it did.
pub(crate) fn campaign(root: &Path, members: u16, seeds: u64, minutes: u64) -> Result<(), Failure> {
    let unusable = |path: &Path, source| Failure::Read { path: path.to_owned(), source };
    let log = root.join(LOG);
    let from = next(&fs::read_to_string(&log).map_err(|source| unusable(&log, source))?, members);
    let target = cargo_metadata::MetadataCommand::new().current_dir(root).no_deps().exec()?.target_directory;
    let out = target.join("campaign.json");
    if out.exists() {
        fs::remove_file(&out).map_err(|source| unusable(out.as_std_path(), source))?;
    }
    // An interrupt is for the run, which ends in order and says what it did.
    ctrlc::set_handler(|| {}).map_err(Failure::Interrupts)?;
    let commit = commit(root);
    let options = [
        ("--members", members.to_string()),
        ("--from", from.to_string()),
        ("--seeds", seeds.to_string()),
        ("--minutes", minutes.to_string()),
        ("--out", out.to_string()),
    ];
    let mut arguments = vec!["--keep-going".to_owned()];
    arguments.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    let ended = run::run(root, "cargo", &crate::simulator(&[], &arguments));
    if let Ok(text) = fs::read_to_string(&out) {
        let value: Value = serde_json::from_str(&text).map_err(Failure::Report)?;
        append(&log, &line(&commit, members, &value))?;
    }
    ended
}

/// The seed after the last one that is logged for this many members.
fn next(log: &str, members: u16) -> u64 {
    let last = log.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ours = cells.get(2).is_some_and(|cell| *cell == members.to_string());
        let range = cells.get(3)?.strip_prefix(SEEDS)?;
        let last = range.split_once('–')?.1.parse::<u64>().ok()?;
        ours.then_some(last)
    });
    last.max().map_or(1, |last| last.saturating_add(1))
}

/// One row of the table.
fn line(commit: &str, members: u16, value: &Value) -> String {
    let real = |name: &str| value.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let broken: Vec<String> = value
        .get("broken")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(seed, how)| format!("{seed}: {}", how.as_str().unwrap_or_default().replace('|', "/")))
        .collect();
    format!(
        "| {commit} | {members} | {SEEDS}{}–{} | {:.1} | {:.2} | {:.2} | {} | {} |",
        number(value, "from"),
        number(value, "until").saturating_sub(1),
        real("simulated_hours"),
        real("cpu_seconds") / 3_600.0,
        real("seeds_per_cpu_second"),
        counts(value, "faults"),
        if broken.is_empty() { "none".to_owned() } else { broken.join("; ") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slice_begins_where_the_last_one_of_its_size_ended() {
        let value = json!({
            "from": 1, "until": 501, "simulated_hours": 1.25, "cpu_seconds": 180.0,
            "seeds_per_cpu_second": 2.777, "faults": { "crash": 3, "lie": 1 }, "broken": { "7": "a | b" },
        });
        let four = line("abc", 4, &value);
        assert_eq!(four, "| abc | 4 | seeds 1–500 | 1.2 | 0.05 | 2.78 | crash 3, lie 1 | 7: a / b |");
        let head = include_str!("../../reliability/campaigns.md");
        let columns = head.lines().find(|line| line.starts_with("| commit | members | slice")).unwrap();
        assert_eq!(columns.matches('|').count(), four.matches('|').count());
        assert_eq!(next(&four, 4), 501);
        assert_eq!(next(&four, 7), 1);
        assert_eq!(next("nothing", 4), 1);
    }
}
