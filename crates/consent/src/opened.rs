//! From an admitted request and a final view to the two opened bodies. Here the request is held
//! against the ledger; whether it is *allowed* is judged in `decide`.

use crate::denied::Denied;
use crate::desk::Admitted;
use crate::view::FinalView;
use crate::walked::Shown;
use borsh::BorshDeserialize;
use salus_crypto::chain::{Link, open_body};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::Signature;
use salus_planted::{Bug, is};
use salus_wire::consent::{Grant, Intent, IntentTerms};
use salus_wire::limits::{GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES};
use salus_wire::state::{AccessRecord, GrantRecord, Tip};
use salus_wire::tx::{access_commitment, grant_commitment};
use salus_wire::{AccessTag, ChainId, GrantTag, Height, MemberIndex, Scope, StateKey, StateValue, decode};

/// A request whose access and grant are final, in order on their chains, and opened.
#[must_use = "an opened request is not decided yet"]
pub struct Opened {
    pub(crate) chain: ChainId,
    pub(crate) access: Shown,
    pub(crate) grant: Shown,
    pub(crate) reader: KemPublicKey,
    pub(crate) scope: Scope,
    pub(crate) skip: u32,
    /// When the access became final.
    pub(crate) since: Tip,
    /// When the grant did.
    pub(crate) granted: Tip,
    /// The head at which all this was read.
    pub(crate) seen_at: Height,
    pub(crate) terms: IntentTerms,
    pub(crate) intent_signature: Signature,
    pub(crate) intent_second: Option<Signature>,
    pub(crate) opened_grant: Grant,
}

/// The same, of a requester whose member is known.
#[must_use = "an introduced request is not decided yet"]
pub struct Introduced {
    pub(crate) opened: Opened,
    pub(crate) member: MemberIndex,
}

impl Admitted {
    /// Finds the access and the grant in `view` and opens both.
    ///
    /// # Errors
    /// A [`Denied`] for the first thing that is absent, does not match or does not open.
    pub fn open(self, view: &FinalView, now: salus_wire::TimeMs) -> Result<Opened, Denied> {
        view.fresh(now)?;
        let access = self.find_access(view)?;
        self.no_gap(view)?;
        let grant = find_grant(view, self.grant_tag())?;
        let intent = open_intent(&self.access.link.body_key(), access)?;
        let opened_grant = open_grant(&self.grant.link, &self.grant_body_key, grant)?;
        Ok(Opened {
            chain: self.chain,
            since: access.since,
            granted: grant.since,
            seen_at: view.at().height,
            terms: intent.terms,
            intent_signature: intent.signature,
            intent_second: intent.second,
            opened_grant,
            access: self.access,
            grant: self.grant,
            reader: self.reader,
            scope: self.scope,
            skip: self.skip,
        })
    }

    fn find_access<'view>(&self, view: &'view FinalView) -> Result<&'view AccessRecord, Denied> {
        let Some(StateValue::Access(access)) = view.get(&StateKey::Access(self.access_tag()))? else {
            return Err(Denied::AccessNotFinal);
        };
        if access.one_time != self.one_time && !is(Bug::OneTimeKeyIgnored) {
            return Err(Denied::OtherOneTime);
        }
        Ok(access)
    }

    fn no_gap(&self, view: &FinalView) -> Result<(), Denied> {
        if is(Bug::EarlierTagsSkipped) {
            return Ok(());
        }
        for tag in &self.lane_before {
            view.get(&StateKey::Access(*tag))?.ok_or(Denied::LaneGap)?;
        }
        for tag in &self.grants_before {
            view.get(&StateKey::Grant(*tag))?.ok_or(Denied::GrantGap)?;
        }
        Ok(())
    }
}

impl Opened {
    /// The state entries to read for [`Opened::introduce`].
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        vec![StateKey::Identity(self.terms.requester)]
    }

    /// Finds out who registered the requester. Nothing else of their registration is looked at here.
    ///
    /// # Errors
    /// [`Denied::RequesterUnknown`] when nobody did.
    pub fn introduce(self, view: &FinalView) -> Result<Introduced, Denied> {
        match view.get(&StateKey::Identity(self.terms.requester))? {
            Some(StateValue::Identity(identity)) => Ok(Introduced { member: identity.member, opened: self }),
            _ => Err(Denied::RequesterUnknown),
        }
    }

    pub(crate) fn access_tag(&self) -> AccessTag {
        AccessTag(self.access.tag())
    }

    pub(crate) fn grant_tag(&self) -> GrantTag {
        GrantTag(self.grant.tag())
    }
}

impl Introduced {
    /// The state entries to read, at one final head not older than the first, for
    /// [`crate::decide`].
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        let (grant, requester) = (self.opened.grant_tag(), self.opened.terms.requester);
        vec![StateKey::Grant(grant), StateKey::Identity(requester), StateKey::Policy(self.member)]
    }
}

/// The grant's entry.
pub(crate) fn find_grant(view: &FinalView, tag: GrantTag) -> Result<&GrantRecord, Denied> {
    match view.get(&StateKey::Grant(tag))? {
        Some(StateValue::Grant(grant)) => Ok(grant),
        _ => Err(Denied::NoGrant),
    }
}

fn open_intent(key: &Secret<32>, access: &AccessRecord) -> Result<Intent, Denied> {
    let intent: Intent = open(key, &access.body, INTENT_PLAIN_BYTES).ok_or(Denied::IntentSealed)?;
    if access_commitment(&intent) != access.commitment {
        return Err(Denied::IntentCommitment);
    }
    if intent.terms.one_time != access.one_time {
        return Err(Denied::IntentOneTime);
    }
    Ok(intent)
}

/// The commitment holds the link: what somebody put under the tag before they knew it is no grant.
fn open_grant(link: &Link, key: &Secret<32>, record: &GrantRecord) -> Result<Grant, Denied> {
    let grant: Grant = open(key, &record.body, GRANT_PLAIN_BYTES).ok_or(Denied::GrantSealed)?;
    if grant_commitment(link, &grant) != record.commitment {
        return Err(Denied::GrantCommitment);
    }
    if grant.one_time != record.one_time {
        return Err(Denied::GrantOneTime);
    }
    Ok(grant)
}

fn open<T: BorshDeserialize>(key: &Secret<32>, body: &[u8], bytes_max: usize) -> Option<T> {
    let plain = open_body(key, body).ok()?;
    decode(&plain, bytes_max).ok()
}
