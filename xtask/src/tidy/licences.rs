//! Licences: every package we build on, tools and tests included, may be used in an Apache-2.0
//! product.
//!
//! Reads SPDX expressions (and the older `MIT/Apache-2.0`): an `OR` needs one allowed side, an
//! `AND` needs both. It reads what manifests say, not what files say.

use super::finding::Finding;
use super::tree::Tree;
use super::workspace::{Package, Workspace};

/// Licences that ask for no more than naming the authors, or, for the file-level ones (MPL-2.0,
/// CDLA), for changes to the package itself.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BlueOak-1.0.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Words of one expression: longer ones are refused rather than read.
const WORDS_MAX: usize = 64;

/// Checks every package of the lock file.
pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let lock = tree.texts.iter().find(|text| text.path == "Cargo.lock");
    let lock = lock.map_or("", |lock| lock.text.as_str());
    workspace.packages.iter().filter_map(|package| complaint(package, lock)).collect()
}

fn complaint(package: &Package, lock: &str) -> Option<Finding> {
    let licence = package.licence.as_deref();
    if licence.is_some_and(allowed) {
        return None;
    }
    let name = format!("name = \"{}\"", package.name);
    let line = lock.lines().position(|line| line == name).map_or(1, |index| index + 1);
    let advice = format!(
        "`{} {}` is under {}: take another package (`cargo tree --invert {}` says who wants it)",
        package.name,
        package.version,
        licence.unwrap_or("no licence it names"),
        package.name
    );
    Some(Finding::new("Cargo.lock", line, "licence", advice))
}

fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().take(WORDS_MAX + 1).collect();
    if words.len() > WORDS_MAX {
        return false;
    }
    let mut reader = Reader { words: &words };
    let verdict = reader.either();
    reader.words.is_empty() && verdict == Some(true)
}

/// Reads an expression from the left; `None` is one that does not parse.
struct Reader<'a> {
    words: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn either(&mut self) -> Option<bool> {
        let mut verdict = self.both()?;
        while self.take("OR") {
            verdict |= self.both()?;
        }
        Some(verdict)
    }

    fn both(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.either()?;
            return self.take(")").then_some(verdict);
        }
        let name = self.next()?;
        let name = name.strip_suffix('+').unwrap_or(name);
        if self.take("WITH") {
            let exception = self.next()?;
            return Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()));
        }
        Some(ALLOWED.contains(&name))
    }

    fn take(&mut self, word: &str) -> bool {
        let Some((first, rest)) = self.words.split_first() else { return false };
        if *first == word {
            self.words = rest;
        }
        *first == word
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::super::workspace::member;
    use super::*;

    #[test]
    fn expressions_are_judged() {
        for (expression, verdict) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("MPL-2.0+", true),
            ("GPL-3.0-or-later", false),
            ("AGPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT AND AGPL-3.0-only", false),
            ("(GPL-3.0-only OR MIT) AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("ISC AND (Apache-2.0 OR ISC) AND (Apache-2.0 OR ISC OR MIT-0)", true),
            ("", false),
            ("MIT MIT", false),
            ("(MIT", false),
            ("MIT OR", false),
            ("LicenseRef-Proprietary", false),
        ] {
            assert_eq!(allowed(expression), verdict, "{expression}");
        }
        assert!(!allowed(&["MIT"; 40].join(" OR ")));
    }

    #[test]
    fn a_package_under_another_licence_is_named_at_its_line() {
        let lock = "[[package]]\nname = \"trie\"\n";
        let package =
            |licence: Option<&str>| Package { licence: licence.map(str::to_owned), ..member("trie", &[]) };
        let found = |licence| complaint(&package(licence), lock).map(|found| brief(&[found]));
        assert_eq!(found(Some("MIT")), None);
        assert_eq!(found(Some("GPL-3.0-only")), Some(vec!["2 licence".to_owned()]));
        assert_eq!(found(None), Some(vec!["2 licence".to_owned()]));
    }
}
