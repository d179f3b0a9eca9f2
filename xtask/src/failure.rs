//! Everything that can stop an xtask command, one variant for each cause.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a command ended without doing its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The tree holds a folder or file that this user cannot read, or cannot write where it must.
    #[error("cannot use `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program is not installed, or this user may not run it.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ran and said no; its own output, above, says why.
    #[error("`{command}` ended with {status}")]
    Refused {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo could not describe the workspace.
    #[error("cannot ask cargo about the workspace")]
    Metadata(#[from] cargo_metadata::Error),
    /// The tree breaks the rules of the house; each finding has been printed.
    #[error("{count} findings break the house style: see STYLE.md")]
    Untidy {
        /// How many findings.
        count: usize,
    },
    /// Some tests did not pass; the runner has named them.
    #[error("{count} tests did not pass")]
    TestsFailed {
        /// How many tests.
        count: usize,
    },
    /// A tool is missing and this command may not or cannot install it.
    #[error("`{tool}` is missing: {advice}")]
    ToolMissing {
        /// The program looked for.
        tool: &'static str,
        /// What the reader should do.
        advice: String,
    },
    /// There is no fuzz target of that name.
    #[error("no fuzz target is called `{name}`; there are: {known}")]
    NoSuchTarget {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The system does not let this command outlive an interrupt.
    #[error("interrupts cannot be held back")]
    Interrupts(#[source] ctrlc::Error),
    /// A run ended and did not say in JSON what it had done.
    #[error("what a run says of itself cannot be read")]
    Report(#[source] serde_json::Error),
    /// A step of a longer command failed.
    #[error("step `{name}` failed")]
    Step {
        /// The step.
        name: &'static str,
        /// Why.
        source: Box<Self>,
    },
}
