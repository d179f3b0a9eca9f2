//! Pure crates: inputs are arguments and outputs are values.
//!
//! No runtime, disk, network, thread, clock, environment, entropy, global, or order that depends on
//! a random hash; and where members must agree on a result, no floating point. Test code is free.

use super::finding::Finding;
use super::source::{Source, within};
use super::workspace::{Package, Workspace};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Folders of the crates that must be pure.
pub(crate) const PURE: &[&str] =
    &["crypto", "wire", "proof", "fragment", "consent", "ledger", "clinical", "review"];
/// Pure crates whose results every member must reach to the bit.
const AGREED: &[&str] = &["ledger", "consent"];

/// Packages that bring a runtime, a disk, a clock or entropy with them. `*` ends a prefix.
const IMPURE: &[&str] = &[
    "async-std",
    "crossbeam*",
    "figment",
    "fastrand",
    "futures*",
    "getrandom",
    "indicatif",
    "mqtt-*",
    "object_store",
    "rand",
    "rayon",
    "smol",
    "tempfile",
    "tokio*",
    "tracing*",
];
/// Modules of the standard library that reach outside.
const OUTSIDE: &[&str] = &["std::env", "std::fs", "std::net", "std::process", "std::thread"];
/// Names that mean the same wherever they are imported from.
const NAMES: &[(&str, &str)] = &[
    ("SystemTime", "take the time as an argument"),
    ("Instant", "take the time as an argument"),
    ("SysRng", "take randomness as an argument"),
    ("OsRng", "take randomness as an argument"),
    ("ThreadRng", "take randomness as an argument"),
    ("thread_rng", "take randomness as an argument"),
    ("getrandom", "take randomness as an argument"),
    ("HashMap", "its order is random: use BTreeMap"),
    ("HashSet", "its order is random: use BTreeSet"),
    ("RandomState", "its order is random"),
    ("thread_local", "pass the value as an argument"),
];
/// Types that make a `static` a global variable.
const CELLS: &[&str] = &["Mutex", "RwLock", "OnceLock", "LazyLock", "OnceCell", "Cell", "Atomic"];

/// Checks the manifests of the pure crates.
pub(crate) fn check_manifests(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, manifest) in workspace.members() {
        if is_pure(package) {
            findings.extend(package.uses.iter().filter(|to| is_impure(to)).map(|to| {
                let advice =
                    format!("`{}` is pure and may not name `{to}`: let a driver do it", package.name);
                Finding::new(manifest, 1, "pure", advice)
            }));
        }
    }
    findings
}

/// Checks one file, if it belongs to a pure crate.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if !PURE.iter().any(|name| is_inside(source, name)) {
        return Vec::new();
    }
    let agreed = AGREED.iter().any(|name| is_inside(source, name));
    let mut findings = mentions(source, agreed);
    let mut walk = Walk { source, findings: Vec::new() };
    walk.visit_file(&source.syntax);
    findings.append(&mut walk.findings);
    findings
}

fn is_inside(source: &Source, name: &str) -> bool {
    source.path.starts_with(&format!("crates/{name}/src/"))
}

fn is_pure(package: &Package) -> bool {
    package.name.strip_prefix("salus-").is_some_and(|name| PURE.contains(&name))
}

fn is_impure(package: &str) -> bool {
    IMPURE
        .iter()
        .any(|name| name.strip_suffix('*').map_or(*name == package, |prefix| package.starts_with(prefix)))
}

fn mentions(source: &Source, agreed: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mention in source.mentions.iter().filter(|mention| !source.is_test(mention.line)) {
        if let Some(complaint) = complaint(&mention.path, agreed) {
            let advice = format!("a pure crate may not name `{}`: {complaint}", mention.path);
            findings.push(Finding::new(&source.path, mention.line, "pure", advice));
        }
    }
    findings.sort();
    findings.dedup_by_key(|finding| finding.line());
    findings
}

fn complaint(path: &str, agreed: bool) -> Option<&'static str> {
    if OUTSIDE.iter().any(|module| within(path, module)) {
        return Some("let a driver do it");
    }
    if matches!(path, "std::*" | "std::time::*" | "std::collections::*") {
        return Some("import by name, so that a reader sees what is used");
    }
    let named = |name: &str| path.split("::").any(|part| part == name);
    if agreed && (named("f32") || named("f64")) {
        return Some("floating point differs between machines: use integers");
    }
    NAMES.iter().find(|(name, _)| named(name)).map(|(_, complaint)| *complaint)
}

struct Walk<'a> {
    source: &'a Source,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn refuse(&mut self, span: proc_macro2::Span, advice: &str) {
        let line = span.start().line;
        if !self.source.is_test(line) {
            self.findings.push(Finding::new(&self.source.path, line, "pure", advice));
        }
    }
}

const NO_ASYNC: &str = "a pure crate has no async: return what is to be done, and let a driver do it";

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(asyncness) = &signature.asyncness {
            self.refuse(asyncness.span(), NO_ASYNC);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        self.refuse(expression.async_token.span(), NO_ASYNC);
        visit::visit_expr_async(self, expression);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        let mut cell = NamesCell(false);
        cell.visit_type(&item.ty);
        if cell.0 {
            self.refuse(
                item.static_token.span(),
                "a pure crate has no global: pass the value as an argument",
            );
        }
        visit::visit_item_static(self, item);
    }
}

struct NamesCell(bool);

impl<'ast> Visit<'ast> for NamesCell {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        let name = ident.to_string();
        self.0 |= CELLS.iter().any(|cell| name == *cell || (*cell == "Atomic" && name.starts_with(cell)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::super::workspace::member;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        brief(&check(&Source::parse(path, text).expect("it is Rust")))
    }

    #[test]
    fn what_reaches_outside_is_refused() {
        for bad in [
            "use std::fs::File;",
            "use std::{io, net::TcpStream};",
            "fn now() { std::time::SystemTime::now(); }",
            "use std::time::{Duration, Instant as Now};",
            "fn draw() { rand::rngs::OsRng.fill(b); }",
            "fn say() { println!(\"{}\", std::env::var(\"A\")); }",
            "use std::collections::HashMap;",
            "use std::time::*;",
            "async fn wait() {}",
            "fn wait() { let later = async { 1 }; }",
            "static COUNT: AtomicU64 = AtomicU64::new(0);",
            "static NAME: OnceLock<String> = OnceLock::new();",
        ] {
            assert_eq!(found("crates/wire/src/a.rs", bad), ["1 pure"], "{bad}");
        }
    }

    #[test]
    fn what_takes_arguments_passes() {
        for good in [
            "use std::collections::BTreeMap;\nuse std::{fmt, io};",
            "use std::time::Duration;",
            "fn draw(rng: &mut impl rand_core::CryptoRng) {}",
            "static TABLE: [u8; 2] = [1, 2];",
            "/// Not std::fs, says std::env.\nfn fs() { let text = \"std::net\"; }",
            "#[cfg(test)]\nmod tests {\n use std::fs;\n async fn a() {}\n}",
        ] {
            assert_eq!(found("crates/ledger/src/a.rs", good), [""; 0], "{good}");
        }
        assert_eq!(found("crates/node/src/a.rs", "use std::fs;"), [""; 0]);
        assert_eq!(found("crates/wire/tests/a.rs", "use std::fs;"), [""; 0]);
    }

    #[test]
    fn floats_are_refused_where_members_must_agree() {
        let float = "fn mean(a: f64) -> f64 { a }";
        assert_eq!(found("crates/ledger/src/a.rs", float), ["1 pure"]);
        assert_eq!(found("crates/clinical/src/a.rs", float), [""; 0]);
    }

    #[test]
    fn impure_packages_are_refused_in_pure_crates_alone() {
        let check = |name, to| check_manifests(&Workspace { packages: vec![member(name, &[to])] }).len();
        assert_eq!(check("salus-ledger", "tokio-util"), 1);
        assert_eq!(check("salus-ledger", "rand"), 1);
        assert_eq!(check("salus-ledger", "rand_core"), 0);
        assert_eq!(check("salus-node", "tokio"), 0);
    }
}
