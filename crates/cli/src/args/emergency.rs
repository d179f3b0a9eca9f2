//! The words for emergencies.

use super::{Place, SensitivityArg};
use clap::{Subcommand, ValueEnum};
use salus_wire::Reason;
use salus_wire::emergency::Verdict;
use salus_wire::ids::PartyId;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum EmergencyCommand {
    /// Prepare for an emergency: make the patient's card, and a grant that opens in one.
    ///
    /// With the card, any physician or nurse of any member who has a second factor can read without asking,
    /// while the patient and any f members are away. Every look is recorded before anything is opened, is on
    /// the patient's list, and goes to review. Run it again when custodians were away: those that lack their looks get
    /// them. With --renew it replaces looks that are used up.
    Prepare {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        /// The card's file: made when absent. The patient carries it; alone it opens nothing.
        #[arg(long)]
        card: PathBuf,
        /// Days for which it can be used.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: u64,
        /// Days back from now for which data may be read.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(0..=3_650))]
        back_days: u64,
        /// Open this sensitive class, alone, instead of the ordinary ones.
        #[arg(long, value_enum)]
        sensitivity: Option<SensitivityArg>,
        /// Make a new grant although one with the same classes stands: its looks are fresh. The one that it replaces
        /// is withdrawn once custodians are prepared.
        #[arg(long)]
        renew: bool,
    },
    /// Break the glass: read everything that the card's grants open, in an emergency.
    ///
    /// A use lasts an hour and has at most 8 looks; a person has at most 4 uses in 24 hours. Every use is to be
    /// reviewed: after 24 hours it is overdue, and two that wait longer than 72 hours suspend their user.
    Read {
        #[command(flatten)]
        place: Place,
        /// The clinician's file, from `salus person register`.
        #[arg(long)]
        person: PathBuf,
        /// Their second factor, from the same command.
        #[arg(long)]
        second_factor: PathBuf,
        /// The patient's card.
        #[arg(long)]
        card: PathBuf,
        /// Why the patient is not asked.
        #[arg(long, value_enum)]
        reason: ReasonArg,
        /// Write waveform samples here, as little-endian signed 16-bit.
        #[arg(long)]
        waveform: Option<PathBuf>,
        /// Print every reading.
        #[arg(long)]
        print: bool,
    },
    /// List the emergency uses of a member's people, as all members together tell.
    Reviews {
        #[command(flatten)]
        place: Place,
        /// The file of a person with the role of a privacy officer.
        #[arg(long)]
        person: PathBuf,
        /// Show those whose review is closed, too.
        #[arg(long)]
        all: bool,
    },
    /// Close the review of a person's emergency uses.
    Close {
        #[command(flatten)]
        place: Place,
        /// The file of a person with the role of a privacy officer.
        #[arg(long)]
        person: PathBuf,
        /// Whose uses.
        #[arg(long)]
        requester: PartyId,
        /// Only this look, by the beginning of its name as `reviews` shows it; every open one when left out.
        #[arg(long)]
        look: Option<String>,
        /// What came of the review. Custodians break no glass any more for the user of an unjustified one.
        #[arg(long, value_enum)]
        verdict: VerdictArg,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ReasonArg {
    /// The patient cannot consent.
    Incapable,
    /// Life or limb is in danger, and there is no time to ask.
    Danger,
    /// The patient is treated and their wallet cannot be reached.
    Unreachable,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum VerdictArg {
    /// There was an emergency.
    Justified,
    /// There was none.
    Unjustified,
}

impl From<ReasonArg> for Reason {
    fn from(reason: ReasonArg) -> Self {
        match reason {
            ReasonArg::Incapable => Self::Incapable,
            ReasonArg::Danger => Self::Danger,
            ReasonArg::Unreachable => Self::Unreachable,
        }
    }
}

impl From<VerdictArg> for Verdict {
    fn from(verdict: VerdictArg) -> Self {
        match verdict {
            VerdictArg::Justified => Self::Justified,
            VerdictArg::Unjustified => Self::Unjustified,
        }
    }
}
