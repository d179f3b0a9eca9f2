//! From the parts of a consent to JSON, in the one form.
//!
//! Promises the order of elements of the FHIR specification, the order of our sets, and times in UTC
//! to the millisecond. Refuses to write anything that the reader would not take.

use super::codes::{self, Coding};
use super::{Actor, ConsentParts, ONGOING, Patient};
use crate::fhir::json::Json;
use crate::fhir::moment;
use salus_wire::{Classes, Codes, Deny, PartyId, Purposes, TimeMs, TimeSpan};

type Members = Vec<(String, Json)>;

/// The consent.
pub(super) fn write(parts: &ConsentParts) -> Json {
    let id = parts.id.as_ref().map(|id| member("id", text(id.as_str())));
    let rest = [
        member("status", text("active")),
        member("scope", concept(codes::SCOPE)),
        member("category", Json::List(vec![concept(codes::CATEGORY)])),
        member("patient", patient(&parts.patient)),
        member("dateTime", time(parts.given)),
        member("policyRule", concept(codes::POLICY)),
        member("provision", permission(parts)),
    ];
    let members = [member("resourceType", text("Consent"))].into_iter().chain(id).chain(rest);
    Json::Object(members.collect())
}

fn patient(patient: &Patient) -> Json {
    let member = match patient {
        Patient::Reference(reference) => member("reference", text(reference.as_str())),
        Patient::Identifier { system, value } => {
            member("identifier", identifier(system.as_str(), value.as_str()))
        }
    };
    Json::Object(vec![member])
}

fn permission(parts: &ConsentParts) -> Json {
    let actors = vec![recipient(&parts.actor), custodian(parts.writer)];
    let scope = &parts.scope;
    let head = [
        member("type", text("permit")),
        member("period", period(&parts.validity)),
        member("actor", Json::List(actors)),
        action(),
    ];
    let denies: Vec<Json> = parts.denies.iter().map(denial).collect();
    let denies = (!denies.is_empty()).then(|| member("provision", Json::List(denies)));
    let members = head
        .into_iter()
        .chain(data(Some(scope.classes), Some(parts.purposes), &scope.codes, Some(&scope.span)))
        .chain(denies);
    Json::Object(members.collect())
}

fn denial(deny: &Deny) -> Json {
    let party = deny.party.map(|party| member("actor", Json::List(vec![denied(party)])));
    let members = [member("type", text("deny"))].into_iter().chain(party).chain([action()]).chain(data(
        deny.classes,
        deny.purposes,
        &deny.codes,
        deny.span.as_ref(),
    ));
    Json::Object(members.collect())
}

/// The elements that say of what data and why a rule speaks, those that there are.
fn data(
    classes: Option<Classes>,
    purposes: Option<Purposes>,
    kinds: &Codes,
    span: Option<&TimeSpan>,
) -> Members {
    let purposes = purposes.into_iter().flat_map(Purposes::iter);
    let kinds = kinds.listed().iter().map(|kind| {
        let (system, code) = codes::kind(*kind);
        in_concept(coding(system, &code))
    });
    let elements = [
        list("securityLabel", labels(classes)),
        list("purpose", purposes.map(|purpose| coding(codes::ACT_REASON, purpose.code())).collect()),
        list("class", ordinary(classes)),
        list("code", kinds.collect()),
        span.map(|span| member("dataPeriod", period(span))),
    ];
    elements.into_iter().flatten().collect()
}

fn labels(classes: Option<Classes>) -> Vec<Json> {
    let sensitive = classes.into_iter().flat_map(Classes::iter).filter_map(codes::sensitivity);
    sensitive.map(|code| coding(codes::ACT_CODE, code)).collect()
}

fn ordinary(classes: Option<Classes>) -> Vec<Json> {
    let ordinary = classes.into_iter().flat_map(Classes::iter).filter(|class| !class.is_sensitive());
    ordinary.map(|class| coding(codes::DATA_CLASS, class.name())).collect()
}

fn recipient(actor: &Actor) -> Json {
    let reference = match actor {
        Actor::Person(party) => reference(codes::PERSON, codes::PARTY, &party.to_string()),
        Actor::Application(party) => reference(codes::DEVICE, codes::PARTY, &party.to_string()),
        Actor::Role { member, role } => {
            reference(codes::ROLE, codes::MEMBER_ROLE, &format!("{member}/{}", role.name()))
        }
    };
    in_role(codes::RECIPIENT, reference)
}

fn custodian(writer: PartyId) -> Json {
    in_role(codes::CUSTODIAN, reference(codes::DEVICE, codes::PARTY, &writer.to_string()))
}

/// A denied party may be a person or an application: which, a denial does not say.
fn denied(party: PartyId) -> Json {
    let identifier = identifier(codes::PARTY, &party.to_string());
    in_role(codes::RECIPIENT, Json::Object(vec![member("identifier", identifier)]))
}

fn in_role(role: Coding, reference: Json) -> Json {
    Json::Object(vec![member("role", concept(role)), member("reference", reference)])
}

fn reference(kind: &str, system: &str, value: &str) -> Json {
    Json::Object(vec![member("type", text(kind)), member("identifier", identifier(system, value))])
}

fn identifier(system: &str, value: &str) -> Json {
    Json::Object(vec![member("system", text(system)), member("value", text(value))])
}

fn action() -> (String, Json) {
    member("action", Json::List(vec![concept(codes::ACTION)]))
}

fn concept(code: Coding) -> Json {
    in_concept(coding(code.system, code.code))
}

fn in_concept(coding: Json) -> Json {
    Json::Object(vec![member("coding", Json::List(vec![coding]))])
}

fn coding(system: &str, code: &str) -> Json {
    Json::Object(vec![member("system", text(system)), member("code", text(code))])
}

fn period(span: &TimeSpan) -> Json {
    let end = (span.until() != ONGOING).then(|| member("end", time(moment::last_before(span.until()))));
    Json::Object([member("start", time(span.from()))].into_iter().chain(end).collect())
}

/// A time that [`super::ConsentTerms::new`] has seen to be writable.
fn time(time: TimeMs) -> Json {
    Json::Text(moment::write(time).unwrap_or_default())
}

fn list(name: &str, items: Vec<Json>) -> Option<(String, Json)> {
    (!items.is_empty()).then(|| member(name, Json::List(items)))
}

fn member(name: &str, json: Json) -> (String, Json) {
    (name.to_owned(), json)
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}
