//! What a grant says to somebody who asks, and on what grounds. It looks at the patient's terms alone;
//! that the grant is final, unrevoked and the asker genuine is for [`crate::decide()`].
//!
//! A grant permits when it names the asker, covers all that the intent asks for, allows the purpose and holds
//! now. A rule of denial in it outranks that: one that by itself matches everything that the intent asks for
//! denies, one that matches a part holds that part back.

use crate::denied::Denied;
use crate::policy::Clause;
use salus_planted::{Bug, is};
use salus_wire::consent::{Deny, Grant, Grantee};
use salus_wire::state::IdentityRecord;
use salus_wire::tx::PartyKind;
use salus_wire::{DataClass, ObservationCode, PartyId, Purpose, Role, Scope, TimeMs, TimeSpan};

/// Who asks, for what, and why.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who.
    pub party: PartyId,
    /// How the ledger knows them.
    pub identity: &'a IdentityRecord,
    /// For what data.
    pub scope: &'a Scope,
    /// For what purpose.
    pub purpose: Purpose,
    /// At what block time.
    pub at: TimeMs,
}

/// How a grant names whom it permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// As a person.
    Person,
    /// By a role they hold at the member that the grant names.
    Role(Role),
    /// As an application.
    Application,
    /// As somebody who treats the patient in an emergency, by a role they hold.
    Emergency(Role),
}

/// Why a grant permits, and what it holds back all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// How the asker is named.
    pub named: Named,
    /// The rules of denial that concern this asker and purpose: what they match stays closed.
    pub held_back: Vec<Deny>,
    /// The clauses of the policy of the asker's member that allow it, in order; none when the member has
    /// published no policy, and none before [`crate::decide()`] has looked.
    pub allowed_by: Vec<Clause>,
}

/// Judges `ask` by the terms of `grant`.
///
/// # Errors
/// The first clause that does not hold: who is named, classes, kinds, times, purpose, validity, denials.
pub fn judge(grant: &Grant, ask: &Ask<'_>) -> Result<Grounds, Denied> {
    let named = named(grant, ask)?;
    within(grant, ask)?;
    let held_back = held_back(grant, ask)?;
    Ok(Grounds { named, held_back, allowed_by: Vec::new() })
}

impl Grounds {
    /// Whether no rule of denial holds this back. `span` is that of an epoch of keys, which is
    /// released as a whole or not at all.
    #[must_use]
    pub fn leave_open(&self, class: DataClass, code: ObservationCode, span: &TimeSpan) -> bool {
        !self.held_back.iter().any(|deny| deny.meets(class, code, span)) || is(Bug::DenyRuleIgnored)
    }
}

/// The grant names the asker: them by their key, or a role that they hold.
fn named(grant: &Grant, ask: &Ask<'_>) -> Result<Named, Denied> {
    let kind = ask.identity.kind;
    let (party, key, wanted, named) = match &grant.grantee {
        Grantee::Person { party, key } => (party, key, PartyKind::Person, Named::Person),
        Grantee::Application { party, key } => (party, key, PartyKind::Application, Named::Application),
        Grantee::Role { member, role } => {
            let there = kind == PartyKind::Person && ask.identity.member == *member;
            let holds = there && ask.identity.roles.contains(*role);
            ensure(holds || is(Bug::AnyGrantee), Denied::RoleNotHeld)?;
            return Ok(Named::Role(*role));
        }
        Grantee::Emergency { .. } => return treats_in_an_emergency(ask).map(Named::Emergency),
    };
    let any = is(Bug::AnyGrantee);
    ensure((*party == ask.party && kind == wanted) || any, Denied::OtherGrantee)?;
    ensure(*key == ask.identity.key || any, Denied::OtherGranteeKey)?;
    Ok(named)
}

/// The roles that break glass.
pub(crate) const EMERGENCY_ROLES: &[Role] = &[Role::Physician, Role::Nurse];

/// The asker is a physician or nurse, of whichever member, and asks for emergency treatment.
fn treats_in_an_emergency(ask: &Ask<'_>) -> Result<Role, Denied> {
    let person = ask.identity.kind == PartyKind::Person;
    let held = EMERGENCY_ROLES.iter().find(|role| person && ask.identity.roles.contains(**role));
    let role = *held.ok_or(Denied::RoleNotHeld)?;
    ensure(ask.purpose == Purpose::Emergency, Denied::NotEmergency)?;
    Ok(role)
}

/// The patient's terms cover all that is asked, for this purpose, now.
fn within(grant: &Grant, ask: &Ask<'_>) -> Result<(), Denied> {
    ensure(grant.scope.classes.covers(ask.scope.classes), Denied::ClassNotGranted)?;
    let code = grant.scope.codes.covers(&ask.scope.codes) || is(Bug::CodesIgnored);
    ensure(code, Denied::CodeNotGranted)?;
    ensure(grant.scope.span.covers(&ask.scope.span), Denied::SpanNotGranted)?;
    let purposeful = grant.purposes.contains(ask.purpose) || is(Bug::PurposeIgnored);
    ensure(purposeful, Denied::PurposeNotGranted)?;
    ensure(ask.at >= grant.validity.from(), Denied::GrantNotYet)?;
    ensure(ask.at < grant.validity.until(), Denied::GrantExpired)
}

/// No rule of denial matches everything that is asked.
fn held_back(grant: &Grant, ask: &Ask<'_>) -> Result<Vec<Deny>, Denied> {
    let concerning = grant.denies.iter().filter(|deny| deny.concerns(ask.party, ask.purpose));
    let held_back: Vec<Deny> = concerning.cloned().collect();
    let everything = held_back.iter().any(|deny| deny.covers(ask.scope));
    ensure(!everything || is(Bug::DenyRuleIgnored), Denied::DeniedByRule)?;
    Ok(held_back)
}

pub(crate) fn ensure(holds: bool, denied: Denied) -> Result<(), Denied> {
    if holds { Ok(()) } else { Err(denied) }
}
