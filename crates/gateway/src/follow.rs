//! The gateway's ear at the ledger: final blocks, verified, and what in them concerns its devices
//! and patients.
//!
//! A member that is asked for blocks is not believed: each block must be the child of the one
//! before, its body must be what its header commits to, and the last header must be certified by
//! the consortium. A member can keep blocks back; when the newest is too old, another is asked.

use crate::desk::Clock;
use crate::registry::{Registry, Standing};
use salus_client::Consortium;
use salus_crypto::chain::ChainAnchor;
use salus_crypto::digest::Digest;
use salus_link::Caller;
use salus_proof::{TrustPolicy, chain, state};
use salus_wire::block::{receipts_root, transactions_root};
use salus_wire::ids::{Height, MemberIndex, PartyId};
use salus_wire::limits::{FOLLOW_BLOCKS_MAX, VIEW_STALE_MS};
use salus_wire::rpc::{FinalBlock, Request, Response};
use salus_wire::state::{CertifiedChain, DeviceRecord};
use salus_wire::{Header, Outcome, StateKey, StateValue, TxBody};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// For one answer; a member holds a question for blocks open for a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Before another member is asked.
const REST: Duration = Duration::from_millis(500);
/// Between looks at devices of which the ledger's word is not known.
const PROVE_EVERY: Duration = Duration::from_secs(1);
/// Blocks in one answer that show a member to be telling of the past as fast as it can.
const CATCHING_UP: usize = FOLLOW_BLOCKS_MAX / 2;
/// Devices looked at at once.
const DEVICES_AT_ONCE: usize = 128;

/// Why a member is left for another.
type Doubt = &'static str;

/// See the head of this file.
pub(crate) struct Follower {
    pub(crate) caller: Caller,
    pub(crate) consortium: Consortium,
    pub(crate) policy: TrustPolicy,
    pub(crate) registry: Arc<Registry>,
    pub(crate) party: PartyId,
    pub(crate) home: MemberIndex,
    pub(crate) members: u16,
    pub(crate) turns: mpsc::Sender<ChainAnchor>,
    pub(crate) clock: Clock,
}

/// The last block that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    height: Height,
    digest: Digest,
}

impl Follower {
    /// Follows for ever, one member after the other.
    pub(crate) async fn run(self) {
        let mut last = None;
        let mut member = self.home;
        loop {
            let Err(doubt) = self.follow(member, &mut last).await;
            tracing::debug!(%member, doubt, "asks another member for blocks");
            member = MemberIndex::new(member.get().wrapping_add(1) % self.members.max(1));
            sleep(REST).await;
        }
    }

    async fn follow(
        &self,
        member: MemberIndex,
        last: &mut Option<Last>,
    ) -> Result<std::convert::Infallible, Doubt> {
        let mut at = match *last {
            Some(at) => at,
            None => self.begin(member).await?,
        };
        let mut proven_at: Option<Instant> = None;
        let mut fresh_at = Instant::now();
        loop {
            *last = Some(at);
            if proven_at.is_none_or(|then| then.elapsed() >= PROVE_EVERY) {
                proven_at = Some(Instant::now());
                self.prove(at.height).await;
            }
            let blocks = self.blocks(member, at.height).await?;
            if let Some(newest) = blocks.last() {
                let certified = self.certified(member, newest.block.header.height).await?;
                at = verified(&self.policy, at, &blocks, &certified)?;
                for block in &blocks {
                    self.hear(block).await;
                }
                let age_ms = (self.clock)().since_ms(newest.block.header.time);
                if age_ms <= VIEW_STALE_MS || blocks.len() >= CATCHING_UP {
                    fresh_at = Instant::now();
                }
            }
            if fresh_at.elapsed() >= Duration::from_millis(VIEW_STALE_MS) {
                *last = Some(at);
                return Err("it has nothing new");
            }
        }
    }

    /// The head of a member, certified: what came before is proven entry by entry.
    async fn begin(&self, member: MemberIndex) -> Result<Last, Doubt> {
        let Response::Status(status) = self.ask(member, &Request::Status).await? else {
            return Err("it does not say how it is");
        };
        let certified = self.certified(member, status.head.height).await?;
        let header = chain::verify(&self.policy, &certified).map_err(|_| "its head is not certified")?;
        let header: &Header = header.header();
        Ok(Last { height: header.height, digest: header.digest() })
    }

    async fn blocks(&self, member: MemberIndex, above: Height) -> Result<Vec<FinalBlock>, Doubt> {
        match self.ask(member, &Request::Follow(above)).await? {
            Response::Blocks(blocks) => Ok(blocks.into_vec()),
            _ => Err("it gives no blocks"),
        }
    }

    async fn certified(&self, member: MemberIndex, height: Height) -> Result<CertifiedChain, Doubt> {
        match self.ask(member, &Request::Certified(height)).await? {
            Response::Certified(certified) => Ok(*certified),
            _ => Err("it gives no certificate"),
        }
    }

    async fn ask(&self, member: MemberIndex, request: &Request) -> Result<Response, Doubt> {
        let peer = self.caller.peer(member).map_err(|_| "it is unknown")?;
        peer.call(request, ANSWER_WITHIN).await.map_err(|_| "it does not answer")
    }

    async fn hear(&self, block: &FinalBlock) {
        let txs = block.block.transactions.iter().zip(block.outcomes.iter());
        for (tx, _) in txs.filter(|(_, outcome)| **outcome == Outcome::Applied) {
            match &tx.body {
                TxBody::RevokeGrant { tag } => {
                    if let Some(grants) = self.registry.chain_of(tag) {
                        tracing::info!("a grant was withdrawn, keys that it could open are used no more");
                        // Nobody seals any more when the gateway ends.
                        let _ = self.turns.send(grants).await;
                    }
                }
                TxBody::RevokeDevice { enrolment } if self.registry.holds(enrolment) => {
                    tracing::info!("a device was revoked");
                    self.registry.learn(*enrolment, Standing::Revoked);
                }
                TxBody::RevokeIdentity { party } if *party == self.party => {
                    tracing::error!(
                        "this gateway's registration was revoked, nothing it writes is taken any more"
                    );
                }
                _ => {}
            }
        }
    }

    /// Asks for the ledger's word on devices whose standing is not known, no older than `at`.
    async fn prove(&self, at: Height) {
        let (enrolments, assignments) = self.registry.unproven(DEVICES_AT_ONCE);
        let keys = enrolments.iter().map(|commitment| StateKey::Enrolment(*commitment));
        let keys: Vec<StateKey> =
            keys.chain(assignments.iter().map(|commitment| StateKey::Assignment(*commitment))).collect();
        if keys.is_empty() {
            return;
        }
        let Ok(proof) = self.consortium.prove(keys.clone(), self.home).await else { return };
        let Ok(proven) = state::verify(&self.policy, &proof) else {
            tracing::warn!("a member's proof of the devices does not verify");
            return;
        };
        // An older view might not know of a revocation that was heard of already.
        if proven.at().height < at {
            return;
        }
        for key in &keys {
            if let (StateKey::Enrolment(commitment) | StateKey::Assignment(commitment), Some(standing)) =
                (key, standing(&proven, key))
            {
                self.registry.learn(*commitment, standing);
            }
        }
    }
}

fn standing(proven: &state::ProvenState, key: &StateKey) -> Option<Standing> {
    match proven.get(key) {
        state::Proven::Present(StateValue::Device(DeviceRecord { standing, .. })) => match standing {
            salus_wire::state::Standing::Active => Some(Standing::Active),
            salus_wire::state::Standing::Revoked(_) => Some(Standing::Revoked),
        },
        state::Proven::Absent => Some(Standing::Absent),
        _ => None,
    }
}

/// The last of `blocks`, if they follow `last` one by one, hold what their headers say, and the
/// last header is final.
fn verified(
    policy: &TrustPolicy,
    last: Last,
    blocks: &[FinalBlock],
    certified: &CertifiedChain,
) -> Result<Last, Doubt> {
    let last = linked(last, blocks)?;
    let header = chain::verify(policy, certified).map_err(|_| "its newest block is not certified")?;
    if header.header().digest() != last.digest {
        return Err("its certificate is of another block");
    }
    Ok(last)
}

fn linked(mut last: Last, blocks: &[FinalBlock]) -> Result<Last, Doubt> {
    for FinalBlock { block, outcomes } in blocks {
        let header = &block.header;
        if Some(header.height) != last.height.next() || header.parent != last.digest {
            return Err("its blocks do not follow each other");
        }
        let txs: Vec<Digest> = block.transactions.iter().map(salus_wire::Tx::digest).collect();
        let whole = outcomes.len() == txs.len()
            && transactions_root(&txs) == header.transactions
            && receipts_root(&txs, outcomes) == header.receipts;
        if !whole {
            return Err("a block's body is not what its header says");
        }
        last = Last { height: header.height, digest: header.digest() };
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_crypto::Secret;
    use salus_crypto::sign::SigningKey;
    use salus_wire::{Block, ChainId, Code, GrantTag, List, TimeMs, Tx, View};

    const START: Last = Last { height: Height::new(4), digest: Digest::from_bytes([4; 32]) };

    fn tx(n: u8) -> Tx {
        let key = SigningKey::from_seed(Secret::from_bytes([n; 32]));
        let tag = GrantTag(salus_crypto::chain::ChainSeed::new(Secret::from_bytes([n; 32])).link(1).tag());
        Tx::sign(ChainId(Digest::ZERO), TxBody::RevokeGrant { tag }, &key)
    }

    fn block(after: Last, txs: Vec<Tx>, outcomes: Vec<Outcome>) -> FinalBlock {
        let digests: Vec<Digest> = txs.iter().map(Tx::digest).collect();
        let header = Header {
            chain: ChainId(Digest::ZERO),
            height: after.height.next().unwrap(),
            view: View::new(9),
            parent_view: View::new(8),
            parent: after.digest,
            proposer: MemberIndex::new(1),
            time: TimeMs::new(7),
            transactions: transactions_root(&digests),
            receipts: receipts_root(&digests, &outcomes),
            state: Digest::ZERO,
        };
        let block = Block { header, transactions: List::new(txs).unwrap() };
        FinalBlock { block, outcomes: List::new(outcomes).unwrap() }
    }

    fn last_of(block: &FinalBlock) -> Last {
        Last { height: block.block.header.height, digest: block.block.header.digest() }
    }

    /// Two blocks that follow [`START`].
    fn run() -> Vec<FinalBlock> {
        let refused = Outcome::Refused(Code::AlreadyExists);
        let first = block(START, vec![tx(1), tx(2)], vec![Outcome::Applied, refused]);
        let second = block(last_of(&first), Vec::new(), Vec::new());
        vec![first, second]
    }

    #[test]
    fn blocks_are_taken_one_after_the_other_and_whole() {
        let blocks = run();
        assert_eq!(linked(START, &blocks), Ok(last_of(&blocks[1])));
        assert_eq!(linked(START, &[]), Ok(START));
        assert!(linked(START, &blocks[1..]).is_err(), "one left out");
        let swapped: Vec<FinalBlock> = blocks.iter().rev().cloned().collect();
        assert!(linked(START, &swapped).is_err(), "in another order");
    }

    #[test]
    fn a_member_cannot_hide_add_or_reword_what_became_of_a_transaction() {
        let altered = |change: fn(&mut FinalBlock)| {
            let mut blocks = run();
            change(&mut blocks[0]);
            linked(START, &blocks)
        };
        let cases: [fn(&mut FinalBlock); 5] = [
            |block| block.block.transactions = List::new(vec![tx(1)]).unwrap(),
            |block| block.block.transactions = List::new(vec![tx(2), tx(1)]).unwrap(),
            |block| block.block.transactions = List::new(vec![tx(1), tx(2), tx(3)]).unwrap(),
            |block| block.outcomes = List::new(vec![Outcome::Applied; 2]).unwrap(),
            |block| block.block.header.time = TimeMs::new(8),
        ];
        for (number, change) in cases.into_iter().enumerate() {
            assert!(altered(change).is_err(), "case {number}");
        }
    }
}
