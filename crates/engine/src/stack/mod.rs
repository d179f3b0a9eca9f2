//! How the engine underneath is put together: network, archive, consensus, and our part.
//!
//! Promises that all members put it together alike, and that sizes and queues are bounded; the
//! numbers stand in the files of the parts. Refuses to know what is voted on.

mod archive;
mod consensus;
mod network;
mod parts;

pub(crate) use network::links;
pub(crate) use parts::run;
