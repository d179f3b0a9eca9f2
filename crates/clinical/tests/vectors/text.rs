//! The text form of a vector: lines of `name: value`, an empty line, and the bytes in lines of
//! hexadecimal. The same as that of `spec/receipt.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// One vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Below `vectors/`, without the extension.
    pub(crate) path: String,
    /// `ok`, or the code of the refusal.
    pub(crate) expect: String,
    /// Why.
    pub(crate) comment: String,
    /// Further facts, as `name: value`.
    pub(crate) facts: Vec<(String, String)>,
    /// What is judged.
    pub(crate) bytes: Vec<u8>,
}

impl Vector {
    pub(crate) fn new(path: String, expect: &str, comment: &str, bytes: Vec<u8>) -> Self {
        let (expect, comment) = (expect.to_owned(), comment.to_owned());
        Self { path, expect, comment, facts: Vec::new(), bytes }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("comment: {}\nexpect: {}\n", self.comment, self.expect);
        for (name, value) in &self.facts {
            writeln!(text, "{name}: {value}").expect("a string takes text");
        }
        text.push('\n');
        for line in self.bytes.chunks(40) {
            writeln!(text, "{}", hex::encode(line)).expect("a string takes text");
        }
        text
    }

    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").expect("an empty line");
        let mut fields = head.lines().map(|line| line.split_once(": ").expect("name: value"));
        let mut field = |name| fields.next().filter(|(found, _)| *found == name).expect(name).1.to_owned();
        let (comment, expect) = (field("comment"), field("expect"));
        let facts = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let bytes = hex::decode(body.lines().collect::<String>()).expect("hexadecimal");
        Self { path: path.to_owned(), expect, comment, facts, bytes }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

/// Every checked-in vector below `vectors/<kind>`, by path without the extension.
pub(crate) fn checked_in(kind: &str) -> BTreeMap<String, Vector> {
    let folders = [format!("{kind}/good"), format!("{kind}/bad")];
    let mut found = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(root().join(&folder)).into_iter().flatten() {
            let entry = entry.expect("a readable folder");
            let name = entry.file_name().into_string().expect("an ASCII name");
            let path = format!("{folder}/{}", name.strip_suffix(".txt").expect("a .txt file"));
            let text = fs::read_to_string(entry.path()).expect("a text file");
            let vector = Vector::parse(&path, &text);
            assert_eq!(vector.text(), text, "{path} is not in its one form");
            found.insert(path, vector);
        }
    }
    found
}

/// Writes vectors as generated where a person can compare them, and says where.
pub(crate) fn write_copies(vectors: &[Vector]) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    for vector in vectors {
        let path = copy.join(format!("{}.txt", vector.path));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of our own");
        fs::write(path, vector.text()).expect("a file of our own");
    }
    copy
}
