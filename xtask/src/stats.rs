//! Numbers about the tree, beside the limits of the house: how long functions and files are.

use crate::failure::Failure;
use crate::tidy::shape::{FUNCTION_LINES_MAX, PRODUCT_LINES_MAX};
use crate::tidy::tree::Tree;
use std::collections::BTreeMap;
use std::path::Path;

/// What is counted of one crate, or of all.
#[derive(Default)]
struct Counts {
    files: usize,
    product: usize,
    test: usize,
    file_lines: Vec<usize>,
    function_lines: Vec<usize>,
}

/// Prints one line for each crate and one for all.
///
/// # Errors
/// [`Failure::Read`] if the tree cannot be read.
pub(crate) fn stats(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let mut crates: BTreeMap<String, Counts> = BTreeMap::new();
    for source in &tree.sources {
        for name in [crate_of(&source.path), "~ all".to_owned()] {
            let counts = crates.entry(name).or_default();
            let product = source.product_lines();
            counts.files += 1;
            counts.product += product;
            counts.test += source.lines() - product;
            counts.file_lines.push(product);
            counts
                .function_lines
                .extend(source.functions.iter().filter(|f| !source.is_test(f.line)).map(|f| f.lines));
        }
    }
    println!(
        "{:12} {:>6} {:>8} {:>8} {:>20} {:>20}",
        "crate", "files", "product", "test", "file p50/p90/max", "fn p50/p90/max"
    );
    for (name, counts) in &mut crates {
        println!(
            "{name:12} {:>6} {:>8} {:>8} {:>20} {:>20}",
            counts.files,
            counts.product,
            counts.test,
            spread(&mut counts.file_lines),
            spread(&mut counts.function_lines)
        );
    }
    println!("limits: file {PRODUCT_LINES_MAX}, function {FUNCTION_LINES_MAX}, function p90 30");
    Ok(())
}

fn crate_of(path: &str) -> String {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or("crates").to_owned(),
        first => first.unwrap_or(path).to_owned(),
    }
}

/// The median, the ninetieth percentile and the greatest.
fn spread(lines: &mut [usize]) -> String {
    lines.sort_unstable();
    let at = |percent: usize| {
        let rank = (lines.len() * percent).div_ceil(100).saturating_sub(1);
        lines.get(rank).copied().unwrap_or(0)
    };
    format!("{} / {} / {}", at(50), at(90), at(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        assert_eq!(spread(&mut (1..=10).rev().collect::<Vec<_>>()), "5 / 9 / 10");
        assert_eq!(spread(&mut [7]), "7 / 7 / 7");
        assert_eq!(spread(&mut []), "0 / 0 / 0");
    }

    #[test]
    fn a_path_belongs_to_its_crate() {
        assert_eq!(crate_of("crates/wire/src/ids.rs"), "wire");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
    }
}
