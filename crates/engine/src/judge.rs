//! The member's own judgement: what a block may hold, what it does, and what is final.
//!
//! A step machine without clock, network, disk of its own or entropy: time, randomness and blocks
//! come as arguments, the state stands behind [`StateTree`], results leave as values. The driver
//! ([`crate::desk`]) runs it on one thread; a simulator can run it on none.
//!
//! Promises, with at most f liars among the members:
//! * INV-4: a candidate is [`Verdict::Valid`] only if this member, executing its transactions on
//!   the state of its parent, finds the three roots that its header names, and every signature
//!   verifies.
//! * Final blocks are applied in order, each once. They are durable before they come here (the
//!   archive holds them), so the state, which follows from them, is written in groups: a write for
//!   each block would cost five flushes of the disk. After a crash the state holds the height that
//!   it stands at, and the blocks above it are applied again ([`crate::recovery`]).
//! * P2 (design 4.4): a verdict names the grants that the block withdraws, so that the driver can
//!   have their refusal made durable before it lets the vote go.
//!
//! Refuses to know how blocks reach it, who votes, and who waits for a transaction.

use crate::candidate::Candidate;
use crate::error::{EngineError, Refused};
use crate::mempool::{Mempool, Waiting};
use crate::tree::{StateError, StateTree};
use rand::CryptoRng;
use salus_crypto::digest::Digest;
use salus_crypto::sign::PublicKey;
use salus_ledger::{Applied, Moment, ReadSet};
use salus_planted::{Bug, is};
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::limits::BLOCK_BYTES_MAX;
use salus_wire::rpc::{Committed, FinalBlock};
use salus_wire::state::Tip;
use salus_wire::{
    Block, ChainId, Code, Faults, Genesis, GrantTag, Header, Height, List, MemberIndex, ProvenItem, StateKey,
    StateValue, TimeMs, Tx, TxBody, View, encode,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Blocks kept that are not final. Simplex adds at most a few per view; when more gather than
/// this, all are dropped and executed again as they are needed.
const BRANCHES_MAX: usize = 64;
/// Blocks between the final one and the one a member votes on. Further behind, it catches up first.
pub(crate) const LINEAGE_MAX: usize = 32;
/// Final blocks applied before the state is written. It bounds what a restart applies again.
const UNWRITTEN_BLOCKS_MAX: usize = 64;
/// Transactions applied before the state is written. It bounds the memory of unwritten pages.
const UNWRITTEN_TXS_MAX: usize = 2_048;
/// Bytes of a block that are not transactions, generously.
const HEADER_ROOM: usize = 512;

/// The last block that this member applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// The digest of its header.
    pub digest: Digest,
    /// The root of the state after it.
    pub state: Digest,
}

/// See the head of this module.
pub(crate) struct Judge<T: StateTree> {
    chain: ChainId,
    faults: Faults,
    service_keys: Vec<PublicKey>,
    tree: T,
    head: Head,
    /// Final, applied, not yet written; oldest first.
    unwritten: Vec<Branch<T::Branch>>,
    /// Executed, not final.
    branches: HashMap<Digest, Branch<T::Branch>>,
    pool: Mempool,
}

/// A block that was executed.
struct Branch<B> {
    header: Header,
    state: B,
    changes: Vec<(StateKey, StateValue)>,
    tx_digests: Vec<Digest>,
    revoked: Vec<GrantTag>,
}

/// Where a block stands for this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Final, or executed on blocks that are: a child can be judged.
    Known,
    /// Above the final block and not executed.
    Unknown,
    /// On a branch that lost, or below the final block: a child will never be final.
    Stale,
}

/// The engine's part of a new header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The view in which the block is proposed.
    pub(crate) view: View,
    /// The view of its parent.
    pub(crate) parent_view: View,
    /// The proposer.
    pub(crate) proposer: MemberIndex,
    /// The proposer's clock, already later than the parent's time.
    pub(crate) time: TimeMs,
}

/// A judgement on a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A vote may go out once the refusal of these grants is durable.
    Valid(Vec<GrantTag>),
    /// The proposer is at fault, for ever.
    Invalid(Fault),
    /// The parent has not been executed, or lost; no judgement.
    Unplaced(Place),
}

/// Why a candidate is invalid for ever. The proposer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Of another consortium.
    #[error("the block is of another consortium")]
    Chain,
    /// Not one above its parent.
    #[error("the block's height is not one above its parent's")]
    Height,
    /// Not later than its parent.
    #[error("the block is not later than its parent")]
    Time,
    /// A signature does not verify.
    #[error("the block holds a signature that does not verify")]
    Signature,
    /// Executing it gives another state or other outcomes.
    #[error("executing the block does not give the roots it names")]
    Roots,
}

/// A transaction about which no more is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Its digest.
    pub(crate) digest: Digest,
    /// What became of it.
    pub(crate) result: Result<Committed, Refused>,
}

/// What a block does on a state.
struct Executed<B> {
    applied: Applied,
    root: Digest,
    branch: B,
}

impl<T: StateTree> Judge<T> {
    /// Takes up the state where `header`, its last block, left it.
    ///
    /// # Errors
    /// [`EngineError::Mismatch`] when the state is not the one that the header names.
    pub(crate) fn new(genesis: &Genesis, tree: T, header: &Header) -> Result<Self, EngineError> {
        let mismatch = EngineError::Mismatch { height: header.height };
        let Some(faults) = genesis.faults() else { return Err(mismatch) };
        if tree.root() != header.state {
            return Err(mismatch);
        }
        Ok(Self {
            chain: genesis.chain(),
            faults,
            service_keys: genesis.members.iter().map(|member| member.service).collect(),
            tree,
            head: Head::of(header),
            unwritten: Vec::new(),
            branches: HashMap::new(),
            pool: Mempool::new(genesis.members.len()),
        })
    }

    /// The last block applied.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The waiting transactions.
    pub(crate) fn pool(&self) -> &Mempool {
        &self.pool
    }

    /// Where the block with this header stands.
    pub(crate) fn place(&self, digest: &Digest, height: Height) -> Place {
        if self.lineage(digest).is_some() {
            Place::Known
        } else if height <= self.head.height {
            Place::Stale
        } else {
            Place::Unknown
        }
    }

    /// Makes the next block on `parent` out of what waits; `None` when the parent is not
    /// [`Place::Known`].
    ///
    /// # Errors
    /// [`EngineError::State`].
    pub(crate) fn build(
        &mut self,
        parent: &Header,
        slot: Slot,
    ) -> Result<Option<(Candidate, Vec<GrantTag>)>, EngineError> {
        let parent_digest = parent.digest();
        let Some(lineage) = self.lineage(&parent_digest) else { return Ok(None) };
        let Some(height) = parent.height.next() else { return Ok(None) };
        let held = lineage.iter().filter(|_| !is(Bug::TransactionTwice));
        let skip: HashSet<Digest> = held.flat_map(|branch| &branch.tx_digests).copied().collect();
        let txs = self.pool.select(BLOCK_BYTES_MAX.saturating_sub(HEADER_ROOM), &skip);
        let done = self.execute(&lineage, self.moment(height, slot.time), &txs)?;
        let tx_digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        let header = Header {
            chain: self.chain,
            height,
            view: slot.view,
            parent_view: slot.parent_view,
            parent: parent_digest,
            proposer: slot.proposer,
            time: slot.time,
            transactions: transactions_root(&tx_digests),
            receipts: receipts_root(&tx_digests, &done.applied.outcomes),
            state: done.root,
        };
        let Some(candidate) = assemble(header, txs, done.applied.outcomes.clone()) else { return Ok(None) };
        let revoked = self.keep(&candidate, done);
        Ok(Some((candidate, revoked)))
    }

    /// Judges a candidate on its parent. The clock rule is the driver's.
    ///
    /// # Errors
    /// [`EngineError::State`].
    pub(crate) fn check(
        &mut self,
        candidate: &Candidate,
        parent: &Header,
        rng: &mut impl CryptoRng,
    ) -> Result<Verdict, EngineError> {
        if let Some(executed) = self.lineage(&candidate.header_digest()) {
            return Ok(Verdict::Valid(withdrawn(&executed)));
        }
        let header = candidate.header();
        let Some(lineage) = self.lineage(&header.parent) else {
            return Ok(Verdict::Unplaced(self.place(&header.parent, parent.height)));
        };
        if let Err(fault) = self.check_header(header, parent) {
            return Ok(Verdict::Invalid(fault));
        }
        if !self.signatures_hold(candidate, rng) {
            return Ok(Verdict::Invalid(Fault::Signature));
        }
        let done =
            self.execute(&lineage, self.moment(header.height, header.time), candidate.transactions())?;
        if !agrees(candidate, &done) {
            return Ok(Verdict::Invalid(Fault::Roots));
        }
        Ok(Verdict::Valid(self.keep(candidate, done)))
    }

    /// Applies a final block, which the archive already keeps. `None` when it was applied before.
    ///
    /// # Errors
    /// [`EngineError::Mismatch`] when it does not follow the last one, [`EngineError::Diverged`]
    /// when it does not give the state it names, [`EngineError::State`]. After any of them the
    /// member must stop.
    pub(crate) fn commit(&mut self, candidate: &Candidate) -> Result<Option<Vec<Settled>>, EngineError> {
        let header = candidate.header();
        let digest = candidate.header_digest();
        let height = header.height;
        if height < self.head.height || digest == self.head.digest {
            return Ok(None);
        }
        if header.parent != self.head.digest {
            return Err(EngineError::Mismatch { height });
        }
        let branch = match self.branches.remove(&digest) {
            Some(branch) => branch,
            None => {
                let done = self.execute(&[], self.moment(height, header.time), candidate.transactions())?;
                if !agrees(candidate, &done) {
                    return Err(EngineError::Diverged { height });
                }
                Branch::of(candidate, done)
            }
        };
        self.unwritten.push(branch);
        self.head = Head::of(header);
        self.branches.retain(|_, branch| branch.header.height > height);
        let txs: usize = self.unwritten.iter().map(|branch| branch.tx_digests.len()).sum();
        if self.unwritten.len() >= UNWRITTEN_BLOCKS_MAX || txs >= UNWRITTEN_TXS_MAX {
            self.write()?;
        }
        self.settle(candidate).map(Some)
    }

    /// How many transactions wait that no block on the way to `parent` holds.
    pub(crate) fn fresh(&self, parent: &Digest) -> usize {
        let lineage = self.lineage(parent).unwrap_or_default();
        let held = lineage.iter().flat_map(|branch| &branch.tx_digests);
        self.pool.len().saturating_sub(held.filter(|digest| self.pool.contains(digest)).count())
    }

    /// Takes transactions that `origin` brought; for each, its digest when it waits now.
    ///
    /// # Errors
    /// [`EngineError::State`]; a refused transaction is no error of the engine.
    pub(crate) fn admit(
        &mut self,
        txs: Vec<Tx>,
        origin: MemberIndex,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Result<Digest, Code>>, EngineError> {
        let bad = match salus_ledger::check_signatures(self.chain, &txs, &self.service_keys, rng) {
            Ok(()) => Vec::new(),
            Err(bad) => bad.indices,
        };
        let mut results = Vec::with_capacity(txs.len());
        for (index, tx) in txs.into_iter().enumerate() {
            results.push(if bad.binary_search(&index).is_ok() {
                Err(self.blame(&tx))
            } else {
                self.admit_one(tx, origin, now)?
            });
        }
        Ok(results)
    }

    /// Whether a transaction waits already, so that its signatures need no second look.
    pub(crate) fn waits(&self, digest: &Digest) -> bool {
        self.pool.contains(digest)
    }

    /// Gives up what has waited too long.
    pub(crate) fn expire(&mut self, now: TimeMs) -> Vec<Settled> {
        let outlived = self.pool.outlived(now);
        for digest in &outlived {
            self.pool.remove(digest);
        }
        let result = Err(Refused::bare(Code::TimedOut));
        outlived.into_iter().map(|digest| Settled { digest, result }).collect()
    }

    /// Transactions of `origin` that it is time to send to the others again.
    pub(crate) fn resend(&mut self, origin: MemberIndex, now: TimeMs, count: usize) -> Vec<Tx> {
        self.pool.resend(origin, now, count)
    }

    /// Entries of the state at the head.
    ///
    /// # Errors
    /// [`EngineError::State`].
    pub(crate) fn read(&self, keys: &[StateKey]) -> Result<Vec<Option<StateValue>>, EngineError> {
        Ok(self.tree.read(&self.states(&[]), keys)?)
    }

    /// Entries and absences in the state at the head, with their paths.
    ///
    /// # Errors
    /// [`EngineError::State`].
    pub(crate) fn prove(&self, keys: &[StateKey]) -> Result<Vec<ProvenItem>, EngineError> {
        Ok(self.tree.prove(&self.states(&[]), keys)?)
    }

    /// The executed blocks from `digest` down to the final one, newest first.
    fn lineage(&self, digest: &Digest) -> Option<Vec<&Branch<T::Branch>>> {
        let mut lineage = Vec::new();
        let mut at = digest;
        while *at != self.head.digest {
            let branch = self.branches.get(at).filter(|_| lineage.len() < LINEAGE_MAX)?;
            at = &branch.header.parent;
            lineage.push(branch);
        }
        Some(lineage)
    }

    fn moment(&self, height: Height, time: TimeMs) -> Moment {
        Moment { chain: self.chain, faults: self.faults, height, time }
    }

    fn check_header(&self, header: &Header, parent: &Header) -> Result<(), Fault> {
        if header.chain != self.chain {
            return Err(Fault::Chain);
        }
        if Some(header.height) != parent.height.next() || header.parent != parent.digest() {
            return Err(Fault::Height);
        }
        if header.time <= parent.time && !is(Bug::TimeRunsBack) {
            return Err(Fault::Time);
        }
        Ok(())
    }

    /// Checks the signatures that were not checked when the transaction came into the pool. A
    /// digest covers its transaction's signature, so a known digest needs no second check.
    fn signatures_hold(&self, candidate: &Candidate, rng: &mut impl CryptoRng) -> bool {
        let pairs = candidate.transactions().iter().zip(candidate.tx_digests());
        let unknown: Vec<Tx> =
            pairs.filter(|(_, digest)| !self.pool.contains(digest)).map(|(tx, _)| tx.clone()).collect();
        salus_ledger::check_signatures(self.chain, &unknown, &self.service_keys, rng).is_ok()
    }

    fn execute(
        &self,
        lineage: &[&Branch<T::Branch>],
        moment: Moment,
        txs: &[Tx],
    ) -> Result<Executed<T::Branch>, EngineError> {
        let states = self.states(lineage);
        let keys: HashSet<StateKey> =
            txs.iter().flat_map(|tx| salus_ledger::reads(&tx.body, self.faults)).collect();
        let before = self.load(&states, keys.into_iter().collect())?;
        let applied = salus_ledger::apply(&before, moment, txs);
        let (root, branch) = self.tree.extend(&states, &applied.changes)?;
        Ok(Executed { applied, root, branch })
    }

    /// The states from the newest of `lineage` down to the one written last, newest first.
    fn states<'a>(&'a self, lineage: &[&'a Branch<T::Branch>]) -> Vec<&'a T::Branch> {
        let below = self.unwritten.iter().rev();
        lineage.iter().copied().chain(below).map(|branch| &branch.state).collect()
    }

    /// Writes what the final blocks changed, durably and at once, and puts the open blocks on the
    /// written state.
    fn write(&mut self) -> Result<(), EngineError> {
        let height = self.head.height;
        let unwritten = std::mem::take(&mut self.unwritten);
        let changes: BTreeMap<StateKey, StateValue> =
            unwritten.into_iter().flat_map(|branch| branch.changes).collect();
        let changes: Vec<(StateKey, StateValue)> = changes.into_iter().collect();
        match self.tree.write(&changes, &self.head.state) {
            Err(StateError::OtherRoot) => return Err(EngineError::Diverged { height }),
            other => other?,
        }
        let mut open: Vec<_> = std::mem::take(&mut self.branches).into_iter().collect();
        open.sort_unstable_by_key(|(_, branch)| branch.header.height);
        for (digest, mut branch) in open {
            let Some(lineage) = self.lineage(&branch.header.parent) else { continue };
            let (root, state) = self.tree.extend(&self.states(&lineage), &branch.changes)?;
            if root != branch.header.state {
                return Err(EngineError::Diverged { height: branch.header.height });
            }
            branch.state = state;
            self.branches.insert(digest, branch);
        }
        Ok(())
    }

    fn load(&self, states: &[&T::Branch], keys: Vec<StateKey>) -> Result<ReadSet, EngineError> {
        let values = self.tree.read(states, &keys)?;
        Ok(keys.into_iter().zip(values).collect())
    }

    /// Keeps an executed block, and names every grant that a vote for it helps to withdraw: its
    /// own, and those of its ancestors that are not final, because a vote for a child can make
    /// them final too. An earlier vote on them may have been cut short before they were recorded.
    fn keep(&mut self, candidate: &Candidate, done: Executed<T::Branch>) -> Vec<GrantTag> {
        let branch = Branch::of(candidate, done);
        let ancestors = self.lineage(&candidate.header().parent).unwrap_or_default();
        let all = branch.revoked.iter().copied().chain(withdrawn(&ancestors)).collect();
        if self.branches.len() >= BRANCHES_MAX {
            self.branches.clear();
        }
        self.branches.insert(candidate.header_digest(), branch);
        all
    }

    /// Empties the pool of what the new head decided, and of what it made impossible.
    fn settle(&mut self, candidate: &Candidate) -> Result<Vec<Settled>, EngineError> {
        let at = Tip { height: self.head.height, time: self.head.time };
        let outcomes = candidate.block().outcomes.iter();
        let mut settled: Vec<Settled> = candidate
            .tx_digests()
            .iter()
            .zip(outcomes)
            .map(|(digest, outcome)| Settled {
                digest: *digest,
                result: Ok(Committed { at, outcome: *outcome }),
            })
            .collect();
        for digest in candidate.tx_digests() {
            self.pool.remove(digest);
        }
        let targets = candidate.transactions().iter().filter_map(|tx| self.target(&tx.body)).collect();
        for digest in self.pool.aiming_at(&targets) {
            if let Some(code) = self.no_longer(&digest)? {
                self.pool.remove(&digest);
                settled.push(Settled { digest, result: Err(Refused::bare(code)) });
            }
        }
        Ok(settled)
    }

    fn no_longer(&self, digest: &Digest) -> Result<Option<Code>, EngineError> {
        let Some(waiting) = self.pool.get(digest) else { return Ok(None) };
        let before = self.load(&self.states(&[]), salus_ledger::reads(&waiting.tx.body, self.faults))?;
        Ok(salus_ledger::admit(&before, self.next_moment(self.head.time), &waiting.tx).err())
    }

    fn admit_one(
        &mut self,
        tx: Tx,
        origin: MemberIndex,
        now: TimeMs,
    ) -> Result<Result<Digest, Code>, EngineError> {
        let digest = tx.digest();
        let bytes = encode(&tx).len();
        if self.pool.contains(&digest) {
            return Ok(Ok(digest));
        }
        if !tx.fits() {
            return Ok(Err(Code::TooLarge));
        }
        let Some(target) = self.target(&tx.body) else { return Ok(Err(Code::Internal)) };
        if let Err(full) = self.pool.room(origin, bytes) {
            return Ok(Err(full));
        }
        let before = self.load(&self.states(&[]), salus_ledger::reads(&tx.body, self.faults))?;
        if let Err(code) = salus_ledger::admit(&before, self.next_moment(now), &tx) {
            return Ok(Err(code));
        }
        let waiting = Waiting { tx, digest, bytes, target, origin, since: now, sent: now };
        Ok(self.pool.insert(waiting).map(|()| digest))
    }

    /// The moment of the next block, if it came at `now`.
    fn next_moment(&self, now: TimeMs) -> Moment {
        let height = self.head.height.next().unwrap_or(self.head.height);
        self.moment(height, now.max(self.head.time.plus_ms(1)))
    }

    fn target(&self, body: &TxBody) -> Option<StateKey> {
        salus_ledger::reads(body, self.faults).first().copied()
    }

    /// Whose bad signature it is: the sender's own, or that of a store it carries.
    fn blame(&self, tx: &Tx) -> Code {
        let message = Tx::message(self.chain, &tx.body);
        match tx.signer.verify(salus_wire::namespaces::TX, &message, &tx.signature) {
            Ok(()) => Code::BadReceipt,
            Err(_) => Code::BadSignature,
        }
    }
}

impl<B> Branch<B> {
    fn of(candidate: &Candidate, done: Executed<B>) -> Self {
        Self {
            header: candidate.header().clone(),
            state: done.branch,
            changes: done.applied.changes,
            tx_digests: candidate.tx_digests().to_vec(),
            revoked: salus_ledger::revoked(candidate.transactions(), &done.applied.outcomes),
        }
    }
}

impl Head {
    pub(crate) fn of(header: &Header) -> Self {
        Self { height: header.height, time: header.time, digest: header.digest(), state: header.state }
    }
}

fn withdrawn<B>(lineage: &[&Branch<B>]) -> Vec<GrantTag> {
    lineage.iter().flat_map(|branch| branch.revoked.iter().copied()).collect()
}

fn agrees<B>(candidate: &Candidate, done: &Executed<B>) -> bool {
    let root = candidate.header().state == done.root || is(Bug::RootUnchecked);
    let outcomes = candidate.block().outcomes[..] == done.applied.outcomes[..];
    root && (outcomes || is(Bug::OutcomesUnchecked))
}

fn assemble(header: Header, txs: Vec<Tx>, outcomes: Vec<salus_wire::Outcome>) -> Option<Candidate> {
    let block = Block { header, transactions: List::new(txs).ok()? };
    Candidate::new(FinalBlock { block, outcomes: List::new(outcomes).ok()? }).ok()
}

#[cfg(test)]
mod tests;
