//! The gateway's durable queue: a frame is acknowledged because it is here, and for no other
//! reason.
//!
//! # Specification
//! *Kept* (INV-1). [`Durable`] exists only after the group that holds its row was synced. After a
//! crash at any instant, every row whose `Durable` was given out is found again or was done.
//!
//! *Once.* A frame is named by its device and sequence. The same bytes again are answered as
//! durable; other bytes under a known name are refused. What is remembered of a device is bounded:
//! which sequences were seen, exactly, as up to [`RANGES_MAX`] ranges (beyond that the oldest gap
//! counts as seen), and a fingerprint of the last [`RECENT_MAX`] frames. A repetition older than
//! these cannot be told from a reuse and is refused: never acknowledged, never kept twice. A device
//! repeats only what was not yet acknowledged, which is far less.
//!
//! *Bounded.* Rows, files and waiting callers have maxima. A full queue refuses; it forgets nothing.
//!
//! *Sealed.* Everything after a file's first sector is sealed under a key of that file's own.
//!
//! # How
//! Records gather while the disk works and are written as one sealed group with one `fdatasync`
//! (group commit). A group begins on a sector boundary, and is written only after the one before it
//! was synced. So at recovery an unreadable group with nothing readable after it is a torn tail,
//! which nobody was told of, and is cut; an unreadable group with a readable one after it was synced
//! and then damaged, and the queue refuses to open. Files are only ever appended to by the process
//! that made them: a restart begins a new file under a new key, so no nonce can be used twice.
//!
//! A file opens with a checkpoint of what is remembered, so that older files can be deleted when
//! all their rows are done. Rows are done strictly in order, as one watermark: a later batch may
//! lean on an earlier one (the segments of an epoch are read without gaps).
//!
//! # What it does not promise
//! It cannot tell the last group rotting on disk from a torn one, nor a whole disk set back to an
//! earlier day. It knows nothing of what frames say.
//!
//! The rooms, in reading order: [`row`] what is kept; [`seen`] what was seen before; [`file`] the
//! format and its recovery; [`machine`] every decision, as a step machine; [`drive`] the thin
//! driver, and the [`Reader`].

mod drive;
mod error;
pub mod file;
pub mod machine;
pub mod row;
mod seen;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod drive_tests;

pub use drive::{Pending, Queue, Reader, Stats, open};
pub use error::QueueError;
pub use machine::{Durable, Limits};
pub use row::{Arrival, Route, Row, RowNumber};
pub use seen::{DEVICES_MAX, RANGES_MAX, RECENT_MAX};
