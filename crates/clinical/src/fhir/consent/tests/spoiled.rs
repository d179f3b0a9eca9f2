//! Every element of the fullest example, removed and spoiled in turn: it is refused by its name, or
//! it makes other terms. Nothing is overlooked.

use super::super::*;
use super::{APPLICATION, PERSON, ROLE};
use serde_json::{Value, json};

/// A key or an index.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The paths of everything in a value, but for the value itself.
fn paths(value: &Value) -> Vec<Vec<Step>> {
    let inner: Vec<(Step, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (Step::Index(at), item)).collect(),
        _ => Vec::new(),
    };
    let below = |(step, value): (Step, &Value)| {
        let deeper = paths(value).into_iter();
        let below: Vec<Vec<Step>> = deeper.map(|path| [vec![step.clone()], path].concat()).collect();
        [vec![vec![step]], below].concat()
    };
    inner.into_iter().flat_map(below).collect()
}

fn element(path: &[Step]) -> String {
    path.iter().fold("Consent".to_owned(), |element, step| match step {
        Step::Key(key) => format!("{element}.{key}"),
        Step::Index(at) => format!("{element}[{at}]"),
    })
}

/// The place of the last step of `path`.
fn parent<'a>(json: &'a mut Value, path: &[Step]) -> &'a mut Value {
    let above = path.iter().take(path.len() - 1);
    above.fold(json, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::Index(at) => &mut value[at],
    })
}

fn removed(json: &Value, path: &[Step]) -> Value {
    let mut json = json.clone();
    match (path.last().unwrap(), parent(&mut json, path)) {
        (Step::Key(key), Value::Object(members)) => drop(members.remove(key)),
        (Step::Index(at), Value::Array(items)) => drop(items.remove(*at)),
        _ => panic!("a path of something else"),
    }
    json
}

fn replaced(json: &Value, path: &[Step], value: Value) -> Value {
    let mut json = json.clone();
    match (path.last().unwrap(), parent(&mut json, path)) {
        (Step::Key(key), parent) => parent[key] = value,
        (Step::Index(at), parent) => parent[at] = value,
    }
    json
}

/// Refused for this element, what holds it or what it holds; or other terms.
fn check(original: &ConsentTerms, spoiled: &Value, path: &[Step]) {
    match read(spoiled.to_string().as_bytes()) {
        Ok(terms) => assert_ne!(&terms, original, "{} was overlooked", element(path)),
        Err(refused) => {
            let (named, meant) = (refused.element(), element(path));
            let above = meant.starts_with(named) || sibling(named, &meant);
            assert!(above || named.starts_with(&meant), "{named} was named for {meant}");
        }
    }
}

/// Data are of a class or have a label: without either, the class is missing.
fn sibling(named: &str, meant: &str) -> bool {
    named == "Consent.provision.class" && meant == "Consent.provision.securityLabel"
}

#[test]
fn nothing_is_overlooked() {
    let spoils = [
        json!(null),
        json!(true),
        json!(7),
        json!(1.5),
        json!(""),
        json!("spoilt"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"id": "a"}),
        json!(["spoilt"]),
    ];
    for example in [PERSON, ROLE, APPLICATION] {
        let json: Value = serde_json::from_str(example).unwrap();
        let terms = read(example.as_bytes()).unwrap();
        for path in paths(&json) {
            check(&terms, &removed(&json, &path), &path);
            for spoil in &spoils {
                check(&terms, &replaced(&json, &path, spoil.clone()), &path);
            }
        }
    }
}

#[test]
fn nothing_can_be_added_unseen() {
    let names = ["extension", "modifierExtension", "id", "_id", "text", "display", "CANARY-surname"];
    for example in [PERSON, ROLE, APPLICATION] {
        let json: Value = serde_json::from_str(example).unwrap();
        let terms = read(example.as_bytes()).unwrap();
        let whole = std::iter::once(Vec::new()).chain(paths(&json));
        for path in whole {
            for name in names {
                let inner = [path.clone(), vec![Step::Key(name.to_owned())]].concat();
                let mut added = json.clone();
                let Value::Object(members) = parent(&mut added, &inner) else { continue };
                if members.insert(name.to_owned(), json!("CANARY")).is_none() {
                    check(&terms, &added, &inner);
                    let refused = read(added.to_string().as_bytes()).err();
                    let said = format!(
                        "{} {refused:?}",
                        refused.as_ref().map_or(String::new(), ToString::to_string)
                    );
                    assert!(!said.contains("CANARY"), "{said}");
                }
            }
        }
    }
}

#[test]
fn nothing_said_gets_into_a_refusal() {
    let json: Value = serde_json::from_str(PERSON).unwrap();
    for path in paths(&json) {
        let spoiled = replaced(&json, &path, json!("CANARY"));
        if let Err(refused) = read(spoiled.to_string().as_bytes()) {
            assert!(!format!("{refused} {refused:?}").contains("CANARY"), "{refused}");
        }
    }
}
