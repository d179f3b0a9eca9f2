//! The custodian's front desk: signature, addressee, age and replay, before any other work.

use crate::denied::Denied;
use crate::opened::Opened;
use crate::replay::Replay;
use crate::walked::{Shown, Walked};
use salus_crypto::chain::{CHAIN_LEN_MAX, Link};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::PublicKey;
use salus_planted::{Bug, is};
use salus_wire::release::{ReleaseRequest, ReleaseTerms, ShareBytes, release_request_message};
use salus_wire::{AccessTag, ChainId, GrantTag, MemberIndex, Scope, StateKey, TimeMs, namespaces};

/// What a custodian remembers between requests.
pub struct Desk {
    chain: ChainId,
    me: MemberIndex,
    replay: Replay,
    walked: Walked,
}

/// A request that its one-time key signed, for this custodian, just now, for the first time.
#[must_use = "an admitted request is neither read nor decided yet"]
pub struct Admitted {
    pub(crate) chain: ChainId,
    pub(crate) access: Shown,
    pub(crate) grant: Shown,
    pub(crate) grant_body_key: Secret<32>,
    pub(crate) one_time: PublicKey,
    pub(crate) reader: KemPublicKey,
    pub(crate) scope: Scope,
    pub(crate) skip: u32,
    /// Earlier tags of the lane whose presence is not known yet.
    pub(crate) lane_before: Vec<AccessTag>,
    /// Earlier tags of the grant chain whose presence is not known yet.
    pub(crate) grants_before: Vec<GrantTag>,
}

impl Desk {
    /// The desk of the custodian of member `me` in the consortium `chain`.
    #[must_use]
    pub fn new(chain: ChainId, me: MemberIndex) -> Self {
        Self { chain, me, replay: Replay::default(), walked: Walked::default() }
    }

    /// Admits a request, or says why not. The cheap and telling checks come first, so that whoever
    /// cannot sign costs one signature check and learns nothing.
    ///
    /// # Errors
    /// A [`Denied`]; nothing is remembered of a request whose signature is bad.
    pub fn admit(&mut self, request: ReleaseRequest, now: TimeMs) -> Result<Admitted, Denied> {
        let ReleaseRequest { terms, signature } = request;
        let message = release_request_message(self.chain, &terms);
        terms
            .one_time
            .verify(namespaces::RELEASE_REQUEST, &message, &signature)
            .map_err(|_| Denied::RequestSignature)?;
        self.just_now(terms.custodian, terms.one_time, terms.nonce, terms.sent, now)?;
        self.locate(terms)
    }

    /// Addressed to this custodian, a moment ago, for the first time.
    pub(crate) fn just_now(
        &mut self,
        custodian: MemberIndex,
        key: PublicKey,
        nonce: [u8; 16],
        sent: TimeMs,
        now: TimeMs,
    ) -> Result<(), Denied> {
        if custodian != self.me && !is(Bug::AnyCustodian) {
            return Err(Denied::OtherCustodian);
        }
        self.replay.accept(key, nonce, sent, now)
    }

    pub(crate) const fn chain(&self) -> ChainId {
        self.chain
    }

    /// Remembers that the chains of this request have no gap so far.
    pub fn learn(&mut self, opened: &Opened) {
        for shown in [&opened.access, &opened.grant] {
            self.walked.learn(shown.anchor, shown.index);
        }
    }

    fn locate(&self, terms: ReleaseTerms) -> Result<Admitted, Denied> {
        let access = shown(terms.access_link, terms.access_index)?;
        let grant = shown(terms.grant_link, terms.grant_index)?;
        let lane_before = access.earlier(self.walked.reached(&access.anchor));
        let grants_before = grant.earlier(self.walked.reached(&grant.anchor));
        Ok(Admitted {
            chain: self.chain,
            access,
            grant,
            grant_body_key: terms.grant_body_key.0,
            one_time: terms.one_time,
            reader: terms.reader,
            scope: terms.scope,
            skip: terms.skip,
            lane_before: lane_before.into_iter().map(AccessTag).collect(),
            grants_before: grants_before.into_iter().map(GrantTag).collect(),
        })
    }
}

impl Admitted {
    /// The state entries to read, all at one final head, for [`Admitted::open`]. At most two for
    /// each place of a chain.
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        let mut keys = vec![StateKey::Access(self.access_tag()), StateKey::Grant(self.grant_tag())];
        keys.extend(self.lane_before.iter().map(|tag| StateKey::Access(*tag)));
        keys.extend(self.grants_before.iter().map(|tag| StateKey::Grant(*tag)));
        keys
    }

    pub(crate) fn access_tag(&self) -> AccessTag {
        AccessTag(self.access.tag())
    }

    pub(crate) fn grant_tag(&self) -> GrantTag {
        GrantTag(self.grant.tag())
    }
}

/// Bounds the hashing that a request can cause: no chain is longer than [`CHAIN_LEN_MAX`].
fn shown(link: ShareBytes, index: u16) -> Result<Shown, Denied> {
    if index == 0 || index > CHAIN_LEN_MAX {
        return Err(Denied::NoSuchPlace);
    }
    Ok(Shown::new(Link::from_secret(link.0), index))
}
