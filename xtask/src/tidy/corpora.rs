//! Fuzz targets: each has a corpus to start from, and each corpus has its target.

use super::finding::Finding;
use super::tree::Tree;
use std::collections::BTreeSet;

/// Where the targets are.
const TARGETS: &str = "fuzz/fuzz_targets/";
/// Where their corpora are, a folder for each.
const CORPORA: &str = "fuzz/corpus/";

/// Checks the targets against the corpora.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let targets = targets(&tree.paths);
    let corpora: BTreeSet<&str> =
        tree.paths.iter().filter_map(|path| path.strip_prefix(CORPORA)?.split('/').next()).collect();
    let bare = targets.iter().filter(|target| !corpora.contains(*target)).map(|target| {
        let advice = format!("put valid and hostile inputs into {CORPORA}{target}/");
        Finding::new(&format!("{TARGETS}{target}.rs"), 1, "corpus", advice)
    });
    let stray = corpora.iter().filter(|corpus| !targets.contains(*corpus)).map(|corpus| {
        let advice = format!("no target reads this: write {TARGETS}{corpus}.rs, or remove it");
        Finding::new(&format!("{CORPORA}{corpus}"), 1, "corpus", advice)
    });
    bare.chain(stray).collect()
}

/// Names of the fuzz targets among these paths.
pub(crate) fn targets(paths: &BTreeSet<String>) -> BTreeSet<&str> {
    paths.iter().filter_map(|path| path.strip_prefix(TARGETS)?.strip_suffix(".rs")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::brief;
    use super::*;

    fn found(paths: &[&str]) -> Vec<String> {
        brief(&check(&Tree {
            sources: Vec::new(),
            texts: Vec::new(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            unreadable: Vec::new(),
        }))
    }

    #[test]
    fn target_and_corpus_go_together() {
        assert_eq!(found(&["fuzz/fuzz_targets/a.rs", "fuzz/corpus/a/1"]), [""; 0]);
        assert_eq!(found(&["fuzz/fuzz_targets/a.rs"]), ["1 corpus"]);
        assert_eq!(found(&["fuzz/corpus/a/1"]), ["1 corpus"]);
    }
}
