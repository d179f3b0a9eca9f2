//! Orders of erasure: one that is permitted, and every clause of it broken on its own.

use super::world::*;
use crate::{Denied, FinalView, OrderDesk, Ordered};
use salus_crypto::chain::{ChainSeed, Link, seal_body};
use salus_crypto::digest::{Digest, sha256};
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_wire::erasure::{EraseRequest, EraseStep, EraseTerms, Erasure, erase_message, erasure_commitment};
use salus_wire::limits::{GRANT_PLAIN_BYTES, VIEW_STALE_MS};
use salus_wire::release::{ShareBytes, reader_digest};
use salus_wire::state::{GrantRecord, Standing};
use salus_wire::tx::grant_commitment;
use salus_wire::{Blob, GrantTag, MemberIndex, StateKey, StateValue, TimeMs, encode, namespaces};
use std::collections::BTreeMap;

/// The order stands behind this many grants.
const INDEX: u16 = 3;

struct Case {
    chain: ChainSeed,
    ledger: BTreeMap<StateKey, StateValue>,
    terms: EraseTerms,
    signer: SigningKey,
    now: TimeMs,
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

fn reader(n: u8) -> KemSecretKey {
    KemSecretKey::from_seed(Secret::from_bytes([n; 32]))
}

fn erasure() -> Erasure {
    Erasure {
        salt: [1; 32],
        writer: WRITER,
        reader: reader_digest(&reader(5).public_key()),
        one_time: key(2).public_key(),
    }
}

impl Case {
    fn new() -> Self {
        let chain = seed(10);
        let terms = EraseTerms {
            custodian: ME,
            nonce: [1; 16],
            sent: NOW,
            one_time: key(2).public_key(),
            index: INDEX,
            link: ShareBytes(chain.link(INDEX).to_secret()),
            body_key: ShareBytes(chain.body_key(INDEX)),
            reader: reader(5).public_key(),
            step: EraseStep::Finish,
        };
        let mut case = Self { chain, ledger: BTreeMap::new(), terms, signer: key(2), now: NOW };
        for index in 1..INDEX {
            case.put(index, &World::new().grant, grant_commitment);
        }
        case.put(INDEX, &erasure(), erasure_commitment);
        case
    }

    fn put<T: borsh::BorshSerialize>(
        &mut self,
        index: u16,
        body: &T,
        commitment: impl Fn(&Link, &T) -> Digest,
    ) {
        let sealed =
            seal_body(&self.chain.body_key(index), GRANT_PLAIN_BYTES, &encode(body), &mut rng()).unwrap();
        let record = GrantRecord {
            commitment: commitment(&self.chain.link(index), body),
            one_time: key(2).public_key(),
            body: Blob::new(sealed).unwrap(),
            since: SINCE,
            standing: Standing::Active,
        };
        self.ledger.insert(self.tag(index), StateValue::Grant(record));
    }

    fn tag(&self, index: u16) -> StateKey {
        StateKey::Grant(GrantTag(self.chain.link(index).tag()))
    }

    fn decide(self) -> Result<Ordered, Denied> {
        self.decide_at(&mut OrderDesk::new(CHAIN, ME))
    }

    fn decide_at(self, desk: &mut OrderDesk) -> Result<Ordered, Denied> {
        let signature = self.signer.sign(namespaces::ERASE_REQUEST, &erase_message(CHAIN, &self.terms));
        let admitted = desk.admit(EraseRequest { terms: self.terms, signature }, self.now)?;
        let keys = admitted.reads();
        let values = keys.iter().map(|key| self.ledger.get(key).cloned()).collect();
        admitted.open(&FinalView::new(HEAD, keys, values).unwrap(), self.now)
    }
}

#[test]
fn the_holder_of_a_chain_is_obeyed() {
    let ordered = Case::new().decide().ok().unwrap();
    assert_eq!((ordered.grants(), ordered.writer()), (seed(10).anchor(), WRITER));
    assert_eq!(StateKey::Grant(ordered.order()), Case::new().tag(INDEX));
    assert!(matches!(ordered.step(), EraseStep::Finish));
    // An order is never withdrawn.
    let mut case = Case::new();
    let tag = case.tag(INDEX);
    if let Some(StateValue::Grant(record)) = case.ledger.get_mut(&tag) {
        record.standing = Standing::Revoked(HEAD);
    }
    assert!(case.decide().is_ok());
}

/// What is said, and what spoils the case so that it is.
type Row = (Denied, fn(&mut Case));

#[test]
fn each_clause_by_itself_denies() {
    let cases: [Row; 15] = [
        (Denied::RequestSignature, |case| case.signer = key(3)),
        (Denied::OtherCustodian, |case| case.terms.custodian = MemberIndex::new(1)),
        (Denied::NotJustNow, |case| case.terms.sent = NOW.plus_ms(60_000)),
        (Denied::NoSuchPlace, |case| case.terms.index = 0),
        (Denied::NoSuchPlace, |case| case.terms.index = 1_025),
        (Denied::ViewStale, |case| {
            case.now = NOW.plus_ms(VIEW_STALE_MS + 1);
            case.terms.sent = case.now;
        }),
        (Denied::NoOrder, |case| drop(case.ledger.remove(&case.tag(INDEX)))),
        (Denied::GrantGap, |case| drop(case.ledger.remove(&case.tag(1)))),
        (Denied::OtherOneTime, |case| {
            case.signer = key(4);
            case.terms.one_time = key(4).public_key();
        }),
        // A grant is no order, whoever shows it: not even the patient can erase by an entry that they meant
        // otherwise.
        (Denied::NotAnOrder, |case| {
            let grant = World::new().grant;
            case.put(INDEX, &grant, grant_commitment);
        }),
        // Nor is something that reads like an order and was committed as a grant.
        (Denied::NotAnOrder, |case| {
            case.put(INDEX, &erasure(), |_, _| Digest::from_bytes([7; 32]));
        }),
        (Denied::GrantOneTime, |case| {
            let other = Erasure { one_time: key(9).public_key(), ..erasure() };
            case.put(INDEX, &other, erasure_commitment);
        }),
        // Whoever saw the tag on its way was first, with an order of their own; the link they learn later.
        (Denied::NotAnOrder, |case| {
            case.put(INDEX, &erasure(), |_, order| sha256(namespaces::ERASURE, &[&encode(order)]));
        }),
        (Denied::NotAnOrder, |case| {
            let other = seed(11);
            case.put(INDEX, &erasure(), |_, order| erasure_commitment(&other.link(INDEX), order));
        }),
        (Denied::OtherReader, |case| case.terms.reader = reader(6).public_key()),
    ];
    for (number, (denied, change)) in cases.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(case.decide().err(), Some(denied), "case {number}");
    }
}

#[test]
fn a_grantee_cannot_erase_and_a_copy_is_refused() {
    // Somebody who was shown link 2 holds a body key for it, and no one-time key of the patient's.
    let mut case = Case::new();
    case.terms.index = 2;
    case.terms.link = ShareBytes(case.chain.link(2).to_secret());
    case.terms.body_key = ShareBytes(case.chain.body_key(2));
    assert_eq!(case.decide().err(), Some(Denied::NotAnOrder));
    let mut desk = OrderDesk::new(CHAIN, ME);
    assert!(Case::new().decide_at(&mut desk).is_ok());
    assert_eq!(Case::new().decide_at(&mut desk).err(), Some(Denied::Replayed));
}

#[test]
fn what_others_put_under_earlier_tags_does_not_stand_in_the_way() {
    let mut case = Case::new();
    case.put(2, &erasure(), |_, _| Digest::ZERO);
    let ordered = case.decide().ok().unwrap();
    assert_eq!(StateKey::Grant(ordered.order()), Case::new().tag(INDEX));
}
