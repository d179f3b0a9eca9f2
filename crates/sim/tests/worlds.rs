//! What fits into every run of the tests: a few hundred worlds, other ones for each size, and the
//! same worlds twice.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use serde_json::Value;
use std::process::Command;

/// Runs worlds; gives what they came to.
fn worlds(arguments: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_salus-sim")).arg("--json").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

/// A run that checked nothing would pass: these must have happened.
fn happened(total: &Value, of: &str, what: &[&str]) {
    for what in what {
        let count = total.get(of).and_then(|of| of.get(what)).and_then(Value::as_u64);
        assert!(count.is_some_and(|count| count > 0), "no {what} in {total:#}");
    }
}

#[test]
fn every_promise_holds_in_worlds_of_four_members() {
    let total = worlds(&["--seeds", "300"]);
    let faults =
        ["blackout", "clock jump", "crash", "cut link", "failing disk", "full disk", "gateway crash", "lie"];
    happened(&total, "faults", &faults);
    happened(&total, "faults", &["rotten fragment", "lost call", "doubled call", "doubled frame"]);
    happened(&total, "checked", &["frames kept", "reads that succeeded", "withdrawals", "restarts"]);
    happened(&total, "checked", &["key shares released", "lists proven complete"]);
}

#[test]
fn every_promise_holds_in_worlds_of_seven_members() {
    let total = worlds(&["--seeds", "30", "--members", "7"]);
    happened(&total, "checked", &["frames kept", "reads that succeeded", "withdrawals"]);
}

/// Seeds beyond those of the other tests in which something broke once: `reliability/found.md`.
const BROKE_ONCE: [&str; 11] =
    ["407", "1302", "1717", "1753", "2484", "13213", "19197", "100071", "100109", "200029", "200099"];

#[test]
fn every_promise_holds_in_worlds_that_broke_once() {
    for seed in BROKE_ONCE {
        worlds(&["--seeds", "1", "--from", seed]);
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    worlds(&["--seeds", "5", "--from", "40", "--twice"]);
}
