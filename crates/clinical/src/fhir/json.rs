//! JSON as a strict tree in which every node knows the path of its element.
//!
//! Promises that nothing is taken twice or left lying: an object gives out exactly the members that
//! are asked for, and refuses any other, any that comes twice, and what is empty. Refuses to know
//! numbers, booleans and null, which no element of the profile is.

use super::refused::{ConsentRefused, Element, Why};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One value.
#[derive(Debug)]
pub(super) enum Json {
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, in the order of its members, repeated ones included.
    Object(Vec<(String, Json)>),
    /// Null, a boolean or a number.
    Other,
}

/// A value and where it stands.
pub(super) struct Node {
    element: Element,
    json: Json,
}

/// A place for one member of an object, filled or not.
pub(super) struct Slot {
    parent: Element,
    name: &'static str,
    json: Option<Json>,
}

/// The elements of a `Consent` and of the types it is made of (FHIR R4). They may be named in a
/// refusal; any other name could be anything, a patient's too.
const NAMES: &[&str] = &[
    "action",
    "actor",
    "assigner",
    "authority",
    "category",
    "class",
    "code",
    "coding",
    "contained",
    "data",
    "dataPeriod",
    "dateTime",
    "display",
    "end",
    "extension",
    "id",
    "identifier",
    "implicitRules",
    "language",
    "meaning",
    "meta",
    "modifierExtension",
    "organization",
    "patient",
    "performer",
    "period",
    "policy",
    "policyRule",
    "provision",
    "purpose",
    "reference",
    "resourceType",
    "role",
    "scope",
    "securityLabel",
    "sourceAttachment",
    "sourceReference",
    "start",
    "status",
    "system",
    "text",
    "type",
    "uri",
    "use",
    "userSelected",
    "value",
    "verification",
    "verificationDate",
    "verified",
    "verifiedWith",
    "version",
];

/// Reads one JSON text of at most `bytes_max` bytes, nested at most `depth_max` deep.
pub(super) fn parse(json: &[u8], bytes_max: usize, depth_max: usize) -> Result<Node, ConsentRefused> {
    let refuse = |why| ConsentRefused::new(Element::root(), why);
    if json.len() > bytes_max {
        return Err(refuse(Why::TooLarge));
    }
    let mut text = serde_json::Deserializer::from_slice(json);
    // The depth is the only rule of ours here, so whatever is no fault of syntax is a fault of depth.
    let why = |error: serde_json::Error| if error.is_data() { Why::TooDeep } else { Why::NotJson };
    let json = Depth(depth_max).deserialize(&mut text).map_err(|error| refuse(why(error)))?;
    text.end().map_err(|_| refuse(Why::NotJson))?;
    Ok(Node { element: Element::root(), json })
}

impl Node {
    /// Refuses this element.
    pub(super) fn refuse(&self, why: Why) -> ConsentRefused {
        ConsentRefused::new(self.element.clone(), why)
    }

    /// The members of these names. There may be no others.
    pub(super) fn members<const N: usize>(
        self,
        names: [&'static str; N],
    ) -> Result<[Slot; N], ConsentRefused> {
        let Json::Object(members) = self.json else {
            return Err(self.refuse(Why::NotObject));
        };
        let parent = self.element;
        if members.is_empty() {
            return Err(ConsentRefused::new(parent, Why::Empty));
        }
        let mut slots = names.map(|name| Slot { parent: parent.clone(), name, json: None });
        for (key, json) in members {
            let slot = slots.iter_mut().find(|slot| slot.name == key);
            let slot = slot.ok_or_else(|| ConsentRefused::new(named(&parent, &key), Why::NotSupported))?;
            if slot.json.replace(json).is_some() {
                return Err(slot.refuse(Why::Repeated));
            }
        }
        Ok(slots)
    }

    /// The elements of an array of at most `max`.
    pub(super) fn items(self, max: usize) -> Result<Vec<Self>, ConsentRefused> {
        let Json::List(items) = self.json else {
            return Err(self.refuse(Why::NotList));
        };
        let element = self.element;
        if items.is_empty() {
            return Err(ConsentRefused::new(element, Why::Empty));
        }
        if items.len() > max {
            return Err(ConsentRefused::new(element.item(max), Why::TooMany));
        }
        Ok(items.into_iter().zip(0..).map(|(json, at)| Self { element: element.item(at), json }).collect())
    }

    /// The element of an array of one.
    pub(super) fn only(self) -> Result<Self, ConsentRefused> {
        let empty = self.refuse(Why::Empty);
        self.items(1)?.pop().ok_or(empty)
    }

    /// What `meaning` makes of a string.
    pub(super) fn text<T>(self, meaning: impl FnOnce(&str) -> Result<T, Why>) -> Result<T, ConsentRefused> {
        match &self.json {
            Json::Text(text) if text.is_empty() => Err(self.refuse(Why::Empty)),
            Json::Text(text) => meaning(text).map_err(|why| self.refuse(why)),
            _ => Err(self.refuse(Why::NotText)),
        }
    }

    /// Takes the one string that is supported here.
    pub(super) fn fixed(self, text: &str) -> Result<(), ConsentRefused> {
        self.text(|found| if found == text { Ok(()) } else { Err(Why::Value) })
    }
}

impl Slot {
    /// What is there.
    pub(super) fn need(self) -> Result<Node, ConsentRefused> {
        let missing = self.refuse(Why::Missing);
        self.take().ok_or(missing)
    }

    /// What is there, if anything.
    pub(super) fn take(self) -> Option<Node> {
        let element = self.parent.child(self.name);
        self.json.map(|json| Node { element, json })
    }

    /// Refuses this element, there or not.
    pub(super) fn refuse(&self, why: Why) -> ConsentRefused {
        ConsentRefused::new(self.parent.child(self.name), why)
    }
}

/// The member of this name if FHIR has such a name, and otherwise its parent.
fn named(parent: &Element, key: &str) -> Element {
    let known = |key: &str| NAMES.iter().find(|name| **name == key);
    match (known(key), key.strip_prefix('_').and_then(known)) {
        (Some(name), _) => parent.child(name),
        (None, Some(name)) => parent.sibling(name),
        (None, None) => parent.clone(),
    }
}

/// How much deeper it may go.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn within<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let within = self.within()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(within)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let within = self.within()?;
        let mut members = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            members.push((key, object.next_value_seed(within)?));
        }
        Ok(Json::Object(members))
    }
}

/// The shortest JSON of the value. [`Json::Other`] is never written, and would be null.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quoted(text).fmt(f),
            Self::List(items) => separated(f, '[', items, ']', |f, item| item.fmt(f)),
            Self::Object(members) => {
                separated(f, '{', members, '}', |f, (key, value)| write!(f, "{}:{value}", quoted(key)))
            }
            Self::Other => f.write_str("null"),
        }
    }
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::String(text.to_owned())
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    open: char,
    items: &[T],
    close: char,
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (at, item) in items.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { "," })?;
        write(f, item)?;
    }
    write!(f, "{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(json: &str) -> Option<Why> {
        parse(json.as_bytes(), 64, 3).err().map(|refused| refused.why())
    }

    #[test]
    fn bytes_and_depth_are_bounded() {
        assert_eq!(why("[[[1,null,true,1.5,-1,\"\"]]]"), None);
        assert_eq!(why("[[[[]]]]"), Some(Why::TooDeep));
        assert_eq!(why("[[{\"a\":{}}]]"), Some(Why::TooDeep));
        assert_eq!(why(&"[".repeat(64)), Some(Why::TooDeep));
        assert_eq!(why(&" ".repeat(65)), Some(Why::TooLarge));
        let deep = "[".repeat(60_000);
        assert_eq!(
            parse(deep.as_bytes(), 1 << 16, 12).err().map(|refused| refused.why()),
            Some(Why::TooDeep)
        );
    }

    #[test]
    fn there_is_one_text_and_nothing_else() {
        for json in
            ["", "{", "{}{}", "{} x", "{'a':1}", "{\"a\":1,}", "\u{feff}{}", "[01]", "\"\\ud800\"", "NaN"]
        {
            assert_eq!(why(json), Some(Why::NotJson), "{json}");
        }
        assert_eq!(parse(b"\"\xff\"", 64, 3).err().map(|refused| refused.why()), Some(Why::NotJson));
    }

    #[test]
    fn what_is_written_is_read_by_others() {
        let text = Json::Text("a\"\\\n\u{1}\u{e9}".to_owned());
        let json = Json::Object(vec![
            ("b".to_owned(), Json::List(vec![text, Json::List(vec![])])),
            ("a\"".to_owned(), Json::Object(vec![])),
        ]);
        let expected = serde_json::json!({"b": ["a\"\\\n\u{1}\u{e9}", []], "a\"": {}});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json.to_string()).unwrap(), expected);
        assert!(json.to_string().starts_with("{\"b\":["));
    }

    #[test]
    fn only_names_of_fhir_are_named() {
        let root = Element::root();
        for (key, element) in [
            ("meta", "Consent.meta"),
            ("_status", "Consent._status"),
            ("__status", "Consent"),
            ("surname", "Consent"),
            ("", "Consent"),
            ("_", "Consent"),
        ] {
            assert_eq!(named(&root, key).to_string(), element);
        }
        assert!(NAMES.is_sorted());
    }
}
