//! No core file of this process: what a crash would leave on the disk holds keys and readings.

use crate::output::Failure;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use salus_wire::Code;

/// Has the kernel write no core file of this process, and let no other process of this user read
/// its memory. Held by both: a limit of zero does not bind a program that cores are piped to.
///
/// # Errors
/// When the kernel refuses; then nothing secret may be loaded.
pub(crate) fn prevent() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let refused = |errno| Failure::new(Code::Internal, format!("core files cannot be prevented: {errno}"));
    setrlimit(Resource::Core, none).map_err(refused)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused)
}
