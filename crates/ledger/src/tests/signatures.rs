//! Which signatures a block is checked for, and that every bad one is named.

use super::*;
use crate::{BadSignatures, check_signatures};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn check(txs: &[Tx]) -> Vec<usize> {
    match check_signatures(chain(), txs, &service_keys(), &mut StdRng::seed_from_u64(3)) {
        Ok(()) => Vec::new(),
        Err(BadSignatures { indices }) => indices,
    }
}

/// Replaces the promise at `place` within an anchor and signs the whole again.
fn with_promise(place: usize, promise: Held) -> Tx {
    let TxBody::Anchor { gateway, batch, root, held } = anchor(1, 0, &[0, 1, 2]) else { panic!("an anchor") };
    let mut held = held.into_vec();
    held[place] = promise;
    signed(TxBody::Anchor { gateway, batch, root, held: List::new(held).unwrap() }, &key(1))
}

#[test]
fn good_blocks_pass() {
    assert_eq!(check(&[]), []);
    let block = [gateway(1), signed(anchor(1, 0, &[0, 1, 2, 3]), &key(1)), signed(commit(1), &key(5))];
    assert_eq!(check(&block), []);
}

#[test]
fn every_bad_transaction_is_named_once() {
    let other_chain = Tx::sign(ChainId(digest(99)), commit(2), &key(2));
    let mut other_signer = signed(commit(3), &key(3));
    other_signer.signer = key(4).public_key();
    let mut other_body = signed(commit(4), &key(4));
    other_body.body = commit(5);
    let block =
        [signed(commit(1), &key(1)), other_chain, other_signer, signed(access(1), &key(1)), other_body];
    assert_eq!(check(&block), [1, 2, 4]);
}

#[test]
fn forged_promises_are_named() {
    let held_by = |store, by: &SigningKey, chain, batch| {
        Held::sign(chain, party(1), BatchNumber::new(batch), digest(5), MemberIndex::new(store), by)
    };
    for (name, promise) in [
        ("the gateway's own key", held_by(2, &key(1), chain(), 0)),
        ("another store's key", held_by(2, &service(1), chain(), 0)),
        ("another consortium", held_by(2, &service(2), ChainId(digest(99)), 0)),
        ("another batch", held_by(2, &service(2), chain(), 1)),
        ("a copy under another store", Held { store: MemberIndex::new(2), ..held(1, 0, 1) }),
        ("a store that is no member", held_by(4, &service(3), chain(), 0)),
    ] {
        assert_eq!(check(&[gateway(1), with_promise(2, promise)]), [1], "{name}");
    }
    assert_eq!(check(&[with_promise(2, held(1, 0, 2))]), []);
}
