//! What the queue keeps: rows, and the marks between them. Values only.

use borsh::{BorshDeserialize, BorshSerialize};
use salus_crypto::chain::ChainAnchor;
use salus_crypto::sign::PublicKey;
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::{BatchNumber, Blob, DataClass, DeviceId, List, ObservationCode, Sequence, StreamId, TimeMs};

/// Records in one group.
pub const GROUP_RECORDS_MAX: usize = 8_192;
/// Bytes of records at which a group is full.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// A row's place in the queue. Grows for ever; a number is given to one durable row only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize,
)]
pub struct RowNumber(u64);

impl RowNumber {
    /// Names the number.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Where a frame's reading belongs, decided when it was admitted, so that a row can be sealed
/// whatever has since become of its device.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Route {
    /// The key that signed the frame.
    pub key: PublicKey,
    /// The grant chain that can open it.
    pub grants: ChainAnchor,
    /// Its class of data.
    pub class: DataClass,
    /// Its kind.
    pub code: ObservationCode,
    /// Its series.
    pub stream: StreamId,
}

/// A verified frame on its way into the queue.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Arrival {
    /// Who signed it.
    pub device: DeviceId,
    /// As what.
    pub sequence: Sequence,
    /// The gateway's clock when it came.
    pub received: TimeMs,
    /// Where it belongs.
    pub route: Route,
    /// The frame as the device sent it.
    pub frame: Blob<FRAME_BYTES_MAX>,
}

/// A frame in the queue.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Row {
    /// Its place.
    pub number: RowNumber,
    /// What it is.
    pub arrival: Arrival,
}

/// What a group holds.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// A frame.
    Row(Row),
    /// This batch number is taken for ever.
    Started(BatchNumber),
    /// Every row below this number is anchored.
    DoneBelow(RowNumber),
    /// The first record of a file: what is remembered of all files before it.
    Checkpoint(Box<Checkpoint>),
}

/// What a file must know of those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// The next row's number.
    pub next_row: RowNumber,
    /// The next batch's number.
    pub next_batch: BatchNumber,
    /// Every row below this number is anchored.
    pub done_below: RowNumber,
    /// What was seen of each device, in order of device.
    pub devices: Vec<(DeviceId, super::seen::SeenDevice)>,
}

/// The plaintext of a group.
pub type Group = List<Record, GROUP_RECORDS_MAX>;
