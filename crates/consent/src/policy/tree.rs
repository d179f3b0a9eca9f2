//! The walk over what Cedar parsed: every form that a policy may use is listed here, and every word in it is
//! held against what it is compared with. What is not listed is refused.

use super::words::Vocabulary;
use super::{Clause, ClauseFacts, POLICY_KINDS_MAX, PolicyError, permits};
use cedar_policy::pst::{
    ActionConstraint, BinaryOp, EntityType, EntityUID, Expr, Literal, PolicySet, PrincipalConstraint,
    ResourceConstraint, Template, UnaryOp, Var,
};
use salus_wire::{DataClass, ObservationCode};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Conditions within each other; `a && b && c` is two.
const TREE_DEPTH_MAX: usize = 32;
/// The last hour that can be compared with: `hour < 24` is every hour.
const HOUR_MAX: i64 = 24;

/// What a walk learns of a policy.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) clauses: BTreeMap<String, ClauseFacts>,
    pub(super) kinds: BTreeSet<ObservationCode>,
}

/// Walks all clauses.
///
/// # Errors
/// The first thing that is not listed.
pub(super) fn walk(set: &PolicySet) -> Result<Walked, PolicyError> {
    let mut walked = Walked::default();
    let mut names = BTreeSet::new();
    for (id, policy) in &set.policies {
        let template = policy.body();
        let name = name(template)?;
        if !names.insert(name) {
            return Err(PolicyError::NameTwice(name));
        }
        let mut walk = Walk { name, classes: BTreeSet::new(), kinds: BTreeSet::new() };
        walk.scope(template)?;
        for clause in template.clauses() {
            let (cedar_policy::pst::Clause::When(expr) | cedar_policy::pst::Clause::Unless(expr)) = clause;
            walk.truth(expr, TREE_DEPTH_MAX)?;
        }
        let sensitive = walk.sensitive(template)?;
        walked.clauses.insert(id.0.to_string(), ClauseFacts { name, sensitive });
        walked.kinds.append(&mut walk.kinds);
    }
    if walked.kinds.len() > POLICY_KINDS_MAX { Err(PolicyError::Kinds) } else { Ok(walked) }
}

fn name(template: &Template) -> Result<Clause, PolicyError> {
    let id = template.annotations.get("id").ok_or(PolicyError::Unnamed)?;
    Clause::new(id).ok_or(PolicyError::Unnamed)
}

/// The walk over one clause.
struct Walk {
    name: Clause,
    /// Classes that it names.
    classes: BTreeSet<DataClass>,
    /// Kinds that it names.
    kinds: BTreeSet<ObservationCode>,
}

impl Walk {
    /// Who, what, and which data: by their types alone. Single people are suspended by ending their
    /// registration, which nobody can mistype.
    fn scope(&self, template: &Template) -> Result<(), PolicyError> {
        let principal = match &template.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => is_asker(kind),
            _ => false,
        };
        let action = match &template.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => is_read(uid),
            ActionConstraint::In(_) => false,
        };
        let resource = match &template.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(kind) => is_type(kind, "Data"),
            _ => false,
        };
        self.form(principal, "the principal is any, `is Person` or `is Application`")?;
        self.form(action, "the action is any, or `== Action::\"read\"`")?;
        self.form(resource, "the resource is any, or `is Data`")
    }

    /// The sensitive class that a permit opens: it is annotated with it, and names it and no other.
    fn sensitive(&self, template: &Template) -> Result<Option<DataClass>, PolicyError> {
        let mut annotated = None;
        for (key, value) in &template.annotations {
            let class = DataClass::ALL.iter().find(|class| class.is_sensitive() && class.name() == value);
            match (key.as_str(), class) {
                ("id", _) => {}
                ("sensitive", Some(class)) if permits(template.effect) => annotated = Some(*class),
                _ => return Err(PolicyError::Annotation(self.name)),
            }
        }
        let named: BTreeSet<DataClass> =
            self.classes.iter().copied().filter(|class| class.is_sensitive()).collect();
        let agree = named == annotated.into_iter().collect();
        if agree || !permits(template.effect) {
            Ok(annotated)
        } else {
            Err(PolicyError::Sensitive(self.name))
        }
    }

    /// Something that is true or false.
    fn truth(&mut self, expr: &Expr, depth: usize) -> Result<(), PolicyError> {
        let depth = depth.checked_sub(1).ok_or(self.wrong("it is too deep, write two clauses"))?;
        match expr {
            Expr::Literal(Literal::Bool(_)) => Ok(()),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.truth(expr, depth),
            Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => {
                self.form(roles(expr), "only `principal.roles` can be empty")
            }
            Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
                self.truth(left, depth)?;
                self.truth(right, depth)
            }
            Expr::BinaryOp { op, left, right } => self.comparison(*op, left, right),
            Expr::Is { expr, entity_type, in_expr: None } => {
                let asker = matches!(**expr, Expr::Var(Var::Principal)) && is_asker(entity_type);
                self.form(asker, "only `principal is Person` and `principal is Application`")
            }
            Expr::GetAttr { .. } => self.form(
                attribute(expr) == Some((Var::Resource, "sensitive")),
                "only `resource.sensitive` is true or false by itself",
            ),
            _ => Err(self.wrong("a form of Cedar that policies here do not use")),
        }
    }

    fn comparison(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<(), PolicyError> {
        match op {
            BinaryOp::Eq | BinaryOp::NotEq => match (word(left), word(right)) {
                (Some(vocabulary), None) => self.literal(right, vocabulary),
                (None, Some(vocabulary)) => self.literal(left, vocabulary),
                (None, None) => self.hours(left, right),
                (Some(_), Some(_)) => Err(self.wrong("two words of the request are never compared")),
            },
            BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq => {
                self.hours(left, right)
            }
            BinaryOp::Contains if roles(left) => self.literal(right, Vocabulary::Role),
            BinaryOp::Contains => match word(right) {
                Some(vocabulary) => self.literals(left, vocabulary),
                None => Err(self.wrong("`contains` is for `principal.roles`, or a list and one word")),
            },
            BinaryOp::ContainsAny | BinaryOp::ContainsAll if roles(left) => {
                self.literals(right, Vocabulary::Role)
            }
            BinaryOp::ContainsAny | BinaryOp::ContainsAll if roles(right) => {
                self.literals(left, Vocabulary::Role)
            }
            _ => Err(self.wrong("a form of Cedar that policies here do not use")),
        }
    }

    /// A list of words, at least one.
    fn literals(&mut self, expr: &Expr, vocabulary: Vocabulary) -> Result<(), PolicyError> {
        let Expr::Set(members) = expr else { return Err(self.wrong("a list of words is expected")) };
        self.form(!members.is_empty(), "a list of no words")?;
        members.iter().try_for_each(|member| self.literal(member, vocabulary))
    }

    /// A word of its vocabulary.
    fn literal(&mut self, expr: &Expr, vocabulary: Vocabulary) -> Result<(), PolicyError> {
        let Expr::Literal(Literal::String(word)) = expr else {
            return Err(self.wrong("a word in quotes is expected"));
        };
        if !vocabulary.knows(word) {
            return Err(PolicyError::Word(self.name, word.to_string(), vocabulary.what()));
        }
        match vocabulary {
            Vocabulary::Class => {
                self.classes.extend(DataClass::ALL.iter().find(|class| class.name() == word.as_str()));
            }
            Vocabulary::Kind => self.kinds.extend(ObservationCode::from_str(word)),
            Vocabulary::Purpose | Vocabulary::Naming | Vocabulary::Role => {}
        }
        Ok(())
    }

    /// The hour of the request, and an hour.
    fn hours(&self, left: &Expr, right: &Expr) -> Result<(), PolicyError> {
        let now = |expr: &Expr| attribute(expr) == Some((Var::Context, "hour"));
        let other = match (now(left), now(right)) {
            (true, false) => right,
            (false, true) => left,
            _ => {
                return Err(self.wrong("one side is a word or the hour of the request, the other a constant"));
            }
        };
        match other {
            Expr::Literal(Literal::Long(0..=HOUR_MAX)) => Ok(()),
            Expr::Literal(Literal::Long(_)) => Err(PolicyError::Hour(self.name)),
            _ => Err(self.wrong("an hour is expected")),
        }
    }

    fn form(&self, holds: bool, what: &'static str) -> Result<(), PolicyError> {
        if holds { Ok(()) } else { Err(self.wrong(what)) }
    }

    const fn wrong(&self, what: &'static str) -> PolicyError {
        PolicyError::Form(self.name, what)
    }
}

/// The vocabulary of a word of the request.
fn word(expr: &Expr) -> Option<Vocabulary> {
    match attribute(expr)? {
        (Var::Resource, "class") => Some(Vocabulary::Class),
        (Var::Resource, "kind") => Some(Vocabulary::Kind),
        (Var::Context, "purpose") => Some(Vocabulary::Purpose),
        (Var::Context, "named") => Some(Vocabulary::Naming),
        _ => None,
    }
}

fn roles(expr: &Expr) -> bool {
    attribute(expr) == Some((Var::Principal, "roles"))
}

/// `principal.…`, `resource.…` or `context.…`.
fn attribute(expr: &Expr) -> Option<(Var, &str)> {
    let Expr::GetAttr { expr, attr } = expr else { return None };
    match &**expr {
        Expr::Var(var) => Some((var.clone(), attr.as_str())),
        _ => None,
    }
}

fn is_asker(kind: &EntityType) -> bool {
    is_type(kind, "Person") || is_type(kind, "Application")
}

fn is_read(uid: &EntityUID) -> bool {
    is_type(&uid.ty, "Action") && uid.eid == "read"
}

fn is_type(kind: &EntityType, name: &str) -> bool {
    kind.0.namespace.is_empty() && kind.0.id.as_str() == name
}
