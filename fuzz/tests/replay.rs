//! Every fuzz target on its corpus and on a bounded number of mutations, on every test run.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use salus_fuzz::replay::replay;
use salus_fuzz::wire::SHAPES;
use salus_fuzz::{TARGETS, Target, corpus};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Runs of one target: some seconds without optimisation.
const RUNS: u64 = 20_000;
/// Runs of the one that reads Cedar, which takes milliseconds for a text.
const CEDAR_RUNS: u64 = 2_000;
/// Fixed, so that a failure repeats. `cargo xtask fuzz` takes new ones.
const SEED: u64 = 20_260_801;

fn check(name: &str) {
    println!("seed {SEED}");
    let target = Target::named(name).expect("the target is in the list");
    let inputs = corpus::read(name).expect("the corpus is there");
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    let runs_max = if name == "consent_policy" { CEDAR_RUNS } else { RUNS };
    if let Err(broken) = replay(target, &inputs, SEED, |runs| runs < runs_max) {
        panic!("{broken}: {:02x?}", broken.input);
    }
}

#[test]
fn wire_decode() {
    check("wire_decode");
}

#[test]
fn proof_certificate() {
    check("proof_certificate");
}

#[test]
fn proof_policy() {
    check("proof_policy");
}

#[test]
fn proof_receipt() {
    check("proof_receipt");
}

#[test]
fn store_journal() {
    check("store_journal");
}

#[test]
fn clinical_frame() {
    check("clinical_frame");
}

#[test]
fn clinical_segment() {
    check("clinical_segment");
}

#[test]
fn clinical_consent() {
    check("clinical_consent");
}

#[test]
fn consent_policy() {
    check("consent_policy");
}

#[test]
fn link_frame() {
    check("link_frame");
}

#[test]
fn queue_file() {
    check("queue_file");
}

#[test]
fn mqtt_speaker() {
    check("mqtt_speaker");
}

#[test]
fn every_target_has_a_door_and_a_manifest_entry() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let doors: BTreeSet<String> = fs::read_dir(root.join("fuzz_targets"))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().replace(".rs", ""))
        .collect();
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(doors, listed);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is there");
    let tests = include_str!("replay.rs");
    for name in listed {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "no [[bin]] for {name}");
        assert!(tests.contains(&format!("check(\"{name}\")")), "no test for {name}");
    }
}

/// A corpus that decodes to nothing tests nothing: after a change of format, write a new one with
/// `cargo run --package salus-fuzz -- seed`.
#[test]
fn the_corpus_holds_a_value_of_every_wire_type() {
    let inputs = corpus::read("wire_decode").expect("the corpus is there");
    for (selector, shape) in (0_u8..).zip(SHAPES) {
        let is_value = |input: &Vec<u8>| input[0] == selector && (shape.accepts)(&input[1..]);
        assert!(inputs.iter().any(is_value), "no input is a {}", shape.name);
    }
}
