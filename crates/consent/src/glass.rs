//! Breaking the glass: who may, how often, and what an unreviewed or unjustified use leads to. ADR 15.
//!
//! Each custodian judges by what it remembers itself. A look takes t = 2f + 1 custodians, of whom at least f + 1 are
//! honest and remember it. So k uses in all are at least k(f + 1) memories at 2f + 1 honest custodians, and a bound b
//! that each of them keeps alone lets fewer than 2b uses through, however somebody picks whom to ask.

use crate::decide::may_act;
use crate::denied::Denied;
use crate::desk::Desk;
use crate::judge::{EMERGENCY_ROLES, ensure};
use crate::view::FinalView;
use salus_crypto::chain::open_body;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::sign::{PublicKey, Signature};
use salus_wire::consent::Reason;
use salus_wire::emergency::{
    EmergencyUse, GlassRequest, Review, ReviewsRequest, Verdict, card_name, glass_request_message, review_id,
    review_key, review_message, reviews_message,
};
use salus_wire::limits::{
    EMERGENCY_LOOKS_MAX, EMERGENCY_MS_MAX, EMERGENCY_USES_MAX, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS,
    REVIEW_SUSPEND_USES,
};
use salus_wire::state::{IdentityRecord, ReviewRecord, Standing};
use salus_wire::tx::PartyKind;
use salus_wire::{
    AccessTag, ChainId, MemberIndex, PartyId, Role, StateKey, StateValue, TimeMs, decode, namespaces,
};

const DAY_MS: u64 = 24 * 3_600_000;

/// A request to break the glass, signed by the key it names and asked just now.
#[must_use = "an admitted request is not decided yet"]
pub struct AdmittedGlass {
    requester: PartyId,
    key: PublicKey,
    reason: Reason,
    card: Digest,
    reader: KemPublicKey,
    nonce: [u8; 16],
    message: Vec<u8>,
    second: Signature,
}

/// Evidence that a person may be given the next looks under a card, if their conduct allows it.
#[must_use = "a permit that is not redeemed gives nothing"]
pub struct GlassPermit {
    requester: PartyId,
    reason: Reason,
    card: Digest,
    reader: KemPublicKey,
    nonce: [u8; 16],
    decided: TimeMs,
}

/// A permit that was used up: to whom to seal, and in answer to what.
pub struct GlassRedeemed {
    /// The ephemeral key.
    pub reader: KemPublicKey,
    /// The request's nonce.
    pub nonce: [u8; 16],
}

/// A privacy officer's question, signed by the key it names and asked just now.
#[must_use = "an admitted question is not decided yet"]
pub struct AdmittedReviews {
    officer: PartyId,
    key: PublicKey,
}

/// One look that a person was given, and what came of its review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The look.
    pub used: EmergencyUse,
    /// What came of the review; `None` while it is open.
    pub closed: Option<Verdict>,
}

/// Looks of one person under one card within an hour.
struct Use {
    card: Digest,
    from: TimeMs,
    looks: usize,
    open: bool,
}

impl Desk {
    /// Admits a request to break the glass: signature, addressee, age and replay, before any other work.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn admit_glass(&mut self, request: GlassRequest, now: TimeMs) -> Result<AdmittedGlass, Denied> {
        let GlassRequest { terms, signature, second } = request;
        let message = glass_request_message(self.chain(), &terms);
        terms
            .key
            .verify(namespaces::BREAK_GLASS, &message, &signature)
            .map_err(|_| Denied::RequestSignature)?;
        self.just_now(terms.custodian, terms.key, terms.nonce, terms.sent, now)?;
        Ok(AdmittedGlass {
            requester: terms.requester,
            key: terms.key,
            reason: terms.reason,
            card: card_name(&terms.card.0),
            reader: terms.reader,
            nonce: terms.nonce,
            message,
            second,
        })
    }

    /// Admits a privacy officer's question, likewise.
    ///
    /// # Errors
    /// As [`Desk::admit_glass`].
    pub fn admit_reviews(
        &mut self,
        request: &ReviewsRequest,
        now: TimeMs,
    ) -> Result<AdmittedReviews, Denied> {
        let ReviewsRequest { custodian, nonce, sent, officer, key, signature } = *request;
        let message = reviews_message(self.chain(), custodian, nonce, sent, officer, &key);
        key.verify(namespaces::REVIEWS, &message, &signature).map_err(|_| Denied::RequestSignature)?;
        self.just_now(custodian, key, nonce, sent, now)?;
        Ok(AdmittedReviews { officer, key })
    }
}

impl AdmittedGlass {
    /// The state entries that the decision needs.
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        vec![StateKey::Identity(self.requester)]
    }

    /// Decides by who asks: a registered physician or nurse, with both of their keys.
    ///
    /// # Errors
    /// The first clause that does not hold.
    pub fn decide(self, view: &FinalView, now: TimeMs) -> Result<GlassPermit, Denied> {
        view.fresh(now)?;
        let identity = registered(view, self.requester, &self.key)?;
        let treats = EMERGENCY_ROLES.iter().any(|role| identity.roles.contains(*role));
        ensure(identity.kind == PartyKind::Person && treats, Denied::RoleNotHeld)?;
        let second = identity.second.ok_or(Denied::SecondFactor)?;
        let signed = second.verify(namespaces::BREAK_GLASS_SECOND, &self.message, &self.second);
        signed.map_err(|_| Denied::SecondFactor)?;
        let Self { requester, reason, card, reader, nonce, .. } = self;
        Ok(GlassPermit { requester, reason, card, reader, nonce, decided: now })
    }
}

impl AdmittedReviews {
    /// The state entries that the decision needs.
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        vec![StateKey::Identity(self.officer)]
    }

    /// Decides by who asks; gives the member of whose people they may know.
    ///
    /// # Errors
    /// The first clause that does not hold.
    pub fn decide(self, view: &FinalView, now: TimeMs) -> Result<MemberIndex, Denied> {
        view.fresh(now)?;
        let identity = registered(view, self.officer, &self.key)?;
        ensure(is_officer(identity), Denied::NotAnOfficer)?;
        Ok(identity.member)
    }
}

impl GlassPermit {
    /// Who asked.
    #[must_use]
    pub const fn requester(&self) -> PartyId {
        self.requester
    }

    /// Under which card.
    #[must_use]
    pub const fn card(&self) -> &Digest {
        &self.card
    }

    /// What this custodian must remember durably before it gives these looks.
    #[must_use]
    pub fn uses(&self, looks: &[AccessTag]) -> Vec<EmergencyUse> {
        let Self { requester, reason, card, decided: at, .. } = *self;
        looks.iter().map(|access| EmergencyUse { at, requester, card, access: *access, reason }).collect()
    }

    /// Uses the permit up, once the uses are remembered.
    ///
    /// # Errors
    /// [`Denied::PermitSpent`] when the decision is too old.
    pub fn redeem(self, now: TimeMs) -> Result<GlassRedeemed, Denied> {
        let apart = now.since_ms(self.decided).max(self.decided.since_ms(now));
        ensure(apart <= crate::PERMIT_MS_MAX, Denied::PermitSpent)?;
        Ok(GlassRedeemed { reader: self.reader, nonce: self.nonce })
    }
}

/// Whether somebody of this conduct may be given, or use, a look under `card` that takes `access`. A look that
/// they were given already counts once.
///
/// # Errors
/// [`Denied::GlassSuspended`] after an unjustified use, or when [`REVIEW_SUSPEND_USES`] uses have waited longer
/// than [`REVIEW_SUSPEND_MS`] for their review; [`Denied::GlassLimit`] beyond [`EMERGENCY_USES_MAX`] uses in 24
/// hours or [`EMERGENCY_LOOKS_MAX`] looks of one.
pub fn may_look(conduct: &[Look], card: &Digest, access: AccessTag, now: TimeMs) -> Result<(), Denied> {
    let unjustified = conduct.iter().any(|look| look.closed == Some(Verdict::Unjustified));
    ensure(!unjustified, Denied::GlassSuspended)?;
    let uses = uses(conduct);
    let late = uses.iter().filter(|used| used.open && now.since_ms(used.from) > REVIEW_SUSPEND_MS);
    ensure(late.count() < REVIEW_SUSPEND_USES, Denied::GlassSuspended)?;
    if conduct.iter().any(|look| look.used.access == access && look.used.card == *card) {
        return Ok(());
    }
    let under_way = |used: &&Use| used.card == *card && now.since_ms(used.from) < EMERGENCY_MS_MAX;
    if let Some(used) = uses.iter().find(under_way) {
        return ensure(used.looks < EMERGENCY_LOOKS_MAX, Denied::GlassLimit);
    }
    let today = uses.iter().filter(|used| now.since_ms(used.from) < DAY_MS).count();
    ensure(today < EMERGENCY_USES_MAX, Denied::GlassLimit)
}

/// The state entry under which the review of a look stands once it is closed.
#[must_use]
pub fn review_of(used: &EmergencyUse) -> StateKey {
    StateKey::Review(review_id(&used.card, used.access))
}

/// Opens what stands there; `None` when it is no review of this look: it stays open then.
#[must_use]
pub fn open_review(used: &EmergencyUse, record: &ReviewRecord) -> Option<Review> {
    let plain = open_body(&review_key(&used.card, used.access), &record.body).ok()?;
    let review: Review = decode(&plain, INTENT_PLAIN_BYTES).ok()?;
    (review.access == used.access && review.requester == used.requester).then_some(review)
}

/// What came of a review, if who closed it may: a privacy officer of the requester's member, not the
/// requester, registered when it became final.
#[must_use]
pub fn verdict(
    chain: ChainId,
    review: &Review,
    record: &ReviewRecord,
    officer: &IdentityRecord,
    requester: &IdentityRecord,
) -> Option<Verdict> {
    let Review { access, requester: reviewed, officer: by, verdict, ref signature } = *review;
    let stood = match officer.standing {
        Standing::Active => true,
        Standing::Revoked(at) => record.since.height < at.height,
    };
    let may = is_officer(officer)
        && stood
        && officer.validity.contains(record.since.time)
        && officer.member == requester.member
        && by != reviewed;
    let message = review_message(chain, access, reviewed, by, verdict);
    let signed = officer.key.verify(namespaces::REVIEW, &message, signature).is_ok();
    (may && signed).then_some(verdict)
}

pub(crate) fn registered<'view>(
    view: &'view FinalView,
    party: PartyId,
    key: &PublicKey,
) -> Result<&'view IdentityRecord, Denied> {
    let Some(StateValue::Identity(identity)) = view.get(&StateKey::Identity(party))? else {
        return Err(Denied::RequesterUnknown);
    };
    may_act(identity, view.at())?;
    ensure(identity.key == *key, Denied::RequestSignature)?;
    Ok(identity)
}

pub(crate) fn is_officer(identity: &IdentityRecord) -> bool {
    identity.kind == PartyKind::Person && identity.roles.contains(Role::PrivacyOfficer)
}

/// Looks gathered into uses: those under one card within an hour of the first.
fn uses(conduct: &[Look]) -> Vec<Use> {
    let mut looks: Vec<&Look> = conduct.iter().collect();
    looks.sort_unstable_by_key(|look| (look.used.card, look.used.at));
    let mut uses: Vec<Use> = Vec::new();
    for Look { used, closed } in looks {
        let open = closed.is_none();
        match uses.last_mut() {
            Some(last) if last.card == used.card && used.at.since_ms(last.from) < EMERGENCY_MS_MAX => {
                last.looks = last.looks.saturating_add(1);
                last.open |= open;
            }
            _ => uses.push(Use { card: used.card, from: used.at, looks: 1, open }),
        }
    }
    uses
}
