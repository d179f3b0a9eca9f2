//! Why a consent is refused, and for which of its elements.
//!
//! Promises that neither the element nor the reason repeats anything the consent said: an element is
//! a path of FHIR names and indices, a reason one of a fixed list. Refuses to know who sent it.

use std::fmt;

/// A consent that this profile cannot hold. Its author is to blame, or the system that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{element}` of the consent is refused: {why}")]
pub struct ConsentRefused {
    element: Element,
    why: Why,
}

/// What is wrong with the element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// More than [`super::consent::BYTES_MAX`].
    #[error("more bytes than a consent may have")]
    TooLarge,
    /// Not JSON (RFC 8259), not UTF-8, or something follows it.
    #[error("not one JSON text and nothing else")]
    NotJson,
    /// More than [`super::consent::DEPTH_MAX`].
    #[error("nested more deeply than a consent can be")]
    TooDeep,
    /// The profile cannot do without it.
    #[error("it must be there")]
    Missing,
    /// Named twice, or twice in a set.
    #[error("it is given more than once")]
    Repeated,
    /// Nothing of ours holds it. Where its name is not FHIR's, its parent is named.
    #[error("an element that is not supported")]
    NotSupported,
    /// Another JSON type.
    #[error("it must be a string")]
    NotText,
    /// Another JSON type.
    #[error("it must be an array")]
    NotList,
    /// Another JSON type.
    #[error("it must be an object")]
    NotObject,
    /// FHIR has no empty strings, arrays or objects.
    #[error("it must not be empty")]
    Empty,
    /// The first that is too many.
    #[error("more of them than are supported")]
    TooMany,
    /// A code, system or other fixed value that is not the profile's.
    #[error("a value that is not supported")]
    Value,
    /// Not in the one form of its identifiers.
    #[error("not an identifier in its one form")]
    Identifier,
    /// Not a time to the second or millisecond, with an offset.
    #[error("it must be a time to the second or millisecond with its offset from UTC")]
    Time,
    /// Outside what a time can be.
    #[error("a time outside the years 1970 to 9999")]
    TimeRange,
    /// The end lies before the start.
    #[error("it ends before it starts")]
    Span,
    /// A sensitive class together with another.
    #[error("a sensitive class of data takes a consent of its own")]
    Sensitive,
    /// Not one recipient and one custodian.
    #[error("it must name one recipient and one custodian")]
    Actors,
}

/// A path such as `Consent.provision.provision[1].action[0]`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Element(String);

impl ConsentRefused {
    pub(super) const fn new(element: Element, why: Why) -> Self {
        Self { element, why }
    }

    /// The element, as `Consent.provision.provision[1].action[0]`.
    #[must_use]
    pub fn element(&self) -> &str {
        &self.element.0
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }
}

impl Element {
    /// The resource itself.
    pub(super) fn root() -> Self {
        Self("Consent".to_owned())
    }

    /// An element of this one, by a name that is FHIR's.
    pub(super) fn child(&self, name: &'static str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    /// The sibling in which FHIR's JSON keeps the extensions of a primitive element.
    pub(super) fn sibling(&self, name: &'static str) -> Self {
        Self(format!("{}._{name}", self.0))
    }

    /// One of several.
    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
