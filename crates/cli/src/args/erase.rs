//! The words of `salus erase`.

use super::Place;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum EraseCommand {
    /// Have everything that was kept under a wallet destroyed: by every member, and for good.
    ///
    /// Withdraws every grant, records the order on the ledger, and carries it to every member. It may be cut
    /// short at any time and given again: it goes on where it was. It cannot be taken back.
    Order {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        /// The file to write, for the operator of the gateway.
        #[arg(long)]
        out: PathBuf,
        /// Go on although the fragments of some epochs cannot be named: they stay, as ciphertext without a key.
        #[arg(long)]
        leave_unnamed: bool,
        /// Once every holder has signed, destroy the wallet too: then nobody can tell any more which entries of
        /// the ledger were the patient's.
        #[arg(long)]
        and_wallet: bool,
    },
    /// Say who has signed that everything is destroyed, and who has not, with proof.
    Status {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
    },
    /// As the operator of a gateway: forget everything of a patient who has ordered erasure.
    ///
    /// The running gateway takes note within seconds, and signs; one that does not run signs when it is
    /// started.
    Forget {
        #[command(flatten)]
        place: Place,
        /// The gateway's folder name within the consortium folder.
        #[arg(long, default_value = "gateway-0")]
        gateway: String,
        /// The order's file, as the patient gave it.
        #[arg(long)]
        order: PathBuf,
    },
}
