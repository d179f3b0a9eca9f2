//! Each text that is no policy, and what is said of it: a clause that says less than its author meant must
//! not get as far as the ledger.

use super::{HOSPITAL, clause, parse};
use crate::policy::{Policy, PolicyError};
use salus_wire::limits::{POLICIES_MAX, POLICY_BYTES_MAX};

/// A quarter of what threads of a node have.
const STACK_BYTES: usize = 512 * 1024;

fn refused(text: &str) -> PolicyError {
    Policy::parse(text.as_bytes()).expect_err(text)
}

/// A permit of this condition.
fn when(condition: &str) -> String {
    format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};")
}

/// The same as the second of two clauses, a forbid.
fn forbid(condition: &str) -> String {
    let everything = "@id(\"b\") permit (principal, action, resource);";
    format!("{everything} @id(\"a\") forbid (principal, action, resource) when {{ {condition} }};")
}

/// A word, where it stands, and whether it is one.
const WORDS: &[(&str, &str, &str)] = &[
    ("resource.class == \"W\"", "vitals", "vital"),
    ("\"W\" != resource.class", "waveform", "Waveform"),
    ("[\"vitals\", \"W\"].contains(resource.class)", "glucose", "nurse"),
    ("context.purpose == \"W\"", "HRESCH", "HRSCH"),
    ("[\"W\"].contains(context.purpose)", "TREAT", "TREAT "),
    ("context.named == \"W\"", "role", "roles"),
    ("principal.roles.contains(\"W\")", "nurse", "nurses"),
    ("principal.roles.containsAny([\"physician\", \"W\"])", "privacy-officer", "privacy officer"),
    ("principal.roles.containsAll([\"W\"])", "nurse", "TREAT"),
    ("[\"nurse\", \"W\"].containsAll(principal.roles)", "researcher", ""),
    ("resource.kind == \"W\"", "8867-4", "8867-3"),
    ("[\"W\"].contains(resource.kind)", "mdc:131330", "131330"),
];

#[test]
fn a_word_that_is_not_known_there_is_refused() {
    for (form, good, typo) in WORDS {
        for put in [when, forbid] {
            parse(&put(&form.replace('W', good)));
            let error = refused(&put(&form.replace('W', typo)));
            let named =
                matches!(&error, PolicyError::Word(of, word, _) if *of == clause("a") && word == typo);
            assert!(named, "{form} with {typo}: {error}");
        }
    }
}

/// Cedar finds nothing wrong with a misspelt word: the reason for looking at each.
#[test]
fn strict_validation_alone_takes_a_word_that_nothing_is_called() {
    use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
    let set: PolicySet = forbid("context.purpose == \"HRSCH\"").parse().unwrap();
    let schema = Schema::from_cedarschema_str(crate::policy::SCHEMA).unwrap().0;
    assert!(Validator::new(schema).validate(&set, ValidationMode::Strict).validation_passed());
}

#[test]
fn a_policy_with_any_one_letter_changed_says_so_or_says_the_same_words() {
    let words: Vec<&str> = HOSPITAL.split('"').skip(1).step_by(2).collect();
    let mut tried = 0;
    for (index, word) in words.iter().enumerate().filter(|(_, word)| word.len() > 2) {
        let mut parts: Vec<String> = HOSPITAL.split('"').map(str::to_owned).collect();
        let shorter = word.get(1..).unwrap().to_owned();
        parts[2 * index + 1] = shorter.clone();
        let is_name = parts[2 * index].ends_with("@id(");
        assert_eq!(Policy::parse(parts.join("\"").as_bytes()).is_ok(), is_name, "{word} to {shorter}");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

/// Good Cedar, and well typed, that cannot be held to anything when it is published.
const FORMS: &[&str] = &[
    "context.hour + 1 == 3",
    "context.hour == context.hour",
    "1 == 1",
    "resource.class like \"vit\"",
    "resource.class == context.purpose",
    "resource.class == resource.kind",
    "principal == Person::\"x\"",
    "principal in Person::\"x\"",
    "action == Action::\"read\"",
    "principal has roles",
    "if true then true else false",
    "{ a: true }.a",
    "[].contains(resource.class)",
    "[true].contains(resource.sensitive)",
    "[resource.class].contains(\"vitals\")",
    "resource.sensitive == true",
    "principal.roles == [\"nurse\"]",
    "principal.roles.containsAll(principal.roles)",
    "resource is Data",
    "[1].contains(context.hour)",
];

#[test]
fn a_form_that_cannot_be_checked_is_refused() {
    for form in FORMS {
        let error = refused(&when(form));
        let known =
            matches!(error, PolicyError::Form(..) | PolicyError::Character { .. } | PolicyError::Syntax(_));
        assert!(known, "{form}: {error}");
    }
}

/// What is wrong with a whole text, and the error's beginning.
const TEXTS: &[(&str, &str)] = &[
    ("", "a policy has from 1 to 6144 bytes"),
    ("// nothing", "a policy has from 1 to 64 clauses"),
    ("permit (principal, action, resource);", "every clause needs a name"),
    ("@id(\"\") permit (principal, action, resource);", "every clause needs a name"),
    ("@id(\"A\") permit (principal, action, resource);", "every clause needs a name"),
    ("@id permit (principal, action, resource);", "every clause needs a name"),
    (
        "@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
        "two clauses are called `a`",
    ),
    ("@id(\"a\") @note(\"x\") permit (principal, action, resource);", "clause `a`: annotations are"),
    ("@id(\"a\") permit (principal == ?principal, action, resource);", "line 1: only plain ASCII"),
    ("@id(\"a\") permit (principal, action, resource) when { true }", "a policy has from 1 to 64 clauses"),
    ("@id(\"a\") permit (principal, action);", "it is not Cedar"),
    ("@id(\"a\") permit (principal is Gateway, action, resource);", "clause `a`: the principal is"),
    ("@id(\"a\") permit (principal, action == Action::\"write\", resource);", "clause `a`: the action is"),
    ("@id(\"a\") permit (principal, action in [Action::\"read\"], resource);", "clause `a`: the action is"),
    ("@id(\"a\") permit (principal, action, resource == Data::\"x\");", "clause `a`: the resource is"),
    ("@id(\"a\") permit (principal, action, resource) when { context.hour < 25 };", "clause `a`: hours go"),
    ("@id(\"a\") permit (principal, action, resource) when { principal.name == 3 };", "clause `a`:"),
    (
        "@id(\"a\") permit (principal is Person, action, resource) when { principal is Application };",
        "it does not hold",
    ),
    ("\n@id(\"\\u{61}\") permit (principal, action, resource);", "line 2: only plain ASCII"),
    ("@id(\"a\") permit (principal, action, resource); // \u{202e}", "line 1: only plain ASCII"),
    ("@id(\"a) permit (principal, action, resource);", "line 1: only plain ASCII"),
];

#[test]
fn what_is_wrong_with_a_text_is_said() {
    for (text, begins) in TEXTS {
        let error = refused(text).to_string();
        assert!(error.starts_with(begins), "{text}: {error}");
    }
}

/// A permit with and without its annotation, and the class that it names.
const SENSITIVE: &[(&str, &str, &str, bool)] = &[
    ("@sensitive(\"mental-health\")", "permit", "mental-health", true),
    ("", "permit", "mental-health", false),
    ("@sensitive(\"mental-health\")", "permit", "vitals", false),
    ("@sensitive(\"substance-use\")", "permit", "mental-health", false),
    ("@sensitive(\"vitals\")", "permit", "vitals", false),
    ("@sensitive(\"mental\")", "permit", "mental-health", false),
    ("@sensitive", "permit", "mental-health", false),
    ("@sensitive(\"mental-health\")", "forbid", "mental-health", false),
    ("", "forbid", "mental-health", true),
    ("", "permit", "vitals", true),
];

#[test]
fn a_sensitive_class_is_named_twice_or_not_at_all() {
    for (annotation, effect, class, good) in SENSITIVE {
        let text = format!(
            "@id(\"a\") {annotation} {effect} (principal, action, resource) when {{ resource.class == \"{class}\" }};"
        );
        assert_eq!(Policy::parse(text.as_bytes()).is_ok(), *good, "{text}");
    }
    let nameless = "@id(\"a\") @sensitive(\"mental-health\") permit (principal, action, resource);";
    assert_eq!(refused(nameless), PolicyError::Sensitive(clause("a")));
}

#[test]
fn everything_is_bounded_before_it_is_parsed() {
    let many = |count: usize| -> String {
        (0..count).map(|n| format!("@id(\"a{n}\")permit(principal,action,resource);")).collect()
    };
    parse(&many(POLICIES_MAX));
    assert_eq!(refused(&many(POLICIES_MAX + 1)), PolicyError::Count);
    let fitting = many(1) + "//" + &"x".repeat(POLICY_BYTES_MAX - many(1).len() - 2);
    parse(&fitting);
    assert_eq!(refused(&(fitting + "x")), PolicyError::Length);
    parse(&when(&format!("{}true{}", "(".repeat(7), ")".repeat(7))));
    let deep = refused(&when(&format!("{}true{}", "(".repeat(8), ")".repeat(8))));
    assert_eq!(deep, PolicyError::Deep { line: 1 });
    let joined = |count: usize| when(&vec!["true"; count].join(" && "));
    parse(&joined(31));
    assert!(matches!(refused(&joined(34)), PolicyError::Form(..)));
    assert_eq!(refused(&joined(200)), PolicyError::Long { line: 1 });
    let kinds = |count: u32| {
        let codes: Vec<String> = (1..=count).map(|n| format!("\"mdc:{n}\"")).collect();
        when(&format!("[{}].contains(resource.kind)", codes.join(",")))
    };
    parse(&kinds(32));
    assert_eq!(refused(&kinds(33)), PolicyError::Kinds);
}

/// The deepest tree that there can be, decided where little is left of a stack: the same answer as anywhere.
#[test]
fn the_deepest_policy_is_decided_on_a_small_stack() {
    use super::Question;
    use salus_wire::tx::PartyKind;
    let policy = parse(&when(&vec!["context.hour < 24"; 31].join(" && ")));
    let end = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        assert_eq!(Question::of(PartyKind::Person, &[]).ask(&policy), Ok(vec![clause("a")]));
    });
    end.unwrap().join().unwrap();
}

/// Whatever a text is made of, reading it takes a small part of a thread's stack.
#[test]
fn the_worst_texts_end_on_a_small_stack() {
    let repeated = [
        "!", "(", "[", "{", "a.", "true && ", "true || ", "-", "true == ", "if ", "a.b(", "@a", "@a(", "a::",
    ];
    for part in repeated {
        for around in [false, true] {
            let condition = part.repeat(5_000 / part.len());
            let text = if around { when(&condition) } else { condition };
            let short = when(&part.repeat(180 / part.len()));
            let end = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
                let _ = (Policy::parse(text.as_bytes()), Policy::parse(short.as_bytes()));
            });
            end.unwrap().join().unwrap();
        }
    }
}
