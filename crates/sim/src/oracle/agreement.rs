//! INV-4, one history: all honest members apply the same blocks in the same order, each life without a
//! gap, and what somebody was told to be final is in that history and stays.
//!
//! A member that comes back may stand lower than before, because it may find its last blocks again
//! with the others; what it then applies must be the same. Promises that the first honest
//! member to apply a height sets it for all. Refuses to know votes.

use super::ledger::Ledger;
use salus_crypto::digest::Digest;
use salus_wire::rpc::FinalBlock;
use salus_wire::{Genesis, GrantTag, Height, MemberIndex};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The one history, and where each honest member stands in it.
pub(crate) struct Agreement {
    ledger: Ledger,
    blocks: Vec<Arc<FinalBlock>>,
    members: BTreeMap<MemberIndex, Standing>,
    told: Vec<Told>,
    /// Every transaction that is in a block.
    ordered: BTreeSet<Digest>,
    /// Who may propose a block that repeats a transaction: honest members vote for it, and refuse the
    /// transaction in it, which the rules hold.
    liars: BTreeSet<MemberIndex>,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    /// The present life; none before the first event.
    life: Option<u32>,
    head: Height,
    furthest: Height,
}

/// What somebody was told to be final as of a height.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Granted(GrantTag, Height),
    Withdrawn(GrantTag, Height),
}

/// Whether a block that a member applied was news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The first honest member applied it.
    First,
    /// Another one had before, or this one in an earlier life.
    Again,
}

impl Agreement {
    pub(crate) fn new(genesis: &Genesis, liars: BTreeSet<MemberIndex>) -> Self {
        let ledger = Ledger::new(genesis);
        Self {
            ledger,
            blocks: Vec::new(),
            members: BTreeMap::new(),
            told: Vec::new(),
            ordered: BTreeSet::new(),
            liars,
        }
    }

    /// The history so far.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The last block that an honest member was seen to hold.
    pub(crate) fn head(&self, member: MemberIndex) -> Height {
        self.members.get(&member).map(|standing| standing.head).unwrap_or_default()
    }

    /// A member applied a block.
    pub(crate) fn applied(
        &mut self,
        member: MemberIndex,
        life: u32,
        block: &Arc<FinalBlock>,
    ) -> Result<News, String> {
        let height = block.block.header.height;
        let mut standing = self.members.get(&member).copied().unwrap_or_default();
        let in_order = match Some(life).cmp(&standing.life) {
            Ordering::Less => return Err(format!("life {life} of member {member} is over")),
            Ordering::Equal => standing.head.next() == Some(height),
            // A life that did not say where it stands may stand at any block it once applied.
            Ordering::Greater => height.get() > 0 && Some(height) <= standing.furthest.next(),
        };
        if !in_order {
            return Err(format!("member {member} at {} applied block {height}", standing.head));
        }
        let news = self.agree(member, height, block)?;
        standing = Standing { life: Some(life), head: height, furthest: standing.furthest.max(height) };
        self.members.insert(member, standing);
        Ok(news)
    }

    /// A member stands at `height` after a restart.
    pub(crate) fn restarted(&mut self, member: MemberIndex, life: u32, height: Height) -> Result<(), String> {
        let standing = self.members.entry(member).or_default();
        if Some(life) <= standing.life {
            return Err(format!("member {member} restarted into life {life}, which is not new"));
        }
        *standing = Standing { life: Some(life), head: height, furthest: standing.furthest.max(height) };
        Ok(())
    }

    /// Somebody was told that something is final.
    pub(crate) fn told(&mut self, told: Told) -> Result<(), String> {
        self.told.push(told);
        self.confirm()
    }

    /// Members that stand lower than they once did.
    pub(crate) fn fallen_back(&self) -> impl Iterator<Item = (MemberIndex, Height, Height)> + '_ {
        let all = self.members.iter();
        all.filter(|(_, standing)| standing.head < standing.furthest)
            .map(|(member, standing)| (*member, standing.head, standing.furthest))
    }

    /// What was told to be final at a height that no honest member has reached.
    pub(crate) fn unconfirmed(&self) -> Option<Told> {
        self.told.first().copied()
    }

    fn agree(
        &mut self,
        member: MemberIndex,
        height: Height,
        block: &Arc<FinalBlock>,
    ) -> Result<News, String> {
        let index = usize::try_from(height.get().saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(known) = self.blocks.get(index) {
            if Arc::ptr_eq(known, block) || known == block {
                return Ok(News::Again);
            }
            let (one, other) = (known.block.header.digest(), block.block.header.digest());
            return Err(format!("at height {height} member {member} applied {other:?}, others {one:?}"));
        }
        for tx in block.block.transactions.iter().map(|tx| tx.digest()) {
            if !self.ordered.insert(tx) && !self.liars.contains(&block.block.header.proposer) {
                return Err(format!("block {height} repeats a transaction of an earlier one: {tx:?}"));
            }
        }
        self.ledger.apply(block)?;
        self.blocks.push(Arc::clone(block));
        self.confirm()?;
        Ok(News::First)
    }

    fn confirm(&mut self) -> Result<(), String> {
        let head = self.ledger.head();
        let (ripe, waiting): (Vec<Told>, Vec<Told>) =
            self.told.drain(..).partition(|told| told.height() <= head);
        self.told = waiting;
        match ripe.into_iter().find(|told| !told.holds(&self.ledger)) {
            Some(told) => Err(format!("it was told to be final, but is not: {told:?}")),
            None => Ok(()),
        }
    }
}

impl Told {
    fn height(&self) -> Height {
        match self {
            Self::Granted(_, at) | Self::Withdrawn(_, at) => *at,
        }
    }

    fn holds(&self, ledger: &Ledger) -> bool {
        match self {
            Self::Granted(grant, at) => {
                ledger.grant(grant).is_some_and(|grant| grant.committed.height <= *at)
            }
            Self::Withdrawn(grant, at) => {
                let withdrawn = ledger.grant(grant).and_then(|grant| grant.withdrawn);
                withdrawn.is_some_and(|place| place.height <= *at)
            }
        }
    }
}
