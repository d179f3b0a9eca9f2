//! What a member puts on the ledger as its policy. The promises: nothing panics; what is taken is plain text
//! with distinct names, gives the same answer twice, never fails, and answers with names of its own.

use crate::targets::Seed;
use salus_consent::{Ask, Clause, Named, Policy, PolicyDenied};
use salus_crypto::PublicKey;
use salus_wire::limits::{POLICIES_MAX, POLICY_BYTES_MAX};
use salus_wire::state::{IdentityRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{
    Classes, Codes, DataClass, Height, MemberIndex, PartyId, Purpose, Role, Roles, Scope, TimeMs, TimeSpan,
};
use std::collections::BTreeSet;

/// The one that the documents start from.
const HOSPITAL: &str = include_str!("../../docs/examples/hospital.cedar");

/// One change to it, and what becomes of it.
const NEARLY: &[(&str, &str, &str)] = &[
    ("typo", "HRESCH", "HRSCH"),
    ("twice", "@id(\"pharmacy\")", "@id(\"ward\")"),
    ("plain", "@sensitive(\"substance-use\")", ""),
    ("template", "principal is Person", "principal == ?principal"),
    ("sum", "context.hour < 6", "context.hour + 1 < 6"),
    ("deep", "context.hour < 6", "((((((((((true))))))))))"),
    ("escape", "\"ward\"", "\"w\\u{61}rd\""),
    ("like", "== \"substance-use\"", "like \"substance-*\""),
];

/// Bytes as a policy.
#[expect(clippy::panic, reason = "a target says by panicking that a promise is broken")]
pub fn consent_policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else { return };
    assert!(data.is_ascii() && data.len() <= POLICY_BYTES_MAX, "a policy is no plain text");
    let names: BTreeSet<Clause> = policy.names().into_iter().collect();
    assert!(!names.is_empty() && names.len() <= POLICIES_MAX, "a policy has no clauses, or too many");
    assert!(Policy::parse(data).is_ok_and(|again| again.names() == policy.names()), "a policy is read twice");
    let answers = answers(&policy);
    assert!(answers == self::answers(&policy), "a policy answers differently");
    for answer in answers {
        match answer {
            Ok(clauses) => {
                assert!(!clauses.is_empty() && clauses.iter().all(|name| names.contains(name)), "no names");
            }
            Err(PolicyDenied::Forbidden(name)) => assert!(names.contains(&name), "a name that is not there"),
            Err(PolicyDenied::NotPermitted) => {}
            Err(PolicyDenied::Failed) => panic!("a policy cannot be evaluated"),
        }
    }
}

/// What it says to some who ask.
fn answers(policy: &Policy) -> Vec<Result<Vec<Clause>, PolicyDenied>> {
    let Some(span) = TimeSpan::new(TimeMs::new(0), TimeMs::new(9)) else { return Vec::new() };
    let nurse = identity(PartyKind::Person, Roles::of(&[Role::Nurse]), span);
    let application = identity(PartyKind::Application, Roles::NONE, span);
    let sensitive = Classes::of(&[DataClass::SubstanceUse]).unwrap_or(Classes::ORDINARY);
    let asked = [(Purpose::Treatment, Classes::ORDINARY), (Purpose::Research, sensitive)];
    let mut answers = Vec::new();
    for (purpose, classes) in asked {
        let scope = Scope { classes, codes: Codes::All, span };
        for (identity, named) in [(&nurse, Named::Role(Role::Nurse)), (&application, Named::Application)] {
            let (party, at) = (PartyId::new([1; 16]), TimeMs::new(1));
            answers.push(policy.allows(&Ask { party, identity, scope: &scope, purpose, at }, named));
        }
    }
    answers
}

fn identity(kind: PartyKind, roles: Roles, validity: TimeSpan) -> IdentityRecord {
    let since = Tip { height: Height::new(1), time: TimeMs::new(1) };
    IdentityRecord {
        kind,
        member: MemberIndex::new(0),
        key: PublicKey::from_bytes([3; 32]),
        validity,
        roles,
        second: None,
        since,
        standing: Standing::Active,
    }
}

/// The example, its clauses one by one, and some that are nearly good.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let whole = Seed::new("hospital", HOSPITAL.as_bytes().to_vec());
    let each = HOSPITAL.split("\n\n").filter(|part| part.contains("@id"));
    let each = (0..).zip(each).map(|(at, part)| Seed::new(&format!("clause-{at}"), part.as_bytes().to_vec()));
    let nearly =
        NEARLY.iter().map(|(name, from, to)| Seed::new(name, HOSPITAL.replacen(from, to, 1).into_bytes()));
    [whole].into_iter().chain(each).chain(nearly).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_what_they_say() {
        let accepted: Vec<String> = seeds()
            .into_iter()
            .filter(|seed| Policy::parse(&seed.input).is_ok())
            .map(|seed| seed.name)
            .collect();
        let each = (0..6).map(|at| format!("clause-{at}"));
        assert_eq!(accepted, ["hospital".to_owned()].into_iter().chain(each).collect::<Vec<_>>());
        assert_eq!(seeds().len(), 7 + NEARLY.len());
    }
}
