//! What policies allow, for everybody, every purpose, class, hour and way of being named, held against
//! [`super::model`].

use super::model::{CLASSES, KINDS, Meaning, One, allowed};
use super::{HOSPITAL, Question, clause, parse};
use crate::judge::Named;
use crate::policy::{Policy, PolicyDenied};
use salus_wire::tx::PartyKind;
use salus_wire::{DataClass, ObservationCode, Purpose, Role};
use std::collections::BTreeSet;

type Clauses = Vec<(&'static str, Meaning)>;

fn ward(one: &One) -> bool {
    one.is("physician") || one.is("nurse")
}

fn hospital() -> Clauses {
    vec![
        ("ward", Meaning::Permit(|one| one.person && ward(one))),
        (
            "pharmacy",
            Meaning::Permit(|one| {
                one.person && one.is("pharmacist") && one.purpose == "TREAT" && one.class != "waveform"
            }),
        ),
        ("monitoring", Meaning::Permit(|one| !one.person && one.purpose == "TREAT")),
        ("no-research", Meaning::Forbid(|one| matches!(one.purpose, "HRESCH" | "HPAYMT"))),
        (
            "pharmacy-hours",
            Meaning::Forbid(|one| {
                let night = one.hour <= 5 || one.hour > 19;
                one.person && night && one.is("pharmacist") && !ward(one)
            }),
        ),
        (
            "part-2",
            Meaning::PermitOf("substance-use", |one| {
                one.person && one.is("physician") && one.named == "person" && one.purpose == "TREAT"
            }),
        ),
    ]
}

/// One that is about kinds, among them kinds that it does not name.
const KINDS_POLICY: &str = r#"
@id("some") permit (principal, action, resource) when { ["8867-4", "8310-5"].contains(resource.kind) };
@id("rest") permit (principal, action, resource) when { resource.kind != "8310-5" && context.named != "application" };
@id("not-waves") forbid (principal, action, resource) unless { resource.class != "waveform" || resource.kind != "8867-4" };
"#;

fn kinds() -> Clauses {
    vec![
        ("some", Meaning::Permit(|one| matches!(one.kind, "8867-4" | "8310-5"))),
        ("rest", Meaning::Permit(|one| one.kind != "8310-5" && one.named != "application")),
        ("not-waves", Meaning::Forbid(|one| one.class == "waveform" && one.kind == "8867-4")),
    ]
}

/// One that denies by roles, and opens a sensitive class by a way of being named.
const ROLES_POLICY: &str = r#"
@id("staff") permit (principal, action, resource) unless { principal.roles.isEmpty() };
@id("alone") permit (principal is Person, action, resource) when { ["technician"].containsAll(principal.roles) };
@id("not-both") forbid (principal, action, resource)
  when { principal.roles.containsAll(["nurse", "researcher"]) || resource.sensitive && context.hour >= 12 };
@id("minds") @sensitive("mental-health") permit (principal, action, resource)
  when { "mental-health" == resource.class && (context.named == "role" || 9 > context.hour) };
"#;

fn roles() -> Clauses {
    vec![
        ("staff", Meaning::Permit(|one| !one.roles.is_empty())),
        ("alone", Meaning::Permit(|one| one.person && one.roles.iter().all(|role| *role == "technician"))),
        (
            "not-both",
            Meaning::Forbid(|one| {
                let sensitive = !matches!(one.class, "vitals" | "waveform" | "glucose");
                one.is("nurse") && one.is("researcher") || sensitive && one.hour > 11
            }),
        ),
        ("minds", Meaning::PermitOf("mental-health", |one| one.named == "role" || one.hour < 9)),
    ]
}

/// Sets of roles: none, each, and some that meet.
fn role_sets() -> Vec<Vec<Role>> {
    let each = Role::ALL.iter().map(|role| vec![*role]);
    let some = [
        vec![Role::Nurse, Role::Researcher],
        vec![Role::Physician, Role::Pharmacist],
        vec![Role::Technician, Role::Pharmacist],
    ];
    each.chain(some).chain([vec![]]).collect()
}

/// Sets of classes that exist.
fn class_sets() -> Vec<Vec<DataClass>> {
    let ordinary = (1..8_usize).map(|bits| {
        let class = |index: &usize| bits & (1 << index) != 0;
        (0..3).filter(class).map(|index| DataClass::ALL[index]).collect()
    });
    ordinary.chain(DataClass::ALL[3..].iter().map(|class| vec![*class])).collect()
}

/// Sets of kinds: all, and some lists.
fn kind_sets() -> Vec<Vec<&'static str>> {
    let lists = [vec![KINDS[0]], vec![KINDS[1], KINDS[2]], vec![KINDS[3]], vec![KINDS[0], KINDS[3]]];
    lists.into_iter().chain([vec![]]).collect()
}

const NAMINGS: [(Named, &str); 4] = [
    (Named::Person, "person"),
    (Named::Role(Role::Nurse), "role"),
    (Named::Application, "application"),
    (Named::Emergency(Role::Nurse), "emergency"),
];

/// Asks everything of a policy and of its meaning, for as long as `each` wants more.
fn everything(
    policy: &Policy,
    meaning: &[(&str, Meaning)],
    mut each: impl FnMut(&Question, bool, bool) -> bool,
) {
    for (kind, roles) in [PartyKind::Person, PartyKind::Application]
        .into_iter()
        .flat_map(|kind| role_sets().into_iter().map(move |roles| (kind, roles)))
        .filter(|(kind, roles)| *kind == PartyKind::Person || roles.is_empty())
    {
        for (classes, kinds) in
            class_sets().iter().flat_map(|classes| kind_sets().into_iter().map(move |kinds| (classes, kinds)))
        {
            let codes: Vec<ObservationCode> = kinds.iter().map(|kind| kind.parse().unwrap()).collect();
            let mut question = Question::of(kind, &roles).about(classes, &codes);
            for (purpose, hour, (named, naming)) in settings() {
                (question.purpose, question.hour, question.named) = (purpose, hour, named);
                let one = One {
                    person: kind == PartyKind::Person,
                    roles: roles.iter().map(|role| role.name()).collect(),
                    class: "",
                    kind: "",
                    purpose: purpose.code(),
                    named: naming,
                    hour,
                };
                let by_model = parts(&one, classes, &kinds).iter().all(|one| allowed(meaning, one));
                if !each(&question, question.ask(policy).is_ok(), by_model) {
                    return;
                }
            }
        }
    }
}

/// Purposes, hours and namings: all purposes, and hours at the bounds of the policies.
fn settings() -> Vec<(Purpose, u64, (Named, &'static str))> {
    let mut all = Vec::new();
    for purpose in Purpose::ALL {
        for hour in [0, 5, 6, 8, 9, 11, 12, 19, 20, 23] {
            all.push((*purpose, hour, NAMINGS[all.len() % 3]));
        }
    }
    all
}

/// Every part of what is asked, in the model's world.
fn parts(one: &One, classes: &[DataClass], kinds: &[&'static str]) -> Vec<One> {
    let kinds = if kinds.is_empty() { KINDS } else { kinds };
    let classes =
        classes.iter().map(|class| CLASSES[DataClass::ALL.iter().position(|of| of == class).unwrap()]);
    classes.flat_map(|class| kinds.iter().map(move |kind| One { class, kind, ..one.clone() })).collect()
}

#[test]
fn policies_allow_what_their_model_allows() {
    for (text, meaning) in [(HOSPITAL, hospital()), (KINDS_POLICY, kinds()), (ROLES_POLICY, roles())] {
        let policy = parse(text);
        let (mut yes, mut no) = (0, 0);
        everything(&policy, &meaning, |question, found, wanted| {
            assert_eq!(found, wanted, "{:?} {} {:?}", question.scope, question.hour, question.identity);
            *if found { &mut yes } else { &mut no } += 1;
            true
        });
        assert!(yes > 500 && no > 500, "{yes} and {no}");
    }
}

/// Of each policy, no clause could be left out unnoticed.
#[test]
fn every_clause_changes_some_decision() {
    for (text, meaning) in [(HOSPITAL, hospital()), (KINDS_POLICY, kinds()), (ROLES_POLICY, roles())] {
        for gone in 0..meaning.len() {
            let less: String = statements(text)
                .into_iter()
                .enumerate()
                .filter(|(at, _)| *at != gone)
                .map(|(_, statement)| statement)
                .collect();
            let mut noticed = false;
            everything(&parse(&less), &meaning, |_, found, wanted| {
                noticed = found != wanted;
                !noticed
            });
            assert!(noticed, "{} of {text}", meaning[gone].0);
        }
    }
}

fn statements(text: &str) -> Vec<String> {
    let lines: String =
        text.lines().filter(|line| !line.starts_with("//")).map(|line| format!("{line}\n")).collect();
    lines.split_inclusive(';').filter(|part| part.contains("@id")).map(str::to_owned).collect()
}

#[test]
fn the_clauses_that_decided_are_named() {
    let policy = parse(HOSPITAL);
    let nurse = Question::of(PartyKind::Person, &[Role::Nurse]);
    assert_eq!(nurse.ask(&policy), Ok(vec![clause("ward")]));
    let research = Question { purpose: Purpose::Research, ..nurse };
    assert_eq!(research.ask(&policy), Err(PolicyDenied::Forbidden(clause("no-research"))));
    let clerk = Question::of(PartyKind::Person, &[Role::Administrator]);
    assert_eq!(clerk.ask(&policy), Err(PolicyDenied::NotPermitted));
    let both = Question::of(PartyKind::Person, &[Role::Nurse, Role::Pharmacist]);
    let both = both.about(&[DataClass::Vitals, DataClass::Waveform], &[]);
    assert_eq!(both.ask(&policy), Ok(vec![clause("pharmacy"), clause("ward")]));
    let sensitive =
        Question::of(PartyKind::Person, &[Role::Physician]).about(&[DataClass::SubstanceUse], &[]);
    assert_eq!(sensitive.ask(&policy), Ok(vec![clause("part-2")]));
    let names: BTreeSet<_> = policy.names().into_iter().collect();
    assert_eq!(names.len(), 6);
}

/// Nobody is allowed anything by a policy that a gateway's registration is held against.
#[test]
fn a_gateway_is_no_asker() {
    let policy = parse("@id(\"a\") permit (principal, action, resource);");
    let mut question = Question::of(PartyKind::Person, &[]);
    assert!(question.ask(&policy).is_ok());
    question.identity.kind = PartyKind::Gateway;
    assert_eq!(question.ask(&policy), Err(PolicyDenied::Failed));
}
