//! The one test command: everything that must pass before a commit lands, in order, cheap first.

use crate::failure::Failure;
use crate::run::{run, run_seeing_stderr};
use crate::tidy::tidy;
use crate::tools;
use std::path::Path;
use std::time::Instant;

/// Runs every step and stops at the first that fails. The last line is `N passed, N failed`.
///
/// # Errors
/// [`Failure::Step`], naming the step.
pub(crate) fn test(root: &Path) -> Result<(), Failure> {
    let cargo = |arguments: &[&str]| run(root, "cargo", arguments);
    step("tools", || tools::install_missing(root))?;
    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("clippy", || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "salus-sim/planted",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step("tidy", || tidy(root))?;
    // Building what the tests run together with the tests gives both the same features, so that
    // nothing is built twice.
    step("build", || cargo(&["build", "--workspace", "--bins", "--tests", "--locked"]))?;
    step("documentation", || documentation(root))?;
    let mut tally = Tally::default();
    let tested = step("tests", || nextest(root, &mut tally));
    println!("{tally}");
    tested
}

/// Runs one step under a heading and says how long it took.
fn step(name: &'static str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("== {name}");
    let started = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("== {name}: {word} after {:.1} s", started.elapsed().as_secs_f64());
    outcome.map_err(|source| Failure::Step { name, source: Box::new(source) })
}

/// Examples in documentation are tests too, but looking for them costs a build, so only if any.
fn documentation(root: &Path) -> Result<(), Failure> {
    let tree = crate::tidy::tree::Tree::read(root)?;
    if tree.texts.iter().any(|text| text.path.ends_with(".rs") && has_example(&text.text)) {
        return run(root, "cargo", &["test", "--doc", "--workspace", "--locked"]);
    }
    println!("no examples in documentation");
    Ok(())
}

/// Whether some documentation comment opens a block of Rust: a fence with no language but Rust's.
fn has_example(text: &str) -> bool {
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim_start();
        let Some(words) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            continue;
        };
        let Some(language) = words.trim().strip_prefix("```") else { continue };
        let mut languages = language.split(',').map(str::trim);
        let rust = |word: &str| matches!(word, "" | "rust" | "no_run" | "should_panic" | "compile_fail");
        if !inside && languages.all(rust) {
            return true;
        }
        inside = !inside;
    }
    false
}

fn nextest(root: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let arguments = ["nextest", "run", "--workspace", "--locked"];
    let success = run_seeing_stderr(root, "cargo", &arguments, |line| tally.read(line))?;
    if success && tally.failed == 0 && tally.passed > 0 {
        return Ok(());
    }
    Err(Failure::TestsFailed { count: tally.failed.max(1) })
}

/// What the runner counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    summary: String,
    passed: usize,
    failed: usize,
}

impl Tally {
    /// Looks for the runner's summary: `Summary [ 1.2s] 9 tests run: 7 passed (1 slow), 2 failed`.
    fn read(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("Summary [") else { return };
        let counts = rest.split_once("run:").map_or("", |(_, counts)| counts);
        *self = Self { summary: line.trim().to_owned(), passed: 0, failed: 0 };
        for count in counts.split(',') {
            let mut words = count.split_whitespace();
            let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed" | "timed" | "exec") => self.failed += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.summary)?;
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_summary_is_read() {
        for (line, passed, failed) in [
            ("     Summary [   0.011s] 24 tests run: 24 passed, 0 skipped", 24, 0),
            ("Summary [ 9.1s] 9 tests run: 5 passed (1 slow), 2 failed, 2 timed out, 0 skipped", 5, 4),
            ("Summary [ 9.1s] 3/9 tests run: 2 passed, 1 exec failed, 0 skipped", 2, 1),
            ("        PASS [   0.003s] salus-wire ids::tests::order", 0, 0),
        ] {
            let mut tally = Tally::default();
            tally.read(line);
            assert_eq!((tally.passed, tally.failed), (passed, failed), "{line}");
        }
    }

    #[test]
    fn the_last_line_is_plain() {
        let mut tally = Tally::default();
        tally.read("Summary [ 1s] 3 tests run: 2 passed, 1 failed, 0 skipped");
        assert_eq!(tally.to_string().lines().last(), Some("2 passed, 1 failed"));
    }

    #[test]
    fn examples_are_told_from_pictures() {
        assert!(has_example("/// ```\n/// a();\n/// ```\n"));
        assert!(has_example("//! ```compile_fail\n//! a();\n//! ```\n"));
        assert!(!has_example("//! ```text\n//! a -> b\n//! ```\n"));
        assert!(!has_example("// ```\nfn a() {}\n"));
    }
}
