//! The table of refusals: what is changed in the fullest example, which element is named, and why.

use super::super::*;
use super::{PERSON, ROLE};
use serde_json::Value;

/// A place to put something, what to put there (nothing takes it away), and what is refused.
type Row = (&'static str, &'static str, &'static str, Why);

const HEAD: &[Row] = &[
    ("/resourceType", "", "Consent.resourceType", Why::Missing),
    ("/resourceType", "\"Patient\"", "Consent.resourceType", Why::Value),
    ("/id", "\"a b\"", "Consent.id", Why::Identifier),
    ("/id", "7", "Consent.id", Why::NotText),
    ("/id", "\"\"", "Consent.id", Why::Empty),
    ("/status", "", "Consent.status", Why::Missing),
    ("/status", "\"draft\"", "Consent.status", Why::Value),
    ("/status", "\"inactive\"", "Consent.status", Why::Value),
    ("/status", "null", "Consent.status", Why::NotText),
    ("/scope/coding/0/code", "\"research\"", "Consent.scope.coding[0].code", Why::Value),
    ("/scope/coding/0/display", "\"x\"", "Consent.scope.coding[0].display", Why::NotSupported),
    ("/scope/coding/0/version", "\"1\"", "Consent.scope.coding[0].version", Why::NotSupported),
    ("/scope/text", "\"x\"", "Consent.scope.text", Why::NotSupported),
    ("/category/0/coding/0/system", "\"urn:x\"", "Consent.category[0].coding[0].system", Why::Value),
    ("/category/1", "{}", "Consent.category[1]", Why::TooMany),
    ("/category", "{}", "Consent.category", Why::NotList),
    ("/patient", "", "Consent.patient", Why::Missing),
    ("/patient", "{}", "Consent.patient", Why::Empty),
    ("/patient/reference", "\"#p\"", "Consent.patient.reference", Why::Identifier),
    ("/patient/identifier", "{}", "Consent.patient.identifier", Why::TooMany),
    ("/patient/display", "\"x\"", "Consent.patient.display", Why::NotSupported),
    ("/dateTime", "\"2026-11-01\"", "Consent.dateTime", Why::Time),
    ("/dateTime", "\"2026-11-01T09:30:00\"", "Consent.dateTime", Why::Time),
    ("/dateTime", "\"1966-11-01T09:30:00Z\"", "Consent.dateTime", Why::TimeRange),
    ("/policyRule", "", "Consent.policyRule", Why::Missing),
    ("/policyRule/coding/0/code", "\"OPTOUT\"", "Consent.policyRule.coding[0].code", Why::Value),
    ("/policy", "[]", "Consent.policy", Why::NotSupported),
    ("/meta", "{}", "Consent.meta", Why::NotSupported),
    ("/text", "{}", "Consent.text", Why::NotSupported),
    ("/contained", "[]", "Consent.contained", Why::NotSupported),
    ("/implicitRules", "\"urn:x\"", "Consent.implicitRules", Why::NotSupported),
    ("/language", "\"de\"", "Consent.language", Why::NotSupported),
    ("/extension", "[]", "Consent.extension", Why::NotSupported),
    ("/modifierExtension", "[]", "Consent.modifierExtension", Why::NotSupported),
    ("/identifier", "[]", "Consent.identifier", Why::NotSupported),
    ("/performer", "[]", "Consent.performer", Why::NotSupported),
    ("/organization", "[]", "Consent.organization", Why::NotSupported),
    ("/sourceAttachment", "{}", "Consent.sourceAttachment", Why::NotSupported),
    ("/verification", "[]", "Consent.verification", Why::NotSupported),
    ("/_status", "{}", "Consent._status", Why::NotSupported),
    ("/_surname", "{}", "Consent", Why::NotSupported),
    ("/surname", "{}", "Consent", Why::NotSupported),
];

const PERMISSION: &[Row] = &[
    ("/provision", "", "Consent.provision", Why::Missing),
    ("/provision", "[]", "Consent.provision", Why::NotObject),
    ("/provision/type", "", "Consent.provision.type", Why::Missing),
    ("/provision/type", "\"deny\"", "Consent.provision.type", Why::Value),
    ("/provision/period", "", "Consent.provision.period", Why::Missing),
    ("/provision/period/start", "", "Consent.provision.period.start", Why::Missing),
    ("/provision/period/end", "", "Consent.provision.period.end", Why::Missing),
    ("/provision/period/end", "\"2027\"", "Consent.provision.period.end", Why::Time),
    ("/provision/period/end", "\"2026-10-31T23:59:59.999Z\"", "Consent.provision.period", Why::Span),
    ("/provision/period/_end", "{}", "Consent.provision.period._end", Why::NotSupported),
    ("/provision/actor", "", "Consent.provision.actor", Why::Missing),
    ("/provision/actor/1", "", "Consent.provision.actor", Why::Actors),
    ("/provision/actor/2", "{}", "Consent.provision.actor[2]", Why::TooMany),
    ("/provision/actor/1/role/coding/0/code", "\"IRCP\"", "Consent.provision.actor[1]", Why::Actors),
    (
        "/provision/actor/0/role/coding/0/code",
        "\"PRCP\"",
        "Consent.provision.actor[0].role.coding[0].code",
        Why::Value,
    ),
    (
        "/provision/actor/0/reference/type",
        "\"Group\"",
        "Consent.provision.actor[0].reference.type",
        Why::Value,
    ),
    (
        "/provision/actor/0/reference/type",
        "\"PractitionerRole\"",
        "Consent.provision.actor[0].reference.identifier.system",
        Why::Value,
    ),
    (
        "/provision/actor/0/reference/reference",
        "\"Practitioner/1\"",
        "Consent.provision.actor[0].reference.reference",
        Why::NotSupported,
    ),
    (
        "/provision/actor/0/reference/identifier/value",
        "\"1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A\"",
        "Consent.provision.actor[0].reference.identifier.value",
        Why::Identifier,
    ),
    (
        "/provision/actor/1/reference/type",
        "\"Practitioner\"",
        "Consent.provision.actor[1].reference.type",
        Why::Value,
    ),
    ("/provision/action", "", "Consent.provision.action", Why::Missing),
    (
        "/provision/action/0/coding/0/code",
        "\"disclose\"",
        "Consent.provision.action[0].coding[0].code",
        Why::Value,
    ),
    ("/provision/action/1", "{}", "Consent.provision.action[1]", Why::TooMany),
    ("/provision/purpose", "", "Consent.provision.purpose", Why::Missing),
    ("/provision/purpose/0/code", "\"HMARKT\"", "Consent.provision.purpose[0].code", Why::Value),
    ("/provision/purpose/2/code", "\"TREAT\"", "Consent.provision.purpose[2]", Why::Repeated),
    ("/provision/data", "[]", "Consent.provision.data", Why::NotSupported),
];

const SCOPE: &[Row] = &[
    ("/provision/class", "", "Consent.provision.class", Why::Missing),
    ("/provision/class", "[]", "Consent.provision.class", Why::Empty),
    ("/provision/class/0/code", "\"mental-health\"", "Consent.provision.class[0].code", Why::Value),
    ("/provision/class/1/code", "\"vitals\"", "Consent.provision.class[1]", Why::Repeated),
    ("/provision/class/3", "{}", "Consent.provision.class[3]", Why::TooMany),
    ("/provision/securityLabel", "[]", "Consent.provision.securityLabel", Why::Sensitive),
    ("/provision/code/0/coding/0/code", "\"8867-5\"", "Consent.provision.code[0].coding[0].code", Why::Value),
    (
        "/provision/code/0/coding/0/code",
        "\"mdc:131329\"",
        "Consent.provision.code[0].coding[0].code",
        Why::Value,
    ),
    (
        "/provision/code/0/coding/0/system",
        "\"http://snomed.info/sct\"",
        "Consent.provision.code[0].coding[0].system",
        Why::Value,
    ),
    (
        "/provision/code/2/coding/0/code",
        "\"0131330\"",
        "Consent.provision.code[2].coding[0].code",
        Why::Value,
    ),
    ("/provision/code/0/coding/1", "{}", "Consent.provision.code[0].coding[1]", Why::TooMany),
    ("/provision/code/1/coding/0/code", "\"8867-4\"", "Consent.provision.code[1]", Why::Repeated),
    ("/provision/code", "[0,0,0,0,0,0,0,0,0]", "Consent.provision.code[8]", Why::TooMany),
    ("/provision/dataPeriod", "", "Consent.provision.dataPeriod", Why::Missing),
    ("/provision/dataPeriod/start", "", "Consent.provision.dataPeriod.start", Why::Missing),
    ("/provision/dataPeriod/end", "\"2026-09-30T00:00:00Z\"", "Consent.provision.dataPeriod", Why::Span),
];

const DENIES: &[Row] = &[
    ("/provision/provision", "[]", "Consent.provision.provision", Why::Empty),
    ("/provision/provision", "[0,0,0,0,0]", "Consent.provision.provision[4]", Why::TooMany),
    ("/provision/provision/1", "{}", "Consent.provision.provision[1]", Why::Empty),
    ("/provision/provision/1/type", "\"permit\"", "Consent.provision.provision[1].type", Why::Value),
    ("/provision/provision/1/action", "", "Consent.provision.provision[1].action", Why::Missing),
    ("/provision/provision/1/action/0", "7", "Consent.provision.provision[1].action[0]", Why::NotObject),
    ("/provision/provision/1/period", "{}", "Consent.provision.provision[1].period", Why::NotSupported),
    ("/provision/provision/1/provision", "[]", "Consent.provision.provision[1].provision", Why::NotSupported),
    ("/provision/provision/1/class", "[]", "Consent.provision.provision[1].securityLabel", Why::Sensitive),
    (
        "/provision/provision/1/securityLabel/1",
        "{}",
        "Consent.provision.provision[1].securityLabel[1]",
        Why::Sensitive,
    ),
    (
        "/provision/provision/1/securityLabel/0/code",
        "\"HIV\"",
        "Consent.provision.provision[1].securityLabel[0].code",
        Why::Value,
    ),
    ("/provision/provision/0/actor/1", "{}", "Consent.provision.provision[0].actor[1]", Why::TooMany),
    (
        "/provision/provision/0/actor/0/role/coding/0/code",
        "\"CST\"",
        "Consent.provision.provision[0].actor[0].role.coding[0].code",
        Why::Value,
    ),
    (
        "/provision/provision/0/actor/0/reference/type",
        "\"Practitioner\"",
        "Consent.provision.provision[0].actor[0].reference.type",
        Why::NotSupported,
    ),
    (
        "/provision/provision/0/actor/0/reference/identifier/system",
        "\"urn:salus:member-role\"",
        "Consent.provision.provision[0].actor[0].reference.identifier.system",
        Why::Value,
    ),
    (
        "/provision/provision/0/dataPeriod/end",
        "\"2026-12-23T23:59:59Z\"",
        "Consent.provision.provision[0].dataPeriod",
        Why::Span,
    ),
];

/// Rows against the example for a role.
const ROLES: &[Row] = &[
    ("/patient/identifier/value", "\" x\"", "Consent.patient.identifier.value", Why::Identifier),
    ("/patient/identifier/use", "\"usual\"", "Consent.patient.identifier.use", Why::NotSupported),
    ("/provision/securityLabel/1", "{}", "Consent.provision.securityLabel[1]", Why::Sensitive),
    ("/provision/class", "[]", "Consent.provision.securityLabel", Why::Sensitive),
    ("/provision/securityLabel", "", "Consent.provision.class", Why::Missing),
    ("/provision/securityLabel/0/code", "\"PSY\"", "Consent.provision.securityLabel[0].code", Why::Value),
    (
        "/provision/actor/0/reference/identifier/value",
        "\"0/surgeon\"",
        "Consent.provision.actor[0].reference.identifier.value",
        Why::Identifier,
    ),
    (
        "/provision/actor/0/reference/identifier/value",
        "\"00/nurse\"",
        "Consent.provision.actor[0].reference.identifier.value",
        Why::Identifier,
    ),
    (
        "/provision/actor/0/reference/identifier/value",
        "\"65536/nurse\"",
        "Consent.provision.actor[0].reference.identifier.value",
        Why::Identifier,
    ),
];

/// Puts `value` at `pointer` (RFC 6901), or takes away what is there.
fn edit(json: &mut Value, pointer: &str, value: Option<Value>) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match (json.pointer_mut(parent).unwrap(), value) {
        (Value::Object(members), Some(value)) => drop(members.insert(last.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(last).unwrap()),
        (Value::Array(items), Some(value)) => {
            let at: usize = last.parse().unwrap();
            if at == items.len() { items.push(value) } else { items[at] = value }
        }
        (Value::Array(items), None) => drop(items.remove(last.parse().unwrap())),
        _ => panic!("{pointer} leads nowhere"),
    }
}

fn check(example: &str, rows: &[Row]) {
    for (pointer, put, element, why) in rows {
        let mut json: Value = serde_json::from_str(example).unwrap();
        let value = (!put.is_empty()).then(|| serde_json::from_str(put).unwrap());
        edit(&mut json, pointer, value);
        let refused = read(json.to_string().as_bytes()).unwrap_err();
        assert_eq!((refused.element(), refused.why()), (*element, *why), "{put} at {pointer}");
    }
}

#[test]
fn the_element_is_named() {
    for rows in [HEAD, PERMISSION, SCOPE, DENIES] {
        check(PERSON, rows);
    }
    check(ROLE, ROLES);
}

/// What is replaced in the text, for what a JSON value cannot say.
const TEXTS: &[(&str, &str, &str, Why)] = &[
    ("\"status\"", "\"status\": \"active\", \"status\"", "Consent.status", Why::Repeated),
    ("\"period\": {", "\"period\": {\"end\": 1,", "Consent.provision.period.end", Why::Repeated),
    ("\"status\"", "\"surname\": 1, \"surname\": 2, \"status\"", "Consent", Why::NotSupported),
    ("\"status\"", "status", "Consent", Why::NotJson),
    ("\"active\"", "[[[[[[[[[[[[[[]]]]]]]]]]]]]]", "Consent", Why::TooDeep),
    ("}\n", "}{}", "Consent", Why::NotJson),
    ("\"active\"", "\"\\ud800\"", "Consent", Why::NotJson),
];

#[test]
fn texts_that_are_no_value_are_refused() {
    for (from, to, element, why) in TEXTS {
        let text =
            if *from == "}\n" { PERSON.trim_end().to_owned() + "{}" } else { PERSON.replacen(from, to, 1) };
        let refused = read(text.as_bytes()).unwrap_err();
        assert_eq!((refused.element(), refused.why()), (*element, *why), "{to}");
    }
    let padded = PERSON.to_owned() + &" ".repeat(BYTES_MAX + 1 - PERSON.len());
    assert_eq!(read(padded.as_bytes()).unwrap_err().why(), Why::TooLarge);
    assert!(read(&padded.as_bytes()[..BYTES_MAX]).is_ok());
    assert_eq!(read(b"[]").unwrap_err().why(), Why::NotObject);
    assert_eq!(read(b"null").unwrap_err().why(), Why::NotObject);
}

#[test]
fn the_whole_table_has_many_rows() {
    let tables = [HEAD, PERMISSION, SCOPE, DENIES, ROLES];
    assert!(tables.iter().map(|rows| rows.len()).sum::<usize>() >= 40);
}

#[test]
fn a_refusal_is_one_plain_sentence() {
    let refused = read(PERSON.replace("\"active\"", "\"draft\"").as_bytes()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`Consent.status` of the consent is refused: a value that is not supported"
    );
}
