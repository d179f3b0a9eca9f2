//! Real processes under kill -9 while a device streams: nothing acknowledged is lost. A longer run is
//! `cargo xtask torture --rounds 200`.

use std::process::Command;

#[test]
fn twenty_rounds_of_kill_9_lose_nothing_acknowledged() {
    let output = Command::new(env!("CARGO_BIN_EXE_salus"))
        .args(["--json", "torture", "--rounds", "20"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["lost"], 0);
    assert!(said["acknowledged"].as_u64().unwrap() >= 400);
    assert!(said["read"].as_u64().unwrap() >= said["acknowledged"].as_u64().unwrap());
}
