//! The tree on disk: which files there are, and what is in them.
//!
//! Build output and hidden folders other than our own are not looked into.

use super::finding::Finding;
use super::source::Source;
use crate::failure::Failure;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

/// Hidden folders and files at the root that belong to the project.
const OWN_HIDDEN: &[&str] = &[".cargo", ".ci", ".config", ".gitignore"];
/// Folders that hold what programs write, not what people write.
const OUTPUT: &[&str] = &["target", "artifacts", "coverage", "node_modules"];

/// Every file of the project.
pub(crate) struct Tree {
    /// Rust files, in order of path.
    pub(crate) sources: Vec<Source>,
    /// All text files, the Rust ones included, in order of path.
    pub(crate) texts: Vec<Text>,
    /// Paths of all files, text or not, relative to the root.
    pub(crate) paths: BTreeSet<String>,
    /// Rust files that do not parse.
    pub(crate) unreadable: Vec<Finding>,
}

/// A text file.
pub(crate) struct Text {
    /// Relative to the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// [`Failure::Read`] for a file or folder that cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let mut tree =
            Self { sources: Vec::new(), texts: Vec::new(), paths: BTreeSet::new(), unreadable: Vec::new() };
        let walk = WalkDir::new(root).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(is_ours) {
            let entry = entry.map_err(|error| Failure::Read {
                path: root.to_path_buf(),
                source: io::Error::other(error),
            })?;
            if entry.file_type().is_file() {
                tree.add(root, entry.path())?;
            }
        }
        tree.mark_test_modules();
        Ok(tree)
    }

    fn add(&mut self, root: &Path, file: &Path) -> Result<(), Failure> {
        let bytes = fs::read(file).map_err(|source| Failure::Read { path: file.to_path_buf(), source })?;
        let path = relative(root, file);
        self.paths.insert(path.clone());
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if path.ends_with(".rs") {
            match Source::parse(&path, &text) {
                Ok(source) => self.sources.push(source),
                Err((line, complaint)) => self.unreadable.push(Finding::new(
                    &path,
                    line,
                    "rust",
                    format!("make this Rust that parses ({complaint})"),
                )),
            }
        }
        self.texts.push(Text { path, text });
        Ok(())
    }

    fn mark_test_modules(&mut self) {
        let tests: BTreeSet<String> =
            self.sources.iter().flat_map(|source| source.test_modules.clone()).collect();
        self.sources.iter_mut().filter(|source| tests.contains(&source.path)).for_each(Source::mark_test);
    }
}

fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let hidden = entry.depth() > 0 && name.starts_with('.');
    if entry.file_type().is_dir() && OUTPUT.contains(&name.as_ref()) {
        return false;
    }
    !hidden || OWN_HIDDEN.contains(&name.as_ref())
}

fn relative(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap_or(file);
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
