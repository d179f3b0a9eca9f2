//! The one place of this crate that draws entropy: a fresh generator, seeded by the system.

use crate::refused;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_wire::Code;
use salus_wire::rpc::Refusal;

/// A generator for one piece of work.
///
/// # Errors
/// When the system gives no entropy; nothing may be sealed then.
pub(crate) fn entropy() -> Result<StdRng, Refusal> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| refused::bare(Code::Internal))
}
