//! Builds the right program and every wrong one, as cargo builds everything else here.
//!
//! Promises that a wrong program fails with the one error that it names, on the line that it marks,
//! and that nothing else in the whole build fails. The builds ask cargo for the workspace in the
//! workspace's own folder, so that they find every crate built already by whoever runs the tests.
//! Refuses to know what the programs do.

use serde_json::Value;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Outcome = Result<(), Box<dyn Error>>;

/// Ends the line that must not compile.
const MARK: &str = "// wrong";
/// Begins the line that says why not.
const EXPECT: &str = "//! EXPECT: ";
/// What a test runner tells a test about its package. Left in place, it would look to build scripts
/// like a changed environment and make cargo build them again.
const OWN_PACKAGE: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "OUT_DIR"];

#[test]
fn the_right_program_compiles() -> Outcome {
    let built = build("right")?;
    assert!(built.success, "{:?}", built.faults);
    assert_eq!(built.faults, []);
    Ok(())
}

#[test]
fn an_unchecked_fragment_cannot_be_opened() -> Outcome {
    does_not_compile("open_unchecked_fragment")
}

#[test]
fn nothing_is_released_without_a_permit() -> Outcome {
    does_not_compile("release_without_permit")
}

#[test]
fn no_permit_is_made_outside_consent() -> Outcome {
    does_not_compile("make_permit_elsewhere")
}

#[test]
fn a_device_is_not_answered_before_its_frame_is_durable() -> Outcome {
    does_not_compile("acknowledge_frame_not_durable")
}

#[test]
fn a_gateway_is_not_answered_before_its_batch_is_durable() -> Outcome {
    does_not_compile("acknowledge_batch_not_durable")
}

#[test]
fn a_sealing_key_opens_nothing() -> Outcome {
    does_not_compile("open_with_sealing_epoch")
}

#[test]
fn an_unverified_sample_is_not_rendered() -> Outcome {
    does_not_compile("render_unverified_sample")
}

#[test]
fn a_view_is_no_height() -> Outcome {
    does_not_compile("compare_height_with_view")
}

#[test]
fn a_secret_has_no_copy() -> Outcome {
    does_not_compile("clone_secret")
}

#[test]
fn a_secret_has_no_text() -> Outcome {
    does_not_compile("print_secret")
}

#[test]
fn every_program_has_its_test() -> Outcome {
    for entry in fs::read_dir(folder().join("examples"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("a program without a name")?;
        assert!(include_str!("programs.rs").contains(&format!("(\"{name}\")")), "{name} has no test");
    }
    Ok(())
}

/// What the compiler complained of.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    code: String,
    text: String,
    /// Files, relative to the workspace, and lines within them, from 1.
    places: Vec<(String, u64)>,
}

struct Built {
    success: bool,
    faults: Vec<Fault>,
}

/// A wrong program fails as it says and in no other way.
fn does_not_compile(name: &str) -> Outcome {
    let path = format!("crates/wrong/examples/{name}.rs");
    let source = fs::read_to_string(workspace().join(&path))?;
    let expect = source.lines().find_map(|line| line.strip_prefix(EXPECT)).ok_or("no EXPECT line")?;
    let (code, words) = expect.split_once(' ').ok_or("EXPECT needs a code and words")?;
    let marked: Vec<u64> =
        (1..).zip(source.lines()).filter(|(_, line)| line.ends_with(MARK)).map(|(at, _)| at).collect();
    let [marked] = marked.as_slice() else { return Err("one line is to be marked".into()) };

    let built = build(name)?;
    assert!(!built.success, "{path} compiles");
    let [fault] = built.faults.as_slice() else {
        return Err(format!("{path}: one error is expected, not these: {:#?}", built.faults).into());
    };
    assert_eq!(fault.code, code, "{}", fault.text);
    assert!(fault.text.contains(words), "{path}: expected {words}, found {}", fault.text);
    assert!(!fault.places.is_empty(), "{}", fault.text);
    for (file, line) in &fault.places {
        assert_eq!((file, line), (&path, marked), "{}", fault.text);
    }
    Ok(())
}

/// Builds one program. With `--workspace`, cargo settles on the same features as for the tests.
fn build(name: &str) -> Result<Built, Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--locked", "--message-format=json", "--example", name]);
    cargo.args(["--features", "salus-wrong/wrong"]).current_dir(workspace());
    for (name, _) in env::vars_os() {
        if OWN_PACKAGE.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut faults = Vec::new();
    for line in text.lines() {
        faults.extend(fault(&serde_json::from_str(line)?));
    }
    // A cargo that could not even start compiling says why in words alone.
    if !output.status.success() && faults.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(Built { success: output.status.success(), faults })
}

/// The error in one line of cargo's report, if there is one. The compiler's closing count of errors
/// is none: it has no code and no place.
fn fault(report: &Value) -> Option<Fault> {
    let message = report.get("message").filter(|message| is(message, "level", "error"))?;
    let spans = message.get("spans")?.as_array()?;
    let code = message.pointer("/code/code").and_then(Value::as_str).unwrap_or_default();
    if code.is_empty() && spans.is_empty() {
        return None;
    }
    let primary = spans.iter().filter(|span| span.get("is_primary") == Some(&Value::Bool(true)));
    let place =
        |span: &Value| Some((span.get("file_name")?.as_str()?.to_owned(), span.get("line_start")?.as_u64()?));
    Some(Fault {
        code: code.to_owned(),
        text: message.get("rendered")?.as_str()?.to_owned(),
        places: primary.filter_map(place).collect(),
    })
}

fn is(value: &Value, field: &str, text: &str) -> bool {
    value.get(field).and_then(Value::as_str) == Some(text)
}

/// This crate's folder.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The workspace's root.
fn workspace() -> PathBuf {
    folder().join("../..")
}
