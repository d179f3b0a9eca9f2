//! Blocks, transactions, the state and its proofs.

use crate::sample::*;
use salus_wire::state::{
    AccessRecord, AnchorRecord, CertifiedChain, DeviceRecord, GrantRecord, IdentityRecord, MemberRecord,
    PolicyRecord, ReviewRecord, Standing,
};
use salus_wire::tx::{Held, PartyKind};
use salus_wire::{
    BatchNumber, Block, ChainId, Code, Header, Height, MemberIndex, Outcome, ProvenItem, Role, Roles,
    StateKey, StateProof, StateValue, Terminal, Tx, TxBody, View,
};

const HEADER: usize = 194;

pub(crate) fn all() -> Vec<Golden> {
    [blocks(), transactions(), keys(), values(), proofs()].into_iter().flatten().collect()
}

pub(crate) fn header() -> Header {
    Header {
        chain: ChainId(digest(1)),
        height: Height::new(0x0203_0405_0607_0809),
        view: View::new(0x1213_1415_1617_1819),
        parent_view: View::new(0x2223_2425_2627_2829),
        parent: digest(2),
        proposer: MemberIndex::new(0x0304),
        time: time(3),
        transactions: digest(4),
        receipts: digest(5),
        state: digest(6),
    }
}

pub(crate) fn tx(body: TxBody) -> Tx {
    Tx { body, signer: key(7), signature: signature(8) }
}

pub(crate) fn block() -> Block {
    let transactions = list(vec![tx(TxBody::RevokeGrant { tag: grant_tag(9) })]);
    Block { header: header(), transactions }
}

pub(crate) fn certified() -> CertifiedChain {
    CertifiedChain { headers: list(vec![header(), header()]), certificate: blob(50, 10) }
}

fn blocks() -> Vec<Golden> {
    vec![
        golden("header", "Header", &header()),
        golden("block", "Block", &block()).list(HEADER, 4_096, "transactions"),
        golden("outcome-applied", "Outcome", &Outcome::Applied).wrong(0, 2, "a third outcome"),
        golden("outcome-refused", "Outcome", &Outcome::Refused(Code::AlreadyExists))
            .wrong(2, 0xff, "no code"),
        golden("code", "Code", &Code::Internal).wrong(1, 0, "no code"),
    ]
}

fn transactions() -> Vec<Golden> {
    let (member, party) = (MemberIndex::new(0x0102), party(3));
    let held = |store| Held { store: MemberIndex::new(store), signature: signature(6) };
    let (commitment, body) = (digest(2), blob(434, 3));
    let register = TxBody::RegisterIdentity {
        party,
        kind: PartyKind::Person,
        member,
        key: key(4),
        validity: span(),
        roles: Roles::of(&[Role::Physician, Role::PrivacyOfficer]),
        second: Some(key(5)),
    };
    let anchor = TxBody::Anchor {
        gateway: party,
        batch: BatchNumber::new(0x0102_0304_0506_0708),
        root: digest(5),
        held: list(vec![held(0), held(2), held(3)]),
    };
    let commit = TxBody::CommitGrant { tag: grant_tag(1), commitment, body: blob(690, 3) };
    let close = TxBody::CloseReview { member, officer: party, review: digest(1), body: body.clone() };
    let access = TxBody::RecordAccess { tag: access_tag(1), commitment, body };
    let policy = TxBody::PublishPolicy { member, version: 0x0304_0506, text: blob(40, 3) };
    vec![
        golden("tx-register-identity", "Tx", &tx(register))
            .wrong(17, 3, "a party of no kind")
            .wrong(52, 9, "an empty span")
            .wrong(69, 1, "an unknown role")
            .wrong(70, 2, "neither a second factor nor none"),
        golden("tx-revoke-identity", "Tx", &tx(TxBody::RevokeIdentity { party })).wrong(0, 14, "no kind"),
        golden("tx-enrol-device", "Tx", &tx(TxBody::EnrolDevice { enrolment: digest(1), member })),
        golden("tx-revoke-device", "Tx", &tx(TxBody::RevokeDevice { enrolment: digest(1) })),
        golden("tx-assign-device", "Tx", &tx(TxBody::AssignDevice { assignment: digest(1), member })),
        golden("tx-anchor", "Tx", &tx(anchor)).list(57, 64, "promises"),
        golden("tx-commit-grant", "Tx", &tx(commit)).list(65, 690, "bytes of sealed body"),
        golden("tx-revoke-grant", "Tx", &tx(TxBody::RevokeGrant { tag: grant_tag(1) })),
        golden("tx-record-access", "Tx", &tx(access)).list(65, 434, "bytes of sealed body"),
        golden("tx-close-review", "Tx", &tx(close)).list(51, 434, "bytes of sealed body"),
        golden("tx-publish-policy", "Tx", &tx(policy)).list(7, 6_144, "bytes of policy"),
    ]
}

fn keys() -> Vec<Golden> {
    vec![
        golden("key-tip", "StateKey", &StateKey::Tip).wrong(0, 12, "no kind"),
        golden("key-member", "StateKey", &StateKey::Member(MemberIndex::new(0x0102))),
        golden("key-identity", "StateKey", &StateKey::Identity(party(1))),
        golden("key-enrolment", "StateKey", &StateKey::Enrolment(digest(1))),
        golden("key-assignment", "StateKey", &StateKey::Assignment(digest(1))),
        golden("key-anchor", "StateKey", &StateKey::Anchor(party(1), BatchNumber::new(0x0203))),
        golden("key-grant", "StateKey", &StateKey::Grant(grant_tag(1))),
        golden("key-access", "StateKey", &StateKey::Access(access_tag(1))),
        golden("key-review", "StateKey", &StateKey::Review(MemberIndex::new(0x0102), digest(1))),
        golden("key-policy", "StateKey", &StateKey::Policy(MemberIndex::new(0x0102))),
    ]
}

fn values() -> Vec<Golden> {
    let (member, since) = (MemberIndex::new(0x0102), tip(1));
    let keys = MemberRecord {
        consensus: key(1),
        registrar: key(2),
        service: key(3),
        custodian: digest(4),
        authority: digest(5),
    };
    let identity = IdentityRecord {
        kind: PartyKind::Person,
        member,
        key: key(6),
        validity: span(),
        roles: Roles::of(&[Role::Nurse]),
        second: None,
        since,
        standing: Standing::Active,
    };
    let device = DeviceRecord { member, since, standing: Standing::Revoked(tip(2)) };
    let (commitment, one_time, body) = (digest(7), key(8), blob(434, 9));
    let grant = GrantRecord { commitment, one_time, body: blob(690, 9), since, standing: Standing::Active };
    let review = ReviewRecord { officer: party(4), body: body.clone(), since };
    let access = AccessRecord { commitment, one_time, body, since };
    let policy = PolicyRecord { version: 0x0304_0506, text: blob(40, 3), since };
    vec![
        golden("value-tip", "StateValue", &StateValue::Tip(tip(1))).wrong(0, 11, "no kind"),
        golden("value-member", "StateValue", &StateValue::Member(keys)),
        golden("value-identity", "StateValue", &StateValue::Identity(identity)).wrong(
            71,
            2,
            "a third standing",
        ),
        golden("value-device", "StateValue", &StateValue::Device(device)).wrong(19, 2, "a third standing"),
        golden("value-anchor", "StateValue", &StateValue::Anchor(AnchorRecord { root: digest(1), since })),
        golden("value-grant", "StateValue", &StateValue::Grant(grant)).list(65, 690, "bytes of sealed body"),
        golden("value-review", "StateValue", &StateValue::Review(review)).list(
            17,
            434,
            "bytes of sealed body",
        ),
        golden("value-access", "StateValue", &StateValue::Access(access)).list(
            65,
            434,
            "bytes of sealed body",
        ),
        golden("value-policy", "StateValue", &StateValue::Policy(policy)).list(5, 6_144, "bytes of policy"),
    ]
}

/// A proof of one entry and two absences.
pub(crate) fn state_proof() -> StateProof {
    let leaf = Terminal::Leaf { path: digest(1), value: digest(2) };
    let item = |value, terminal, siblings: usize| ProvenItem {
        key: StateKey::Tip,
        value,
        terminal,
        siblings: list(vec![digest(3); siblings]),
    };
    let there = item(Some(StateValue::Tip(tip(1))), leaf, 2);
    StateProof {
        chain: certified(),
        items: list(vec![there, item(None, leaf, 1), item(None, Terminal::Empty, 0)]),
    }
}

fn proofs() -> Vec<Golden> {
    let certificate = 4 + 2 * HEADER;
    let items = certificate + 4 + 50;
    vec![
        golden("certified-chain", "CertifiedChain", &certified()).list(0, 64, "headers").list(
            certificate,
            4_288,
            "bytes of certificate",
        ),
        golden("state-proof", "StateProof", &state_proof())
            .list(items, 4_096, "items")
            .list(items + 4 + 1 + 18 + 65, 256, "siblings")
            .wrong(items + 4 + 1, 2, "neither a value nor none")
            .wrong(items + 4 + 1 + 18, 2, "a third end"),
    ]
}
