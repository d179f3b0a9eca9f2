//! One device's connection: reads, hands frames to the desk when it is their turn, answers in order.

use crate::desk::Desk;
use crate::mqtt::RECEIVE_MAX;
use crate::mqtt::flow::{Flow, Room, Turn};
use crate::mqtt::speaker::{Heard, PacketId, Speaker};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use mqtt_protocol_core::mqtt::common::ArcPayload;
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use salus_link::tls::Incoming;
use salus_store::queue::Durable;
use salus_wire::{Code, DeviceId};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// From the end of the handshake to CONNECT.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For sending what is due.
const WRITE_WITHIN: Duration = Duration::from_secs(15);
/// After which a client without keep-alive counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(1_800);

/// A frame and what became of it.
struct Settled {
    packet: PacketId,
    outcome: Result<Durable, Code>,
}

/// A frame whose turn has not come. Nothing more is read from its connection meanwhile.
struct Held {
    packet: PacketId,
    payload: ArcPayload,
    turn: BoxFuture<'static, Room>,
}

/// Serves a connection until it ends, whoever ends it.
pub(crate) async fn serve(
    mut stream: Incoming,
    device: DeviceId,
    desk: Arc<Desk>,
    flow: Arc<Flow>,
) -> std::io::Result<()> {
    let mut speaker = Speaker::default();
    let mut under_way = FuturesOrdered::new();
    let mut inbox: Vec<u8> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut held: Option<Held> = None;
    let mut told = false;
    // A client that drips bytes gains no time before it is connected.
    let mut deadline = Instant::now() + CONNECT_WITHIN;
    loop {
        while held.is_none()
            && let Some(Heard::Frame(packet, payload)) = next_heard(&mut speaker, &mut inbox, under_way.len())
        {
            match flow.turn(device, payload.len()) {
                Turn::Now(room) => {
                    under_way.push_back(settle(Arc::clone(&desk), device, packet, payload, room));
                }
                Turn::Later(turn) => held = Some(Held { packet, payload, turn }),
            }
        }
        write(&mut stream, &mut speaker).await?;
        if speaker.is_closing() && under_way.is_empty() {
            return stream.shutdown().await;
        }
        let may_read = inbox.is_empty() && held.is_none() && !speaker.is_closing();
        let may_end = may_read || (held.is_some() && !speaker.is_closing());
        tokio::select! {
            Some(Settled { packet, outcome }) = under_way.next() => {
                match outcome {
                    Ok(durable) => speaker.acknowledge(packet, durable),
                    Err(code) => {
                        // Once for a connection: a device that errs a thousand times errs in one way.
                        if !std::mem::replace(&mut told, true) {
                            tracing::warn!(%code, what = code.what(), next = code.next_step(), "refused a device's frame");
                        }
                        speaker.refuse(packet, code);
                    }
                }
                // The silence was ours.
                deadline = deadline.max(Instant::now() + speaker.silence_max().unwrap_or(SILENCE_MAX));
            }
            room = turn_of(held.as_mut()), if held.is_some() => {
                if let Some(Held { packet, payload, .. }) = held.take() {
                    under_way.push_back(settle(Arc::clone(&desk), device, packet, payload, room));
                }
                deadline = deadline.max(Instant::now() + speaker.silence_max().unwrap_or(SILENCE_MAX));
            }
            read = stream.read(&mut buffer), if may_read => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                inbox.extend_from_slice(buffer.get(..read).unwrap_or_default());
                if speaker.is_connected() {
                    deadline = Instant::now() + speaker.silence_max().unwrap_or(SILENCE_MAX);
                }
            }
            () = sleep_until(deadline), if may_read => speaker.silent(),
            () = desk.closing(), if may_end => speaker.end(DisconnectReasonCode::ServerShuttingDown),
        }
    }
}

/// The next packet that concerns the desk, unless as many frames as are allowed are under way.
fn next_heard(speaker: &mut Speaker, inbox: &mut Vec<u8>, under_way: usize) -> Option<Heard> {
    while !inbox.is_empty() && under_way < usize::from(RECEIVE_MAX) {
        let (taken, heard) = speaker.hear(inbox);
        inbox.drain(..taken.min(inbox.len()));
        if heard.is_some() {
            return heard;
        }
    }
    None
}

/// Resolves when the held frame's turn has come.
async fn turn_of(held: Option<&mut Held>) -> Room {
    match held {
        Some(held) => (&mut held.turn).await,
        None => std::future::pending().await,
    }
}

async fn settle(
    desk: Arc<Desk>,
    device: DeviceId,
    packet: PacketId,
    payload: ArcPayload,
    _room: Room,
) -> Settled {
    let outcome = desk.take(device, payload.as_slice()).await;
    Settled { packet, outcome }
}

async fn write(stream: &mut Incoming, speaker: &mut Speaker) -> std::io::Result<()> {
    let bytes = speaker.take_out();
    if bytes.is_empty() {
        return Ok(());
    }
    let write = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    timeout(WRITE_WITHIN, write).await?
}
