//! Words that have no place in the sources: unfinished work, silenced lints, skipped or sleeping
//! tests, queues without a limit.
//!
//! Prose and strings may name them; code may not use them, and comments may not promise them.

use super::finding::Finding;
use super::source::{Source, Word};
use super::tree::Text;

/// Macros that mark unfinished work or a debugging session.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
/// Notes to oneself. Spelt in two halves, so that this file does not trip over itself.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Files whose comments are read for notes.
const NOTED: &[&str] = &[".rs", ".toml", ".py", ".sh", ".ts", ".yml"];

/// Checks the code of one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, word) in source.words.iter().enumerate() {
        let after = source.words.get(position + 1..).unwrap_or_default();
        if let Some(advice) = refused(&word.text, after) {
            findings.push(Finding::new(&source.path, word.line, "word", advice));
        }
    }
    findings.extend(sleeps(source));
    findings.extend(unbounded(source));
    findings
}

/// Checks the comments of one text file for notes to oneself.
pub(crate) fn check_notes(text: &Text) -> Vec<Finding> {
    if !NOTED.iter().any(|ending| text.path.ends_with(ending)) && text.path != ".ci/run" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(note) = words.find(|word| NOTES.contains(word)) {
            let advice = format!("no {note} on main: do it, or file an issue");
            findings.push(Finding::new(&text.path, index + 1, "word", advice));
        }
    }
    findings
}

fn refused(word: &str, after: &[Word]) -> Option<String> {
    let next = after.first().map(|word| word.text.as_str());
    if next == Some("!") && MACROS.contains(&word) {
        return Some(format!("no `{word}!` on main: finish it, or leave it out whole"));
    }
    let attribute = word == "#" && (next == Some("[") || next == Some("!"));
    let name = after.iter().map(|word| word.text.as_str()).find(|text| !matches!(*text, "!" | "["));
    match name {
        Some("allow") if attribute => {
            Some("say `#[expect(.., reason = \"..\")]`: it falls away when it is no longer needed".to_owned())
        }
        Some("ignore") if attribute => Some("a skipped test is no test: mend it, or remove it".to_owned()),
        _ => None,
    }
}

/// A method `.sleep()` may belong to a simulated clock; the free functions never do.
fn sleeps(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<Finding> = source
        .mentions
        .iter()
        .filter(|mention| source.is_test(mention.line) && !mention.after_dot)
        .filter(|mention| {
            matches!(mention.path.rsplit("::").next(), Some("sleep" | "sleep_until" | "sleep_ms"))
        })
        .map(|mention| {
            let advice = "a test does not sleep: wait for the event itself, with a limit";
            Finding::new(&source.path, mention.line, "sleep", advice)
        })
        .collect();
    findings.dedup();
    findings
}

/// Whatever a peer can fill has a limit (STYLE 17); tests may do without.
fn unbounded(source: &Source) -> Vec<Finding> {
    let product = source.path.starts_with("crates/") && source.path.contains("/src/");
    let mut findings: Vec<Finding> = source
        .mentions
        .iter()
        .filter(|mention| product && !source.is_test(mention.line) && !mention.after_dot)
        .filter(|mention| matches!(mention.path.rsplit("::").next(), Some("unbounded_channel" | "unbounded")))
        .map(|mention| {
            let advice = "a queue has a named limit, and a row in docs/limits.md";
            Finding::new(&source.path, mention.line, "unbounded", advice)
        })
        .collect();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        brief(&check(&Source::parse(path, text).expect("it is Rust")))
    }

    #[test]
    fn unfinished_and_silenced_code_is_refused() {
        for bad in [
            "fn a() { todo!() }",
            "fn a() { unimplemented!(\"later\") }",
            "fn a() { vec![dbg!(1)]; }",
            "#[allow(dead_code)] fn a() {}",
            "#![allow(dead_code)]",
            "#[test] #[ignore] fn a() {}",
            "#[test] #[ignore = \"slow\"] fn a() {}",
            "macro_rules! a { () => { #[allow(unused)] fn b() {} } }",
        ] {
            assert_eq!(found("src/a.rs", bad), ["1 word"], "{bad}");
        }
    }

    #[test]
    fn prose_and_names_that_look_alike_pass() {
        for good in [
            "//! Never todo!() here, nor #[ignore].\nfn todo() { let dbg = \"dbg!\"; }",
            "#[expect(dead_code, reason = \"held for its drop\")] fn a() {}",
            "fn a(allow: bool, ignore: bool) -> bool { allow != ignore }",
        ] {
            assert_eq!(found("src/a.rs", good), [""; 0], "{good}");
        }
    }

    #[test]
    fn tests_do_not_sleep() {
        let text = "fn a() { std::thread::sleep(d); tokio::time::sleep(d); }";
        assert_eq!(found("src/a.rs", text), [""; 0]);
        assert_eq!(found("crates/a/tests/a.rs", text), ["1 sleep"]);
        assert_eq!(found("src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")), ["2 sleep"]);
        assert_eq!(found("tests/a.rs", "use tokio::time::{sleep, timeout};"), ["1 sleep"]);
        assert_eq!(found("tests/a.rs", "fn a() { context.sleep(d); }"), [""; 0]);
    }

    #[test]
    fn a_queue_of_the_product_has_a_limit() {
        for text in
            ["fn a() { tokio::sync::mpsc::unbounded_channel(); }", "use futures::channel::mpsc::unbounded;"]
        {
            assert_eq!(found("crates/a/src/a.rs", text), ["1 unbounded"], "{text}");
            assert_eq!(found("crates/a/tests/a.rs", text), [""; 0]);
            assert_eq!(found("xtask/src/a.rs", text), [""; 0]);
        }
        assert_eq!(found("crates/a/src/a.rs", "fn a() { mpsc::channel(8); config_unbounded(); }"), [""; 0]);
    }

    #[test]
    fn notes_to_oneself_are_refused_in_comments() {
        let note = |path: &str, text: String| brief(&check_notes(&Text { path: path.to_owned(), text }));
        let line = format!("// {}: later\n", NOTES[0]);
        assert_eq!(note("src/a.rs", format!("fn a() {{}}\n{line}")), ["2 word"]);
        assert_eq!(note("Cargo.toml", format!("# {}", NOTES[1])), ["1 word"]);
        assert_eq!(note("src/a.rs", format!("// METHO{}", NOTES[0])), [""; 0]);
        assert_eq!(note("STYLE.md", line), [""; 0]);
    }
}
