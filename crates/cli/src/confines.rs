//! What the kernel allows this process.

use crate::output::Failure;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use salus_wire::Code;

/// Has the kernel write no core file of this process, which would hold keys and readings, and let no
/// other process of this user read its memory. Held by both: a limit of zero does not bind a program
/// that cores are piped to.
///
/// # Errors
/// When the kernel refuses; then nothing secret may be loaded.
pub(crate) fn prevent_core_files() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let refused = |errno| Failure::new(Code::Internal, format!("core files cannot be prevented: {errno}"));
    setrlimit(Resource::Core, none).map_err(refused)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused)
}

/// Has the kernel allow this process as many open files as its user may have: by habit a process gets
/// 1,024, which a member's connections and its archive's files can need together.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn allow_files() -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let refused = |errno| Failure::new(Code::Internal, format!("more open files are refused: {errno}"));
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(refused)
}
