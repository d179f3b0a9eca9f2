//! Passing transactions on to the other members.
//!
//! Promises bounded messages, and that nothing a peer sends makes more than a bounded list of
//! transactions, which are admitted like any client's. Delivery is not promised: the member that
//! took a transaction sends it again until it is final.

use crate::desk::Ask;
use crate::scheme::{PeerKey, Roster};
use bytes::Buf as _;
use commonware_p2p::{Receiver, Recipients, Sender};
use salus_wire::limits::TX_BYTES_MAX;
use salus_wire::{List, Tx, decode, encode};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Transactions in one message.
const MESSAGE_TXS_MAX: usize = 256;
/// Bytes in one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Messages that wait to be sent.
pub(crate) const OUTGOING_MAX: usize = 256;

const _: () = assert!(TX_BYTES_MAX + 4 <= MESSAGE_BYTES_MAX, "every transaction fits a message");

/// A message as decoded.
type Message = List<Tx, MESSAGE_TXS_MAX>;

/// Messages that hold `txs` in order.
pub(crate) fn pack(txs: &[Tx]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut open = Vec::new();
    let mut bytes = 4_usize;
    for tx in txs {
        let size = encode(tx).len();
        if open.len() >= MESSAGE_TXS_MAX || bytes.saturating_add(size) > MESSAGE_BYTES_MAX {
            messages.push(encode(&open));
            open = Vec::new();
            bytes = 4;
        }
        bytes = bytes.saturating_add(size);
        open.push(tx);
    }
    if !open.is_empty() {
        messages.push(encode(&open));
    }
    messages
}

/// Sends what the desk puts out, until it stops.
pub(crate) async fn send(
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    mut network: impl Sender<PublicKey = PeerKey>,
) {
    while let Some(message) = outgoing.recv().await {
        // The network says whom it will try; nobody else is told, and resending makes up for it.
        let _ = network.send(Recipients::All, message, false);
    }
}

/// Brings what peers send to the desk, until either stops. A full desk drops it.
pub(crate) async fn receive(
    mut network: impl Receiver<PublicKey = PeerKey>,
    roster: Arc<Roster>,
    desk: mpsc::Sender<Ask>,
) {
    while let Ok((peer, mut message)) = network.recv().await {
        let Some(from) = roster.member(&peer) else { continue };
        let bytes = message.copy_to_bytes(message.remaining());
        match decode::<Message>(&bytes, MESSAGE_BYTES_MAX) {
            Ok(txs) => drop(desk.try_send(Ask::Gossip { from, txs: txs.into_vec() })),
            Err(error) => {
                tracing::warn!(member = from.get(), %error, "a member sent no transactions where it should")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{consortium, enrolment};

    #[test]
    fn packing_keeps_order_and_limits() {
        let world = consortium(4);
        let txs: Vec<Tx> = (0..=255).chain(0..=255).map(|n| enrolment(&world, n)).collect();
        let messages = pack(&txs);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() <= MESSAGE_BYTES_MAX));
        let unpacked: Vec<Tx> = messages
            .iter()
            .flat_map(|message| decode::<Message>(message, MESSAGE_BYTES_MAX).unwrap().into_vec())
            .collect();
        assert_eq!(unpacked, txs);
        assert!(pack(&[]).is_empty());
    }
}
