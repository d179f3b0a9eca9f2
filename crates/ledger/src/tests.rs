//! The rules by table and by property, against a toy state of four members.

mod properties;
mod rules;
mod signatures;

use crate::{Moment, ReadSet, apply, reads};
use salus_crypto::{Digest, PublicKey, Secret, SigningKey};
use salus_wire::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES};
use salus_wire::state::{MemberRecord, StateKey, StateValue};
use salus_wire::tx::{Held, PartyKind};
use salus_wire::{
    AccessTag, BatchNumber, Blob, ChainId, Code, Faults, GrantTag, Height, List, MemberIndex, Outcome,
    PartyId, Roles, TimeMs, TimeSpan, Tx, TxBody,
};
use std::collections::BTreeMap;

pub(crate) const MEMBERS: u16 = 4;

/// A state in memory, and the next block's moment.
#[derive(Clone)]
pub(crate) struct World {
    entries: BTreeMap<StateKey, StateValue>,
    pub(crate) moment: Moment,
}

impl World {
    /// Four members, at height 1 and time 1000.
    pub(crate) fn new() -> Self {
        let entries =
            (0..MEMBERS).map(|i| (StateKey::Member(MemberIndex::new(i)), StateValue::Member(member(i))));
        let moment = Moment {
            chain: chain(),
            faults: Faults::for_members(usize::from(MEMBERS)).unwrap(),
            height: Height::new(1),
            time: TimeMs::new(1_000),
        };
        Self { entries: entries.collect(), moment }
    }

    /// A world in which these were applied, one block each.
    pub(crate) fn after(txs: &[Tx]) -> Self {
        let mut world = Self::new();
        for tx in txs {
            assert_eq!(world.block(std::slice::from_ref(tx)), [Outcome::Applied]);
        }
        world
    }

    pub(crate) fn read(&self, txs: &[Tx]) -> ReadSet {
        let keys = txs.iter().flat_map(|tx| reads(&tx.body, self.moment.faults));
        keys.map(|key| (key, self.entries.get(&key).cloned())).collect()
    }

    /// Applies a block and moves on to the next height, a second later.
    pub(crate) fn block(&mut self, txs: &[Tx]) -> Vec<Outcome> {
        let applied = apply(&self.read(txs), self.moment, txs);
        self.entries.extend(applied.changes);
        self.moment.height = self.moment.height.next().unwrap();
        self.moment.time = self.moment.time.plus_ms(1_000);
        applied.outcomes
    }
}

pub(crate) fn chain() -> ChainId {
    ChainId(digest(1))
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

pub(crate) fn registrar(member: u16) -> SigningKey {
    key(10 + u8::try_from(member).unwrap())
}

pub(crate) fn service(member: u16) -> SigningKey {
    key(20 + u8::try_from(member).unwrap())
}

pub(crate) fn service_keys() -> Vec<PublicKey> {
    (0..MEMBERS).map(|i| service(i).public_key()).collect()
}

fn member(i: u16) -> MemberRecord {
    MemberRecord {
        consensus: key(30 + u8::try_from(i).unwrap()).public_key(),
        registrar: registrar(i).public_key(),
        service: service(i).public_key(),
        custodian: digest(2),
        authority: digest(3),
    }
}

pub(crate) fn signed(body: TxBody, by: &SigningKey) -> Tx {
    Tx::sign(chain(), body, by)
}

pub(crate) fn party(n: u8) -> PartyId {
    PartyId::new([n; 16])
}

pub(crate) fn grant_tag(n: u8) -> GrantTag {
    salus_wire::decode(&[n; 32], 32).unwrap()
}

pub(crate) fn access_tag(n: u8) -> AccessTag {
    salus_wire::decode(&[n; 32], 32).unwrap()
}

pub(crate) fn sealed<const MAX: usize>(length: usize) -> Blob<MAX> {
    Blob::new(vec![9; length]).unwrap()
}

pub(crate) fn register(n: u8, kind: PartyKind, member: u16, from: u64, until: u64) -> TxBody {
    TxBody::RegisterIdentity {
        party: party(n),
        kind,
        member: MemberIndex::new(member),
        key: key(n).public_key(),
        validity: TimeSpan::new(TimeMs::new(from), TimeMs::new(until)).unwrap(),
        roles: Roles::NONE,
        second: None,
    }
}

/// Gateway `n`, registered by member 0 and valid for ever.
pub(crate) fn gateway(n: u8) -> Tx {
    signed(register(n, PartyKind::Gateway, 0, 0, u64::MAX), &registrar(0))
}

pub(crate) fn enrol(n: u8, member: u16) -> TxBody {
    TxBody::EnrolDevice { enrolment: digest(n), member: MemberIndex::new(member) }
}

pub(crate) fn assign(n: u8, member: u16) -> TxBody {
    TxBody::AssignDevice { assignment: digest(n), member: MemberIndex::new(member) }
}

pub(crate) fn held(gateway: u8, batch: u64, store: u16) -> Held {
    let (batch, root) = (BatchNumber::new(batch), digest(5));
    Held::sign(chain(), party(gateway), batch, root, MemberIndex::new(store), &service(store))
}

/// Gateway `n` anchors `batch` with the promises of `stores`.
pub(crate) fn anchor(n: u8, batch: u64, stores: &[u16]) -> TxBody {
    let held = stores.iter().map(|store| held(n, batch, *store)).collect();
    TxBody::Anchor {
        gateway: party(n),
        batch: BatchNumber::new(batch),
        root: digest(5),
        held: List::new(held).unwrap(),
    }
}

pub(crate) fn commit(n: u8) -> TxBody {
    TxBody::CommitGrant { tag: grant_tag(n), commitment: digest(6), body: sealed(GRANT_BODY_BYTES) }
}

pub(crate) fn publish(member: u16, version: u32) -> TxBody {
    let text = Blob::new(format!("version {version}").into_bytes()).unwrap();
    TxBody::PublishPolicy { member: MemberIndex::new(member), version, text }
}

pub(crate) fn withdraw(n: u8) -> TxBody {
    TxBody::RevokeGrant { tag: grant_tag(n) }
}

pub(crate) fn access(n: u8) -> TxBody {
    TxBody::RecordAccess { tag: access_tag(n), commitment: digest(7), body: sealed(INTENT_BODY_BYTES) }
}

pub(crate) fn refused(code: Code) -> Outcome {
    Outcome::Refused(code)
}
