//! Passing transactions on to the other members.
//!
//! Promises bounded messages, and that nothing a peer sends makes more than a bounded list of
//! transactions, which are admitted like any client's. Promises each peer a number of places at the
//! desk that no other can take, and its urgent messages places of their own; what finds none is
//! dropped before it is decoded. Delivery is not promised: the member that took a transaction sends
//! it again until it is final.

use crate::scheme::{PeerKey, Roster};
use borsh::BorshDeserialize;
use bytes::Buf as _;
use commonware_p2p::{Receiver, Recipients, Sender};
use salus_wire::limits::TX_BYTES_MAX;
use salus_wire::{List, MemberIndex, Tx, Urgency, decode, encode};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Transactions in one message.
const MESSAGE_TXS_MAX: usize = 256;
/// Bytes in one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Messages that wait to be sent.
pub(crate) const OUTGOING_MAX: Pair<usize> = Pair { urgent: 64, ordinary: 256 };
/// Ordinary messages of one member that may wait at the desk.
pub(crate) const ORDINARY_EACH_MAX: usize = 32;
/// Its urgent ones.
pub(crate) const URGENT_EACH_MAX: usize = 8;
/// Bytes before the transactions: how urgent they are, and how many.
const HEAD_BYTES: usize = 5;

const _: () = assert!(TX_BYTES_MAX + HEAD_BYTES <= MESSAGE_BYTES_MAX, "every transaction fits a message");

/// A message as decoded. All its transactions are as urgent as it says.
type Message = (Urgency, List<Tx, MESSAGE_TXS_MAX>);

/// Another member's transactions, with the place that they take at the desk.
pub(crate) struct Passed {
    /// Who passed them on.
    pub(crate) from: MemberIndex,
    /// The transactions.
    pub(crate) txs: Vec<Tx>,
    /// Given back once they are looked at.
    pub(crate) place: OwnedSemaphorePermit,
}

/// One thing for what is urgent and one for what is not.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pair<T> {
    /// For what goes first.
    pub(crate) urgent: T,
    /// For the rest.
    pub(crate) ordinary: T,
}

impl<T> Pair<T> {
    /// The one for this urgency.
    pub(crate) fn of(&self, urgency: Urgency) -> &T {
        match urgency {
            Urgency::Urgent => &self.urgent,
            Urgency::Ordinary => &self.ordinary,
        }
    }

    /// The same, to be changed.
    pub(crate) fn of_mut(&mut self, urgency: Urgency) -> &mut T {
        match urgency {
            Urgency::Urgent => &mut self.urgent,
            Urgency::Ordinary => &mut self.ordinary,
        }
    }
}

/// A queue for each urgency, with so much room.
pub(crate) fn channels<T>(room: Pair<usize>) -> (Pair<mpsc::Sender<T>>, Pair<mpsc::Receiver<T>>) {
    let (urgent, first) = mpsc::channel(room.urgent);
    let (ordinary, rest) = mpsc::channel(room.ordinary);
    (Pair { urgent, ordinary }, Pair { urgent: first, ordinary: rest })
}

/// Messages that hold those of `txs` that are of this urgency, in order.
pub(crate) fn pack(txs: &[Tx], urgency: Urgency) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut open = Vec::new();
    let mut bytes = HEAD_BYTES;
    for tx in txs.iter().filter(|tx| tx.body.urgency() == urgency) {
        let size = encode(tx).len();
        if open.len() >= MESSAGE_TXS_MAX || bytes.saturating_add(size) > MESSAGE_BYTES_MAX {
            messages.push(encode(&(urgency, &open)));
            open = Vec::new();
            bytes = HEAD_BYTES;
        }
        bytes = bytes.saturating_add(size);
        open.push(tx);
    }
    if !open.is_empty() {
        messages.push(encode(&(urgency, &open)));
    }
    messages
}

/// Sends what the desk puts out, the urgent first, until it stops.
pub(crate) async fn send(
    mut outgoing: Pair<mpsc::Receiver<Vec<u8>>>,
    mut network: impl Sender<PublicKey = PeerKey>,
) {
    loop {
        let (message, first) = tokio::select! {
            biased;
            message = outgoing.urgent.recv() => (message, true),
            message = outgoing.ordinary.recv() => (message, false),
        };
        let Some(message) = message else { return };
        // The network says whom it will try; nobody else is told, and resending makes up for it.
        let _ = network.send(Recipients::All, message, first);
    }
}

/// Brings what peers send to the desk, until either stops. What finds no place is dropped.
pub(crate) async fn receive(
    mut network: impl Receiver<PublicKey = PeerKey>,
    roster: Arc<Roster>,
    desk: Pair<mpsc::Sender<Passed>>,
) {
    let mut places: HashMap<MemberIndex, Pair<Arc<Semaphore>>> = HashMap::new();
    while let Ok((peer, mut message)) = network.recv().await {
        let Some(from) = roster.member(&peer) else { continue };
        let bytes = message.copy_to_bytes(message.remaining());
        let own = places.entry(from).or_insert_with(|| Pair {
            urgent: Arc::new(Semaphore::new(URGENT_EACH_MAX)),
            ordinary: Arc::new(Semaphore::new(ORDINARY_EACH_MAX)),
        });
        match open(&bytes, own) {
            Opened::Txs(urgency, txs, place) => {
                let _ = desk.of(urgency).try_send(Passed { from, txs, place });
            }
            Opened::NoPlace => tracing::debug!(member = from.get(), "a member sends more than is looked at"),
            Opened::Garbage => {
                tracing::warn!(member = from.get(), "a member sent no transactions where it should")
            }
        }
    }
}

enum Opened {
    Txs(Urgency, Vec<Tx>, OwnedSemaphorePermit),
    NoPlace,
    Garbage,
}

/// Takes a place before it decodes more than the first byte.
fn open(bytes: &[u8], places: &Pair<Arc<Semaphore>>) -> Opened {
    let Ok(urgency) = Urgency::deserialize(&mut &*bytes) else { return Opened::Garbage };
    let Ok(place) = Arc::clone(places.of(urgency)).try_acquire_owned() else { return Opened::NoPlace };
    match decode::<Message>(bytes, MESSAGE_BYTES_MAX) {
        Ok((_, txs)) if txs.iter().all(|tx| tx.body.urgency() == urgency) => {
            Opened::Txs(urgency, txs.into_vec(), place)
        }
        _ => Opened::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{consortium, enrolment, revocation};

    #[test]
    fn packing_keeps_order_urgency_and_limits() {
        let world = consortium(4);
        let txs: Vec<Tx> = (0..=255).chain(0..=255).map(|n| enrolment(&world, n)).collect();
        let end = revocation(&world, 1);
        let mixed = [&txs[..100], std::slice::from_ref(&end), &txs[100..]].concat();
        let messages = pack(&mixed, Urgency::Ordinary);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() <= MESSAGE_BYTES_MAX));
        let unpack = |messages: &[Vec<u8>]| -> Vec<Tx> {
            let decoded =
                messages.iter().map(|message| decode::<Message>(message, MESSAGE_BYTES_MAX).unwrap());
            decoded.flat_map(|(_, txs)| txs.into_vec()).collect()
        };
        assert_eq!(unpack(&messages), txs);
        assert_eq!(unpack(&pack(&mixed, Urgency::Urgent)), [end]);
        assert!(pack(&[], Urgency::Ordinary).is_empty());
    }

    #[test]
    fn a_member_without_a_place_is_not_decoded_and_its_urgent_messages_have_their_own() {
        let world = consortium(4);
        let own = Pair { urgent: Arc::new(Semaphore::new(1)), ordinary: Arc::new(Semaphore::new(1)) };
        let ordinary = pack(&[enrolment(&world, 1)], Urgency::Ordinary).remove(0);
        let urgent = pack(&[revocation(&world, 1)], Urgency::Urgent).remove(0);
        let Opened::Txs(_, _, place) = open(&ordinary, &own) else { panic!("there is a place") };
        // Without a place even garbage is not looked at.
        assert!(matches!(open(&[1, 0xff], &own), Opened::NoPlace));
        assert!(matches!(open(&urgent, &own), Opened::Txs(Urgency::Urgent, ..)));
        drop(place);
        assert!(matches!(open(&[1, 0xff], &own), Opened::Garbage));
        // What only says that it is urgent is dropped.
        let mut lying = ordinary.clone();
        lying[0] = 0;
        assert!(matches!(open(&lying, &own), Opened::Garbage));
        assert!(matches!(open(&[2], &own), Opened::Garbage));
        assert!(matches!(open(&[], &own), Opened::Garbage));
        assert!(matches!(open(&ordinary, &own), Opened::Txs(Urgency::Ordinary, ..)));
    }
}
