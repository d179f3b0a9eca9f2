//! A device's side of the door: connects over TLS, publishes signed frames at QoS 1, and says which
//! were kept. For `salus device stream` and for tests; devices in the field bring their own.
//!
//! It never sends a frame twice by itself. After a lost connection, whoever holds the frames sends
//! again what was not settled; the sequence in each makes that harmless.

use crate::error::DeviceError;
use crate::mqtt::TOPIC;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::Event;
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Property, Qos, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode};
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use salus_link::DeviceTls;
use salus_link::tls::Outgoing;
use salus_wire::limits::FRAME_BYTES_MAX;
use salus_wire::{Code, DeviceId};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For reaching the gateway and being let in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For the next acknowledgement.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Frames under way, if the gateway allows as many.
const WINDOW_MAX: usize = 64;
/// Bytes gathered before they are sent.
const OUT_BYTES_MAX: usize = 32 * 1024;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Which MQTT to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MQTT 5: a refused frame is answered with its reason.
    V5,
    /// MQTT 3.1.1: a refused frame ends the connection.
    V311,
}

/// Which published frame, counted from 0 on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameNumber(pub u64);

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub frame: FrameNumber,
    /// Kept, or why not.
    pub result: Result<(), Nack>,
}

/// The gateway's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The name of the MQTT reason code.
    pub reason: String,
    /// The code in the reason string, if there is one.
    pub code: Option<Code>,
    /// The reason string.
    pub text: String,
}

/// A device's connection.
pub struct DeviceClient {
    stream: Outgoing,
    core: Connection<role::Client>,
    dialect: Dialect,
    address: String,
    out: Vec<u8>,
    inbox: Vec<u8>,
    under_way: HashMap<u16, FrameNumber>,
    window: usize,
    next: FrameNumber,
    settled: VecDeque<Settled>,
}

impl DeviceClient {
    /// Connects to the gateway at `address` (`host:port`).
    ///
    /// # Errors
    /// [`DeviceError::Unreachable`] or [`DeviceError::Refused`].
    pub async fn connect(
        address: &str,
        tls: &DeviceTls,
        device: DeviceId,
        dialect: Dialect,
    ) -> Result<Self, DeviceError> {
        let unreachable = |source| DeviceError::Unreachable { address: address.to_owned(), source };
        let reach = async { tls.connect(TcpStream::connect(address).await?).await };
        let stream = timeout(CONNECT_WITHIN, reach).await.map_err(|late| unreachable(late.into()))?;
        let version = match dialect {
            Dialect::V5 => Version::V5_0,
            Dialect::V311 => Version::V3_1_1,
        };
        let mut client = Self {
            stream: stream.map_err(unreachable)?,
            core: Connection::new(version),
            dialect,
            address: address.to_owned(),
            out: Vec::new(),
            inbox: Vec::new(),
            under_way: HashMap::new(),
            window: WINDOW_MAX,
            next: FrameNumber(0),
            settled: VecDeque::new(),
        };
        client.greet(device).await?;
        Ok(client)
    }

    /// Publishes a frame, waiting while as many as the gateway allows are under way.
    ///
    /// # Errors
    /// [`DeviceError`]; what was not settled may or may not have been kept.
    pub async fn publish(&mut self, frame: Vec<u8>) -> Result<FrameNumber, DeviceError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(DeviceError::TooLarge);
        }
        while self.under_way.len() >= self.window {
            self.receive().await?;
        }
        let id = self.core.acquire_packet_id().map_err(|_| DeviceError::Protocol)?;
        let number = self.next;
        self.next = FrameNumber(number.0.wrapping_add(1));
        self.under_way.insert(id, number);
        let packet = self.publish_packet(id, frame)?;
        self.say(packet)?;
        if self.out.len() >= OUT_BYTES_MAX {
            self.flush().await?;
        }
        Ok(number)
    }

    /// Sends what was published. [`DeviceClient::settle`] and [`DeviceClient::finish`] do so too.
    ///
    /// # Errors
    /// [`DeviceError::Unreachable`].
    pub async fn flush(&mut self) -> Result<(), DeviceError> {
        let out = std::mem::take(&mut self.out);
        let write = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        let written = timeout(ANSWER_WITHIN, write).await.map_err(std::io::Error::from).and_then(|done| done);
        written.map_err(|source| self.unreachable(source))
    }

    /// A frame that was settled and not yet told of, without waiting.
    pub fn settled(&mut self) -> Option<Settled> {
        self.settled.pop_front()
    }

    /// Waits for the next frame to be settled; `None` when none is under way.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn settle(&mut self) -> Result<Option<Settled>, DeviceError> {
        while self.settled.is_empty() && !self.under_way.is_empty() {
            self.receive().await?;
        }
        Ok(self.settled.pop_front())
    }

    /// Waits until every frame is settled, says good-bye, and tells of those not yet told of.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn finish(mut self) -> Result<Vec<Settled>, DeviceError> {
        while !self.under_way.is_empty() {
            self.receive().await?;
        }
        let goodbye = match self.dialect {
            Dialect::V5 => v5_0::Disconnect::builder().build().map(Packet::from),
            Dialect::V311 => v3_1_1::Disconnect::builder().build().map(Packet::from),
        };
        self.say(goodbye.map_err(|_| DeviceError::Protocol)?)?;
        self.flush().await?;
        let _ = self.stream.shutdown().await;
        Ok(self.settled.into())
    }

    async fn greet(&mut self, device: DeviceId) -> Result<(), DeviceError> {
        let name = device.to_string();
        let connect = match self.dialect {
            Dialect::V5 => v5_0::Connect::builder()
                .client_id(name)
                .and_then(|connect| connect.clean_start(true).build())
                .map(Packet::from),
            Dialect::V311 => v3_1_1::Connect::builder()
                .client_id(name)
                .and_then(|connect| connect.clean_session(true).build())
                .map(Packet::from),
        };
        self.say(connect.map_err(|_| DeviceError::Protocol)?)?;
        match self.packet().await? {
            Packet::V5_0Connack(connack) if connack.reason_code() == ConnectReasonCode::Success => {
                let allowed = connack.props().iter().find_map(|property| match property {
                    Property::ReceiveMaximum(most) => Some(usize::from(most.val())),
                    _ => None,
                });
                self.window = allowed.unwrap_or(WINDOW_MAX).clamp(1, WINDOW_MAX);
                Ok(())
            }
            Packet::V3_1_1Connack(connack) if connack.return_code() == ConnectReturnCode::Accepted => Ok(()),
            Packet::V5_0Connack(connack) => {
                Err(DeviceError::Refused { reason: connack.reason_code().to_string() })
            }
            Packet::V3_1_1Connack(connack) => {
                Err(DeviceError::Refused { reason: connack.return_code().to_string() })
            }
            _ => Err(DeviceError::Protocol),
        }
    }

    fn publish_packet(&self, id: u16, frame: Vec<u8>) -> Result<Packet, DeviceError> {
        let packet = match self.dialect {
            Dialect::V5 => v5_0::Publish::builder().topic_name(TOPIC).and_then(|publish| {
                publish.qos(Qos::AtLeastOnce).packet_id(id).payload(frame).build().map(Packet::from)
            }),
            Dialect::V311 => v3_1_1::Publish::builder().topic_name(TOPIC).and_then(|publish| {
                publish.qos(Qos::AtLeastOnce).packet_id(id).payload(frame).build().map(Packet::from)
            }),
        };
        packet.map_err(|_| DeviceError::Protocol)
    }

    /// Reads until a packet settles something, or answers something.
    async fn receive(&mut self) -> Result<(), DeviceError> {
        let (id, result) = match self.packet().await? {
            Packet::V5_0Puback(puback) => {
                let refused = puback.reason_code().filter(|reason| reason.is_failure());
                (
                    puback.packet_id(),
                    refused.map_or(Ok(()), |reason| Err(nack(reason.to_string(), puback.props()))),
                )
            }
            Packet::V3_1_1Puback(puback) => (puback.packet_id(), Ok(())),
            Packet::V5_0Disconnect(disconnect) => {
                let reason = disconnect.reason_code().map(|reason| reason.to_string()).unwrap_or_default();
                return Err(DeviceError::Refused { reason });
            }
            _ => return Ok(()),
        };
        let frame = self.under_way.remove(&id).ok_or(DeviceError::Protocol)?;
        self.settled.push_back(Settled { frame, result });
        Ok(())
    }

    /// The next packet, after sending what is due.
    async fn packet(&mut self) -> Result<Packet, DeviceError> {
        loop {
            let mut cursor = Cursor::new(self.inbox.as_slice());
            let events = self.core.recv(&mut cursor);
            let taken = usize::try_from(cursor.position()).unwrap_or(usize::MAX).min(self.inbox.len());
            self.inbox.drain(..taken);
            let mut received = None;
            for event in events {
                received = received.or(self.handle(event)?);
            }
            if let Some(packet) = received {
                return Ok(packet);
            }
            if self.inbox.is_empty() {
                self.flush().await?;
                self.read().await?;
            }
        }
    }

    async fn read(&mut self) -> Result<(), DeviceError> {
        let mut buffer = vec![0; READ_BYTES];
        let read = timeout(ANSWER_WITHIN, self.stream.read(&mut buffer)).await;
        let read = read.map_err(std::io::Error::from).and_then(|read| read);
        match read {
            Ok(0) => Err(self.unreachable(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.inbox.extend_from_slice(buffer.get(..read).unwrap_or_default());
                Ok(())
            }
            Err(source) => Err(self.unreachable(source)),
        }
    }

    fn say(&mut self, packet: Packet) -> Result<(), DeviceError> {
        for event in self.core.send(packet) {
            self.handle(event)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<Option<Packet>, DeviceError> {
        match event {
            Event::NotifyPacketReceived(packet) => Ok(Some(packet)),
            Event::RequestSendPacket { packet, .. } => {
                self.out.extend(packet.to_continuous_buffer());
                Ok(None)
            }
            Event::NotifyError(_) => Err(DeviceError::Protocol),
            _ => Ok(None),
        }
    }

    fn unreachable(&self, source: std::io::Error) -> DeviceError {
        DeviceError::Unreachable { address: self.address.clone(), source }
    }
}

fn nack(reason: String, props: &Option<Vec<Property>>) -> Nack {
    let text = props.iter().flatten().find_map(|property| match property {
        Property::ReasonString(text) => Some(text.val().to_owned()),
        _ => None,
    });
    let text = text.unwrap_or_default();
    Nack { reason, code: code_in(&text), text }
}

/// The code at the beginning of a reason string.
fn code_in(text: &str) -> Option<Code> {
    let number = text.strip_prefix("SAL-")?.get(..4)?.parse().ok()?;
    Code::from_number(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_out_of_the_reason() {
        for code in Code::ALL {
            assert_eq!(code_in(&format!("{code}: {}", code.what())), Some(*code));
        }
        for text in ["", "SAL-", "SAL-9999: x", "no", "SAL-é00"] {
            assert_eq!(code_in(text), None);
        }
    }
}
