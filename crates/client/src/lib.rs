//! Talk to a consortium: submit, grant, read, list, and verify what comes back.
//!
//! The logic is in step machines ([`read`], [`listing`]) that know no network, no clock and no
//! entropy: they are told what was answered and say what to ask next. [`drive`] is the thin driver
//! that runs them over [`salus_link`]. This is the only road from the network to a
//! `Verified<Sample>` (INV-6).
#![forbid(unsafe_code)]

pub mod accounting;
pub mod activity;
pub mod ask;
pub mod drive;
pub mod emergency;
pub mod erasure;
pub mod error;
pub mod grant;
pub mod listing;
pub mod patience;
pub mod read;
mod read_keys;
mod read_segments;
pub mod receipt;
pub mod recovery;
mod settle;

pub use activity::ActivityList;
pub use ask::{Ask, Told};
pub use drive::Consortium;
pub use emergency::{Broken, GlassPlan};
pub use erasure::{Errand, Order, OrderFile, Receipts};
pub use error::{ClientError, Fault};
pub use grant::{GrantFile, LaneKey, Pending, UnbroughtLooks, Wallet};
pub use patience::Patience;
pub use read::{BrokenGlass, ReadPlan, ReadResult, Reader};
pub use read_segments::{Evidence, SegmentEvidence};
pub use recovery::{
    ApprovalFile, AskFile, CaseStages, GuardianFile, Prepared, Recovering, RecoveryWish, VetoFile,
};
