//! What an institution allows the people whom it registered: a policy in Cedar, beside the patient's grant.
//!
//! # What it means
//! The patient's grant says what may be opened, and the policy of the requester's member can only take from
//! that. A member that has published none allows what grants allow. A policy is judged for each class and each
//! kind of what the intent asks for, one at a time, and every one must be allowed: by at least one `permit`,
//! and by no `forbid`. Who asks for every kind asks for each kind that the policy names, and for one that it
//! does not name; a policy that only compares words cannot tell those apart.
//!
//! A sensitive class is opened only by a `permit` that is annotated with it, such as
//! `@sensitive("mental-health")`, and that names it; no such `permit` opens anything else.
//!
//! # Why so little of Cedar
//! What cannot be checked when it is published fails when it is needed. Cedar's strict validation leaves words
//! unchecked, so that a `forbid` of `"HRSCH"` forbids nothing, for ever. So [`Policy::parse`] takes comparisons
//! of known words with what they can be compared with, hours, `&&`, `||` and `!`, and refuses the rest.
//! Nothing that is left can fail when it is evaluated; if it does, that is a denial.
//!
//! Cedar's evaluator stops by the room that is left on its stack. Depth and length are therefore bounded before
//! the text is parsed ([`text`]), so that every custodian comes to the same end.

mod facts;
mod shelf;
mod text;
mod tree;
mod words;

pub use shelf::Policies;

use crate::judge::{Ask, Named};
use cedar_policy::{Authorizer, Decision, PolicySet, Schema, ValidationMode, Validator, pst};
use salus_wire::limits::{POLICIES_MAX, POLICY_BYTES_MAX};
use salus_wire::{Codes, DataClass, ObservationCode};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Bytes of the name of a clause.
pub const CLAUSE_BYTES_MAX: usize = 32;
/// Kinds of observation that one policy may name: each is judged when every kind is asked for.
pub const POLICY_KINDS_MAX: usize = 32;

/// The language in which policies are validated.
const SCHEMA: &str = include_str!("policy/policy.cedarschema");

/// The name of a `permit` or `forbid`: from 1 to [`CLAUSE_BYTES_MAX`] lower-case letters, digits and hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clause([u8; CLAUSE_BYTES_MAX]);

/// A policy that can be judged by. Made by [`Policy::parse`] alone.
pub struct Policy {
    set: PolicySet,
    schema: Schema,
    /// By Cedar's own name of the clause.
    clauses: BTreeMap<String, ClauseFacts>,
    /// The kinds that it names.
    kinds: BTreeSet<ObservationCode>,
}

/// What is known of a clause beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClauseFacts {
    name: Clause,
    /// The one sensitive class that it opens; the ordinary ones when there is none.
    sensitive: Option<DataClass>,
}

/// Why a text is no policy. Its author is to blame; nothing is told to anybody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is empty or too long.
    #[error("a policy has from 1 to {POLICY_BYTES_MAX} bytes")]
    Length,
    /// Something stands in it that is never needed, and that readers take for something else.
    #[error("line {line}: only plain ASCII without escapes, and the signs `(){{}}[],;.:=!<>&|@`")]
    Character {
        /// Where.
        line: u32,
    },
    /// Brackets within brackets within brackets.
    #[error("line {line}: too many brackets within each other, at most {}", text::DEPTH_MAX)]
    Deep {
        /// Where.
        line: u32,
    },
    /// A clause too long to be sure of.
    #[error("line {line}: the clause is too long, write two")]
    Long {
        /// Where.
        line: u32,
    },
    /// No clause, or too many.
    #[error("a policy has from 1 to {POLICIES_MAX} clauses")]
    Count,
    /// It is no Cedar.
    #[error("it is not Cedar: {0}")]
    Syntax(String),
    /// A clause without a good `@id`.
    #[error("every clause needs a name of its own: `@id(\"…\")`, 1 to {CLAUSE_BYTES_MAX} of `a-z0-9-`")]
    Unnamed,
    /// Two clauses of one name.
    #[error("two clauses are called `{0}`")]
    NameTwice(Clause),
    /// An annotation that means nothing here.
    #[error("clause `{0}`: annotations are `@id`, and `@sensitive` of a `permit`, with a sensitive class")]
    Annotation(Clause),
    /// A `permit` and the sensitive class that it names, or does not.
    #[error(
        "clause `{0}`: a permit that names a sensitive class is annotated with that one class, and no other"
    )]
    Sensitive(Clause),
    /// A form of Cedar that policies may not use here.
    #[error("clause `{0}`: {1}")]
    Form(Clause, &'static str),
    /// A word that is none of those that it is compared with.
    #[error("clause `{0}`: `{1}` is none of {2}")]
    Word(Clause, String, &'static str),
    /// An hour that no day has.
    #[error("clause `{0}`: hours go from 0 to 24")]
    Hour(Clause),
    /// More kinds than can be judged one by one.
    #[error("a policy names at most {POLICY_KINDS_MAX} kinds of observation")]
    Kinds,
    /// Strict validation against the schema fails, or warns.
    #[error("it does not hold with the schema: {0}")]
    Mistyped(String),
}

/// Why a policy does not allow what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDenied {
    /// A `forbid` matches a part of what is asked.
    Forbidden(Clause),
    /// No `permit` matches a part of what is asked.
    NotPermitted,
    /// Ours: it could not be evaluated.
    Failed,
}

impl Policy {
    /// Reads a policy, and checks all that can be checked before anybody asks.
    ///
    /// # Errors
    /// The first thing that is wrong with it. A text that is refused allows nobody anything.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let text = text::bounded(text)?;
        let parsed =
            PolicySet::from_str(text).map_err(|error| PolicyError::Syntax(first_line(&error.to_string())))?;
        let parsed = parsed.to_pst().map_err(|error| PolicyError::Syntax(first_line(&error.to_string())))?;
        if !parsed.templates.is_empty() || !parsed.template_links.is_empty() {
            return Err(PolicyError::Count);
        }
        let walked = tree::walk(&parsed)?;
        // What was walked is what is evaluated: not the text, but the tree.
        let set = PolicySet::from_pst(parsed).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        let schema = validate(&set)?;
        Ok(Self { set, schema, clauses: walked.clauses, kinds: walked.kinds })
    }

    /// The names of its clauses, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Clause> {
        let names: BTreeSet<Clause> = self.clauses.values().map(|facts| facts.name).collect();
        names.into_iter().collect()
    }

    /// Whether it allows what `ask` is about, when the patient's grant names the asker as `named`. Gives
    /// the clauses that allow it, in order.
    ///
    /// # Errors
    /// The first part of what is asked, by class and kind, that is not allowed.
    pub fn allows(&self, ask: &Ask<'_>, named: Named) -> Result<Vec<Clause>, PolicyDenied> {
        let mut allowing = BTreeSet::new();
        for class in ask.scope.classes.iter() {
            for kind in self.kinds(&ask.scope.codes) {
                allowing.extend(self.allows_one(ask, named, class, kind)?);
            }
        }
        Ok(allowing.into_iter().collect())
    }

    /// The kinds to judge: `None` stands for every kind that the policy does not name.
    fn kinds(&self, codes: &Codes) -> Vec<Option<ObservationCode>> {
        match codes {
            Codes::All => self.kinds.iter().copied().map(Some).chain([None]).collect(),
            Codes::Only(_) => codes.listed().iter().copied().map(Some).collect(),
        }
    }

    fn allows_one(
        &self,
        ask: &Ask<'_>,
        named: Named,
        class: DataClass,
        kind: Option<ObservationCode>,
    ) -> Result<Vec<Clause>, PolicyDenied> {
        let (request, entities) =
            facts::facts(ask, named, class, kind, &self.schema).ok_or(PolicyDenied::Failed)?;
        let response = Authorizer::new().is_authorized(&request, &self.set, &entities);
        if response.diagnostics().errors().next().is_some() {
            return Err(PolicyDenied::Failed);
        }
        let reasons: Option<Vec<ClauseFacts>> = response
            .diagnostics()
            .reason()
            .map(|id| self.clauses.get(AsRef::<str>::as_ref(id)).copied())
            .collect();
        let reasons = reasons.ok_or(PolicyDenied::Failed)?;
        match response.decision() {
            Decision::Allow => opening(&reasons, class).ok_or(PolicyDenied::NotPermitted),
            Decision::Deny => Err(reasons
                .iter()
                .map(|facts| facts.name)
                .min()
                .map_or(PolicyDenied::NotPermitted, PolicyDenied::Forbidden)),
        }
    }
}

/// Those of the satisfied permits that open data of this class, if there are any.
fn opening(permits: &[ClauseFacts], class: DataClass) -> Option<Vec<Clause>> {
    let wanted = class.is_sensitive().then_some(class);
    let open: Vec<Clause> =
        permits.iter().filter(|facts| facts.sensitive == wanted).map(|facts| facts.name).collect();
    (!open.is_empty()).then_some(open)
}

/// Strict validation; a warning (such as of a clause that can never apply) is an error.
fn validate(set: &PolicySet) -> Result<Schema, PolicyError> {
    let wrong = |error: &dyn fmt::Display| PolicyError::Mistyped(first_line(&error.to_string()));
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| wrong(&error))?;
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    if let Some(error) = result.validation_errors().next() {
        return Err(wrong(error));
    }
    match result.validation_warnings().next() {
        Some(warning) => Err(wrong(warning)),
        None => Ok(schema),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Clause {
    /// The name that is written so.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = !name.is_empty() && name.bytes().all(known);
        let mut bytes = [0; CLAUSE_BYTES_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        good.then_some(Self(bytes))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches('\0')
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clause({})", self.as_str())
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policy").field(&self.names()).finish()
    }
}

/// The effect of a clause, for [`tree`].
const fn permits(effect: pst::Effect) -> bool {
    matches!(effect, pst::Effect::Permit)
}

#[cfg(test)]
mod tests;
