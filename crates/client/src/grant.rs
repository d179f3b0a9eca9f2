//! The patient's side of consent: a wallet of grant chains, grants made from it, and the file a
//! grantee is given. Pure: randomness and time are arguments.
//!
//! A chain seed never leaves the wallet. What a grantee is given opens one grant and one lane.

use crate::erasure::Order;
use crate::error::ClientError;
use crate::recovery::{Prepared, Recovering};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_crypto::chain::{CHAIN_LEN_MAX, ChainAnchor, ChainSeed, Link, open_body, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_wire::consent::{DENIES_MAX, Deny, Grant, Grantee};
use salus_wire::emergency::EmergencyDeposit;
use salus_wire::ids::{ChainId, GrantTag, PartyId, TimeSpan};
use salus_wire::limits::{GRANT_PLAIN_BYTES, MEMBERS_MAX};
use salus_wire::release::ShareBytes;
use salus_wire::tx::{SealedGrant, TxBody, grant_commitment};
use salus_wire::{Blob, List, Purposes, Scope, Tx, decode, encode};

/// Bytes of a consent that a wallet keeps: more than the longest that a grant can say, and so few that the
/// longest chain of them is still a wallet.
pub const CONSENT_BYTES_MAX: usize = 12 * 1024;

/// A consent as JSON.
pub type Consent = Blob<CONSENT_BYTES_MAX>;

/// Grants that one wallet entry can hold: the chain's length.
pub const GRANTS_MAX: u16 = CHAIN_LEN_MAX;
/// Places at the end of a chain that no grant takes, so that an order of erasure always finds one.
pub const ORDER_PLACES: u16 = 16;

/// A patient's chain with one writer. Its seed and the one-time keys are secrets of the patient.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Wallet {
    /// The gateway whose data this chain opens.
    pub writer: PartyId,
    /// The seed of the grant chain.
    pub seed: ShareBytes,
    /// The one-time keys of the grants made so far, in order; index 1 is the first.
    pub one_time: Vec<ShareBytes>,
    /// The last grant, until it is proven final. No other is made before: a tag that is never taken
    /// would make every later grant of the chain useless.
    pub pending: Option<Pending>,
    /// Consents that grants were made of, by index, as JSON. Never sent anywhere.
    pub consents: Vec<(u16, Consent)>,
    /// Emergency grants that are final, to prepare their looks at the custodians.
    pub emergency: Vec<GrantFile>,
    /// The secrets of the cards that find them.
    pub cards: Vec<ShareBytes>,
    /// The looks of those grants that were made, and are not yet at their custodian.
    pub looks: Vec<UnbroughtLooks>,
    /// The order that everything under this chain be destroyed, once it is made. No grant is made after it.
    pub order: Option<Order>,
    /// What was prepared for the day this wallet is gone, in order.
    pub prepared: Vec<Prepared>,
    /// The recovery by which this wallet comes in the place of another, while it is under way and after.
    pub recovering: Option<Recovering>,
    /// The seeds of the chains in whose place this one has come, the first one first.
    pub before: Vec<ShareBytes>,
    /// The chain under which the data lies, when it is the first of those.
    pub data: Option<ChainAnchor>,
}

/// The looks of one emergency grant that custodians lack still. They are kept as they were made: shares of two
/// makings do not fit together.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct UnbroughtLooks {
    /// The grant's place on the chain, from 1.
    pub index: u16,
    /// For each custodian that has not taken its own; none once all have.
    pub deposits: List<EmergencyDeposit, MEMBERS_MAX>,
}

/// A grant that was made and is not yet known to be final.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Pending {
    /// What commits it.
    pub tx: Tx,
    /// What its grantee is to be given then.
    pub file: GrantFile,
}

/// What a grantee needs to read under one grant. Secret: whoever holds it and the grantee's key
/// can read.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct GrantFile {
    /// The grant's place on the patient's chain, from 1.
    pub index: u16,
    /// The chain's link there.
    pub link: ShareBytes,
    /// Opens the sealed grant.
    pub body_key: ShareBytes,
    /// The lane on which accesses stand, or one place of it.
    pub lane: LaneKey,
    /// The grant.
    pub grant: Grant,
}

/// What a grantee holds of the lane on which their accesses stand.
#[derive(BorshSerialize, BorshDeserialize)]
pub enum LaneKey {
    /// All of it, by its seed.
    Seed(ShareBytes),
    /// One look in an emergency.
    Look {
        /// Its place, from 1.
        place: u16,
        /// The link there.
        link: ShareBytes,
    },
}

/// What a patient decides when granting.
pub struct GrantTerms {
    /// Who may read.
    pub grantee: Grantee,
    /// What.
    pub scope: Scope,
    /// Why.
    pub purposes: Purposes,
    /// In which block time.
    pub validity: TimeSpan,
    /// What not, after all.
    pub denies: List<Deny, DENIES_MAX>,
}

impl Wallet {
    /// A new chain with `writer`.
    pub fn generate(writer: PartyId, rng: &mut impl CryptoRng) -> Self {
        Self {
            writer,
            seed: ShareBytes(Secret::random(rng)),
            one_time: Vec::new(),
            pending: None,
            consents: Vec::new(),
            emergency: Vec::new(),
            cards: Vec::new(),
            looks: Vec::new(),
            order: None,
            prepared: Vec::new(),
            recovering: None,
            before: Vec::new(),
            data: None,
        }
    }

    /// The chain under which the patient's data lies.
    #[must_use]
    pub fn data(&self) -> ChainAnchor {
        self.data.unwrap_or_else(|| self.chain().anchor())
    }

    /// The chain's seed, to list it.
    #[must_use]
    pub fn chain(&self) -> ChainSeed {
        ChainSeed::new(copy(&self.seed))
    }

    /// Makes the next grant, which is then [`Wallet::pending`]: the wallet must be stored, then its
    /// transaction settled, then [`Wallet::settled`] called and the wallet stored again.
    ///
    /// # Errors
    /// [`ClientError::GrantPending`] while an earlier one is; [`ClientError::ChainUsedUp`];
    /// [`ClientError::Recovering`] until the recovery of this wallet is done;
    /// [`ClientError::Erased`] once erasure is ordered.
    pub fn grant(
        &mut self,
        chain: ChainId,
        terms: GrantTerms,
        rng: &mut impl CryptoRng,
    ) -> Result<&Pending, ClientError> {
        if self.pending.is_some() || self.prepared.iter().any(|prepared| !prepared.settled) {
            return Err(ClientError::GrantPending);
        }
        if self.recovering.as_ref().is_some_and(|recovering| !recovering.done) {
            return Err(ClientError::Recovering);
        }
        if self.order.is_some() {
            return Err(ClientError::Erased);
        }
        let index = self.next_index(GRANTS_MAX.saturating_sub(ORDER_PLACES))?;
        let seed = self.chain();
        let lane = lane_seed(&seed, index);
        let one_time = SigningKey::generate(rng);
        let grant = self.body(terms, &lane, one_time.public_key(), rng);
        let link = seed.link(index);
        let body_key = seed.body_key(index);
        let tx = commit(chain, &grant, &link, &body_key, &one_time, rng)?;
        self.one_time.push(ShareBytes(one_time.seed_for_storage()));
        let file = GrantFile {
            index,
            link: ShareBytes(link.to_secret()),
            body_key: ShareBytes(body_key),
            lane: LaneKey::Seed(ShareBytes(lane.to_secret())),
            grant,
        };
        Ok(self.pending.insert(Pending { tx, file }))
    }

    /// The grant at `index` is proven final; gives the grantee's file if it was pending.
    pub fn settled(&mut self, index: u16) -> Option<GrantFile> {
        self.pending.take_if(|pending| pending.file.index == index).map(|pending| pending.file)
    }

    /// The one-time key that committed the grant at `index`, or `None` when there is no such grant.
    #[must_use]
    pub fn one_time_key(&self, index: u16) -> Option<SigningKey> {
        let seed = self.one_time.get(usize::from(index.checked_sub(1)?))?;
        Some(SigningKey::from_seed(copy(seed)))
    }

    /// The transaction that revokes the grant at `index`, or `None` when there is no such grant.
    #[must_use]
    pub fn revoke(&self, chain: ChainId, index: u16) -> Option<Tx> {
        let key = self.one_time_key(index)?;
        let tag = GrantTag(self.chain().link(index).tag());
        Some(Tx::sign(chain, TxBody::RevokeGrant { tag }, &key))
    }

    /// The tag at `index` is proven to be taken by what is none of this wallet's: somebody saw it on its way to the
    /// ledger and was first. What was to stand there is made anew at the next place; what does stand there means
    /// nothing to anybody. The wallet must be stored.
    pub fn passed_over(&mut self, index: u16) {
        self.pending.take_if(|pending| pending.file.index == index);
        self.order.take_if(|order| order.index == index && !order.settled);
        self.prepared.retain(|prepared| prepared.index != index || prepared.settled);
        self.consents.retain(|(of, _)| *of != index);
    }

    /// The place of the next entry of the chain, at most `last`.
    pub(crate) fn next_index(&self, last: u16) -> Result<u16, ClientError> {
        let index = u16::try_from(self.one_time.len()).ok().and_then(|made| made.checked_add(1));
        index.filter(|index| *index <= last).ok_or(ClientError::ChainUsedUp)
    }

    fn body(
        &self,
        terms: GrantTerms,
        lane: &ChainSeed,
        one_time: PublicKey,
        rng: &mut impl CryptoRng,
    ) -> Grant {
        let GrantTerms { grantee, scope, purposes, validity, denies } = terms;
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let writer = self.writer;
        let lane = lane.anchor();
        Grant { salt, writer, grantee, scope, purposes, validity, denies, lane, one_time, data: self.data }
    }
}

impl GrantFile {
    /// The grant's tag on the ledger.
    #[must_use]
    pub fn tag(&self) -> GrantTag {
        GrantTag(self.link().tag())
    }

    /// The chain's link at the grant.
    #[must_use]
    pub fn link(&self) -> Link {
        Link::from_secret(copy(&self.link))
    }

    /// The anchor of the patient's chain that it stands on.
    #[must_use]
    pub fn anchor(&self) -> ChainAnchor {
        let first = self.link().back(self.index).to_secret();
        ChainAnchor::from_digest(Digest::from_bytes(*first.danger_expose()))
    }

    /// The anchor of the chain under which the data lies that it opens: that of a lost wallet, if the grant names one.
    #[must_use]
    pub fn data(&self) -> ChainAnchor {
        self.grant.data.unwrap_or_else(|| self.anchor())
    }

    /// The lane on which accesses under this grant stand; `None` when the file holds one look of it.
    #[must_use]
    pub fn lane(&self) -> Option<ChainSeed> {
        match &self.lane {
            LaneKey::Seed(seed) => Some(ChainSeed::new(copy(seed))),
            LaneKey::Look { .. } => None,
        }
    }

    /// The lane's link at a place; `None` when the file does not hold it.
    #[must_use]
    pub fn lane_link(&self, place: u16) -> Option<Link> {
        match &self.lane {
            LaneKey::Seed(seed) => Some(ChainSeed::new(copy(seed)).link(place)),
            LaneKey::Look { place: there, link } => (*there == place).then(|| Link::from_secret(copy(link))),
        }
    }
}

/// The lane of the grant at `index` of a patient's chain.
#[must_use]
pub fn lane_seed(chain: &ChainSeed, index: u16) -> ChainSeed {
    chain.child(b"lane", &[&index.to_le_bytes()])
}

/// Opens a sealed grant; `None` when it was not sealed under this key or is not a grant.
#[must_use]
pub fn open_grant(body_key: &Secret<32>, body: &SealedGrant) -> Option<Grant> {
    let plain = open_body(body_key, body).ok()?;
    decode(&plain, GRANT_PLAIN_BYTES).ok()
}

/// Seals an encoded grant or intent, padded to `padded_len`, to the one length that the ledger takes.
pub(crate) fn seal<const SEALED: usize>(
    key: &Secret<32>,
    padded_len: usize,
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Blob<SEALED>, ClientError> {
    let sealed = seal_body(key, padded_len, plain, rng).map_err(|_| ClientError::BeyondGrant)?;
    debug_assert_eq!(sealed.len(), SEALED);
    Blob::new(sealed).map_err(|_| ClientError::BeyondGrant)
}

fn commit(
    chain: ChainId,
    grant: &Grant,
    link: &Link,
    body_key: &Secret<32>,
    one_time: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<Tx, ClientError> {
    let body = TxBody::CommitGrant {
        tag: GrantTag(link.tag()),
        commitment: grant_commitment(link, grant),
        body: seal(body_key, GRANT_PLAIN_BYTES, &encode(grant), rng)?,
    };
    Ok(Tx::sign(chain, body, one_time))
}

/// A second copy of a secret that a file of its owner holds.
pub(crate) fn copy(secret: &ShareBytes) -> Secret<32> {
    Secret::from_bytes(*secret.0.danger_expose())
}
