//! A patient's consent: FHIR R4 (4.0.1) `Consent` in and out. This is the profile; `spec/consent.md`
//! says the same to a stranger.
//!
//! **What it is for.** A patient, or the system they use, writes a `Consent`; a later step adds keys
//! and salts, which FHIR has not, and makes a [`Grant`](salus_wire::Grant) of it. What a grant cannot
//! hold, a consent may not say: there is no element that is read and dropped.
//!
//! **Elements.** `!` must be there, `?` may be, and nothing else may. In a coding stand `system` and
//! `code` alone, in a concept one coding, in an identifier `system` and `value` alone.
//!
//! ```text
//! resourceType ! "Consent"
//! id           ? kept for the patient
//! status       ! "active"
//! scope        ! consentscope#patient-privacy
//! category     ! one: LOINC 59284-0
//! patient      ! reference, or identifier: kept for the patient
//! dateTime     ! when it was given
//! policyRule   ! v3-ActCode#OPTIN
//! provision    !
//!   type          ! "permit"
//!   period        ! start !, end !: when anything is permitted, in block time
//!   actor         ! two: the recipient (v3-ParticipationType#IRCP) and the custodian (#CST)
//!     reference     ! type ! and identifier ! : Practitioner or Device with urn:salus:party,
//!                     PractitionerRole with urn:salus:member-role; the custodian is a Device
//!   action        ! one: consentaction#access
//!   securityLabel ? one: v3-ActCode#MH, #SUD or #SEX, without class
//!   purpose       ! v3-ActReason, the codes of Purpose
//!   class         ? urn:salus:data-class, without securityLabel; one of the two must be there
//!   code          ? LOINC or MDC, at most CODES_MAX; without it, every kind
//!   dataPeriod    ! start !, end ?: when the data was measured
//!   provision     ? at most DENIES_MAX, each:
//!     type          ! "deny"
//!     actor         ? one recipient: identifier ! with urn:salus:party
//!     action        ! as above
//!     securityLabel, purpose, class, code, dataPeriod ? as above; without one, whatever it is
//! ```
//!
//! **Time.** A `dateTime` has seconds or milliseconds, and an offset. A span of ours excludes its
//! `until`, a `Period` includes its `end`: `until` is the first millisecond that does not match `end`,
//! and `end` is written as the millisecond before `until`. An `end` written to the second therefore
//! includes that whole second (FHIR R4, `Period.end`). A `Period` without `end` is ongoing; only
//! `dataPeriod` may be that, and stands for an `until` of `u64::MAX`. A permission must end
//! (45 CFR 164.508(c)(1)(v)).
//!
//! **The writer** is an actor with the role of custodian and not `Consent.organization`: that one
//! manages the consent, and here nobody does but the patient and the ledger. The gateway keeps the
//! data that the rule is about, and is a device and no organisation.
//!
//! **What is not kept**: the order of actors, purposes, classes and codes, the offset of a time and
//! whether its milliseconds were written. They are written out in one form: order of our sets, UTC,
//! milliseconds, elements in FHIR's order.
//!
//! **Deviations.** R4's text has `type` in nested provisions alone, its users in the outer one too; here
//! it must be there, so that no denial is taken for a permission. R4's binding of `purpose` wants an
//! access to have all the purposes listed; here, as in a grant and as others use it, each of them is
//! enough. Several actors are not alternatives here. A denial is what R4 makes of a nested provision, an
//! exception to the one around it: it outranks that permission, and says nothing of another consent.
//!
//! **Safety.** A consent is read once, strictly, and what is unknown refuses it as a whole: a denial, a
//! limit or a modifier that was overlooked would open what the patient closed. A sensitive class
//! stands alone ([`Classes`](salus_wire::Classes)). No refusal and no `Debug` repeats what a consent
//! says of a patient.

mod codes;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use super::moment;
use super::opaque::{ConsentId, Plain, Uri};
use super::refused::{ConsentRefused, Element, Why};
use salus_wire::consent::DENIES_MAX;
use salus_wire::{Deny, List, MemberIndex, PartyId, Purposes, Role, Scope, TimeMs, TimeSpan};

/// Bytes of one consent.
pub const BYTES_MAX: usize = 64 * 1024;
/// Objects and arrays within each other. The profile itself goes nine deep.
pub const DEPTH_MAX: usize = 12;

/// A consent, complete and such that it can be written: made by [`read`] or [`ConsentTerms::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentTerms(ConsentParts);

/// What a consent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentParts {
    /// `Consent.id`. The patient keeps it; it is never on the ledger.
    pub id: Option<ConsentId>,
    /// `Consent.patient`. The patient keeps it; it is never on the ledger.
    pub patient: Patient,
    /// `Consent.dateTime`. The patient keeps it; it is never on the ledger.
    pub given: TimeMs,
    /// The gateway whose data this opens.
    pub writer: PartyId,
    /// Who may read.
    pub actor: Actor,
    /// What may be read.
    pub scope: Scope,
    /// For which purposes.
    pub purposes: Purposes,
    /// Block time during which anything may be read.
    pub validity: TimeSpan,
    /// What may not be read after all.
    pub denies: List<Deny, DENIES_MAX>,
}

/// Whose consent it is, in the words of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patient {
    /// `Reference.reference`.
    Reference(Uri),
    /// `Reference.identifier`.
    Identifier {
        /// Who gave it out.
        system: Uri,
        /// The identifier itself.
        value: Plain,
    },
}

/// Who may read, without the key that a grant adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// One person.
    Person(PartyId),
    /// Whoever a member has registered in a role.
    Role {
        /// The member.
        member: MemberIndex,
        /// The role.
        role: Role,
    },
    /// One application.
    Application(PartyId),
}

/// Reads a consent.
///
/// # Errors
/// The first element that is not of the profile, and why.
pub fn read(json: &[u8]) -> Result<ConsentTerms, ConsentRefused> {
    ConsentTerms::new(reader::read(json)?)
}

/// Writes a consent as JSON, on one line and in its one form.
#[must_use]
pub fn write(terms: &ConsentTerms) -> String {
    writer::write(&terms.0).to_string()
}

impl ConsentTerms {
    /// The terms, if FHIR can write their times: `dateTime` and `period` within the years 1970 to 9999,
    /// and data periods too unless they go on to `u64::MAX`.
    ///
    /// # Errors
    /// The element that could not be written.
    pub fn new(parts: ConsentParts) -> Result<Self, ConsentRefused> {
        let rule = Element::root().child("provision");
        writable(parts.given, || Element::root().child("dateTime"))?;
        writable(moment::last_before(parts.validity.until()), || rule.child("period"))?;
        data_period(&parts.scope.span, || rule.child("dataPeriod"))?;
        for (deny, at) in parts.denies.iter().zip(0..) {
            if let Some(span) = &deny.span {
                data_period(span, || rule.child("provision").item(at).child("dataPeriod"))?;
            }
        }
        Ok(Self(parts))
    }

    /// What they say.
    #[must_use]
    pub const fn parts(&self) -> &ConsentParts {
        &self.0
    }

    /// What they say, to keep.
    #[must_use]
    pub fn into_parts(self) -> ConsentParts {
        self.0
    }
}

fn data_period(span: &TimeSpan, element: impl Fn() -> Element) -> Result<(), ConsentRefused> {
    writable(span.from(), &element)?;
    if span.until() == ONGOING {
        return Ok(());
    }
    writable(moment::last_before(span.until()), element)
}

fn writable(time: TimeMs, element: impl Fn() -> Element) -> Result<(), ConsentRefused> {
    let written = moment::write(time).ok_or_else(|| ConsentRefused::new(element(), Why::TimeRange))?;
    debug_assert!(moment::read(&written).is_ok_and(|moment| moment.first == time));
    Ok(())
}

/// The end of what goes on.
const ONGOING: TimeMs = TimeMs::new(u64::MAX);
