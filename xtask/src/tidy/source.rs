//! One Rust file, read once: its syntax, its words, its functions, and which of its lines are tests.
//!
//! It knows nothing of the rules. Comments and strings are not words, so a rule that looks for a
//! word never trips over prose.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A parsed file.
pub(crate) struct Source {
    /// Relative to the root of the tree, with forward slashes.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// As syn reads it.
    pub(crate) syntax: syn::File,
    /// Its tokens in order, groups opened.
    pub(crate) words: Vec<Word>,
    /// Paths named in code, and every leaf of every `use`, spelt out: `std::fs::File`.
    pub(crate) mentions: Vec<Mention>,
    /// Its functions with a body.
    pub(crate) functions: Vec<Function>,
    /// Files that this one declares as test modules, relative to the root of the tree.
    pub(crate) test_modules: Vec<String>,
    test_lines: Vec<RangeInclusive<usize>>,
    whole_test: bool,
}

/// One token.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// One path, spelt with `::`.
pub(crate) struct Mention {
    pub(crate) path: String,
    pub(crate) line: usize,
    /// It is a method or field, so its meaning depends on what stands before the dot.
    pub(crate) after_dot: bool,
}

/// One function, method or default method of a trait.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From the line of `fn` to that of the closing brace, both counted.
    pub(crate) lines: usize,
}

impl Source {
    /// Parses `text`, the file at `path`.
    ///
    /// # Errors
    /// The line and the complaint, if it is not Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, (usize, String)> {
        let tokens: TokenStream = text
            .parse()
            .map_err(|error: proc_macro2::LexError| (error.span().start().line, error.to_string()))?;
        let syntax: syn::File =
            syn::parse2(tokens.clone()).map_err(|error| (error.span().start().line, error.to_string()))?;
        let mut words = Vec::new();
        flatten(tokens, &mut words);
        let mut walk = Walk::default();
        walk.visit_file(&syntax);
        let mut mentions = paths(&words);
        mentions.append(&mut walk.uses);
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            words,
            mentions,
            functions: walk.functions,
            test_modules: walk.test_modules.iter().flat_map(|name| module_files(path, name)).collect(),
            test_lines: walk.test_lines,
            whole_test: is_test_folder(path) || has_test_cfg(&syntax.attrs),
            syntax,
        })
    }

    /// Marks the whole file as test code: another file declares it under `#[cfg(test)]`.
    pub(crate) fn mark_test(&mut self) {
        self.whole_test = true;
    }

    /// Whether this line is test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.whole_test || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Lines of the file.
    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Lines of the file that are not test code.
    pub(crate) fn product_lines(&self) -> usize {
        (1..=self.lines()).filter(|line| !self.is_test(*line)).count()
    }

    /// Whether the file is `lib.rs` or `mod.rs` of a crate's sources.
    pub(crate) fn is_index(&self) -> bool {
        self.path.contains("src/") && matches!(self.path.rsplit('/').next(), Some("lib.rs" | "mod.rs"))
    }
}

/// Whether `path` is `prefix` or something inside it: `std::fs::File` is inside `std::fs`.
pub(crate) fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    for token in tokens {
        let line = token.span().start().line;
        let TokenTree::Group(group) = token else {
            words.push(Word { text: token.to_string(), line });
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        words.push(Word { text: open.to_owned(), line });
        flatten(group.stream(), words);
        words.push(Word { text: close.to_owned(), line: group.span_close().start().line });
    }
}

/// Joins `a :: b :: c` into one path; a word that is no identifier ends it.
fn paths(words: &[Word]) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    let mut colons = 0;
    let mut open = false;
    let mut after_dot = false;
    for word in words {
        let identifier = is_identifier(&word.text);
        if identifier {
            match found.last_mut().filter(|_| open && colons == 2) {
                Some(last) => last.path = format!("{}::{}", last.path, word.text),
                None => found.push(Mention { path: word.text.clone(), line: word.line, after_dot }),
            }
        }
        colons = if word.text == ":" { colons + 1 } else { 0 };
        open = identifier || (open && word.text == ":");
        after_dot = word.text == ".";
    }
    found
}

/// A byte string starts with a letter too, hence every character is looked at.
fn is_identifier(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || c == '_') && word.starts_with(|c: char| !c.is_numeric())
}

#[derive(Default)]
struct Walk {
    functions: Vec<Function>,
    uses: Vec<Mention>,
    test_modules: Vec<String>,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Walk {
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let line = signature.span().start().line;
        let lines = body.span().end().line.saturating_sub(line) + 1;
        self.functions.push(Function { name: signature.ident.to_string(), line, lines });
    }

    fn item(&mut self, item: &syn::Item) {
        let attributes = attributes_of(item);
        if !has_test_cfg(attributes) && !is_test_function(attributes) {
            return;
        }
        let span = item.span();
        self.test_lines.push(span.start().line..=span.end().line);
        if let syn::Item::Mod(syn::ItemMod { ident, content: None, .. }) = item {
            self.test_modules.push(ident.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.item(item);
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        spell_out(&item.tree, "", &mut self.uses);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn spell_out(tree: &syn::UseTree, prefix: &str, uses: &mut Vec<Mention>) {
    let joined = |name: String| if prefix.is_empty() { name } else { format!("{prefix}::{name}") };
    let mut leaf = |path: String, line| uses.push(Mention { path, line, after_dot: false });
    match tree {
        syn::UseTree::Path(path) => spell_out(&path.tree, &joined(path.ident.to_string()), uses),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                spell_out(tree, prefix, uses);
            }
        }
        syn::UseTree::Name(name) => leaf(joined(name.ident.to_string()), name.span().start().line),
        syn::UseTree::Rename(name) => leaf(joined(name.ident.to_string()), name.span().start().line),
        syn::UseTree::Glob(glob) => leaf(joined("*".to_owned()), glob.span().start().line),
    }
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `cfg(test)`, or `cfg(all(test, ..))`; an `any` or a `not` compiles into the product too.
fn has_test_cfg(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let text = list.tokens.to_string().replace(' ', "");
        text == "test" || text.starts_with("all(test,")
    })
}

/// `#[test]` and its like: `#[tokio::test]`.
fn is_test_function(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .filter_map(|attribute| attribute.path().segments.last())
        .any(|segment| segment.ident == "test")
}

fn is_test_folder(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches"))
}

/// The two files in which `mod name;` of the file at `path` may live.
fn module_files(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! Room.
use std::{fs, time::{Duration, Instant as Now}};
#[cfg(test)]
mod far;
trait Pulse {
    fn rate(&self) -> u8 {
        72
    }
}
fn sleepy(clock: &Clock) { clock.sleep(std::thread::sleep); }
#[cfg(not(test))]
fn product() {}
#[cfg(test)]
mod tests {
    #[test]
    fn beats() {}
}
";

    fn source() -> Source {
        Source::parse("crates/heart/src/beat.rs", TEXT).expect("it is Rust")
    }

    #[test]
    fn uses_are_spelt_out_and_paths_joined() {
        let source = source();
        let names: Vec<&str> = source.mentions.iter().map(|m| m.path.as_str()).collect();
        for path in ["std::fs", "std::time::Duration", "std::time::Instant", "std::thread::sleep"] {
            assert!(names.contains(&path), "{path} is not among {names:?}");
        }
        let method = source.mentions.iter().find(|m| m.path == "sleep").expect("the method");
        assert!(method.after_dot);
        assert!(!names.contains(&"clock::sleep"));
    }

    #[test]
    fn functions_are_measured_with_their_braces() {
        let rate = &source().functions[0];
        assert_eq!((rate.name.as_str(), rate.line, rate.lines), ("rate", 6, 3));
        assert_eq!(source().functions.len(), 4);
    }

    #[test]
    fn test_code_is_told_from_product() {
        let source = source();
        let tests: Vec<usize> = (1..=source.lines()).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [3, 4, 13, 14, 15, 16, 17]);
        assert_eq!(source.product_lines(), 10);
        assert_eq!(source.test_modules[0], "crates/heart/src/beat/far.rs");
        let elsewhere = Source::parse("crates/heart/tests/e2e.rs", TEXT).expect("it is Rust");
        assert_eq!(elsewhere.product_lines(), 0);
    }

    #[test]
    fn what_is_not_rust_names_its_line() {
        let complaint = Source::parse("a.rs", "fn a() {}\nfn (").err().expect("it is not Rust");
        assert_eq!(complaint.0, 2);
    }

    #[test]
    fn a_path_is_within_its_parents_only() {
        assert!(within("std::fs::File", "std::fs"));
        assert!(within("std::fs", "std::fs"));
        assert!(!within("std::fsync", "std::fs"));
    }
}
