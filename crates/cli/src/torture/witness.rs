//! What members say of the ledger, held against each other from outside (INV-4): every block that any
//! of them has is the same at all of them, and the state that each computed is the one that the block
//! at its head names.

use crate::demo::stage::Stage;
use crate::output::Failure;
use crate::session::Session;
use futures::future::try_join_all;
use salus_crypto::digest::Digest;
use salus_wire::ids::{Height, MemberIndex, PartyId};
use salus_wire::rpc::{FinalBlock, Status};
use salus_wire::{Outcome, TxBody};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For all members to give the blocks below a height that all of them have reached.
const BLOCKS_WITHIN: Duration = Duration::from_secs(20);

/// What was seen so far.
pub(super) struct Witness {
    gateway: PartyId,
    /// Every block up to here was seen at all members.
    at: Height,
    /// The last block that holds an anchor of the gateway.
    anchored: Height,
    /// The last height at which a member's own state was compared.
    compared: BTreeMap<MemberIndex, Height>,
    /// Heights at which the blocks of all members were compared.
    pub(super) blocks: u64,
    /// State roots that members computed, compared with the one in the block.
    pub(super) roots: u64,
}

impl Witness {
    pub(super) fn new(gateway: PartyId) -> Self {
        Self {
            gateway,
            at: Height::new(0),
            anchored: Height::new(0),
            compared: BTreeMap::new(),
            blocks: 0,
            roots: 0,
        }
    }

    /// Every block up to here was seen.
    pub(super) const fn at(&self) -> Height {
        self.at
    }

    /// The last block seen that holds an anchor of the gateway.
    pub(super) const fn anchored(&self) -> Height {
        self.anchored
    }

    /// Waits until all members have what one of them has, and compares all of it.
    pub(super) async fn look(&mut self, stage: &mut Stage, session: &Session) -> Result<(), Failure> {
        let members: Vec<u16> = (0..stage.members).collect();
        let top = self.top(session, &members).await;
        let mut statuses = Vec::with_capacity(members.len());
        for member in &members {
            statuses.push(stage.height_of(session, *member, top).await?);
        }
        let top = statuses.iter().map(|status| status.head.height).max().unwrap_or(top);
        let mut states = self.follow(session, &members, top).await?;
        for status in statuses {
            self.compare_state(&mut states, session, &status).await?;
        }
        Ok(())
    }

    /// The highest head; who does not answer yet is waited for afterwards.
    async fn top(&self, session: &Session, members: &[u16]) -> Height {
        let mut top = self.at;
        for member in members {
            if let Ok(status) = session.client.status(MemberIndex::new(*member)).await {
                top = top.max(status.head.height);
            }
        }
        top
    }

    /// Takes every block up to `top` from every member; the state roots that they name.
    async fn follow(
        &mut self,
        session: &Session,
        members: &[u16],
        top: Height,
    ) -> Result<BTreeMap<Height, Digest>, Failure> {
        let mut states = BTreeMap::new();
        let started = Instant::now();
        while self.at < top {
            let ask = members.iter().map(|member| session.client.follow(MemberIndex::new(*member), self.at));
            if let Ok(answers) = try_join_all(ask).await {
                self.compare_blocks(&answers, &mut states)?;
            }
            if started.elapsed() > BLOCKS_WITHIN {
                return Err(Failure::broken(format!(
                    "members do not give the blocks above height {}",
                    self.at
                )));
            }
        }
        Ok(states)
    }

    fn compare_blocks(
        &mut self,
        answers: &[Vec<FinalBlock>],
        states: &mut BTreeMap<Height, Digest>,
    ) -> Result<(), Failure> {
        let Some((first, others)) = answers.split_first() else { return Ok(()) };
        let common = answers.iter().map(Vec::len).min().unwrap_or(0);
        for (index, block) in first.iter().take(common).enumerate() {
            let header = &block.block.header;
            if Some(header.height) != self.at.next() {
                return Err(Failure::broken(format!("a block is missing above height {}", self.at)));
            }
            if others.iter().any(|blocks| blocks.get(index) != Some(block)) {
                return Err(Failure::broken(format!(
                    "members hold different blocks at height {}",
                    header.height
                )));
            }
            if holds_anchor(block, self.gateway) {
                self.anchored = header.height;
            }
            states.insert(header.height, header.state);
            self.at = header.height;
            self.blocks = self.blocks.saturating_add(1);
        }
        Ok(())
    }

    /// A member's own root against the one in the block, which that member may have taken from others.
    async fn compare_state(
        &mut self,
        states: &mut BTreeMap<Height, Digest>,
        session: &Session,
        status: &Status,
    ) -> Result<(), Failure> {
        let height = status.head.height;
        if self.compared.insert(status.member, height) == Some(height) {
            return Ok(());
        }
        if !states.contains_key(&height) {
            let below = Height::new(height.get().saturating_sub(1));
            let blocks = session.client.follow(status.member, below).await?;
            states.extend(blocks.iter().map(|block| (block.block.header.height, block.block.header.state)));
        }
        if states.get(&height) != Some(&status.state) {
            let what =
                format!("member {} has another state than the block at height {height}", status.member);
            return Err(Failure::broken(what));
        }
        self.roots = self.roots.saturating_add(1);
        Ok(())
    }
}

fn holds_anchor(block: &FinalBlock, gateway: PartyId) -> bool {
    let mut both = block.block.transactions.iter().zip(block.outcomes.iter());
    both.any(|(tx, outcome)| {
        *outcome == Outcome::Applied
            && matches!(&tx.body, TxBody::Anchor { gateway: by, .. } if *by == gateway)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use salus_wire::{Block, ChainId, Header, List, TimeMs, View};

    fn block(height: u64, state: u8) -> FinalBlock {
        let header = Header {
            chain: ChainId(Digest::ZERO),
            height: Height::new(height),
            view: View::new(height),
            parent_view: View::new(height.saturating_sub(1)),
            parent: Digest::ZERO,
            proposer: MemberIndex::new(0),
            time: TimeMs::new(height),
            transactions: Digest::ZERO,
            receipts: Digest::ZERO,
            state: Digest::from_bytes([state; 32]),
        };
        FinalBlock { block: Block { header, transactions: List::empty() }, outcomes: List::empty() }
    }

    fn seen(answers: &[Vec<FinalBlock>]) -> Result<(u64, usize), Failure> {
        let mut witness = Witness::new(PartyId::new([1; 16]));
        let mut states = BTreeMap::new();
        witness.compare_blocks(answers, &mut states).map(|()| (witness.at.get(), states.len()))
    }

    #[test]
    fn what_all_have_alike_is_seen_and_no_more() {
        let long = vec![block(1, 1), block(2, 2), block(3, 3)];
        assert_eq!(seen(&[long.clone(), long[..2].to_vec()]).unwrap(), (2, 2));
        assert_eq!(seen(&[long, Vec::new()]).unwrap(), (0, 0));
    }

    #[test]
    fn another_block_or_a_gap_breaks_a_promise() {
        for answers in [
            [vec![block(1, 1), block(2, 2)], vec![block(1, 1), block(2, 9)]],
            [vec![block(2, 2)], vec![block(2, 2)]],
        ] {
            assert_eq!(seen(&answers).unwrap_err().code, salus_wire::Code::PromiseBroken);
        }
    }
}
