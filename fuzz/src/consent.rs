//! What patients' systems send as consents. The promises: nothing panics; a refusal names an element
//! and repeats nothing; accepted terms survive being written, and there is one way of writing them.

use crate::targets::Seed;
use salus_clinical::fhir::consent;

/// Bytes of the longest path of an element that there is, and some.
const ELEMENT_BYTES_MAX: usize = 128;

/// Three that are good: of a person with denials, of a role, of an application.
const GOOD: &[(&str, &str)] = &[
    ("person", include_str!("../../vectors/consent/good/person.json")),
    ("role", include_str!("../../vectors/consent/good/role.json")),
    ("application", include_str!("../../vectors/consent/good/application.json")),
];

/// One change to the first, and what becomes of it.
const NEARLY: &[(&str, &str, &str)] = &[
    ("twice", "\"status\"", "\"status\": \"active\", \"status\""),
    ("draft", "\"active\"", "\"draft\""),
    ("number", "\"active\"", "1e999"),
    ("deep", "\"active\"", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
    ("unknown", "\"status\"", "\"surname\": {}, \"status\""),
    ("escaped", "Patient/example", "Patient/\\u00e9\\ud83d\\ude00"),
    ("date", "2027-10-31T23:59:59.999Z", "2027-10-31"),
    ("offset", "2027-10-31T23:59:59.999Z", "2027-11-01T00:59:59+01:00"),
];

/// Bytes as a consent.
#[expect(clippy::panic, reason = "a target says by panicking that a promise is broken")]
pub fn clinical_consent(data: &[u8]) {
    let terms = match consent::read(data) {
        Ok(terms) => terms,
        Err(refused) => return assert!(is_element(refused.element()), "a refusal names no element"),
    };
    let written = consent::write(&terms);
    let Ok(again) = consent::read(written.as_bytes()) else { panic!("what is written is refused") };
    assert!(again == terms, "a consent does not survive being written");
    assert!(consent::write(&again) == written, "a consent has two forms");
}

fn is_element(path: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".[]_".contains(&byte);
    path.len() <= ELEMENT_BYTES_MAX && path.starts_with("Consent") && path.bytes().all(known)
}

/// Consents of each kind, and some that are nearly good.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let good = GOOD.iter().map(|(name, text)| Seed::new(name, text.as_bytes().to_vec()));
    let whole = GOOD.first().map_or("", |(_, text)| *text);
    let nearly =
        NEARLY.iter().map(|(name, from, to)| Seed::new(name, whole.replacen(from, to, 1).into_bytes()));
    good.chain(nearly).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_what_they_say() {
        let accepted: Vec<String> = seeds()
            .into_iter()
            .filter(|seed| consent::read(&seed.input).is_ok())
            .map(|seed| seed.name)
            .collect();
        assert_eq!(accepted, ["person", "role", "application", "escaped", "offset"]);
    }
}
