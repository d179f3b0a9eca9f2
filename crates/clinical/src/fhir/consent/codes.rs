//! The code systems of the profile and what their codes are to us.
//!
//! Promises that each table is read in both directions, so that what is read is what is written.
//! Refuses versions, displays and synonyms.

use salus_wire::{DataClass, MemberIndex, ObservationCode, Role};

/// One code of one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    /// Who gives out the code.
    pub(super) system: &'static str,
    /// The code.
    pub(super) code: &'static str,
}

/// HL7 v3 `ActCode`: policies and sensitivities.
pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// HL7 v3 `ActReason`: purposes of use.
pub(super) const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// LOINC.
pub(super) const LOINC: &str = "http://loinc.org";
/// ISO/IEEE 11073-10101.
pub(super) const MDC: &str = "urn:iso:std:iso:11073:10101";
/// Ours: the classes that are not sensitive.
pub(super) const DATA_CLASS: &str = "urn:salus:data-class";
/// Ours: registered persons, applications and gateways, in hexadecimal.
pub(super) const PARTY: &str = "urn:salus:party";
/// Ours: a member's index, a slash and the name of a role.
pub(super) const MEMBER_ROLE: &str = "urn:salus:member-role";

/// Consent to the use of one's data.
pub(super) const SCOPE: Coding =
    Coding { system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" };
/// A patient's consent. R4 binds `category` to a set that holds this code, and its examples use it.
pub(super) const CATEGORY: Coding = Coding { system: LOINC, code: "59284-0" };
/// Nothing is permitted but by consent.
pub(super) const POLICY: Coding = Coding { system: ACT_CODE, code: "OPTIN" };
/// Reading, which is all that a grant permits.
pub(super) const ACTION: Coding =
    Coding { system: "http://terminology.hl7.org/CodeSystem/consentaction", code: "access" };
/// The information recipient.
pub(super) const RECIPIENT: Coding = Coding { system: PARTICIPATION, code: "IRCP" };
/// The custodian, who keeps the data.
pub(super) const CUSTODIAN: Coding = Coding { system: PARTICIPATION, code: "CST" };

const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";

/// `Reference.type` of a person.
pub(super) const PERSON: &str = "Practitioner";
/// `Reference.type` of a role at a member.
pub(super) const ROLE: &str = "PractitionerRole";
/// `Reference.type` of an application and of a gateway.
pub(super) const DEVICE: &str = "Device";

/// The sensitivity that stands for a sensitive class, in `v3-ActCode`.
pub(super) const fn sensitivity(class: DataClass) -> Option<&'static str> {
    match class {
        DataClass::Vitals | DataClass::Waveform | DataClass::Glucose => None,
        DataClass::MentalHealth => Some("MH"),
        DataClass::SubstanceUse => Some("SUD"),
        DataClass::ReproductiveHealth => Some("SEX"),
    }
}

/// The system and code of a kind of observation.
pub(super) fn kind(code: ObservationCode) -> (&'static str, String) {
    match code {
        ObservationCode::Loinc(_) => (LOINC, code.to_string()),
        ObservationCode::Mdc(number) => (MDC, number.to_string()),
    }
}

/// How a code of this system is read as a kind of observation.
pub(super) fn kinds(system: &str) -> Option<fn(&str) -> Option<ObservationCode>> {
    match system {
        LOINC => Some(loinc),
        MDC => Some(mdc),
        _ => None,
    }
}

fn loinc(code: &str) -> Option<ObservationCode> {
    code.parse().ok().filter(|code| matches!(code, ObservationCode::Loinc(_)))
}

fn mdc(code: &str) -> Option<ObservationCode> {
    code.parse().ok().filter(|number: &u32| number.to_string() == code).map(ObservationCode::Mdc)
}

/// A member and a role, as in `0/nurse`.
pub(super) fn member_role(value: &str) -> Option<(MemberIndex, Role)> {
    let (member, name) = value.split_once('/')?;
    let role = Role::ALL.iter().copied().find(|role| role.name() == name)?;
    let index = member.parse().ok().filter(|index: &u16| index.to_string() == member)?;
    Some((MemberIndex::new(index), role))
}
