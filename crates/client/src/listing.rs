//! The patient's list of every grant and every access, complete as of a height (INV-5, design 4.4).
//!
//! The walk asks for tag 1, 2, 3 … of the grant chain and of each grant's lane until one is absent.
//! Those reads are unproven and only say what to prove: at the end *one* proof, under one final
//! header, shows every listed tag present and the next tag of every chain absent. If something new
//! became final meanwhile the proof shows it and the walk is done again.
//!
//! An old proof is as true as a new one, and shows less. So a proof counts only when its block is close to
//! this client's clock ([`LIST_STALE_MS`]) and not before one that the client was shown already; the member
//! that gave another is passed over.

use crate::ask::{Answer, Ask, AskId, Silence, Told, What};
use crate::error::{ClientError, Fault};
use crate::grant::{lane_seed, open_grant};
use salus_consent::{open_order, open_recovery};
use salus_crypto::chain::{CHAIN_LEN_MAX, ChainSeed, ChainTag, open_body};
use salus_planted::{Bug, is};
use salus_proof::{Proven, ProvenState, TrustPolicy, state};
use salus_wire::consent::{Grant, Intent};
use salus_wire::ids::{AccessTag, GrantTag, MemberIndex};
use salus_wire::limits::{INTENT_PLAIN_BYTES, LIST_STALE_MS, STATE_KEYS_MAX};
use salus_wire::state::{GrantRecord, Standing, Tip};
use salus_wire::tx::{access_commitment, grant_commitment};
use salus_wire::{Code, Height, StateKey, StateProof, StateValue, TimeMs, decode};
use std::collections::BTreeSet;

/// Tags asked for at once while walking a chain.
const STRIDE: u16 = 32;
/// Times the walk is done again because something became final meanwhile, or a member was wrong.
const ATTEMPTS_MAX: u16 = 64;

/// A list that is complete as of `at`.
pub struct AccessList {
    /// The final block as of which nothing is missing.
    pub at: Tip,
    /// Every grant of the chain, in order.
    pub grants: Vec<ListedGrant>,
    /// The proof, for whoever wants to check it again.
    pub proof: Box<StateProof>,
    /// What members did wrong on the way. That one is a little behind, or that something became final
    /// meanwhile, is no fault.
    pub faults: Vec<Fault>,
}

/// A grant and every access under it.
pub struct ListedGrant {
    /// Its place on the chain, from 1.
    pub index: u16,
    /// What was granted; `None` when the entry is none of this wallet's: somebody took the tag first, and nothing
    /// opens by it.
    pub grant: Option<Grant>,
    /// Whether it is no grant but the patient's order that everything be destroyed.
    pub erasure: bool,
    /// Whether it is no grant but what was prepared for recovery.
    pub recovery: bool,
    /// When it became final.
    pub since: Tip,
    /// Whether it still stands.
    pub standing: Standing,
    /// Every access, in order.
    pub accesses: Vec<ListedAccess>,
}

/// An access under a grant.
pub struct ListedAccess {
    /// Its place on the lane, from 1.
    pub index: u16,
    /// Who, what, why; `None` when the reader sealed nonsense. No honest custodian releases a share
    /// for such an access, and the grant still says whose lane it is.
    pub intent: Option<Intent>,
    /// When it became final.
    pub since: Tip,
}

/// A chain being walked: 0 is the grant chain, g is the lane of grant g.
struct Walk {
    seed: ChainSeed,
    lane: bool,
    present: u16,
    /// From index 1 on, as far as was asked.
    tags: Vec<ChainTag>,
}

/// A listing under way.
pub struct Lister {
    policy: TrustPolicy,
    members: u16,
    home: MemberIndex,
    seed: ChainSeed,
    walks: Vec<Walk>,
    attempts: u16,
    asked: Option<AskId>,
    /// Keys in the question that is awaited.
    keys: usize,
    state: State,
    /// The highest block that a proof has shown.
    seen: Height,
    faults: Vec<Fault>,
}

enum State {
    Walking(usize),
    Proving,
    Done(Result<AccessList, ClientError>),
}

impl Lister {
    /// Starts a listing of the chain that `seed` makes, as of no block before `seen`.
    #[must_use]
    pub fn start(
        policy: TrustPolicy,
        members: u16,
        home: MemberIndex,
        seed: ChainSeed,
        seen: Height,
    ) -> (Self, Vec<Ask>) {
        let mut lister = Self {
            policy,
            members: members.max(1),
            home,
            seed,
            walks: Vec::new(),
            attempts: 0,
            asked: None,
            keys: 0,
            state: State::Walking(0),
            seen,
            faults: Vec::new(),
        };
        let asks = lister.restart();
        (lister, asks)
    }

    /// Takes the one answer that is awaited, at `now` by the client's clock, and says what to ask next.
    pub fn step(&mut self, told: Told, now: TimeMs) -> Vec<Ask> {
        if self.asked != Some(told.id) {
            return Vec::new();
        }
        match (&self.state, told.what) {
            (State::Walking(walk), Ok(Answer::Values(values))) if values.values.len() == self.keys => {
                let found = values.values.iter().take_while(|value| value.is_some()).count();
                self.walked(told.from, *walk, u16::try_from(found).unwrap_or(STRIDE))
            }
            (State::Proving, Ok(Answer::Proof(proof))) => self.proven(told.from, proof, now),
            (State::Done(_), _) => Vec::new(),
            (_, Err(Silence::Refused(refusal))) => self.retry(told.from, refusal.code),
            (_, _) => self.retry(told.from, Code::Unreachable),
        }
    }

    /// The list, once there is nothing left to ask.
    pub fn finish(self) -> Option<Result<AccessList, ClientError>> {
        match self.state {
            State::Done(result) => Some(result),
            _ => None,
        }
    }

    /// Whether there is nothing left to ask.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    fn restart(&mut self) -> Vec<Ask> {
        self.walks = vec![Walk::new(ChainSeed::new(self.seed.to_secret()), false)];
        self.state = State::Walking(0);
        self.ask_walk(0)
    }

    fn retry(&mut self, from: MemberIndex, code: Code) -> Vec<Ask> {
        let fault = Fault { member: from, code, detail: "listing".to_owned() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= ATTEMPTS_MAX.min(self.members.saturating_mul(4)) {
            self.state = State::Done(Err(self.unproven()));
            return Vec::new();
        }
        self.restart()
    }

    /// Why there is no list: old proofs of more members than can lie are another matter than bad ones.
    fn unproven(&mut self) -> ClientError {
        let faults = std::mem::take(&mut self.faults);
        let stale = faults.iter().filter(|fault| fault.code == Code::ProofStale).map(|fault| fault.member);
        let stale = stale.collect::<BTreeSet<MemberIndex>>().len();
        if stale > usize::from(self.members.saturating_sub(1) / 3) {
            ClientError::Stale { faults }
        } else {
            ClientError::Unproven { faults }
        }
    }

    fn walked(&mut self, from: MemberIndex, number: usize, found: u16) -> Vec<Ask> {
        let Some(walk) = self.walks.get_mut(number) else { return Vec::new() };
        walk.present = walk.present.saturating_add(found);
        let ended = found < STRIDE || walk.present >= CHAIN_LEN_MAX;
        // More than one proof can show, or the word of a member that lies: the next one tells.
        if self.walks.iter().map(Walk::count).sum::<usize>() > STATE_KEYS_MAX {
            return self.retry(from, Code::TooLarge);
        }
        if !ended {
            return self.ask_walk(number);
        }
        if number == 0 {
            let grants = self.walks.first().map_or(0, |walk| walk.present);
            let lane = |index| Walk::new(lane_seed(&self.seed, index), true);
            let lanes: Vec<Walk> = (1..=grants).map(lane).collect();
            self.walks.extend(lanes);
        }
        match number.checked_add(1).filter(|next| *next < self.walks.len()) {
            Some(next) => {
                self.state = State::Walking(next);
                self.ask_walk(next)
            }
            None => self.ask_proof(),
        }
    }

    fn ask_walk(&mut self, number: usize) -> Vec<Ask> {
        let Some(walk) = self.walks.get_mut(number) else { return Vec::new() };
        let first = walk.present.saturating_add(1);
        let last = walk.present.saturating_add(STRIDE).min(CHAIN_LEN_MAX);
        walk.reach(last);
        let keys = (first..=last).filter_map(|index| walk.key(index)).collect();
        self.ask(What::Read, keys)
    }

    fn ask_proof(&mut self) -> Vec<Ask> {
        let keys: Vec<StateKey> = self.walks.iter().flat_map(Walk::keys).collect();
        self.state = State::Proving;
        self.ask(What::Prove, keys)
    }

    fn ask(&mut self, what: fn(Vec<StateKey>) -> What, keys: Vec<StateKey>) -> Vec<Ask> {
        self.keys = keys.len();
        let id = AskId(self.asked.map_or(0, |last| last.0.wrapping_add(1)));
        self.asked = Some(id);
        let to = MemberIndex::new(self.home.get().wrapping_add(self.attempts) % self.members);
        vec![Ask { id, to, what: what(keys) }]
    }

    fn proven(&mut self, from: MemberIndex, proof: Box<StateProof>, now: TimeMs) -> Vec<Ask> {
        let Ok(state) = state::verify(&self.policy, &proof) else {
            return self.retry(from, Code::ProofInvalid);
        };
        let at = state.at();
        // Also far ahead: then the clock is slow, and makes old proofs look new.
        if now.since_ms(at.time).max(at.time.since_ms(now)) > LIST_STALE_MS {
            return self.retry(from, Code::ProofStale);
        }
        if at.height < self.seen {
            return self.retry(from, Code::NotReady);
        }
        self.seen = at.height;
        match self.list(&state) {
            Some(grants) => {
                let mut faults = std::mem::take(&mut self.faults);
                faults.retain(|fault| fault.code != Code::NotReady);
                self.state = State::Done(Ok(AccessList { at, grants, proof, faults }));
                Vec::new()
            }
            None => self.retry(from, Code::NotReady),
        }
    }

    /// The list that the proven state shows, or `None` when a tag that should be present is not or
    /// one that should be absent is there.
    fn list(&self, state: &ProvenState) -> Option<Vec<ListedGrant>> {
        let (chain, lanes) = self.walks.split_first()?;
        if !chain.ends_in(state) {
            return None;
        }
        let numbered = (1_u16..).zip(lanes);
        numbered.map(|(index, lane)| listed_grant(index, chain, lane, state)).collect()
    }
}

impl Walk {
    const fn new(seed: ChainSeed, lane: bool) -> Self {
        Self { seed, lane, present: 0, tags: Vec::new() }
    }

    /// Derives the tags up to this index; most chains are short, and a long one is derived whole.
    fn reach(&mut self, last: u16) {
        if self.tags.len() < usize::from(last) {
            let all = if self.tags.is_empty() { last } else { CHAIN_LEN_MAX };
            self.tags = self.seed.tags_to(all);
        }
    }

    /// The key of an index, from 1, that was reached.
    fn key(&self, index: u16) -> Option<StateKey> {
        let tag = *self.tags.get(usize::from(index).checked_sub(1)?)?;
        Some(if self.lane { StateKey::Access(AccessTag(tag)) } else { StateKey::Grant(GrantTag(tag)) })
    }

    /// How many [`Walk::keys`] there are, at least, when the walk goes no further.
    fn count(&self) -> usize {
        usize::from(self.present.saturating_add(1).min(CHAIN_LEN_MAX))
    }

    /// Every present tag and the first absent one.
    fn keys(&self) -> Vec<StateKey> {
        let last = self.present.saturating_add(1).min(CHAIN_LEN_MAX);
        (1..=last).filter_map(|index| self.key(index)).collect()
    }

    fn ends_in(&self, state: &ProvenState) -> bool {
        let next = self.present.saturating_add(1);
        is(Bug::ListEndsEarly)
            || next > CHAIN_LEN_MAX
            || self.key(next).is_some_and(|key| matches!(state.get(&key), Proven::Absent))
    }

    fn at<'a>(&self, index: u16, state: &'a ProvenState) -> Option<&'a StateValue> {
        match state.get(&self.key(index)?) {
            Proven::Present(value) => Some(value),
            _ => None,
        }
    }
}

fn listed_grant(index: u16, chain: &Walk, lane: &Walk, state: &ProvenState) -> Option<ListedGrant> {
    let Some(StateValue::Grant(record)) = chain.at(index, state) else { return None };
    if !lane.ends_in(state) {
        return None;
    }
    let accesses: Option<Vec<ListedAccess>> =
        (1..=lane.present).map(|place| listed_access(place, lane, state)).collect();
    let grant = opened_grant(chain, index, record);
    let (link, body_key) = (chain.seed.link(index), chain.seed.body_key(index));
    let order = open_order(&link, &body_key, record);
    let erasure = order.is_some_and(|order| order.one_time == record.one_time);
    let recovery = open_recovery(&link, &body_key, record);
    let recovery = recovery.is_some_and(|recovery| recovery.one_time == record.one_time);
    let (since, standing) = (record.since, record.standing);
    Some(ListedGrant { index, grant, erasure, recovery, since, standing, accesses: accesses? })
}

fn opened_grant(chain: &Walk, index: u16, record: &GrantRecord) -> Option<Grant> {
    let grant = open_grant(&chain.seed.body_key(index), &record.body)?;
    let committed = grant_commitment(&chain.seed.link(index), &grant) == record.commitment;
    (committed && grant.one_time == record.one_time).then_some(grant)
}

fn listed_access(index: u16, lane: &Walk, state: &ProvenState) -> Option<ListedAccess> {
    let Some(StateValue::Access(record)) = lane.at(index, state) else { return None };
    let key = lane.seed.link(index).body_key();
    let plain = open_body(&key, &record.body).ok();
    let intent = plain.and_then(|plain| decode::<Intent>(&plain, INTENT_PLAIN_BYTES).ok());
    let intent = intent.filter(|intent| access_commitment(intent) == record.commitment);
    Some(ListedAccess { index, intent, since: record.since })
}
