//! The text form of a vector (`spec/receipt.md`): lines of `name: value`, an empty line, and the
//! bytes in lines of hexadecimal.

use std::fmt::Write;

/// One vector: what to check, under which policy, and how it must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Below `vectors/`, without the extension.
    pub(crate) path: String,
    /// A file of `vectors/policy`, without the extension.
    pub(crate) policy: String,
    /// `ok`, or the name of the failure.
    pub(crate) expect: String,
    /// Why.
    pub(crate) comment: String,
    /// Further facts that a good one proves, as `name: value`.
    pub(crate) facts: Vec<(String, String)>,
    /// What is checked.
    pub(crate) bytes: Vec<u8>,
}

impl Vector {
    pub(crate) fn good(kind: &str, name: &str, policy: &str, comment: &str, bytes: Vec<u8>) -> Self {
        Self::new(format!("{kind}/good/{name}"), policy, "ok", comment, bytes)
    }

    pub(crate) fn bad(
        kind: &str,
        name: &str,
        policy: &str,
        expect: &str,
        comment: &str,
        bytes: Vec<u8>,
    ) -> Self {
        Self::new(format!("{kind}/bad/{name}"), policy, expect, comment, bytes)
    }

    fn new(path: String, policy: &str, expect: &str, comment: &str, bytes: Vec<u8>) -> Self {
        let (policy, expect, comment) = (policy.to_owned(), expect.to_owned(), comment.to_owned());
        Self { path, policy, expect, comment, facts: Vec::new(), bytes }
    }

    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("comment: {}\nexpect: {}\npolicy: {}\n", self.comment, self.expect, self.policy);
        for (name, value) in &self.facts {
            writeln!(text, "{name}: {value}").expect("a string takes text");
        }
        text.push('\n');
        for line in self.bytes.chunks(40) {
            writeln!(text, "{}", hex::encode(line)).expect("a string takes text");
        }
        text
    }
}
