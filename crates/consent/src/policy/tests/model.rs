//! What policies mean, written apart from Cedar: a clause is a predicate over one class, one kind and one
//! asker. The kinds are a small world, some of which no policy names.

use std::collections::BTreeSet;

/// Every kind of the model's world, as it is written. The policies name the first two at most.
pub(super) const KINDS: &[&str] = &["8867-4", "8310-5", "59408-5", "mdc:131330"];
/// Classes as they are written; those from the fourth on are sensitive.
pub(super) const CLASSES: &[&str] =
    &["vitals", "waveform", "glucose", "mental-health", "substance-use", "reproductive-health"];

/// One class and one kind, asked for by somebody.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) person: bool,
    pub(super) roles: BTreeSet<&'static str>,
    pub(super) class: &'static str,
    pub(super) kind: &'static str,
    pub(super) purpose: &'static str,
    pub(super) named: &'static str,
    pub(super) hour: u64,
}

impl One {
    pub(super) fn is(&self, role: &str) -> bool {
        self.roles.contains(role)
    }
}

/// A clause: its name, what it is, and when.
pub(super) enum Meaning {
    Permit(fn(&One) -> bool),
    /// Of this sensitive class alone.
    PermitOf(&'static str, fn(&One) -> bool),
    Forbid(fn(&One) -> bool),
}

/// Whether one part may be read.
pub(super) fn allowed(clauses: &[(&str, Meaning)], one: &One) -> bool {
    let sensitive = CLASSES.iter().position(|class| *class == one.class).unwrap() > 2;
    let permitted = clauses.iter().any(|(_, meaning)| match meaning {
        Meaning::Permit(when) => !sensitive && when(one),
        Meaning::PermitOf(class, when) => *class == one.class && when(one),
        Meaning::Forbid(_) => false,
    });
    let forbidden = clauses.iter().any(|(_, meaning)| matches!(meaning, Meaning::Forbid(when) if when(one)));
    permitted && !forbidden
}
