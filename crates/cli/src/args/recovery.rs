//! The words of `salus recovery`.

use super::Place;
use clap::Subcommand;
use std::path::PathBuf;

/// Milliseconds of a delay of 72 hours.
const DELAY: &str = "72h";

#[derive(Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Prepare for the day the wallet is lost: name guardians, and have custodians keep their part.
    ///
    /// Writes one file for each guardian, to be handed on and removed here. Enough guardians and the custodians
    /// together can then give the patient's grant chain to a new wallet, after a delay within which the holder of
    /// this wallet can veto. Without --guardian it brings what is prepared to custodians that were away. To name
    /// others, withdraw the preparation first (`salus grant revoke`) and wait for its delay.
    Prepare {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        /// A guardian's file to write; give it once for each guardian, at least twice.
        #[arg(long = "guardian")]
        guardians: Vec<PathBuf>,
        /// How many of them must approve.
        #[arg(long, default_value_t = 2)]
        needed: u16,
        /// How long a case can be vetoed: 72h, 7d, 30m, 20s. Custodians take less than 24h only for trials.
        #[arg(long, default_value = DELAY, value_parser = milliseconds)]
        delay: u64,
        /// Write the veto to this file, and keep it away from the wallet: then whoever steals the wallet can veto
        /// nothing, and the file alone can.
        #[arg(long)]
        veto: Option<PathBuf>,
    },
    /// On a new device: make a wallet that is to come in the place of the lost one.
    Start {
        /// The new wallet's file to write.
        #[arg(long)]
        out: PathBuf,
        /// The file to write for the guardians. It holds no secret.
        #[arg(long)]
        ask: PathBuf,
    },
    /// As a guardian: approve a new wallet, after speaking to the patient.
    Approve {
        #[command(flatten)]
        place: Place,
        /// The guardian's file.
        #[arg(long)]
        guardian: PathBuf,
        /// What the patient gave, from `start`.
        #[arg(long)]
        ask: PathBuf,
        /// What the patient told you, by voice: twenty letters and digits. Do not copy them from what came with the file.
        #[arg(long)]
        fingerprint: String,
        /// The approval to write, for the patient.
        #[arg(long)]
        out: PathBuf,
    },
    /// Open the case with what guardians approved: the delay begins. It may be given again; a case that was vetoed
    /// is opened anew with new approvals.
    Open {
        #[command(flatten)]
        place: Place,
        /// The new wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        /// An approval; give it once for each guardian.
        #[arg(long = "approval", required = true)]
        approvals: Vec<PathBuf>,
    },
    /// When the delay is over: come in the place of the lost wallet, which is dead from then on.
    ///
    /// Every grant of the lost wallet is dead too; grant anew, prepare for emergencies anew, and prepare the
    /// recovery of the new wallet. It may be given again, so that custodians that were away hear of it.
    Finish {
        #[command(flatten)]
        place: Place,
        /// The new wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
    },
    /// Show what is prepared and whether a case is open, with proof.
    Status {
        #[command(flatten)]
        place: Place,
        /// A patient's wallet.
        #[arg(long, required_unless_present = "guardian", conflicts_with = "guardian")]
        wallet: Option<PathBuf>,
        /// A guardian's file.
        #[arg(long)]
        guardian: Option<PathBuf>,
    },
    /// Veto every case that is open. They are dead for good then.
    Veto {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long, required_unless_present = "veto", conflicts_with = "veto")]
        wallet: Option<PathBuf>,
        /// The veto, if it is kept apart: it needs no wallet.
        #[arg(long)]
        veto: Option<PathBuf>,
    },
}

/// A time with its unit, in milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number with one of the units s, m, h, d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let each: u64 = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(each).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_have_a_unit() {
        for (text, ms) in [("72h", 259_200_000), ("7d", 604_800_000), ("30m", 1_800_000), ("20s", 20_000)] {
            assert_eq!(milliseconds(text), Ok(ms));
        }
        for text in ["", "h", "72", "72w", "-1h", "1.5h", "18446744073709551615d", "7 h", "7é"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
