//! The shape of a file: it says what room it is, and nothing in it needs a scroll.

use super::finding::Finding;
use super::source::Source;

/// Lines of one function, from `fn` to the closing brace. Tests too; nobody is grandfathered.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
/// Lines of one file that are not tests.
pub(crate) const PRODUCT_LINES_MAX: usize = 600;

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = functions(source);
    findings.extend(head(source));
    findings.extend(length(source));
    findings.extend(index(source));
    findings
}

fn head(source: &Source) -> Option<Finding> {
    let says = source.text.lines().next().is_some_and(|line| {
        line.strip_prefix("//!").is_some_and(|words| words.split_whitespace().count() >= 2)
    });
    (!says).then(|| {
        let advice = "begin the file with `//!`: what room it is, what it promises, what it refuses to know";
        Finding::new(&source.path, 1, "head", advice)
    })
}

fn functions(source: &Source) -> Vec<Finding> {
    let long = source.functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let advice = format!(
            "`{}` has {} lines, {FUNCTION_LINES_MAX} at most: the parent decides, the leaves compute",
            function.name, function.lines
        );
        Finding::new(&source.path, function.line, "function", advice)
    })
    .collect()
}

fn length(source: &Source) -> Option<Finding> {
    let lines = source.product_lines();
    (lines > PRODUCT_LINES_MAX).then(|| {
        let advice = format!("{lines} lines of product, {PRODUCT_LINES_MAX} at most: split the room");
        Finding::new(&source.path, 1, "file", advice)
    })
}

fn index(source: &Source) -> Option<Finding> {
    let function = source.functions.first().filter(|_| source.is_index())?;
    let advice =
        format!("`{}` has no place here: this file holds docs, mod lines and re-exports", function.name);
    Some(Finding::new(&source.path, function.line, "index", advice))
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        brief(&check(&Source::parse(path, text).expect("it is Rust")))
    }

    fn with_function(lines: usize) -> String {
        format!("//! A room.\nfn long() {{\n{}}}\n", "    beat();\n".repeat(lines - 2))
    }

    #[test]
    fn functions_over_the_limit_are_refused() {
        assert_eq!(found("src/a.rs", &with_function(70)), [""; 0]);
        assert_eq!(found("src/a.rs", &with_function(71)), ["2 function"]);
        let in_test = with_function(71).replace("fn long", "#[test]\nfn long");
        assert_eq!(found("src/a.rs", &in_test), ["3 function"]);
    }

    #[test]
    fn a_file_says_what_room_it_is() {
        assert_eq!(found("src/a.rs", "fn a() {}"), ["1 head"]);
        assert_eq!(found("src/a.rs", "//!\nfn a() {}"), ["1 head"]);
        assert_eq!(found("src/a.rs", "// A room.\nfn a() {}"), ["1 head"]);
        assert_eq!(found("src/a.rs", ""), ["1 head"]);
    }

    #[test]
    fn product_lines_are_limited_and_tests_are_not() {
        let product = format!("//! A room.\n{}", "const A: u8 = 1;\n".repeat(599));
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 1;\n".repeat(900));
        assert_eq!(found("src/a.rs", &format!("{product}{tests}")), [""; 0]);
        assert_eq!(found("src/a.rs", &format!("{product}const B: u8 = 1;\n{tests}")), ["1 file"]);
        assert_eq!(
            found("crates/a/tests/b.rs", &format!("{product}{}", "const A: u8 = 1;\n".repeat(9))),
            [""; 0]
        );
    }

    #[test]
    fn an_index_holds_no_functions() {
        let text = "//! A room.\npub mod a;\npub use a::B;\nimpl B {\n    fn c() {}\n}\n";
        assert_eq!(found("crates/a/src/lib.rs", text), ["5 index"]);
        assert_eq!(found("crates/a/src/a/mod.rs", text), ["5 index"]);
        assert_eq!(found("crates/a/src/a.rs", text), [""; 0]);
        assert_eq!(found("crates/a/src/lib.rs", "//! A room.\npub mod a;\n"), [""; 0]);
    }
}
