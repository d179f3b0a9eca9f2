//! Real processes that are killed, frozen, cut off and given bad disks while a device streams: nothing
//! acknowledged is lost, members agree, what is withdrawn stays so. A longer run is
//! `cargo xtask torture --rounds 200`.

use std::process::Command;

/// Faults of one deck: each kind once.
const KINDS: usize = 15;

#[test]
fn every_kind_of_fault_loses_nothing_acknowledged() {
    let output = Command::new(env!("CARGO_BIN_EXE_salus"))
        .args(["--json", "torture", "--rounds", "15"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let count = |name: &str| said[name].as_u64().unwrap();
    assert_eq!(said["faults"].as_object().unwrap().len(), KINDS, "{said}");
    assert_eq!(count("lost"), 0);
    assert!(count("acknowledged") >= 15 * 20);
    assert!(count("read") >= count("acknowledged"));
    assert!(count("blocks_compared") >= 15, "{said}");
    assert!(count("state_roots_compared") >= 15 * 4, "{said}");
    assert_eq!(count("withdrawn_grants_refused"), 2);
}
