//! The framing of calls inside TLS.
//!
//! A frame is `u32 length ‖ u64 id ‖ body`, little-endian, where the length counts the id and the
//! body. The body is one canonically encoded request or response. Memory grows with what has
//! arrived and never with what a peer claims; beyond [`FREE_BYTES`] a frame draws on a budget that
//! all connections of a process share, so that many peers cannot add up to more than it.

use salus_wire::limits::RPC_BYTES_MAX;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;
/// Bytes of the call's id.
const ID_BYTES: usize = 8;
/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = LENGTH_BYTES + ID_BYTES;
/// Bytes of a frame's body that draw on no budget, so that small calls always get through.
pub const FREE_BYTES: usize = 64 * 1024;
/// Bytes by which a body grows at a time.
const GROWTH_BYTES: usize = 64 * 1024;

/// A call's number on its connection, chosen by whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    /// Names the number.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }
}

/// Why a connection cannot go on. Always the peer's fault or the network's.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended in the middle of a frame, or failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// The length cannot be one.
    #[error("a frame claims {length} bytes")]
    Length {
        /// What was claimed.
        length: u32,
    },
    /// A frame that began did not arrive in time.
    #[error("a frame did not arrive in time")]
    Slow,
}

/// A whole frame, with the part of the budget it holds.
pub struct Frame {
    /// Whose answer or question this is.
    pub id: CallId,
    /// The encoded message.
    pub body: Vec<u8>,
    /// Given back to the budget when the frame is done with.
    pub room: Option<OwnedSemaphorePermit>,
}

/// Bytes of frames that all connections of a process may hold at once, beyond [`FREE_BYTES`] each.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`, at least one whole frame.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.clamp(RPC_BYTES_MAX, Semaphore::MAX_PERMITS))))
    }

    async fn take(&self, bytes: usize) -> std::io::Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).map_err(std::io::Error::other)?;
        Arc::clone(&self.0).acquire_many_owned(bytes).await.map_err(std::io::Error::other)
    }
}

/// Waits without limit for the first byte of a frame; `None` when the peer closed between frames.
/// Dropping the future loses nothing.
///
/// # Errors
/// The connection's failure.
pub async fn first_byte<R: AsyncRead + Unpin>(reader: &mut R) -> std::io::Result<Option<u8>> {
    let mut first = [0; 1];
    let read = reader.read(&mut first).await?;
    let [byte] = first;
    Ok((read != 0).then_some(byte))
}

/// Reads the rest of the frame that begins with `first`, waiting at most `within`.
///
/// # Errors
/// [`FrameError`]; the connection must then be closed.
pub async fn read_rest<R: AsyncRead + Unpin>(
    reader: &mut R,
    first: u8,
    budget: &Budget,
    within: Duration,
) -> Result<Frame, FrameError> {
    let whole = async {
        let mut rest = [0; HEAD_BYTES - 1];
        reader.read_exact(&mut rest).await?;
        let (id, length) = parse_head(first, rest)?;
        let (body, room) = read_body(reader, budget, length).await?;
        Ok(Frame { id, body, room })
    };
    timeout(within, whole).await.unwrap_or(Err(FrameError::Slow))
}

fn parse_head(l0: u8, rest: [u8; HEAD_BYTES - 1]) -> Result<(CallId, usize), FrameError> {
    let [l1, l2, l3, id @ ..] = rest;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(ID_BYTES));
    match body {
        Some(body) if body <= RPC_BYTES_MAX => Ok((CallId(u64::from_le_bytes(id)), body)),
        _ => Err(FrameError::Length { length }),
    }
}

async fn read_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    budget: &Budget,
    length: usize,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), FrameError> {
    let mut body = Vec::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while body.len() < length {
        let step = length.saturating_sub(body.len()).min(GROWTH_BYTES);
        if body.len() >= FREE_BYTES {
            let more = budget.take(step).await?;
            match room.as_mut() {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        let limit = u64::try_from(step).map_err(std::io::Error::other)?;
        body.reserve_exact(step);
        let arrived = (&mut *reader).take(limit).read_to_end(&mut body).await?;
        if arrived != step {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok((body, room))
}

/// The bytes of a frame around an encoded message; `None` when it is larger than a call may be.
#[must_use]
pub fn write_frame<T: borsh::BorshSerialize>(id: CallId, message: &T) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEAD_BYTES];
    borsh::to_writer(&mut frame, message).ok()?;
    let body = frame.len().checked_sub(HEAD_BYTES)?;
    let length = u32::try_from(body.checked_add(ID_BYTES)?).ok()?;
    if body > RPC_BYTES_MAX {
        return None;
    }
    let (head, _) = frame.split_at_mut_checked(HEAD_BYTES)?;
    let (length_field, id_field) = head.split_at_mut_checked(LENGTH_BYTES)?;
    length_field.copy_from_slice(&length.to_le_bytes());
    id_field.copy_from_slice(&id.0.to_le_bytes());
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::Height;
    use salus_wire::rpc::Request;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn read_with(mut bytes: &[u8], budget: &Budget) -> Result<Option<Frame>, FrameError> {
        match first_byte(&mut bytes).await? {
            Some(first) => read_rest(&mut bytes, first, budget, LIMIT).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        read_with(bytes, &Budget::new(0)).await
    }

    #[tokio::test]
    async fn a_frame_comes_back_as_it_was_written() {
        let bytes = write_frame(CallId(7), &Request::Follow(Height::new(3))).unwrap();
        let frame = read(&bytes).await.unwrap().unwrap();
        assert_eq!(frame.id, CallId(7));
        let request = salus_wire::decode::<Request>(&frame.body, RPC_BYTES_MAX).unwrap();
        assert!(matches!(request, Request::Follow(height) if height == Height::new(3)));
        assert!(frame.room.is_none());
    }

    #[tokio::test]
    async fn a_large_frame_holds_its_part_of_the_budget_until_dropped() {
        let budget = Budget::new(0);
        let bytes = write_frame(CallId(1), &vec![5_u8; FREE_BYTES + 10]).unwrap();
        let frame = read_with(&bytes, &budget).await.unwrap().unwrap();
        assert_eq!(budget.0.available_permits(), RPC_BYTES_MAX - 14);
        drop(frame);
        assert_eq!(budget.0.available_permits(), RPC_BYTES_MAX);
    }

    #[tokio::test]
    async fn cut_oversized_and_impossible_frames_are_refused() {
        let good = write_frame(CallId(7), &Request::Status).unwrap();
        for cut in 1..good.len() {
            assert!(matches!(read(&good[..cut]).await, Err(FrameError::Io(_))), "{cut}");
        }
        assert!(read(&[]).await.unwrap().is_none());
        for length in [0_u32, 7, u32::MAX, u32::try_from(RPC_BYTES_MAX + 9).unwrap()] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend([0; 64]);
            assert!(matches!(read(&bytes).await, Err(FrameError::Length { .. })), "{length}");
        }
        assert!(write_frame(CallId(1), &vec![0_u8; RPC_BYTES_MAX]).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_stops_half_way_is_given_up() {
        let (mut near, mut far) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut near, &[0; 3]).await.unwrap();
        assert!(matches!(read_rest(&mut far, 100, &Budget::new(0), LIMIT).await, Err(FrameError::Slow)));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_would_exceed_the_budget_wait_for_it() {
        let budget = Budget::new(0);
        let bytes = write_frame(CallId(1), &vec![5_u8; RPC_BYTES_MAX - 100]).unwrap();
        let held = read_with(&bytes, &budget).await.unwrap().unwrap();
        let second = read_with(&bytes, &budget).await;
        assert!(matches!(second, Err(FrameError::Slow)));
        drop(held);
        assert!(read_with(&bytes, &budget).await.is_ok());
    }
}
