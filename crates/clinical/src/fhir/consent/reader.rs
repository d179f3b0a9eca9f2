//! From JSON to the parts of a consent.
//!
//! Promises that each element of the profile is asked for in one place, and that an object with any
//! other is refused there. Refuses to judge whether the parts can be written again: the caller does.

use super::codes::{self, Coding};
use super::{Actor, BYTES_MAX, ConsentParts, DEPTH_MAX, ONGOING, Patient};
use crate::fhir::json::{self, Node, Slot};
use crate::fhir::moment::{self, Moment};
use crate::fhir::opaque::{ConsentId, Plain, Uri};
use crate::fhir::refused::{ConsentRefused, Why};
use salus_wire::consent::DENIES_MAX;
use salus_wire::scope::CODES_MAX;
use salus_wire::{
    Classes, Codes, DataClass, Deny, List, ObservationCode, PartyId, Purpose, Purposes, Scope, TimeMs,
    TimeSpan,
};

type Read<T> = Result<T, ConsentRefused>;

/// Reads a consent.
pub(super) fn read(json: &[u8]) -> Read<ConsentParts> {
    let [kind, id, status, scope, category, patient, given, policy, provision] =
        json::parse(json, BYTES_MAX, DEPTH_MAX)?.members([
            "resourceType",
            "id",
            "status",
            "scope",
            "category",
            "patient",
            "dateTime",
            "policyRule",
            "provision",
        ])?;
    kind.need()?.fixed("Consent")?;
    let id = id.take().map(|id| id.text(|text| ConsentId::new(text).ok_or(Why::Identifier))).transpose()?;
    status.need()?.fixed("active")?;
    fixed_concept(scope.need()?, codes::SCOPE)?;
    fixed_concept(category.need()?.only()?, codes::CATEGORY)?;
    let patient = read_patient(patient.need()?)?;
    let given = given.need()?.text(moment::read)?.first;
    fixed_concept(policy.need()?, codes::POLICY)?;
    let permission = permission(provision.need()?)?;
    Ok(ConsentParts {
        id,
        patient,
        given,
        writer: permission.writer,
        actor: permission.actor,
        scope: permission.scope,
        purposes: permission.purposes,
        validity: permission.validity,
        denies: permission.denies,
    })
}

fn read_patient(node: Node) -> Read<Patient> {
    let nobody = node.refuse(Why::Missing);
    let [reference, identifier] = node.members(["reference", "identifier"])?;
    match (reference.take(), identifier.take()) {
        (Some(reference), None) => reference.text(uri).map(Patient::Reference),
        (None, Some(identifier)) => named_patient(identifier),
        (Some(_), Some(identifier)) => Err(identifier.refuse(Why::TooMany)),
        (None, None) => Err(nobody),
    }
}

fn named_patient(node: Node) -> Read<Patient> {
    let [system, value] = node.members(["system", "value"])?;
    let system = system.need()?.text(uri)?;
    let value = value.need()?.text(|text| Plain::new(text).ok_or(Why::Identifier))?;
    Ok(Patient::Identifier { system, value })
}

/// What the outer provision says.
struct Permission {
    writer: PartyId,
    actor: Actor,
    scope: Scope,
    purposes: Purposes,
    validity: TimeSpan,
    denies: List<Deny, DENIES_MAX>,
}

fn permission(node: Node) -> Read<Permission> {
    let [kind, period, actor, action, label, purpose, class, code, data_period, provision] =
        node.members([
            "type",
            "period",
            "actor",
            "action",
            "securityLabel",
            "purpose",
            "class",
            "code",
            "dataPeriod",
            "provision",
        ])?;
    kind.need()?.fixed("permit")?;
    let validity = closed_period(period.need()?)?;
    let (actor, writer) = actors(actor.need()?)?;
    fixed_concept(action.need()?.only()?, codes::ACTION)?;
    let purposes = purposes(purpose.need()?)?;
    let no_class = class.refuse(Why::Missing);
    let classes = classes(label, class)?.ok_or(no_class)?;
    let codes = kinds(code)?;
    let span = data_period_of(data_period.need()?)?;
    let scope = Scope { classes, codes, span };
    Ok(Permission { writer, actor, scope, purposes, validity, denies: denies(provision)? })
}

fn denies(slot: Slot) -> Read<List<Deny, DENIES_MAX>> {
    let too_many = slot.refuse(Why::TooMany);
    let Some(node) = slot.take() else {
        return Ok(List::empty());
    };
    let denies = node.items(DENIES_MAX)?.into_iter().map(denial).collect::<Read<Vec<Deny>>>()?;
    List::new(denies).map_err(|_| too_many)
}

fn denial(node: Node) -> Read<Deny> {
    let [kind, actor, action, label, purpose, class, code, data_period] =
        node.members(["type", "actor", "action", "securityLabel", "purpose", "class", "code", "dataPeriod"])?;
    kind.need()?.fixed("deny")?;
    let party = actor.take().map(denied_party).transpose()?;
    fixed_concept(action.need()?.only()?, codes::ACTION)?;
    Ok(Deny {
        party,
        purposes: purpose.take().map(purposes).transpose()?,
        classes: classes(label, class)?,
        codes: kinds(code)?,
        span: data_period.take().map(data_period_of).transpose()?,
    })
}

/// What an actor does in the rule.
enum Part {
    Recipient,
    Custodian,
}

fn actors(node: Node) -> Read<(Actor, PartyId)> {
    let incomplete = node.refuse(Why::Actors);
    let (mut recipient, mut custodian) = (None, None);
    for item in node.items(2)? {
        let twice = item.refuse(Why::Actors);
        let (part, reference) = actor(item)?;
        let before = match part {
            Part::Recipient => recipient.replace(read_recipient(reference)?).is_some(),
            Part::Custodian => custodian.replace(read_custodian(reference)?).is_some(),
        };
        if before {
            return Err(twice);
        }
    }
    recipient.zip(custodian).ok_or(incomplete)
}

fn actor(node: Node) -> Read<(Part, Node)> {
    let [role, reference] = node.members(["role", "reference"])?;
    let [coding] = role.need()?.members(["coding"])?;
    let [system, code] = coding.need()?.only()?.members(["system", "code"])?;
    system.need()?.fixed(codes::RECIPIENT.system)?;
    let part = code.need()?.text(|code| {
        let parts = [(codes::RECIPIENT, Part::Recipient), (codes::CUSTODIAN, Part::Custodian)];
        parts.into_iter().find(|(coding, _)| coding.code == code).map(|(_, part)| part).ok_or(Why::Value)
    })?;
    Ok((part, reference.need()?))
}

fn denied_party(node: Node) -> Read<PartyId> {
    let [role, reference] = node.only()?.members(["role", "reference"])?;
    fixed_concept(role.need()?, codes::RECIPIENT)?;
    let [identifier] = reference.need()?.members(["identifier"])?;
    party(identifier)
}

/// The types of a recipient.
enum Recipient {
    Person,
    Role,
    Application,
}

fn read_recipient(node: Node) -> Read<Actor> {
    let [kind, identifier] = node.members(["type", "identifier"])?;
    let kind = kind.need()?.text(|text| match text {
        codes::PERSON => Ok(Recipient::Person),
        codes::ROLE => Ok(Recipient::Role),
        codes::DEVICE => Ok(Recipient::Application),
        _ => Err(Why::Value),
    })?;
    match kind {
        Recipient::Person => party(identifier).map(Actor::Person),
        Recipient::Application => party(identifier).map(Actor::Application),
        Recipient::Role => {
            let value = value_in(identifier, codes::MEMBER_ROLE)?;
            let (member, role) = value.text(|text| codes::member_role(text).ok_or(Why::Identifier))?;
            Ok(Actor::Role { member, role })
        }
    }
}

fn read_custodian(node: Node) -> Read<PartyId> {
    let [kind, identifier] = node.members(["type", "identifier"])?;
    kind.need()?.fixed(codes::DEVICE)?;
    party(identifier)
}

fn party(identifier: Slot) -> Read<PartyId> {
    value_in(identifier, codes::PARTY)?.text(|text| text.parse().map_err(|_| Why::Identifier))
}

/// The value of an identifier of this system.
fn value_in(identifier: Slot, expected: &str) -> Read<Node> {
    let [system, value] = identifier.need()?.members(["system", "value"])?;
    system.need()?.fixed(expected)?;
    value.need()
}

fn purposes(node: Node) -> Read<Purposes> {
    let empty = node.refuse(Why::Empty);
    let purposes = set(node, Purpose::ALL.len(), |item| {
        code_in(item, codes::ACT_REASON, |code| {
            Purpose::ALL.iter().find(|known| known.code() == code).copied()
        })
    })?;
    Purposes::of(&purposes).ok_or(empty)
}

/// The classes, which stand in one of two elements.
fn classes(label: Slot, class: Slot) -> Read<Option<Classes>> {
    match (label.take(), class.take()) {
        (None, None) => Ok(None),
        (Some(label), None) => sensitive(label).map(Some),
        (None, Some(class)) => ordinary(class).map(Some),
        (Some(label), Some(_)) => Err(label.refuse(Why::Sensitive)),
    }
}

fn sensitive(node: Node) -> Read<Classes> {
    let empty = node.refuse(Why::Empty);
    let mut labels = node.items(DataClass::ALL.len())?.into_iter();
    let (first, second) = (labels.next(), labels.next());
    if let Some(second) = second {
        return Err(second.refuse(Why::Sensitive));
    }
    let label = first.ok_or_else(|| empty.clone())?;
    let of_code = |code: &str| {
        DataClass::ALL
            .iter()
            .copied()
            .find(|class| codes::sensitivity(*class).is_some_and(|known| known == code))
    };
    Classes::of(&[code_in(label, codes::ACT_CODE, of_code)?]).ok_or(empty)
}

fn ordinary(node: Node) -> Read<Classes> {
    let empty = node.refuse(Why::Empty);
    let of_code = |code: &str| DataClass::ORDINARY.iter().copied().find(|class| class.name() == code);
    let classes = set(node, DataClass::ORDINARY.len(), |item| code_in(item, codes::DATA_CLASS, of_code))?;
    Classes::of(&classes).ok_or(empty)
}

fn kinds(slot: Slot) -> Read<Codes> {
    let empty = slot.refuse(Why::Empty);
    let Some(node) = slot.take() else {
        return Ok(Codes::All);
    };
    Codes::only(&set(node, CODES_MAX, kind)?).ok_or(empty)
}

fn kind(node: Node) -> Read<ObservationCode> {
    let [coding] = node.members(["coding"])?;
    let [system, code] = coding.need()?.only()?.members(["system", "code"])?;
    let of_code = system.need()?.text(|system| codes::kinds(system).ok_or(Why::Value))?;
    code.need()?.text(|code| of_code(code).ok_or(Why::Value))
}

/// The elements of an array in which none comes twice.
fn set<T: PartialEq>(node: Node, max: usize, read: impl Fn(Node) -> Read<T>) -> Read<Vec<T>> {
    let mut found = Vec::new();
    for item in node.items(max)? {
        let repeated = item.refuse(Why::Repeated);
        let item = read(item)?;
        if found.contains(&item) {
            return Err(repeated);
        }
        found.push(item);
    }
    Ok(found)
}

/// What a coding of this system means.
fn code_in<T>(coding: Node, expected: &str, meaning: impl FnOnce(&str) -> Option<T>) -> Read<T> {
    let [system, code] = coding.members(["system", "code"])?;
    system.need()?.fixed(expected)?;
    code.need()?.text(|code| meaning(code).ok_or(Why::Value))
}

fn fixed_concept(node: Node, expected: Coding) -> Read<()> {
    let [coding] = node.members(["coding"])?;
    code_in(coding.need()?.only()?, expected.system, |code| (code == expected.code).then_some(()))
}

/// A period with both its ends.
fn closed_period(node: Node) -> Read<TimeSpan> {
    let reversed = node.refuse(Why::Span);
    let [start, end] = node.members(["start", "end"])?;
    let (start, end) = (time(start)?, time(end)?);
    span(start.first, end.after, reversed)
}

/// A period that may go on.
fn data_period_of(node: Node) -> Read<TimeSpan> {
    let reversed = node.refuse(Why::Span);
    let [start, end] = node.members(["start", "end"])?;
    let start = time(start)?;
    let end = end.take().map(|end| end.text(moment::read)).transpose()?;
    span(start.first, end.map_or(ONGOING, |end| end.after), reversed)
}

fn time(slot: Slot) -> Read<Moment> {
    slot.need()?.text(moment::read)
}

fn span(from: TimeMs, until: TimeMs, reversed: ConsentRefused) -> Read<TimeSpan> {
    TimeSpan::new(from, until).ok_or(reversed)
}

fn uri(text: &str) -> Result<Uri, Why> {
    Uri::new(text).ok_or(Why::Identifier)
}
