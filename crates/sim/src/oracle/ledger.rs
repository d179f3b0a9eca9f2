//! A plain model of the replicated state: block after block, every transaction judged anew by
//! [`super::rules`], every root computed anew by [`super::tree`].
//!
//! Promises that a block which it accepts follows from the genesis and the documents alone. Refuses to
//! know members, votes and certificates.

use super::rules::{Rules, State, Verdict};
use super::tree::Tree;
use salus_crypto::digest::Digest;
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::limits::BLOCK_BYTES_MAX;
use salus_wire::rpc::FinalBlock;
use salus_wire::state::{MemberRecord, StateKey, StateValue, Tip};
use salus_wire::{
    AccessTag, Genesis, GrantTag, Header, Height, MemberIndex, Outcome, TimeMs, Tx, TxBody, View, encode,
    namespaces,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where in the ledger's order something took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The block.
    pub(crate) height: Height,
    /// The transaction's place in it.
    pub(crate) index: usize,
}

/// Where a grant began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantPlaces {
    pub(crate) committed: Place,
    pub(crate) withdrawn: Option<Place>,
}

/// The ledger as it ought to be.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Rules,
    head: Header,
    times: Vec<TimeMs>,
    state: State,
    tree: Tree,
    applied: BTreeSet<Digest>,
    grants: BTreeMap<GrantTag, GrantPlaces>,
    accesses: BTreeMap<AccessTag, Place>,
}

impl Ledger {
    /// The ledger after block 0, which follows from the genesis: no parent, view 0, member 0 as the
    /// proposer, no transactions, and the members and the tip as its state.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let (mut state, mut tree) = (State::new(), Tree::default());
        let tip = Tip { height: Height::new(0), time: genesis.time };
        let members = (0..).map(MemberIndex::new).zip(genesis.members.iter()).map(|(index, member)| {
            let record = MemberRecord {
                consensus: member.consensus,
                registrar: member.registrar,
                service: member.service,
                custodian: salus_crypto::digest::sha256(namespaces::KEM_KEY, &[&encode(&member.custodian)]),
                authority: member.authority,
            };
            (StateKey::Member(index), StateValue::Member(record))
        });
        for (key, value) in members.chain([(StateKey::Tip, StateValue::Tip(tip))]) {
            tree.put(&key, &value);
            state.insert(key, value);
        }
        let head = Header {
            chain: genesis.chain(),
            height: Height::new(0),
            view: View::new(0),
            parent_view: View::new(0),
            parent: Digest::ZERO,
            proposer: MemberIndex::new(0),
            time: genesis.time,
            transactions: transactions_root(&[]),
            receipts: receipts_root(&[], &[]),
            state: tree.root(),
        };
        Self {
            rules: Rules { chain: genesis.chain(), quorum: quorum(genesis.members.len()) },
            times: vec![genesis.time],
            head,
            state,
            tree,
            applied: BTreeSet::new(),
            grants: BTreeMap::new(),
            accesses: BTreeMap::new(),
        }
    }

    /// Applies the next block.
    ///
    /// # Errors
    /// What in it does not follow from the documents; the model is then of no more use.
    pub fn apply(&mut self, block: &FinalBlock) -> Result<(), String> {
        let header = &block.block.header;
        self.follows(header)?;
        if encode(&block.block).len() > BLOCK_BYTES_MAX {
            return Err("the block is larger than its limit".to_owned());
        }
        let digests: Vec<Digest> = block.block.transactions.iter().map(Tx::digest).collect();
        if block.outcomes.len() != digests.len() {
            return Err(format!("{} outcomes for {} transactions", block.outcomes.len(), digests.len()));
        }
        same("transactions", header.transactions, transactions_root(&digests))?;
        same("receipts", header.receipts, receipts_root(&digests, &block.outcomes))?;
        self.execute(block)?;
        same("state", header.state, self.tree.root())?;
        self.times.push(header.time);
        self.head = header.clone();
        Ok(())
    }

    /// The height of the last block applied.
    #[must_use]
    pub fn head(&self) -> Height {
        self.head.height
    }

    /// The entry under `key`.
    #[must_use]
    pub fn get(&self, key: &StateKey) -> Option<&StateValue> {
        self.state.get(key)
    }

    /// The root of the state.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        self.tree.root()
    }

    /// The last header.
    #[must_use]
    pub fn head_header(&self) -> &Header {
        &self.head
    }

    /// The time of the block at `height`, or of the last one below it.
    pub(crate) fn time_at(&self, height: Height) -> TimeMs {
        let index = usize::try_from(height.get()).unwrap_or(usize::MAX);
        self.times.get(index).copied().unwrap_or(self.head.time)
    }

    /// Where the grant began and ended, if it is there.
    pub(crate) fn grant(&self, tag: &GrantTag) -> Option<GrantPlaces> {
        self.grants.get(tag).copied()
    }

    /// Where the access took effect, if it did.
    pub(crate) fn access(&self, tag: &AccessTag) -> Option<Place> {
        self.accesses.get(tag).copied()
    }

    fn follows(&self, header: &Header) -> Result<(), String> {
        let last = &self.head;
        let checks = [
            (header.chain == last.chain, "it is another consortium's"),
            (last.height.next() == Some(header.height), "its height is not the next"),
            (header.parent == last.digest(), "its parent is another block"),
            (header.parent_view == last.view, "its parent's view is another"),
            (header.view > last.view, "its view is not later than its parent's"),
            (header.time > last.time, "its time is not later than its parent's"),
            (self.state.contains_key(&StateKey::Member(header.proposer)), "its proposer is no member"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(format!("block {} after {}: {why}", header.height, last.height)),
            None => Ok(()),
        }
    }

    /// Carries out the transactions, and holds what became of each against the rules.
    pub(crate) fn execute(&mut self, block: &FinalBlock) -> Result<(), String> {
        let tip = Tip { height: block.block.header.height, time: block.block.header.time };
        let each = block.block.transactions.iter().zip(block.outcomes.iter()).enumerate();
        for (index, (tx, outcome)) in each {
            let place = Place { height: tip.height, index };
            self.take(tip, place, tx, outcome)
                .map_err(|how| format!("transaction {index} of block {}: {how}", tip.height))?;
        }
        self.write(StateKey::Tip, StateValue::Tip(tip));
        Ok(())
    }

    fn take(&mut self, tip: Tip, place: Place, tx: &Tx, outcome: &Outcome) -> Result<(), String> {
        let verdict = self.rules.judge(&self.state, tip, tx);
        if !verdict.allows(outcome) {
            return Err(format!("it is {outcome:?}, but by the documents {}", told(&verdict)));
        }
        let Verdict::Applies(key, value) = verdict else { return Ok(()) };
        if !self.applied.insert(tx.digest()) {
            return Err("it took effect before".to_owned());
        }
        self.write(key, *value);
        self.remember(place, &tx.body);
        Ok(())
    }

    fn write(&mut self, key: StateKey, value: StateValue) {
        self.tree.put(&key, &value);
        self.state.insert(key, value);
    }

    fn remember(&mut self, place: Place, body: &TxBody) {
        match body {
            TxBody::CommitGrant { tag, .. } => {
                self.grants.insert(*tag, GrantPlaces { committed: place, withdrawn: None });
            }
            TxBody::RevokeGrant { tag } => {
                if let Some(grant) = self.grants.get_mut(tag) {
                    grant.withdrawn = Some(place);
                }
            }
            TxBody::RecordAccess { tag, .. } => {
                self.accesses.insert(*tag, place);
            }
            _ => {}
        }
    }
}

/// n - f, with f = floor((n - 1) / 3).
fn quorum(members: usize) -> usize {
    members.saturating_sub(members.saturating_sub(1) / 3)
}

fn same(what: &str, stated: Digest, computed: Digest) -> Result<(), String> {
    if stated == computed {
        return Ok(());
    }
    Err(format!("the header states the {what} root {stated}, it is {computed}"))
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applies(key, _) => format!("it takes effect under {key:?}"),
        Verdict::Refused(why) => format!("it is refused for {why:?}"),
    }
}
