//! The decision, and the only constructor of its evidence. INV-5 and INV-6 are held here.
//!
//! `decide` is total: it asks every clause, each on its own and in a fixed order, and the first
//! that does not hold is the denial.

use crate::denied::Denied;
use crate::judge::{Ask, Grounds, Named, ensure, judge};
use crate::opened::{Introduced, Opened, find_grant};
use crate::policy::{Clause, Policies, PolicyDenied};
use crate::refusals::Refusals;
use crate::view::FinalView;
use salus_crypto::chain::{ChainAnchor, anchored};
use salus_crypto::kem::KemPublicKey;
use salus_planted::{Bug, is};
use salus_wire::activity::{Activity, patient_name};
use salus_wire::consent::{Grantee, IntentTerms, Vouching};
use salus_wire::emergency::{EmergencyUse, look_name};
use salus_wire::limits::ACCESS_VALID_MS_MAX;
use salus_wire::release::{EpochHeader, reader_digest};
use salus_wire::state::{IdentityRecord, Standing, StateKey, StateValue, Tip};
use salus_wire::tx::{PartyKind, intent_message};
use salus_wire::{AccessTag, Height, MemberIndex, PartyId, Purpose, TimeMs, namespaces};

/// Milliseconds within which a permit must be redeemed: the decision is about now.
pub const PERMIT_MS_MAX: u64 = 5_000;

/// A request of which every clause holds but one, that this custodian has not refused the grant:
/// [`Decided::permit`]. What stands in the way of a vote is asked apart from what takes long to weigh.
#[must_use = "what is decided permits nothing yet"]
pub struct Decided {
    opened: Opened,
    member: MemberIndex,
    grounds: Grounds,
    at: Tip,
    decided: TimeMs,
}

/// Evidence that one requester may be given key shares under one access, as decided at one head.
/// It cannot be copied, stored, sent or made anywhere else, and [`Permit::redeem`] uses it up.
#[must_use = "a permit that is not redeemed releases nothing"]
pub struct Permit {
    opened: Opened,
    member: MemberIndex,
    grounds: Grounds,
    at: Tip,
    decided: TimeMs,
}

/// A permit that still held at the moment of release: what to release, and to whom.
#[must_use = "nothing is released yet"]
pub struct Redeemed {
    opened: Opened,
    grounds: Grounds,
}

/// Decides at the head of `view`, which must hold what [`Introduced::reads`] asked for and be no older
/// than the view the request was opened in. `policies` are those read before, `now` is the custodian's own clock.
///
/// # Errors
/// The first clause that does not hold: the view's age, the access's time, its lane, the requester, the grant's
/// terms ([`judge()`]), the policy of the requester's member, the intent, the grant's standing.
pub fn decide(
    introduced: Introduced,
    view: &FinalView,
    policies: &mut Policies,
    now: TimeMs,
) -> Result<Decided, Denied> {
    let Introduced { opened, .. } = introduced;
    view.fresh(now)?;
    if view.at().height < opened.seen_at {
        return Err(Denied::ViewStale);
    }
    in_time(&opened, view.at())?;
    on_the_lane(&opened)?;
    let identity = by_the_requester(&opened, view)?;
    let member = identity.member;
    let ask = ask(&opened, identity, view.at());
    let mut grounds = judge(&opened.opened_grant, &ask)?;
    grounds.allowed_by = by_the_policy(&ask, grounds.named, view, policies)?;
    within_the_intent(&opened)?;
    not_revoked(&opened, view)?;
    Ok(Decided { opened, member, grounds, at: view.at(), decided: now })
}

impl Decided {
    /// The last clause (P2), and the permit.
    ///
    /// # Errors
    /// [`Denied::GrantRefused`].
    pub fn permit(self, refusals: &Refusals) -> Result<Permit, Denied> {
        let Self { opened, member, grounds, at, decided } = self;
        ensure(!refusals.refuses(&opened.grant_tag()), Denied::GrantRefused)?;
        Ok(Permit { opened, member, grounds, at, decided })
    }
}

/// P3: the access is used within its time.
fn in_time(opened: &Opened, head: Tip) -> Result<(), Denied> {
    let valid_ms = opened.terms.valid_ms.min(ACCESS_VALID_MS_MAX);
    let alive = head.time < opened.since.time.plus_ms(u64::from(valid_ms));
    ensure(alive || is(Bug::ExpiredAccessReleased), Denied::AccessExpired)
}

/// The access is for this grant and stands on its lane, so that the patient can list it.
fn on_the_lane(opened: &Opened) -> Result<(), Denied> {
    ensure(opened.terms.grant == opened.grant_tag(), Denied::OtherGrant)?;
    let on_lane = anchored(&opened.access.link, opened.access.index, &opened.opened_grant.lane);
    ensure(on_lane, Denied::OffLane)
}

/// Somebody who is registered, and who may read, signed the intent.
fn by_the_requester<'view>(opened: &Opened, view: &'view FinalView) -> Result<&'view IdentityRecord, Denied> {
    let requester = opened.terms.requester;
    let Some(StateValue::Identity(identity)) = view.get(&StateKey::Identity(requester))? else {
        return Err(Denied::RequesterUnknown);
    };
    may_act(identity, view.at())?;
    let message = intent_message(opened.chain, &opened.terms);
    let signed = identity.key.verify(namespaces::INTENT, &message, &opened.intent_signature).is_ok();
    ensure(signed || is(Bug::IntentUnsigned), Denied::IntentSignature)?;
    by_the_second_factor(opened, identity, &message)?;
    Ok(identity)
}

/// In an emergency, and only then, the requester's second factor signed the intent as well.
fn by_the_second_factor(opened: &Opened, identity: &IdentityRecord, message: &[u8]) -> Result<(), Denied> {
    let emergency = matches!(opened.opened_grant.grantee, Grantee::Emergency { .. });
    match (opened.terms.vouching, opened.intent_second.as_ref()) {
        (Vouching::Requester, None) => ensure(!emergency, Denied::NotEmergency),
        (Vouching::BreakGlass(_), Some(signature)) => {
            ensure(emergency, Denied::NotEmergency)?;
            let second = identity.second.ok_or(Denied::SecondFactor)?;
            let signed = second.verify(namespaces::INTENT_SECOND, message, signature).is_ok();
            ensure(signed, Denied::SecondFactor)
        }
        (Vouching::Requester, Some(_)) | (Vouching::BreakGlass(_), None) => Err(Denied::SecondFactor),
    }
}

pub(crate) fn may_act(identity: &IdentityRecord, head: Tip) -> Result<(), Denied> {
    ensure(identity.kind != PartyKind::Gateway, Denied::RequesterGateway)?;
    ensure(identity.standing == Standing::Active, Denied::RequesterRevoked)?;
    ensure(identity.validity.contains(head.time), Denied::RequesterOutsideValidity)
}

/// What the reader said it would do.
fn ask<'a>(opened: &'a Opened, identity: &'a IdentityRecord, head: Tip) -> Ask<'a> {
    let IntentTerms { requester: party, scope, purpose, .. } = &opened.terms;
    Ask { party: *party, identity, scope, purpose: *purpose, at: head.time }
}

/// The member that registered the requester allows it, too. Without a policy it allows what grants allow.
pub(crate) fn by_the_policy(
    ask: &Ask<'_>,
    named: Named,
    view: &FinalView,
    policies: &mut Policies,
) -> Result<Vec<Clause>, Denied> {
    if is(Bug::PolicyIgnored) {
        return Ok(Vec::new());
    }
    let member = ask.identity.member;
    match view.get(&StateKey::Policy(member))? {
        None => Ok(Vec::new()),
        Some(StateValue::Policy(record)) => {
            policies.of(member, record)?.allows(ask, named).map_err(Denied::from)
        }
        Some(_) => Err(Denied::PolicyInvalid),
    }
}

impl From<PolicyDenied> for Denied {
    fn from(denied: PolicyDenied) -> Self {
        match denied {
            PolicyDenied::Forbidden(clause) => Self::PolicyForbids(clause),
            PolicyDenied::NotPermitted => Self::PolicyPermitsNot,
            PolicyDenied::Failed => Self::PolicyInvalid,
        }
    }
}

/// What is asked now is what was said on the ledger, for the key that was named there.
fn within_the_intent(opened: &Opened) -> Result<(), Denied> {
    let intent = &opened.terms;
    ensure(reader_digest(&opened.reader) == intent.reader, Denied::OtherReader)?;
    let (said, asked) = (&intent.scope, &opened.scope);
    let covered = said.classes.covers(asked.classes) || is(Bug::ClassBeyondIntent);
    ensure(covered, Denied::ClassBeyondIntent)?;
    ensure(said.codes.covers(&asked.codes), Denied::CodeBeyondIntent)?;
    ensure(said.span.covers(&asked.span), Denied::SpanBeyondIntent)
}

/// P1. Any revocation in the view denies, whether it came before the access or after.
fn not_revoked(opened: &Opened, view: &FinalView) -> Result<(), Denied> {
    let record = find_grant(view, opened.grant_tag())?;
    let stands = record.standing == Standing::Active || is(Bug::RevokedStandingIgnored);
    ensure(stands, Denied::GrantRevoked)
}

impl Opened {
    fn covers(&self, epoch: &EpochHeader) -> bool {
        epoch.grants == self.data()
            && epoch.writer == self.opened_grant.writer
            && self.scope.meets(epoch.class, epoch.code, &epoch.span)
    }

    /// The chain under which the data lies: that of a lost wallet, if the grant names one.
    fn data(&self) -> ChainAnchor {
        self.opened_grant.data.unwrap_or(self.grant.anchor)
    }
}

impl Permit {
    /// The access under which it was decided.
    #[must_use]
    pub fn access(&self) -> AccessTag {
        self.opened.access_tag()
    }

    /// Who asked.
    #[must_use]
    pub fn requester(&self) -> PartyId {
        self.opened.terms.requester
    }

    /// For what purpose.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.opened.terms.purpose
    }

    /// Why the grant permits, and what it holds back all the same.
    #[must_use]
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// What this custodian must remember durably before it releases anything: the emergency use, if it is
    /// one.
    #[must_use]
    pub fn emergency(&self) -> Option<EmergencyUse> {
        let IntentTerms { requester, vouching, .. } = self.opened.terms;
        match (&self.opened.opened_grant.grantee, vouching) {
            (Grantee::Emergency { card }, Vouching::BreakGlass(reason)) => {
                let (at, card, access) = (self.decided, *card, self.access());
                let look = look_name(access);
                Some(EmergencyUse { at, requester, card, look, access: Some(access), reason })
            }
            _ => None,
        }
    }

    /// What this custodian must remember durably before it releases anything.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let IntentTerms { requester, purpose, ref scope, .. } = self.opened.terms;
        Activity {
            at: self.decided,
            requester,
            member: self.member,
            patient: patient_name(&self.grants()),
            access: self.access(),
            purpose,
            classes: scope.classes,
            named: self.grounds.named.into(),
        }
    }

    /// The head at which it was decided.
    #[must_use]
    pub fn at(&self) -> Tip {
        self.at
    }

    /// The chain under which the epochs lie that it can open. It is the grant's own or one that the grant claims:
    /// whether the grant's chain is in charge of it, see [`crate::in_charge()`].
    #[must_use]
    pub fn grants(&self) -> ChainAnchor {
        self.opened.data()
    }

    /// The chain on which the grant stands.
    #[must_use]
    pub fn granted_on(&self) -> ChainAnchor {
        self.opened.grant.anchor
    }

    /// When the grant became final.
    #[must_use]
    pub fn granted_at(&self) -> Height {
        self.opened.granted.height
    }

    /// Matching epochs to skip, for pages after the first.
    #[must_use]
    pub fn skip(&self) -> u32 {
        self.opened.skip
    }

    /// Whether the share of this epoch may be released: it is the writer's that the grant names,
    /// its data can be opened by this very grant chain, it is of a class, a kind and a time asked for,
    /// and no rule of denial holds it back.
    #[must_use]
    pub fn opens(&self, epoch: &EpochHeader) -> bool {
        opens(&self.opened, &self.grounds, epoch)
    }

    /// Uses the permit up. Call it under the lock under which refusals are recorded (P2), and
    /// release within that lock.
    ///
    /// # Errors
    /// [`Denied::GrantRefused`] when the grant was refused after the decision, and
    /// [`Denied::PermitSpent`] when the decision is more than [`PERMIT_MS_MAX`] old.
    pub fn redeem(self, refusals: &Refusals, now: TimeMs) -> Result<Redeemed, Denied> {
        let refused = refusals.refuses(&self.opened.grant_tag()) && !is(Bug::RefusalMissed);
        ensure(!refused, Denied::GrantRefused)?;
        let apart = now.since_ms(self.decided).max(self.decided.since_ms(now));
        ensure(apart <= PERMIT_MS_MAX, Denied::PermitSpent)?;
        Ok(Redeemed { opened: self.opened, grounds: self.grounds })
    }
}

impl Redeemed {
    /// The access under which shares are released.
    #[must_use]
    pub fn access(&self) -> AccessTag {
        self.opened.access_tag()
    }

    /// The ephemeral key to seal to.
    #[must_use]
    pub fn reader(&self) -> &KemPublicKey {
        &self.opened.reader
    }

    /// Whether the share of this epoch may be released; as [`Permit::opens`].
    #[must_use]
    pub fn opens(&self, epoch: &EpochHeader) -> bool {
        opens(&self.opened, &self.grounds, epoch)
    }
}

fn opens(opened: &Opened, grounds: &Grounds, epoch: &EpochHeader) -> bool {
    opened.covers(epoch) && grounds.leave_open(epoch.class, epoch.code, &epoch.span)
}
