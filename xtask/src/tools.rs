//! Tools that the tests need beside a Rust toolchain and a C compiler: found, or installed.
//!
//! Nothing is installed that is already there. System packages are installed only by root; anybody
//! else is told what to ask for.

use crate::failure::Failure;
use crate::run::{answers, output, run};
use std::path::Path;

/// The test runner, at the version that `.config/nextest.toml` was written for.
const NEXTEST: &str = "cargo-nextest@0.9.143";

/// A program of the system's, and the package that brings it.
struct Tool {
    program: &'static str,
    question: &'static [&'static str],
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    // The node's allocator is built with it.
    Tool { program: "make", question: &["--version"], package: "make" },
    // The stranger's verifier of receipts is written in Python, on purpose not in Rust.
    Tool { program: "python3", question: &["--version"], package: "python3" },
    // The end-to-end tests publish with somebody else's MQTT client.
    Tool { program: "mosquitto_pub", question: &["--help"], package: "mosquitto-clients" },
];

/// Sees to it that every tool is there.
///
/// # Errors
/// [`Failure::ToolMissing`] with what to do, or the failure of an installation.
pub(crate) fn install_missing(root: &Path) -> Result<(), Failure> {
    component(root, "fmt", "rustfmt")?;
    component(root, "clippy", "clippy")?;
    if !answers(root, "cargo", &["nextest", "--version"]) {
        println!("installing {NEXTEST}");
        run(root, "cargo", &["install", NEXTEST, "--locked"])?;
    }
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !is_there(root, tool)).collect();
    if missing.is_empty() { Ok(()) } else { install_packages(root, &missing) }
}

fn component(root: &Path, command: &str, component: &'static str) -> Result<(), Failure> {
    if answers(root, "cargo", &[command, "--version"]) {
        return Ok(());
    }
    let advice = format!("run `rustup component add {component}`");
    Err(Failure::ToolMissing { tool: component, advice })
}

/// Some programs answer `--help` with a failure, so their being found is what counts.
fn is_there(root: &Path, tool: &Tool) -> bool {
    answers(root, tool.program, tool.question) || answers(root, "which", &[tool.program])
}

fn install_packages(root: &Path, missing: &[&Tool]) -> Result<(), Failure> {
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let is_root = output(root, "id", &["-u"]).as_deref() == Some("0");
    if is_root && answers(root, "apt-get", &["--version"]) {
        println!("installing {}", packages.join(", "));
        run(root, "apt-get", &["update", "-qq"])?;
        let install = ["install", "--yes", "-qq", "--no-install-recommends"];
        run(root, "apt-get", &[&install, packages.as_slice()].concat())?;
    }
    match missing.iter().find(|tool| !is_there(root, tool)) {
        None => Ok(()),
        Some(tool) => {
            let advice = format!(
                "install the system's package `{}`, for example as root: apt-get install {}",
                tool.package,
                packages.join(" ")
            );
            Err(Failure::ToolMissing { tool: tool.program, advice })
        }
    }
}
