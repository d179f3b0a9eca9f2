//! Why a frame or a segment is refused, and whose fault it is.
//!
//! Promises that no message repeats what the frame said: only which rule it broke. Refuses to know
//! where the bytes came from.

use salus_wire::Code;

/// A frame that is not one canonical, known, possible reading. The device's maker is to blame, or
/// whoever altered it on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Longer than [`salus_wire::limits::FRAME_BYTES_MAX`].
    #[error("the device sent a frame of {bytes} bytes, more than its limit")]
    TooLarge {
        /// Bytes received.
        bytes: usize,
    },
    /// Not one CBOR item of the right shape: cut short, trailing bytes, another tag.
    #[error("the device sent bytes that are no tagged COSE_Sign1")]
    NotCose,
    /// The headers are not exactly the three protected ones.
    #[error("the device sent other headers than algorithm, key identifier and sequence, all protected")]
    Headers,
    /// The payload is not exactly one SenML record of known fields.
    #[error("the device sent a payload that is not one record of the listed fields")]
    Payload,
    /// A number outside what the format permits, floating point included.
    #[error("the device sent a number that is not an exact decimal or integer within bounds")]
    Number,
    /// A waveform without samples, of odd length, too long, or at an impossible rate.
    #[error("the device sent a waveform that is empty, too long, or of an impossible rate")]
    Waveform,
    /// Another encoding of the same frame: long integers, indefinite lengths, other order.
    #[error("the device sent a frame that is not in the one canonical encoding")]
    NotCanonical,
    /// The kind of observation is not listed.
    #[error("the device sent a kind of observation that is not listed")]
    KindUnknown,
    /// The unit is not the listed one, or the value has another form than the kind.
    #[error("the device sent a unit or form of value that does not fit the kind of observation")]
    UnitUnknown,
    /// The time is before 1978-07-04 (where RFC 8428 takes it as relative) or after the year 9999.
    #[error("the device sent an impossible time")]
    Time,
    /// The signature is not the device's.
    #[error("the device's signature does not verify")]
    Signature,
}

/// Frames that cannot be packed, or bytes that are no packed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    /// No frames, or more than a segment may hold; the caller's fault.
    #[error("the caller gave {frames} frames where 1 to {limit} are allowed")]
    Count {
        /// Frames given.
        frames: usize,
        /// Frames allowed.
        limit: usize,
    },
    /// Frames of several devices; the caller's fault.
    #[error("the caller gave frames of more than one device")]
    SeveralDevices,
    /// The frames differ in kind or waveform parameters more often than a segment may hold; the
    /// caller's fault.
    #[error("the caller gave frames of more shapes than a segment may hold")]
    TooManyShapes,
    /// More bytes of frames, unpacked, than a segment may hold; the caller's fault, or the writer's
    /// when unpacking.
    #[error("the frames take more than {limit} bytes unpacked")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The compressor refused; our fault.
    #[error("our own compressor failed")]
    Compressor,
    /// Not a packed segment; the writer's fault.
    #[error("the writer packed a segment that does not unpack")]
    Malformed,
}

impl Reject {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::FrameTooLarge,
            Self::NotCose
            | Self::Headers
            | Self::Payload
            | Self::Number
            | Self::Waveform
            | Self::NotCanonical => Code::FrameMalformed,
            Self::KindUnknown | Self::UnitUnknown => Code::UnitUnknown,
            Self::Time => Code::ClockOff,
            Self::Signature => Code::FrameSignature,
        }
    }
}

impl SegmentFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed => Code::WriterFault,
            Self::Count { .. }
            | Self::SeveralDevices
            | Self::TooManyShapes
            | Self::TooLarge { .. }
            | Self::Compressor => Code::Internal,
        }
    }
}
