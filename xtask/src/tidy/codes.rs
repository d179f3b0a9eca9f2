//! Error codes: each one that a source can show has a page, and each page's code can be shown.
//!
//! A code is either spelt out in a source (`SAL-` and four digits) or a row of the `codes!` table,
//! `Name = 42, ..`. Tests may speak of codes that there are not.

use super::finding::Finding;
use super::source::Source;
use super::tree::Tree;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// The folder of the pages.
const PAGES: &str = "docs/errors/";
/// What every code begins with, before four digits.
const PREFIX: &str = "SAL-";

/// Checks the sources against the pages.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut shown: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let products = tree.sources.iter().filter(|s| s.path.starts_with("crates/") && s.path.contains("/src/"));
    for source in products {
        for (code, line) in codes(source) {
            shown.entry(code).or_insert_with(|| (source.path.clone(), line));
        }
    }
    let mut findings = without_page(tree, &shown);
    findings.extend(without_source(tree, &shown));
    findings
}

fn without_page(tree: &Tree, shown: &BTreeMap<String, (String, usize)>) -> Vec<Finding> {
    let absent = shown.iter().filter(|(code, _)| !tree.paths.contains(&page(code)));
    absent
        .map(|(code, (path, line))| Finding::new(path, *line, "code", format!("write {}", page(code))))
        .collect()
}

fn without_source(tree: &Tree, shown: &BTreeMap<String, (String, usize)>) -> Vec<Finding> {
    let pages = tree.paths.iter().filter_map(|path| Some((path, code_of_page(path)?)));
    pages
        .filter(|(_, code)| !shown.contains_key(code))
        .map(|(path, code)| {
            Finding::new(
                path,
                1,
                "code",
                format!("no source shows {code}: remove the page, or show the code"),
            )
        })
        .collect()
}

fn page(code: &str) -> String {
    format!("{PAGES}{code}.md")
}

/// The code a page is about; an index or overview in the same folder is about none.
fn code_of_page(path: &str) -> Option<String> {
    let code = path.strip_prefix(PAGES)?.strip_suffix(".md")?;
    code.starts_with(PREFIX).then(|| code.to_owned())
}

fn codes(source: &Source) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if !source.is_test(index + 1) {
            found.extend(spelt_out(line).map(|code| (code, index + 1)));
        }
    }
    let mut table = Table(Vec::new());
    table.visit_file(&source.syntax);
    found.append(&mut table.0);
    found
}

fn spelt_out(line: &str) -> impl Iterator<Item = String> + '_ {
    line.match_indices(PREFIX).filter_map(|(at, prefix)| {
        let digits = line.get(at + prefix.len()..at + prefix.len() + 4)?;
        digits.chars().all(|c| c.is_ascii_digit()).then(|| format!("{PREFIX}{digits}"))
    })
}

/// The rows of every `codes!` table.
struct Table(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Table {
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("codes") {
            self.0.extend(rows(call.tokens.clone()));
        }
        visit::visit_macro(self, call);
    }
}

/// Each number that follows an equals sign. A row's documentation is a group, so it is not seen.
fn rows(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut equals = false;
    for token in tokens {
        if let (true, TokenTree::Literal(literal)) = (equals, &token)
            && let Ok(number) = literal.to_string().parse::<u16>()
        {
            found.push((format!("{PREFIX}{number:04}"), literal.span().start().line));
        }
        equals = token.to_string() == "=";
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::*;

    fn tree(path: &str, text: &str, pages: &[&str]) -> Tree {
        Tree {
            sources: vec![Source::parse(path, text).expect("it is Rust")],
            texts: Vec::new(),
            paths: pages.iter().map(|page| format!("{PAGES}{page}")).collect(),
            unreadable: Vec::new(),
        }
    }

    const TEXT: &str = "fn a() { say(\"SAL-0007: b\"); }\ncodes! {\n    Stale = 42, Peer, \"a\", \"b\";\n}\n";

    #[test]
    fn each_code_has_a_page() {
        let path = "crates/wire/src/code.rs";
        assert_eq!(brief(&check(&tree(path, TEXT, &["SAL-0007.md", "SAL-0042.md", "README.md"]))), [""; 0]);
        assert_eq!(brief(&check(&tree(path, TEXT, &["SAL-0042.md"]))), ["1 code"]);
        assert_eq!(brief(&check(&tree(path, TEXT, &["SAL-0007.md"]))), ["3 code"]);
    }

    #[test]
    fn each_page_has_a_code() {
        let found = check(&tree("crates/wire/src/code.rs", "", &["SAL-0001.md"]));
        assert_eq!(brief(&found), ["1 code"]);
    }

    #[test]
    fn only_the_product_shows_codes() {
        assert_eq!(brief(&check(&tree("xtask/src/a.rs", TEXT, &[]))), [""; 0]);
        let test = format!("#[cfg(test)]\nmod tests {{ {} }}", TEXT.lines().next().expect("a line"));
        assert_eq!(brief(&check(&tree("crates/wire/src/a.rs", &test, &[]))), [""; 0]);
        assert_eq!(spelt_out("SAL-12, SAL-dddd, SAL-99").count(), 0);
    }
}
