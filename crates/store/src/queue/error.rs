//! Why the queue cannot go on, or did not take a row.

use salus_wire::Code;

/// The queue's refusals and failures.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A frame, mark or device was refused. The caller's, or for now ours, as the code says.
    #[error("the queue refused: {}", .0.what())]
    Refused(Code),
    /// The disk failed. Ours.
    #[error("the queue's disk failed at `{path}`")]
    Disk {
        /// Which file or folder.
        path: String,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// A synced part of a file cannot be read back: the disk damaged acknowledged frames, or the
    /// machine key is another. Ours.
    #[error("the queue's file `{path}` is damaged at byte {at}, before frames that are intact")]
    Damaged {
        /// Which file.
        path: String,
        /// Where.
        at: u64,
    },
    /// The queue has stopped, because its disk failed or the process is ending. Ours.
    #[error("the queue has stopped")]
    Stopped,
    /// The operating system gave no randomness. Ours.
    #[error("no randomness from the operating system")]
    Entropy,
}

impl QueueError {
    /// The stable code a user sees.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused(code) => *code,
            Self::Disk { .. } | Self::Damaged { .. } | Self::Stopped => Code::QueueDisk,
            Self::Entropy => Code::Internal,
        }
    }
}
