//! The ledger as an observer sees it, and apart from it the truth.
//!
//! [`Ledger`] holds only what stands in blocks: kinds, entries, keys, lengths, members in the clear, heights,
//! places and block times, and beside them who passed each transaction on, which [`Eyes::Member`] alone may
//! ask for. [`Truth`] holds what the wallets know; attacks are scored with it and never given it, but for a
//! region of the adversary's own.
//!
//! Cover is noted without being made: it is random bytes of the length that the ledger demands.

use crate::error::LinkageError;
use crate::number::{DAY, HOUR, MINUTE, log_normal};
use crate::parts::Consortium;
use crate::policy::{Anchors, Endings, Policy};
use crate::region::{Act, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_crypto::{Digest, SigningKey};
use salus_ledger::{Moment, ReadSet, apply, reads};
use salus_wire::state::{MemberRecord, StateKey, StateValue};
use salus_wire::{Faults, Height, MemberIndex, Outcome, TimeMs, Tx, TxBody, encode};
use std::collections::{BTreeMap, HashMap};

/// Milliseconds between batches of a gateway, as configured by default.
pub const CADENCE_MS: u64 = 500;
/// Of each hour, the ledger's anchors are looked at for so long.
pub const WINDOW_MS: u64 = MINUTE;
/// From when a proposer hears of a transaction until it proposes, at least.
const GATHER_MS: u64 = 5;
/// Milliseconds between blocks at least.
const BLOCK_MS: u64 = 20;

/// How much the adversary sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// The ledger.
    Ledger,
    /// And, being a member, through which member each transaction came.
    Member,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Enrols a device.
    Enrol,
    /// Assigns one.
    Assign,
    /// Ends an enrolment.
    EndDevice,
    /// Commits a grant.
    Grant,
    /// Withdraws one.
    EndGrant,
    /// Records an access.
    Access,
    /// Anything else.
    Other,
}

/// One transaction of a block, as it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Block time, milliseconds from the first day on.
    pub at: u64,
    /// Of the block.
    pub height: u64,
    /// What.
    pub kind: Kind,
    /// The member that it names.
    pub member: Option<u16>,
    /// The beginning of the name of the entry that it writes.
    pub entry: u64,
    /// The beginning of the signer.
    pub key: u64,
    /// Encoded bytes.
    pub bytes: usize,
}

/// A minute of a gateway's anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whose.
    pub gateway: u16,
    /// The hour, counted from the first day on.
    pub hour: u64,
    /// How many.
    pub anchors: usize,
}

/// What an observer sees.
#[derive(Debug)]
pub struct Ledger {
    seen: Vec<Seen>,
    origins: Vec<u16>,
    ended: Vec<Option<u64>>,
    kinds: HashMap<Kind, Vec<usize>>,
    /// Anchors, hour by hour.
    pub windows: Vec<Window>,
}

/// What the observer is to find out.
#[derive(Debug)]
pub struct Truth {
    /// Of each transaction, its encounter; none for cover.
    pub encounter: Vec<Option<usize>>,
    /// Of each encounter, the enrolment of its first device.
    pub first: Vec<Option<usize>>,
    /// Of each window, the devices present.
    pub devices: Vec<usize>,
    /// What the policy cost.
    pub cost: Cost,
}

/// What a policy costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Transactions of cover, without anchors.
    pub cover: usize,
    /// Their bytes.
    pub cover_bytes: usize,
    /// Anchors of nothing in the windows looked at.
    pub empty_anchors: usize,
    /// Milliseconds for which grants waited, together.
    pub waited_ms: u64,
    /// Grants.
    pub grants: usize,
    /// Accesses.
    pub accesses: usize,
    /// Accesses that had to wait for their grant.
    pub late: usize,
}

/// A transaction that waits for its block.
struct Released {
    at: u64,
    seen: Seen,
    origin: u16,
    event: Option<usize>,
}

impl Ledger {
    /// Orders the transactions of a world, which stand in the order of its events, under a policy.
    #[must_use]
    pub fn order(world: &World, txs: &[Tx], policy: Policy, seed: u64) -> (Self, Truth) {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x1ed6e5);
        let mut cost = Cost::default();
        let mut released = release(world, txs, policy, &mut cost, &mut rng);
        cover(world, txs, policy, &mut released, &mut cost, &mut rng);
        released.sort_by_key(|one| one.at);
        blocks(&mut released, &mut rng);
        let (windows, devices) = windows(world, policy, &mut cost, &mut rng);
        let encounter: Vec<Option<usize>> =
            released.iter().map(|one| Some(world.events.get(one.event?)?.encounter)).collect();
        let mut first = vec![None; world.encounters.len()];
        for (place, event) in released.iter().map(|one| one.event).enumerate() {
            let event = event.and_then(|event| world.events.get(event));
            if let Some(event) = event.filter(|event| event.act == Act::Enrol(0))
                && let Some(first) = first.get_mut(event.encounter)
            {
                *first = Some(place);
            }
        }
        (Self::of(&released, windows), Truth { encounter, first, devices, cost })
    }

    fn of(released: &[Released], windows: Vec<Window>) -> Self {
        let seen: Vec<Seen> = released.iter().map(|one| one.seen).collect();
        let origins = released.iter().map(|one| one.origin).collect();
        let ends = seen.iter().filter(|one| matches!(one.kind, Kind::EndDevice | Kind::EndGrant));
        let ends: HashMap<u64, u64> = ends.map(|one| (one.entry, one.at)).collect();
        let ended = seen.iter().map(|one| ends.get(&one.entry).copied()).collect();
        let mut kinds: HashMap<Kind, Vec<usize>> = HashMap::new();
        for (place, one) in seen.iter().enumerate() {
            kinds.entry(one.kind).or_default().push(place);
        }
        Self { seen, origins, ended, kinds, windows }
    }

    /// The transaction at a place, counted over all blocks.
    #[must_use]
    pub fn seen(&self, place: usize) -> Option<&Seen> {
        self.seen.get(place)
    }

    /// When the entry that it writes ended.
    #[must_use]
    pub fn ended(&self, place: usize) -> Option<u64> {
        self.ended.get(place).copied().flatten()
    }

    /// The places of one kind, in order.
    #[must_use]
    pub fn places(&self, kind: Kind) -> &[usize] {
        self.kinds.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The places of one kind between two times, in order.
    #[must_use]
    pub fn between(&self, kind: Kind, from: u64, until: u64) -> &[usize] {
        let places = self.places(kind);
        let before = |time: u64| {
            places.partition_point(|place| self.seen.get(*place).is_some_and(|one| one.at < time))
        };
        places.get(before(from)..before(until)).unwrap_or(&[])
    }

    /// Through which member it came, for those who can know.
    #[must_use]
    pub fn origin(&self, place: usize, eyes: Eyes) -> Option<u16> {
        let named = self.seen.get(place)?.member;
        match eyes {
            Eyes::Ledger => named,
            Eyes::Member => self.origins.get(place).copied(),
        }
    }
}

/// What stands on the ledger of a transaction.
fn read(tx: &Tx) -> Seen {
    let head = |bytes: &[u8; 32]| bytes.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let (kind, member, entry) = match &tx.body {
        TxBody::EnrolDevice { enrolment, member } => (Kind::Enrol, Some(member.get()), enrolment.as_bytes()),
        TxBody::AssignDevice { assignment, member } => {
            (Kind::Assign, Some(member.get()), assignment.as_bytes())
        }
        TxBody::RevokeDevice { enrolment } => (Kind::EndDevice, None, enrolment.as_bytes()),
        TxBody::CommitGrant { tag, .. } => (Kind::Grant, None, tag.0.as_bytes()),
        TxBody::RevokeGrant { tag } => (Kind::EndGrant, None, tag.0.as_bytes()),
        TxBody::RecordAccess { tag, .. } => (Kind::Access, None, tag.0.as_bytes()),
        _ => (Kind::Other, None, &[0; 32]),
    };
    let (entry, key) = (head(entry), head(tx.signer.as_bytes()));
    Seen { at: 0, height: 0, kind, member, entry, key, bytes: encode(tx).len() }
}

/// When each transaction is let go.
fn release(world: &World, txs: &[Tx], policy: Policy, cost: &mut Cost, rng: &mut StdRng) -> Vec<Released> {
    let mut began: HashMap<(usize, Act), u64> = HashMap::new();
    let mut all = Vec::with_capacity(txs.len());
    for (number, (event, tx)) in world.events.iter().zip(txs).enumerate() {
        if policy.endings == Endings::RunOut && matches!(event.act, Act::Withdraw(_)) {
            continue;
        }
        let after = |act: Act, ms: u64| began.get(&(event.encounter, act)).map_or(0, |at| at + ms);
        let at = match event.act {
            _ if policy.anchors == Anchors::Shuffled => rng.random_range(0..world.region.days * DAY),
            Act::Enrol(_) | Act::Assign(_) | Act::Grant(_) => held_back(event.at, policy, rng),
            Act::Access(grant) => event.at.max(after(Act::Grant(grant), 60)),
            Act::Withdraw(grant) => event.at.max(after(Act::Grant(grant), 60)),
            Act::Retire(device) => {
                let wait = rng.random_range(0..=policy.end_spread_ms);
                (event.at + wait).max(after(Act::Enrol(device), 60))
            }
        };
        match event.act {
            Act::Grant(_) => {
                cost.grants += 1;
                cost.waited_ms += at.saturating_sub(event.at);
            }
            Act::Access(_) => {
                cost.accesses += 1;
                cost.late += usize::from(at > event.at);
            }
            _ => {}
        }
        began.insert((event.encounter, event.act), at);
        let gateway = world.encounters.get(event.encounter).map_or(0, |stay| stay.gateway);
        all.push(Released { at, seen: read(tx), origin: world.member(gateway), event: Some(number) });
    }
    all
}

fn held_back(at: u64, policy: Policy, rng: &mut StdRng) -> u64 {
    let at = at + rng.random_range(0..=policy.spread_ms);
    // Within a slot the order is drawn as well: a slot's transactions go out over its first second.
    let mut slotted = |slot: u64| at.div_ceil(slot) * slot + rng.random_range(0..1_000);
    if policy.slot_ms == 0 { at } else { slotted(policy.slot_ms) }
}

/// Adds transactions of nothing: random tags, commitments, keys and bodies of the one length.
fn cover(
    world: &World,
    txs: &[Tx],
    policy: Policy,
    all: &mut Vec<Released>,
    cost: &mut Cost,
    rng: &mut StdRng,
) {
    let hours = world.region.days * 24;
    let like = |kind: Kind| txs.iter().map(read).find(|seen| seen.kind == kind);
    let mut add = |at: u64, seen: Seen, origin: u16| {
        all.push(Released { at, seen, origin, event: None });
        cost.cover += 1;
        cost.cover_bytes += seen.bytes;
    };
    let members = || 0..world.region.members;
    for (origin, like) in members().filter_map(|origin| Some((origin, like(Kind::Access)?))) {
        for _ in 0..policy.cover_accesses_per_hour * hours {
            let seen = Seen { entry: rng.random(), key: rng.random(), ..like };
            add(rng.random_range(0..hours * HOUR), seen, origin);
        }
    }
    let ending = like(Kind::EndGrant).filter(|_| policy.endings == Endings::Withdrawn);
    for (origin, like) in members().filter_map(|origin| Some((origin, like(Kind::Grant)?))) {
        for _ in 0..policy.cover_grants_per_hour * hours {
            let at = rng.random_range(0..hours * HOUR);
            let seen = Seen { entry: rng.random(), key: rng.random(), ..like };
            add(at, seen, origin);
            // Half of the grants are withdrawn, as patients do.
            if let Some(ending) = ending.filter(|_| rng.random_ratio(1, 2)) {
                let at = at + log_normal(8.0 * 1_000.0 * crate::number::seconds(HOUR), 1.2, rng);
                add(at, Seen { entry: seen.entry, key: seen.key, ..ending }, origin);
            }
        }
    }
}

/// Puts transactions in blocks: a proposer proposes soon after one waits, with all that came meanwhile.
fn blocks(all: &mut [Released], rng: &mut StdRng) {
    let (mut height, mut time) = (0_u64, 0_u64);
    for one in all {
        if height == 0 || one.at > time.saturating_sub(GATHER_MS) {
            height += 1;
            time = (one.at + GATHER_MS + rng.random_range(0..15)).max(time + BLOCK_MS);
        }
        (one.seen.at, one.seen.height) = (time, height);
    }
}

/// Counts the anchors of a minute in each hour, and the devices present: a quarter of devices sends each
/// second, others once in one or five minutes.
fn windows(world: &World, policy: Policy, cost: &mut Cost, rng: &mut StdRng) -> (Vec<Window>, Vec<usize>) {
    let ticks = usize::try_from(WINDOW_MS / CADENCE_MS).unwrap_or(0);
    let (mut all, mut present) = (Vec::new(), Vec::new());
    for gateway in 0..world.region.gateways {
        for hour in 0..world.region.days * 24 {
            let at = hour * HOUR + rng.random_range(0..HOUR - WINDOW_MS);
            let here = |stay: &&crate::region::Encounter| {
                stay.gateway == gateway && stay.from <= at && at + WINDOW_MS < stay.until
            };
            let (mut busy, mut devices) = (vec![false; ticks], 0);
            for stay in world.encounters.iter().filter(here) {
                devices += stay.devices;
                for device in 0..stay.devices {
                    let period = period(stay.from, device);
                    let mut next = rng.random_range(0..period);
                    while let Some(tick) = busy.get_mut(usize::try_from(next / CADENCE_MS).unwrap_or(ticks)) {
                        *tick = true;
                        next += period;
                    }
                }
            }
            let needed = busy.iter().filter(|tick| **tick).count();
            let anchors = if policy.anchors == Anchors::Always { ticks } else { needed };
            cost.empty_anchors += anchors - needed;
            all.push(Window { gateway, hour, anchors });
            present.push(devices);
        }
    }
    (all, present)
}

/// How often a device sends: drawn from when its patient came, so that it stays the same.
fn period(from: u64, device: usize) -> u64 {
    match (from / 7 + u64::try_from(device).unwrap_or(0)) % 4 {
        0 => 1_000,
        1 | 2 => MINUTE,
        _ => 5 * MINUTE,
    }
}

/// Has the replicated state machine take every transaction in order.
///
/// # Errors
/// [`LinkageError::Refused`] unless all are applied.
pub fn replay(consortium: &Consortium, txs: &[Tx]) -> Result<(), LinkageError> {
    let mut state: BTreeMap<StateKey, StateValue> = members(consortium).collect();
    let faults: Faults = consortium.faults;
    let mut refused = 0;
    for (height, block) in (1..).zip(txs.chunks(64)) {
        let keys = block.iter().flat_map(|tx| reads(&tx.body, faults));
        let before: ReadSet = keys.map(|key| (key, state.get(&key).cloned())).collect();
        let moment = Moment {
            chain: consortium.chain,
            faults,
            height: Height::new(height),
            time: TimeMs::new(height),
        };
        let applied = apply(&before, moment, block);
        refused += applied.outcomes.iter().filter(|outcome| **outcome != Outcome::Applied).count();
        state.extend(applied.changes);
    }
    if refused == 0 { Ok(()) } else { Err(LinkageError::Refused { refused, all: txs.len() }) }
}

fn members(consortium: &Consortium) -> impl Iterator<Item = (StateKey, StateValue)> {
    let keys = consortium.registrars.iter().map(SigningKey::public_key);
    (0..).map(MemberIndex::new).zip(keys).map(|(index, key)| {
        let (custodian, authority) = (Digest::ZERO, Digest::ZERO);
        let record = MemberRecord { consensus: key, registrar: key, service: key, custodian, authority };
        (StateKey::Member(index), StateValue::Member(record))
    })
}
