//! The command line from outside: help, exit codes, coded errors that name the entry at fault.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;
use std::process::{Command, Output};

fn salus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_salus")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_command_explains_itself() {
    let commands: &[&[&str]] = &[
        &[],
        &["demo"],
        &["init"],
        &["node"],
        &["gateway"],
        &["person", "register"],
        &["person", "revoke"],
        &["patient", "new"],
        &["device", "enrol"],
        &["device", "stream"],
        &["device", "sign"],
        &["device", "credentials"],
        &["device", "revoke"],
        &["grant", "create"],
        &["grant", "revoke"],
        &["grant", "list"],
        &["read"],
        &["access", "list"],
        &["receipt", "verify"],
        &["status"],
        &["explain"],
        &["bench"],
    ];
    for command in commands {
        let output = salus(&[command, &["--help"][..]].concat());
        assert!(output.status.success(), "{command:?}");
        let text = stdout(&output);
        assert!(text.contains("Usage:") && text.contains("--json"), "{command:?}: {text}");
    }
}

#[test]
fn failures_have_a_code_a_blame_a_next_step_and_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("node.toml");
    std::fs::write(&bad, "member = 0\ncolour = \"red\"\n").unwrap();
    let bad = bad.to_str().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, "name = \"x\"\nmember = []\ncolour = 1\n").unwrap();
    let plan = plan.to_str().unwrap();
    let fresh = folder.path().join("fresh").display().to_string();
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["node", "--config", bad], 2, "SAL-5001", "colour"),
        (&["gateway", "--config", bad], 2, "SAL-5001", "colour"),
        (&["node", "--config", &missing], 1, "SAL-5002", "missing"),
        (&["status", "--dir", &missing], 1, "SAL-5002", "missing"),
        (&["init", "--dir", &fresh, "--plan", plan], 2, "SAL-5001", "colour"),
        (&["init", "--dir", folder.path().to_str().unwrap()], 2, "SAL-5008", "exists"),
        (&["receipt", "verify", &missing, "--policy", bad], 2, "SAL-5001", ""),
        (&["explain", "SAL-9999"], 2, "SAL-5008", "SAL-9999"),
    ];
    for (args, status, code, names) in cases {
        let output = salus(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {said}");
        assert!(said.contains(code) && said.contains(names), "{args:?}: {said}");
        assert!(said.contains("to blame:") && said.contains("next:"), "{args:?}: {said}");
        let json = salus(&[&["--json"], *args].concat());
        let value: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
        assert_eq!(value["error"], *code, "{args:?}");
    }
}

#[test]
fn every_code_has_a_page_that_says_the_same() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in salus_wire::Code::ALL {
        let page = pages.join(format!("{code}.md"));
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(code.what()) && text.contains(code.next_step()), "{code}");
    }
    assert_eq!(std::fs::read_dir(pages).unwrap().count(), salus_wire::Code::ALL.len());
}
