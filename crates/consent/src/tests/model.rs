//! The decision once more, as the documents say it: in plain numbers and sets, and with nothing of the
//! product. What `docs/adr/0011-grants.md`, the fields of a grant and the promises P1–P3 say, line by line.

use std::collections::BTreeSet;

/// P3: no access opens anything so long after its block.
const ACCESS_LIVES_MS: u64 = 60_000;

/// What data: classes, kinds (`None` for every one), and when measured, the end not included.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) classes: BTreeSet<u8>,
    pub(super) kinds: Option<BTreeSet<u32>>,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What somebody is on the ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Person,
    Gateway,
    Application,
}

/// Whom a grant names, as seen from whoever asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    Person { them: bool, their_key: bool },
    Application { them: bool, their_key: bool },
    Role { member: u16, role: u8 },
}

/// A denial; a part that is `None` matches everything.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Whether the party it names is the one who asks.
    pub(super) them: Option<bool>,
    pub(super) purposes: Option<BTreeSet<u8>>,
    pub(super) classes: Option<BTreeSet<u8>>,
    pub(super) kinds: Option<BTreeSet<u32>>,
    pub(super) span: Option<(u64, u64)>,
}

/// Everything that the decision depends on.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) registered: bool,
    pub(super) kind: Kind,
    pub(super) member: u16,
    pub(super) roles: BTreeSet<u8>,
    pub(super) registration: (u64, u64),
    pub(super) registration_ended: bool,
    pub(super) signed_by_them: bool,
    pub(super) names: Names,
    pub(super) granted: Data,
    pub(super) purposes: BTreeSet<u8>,
    pub(super) validity: (u64, u64),
    pub(super) denies: Vec<Rule>,
    pub(super) withdrawn: bool,
    pub(super) refused: bool,
    pub(super) intended: Data,
    pub(super) purpose: u8,
    pub(super) since: u64,
    pub(super) lives_ms: u64,
    pub(super) asked: Data,
    pub(super) now: u64,
}

/// An epoch of keys.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) class: u8,
    pub(super) kind: u32,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) of_the_writer: bool,
    pub(super) of_the_chain: bool,
}

fn during(at: u64, span: (u64, u64)) -> bool {
    span.0 <= at && at < span.1
}

fn part(inner: &Data, outer: &Data) -> bool {
    let kinds = match (&inner.kinds, &outer.kinds) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.is_subset(outer),
    };
    inner.classes.is_subset(&outer.classes) && kinds && outer.from <= inner.from && inner.until <= outer.until
}

fn is_named(case: &Case) -> bool {
    match case.names {
        Names::Person { them, their_key } => case.kind == Kind::Person && them && their_key,
        Names::Application { them, their_key } => case.kind == Kind::Application && them && their_key,
        Names::Role { member, role } => {
            case.kind == Kind::Person && case.member == member && case.roles.contains(&role)
        }
    }
}

fn concerns(rule: &Rule, case: &Case) -> bool {
    rule.them != Some(false) && rule.purposes.as_ref().is_none_or(|these| these.contains(&case.purpose))
}

/// Whether a rule matches all that was intended.
fn closes_all(rule: &Rule, data: &Data) -> bool {
    let everything = Data {
        classes: rule.classes.clone().unwrap_or_else(|| (0..=u8::MAX).collect()),
        kinds: rule.kinds.clone(),
        from: rule.span.map_or(0, |span| span.0),
        until: rule.span.map_or(u64::MAX, |span| span.1),
    };
    part(data, &everything)
}

fn touches(rule: &Rule, epoch: &Epoch) -> bool {
    rule.classes.as_ref().is_none_or(|these| these.contains(&epoch.class))
        && rule.kinds.as_ref().is_none_or(|these| these.contains(&epoch.kind))
        && rule.span.is_none_or(|span| span.0 < epoch.until && epoch.from < span.1)
}

/// Whether a permit is made.
pub(super) fn permits(case: &Case) -> bool {
    let genuine = case.registered
        && case.kind != Kind::Gateway
        && !case.registration_ended
        && during(case.now, case.registration)
        && case.signed_by_them;
    let alive = case.now < case.since + case.lives_ms.min(ACCESS_LIVES_MS);
    let granted = is_named(case)
        && part(&case.intended, &case.granted)
        && case.purposes.contains(&case.purpose)
        && during(case.now, case.validity);
    let denied = case.denies.iter().any(|rule| concerns(rule, case) && closes_all(rule, &case.intended));
    let stands = !case.withdrawn && !case.refused;
    genuine && alive && granted && !denied && stands && part(&case.asked, &case.intended)
}

/// Whether the permit of a case opens an epoch.
pub(super) fn opens(case: &Case, epoch: &Epoch) -> bool {
    let asked = &case.asked;
    let wanted = asked.classes.contains(&epoch.class)
        && asked.kinds.as_ref().is_none_or(|these| these.contains(&epoch.kind))
        && asked.from < epoch.until
        && epoch.from < asked.until;
    let closed = case.denies.iter().any(|rule| concerns(rule, case) && touches(rule, epoch));
    epoch.of_the_writer && epoch.of_the_chain && wanted && !closed
}
