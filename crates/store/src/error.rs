//! What can go wrong between a promise and a disk, and whose fault it is.

use salus_wire::Code;
use std::io;
use std::path::PathBuf;

/// Why something is not durable, or cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or so nearly that what is left is kept for the ledger. Ours.
    #[error("no room for {wanted} bytes beside the reserve of {reserve}")]
    Full {
        /// Bytes that were to be written.
        wanted: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
    /// The disk said no while an object was written or read. Ours.
    #[error("the disk failed at object `{object}`")]
    Object {
        /// The object's name; reveals no patient.
        object: String,
        /// What the disk said.
        #[source]
        source: object_store::Error,
    },
    /// The disk said no while a file was written or read. Ours.
    #[error("the disk failed at `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed, so nothing can be promised until the disk is checked. Ours.
    #[error("the disk failed before, check it and restart")]
    Poisoned,
    /// The object exists with other content. The caller's.
    #[error("something else is kept under that name already")]
    Occupied,
    /// An object on our disk is not what was written. Ours.
    #[error("object `{object}` is not what was written")]
    Corrupt {
        /// The object's name; reveals no patient.
        object: String,
    },
    /// A folder holds more objects than a listing may name. Ours.
    #[error("folder `{folder}` holds more objects than can be listed")]
    TooMany {
        /// The folder's name; reveals no patient.
        folder: String,
    },
    /// A journal has a bad record before its end, where no crash can put one. Ours.
    #[error("journal `{}` is damaged at byte {at}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the first bad record begins.
        at: u64,
    },
    /// A journal has reached its limit and must be rewritten first. Ours.
    #[error("journal `{}` is at its limit", path.display())]
    JournalFull {
        /// Which file.
        path: PathBuf,
    },
    /// A batch holds nothing, or one segment twice. The caller's.
    #[error("the batch is empty or holds one segment twice")]
    BadBatch,
    /// A key file is readable by others than its owner. The caller's.
    #[error("key file `{}` must be readable by its owner alone (mode 0600)", path.display())]
    KeyExposed {
        /// Which file.
        path: PathBuf,
    },
    /// A key file does not hold exactly 32 bytes. The caller's.
    #[error("key file `{}` does not hold exactly 32 bytes", path.display())]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// A key file lies in the data folder, where it would be copied along with what it seals. The
    /// caller's.
    #[error("key file `{}` lies inside the data folder", path.display())]
    KeyAmongData {
        /// Which file.
        path: PathBuf,
    },
}

impl StoreError {
    /// The stable code that a caller or operator is given.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Full { .. } => Code::StoreFull,
            Self::Object { .. }
            | Self::File { .. }
            | Self::Poisoned
            | Self::Corrupt { .. }
            | Self::TooMany { .. }
            | Self::Damaged { .. }
            | Self::JournalFull { .. } => Code::StorageFailed,
            Self::Occupied | Self::BadBatch => Code::BatchMismatch,
            Self::KeyExposed { .. } | Self::NotAKey { .. } | Self::KeyAmongData { .. } => {
                Code::FileUnreadable
            }
        }
    }
}
