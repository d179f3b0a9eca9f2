//! The words for the review of who looks at what.

use super::Place;
use clap::{Args, Subcommand, ValueEnum};
use salus_wire::activity::Verdict;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum ActivityCommand {
    /// List what a member's people looked at, as all members together remember.
    List(ActivityArgs),
    /// Find which of it should be looked at, and put that on a queue.
    ///
    /// Asked about are: far more patients than usual on one day, hours off duty, no care relation, the same rare
    /// surname, one's own record, and records that the member watches. A finding is a question, not a verdict.
    /// What the member does not say in the files is not guessed. Each file is CSV with a header:
    ///
    ///   people:   party,surname
    ///   duty:     party,from,until          (such as 2026-11-27T07:00:00+01:00)
    ///   patients: patient,surname,party,watched   (the name from `salus activity name`; party when the patient
    ///             is one of the member's people; watched is yes or empty)
    #[command(verbatim_doc_comment)]
    Review {
        #[command(flatten)]
        activity: ActivityArgs,
        /// The queue's file: made when absent, and added to. Only its holder can read it.
        #[arg(long)]
        queue: PathBuf,
        /// Who the member's people are.
        #[arg(long)]
        people: Option<PathBuf>,
        /// When they were on duty.
        #[arg(long)]
        duty: Option<PathBuf>,
        /// Who the patients are.
        #[arg(long)]
        patients: Option<PathBuf>,
        /// What the member's clocks show beyond UTC, in minutes.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-840..=840))]
        utc_offset_minutes: i32,
    },
    /// Show a queue: what is open, or all of it.
    Queue {
        /// The queue's file.
        #[arg(long)]
        queue: PathBuf,
        /// Show what is closed, too.
        #[arg(long)]
        all: bool,
    },
    /// Close a finding, with the officer's signature.
    Close {
        #[command(flatten)]
        place: Place,
        /// The file of a person with the role of a privacy officer.
        #[arg(long)]
        person: PathBuf,
        /// The queue's file.
        #[arg(long)]
        queue: PathBuf,
        /// The finding, as `queue` shows it.
        #[arg(long)]
        finding: String,
        /// What came of it.
        #[arg(long, value_enum)]
        verdict: ActivityVerdictArg,
    },
    /// Tell the name under which records of activity know a patient, from a grant on their data.
    Name {
        /// The file of a grant, such as that of the treatment relation.
        #[arg(long)]
        grant: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct ActivityArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The file of a person with the role of a privacy officer.
    #[arg(long)]
    pub(crate) person: PathBuf,
    /// Days back from today, today among them. Habits are known after 20 days at work.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=2_192))]
    pub(crate) days: u32,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ActivityVerdictArg {
    /// There was a reason to look.
    Explained,
    /// There was none.
    Unexplained,
}

impl From<ActivityVerdictArg> for Verdict {
    fn from(verdict: ActivityVerdictArg) -> Self {
        match verdict {
            ActivityVerdictArg::Explained => Self::Explained,
            ActivityVerdictArg::Unexplained => Self::Unexplained,
        }
    }
}
