//! Erasure: whether a request comes from the holder of a chain, whose order that everything under it be
//! destroyed is final. The only room where an [`Ordered`] is made.
//!
//! An order is an entry of the chain it erases, and its commitment holds the link there. Whoever sees a tag on its
//! way to the ledger can take it first, but does not know the link then; and by the time that a later link is shown,
//! from which the earlier ones follow, the entry stands. So only who held the chain's seed has made an order, and
//! what others put under a tag is neither order nor grant: it is passed over, and counts as no gap. The checks are
//! those of a grant, with another commitment: signature and replay first; the entry final, without a gap before it,
//! committed with the key that signs the request; the body opened, and an order. Once that is so, it stays so: an
//! order is never withdrawn, and a revocation of its entry means nothing.

use crate::denied::Denied;
use crate::judge::ensure;
use crate::replay::Replay;
use crate::view::FinalView;
use crate::walked::Shown;
use salus_crypto::chain::{CHAIN_LEN_MAX, ChainAnchor, Link, open_body};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_wire::erasure::{EraseRequest, EraseStep, Erasure, erase_message, erasure_commitment};
use salus_wire::limits::GRANT_PLAIN_BYTES;
use salus_wire::release::reader_digest;
use salus_wire::state::GrantRecord;
use salus_wire::{ChainId, GrantTag, MemberIndex, PartyId, StateKey, StateValue, TimeMs, decode, namespaces};

/// What a member remembers between requests under orders.
pub struct OrderDesk {
    chain: ChainId,
    me: MemberIndex,
    replay: Replay,
}

/// A request that its one-time key signed, for this member, just now, for the first time.
#[must_use = "an admitted order is not read yet"]
pub struct AdmittedOrder {
    order: Shown,
    body_key: Secret<32>,
    one_time: PublicKey,
    reader: KemPublicKey,
    step: EraseStep,
    before: Vec<GrantTag>,
}

/// Evidence that the holder of a chain has ordered its erasure. It cannot be made anywhere else.
#[must_use = "an order that nobody obeys destroys nothing"]
pub struct Ordered {
    earlier: Vec<GrantTag>,
    order: GrantTag,
    grants: ChainAnchor,
    writer: PartyId,
    reader: KemPublicKey,
    step: EraseStep,
}

impl OrderDesk {
    /// The desk of member `me` in the consortium `chain`.
    #[must_use]
    pub fn new(chain: ChainId, me: MemberIndex) -> Self {
        Self { chain, me, replay: Replay::default() }
    }

    /// Admits a request, or says why not.
    ///
    /// # Errors
    /// A [`Denied`]; nothing is remembered of a request whose signature is bad.
    pub fn admit(&mut self, request: EraseRequest, now: TimeMs) -> Result<AdmittedOrder, Denied> {
        let EraseRequest { terms, signature } = request;
        let message = erase_message(self.chain, &terms);
        let signed = terms.one_time.verify(namespaces::ERASE_REQUEST, &message, &signature);
        signed.map_err(|_| Denied::RequestSignature)?;
        ensure(terms.custodian == self.me, Denied::OtherCustodian)?;
        self.replay.accept(terms.one_time, terms.nonce, terms.sent, now)?;
        ensure((1..=CHAIN_LEN_MAX).contains(&terms.index), Denied::NoSuchPlace)?;
        let order = Shown::new(Link::from_secret(terms.link.0), terms.index);
        let before = order.earlier(0).into_iter().map(GrantTag).collect();
        let (body_key, one_time) = (terms.body_key.0, terms.one_time);
        Ok(AdmittedOrder { order, body_key, one_time, reader: terms.reader, step: terms.step, before })
    }
}

impl AdmittedOrder {
    /// The state entries to read, all at one final head, for [`AdmittedOrder::open`].
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        let before = self.before.iter().map(|tag| StateKey::Grant(*tag));
        std::iter::once(StateKey::Grant(self.tag())).chain(before).collect()
    }

    /// Finds the order in `view` and opens it.
    ///
    /// # Errors
    /// A [`Denied`] for the first thing that is absent, does not match or is no order.
    pub fn open(self, view: &FinalView, now: TimeMs) -> Result<Ordered, Denied> {
        view.fresh(now)?;
        let tag = self.tag();
        let Some(StateValue::Grant(record)) = view.get(&StateKey::Grant(tag))? else {
            return Err(Denied::NoOrder);
        };
        for before in &self.before {
            view.get(&StateKey::Grant(*before))?.ok_or(Denied::GrantGap)?;
        }
        ensure(record.one_time == self.one_time, Denied::OtherOneTime)?;
        let erasure = open_order(&self.order.link, &self.body_key, record).ok_or(Denied::NotAnOrder)?;
        ensure(erasure.one_time == record.one_time, Denied::GrantOneTime)?;
        ensure(reader_digest(&self.reader) == erasure.reader, Denied::OtherReader)?;
        let (grants, writer) = (self.order.anchor, erasure.writer);
        let earlier = self.before;
        Ok(Ordered { order: tag, earlier, grants, writer, reader: self.reader, step: self.step })
    }

    fn tag(&self) -> GrantTag {
        GrantTag(self.order.tag())
    }
}

impl Ordered {
    /// The order's entry on the ledger.
    #[must_use]
    pub const fn order(&self) -> GrantTag {
        self.order
    }

    /// The entries of the chain before the order.
    #[must_use]
    pub fn earlier(&self) -> &[GrantTag] {
        &self.earlier
    }

    /// The chain under which everything is to be destroyed.
    #[must_use]
    pub const fn grants(&self) -> ChainAnchor {
        self.grants
    }

    /// The gateway whose data is to be destroyed.
    #[must_use]
    pub const fn writer(&self) -> PartyId {
        self.writer
    }

    /// The key to which shares are sealed a last time.
    #[must_use]
    pub const fn reader(&self) -> &KemPublicKey {
        &self.reader
    }

    /// What to do now.
    #[must_use]
    pub const fn step(&self) -> &EraseStep {
        &self.step
    }
}

/// Opens the sealed body of the entry at `link` of a grant chain, if it is an order and not a grant, and was committed
/// by whoever knew the link.
#[must_use]
pub fn open_order(link: &Link, body_key: &Secret<32>, record: &GrantRecord) -> Option<Erasure> {
    let plain = open_body(body_key, &record.body).ok()?;
    let erasure: Erasure = decode(&plain, GRANT_PLAIN_BYTES).ok()?;
    (erasure_commitment(link, &erasure) == record.commitment).then_some(erasure)
}
