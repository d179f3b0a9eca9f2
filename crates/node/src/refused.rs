//! From the errors of every room to the one thing a caller is told: a code, a clause, and whether
//! to come again.

use crate::limits::RETRY_MS;
use salus_consent::Denied;
use salus_store::StoreError;
use salus_wire::rpc::Refusal;
use salus_wire::{Blame, Blob, Code};

/// A refusal of what cannot become right by waiting, with the clause that failed.
pub(crate) fn because(code: Code, detail: &str) -> Refusal {
    let detail = Blob::new(detail.as_bytes().to_vec()).unwrap_or_default();
    Refusal { code, detail, retry_after_ms: retry(code) }
}

/// A refusal that the code alone explains.
pub(crate) fn bare(code: Code) -> Refusal {
    Refusal { retry_after_ms: retry(code), ..Refusal::bare(code) }
}

/// A denial; its text names no patient, tag or key.
pub(crate) fn denied(denied: Denied) -> Refusal {
    because(denied.code(), &denied.to_string())
}

/// An engine's refusal.
pub(crate) fn engine(refused: salus_engine::Refused) -> Refusal {
    Refusal { retry_after_ms: refused.retry_after_ms, ..Refusal::bare(refused.code) }
}

/// A store's failure. What the disk said is for the log of this node alone.
pub(crate) fn store(error: &StoreError) -> Refusal {
    if error.code().blame() == Blame::Ours {
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "the store failed");
    }
    bare(error.code())
}

/// What is our fault may be right a moment later; what is the caller's will not.
fn retry(code: Code) -> u32 {
    match code {
        Code::Internal | Code::StorageFailed => 0,
        _ if code.blame() == Blame::Ours => RETRY_MS,
        _ => 0,
    }
}
