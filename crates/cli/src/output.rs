//! How a command speaks: text or JSON, and failures with a code, a blame and a next step.

use salus_client::ClientError;
use salus_wire::{Blame, Code};
use serde_json::{Value, json};
use std::fmt;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// More about it: a path, an address, a member. Never patient data.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// Names the file a failure is about.
    pub(crate) fn file(path: &std::path::Path, what: impl fmt::Display) -> Self {
        Self::new(Code::FileUnreadable, format!("`{}`: {what}", path.display()))
    }

    /// Something that Salus promises did not hold.
    pub(crate) fn broken(detail: impl Into<String>) -> Self {
        Self::new(Code::PromiseBroken, detail)
    }

    fn exit(&self) -> ExitCode {
        ExitCode::from(match self.code {
            Code::PromiseBroken => 3,
            Code::Usage | Code::ConfigInvalid => 2,
            _ => 1,
        })
    }

    fn blame(&self) -> &'static str {
        match self.code.blame() {
            Blame::Caller => "caller",
            Blame::Peer => "peer",
            Blame::Ours => "this process",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.code.what())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut detail = error.to_string();
        for fault in error.faults() {
            detail.push_str(&format!("; member {}: {} {}", fault.member, fault.code, fault.code.what()));
        }
        Self::new(error.code(), detail)
    }
}

/// What a command has to say when it succeeds: lines for people, a value for programs.
pub(crate) struct Report {
    pub(crate) lines: Vec<String>,
    pub(crate) value: Value,
}

impl Report {
    pub(crate) fn new(value: Value) -> Self {
        Self { lines: Vec::new(), value }
    }

    #[must_use]
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    #[must_use]
    pub(crate) fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// Prints the result and yields the exit code.
pub(crate) fn finish(result: Result<Report, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(report) if json => print_json(&report.value),
        Ok(report) => {
            for line in report.lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if json {
                print_json(&failure_value(&failure));
            } else {
                eprintln!("error: {failure}");
                eprintln!("  to blame: {}", failure.blame());
                eprintln!("  next:     {}", failure.code.next_step());
            }
            failure.exit()
        }
    }
}

fn print_json(value: &Value) -> ExitCode {
    println!("{value:#}");
    ExitCode::SUCCESS
}

fn failure_value(failure: &Failure) -> Value {
    json!({
        "error": failure.code.to_string(),
        "what": failure.code.what(),
        "detail": failure.detail,
        "blame": failure.blame(),
        "next": failure.code.next_step(),
    })
}
