//! The style guide as a test: reads the whole tree and prints each place where it breaks a rule.
//!
//! Every rule is a pure function from what was read to findings, with a test that it fires on a bad
//! example and stays silent on a good one. Only [`tree`] and [`workspace`] read anything.

mod codes;
mod corpora;
mod finding;
mod licences;
mod places;
mod purity;
pub(crate) mod shape;
mod source;
pub(crate) mod tree;
mod walls;
mod words;
mod workspace;

use crate::failure::Failure;
pub(crate) use corpora::targets;
use finding::Finding;
use std::path::Path;
use tree::Tree;
use workspace::Workspace;

/// Checks the tree at `root` and prints the findings, in order of path.
///
/// # Errors
/// [`Failure::Untidy`] if there are any.
pub(crate) fn tidy(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let workspace = Workspace::read(root)?;
    let findings = findings(&tree, &workspace);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!(
                "tidy: {} Rust files, {} packages, nothing to say",
                tree.sources.len(),
                workspace.packages.len()
            );
            Ok(())
        }
        count => Err(Failure::Untidy { count }),
    }
}

fn findings(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = tree.unreadable.clone();
    findings.extend(walls::check(workspace, tree));
    findings.extend(purity::check_manifests(workspace));
    findings.extend(licences::check(workspace, tree));
    findings.extend(codes::check(tree));
    findings.extend(corpora::check(tree));
    for source in &tree.sources {
        findings.extend(shape::check(source));
        findings.extend(purity::check(source));
        findings.extend(words::check(source));
    }
    for text in &tree.texts {
        findings.extend(places::check(text));
        findings.extend(words::check_notes(text));
    }
    findings.sort();
    findings
}
