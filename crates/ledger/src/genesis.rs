//! The state before the first block.
//!
//! Promises that it follows from the genesis alone. Refuses to judge whether the members are
//! well chosen: `salus-proof` does that when it builds a trust policy.

use salus_wire::genesis::GenesisMember;
use salus_wire::release::reader_digest;
use salus_wire::state::{MemberRecord, StateKey, StateValue, Tip};
use salus_wire::{Genesis, Height, MemberIndex};

/// The entries that stand at height 0, ascending by key: the tip and the members.
#[must_use]
pub fn genesis_state(genesis: &Genesis) -> Vec<(StateKey, StateValue)> {
    let tip = Tip { height: Height::new(0), time: genesis.time };
    let members = (0..).map(MemberIndex::new).zip(genesis.members.iter());
    let entries =
        members.map(|(index, member)| (StateKey::Member(index), StateValue::Member(record(member))));
    std::iter::once((StateKey::Tip, StateValue::Tip(tip))).chain(entries).collect()
}

fn record(member: &GenesisMember) -> MemberRecord {
    MemberRecord {
        consensus: member.consensus,
        registrar: member.registrar,
        service: member.service,
        custodian: reader_digest(&member.custodian),
        authority: member.authority,
    }
}
