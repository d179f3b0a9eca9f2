//! The model of the ledger: each rule of each transaction, and each field of a header.

use super::world::*;
use salus_crypto::SigningKey;
use salus_crypto::digest::Digest;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::rpc::FinalBlock;
use salus_wire::tx::{Held, PartyKind};
use salus_wire::{
    BatchNumber, Blob, ChainId, Code, List, MemberIndex, Outcome, PartyId, Roles, TimeMs, TimeSpan, Tx,
    TxBody, View,
};

const GATEWAY: PartyId = PartyId::new([1; 16]);
const PERSON: PartyId = PartyId::new([2; 16]);
const LATE: PartyId = PartyId::new([3; 16]);
const ROOT: Digest = Digest::from_bytes([9; 32]);

fn register(chain: ChainId, party: PartyId, kind: PartyKind, from: u64, by: &SigningKey) -> Tx {
    let (member, key) = (MemberIndex::new(0), key(4, party.as_bytes()[0]).public_key());
    let validity = TimeSpan::new(TimeMs::new(from), TimeMs::new(1_000_000)).unwrap();
    Tx::sign(
        chain,
        TxBody::RegisterIdentity { party, kind, member, key, validity, roles: Roles::NONE, second: None },
        by,
    )
}

fn anchor(chain: ChainId, gateway: PartyId, batch: u64, stores: &[u16], by: &SigningKey) -> Tx {
    let batch = BatchNumber::new(batch);
    let held = stores.iter().map(|store| {
        let signer = key(3, u8::try_from(*store).unwrap());
        Held::sign(chain, gateway, batch, ROOT, MemberIndex::new(*store), &signer)
    });
    let held = List::new(held.collect()).unwrap();
    Tx::sign(chain, TxBody::Anchor { gateway, batch, root: ROOT, held }, by)
}

fn enrol(chain: ChainId, n: u8, member: u16, by: &SigningKey) -> Tx {
    let (enrolment, member) = (Digest::from_bytes([n; 32]), MemberIndex::new(member));
    Tx::sign(chain, TxBody::EnrolDevice { enrolment, member }, by)
}

fn assign(chain: ChainId, n: u8, by: &SigningKey) -> Tx {
    let (assignment, member) = (Digest::from_bytes([n; 32]), MemberIndex::new(0));
    Tx::sign(chain, TxBody::AssignDevice { assignment, member }, by)
}

fn sign(chain: ChainId, body: TxBody, by: &SigningKey) -> Tx {
    Tx::sign(chain, body, by)
}

/// Holds the model to one outcome: it takes this one, and no other.
fn check(maker: &mut Maker, tx: Tx, outcome: Outcome) {
    let others = [Outcome::Applied, Outcome::Refused(Code::NotReady), Outcome::Refused(Code::NoGrant)];
    for other in others.into_iter().filter(|other| *other != outcome) {
        let draft = maker.draft(10, vec![(tx.clone(), other)]);
        assert!(maker.ledger.clone().apply(&draft).is_err(), "{:?} as {other:?}", tx.body);
    }
    maker.next(10, vec![(tx, outcome)]);
}

fn no(code: Code) -> Outcome {
    Outcome::Refused(code)
}

#[test]
fn registrations_are_judged() {
    let mut maker = Maker::new();
    let (chain, me, other) = (maker.chain, key(2, 0), key(2, 1));
    let yes = Outcome::Applied;
    let mut check = |tx: Tx, outcome| check(&mut maker, tx, outcome);
    check(register(chain, GATEWAY, PartyKind::Gateway, 0, &other), no(Code::UnknownSigner));
    check(register(chain, GATEWAY, PartyKind::Gateway, 0, &me), yes);
    check(register(chain, GATEWAY, PartyKind::Gateway, 0, &me), no(Code::AlreadyExists));
    check(enrol(chain, 1, 0, &other), no(Code::UnknownSigner));
    check(enrol(chain, 1, 4, &me), no(Code::UnknownSigner));
    check(enrol(chain, 1, 0, &me), yes);
    check(enrol(chain, 1, 0, &me), no(Code::AlreadyExists));
    check(assign(chain, 1, &other), no(Code::UnknownSigner));
    check(assign(chain, 1, &me), yes);
    check(assign(chain, 1, &me), no(Code::AlreadyExists));
    let party = |party| TxBody::RevokeIdentity { party };
    check(sign(chain, party(PERSON), &me), no(Code::NotFound));
    check(sign(chain, party(GATEWAY), &other), no(Code::UnknownSigner));
    check(sign(chain, party(GATEWAY), &me), yes);
    check(sign(chain, party(GATEWAY), &me), no(Code::Revoked));
    let device = |n| TxBody::RevokeDevice { enrolment: Digest::from_bytes([n; 32]) };
    check(sign(chain, device(2), &me), no(Code::NotFound));
    check(sign(chain, device(1), &other), no(Code::UnknownSigner));
    check(sign(chain, device(1), &me), yes);
    check(sign(chain, device(1), &me), no(Code::Revoked));
    let strange = ChainId(Digest::ZERO);
    check(enrol(strange, 3, 0, &me), no(Code::BadSignature));
}

#[test]
fn policies_are_judged() {
    let mut maker = Maker::new();
    let (chain, me, other) = (maker.chain, key(2, 0), key(2, 1));
    let publish = |member, version, by: &SigningKey| {
        let text = Blob::new(vec![b'x'; 9]).unwrap();
        sign(chain, TxBody::PublishPolicy { member: MemberIndex::new(member), version, text }, by)
    };
    let mut check = |tx: Tx, outcome| check(&mut maker, tx, outcome);
    check(publish(0, 1, &other), no(Code::UnknownSigner));
    check(publish(0, 2, &me), no(Code::NotFound));
    check(publish(0, 1, &me), Outcome::Applied);
    check(publish(0, 1, &me), no(Code::AlreadyExists));
    check(publish(0, 3, &me), no(Code::NotFound));
    check(publish(0, 2, &me), Outcome::Applied);
    check(publish(0, 1, &me), no(Code::AlreadyExists));
    check(publish(1, 1, &other), Outcome::Applied);
}

#[test]
fn anchors_are_judged() {
    let mut maker = Maker::new();
    let (chain, me) = (maker.chain, key(2, 0));
    let (gateway, person, late) = (key(4, 1), key(4, 2), key(4, 3));
    let yes = Outcome::Applied;
    let mut check = |tx: Tx, outcome| check(&mut maker, tx, outcome);
    check(anchor(chain, GATEWAY, 0, &[0, 1, 2], &gateway), no(Code::UnknownSigner));
    check(register(chain, GATEWAY, PartyKind::Gateway, 0, &me), yes);
    check(register(chain, PERSON, PartyKind::Person, 0, &me), yes);
    check(register(chain, LATE, PartyKind::Gateway, 900_000, &me), yes);
    check(anchor(chain, GATEWAY, 0, &[0, 1], &gateway), no(Code::TooFewReceipts));
    check(anchor(chain, GATEWAY, 0, &[0, 1, 2], &me), no(Code::UnknownSigner));
    check(anchor(chain, PERSON, 0, &[0, 1, 2], &person), no(Code::UnknownSigner));
    check(anchor(chain, LATE, 0, &[0, 1, 2], &late), no(Code::OutsideValidity));
    check(anchor(chain, GATEWAY, 0, &[0, 1, 3], &gateway), yes);
    check(anchor(chain, GATEWAY, 0, &[0, 1, 2], &gateway), no(Code::AlreadyExists));
    let mut spoilt = anchor(chain, GATEWAY, 1, &[0, 1, 2, 3], &gateway);
    if let TxBody::Anchor { held, .. } = &mut spoilt.body {
        let mut all = held.clone().into_vec();
        all[3].signature = all[2].signature;
        *held = List::new(all).unwrap();
    }
    check(sign(chain, spoilt.body, &gateway), no(Code::BadReceipt));
    // No document names the code of these: any refusal will do, but none takes effect.
    for stores in [&[0, 2, 1][..], &[0, 1, 1, 2], &[0, 1, 2, 4]] {
        let tx = anchor(chain, GATEWAY, 1, stores, &gateway);
        let draft = maker.draft(10, vec![(tx.clone(), yes)]);
        assert!(maker.ledger.clone().apply(&draft).is_err());
        maker.next(10, vec![(tx, no(Code::Malformed))]);
    }
    maker.next(10, vec![(sign(chain, TxBody::RevokeIdentity { party: GATEWAY }, &me), yes)]);
    self::check(&mut maker, anchor(chain, GATEWAY, 2, &[0, 1, 2], &gateway), no(Code::Revoked));
}

#[test]
fn consent_is_judged() {
    let mut maker = Maker::new();
    let chain = maker.chain;
    let yes = Outcome::Applied;
    let mut check = |tx: Tx, outcome| check(&mut maker, tx, outcome);
    check(withdrawal(chain, 1), no(Code::NotFound));
    check(grant(chain, 1), yes);
    check(grant(chain, 1), no(Code::AlreadyExists));
    check(sign(chain, grant(chain, 1).body, &key(9, 9)), no(Code::AlreadyExists));
    check(sign(chain, withdrawal(chain, 1).body, &key(9, 9)), no(Code::UnknownSigner));
    check(withdrawal(chain, 1), yes);
    check(withdrawal(chain, 1), no(Code::Revoked));
    check(access(chain, 1), yes);
    check(access(chain, 1), no(Code::AlreadyExists));
    let mut short = grant(chain, 2).body;
    if let TxBody::CommitGrant { body, .. } = &mut short {
        *body = Blob::new(vec![0; 369]).unwrap();
    }
    let short = sign(chain, short, &key(7, 2));
    let draft = maker.draft(10, vec![(short.clone(), yes)]);
    assert!(maker.ledger.clone().apply(&draft).is_err());
    maker.next(10, vec![(short, no(Code::Malformed))]);
    // Within one block too, the first wins.
    maker.next(10, vec![(grant(chain, 3), yes), refused(grant(chain, 3), Code::AlreadyExists)]);
}

#[test]
fn every_field_of_a_header_is_judged() {
    let mut maker = Maker::new();
    let txs = vec![(grant(maker.chain, 1), Outcome::Applied), (grant(maker.chain, 2), Outcome::Applied)];
    maker.next(10, txs.clone());
    let txs: Vec<_> = txs.into_iter().map(|(tx, _)| refused(tx, Code::AlreadyExists)).collect();
    let good = maker.draft(10, txs);
    assert_eq!(maker.ledger.clone().apply(&good), Ok(()));
    let changes: [fn(&mut FinalBlock); 13] = [
        |made| made.block.header.chain = ChainId(Digest::ZERO),
        |made| made.block.header.height = made.block.header.height.next().unwrap(),
        |made| made.block.header.view = made.block.header.parent_view,
        |made| made.block.header.parent_view = View::new(0),
        |made| made.block.header.parent = Digest::ZERO,
        |made| made.block.header.proposer = MemberIndex::new(4),
        |made| made.block.header.time = TimeMs::new(1_010),
        |made| made.block.header.transactions = Digest::ZERO,
        |made| made.block.header.receipts = Digest::ZERO,
        |made| made.block.header.state = Digest::ZERO,
        |made| made.outcomes = List::new(vec![made.outcomes[0]]).unwrap(),
        |made| made.outcomes = List::new(vec![made.outcomes[0], Outcome::Applied]).unwrap(),
        |made| {
            let one = made.block.transactions[0].clone();
            made.block.transactions = List::new(vec![one.clone(), one]).unwrap();
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(maker.ledger.clone().apply(&bad).is_err(), "change {index}");
    }
    let digests: Vec<Digest> = good.block.transactions.iter().map(Tx::digest).collect();
    let mut lie = good.clone();
    lie.outcomes = List::new(vec![Outcome::Applied; 2]).unwrap();
    lie.block.header.receipts = receipts_root(&digests, &lie.outcomes);
    assert_eq!(lie.block.header.transactions, transactions_root(&digests));
    assert!(maker.ledger.apply(&lie).is_err());
}
