//! The door for devices: MQTT 5 and 3.1.1 over mutual TLS 1.3.
//!
//! # What a device may do
//! Connect with a certificate of this gateway's member whose common name is its [`DeviceId`], and
//! publish frames to [`TOPIC`] at QoS 1. The certificate names the device; a topic, a client
//! identifier or a user name never does.
//!
//! *Acknowledged means kept* (INV-1). A PUBACK of success is made from a
//! [`Durable`](salus_store::queue::Durable) and from nothing else. PUBACKs go out in the order of
//! the PUBLISHes ([MQTT-4.6.0-2]).
//!
//! *Refused means coded.* On MQTT 5 a refused frame gets a PUBACK with a reason code, and a reason
//! string of the code, what happened and what to do: 0x87 when the device may not, 0x99 when the
//! frame cannot be taken as it is, 0x97 when there is no room for now, 0x83 when the sequence was
//! used before. MQTT 3.1.1 knows no such answer: the connection is closed, after the PUBACKs that
//! are due.
//!
//! *QoS 0 and 2.* QoS 0 promises nothing, so nothing sent with it is taken: the connection is closed
//! with 0x9B. QoS 2 is above the Maximum QoS of 1 that CONNACK states, and is closed in the same
//! way. Duplicates of QoS 1 are harmless because a frame has a sequence.
//!
//! *Back-pressure.* A device that sends more than its rate is not read for a while. At most [`RECEIVE_MAX`] frames of a connection are under way; CONNACK says so on
//! MQTT 5, and on 3.1.1 the socket is not read. What all connections have under way together is bounded,
//! and the room goes round: see [`flow`]. Nobody can make the gateway hold more.
//!
//! # What it does not do
//! It is no broker: nobody can subscribe, nothing is retained, wills are not published, sessions do
//! not outlive their connection.
//!
//! The rooms: [`speaker`] speaks the protocol and touches no socket; [`session`] drives it over one
//! connection; [`door`] listens.

pub(crate) mod door;
mod flow;
mod session;
pub mod speaker;

/// The one topic to which devices publish.
pub const TOPIC: &str = "salus/v1/frame";
/// Frames of one connection under way at once (MQTT 5 Receive Maximum).
pub const RECEIVE_MAX: u16 = 64;
