//! How far along each hash chain the ledger was already found without a gap. Entries never vanish
//! from the ledger, so what was found once need not be read again; forgetting costs only reads.

use salus_crypto::chain::{ChainAnchor, ChainTag, Link};
use salus_crypto::digest::Digest;
use std::collections::{BTreeMap, VecDeque};

/// Chains remembered at once; the oldest is forgotten first.
pub const WALKED_MAX: usize = 16_384;

/// Per chain, the last place up to which every tag is present.
#[derive(Default)]
pub(crate) struct Walked {
    reached: BTreeMap<ChainAnchor, u16>,
    order: VecDeque<ChainAnchor>,
}

/// A link as it was shown, at its place on its chain, from 1.
pub(crate) struct Shown {
    pub(crate) link: Link,
    pub(crate) index: u16,
    /// The chain: the link hashed back `index` times.
    pub(crate) anchor: ChainAnchor,
}

impl Walked {
    /// The last place known to be without a gap before it, 0 when nothing is known.
    pub(crate) fn reached(&self, chain: &ChainAnchor) -> u16 {
        self.reached.get(chain).copied().unwrap_or(0)
    }

    /// Remembers that every tag of `chain` up to `index` is present.
    pub(crate) fn learn(&mut self, chain: ChainAnchor, index: u16) {
        if let Some(reached) = self.reached.get_mut(&chain) {
            *reached = index.max(*reached);
            return;
        }
        if self.order.len() >= WALKED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.reached.remove(&oldest);
        }
        self.order.push_back(chain);
        self.reached.insert(chain, index);
    }
}

impl Shown {
    /// Hashes the link back to its chain's anchor. x_0 is no secret: it names the chain to all who
    /// are told it, which this custodian was, by the writer.
    pub(crate) fn new(link: Link, index: u16) -> Self {
        let first = Digest::from_bytes(*link.back(index).to_secret().danger_expose());
        Self { anchor: ChainAnchor::from_digest(first), link, index }
    }

    /// The tag at the link's own place.
    pub(crate) fn tag(&self) -> ChainTag {
        self.link.tag()
    }

    /// The tags before the link's own, back to but without place `reached`.
    pub(crate) fn earlier(&self, reached: u16) -> Vec<ChainTag> {
        let steps = self.index.saturating_sub(1).saturating_sub(reached);
        let mut tags = Vec::with_capacity(usize::from(steps));
        let mut link = self.link.back(1);
        for _ in 0..steps {
            tags.push(link.tag());
            link = link.back(1);
        }
        tags
    }
}
