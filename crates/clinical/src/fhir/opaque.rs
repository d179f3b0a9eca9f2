//! Texts that a consent carries for the patient alone: kept as they are, read by nobody here, never
//! on the ledger.
//!
//! Promises that each is in FHIR's form for its type and bounded, and that none is printed by
//! accident: `Debug` shows `[REDACTED]`, for they may name a patient. Refuses to know what they mean.

use std::fmt;

/// Bytes of one text. FHIR sets no limit for them.
pub const TEXT_BYTES_MAX: usize = 256;
/// Bytes of an `id` (FHIR R4, datatypes: `id`).
pub const ID_BYTES_MAX: usize = 64;

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident if $holds:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);
        impl $name {
            /// The text, or `None` when it has not this form.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                $holds(text).then(|| Self(text.to_owned()))
            }
            /// The text as it is.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([REDACTED])"))
            }
        }
    };
}

opaque!(
    /// The logical id of a resource: 1 to 64 letters, digits, hyphens and full stops.
    ConsentId if is_id
);
opaque!(
    /// A URI or a reference: without blanks, and not to something contained, of which there is nothing.
    Uri if is_uri
);
opaque!(
    /// Any other text, without control characters and without blanks at its ends.
    Plain if is_plain
);

fn is_id(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(known)
}

fn is_uri(text: &str) -> bool {
    is_plain(text) && !text.starts_with('#') && !text.contains(char::is_whitespace)
}

fn is_plain(text: &str) -> bool {
    let bounded = !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    bounded && text.trim() == text && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_form_and_its_limit() {
        let long = "a".repeat(TEXT_BYTES_MAX);
        let longer = format!("{long}a");
        assert!(["a", "A-1.b", &"a".repeat(ID_BYTES_MAX)].iter().all(|text| ConsentId::new(text).is_some()));
        for text in ["", "a b", "a_b", "\u{e9}", &"a".repeat(ID_BYTES_MAX + 1)] {
            assert!(ConsentId::new(text).is_none(), "{text}");
        }
        assert!(["Patient/1", "urn:uuid:1", &long].iter().all(|text| Uri::new(text).is_some()));
        for text in ["", "#p", "a b", "a\u{a0}b", "a\n", &longer] {
            assert!(Uri::new(text).is_none(), "{text}");
        }
        assert!(["#", "a b", &long].iter().all(|text| Plain::new(text).is_some()));
        for text in ["", " a", "a ", "a\tb", "\u{0}", &longer] {
            assert!(Plain::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn none_is_printed_by_accident() {
        assert_eq!(format!("{:?}", ConsentId::new("CANARY")), "Some(ConsentId([REDACTED]))");
        assert_eq!(format!("{:?}", Uri::new("CANARY")), "Some(Uri([REDACTED]))");
        assert_eq!(format!("{:?}", Plain::new("CANARY")), "Some(Plain([REDACTED]))");
    }
}
