//! What can go wrong while a region is made. Each is a mistake of this room's or of whoever asked.

use salus_client::ClientError;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum LinkageError {
    /// The caller asked for a region in which nothing can be measured.
    #[error("a region needs members, a gateway for each, patients and days")]
    Region,
    /// The product's client would not make a transaction.
    #[error("the client made no transaction")]
    Client(#[from] ClientError),
    /// A value is beyond what the wire carries.
    #[error("a value does not fit the wire")]
    Wire,
    /// The ledger refused what the region did, so that the region is no model of it.
    #[error("the ledger refused {refused} of {all} transactions")]
    Refused {
        /// How many.
        refused: usize,
        /// Of how many.
        all: usize,
    },
}
