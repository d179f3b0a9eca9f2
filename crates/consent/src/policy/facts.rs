//! What a policy is told about one request: exactly what the schema lists, for one class and one kind.

use crate::judge::{Ask, Named};
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use salus_wire::tx::PartyKind;
use salus_wire::{DataClass, ObservationCode, TimeMs};
use std::str::FromStr;

/// Milliseconds in an hour, and hours in a day.
const HOUR_MS: u64 = 3_600_000;
const DAY_HOURS: u64 = 24;
/// What stands for every kind that a policy does not name; no kind is written so.
const ANOTHER_KIND: &str = "another";

/// How a grant names whoever it permits, in a policy's words.
pub(super) const fn naming(named: Named) -> &'static str {
    match named {
        Named::Person => "person",
        Named::Role(_) => "role",
        Named::Application => "application",
        Named::Emergency(_) => "emergency",
    }
}

/// The request and its entities, or nothing when they do not keep to the schema.
pub(super) fn facts(
    ask: &Ask<'_>,
    named: Named,
    class: DataClass,
    kind: Option<ObservationCode>,
    schema: &Schema,
) -> Option<(Request, Entities)> {
    let principal = match ask.identity.kind {
        PartyKind::Person => uid("Person", "asker")?,
        PartyKind::Application => uid("Application", "asker")?,
        PartyKind::Gateway => return None,
    };
    let (action, resource) = (uid("Action", "read")?, uid("Data", "asked")?);
    let roles = ask.identity.roles.iter().map(|role| word(role.name()));
    let roles = [("roles".to_owned(), RestrictedExpression::new_set(roles))];
    let kind = kind.map_or_else(|| ANOTHER_KIND.to_owned(), |kind| kind.to_string());
    let data = [
        ("class".to_owned(), word(class.name())),
        ("kind".to_owned(), RestrictedExpression::new_string(kind)),
        ("sensitive".to_owned(), RestrictedExpression::new_bool(class.is_sensitive())),
    ];
    let context = [
        ("purpose".to_owned(), word(ask.purpose.code())),
        ("named".to_owned(), word(naming(named))),
        ("hour".to_owned(), RestrictedExpression::new_long(hour(ask.at)?)),
    ];
    let asker = Entity::new(principal.clone(), roles.into_iter().collect(), [].into_iter().collect()).ok()?;
    let data = Entity::new(resource.clone(), data.into_iter().collect(), [].into_iter().collect()).ok()?;
    let entities = Entities::from_entities([asker, data], Some(schema)).ok()?;
    let context = Context::from_pairs(context).ok()?;
    let request = Request::new(principal, action, resource, context, Some(schema)).ok()?;
    Some((request, entities))
}

fn uid(kind: &str, name: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind).ok()?, EntityId::new(name)))
}

fn word(word: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(word.to_owned())
}

/// The hour of the day, UTC.
fn hour(at: TimeMs) -> Option<i64> {
    i64::try_from((at.get() / HOUR_MS) % DAY_HOURS).ok()
}
