//! Breaking the glass: who may, how often, and what an unreviewed or unjustified use leads to. ADR 15.
//!
//! Each custodian judges by what it remembers itself. A look takes t = 2f + 1 custodians, of whom at least f + 1 are
//! honest and remember it. So k uses in all are at least k(f + 1) memories at 2f + 1 honest custodians, and a bound b
//! that each of them keeps alone lets fewer than 2b uses through, however somebody picks whom to ask.

use crate::decide::{by_the_policy, may_act};
use crate::denied::Denied;
use crate::desk::Desk;
use crate::judge::{Ask, EMERGENCY_ROLES, ensure, judge};
use crate::opened::find_grant;
use crate::policy::Policies;
use crate::view::FinalView;
use salus_crypto::chain::open_body;
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::sign::{PublicKey, Signature};
use salus_wire::consent::Reason;
use salus_wire::emergency::{
    EmergencyUse, GlassAsk, GlassRequest, LookAsk, LookHeader, LookShare, Review, ReviewsRequest, Verdict,
    card_name, glass_request_message, look_name, review_id, review_key, reviews_message,
};
use salus_wire::limits::{
    DAY_MS, EMERGENCY_LOOKS_MAX, EMERGENCY_MS_MAX, EMERGENCY_USES_MAX, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS,
    REVIEW_SUSPEND_USES,
};
use salus_wire::state::{IdentityRecord, ReviewRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{MemberIndex, PartyId, Purpose, Role, StateKey, StateValue, TimeMs, decode, namespaces};

/// A request to break the glass, signed by the keys it names and asked just now.
#[must_use = "an admitted request is not decided yet"]
pub struct AdmittedGlass {
    requester: PartyId,
    key: PublicKey,
    reason: Reason,
    card: Digest,
    reader: KemPublicKey,
    nonce: [u8; 16],
    ask: GlassAsk,
    message: Vec<u8>,
    second: Signature,
}

/// Evidence that a person who has the card may break glass, if the grants and their conduct allow it.
#[must_use = "a permit that is not redeemed gives nothing"]
pub struct GlassPermit {
    requester: PartyId,
    identity: IdentityRecord,
    reason: Reason,
    card: Digest,
    reader: KemPublicKey,
    nonce: [u8; 16],
    ask: GlassAsk,
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

/// One look that a person was given, and what came of its review. What nobody read under is not to be reviewed.
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
        let GlassRequest { terms, signature, second, card } = request;
        let message = glass_request_message(self.chain(), &terms);
        terms
            .key
            .verify(namespaces::BREAK_GLASS, &message, &signature)
            .map_err(|_| Denied::RequestSignature)?;
        terms
            .card
            .verify(namespaces::BREAK_GLASS_CARD, &message, &card)
            .map_err(|_| Denied::RequestSignature)?;
        self.just_now(terms.custodian, terms.key, terms.nonce, terms.sent, now)?;
        Ok(AdmittedGlass {
            requester: terms.requester,
            key: terms.key,
            reason: terms.reason,
            card: card_name(&terms.card),
            reader: terms.reader,
            nonce: terms.nonce,
            ask: terms.ask,
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
        let identity = identity.clone();
        let Self { requester, reason, card, reader, nonce, ask, .. } = self;
        Ok(GlassPermit { requester, identity, reason, card, reader, nonce, ask, decided: now })
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

    /// What is asked.
    #[must_use]
    pub const fn ask(&self) -> &GlassAsk {
        &self.ask
    }

    /// The state entries that [`GlassPermit::next`] needs.
    #[must_use]
    pub fn reads(&self, ask: &LookAsk) -> Vec<StateKey> {
        let before = ask.before.iter().map(|tag| StateKey::Access(*tag));
        let keys = [StateKey::Grant(ask.grant), StateKey::Policy(self.identity.member)];
        keys.into_iter().chain(before).collect()
    }

    /// The look that is next, of those that are `kept` under the card for the grant asked for: every place before it
    /// is shown to be taken, the grant stands, and its terms and the policy of the requester's member allow them to
    /// read all of it now, so that no look is wasted on what a release would refuse.
    ///
    /// # Errors
    /// The first clause that does not hold.
    pub fn next(
        &self,
        ask: &LookAsk,
        mut kept: Vec<LookShare>,
        view: &FinalView,
        policies: &mut Policies,
    ) -> Result<LookShare, Denied> {
        view.fresh(self.decided)?;
        ensure(find_grant(view, ask.grant)?.standing == Standing::Active, Denied::GrantRevoked)?;
        for (place, tag) in (1_u16..).zip(ask.before.iter()) {
            let at = at(&kept, ask, place).and_then(|at| kept.get(at)).ok_or(Denied::NoLook)?;
            ensure(at.header.look == look_name(*tag), Denied::OffLane)?;
            view.get(&StateKey::Access(*tag))?.ok_or(Denied::LaneGap)?;
        }
        let place = u16::try_from(ask.before.len()).ok().and_then(|before| before.checked_add(1));
        let at = place.and_then(|place| at(&kept, ask, place)).ok_or(Denied::NoLook)?;
        let look = kept.swap_remove(at);
        self.allowed(&look.header, view, policies)?;
        Ok(look)
    }

    /// The grant and the policy allow them to read all that the grant opens.
    fn allowed(&self, look: &LookHeader, view: &FinalView, policies: &mut Policies) -> Result<(), Denied> {
        let Tip { time: at, .. } = view.at();
        let (party, identity, scope) = (self.requester, &self.identity, &look.terms.scope);
        let ask = Ask { party, identity, scope, purpose: Purpose::Emergency, at };
        let grounds = judge(&look.terms, &ask)?;
        by_the_policy(&ask, grounds.named, view, policies).map(drop)
    }

    /// What this custodian must remember durably before it gives this look.
    #[must_use]
    pub const fn used(&self, look: &LookHeader) -> EmergencyUse {
        let Self { requester, reason, card, decided: at, .. } = *self;
        EmergencyUse { at, requester, card, look: look.look, access: None, reason }
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

/// Whether somebody of this conduct may be given a look under a card.
///
/// A look that they were given within the hour counts already. One that was given earlier and not used counts anew:
/// what was given then opens nothing any more ([`may_use`]).
///
/// # Errors
/// [`Denied::GlassSuspended`] after an unjustified use, or when [`REVIEW_SUSPEND_USES`] uses have waited longer
/// than [`REVIEW_SUSPEND_MS`] for their review; [`Denied::LookSpent`] for a look that they used; [`Denied::GlassLimit`]
/// beyond [`EMERGENCY_USES_MAX`] uses in 24 hours or [`EMERGENCY_LOOKS_MAX`] looks of one.
pub fn may_give(conduct: &[Look], wanted: &EmergencyUse, now: TimeMs) -> Result<(), Denied> {
    not_suspended(conduct, now)?;
    match known(conduct, wanted) {
        Some(look) if look.used.access.is_some() => Err(Denied::LookSpent),
        Some(look) if of_this_hour(look, now) => Ok(()),
        _ => within_limits(conduct, &wanted.card, now),
    }
}

/// Whether shares may be released to somebody of this conduct under the access that took a look.
///
/// # Errors
/// As [`may_give`]; [`Denied::LookSpent`] for a look that was given more than [`EMERGENCY_MS_MAX`] ago: what was
/// kept for later must be asked for again, and judged and reviewed anew.
pub fn may_use(conduct: &[Look], wanted: &EmergencyUse, now: TimeMs) -> Result<(), Denied> {
    not_suspended(conduct, now)?;
    match known(conduct, wanted) {
        Some(look) => ensure(of_this_hour(look, now), Denied::LookSpent),
        None => within_limits(conduct, &wanted.card, now),
    }
}

/// Whether nothing that is judged later hangs on this look any more.
#[must_use]
pub fn is_settled(look: &Look, now: TimeMs) -> bool {
    let over = look.closed == Some(Verdict::Justified) || look.used.access.is_none();
    over && now.since_ms(look.used.at) > DAY_MS
}

fn known<'look>(conduct: &'look [Look], wanted: &EmergencyUse) -> Option<&'look Look> {
    conduct.iter().find(|look| (look.used.card, look.used.look) == (wanted.card, wanted.look))
}

fn of_this_hour(look: &Look, now: TimeMs) -> bool {
    now.since_ms(look.used.at) < EMERGENCY_MS_MAX
}

fn not_suspended(conduct: &[Look], now: TimeMs) -> Result<(), Denied> {
    let unjustified = conduct.iter().any(|look| look.closed == Some(Verdict::Unjustified));
    ensure(!unjustified, Denied::GlassSuspended)?;
    let uses = uses(conduct);
    let late = uses.iter().filter(|used| used.open && now.since_ms(used.from) > REVIEW_SUSPEND_MS);
    ensure(late.count() < REVIEW_SUSPEND_USES, Denied::GlassSuspended)
}

fn within_limits(conduct: &[Look], card: &Digest, now: TimeMs) -> Result<(), Denied> {
    let uses = uses(conduct);
    let under_way = |used: &&Use| used.card == *card && now.since_ms(used.from) < EMERGENCY_MS_MAX;
    if let Some(used) = uses.iter().find(under_way) {
        return ensure(used.looks < EMERGENCY_LOOKS_MAX, Denied::GlassLimit);
    }
    let today = uses.iter().filter(|used| now.since_ms(used.from) < DAY_MS).count();
    ensure(today < EMERGENCY_USES_MAX, Denied::GlassLimit)
}

/// The state entry under which the review of a look stands once it is closed; `member` registered who looked.
#[must_use]
pub fn review_of(used: &EmergencyUse, member: MemberIndex) -> StateKey {
    StateKey::Review(member, review_id(&used.card, &used.look, used.requester))
}

/// What came of the review that stands there. The ledger has held it to an officer of that member; `None` when it
/// is no review of this look, or who looked closed it themselves: it stays open then.
#[must_use]
pub fn verdict(used: &EmergencyUse, record: &ReviewRecord) -> Option<Verdict> {
    let plain = open_body(&review_key(&used.card, &used.look, used.requester), &record.body).ok()?;
    let review: Review = decode(&plain, INTENT_PLAIN_BYTES).ok()?;
    let theirs = (review.look, review.requester) == (used.look, used.requester);
    (theirs && record.officer != used.requester).then_some(review.verdict)
}

/// Which of the looks is at a place of the grant that is asked for.
fn at(kept: &[LookShare], ask: &LookAsk, place: u16) -> Option<usize> {
    kept.iter().position(|look| (look.header.grant, look.header.place) == (ask.grant, place))
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
        let open = closed.is_none() && used.access.is_some();
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
