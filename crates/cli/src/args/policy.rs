//! The words of `salus policy`.

use super::{ClassArg, Place, PurposeArg};
use clap::{Args, Subcommand, ValueEnum};
use salus_wire::ObservationCode;
use salus_wire::ids::PartyId;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a policy, word by word, without sending it anywhere.
    ///
    /// A policy is Cedar: `permit` and `forbid` clauses, each with an `@id("…")` of its own. They may compare
    /// `principal.roles`, `resource.class`, `resource.kind`, `context.purpose` and `context.named` with the
    /// words that `salus grant create --help` knows, `resource.sensitive`, and `context.hour` (UTC) with hours.
    /// A `permit` for a sensitive class carries `@sensitive("…")` and names it. `docs/examples/hospital.cedar`
    /// is one to start from.
    Check {
        /// The policy.
        file: PathBuf,
    },
    /// Check a policy and put it on the ledger, in place of the member's last one.
    ///
    /// It binds every custodian's decision about the people whom the member registered, and can only take
    /// from what patients grant.
    Publish {
        #[command(flatten)]
        place: Place,
        /// The policy.
        file: PathBuf,
    },
    /// Show the policy that stands for a member, as a proof shows it.
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Say whether the policy of somebody's member would allow them to read, and by which clauses. The
    /// patient's grant is for `salus grant explain`.
    Explain(ExplainArgs),
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Who would read.
    #[arg(long)]
    pub(crate) party: PartyId,
    /// What they would read; a sensitive class by itself.
    #[arg(long = "class", value_enum, num_args = 1.., default_values = ["vitals", "waveform", "glucose"])]
    pub(crate) classes: Vec<ClassArg>,
    /// Which kinds of it; every kind when left out.
    #[arg(long = "code", num_args = 1..)]
    pub(crate) codes: Vec<ObservationCode>,
    /// For what purpose.
    #[arg(long, value_enum, default_value = "treat")]
    pub(crate) purpose: PurposeArg,
    /// How the patient's grant would name them: by themselves, or by a role.
    #[arg(long, value_enum, default_value = "self")]
    pub(crate) named: NamedArg,
    /// At which hour of the day, UTC; now when left out.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=23))]
    pub(crate) hour: Option<u8>,
    /// Judge by this policy instead of the one that stands.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamedArg {
    /// As this person or application.
    #[value(name = "self")]
    Themselves,
    /// By a role that they hold.
    Role,
}
