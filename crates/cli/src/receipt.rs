//! `salus receipt`: check a receipt with nothing but a trust policy.

use crate::args::ReceiptCommand;
use crate::files::{read_at_most, read_text};
use crate::output::{Failure, Report};
use salus_clinical::{Sample, render};
use salus_proof::receipt::{RECEIPT_BYTES_MAX, read, verify};
use salus_proof::{TrustPolicy, Verified};
use salus_wire::Code;
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub(crate) fn run(command: &ReceiptCommand) -> Result<Report, Failure> {
    let ReceiptCommand::Verify { receipt, policy } = command;
    let verified = check(receipt, policy)?;
    let (at, writer) = (verified.at(), verified.writer());
    Ok(Report::new(json!({
        "valid": true,
        "reading": crate::read::reading_value(&verified),
        "kept_since_height": at.height.get(),
        "kept_since_ms": at.time.get(),
        "gateway": writer.to_string(),
    }))
    .line("the receipt is valid")
    .line(format!("  {}", render::line(&verified)))
    .line(format!("  kept since height {}, by gateway {writer}", at.height)))
}

/// Checks a receipt file.
pub(crate) fn check(receipt: &Path, policy: &Path) -> Result<Verified<Sample>, Failure> {
    let policy = TrustPolicy::from_toml(&read_text(policy)?)
        .map_err(|error| Failure::new(Code::ConfigInvalid, error.to_string()))?;
    let receipt = read(&read_at_most(receipt, RECEIPT_BYTES_MAX)?)
        .map_err(|error| Failure::new(Code::ReceiptInvalid, error.to_string()))?;
    verify(&policy, &receipt).map_err(|error| Failure::new(Code::ReceiptInvalid, error.to_string()))
}
