//! One side of one MQTT connection, without the socket: bytes in, frames and bytes out.
//!
//! It promises that a PUBACK of success is made from a [`Durable`] alone, and that nothing a client
//! sends makes it hold more than one packet. It knows nothing of what frames say.

use crate::mqtt::{RECEIVE_MAX, TOPIC};
use mqtt_protocol_core::mqtt::common::{ArcPayload, Cursor};
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, GenericPacketTrait, MaximumQos, Packet, Property, Qos, ReasonString,
    RetainAvailable, ServerKeepAlive, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
    WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, PubackReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use salus_store::queue::Durable;
use salus_wire::Code;
use salus_wire::limits::FRAME_BYTES_MAX;
use std::time::Duration;

/// Bytes of one packet: a frame with its topic and properties.
const PACKET_BYTES_MAX: u32 = 70 * 1024;
/// Seconds of silence that a client may ask for.
const KEEP_ALIVE_S_MAX: u16 = 1_200;

const _: () = assert!(FRAME_BYTES_MAX + 1024 < 70 * 1024);

/// A PUBLISH that waits for its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId(u16);

/// What a client said that concerns anybody but this file.
#[derive(Debug)]
pub enum Heard {
    /// A frame, to be answered with [`Speaker::acknowledge`] or [`Speaker::refuse`].
    Frame(PacketId, ArcPayload),
}

/// See the head of this file.
pub struct Speaker {
    core: Connection<role::Server>,
    version: Version,
    reasons_wanted: bool,
    connected: bool,
    closing: bool,
    silence_max: Option<Duration>,
    out: Vec<u8>,
}

impl Default for Speaker {
    fn default() -> Self {
        let options =
            ConnectionOptions::new().maximum_packet_size_recv(PACKET_BYTES_MAX).receive_maximum(RECEIVE_MAX);
        let mut core = Connection::with_options(Version::Undetermined, options);
        core.set_auto_pub_response(false);
        core.set_auto_ping_response(true);
        Self {
            core,
            version: Version::Undetermined,
            reasons_wanted: true,
            connected: false,
            closing: false,
            silence_max: None,
            out: Vec::new(),
        }
    }
}

impl Speaker {
    /// Takes bytes up to the end of at most one packet; says how many were taken, and what was
    /// heard. Takes nothing once the connection is to be closed.
    pub fn hear(&mut self, bytes: &[u8]) -> (usize, Option<Heard>) {
        if self.closing {
            return (bytes.len(), None);
        }
        let mut cursor = Cursor::new(bytes);
        let events = self.core.recv(&mut cursor);
        let taken = usize::try_from(cursor.position()).unwrap_or(bytes.len());
        let mut heard = None;
        for event in events {
            if let Some(packet) = self.handle(event) {
                heard = self.receive(packet);
            }
        }
        (taken, heard)
    }

    /// Bytes to be sent, leaving none.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether CONNECT was answered with success.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the connection is to be closed once the bytes are sent.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// After how long a silence [`Speaker::silent`] is to be called.
    #[must_use]
    pub const fn silence_max(&self) -> Option<Duration> {
        self.silence_max
    }

    /// The client was silent for too long.
    pub fn silent(&mut self) {
        // Before CONNECT there is nothing to say; the library would panic.
        if self.connected {
            let events = self.core.notify_timer_fired(TimerKind::PingreqRecv);
            events.into_iter().for_each(|event| {
                self.handle(event);
            });
        }
        self.closing = true;
    }

    /// Answers a frame that is kept. There is no other way to answer one with success.
    pub fn acknowledge(&mut self, packet: PacketId, durable: Durable) {
        let PacketId(id) = packet;
        // The promise is spent here: one frame, one acknowledgement.
        let _ = durable.sequence();
        match self.version {
            Version::V5_0 => {
                let puback = v5_0::Puback::builder().packet_id(id).build();
                self.say(puback.map(Packet::from));
            }
            _ => {
                let puback = v3_1_1::Puback::builder().packet_id(id).build();
                self.say(puback.map(Packet::from));
            }
        }
    }

    /// Answers a frame that is not kept.
    pub fn refuse(&mut self, packet: PacketId, code: Code) {
        let PacketId(id) = packet;
        if self.version != Version::V5_0 {
            self.closing = true;
            return;
        }
        let mut puback = v5_0::Puback::builder().packet_id(id).reason_code(reason(code));
        if let Some(text) = self.reason_string(code) {
            puback = puback.props(vec![text]);
        }
        self.say(puback.build().map(Packet::from));
    }

    /// Ends the connection, saying why where the protocol can.
    pub fn end(&mut self, reason: DisconnectReasonCode) {
        if self.version == Version::V5_0 && self.connected && !self.closing {
            let disconnect = v5_0::Disconnect::builder().reason_code(reason).build();
            self.say(disconnect.map(Packet::from));
        }
        self.closing = true;
    }

    fn reason_string(&self, code: Code) -> Option<Property> {
        let text = format!("{code}: {}; {}", code.what(), code.next_step());
        self.reasons_wanted.then(|| ReasonString::new(text).ok().map(Property::from)).flatten()
    }

    /// An answer that cannot be built answers what MQTT forbids, such as packet identifier 0
    /// ([MQTT-2.2.1-3]): the connection ends.
    fn say<E>(&mut self, packet: Result<Packet, E>) {
        let Ok(packet) = packet else {
            self.closing = true;
            return;
        };
        for event in self.core.send(packet) {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) -> Option<Packet> {
        match event {
            Event::NotifyPacketReceived(packet) => return Some(packet),
            Event::RequestSendPacket { packet, .. } => self.out.extend(packet.to_continuous_buffer()),
            Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                self.silence_max = Some(Duration::from_millis(duration_ms));
            }
            Event::NotifyError(_) | Event::RequestClose => self.closing = true,
            Event::RequestTimerReset { .. }
            | Event::RequestTimerCancel(_)
            | Event::NotifyPacketIdReleased(_) => {}
        }
        None
    }

    fn receive(&mut self, packet: Packet) -> Option<Heard> {
        match packet {
            Packet::V5_0Connect(connect) => self.connect_v5(&connect),
            Packet::V3_1_1Connect(connect) => self.connect_v3(&connect),
            Packet::V5_0Publish(publish) => {
                let meant = Publish {
                    topic: publish.topic_name(),
                    qos: publish.qos(),
                    retain: publish.retain(),
                    id: publish.packet_id(),
                };
                return self.publish(&meant).map(|id| Heard::Frame(id, publish.payload().clone()));
            }
            Packet::V3_1_1Publish(publish) => {
                let meant = Publish {
                    topic: publish.topic_name(),
                    qos: publish.qos(),
                    // MQTT 3.1.1 cannot be told that nothing is retained; the flag means nothing.
                    retain: false,
                    id: publish.packet_id(),
                };
                return self.publish(&meant).map(|id| Heard::Frame(id, publish.payload().clone()));
            }
            Packet::V5_0Subscribe(subscribe) => {
                let codes = vec![SubackReasonCode::NotAuthorized; subscribe.entries().len()];
                let suback =
                    v5_0::Suback::builder().packet_id(subscribe.packet_id()).reason_codes(codes).build();
                self.say(suback.map(Packet::from));
            }
            Packet::V3_1_1Subscribe(subscribe) => {
                let codes = vec![SubackReturnCode::Failure; subscribe.entries().len()];
                let suback =
                    v3_1_1::Suback::builder().packet_id(subscribe.packet_id()).return_codes(codes).build();
                self.say(suback.map(Packet::from));
            }
            Packet::V5_0Unsubscribe(unsubscribe) => {
                let codes = vec![UnsubackReasonCode::NoSubscriptionExisted; unsubscribe.entries().len()];
                let unsuback =
                    v5_0::Unsuback::builder().packet_id(unsubscribe.packet_id()).reason_codes(codes).build();
                self.say(unsuback.map(Packet::from));
            }
            Packet::V3_1_1Unsubscribe(unsubscribe) => {
                let unsuback = v3_1_1::Unsuback::builder().packet_id(unsubscribe.packet_id()).build();
                self.say(unsuback.map(Packet::from));
            }
            Packet::V5_0Pingreq(_) | Packet::V3_1_1Pingreq(_) => {}
            _ => self.closing = true,
        }
        None
    }

    fn publish(&mut self, publish: &Publish<'_>) -> Option<PacketId> {
        // Identifier 0 names no packet [MQTT-2.2.1-3].
        let id = publish.id.filter(|id| *id != 0).map(PacketId);
        match (publish.qos, id) {
            (Qos::AtLeastOnce, Some(_)) if publish.retain => {
                self.end(DisconnectReasonCode::RetainNotSupported)
            }
            (Qos::AtLeastOnce, Some(id)) if publish.topic == TOPIC => return Some(id),
            (Qos::AtLeastOnce, Some(PacketId(id))) if self.version == Version::V5_0 => {
                let puback =
                    v5_0::Puback::builder().packet_id(id).reason_code(PubackReasonCode::TopicNameInvalid);
                self.say(puback.build().map(Packet::from));
            }
            (Qos::AtLeastOnce, _) => self.closing = true,
            (Qos::AtMostOnce | Qos::ExactlyOnce, _) => self.end(DisconnectReasonCode::QosNotSupported),
        }
        None
    }

    fn connect_v5(&mut self, connect: &v5_0::Connect) {
        self.version = Version::V5_0;
        self.reasons_wanted = !connect.props().iter().any(
            |property| matches!(property, Property::RequestProblemInformation(wanted) if wanted.val() == 0),
        );
        let mut props: Vec<Property> = Vec::new();
        props.extend(MaximumQos::new(1).ok().map(Property::from));
        props.extend(RetainAvailable::new(0).ok().map(Property::from));
        props.extend(WildcardSubscriptionAvailable::new(0).ok().map(Property::from));
        props.extend(SubscriptionIdentifierAvailable::new(0).ok().map(Property::from));
        props.extend(SharedSubscriptionAvailable::new(0).ok().map(Property::from));
        if connect.keep_alive() == 0 || connect.keep_alive() > KEEP_ALIVE_S_MAX {
            props.extend(ServerKeepAlive::new(KEEP_ALIVE_S_MAX).ok().map(Property::from));
        }
        if connect.client_id().is_empty() {
            // Names nobody: the certificate does. Sessions end with their connection.
            props.extend(AssignedClientIdentifier::new("device").ok().map(Property::from));
        }
        let connack = v5_0::Connack::builder()
            .session_present(false)
            .reason_code(ConnectReasonCode::Success)
            .props(props)
            .build();
        self.say(connack.map(Packet::from));
        self.connected = !self.closing;
    }

    fn connect_v3(&mut self, connect: &v3_1_1::Connect) {
        self.version = Version::V3_1_1;
        if self.silence_max.is_none() || connect.keep_alive() > KEEP_ALIVE_S_MAX {
            self.silence_max = Some(Duration::from_secs(u64::from(KEEP_ALIVE_S_MAX)));
        }
        let connack = v3_1_1::Connack::builder()
            .session_present(false)
            .return_code(ConnectReturnCode::Accepted)
            .build();
        self.say(connack.map(Packet::from));
        self.connected = !self.closing;
    }
}

/// What a PUBLISH of either version says.
struct Publish<'a> {
    topic: &'a str,
    qos: Qos,
    retain: bool,
    id: Option<u16>,
}

/// The reason code of MQTT 5 that comes closest to a code of ours.
const fn reason(code: Code) -> PubackReasonCode {
    match code {
        Code::DeviceUnknown
        | Code::DeviceRevoked
        | Code::DeviceUnassigned
        | Code::CertificateMismatch
        | Code::FrameSignature => PubackReasonCode::NotAuthorized,
        Code::FrameMalformed | Code::UnitUnknown | Code::ClockOff | Code::FrameTooLarge => {
            PubackReasonCode::PayloadFormatInvalid
        }
        Code::QueueFull | Code::QuotaExceeded => PubackReasonCode::QuotaExceeded,
        Code::SequenceReused => PubackReasonCode::ImplementationSpecificError,
        _ => PubackReasonCode::UnspecifiedError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Client = Connection<role::Client>;

    /// A client's packet as bytes.
    fn bytes(packet: impl Into<Packet>) -> Vec<u8> {
        packet.into().to_continuous_buffer()
    }

    fn connect(version: Version) -> Vec<u8> {
        match version {
            Version::V5_0 => {
                bytes(v5_0::Connect::builder().client_id("d").unwrap().clean_start(true).build().unwrap())
            }
            _ => {
                bytes(v3_1_1::Connect::builder().client_id("d").unwrap().clean_session(true).build().unwrap())
            }
        }
    }

    fn publish(version: Version, id: u16, qos: Qos, topic: &str, retain: bool) -> Vec<u8> {
        match version {
            Version::V5_0 => {
                let publish =
                    v5_0::Publish::builder().topic_name(topic).unwrap().qos(qos).retain(retain).payload("x");
                let publish = if qos == Qos::AtMostOnce { publish } else { publish.packet_id(id) };
                bytes(publish.build().unwrap())
            }
            _ => {
                let publish = v3_1_1::Publish::builder()
                    .topic_name(topic)
                    .unwrap()
                    .qos(qos)
                    .retain(retain)
                    .payload("x");
                let publish = if qos == Qos::AtMostOnce { publish } else { publish.packet_id(id) };
                bytes(publish.build().unwrap())
            }
        }
    }

    /// Feeds everything; gives the frames heard.
    fn feed(speaker: &mut Speaker, mut input: &[u8]) -> Vec<PacketId> {
        let mut frames = Vec::new();
        while !input.is_empty() {
            let (taken, heard) = speaker.hear(input);
            frames.extend(heard.map(|Heard::Frame(id, _)| id));
            input = &input[taken..];
        }
        frames
    }

    fn connected(version: Version) -> Speaker {
        let mut speaker = Speaker::default();
        feed(&mut speaker, &connect(version));
        assert!(speaker.is_connected());
        speaker
    }

    /// What a client makes of the speaker's answer.
    fn understood(version: Version, answer: &[u8], sent: &[u8]) -> Vec<Packet> {
        let mut client = Client::new(version);
        let mut packets = Vec::new();
        for packet in [connect(version), sent.to_vec()] {
            // The client must believe that it sent what it hears answers to.
            let mut server = Connection::<role::Server>::new(Version::Undetermined);
            for event in server.recv(&mut Cursor::new(packet.as_slice())) {
                if let Event::NotifyPacketReceived(packet) = event {
                    if let Packet::V5_0Publish(p) = &packet {
                        client.register_packet_id(p.packet_id().unwrap_or(1)).unwrap();
                    }
                    client.send(packet);
                }
            }
        }
        let mut cursor = Cursor::new(answer);
        while cursor.position() < u64::try_from(answer.len()).unwrap() {
            for event in client.recv(&mut cursor) {
                if let Event::NotifyPacketReceived(packet) = event {
                    packets.push(packet);
                }
            }
        }
        packets
    }

    #[test]
    fn connack_states_what_is_not_offered() {
        let mut speaker = connected(Version::V5_0);
        let packets = understood(Version::V5_0, &speaker.take_out(), &[]);
        let [Packet::V5_0Connack(connack)] = packets.as_slice() else { panic!("{packets:?}") };
        let has = |wanted: fn(&Property) -> bool| connack.props().iter().any(wanted);
        assert!(has(|p| matches!(p, Property::ReceiveMaximum(v) if v.val() == RECEIVE_MAX)));
        assert!(has(|p| matches!(p, Property::MaximumQos(v) if v.val() == 1)));
        assert!(has(|p| matches!(p, Property::RetainAvailable(v) if v.val() == 0)));
        assert!(has(|p| matches!(p, Property::MaximumPacketSize(v) if v.val() == PACKET_BYTES_MAX)));
        assert!(has(|p| matches!(p, Property::ServerKeepAlive(v) if v.val() == KEEP_ALIVE_S_MAX)));
    }

    #[test]
    fn a_refused_frame_is_answered_with_reason_and_code_on_5_and_ends_311() {
        for (code, expected) in [
            (Code::DeviceRevoked, PubackReasonCode::NotAuthorized),
            (Code::FrameSignature, PubackReasonCode::NotAuthorized),
            (Code::FrameMalformed, PubackReasonCode::PayloadFormatInvalid),
            (Code::ClockOff, PubackReasonCode::PayloadFormatInvalid),
            (Code::QueueFull, PubackReasonCode::QuotaExceeded),
            (Code::SequenceReused, PubackReasonCode::ImplementationSpecificError),
            (Code::QueueDisk, PubackReasonCode::UnspecifiedError),
        ] {
            assert_eq!(reason(code), expected);
        }
        let mut speaker = connected(Version::V5_0);
        speaker.take_out();
        let frames = feed(&mut speaker, &publish(Version::V5_0, 7, Qos::AtLeastOnce, TOPIC, false));
        speaker.refuse(frames[0], Code::DeviceRevoked);
        let answer = speaker.take_out();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer[..5], [0x40, answer[1], 0, 7, 0x87]);
        assert!(text.contains("SAL-4003: ") && text.contains(Code::DeviceRevoked.next_step()));
        assert!(!speaker.is_closing());
        let mut old = connected(Version::V3_1_1);
        old.take_out();
        let frames = feed(&mut old, &publish(Version::V3_1_1, 7, Qos::AtLeastOnce, TOPIC, false));
        old.refuse(frames[0], Code::DeviceRevoked);
        assert!(old.is_closing() && old.take_out().is_empty());
    }

    #[test]
    fn what_is_not_a_frame_at_qos_1_is_not_taken() {
        for version in [Version::V5_0, Version::V3_1_1] {
            for (qos, topic, closes) in [
                (Qos::AtMostOnce, TOPIC, true),
                (Qos::ExactlyOnce, TOPIC, true),
                (Qos::AtLeastOnce, "salus/v1/other", version == Version::V3_1_1),
            ] {
                let mut speaker = connected(version);
                let heard = feed(&mut speaker, &publish(version, 1, qos, topic, false));
                assert_eq!((heard.len(), speaker.is_closing()), (0, closes), "{version:?} {qos:?} {topic}");
            }
        }
        let mut speaker = connected(Version::V5_0);
        assert!(feed(&mut speaker, &publish(Version::V5_0, 1, Qos::AtLeastOnce, TOPIC, true)).is_empty());
        assert!(speaker.is_closing());
    }

    #[test]
    fn nobody_can_subscribe() {
        use mqtt_protocol_core::mqtt::packet::{SubEntry, SubOpts};
        let mut speaker = connected(Version::V5_0);
        speaker.take_out();
        let entry = SubEntry::new("#", SubOpts::default()).unwrap();
        let subscribe = v5_0::Subscribe::builder().packet_id(3).entries(vec![entry]).build().unwrap();
        feed(&mut speaker, &bytes(subscribe));
        assert_eq!(speaker.take_out(), [0x90, 4, 0, 3, 0, 0x87]);
    }

    #[test]
    fn bytes_come_in_any_pieces() {
        let mut input = connect(Version::V5_0);
        for id in 1..=10 {
            input.extend(publish(Version::V5_0, id, Qos::AtLeastOnce, TOPIC, false));
        }
        for piece in [1, 2, 3, 7, 50, 1_000] {
            let mut speaker = Speaker::default();
            let frames: usize = input.chunks(piece).map(|chunk| feed(&mut speaker, chunk).len()).sum();
            assert_eq!(frames, 10);
        }
    }

    #[test]
    fn garbage_and_oversize_close_the_connection() {
        let huge = [0x30, 0xff, 0xff, 0xff, 0x7f];
        let request = b"GET / HTTP/1.1\r\n".repeat(8);
        for garbage in [&request[..], &[0xff; 64], &[0; 64], &huge] {
            let mut speaker = Speaker::default();
            feed(&mut speaker, garbage);
            assert!(speaker.is_closing(), "{garbage:?}");
            let mut speaker = connected(Version::V5_0);
            feed(&mut speaker, garbage);
            assert!(speaker.is_closing(), "{garbage:?} after CONNECT");
        }
    }

    #[test]
    fn whatever_comes_before_connect_closes_the_connection() {
        for first in (0..=u8::MAX).filter(|first| *first != 0x10) {
            for rest in [&[0][..], &[2, 0, 1], &[4, 0, 1, 0, 0]] {
                let mut speaker = Speaker::default();
                let packet = [&[first], rest].concat();
                assert!(feed(&mut speaker, &packet).is_empty());
                assert!(speaker.is_closing() && speaker.take_out().is_empty(), "{packet:x?}");
            }
        }
    }

    #[test]
    fn silence_ends_a_connection_before_and_after_connect() {
        let half = &connect(Version::V5_0)[..5];
        for said in [&[][..], half] {
            let mut speaker = Speaker::default();
            feed(&mut speaker, said);
            speaker.silent();
            assert!(speaker.is_closing() && speaker.take_out().is_empty());
        }
        let mut speaker = connected(Version::V5_0);
        speaker.take_out();
        speaker.silent();
        assert!(speaker.is_closing());
        assert_eq!(speaker.take_out()[..3], [0xe0, 1, 0x8d], "keep-alive timeout");
    }

    #[test]
    fn more_frames_than_allowed_end_the_connection_on_5() {
        let mut speaker = connected(Version::V5_0);
        for id in 1..=RECEIVE_MAX {
            assert_eq!(
                feed(&mut speaker, &publish(Version::V5_0, id, Qos::AtLeastOnce, TOPIC, false)).len(),
                1
            );
        }
        let next = publish(Version::V5_0, RECEIVE_MAX + 1, Qos::AtLeastOnce, TOPIC, false);
        assert_eq!(feed(&mut speaker, &next).len(), 0);
        assert!(speaker.is_closing());
    }
}
