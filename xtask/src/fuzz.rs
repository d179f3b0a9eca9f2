//! Fuzzing: coverage-guided where the toolchain allows it, seeded mutation where it does not.
//!
//! Both ways run the same target functions of the package `salus-fuzz`.

use crate::failure::Failure;
use crate::run::{answers, run};
use crate::tidy::{targets, tree::Tree};
use std::fs;
use std::path::Path;

/// Where cargo-fuzz builds, apart from everything else, and keeps what it finds.
const OUTPUT: &str = "fuzz/target";

/// Runs one target, or all, for `seconds` each.
///
/// # Errors
/// [`Failure::NoSuchTarget`], or the failure of the fuzzer: it has found something.
pub(crate) fn fuzz(root: &Path, seconds: u32, only: Option<&str>) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let known = targets(&tree.paths);
    if let Some(name) = only.filter(|name| !known.contains(name)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::NoSuchTarget { name: name.to_owned(), known });
    }
    let guided = install_cargo_fuzz(root)?;
    for target in known.into_iter().filter(|target| only.is_none_or(|name| name == *target)) {
        println!("== fuzz {target} for {seconds} s");
        if guided { with_coverage(root, target, seconds)? } else { with_seed(root, target, seconds)? }
    }
    Ok(())
}

/// Whether coverage-guided fuzzing is possible: cargo-fuzz needs a nightly toolchain.
fn install_cargo_fuzz(root: &Path) -> Result<bool, Failure> {
    if !answers(root, "cargo", &["+nightly", "--version"]) {
        println!("no nightly toolchain: fuzzing by seeded mutation, without coverage");
        return Ok(false);
    }
    if !answers(root, "cargo", &["fuzz", "--version"]) {
        run(root, "cargo", &["install", "cargo-fuzz@0.13.2", "--locked"])?;
    }
    Ok(true)
}

/// What the fuzzer finds interesting goes to a folder of its own; the corpus in the tree is only read.
fn with_coverage(root: &Path, target: &str, seconds: u32) -> Result<(), Failure> {
    let found = format!("{OUTPUT}/found/{target}");
    let path = root.join(&found);
    fs::create_dir_all(&path).map_err(|source| Failure::Read { path, source })?;
    let corpus = format!("fuzz/corpus/{target}");
    let limit = format!("-max_total_time={seconds}");
    let cargo = ["+nightly", "fuzz", "run", "--target-dir", OUTPUT, "--features", "libfuzzer"];
    run(root, "cargo", &[cargo.as_slice(), &[target, &found, &corpus, "--", &limit]].concat())
}

fn with_seed(root: &Path, target: &str, seconds: u32) -> Result<(), Failure> {
    let seconds = seconds.to_string();
    let cargo = ["run", "--quiet", "--package", "salus-fuzz", "--", "run"];
    run(root, "cargo", &[cargo.as_slice(), &["--seconds", &seconds, target]].concat())
}
