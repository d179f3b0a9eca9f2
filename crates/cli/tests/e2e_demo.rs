//! The demo as a newcomer runs it: real processes, real disks, exit code 0 only if every promise held.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::process::Command;

fn demo(members: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_salus"))
        .args(["--json", "demo", "--members", members, "--dir"])
        .arg(&dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}\n{}", String::from_utf8_lossy(&output.stderr), logs(&dir));
    serde_json::from_str(&said).unwrap()
}

fn logs(dir: &std::path::Path) -> String {
    let Ok(entries) = std::fs::read_dir(dir.join("logs")) else { return String::new() };
    let last = |text: String| {
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    };
    entries
        .flatten()
        .map(|entry| {
            format!(
                "== {:?}\n{}",
                entry.file_name(),
                last(std::fs::read_to_string(entry.path()).unwrap_or_default())
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn four_organisations_keep_every_promise() {
    let said = demo("4");
    assert_eq!(said["promises_kept"], true);
    // 300 s of ECG in frames of 1 s, and a heart rate a second once two beats are known.
    assert!(said["summary"]["readings_kept"].as_u64().unwrap() > 590);
}

#[test]
fn seven_organisations_keep_every_promise() {
    assert_eq!(demo("7")["promises_kept"], true);
}
