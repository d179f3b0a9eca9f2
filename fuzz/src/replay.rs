//! Feeding a target with its corpus and then with damaged copies of it, the same way for one seed.

use crate::dice::Dice;
use crate::mutate::mutate;
use crate::targets::Target;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A parser broke its promise on this input. Its own panic message has been printed.
#[derive(Debug, thiserror::Error)]
#[error("the target `{target}` panicked on an input of {} bytes", input.len())]
pub struct Broken {
    /// The target.
    pub target: &'static str,
    /// What it was fed.
    pub input: Vec<u8>,
}

/// Runs the corpus, and then mutations of it for as long as `more`, told how many runs there were,
/// says so. Gives the number of runs.
///
/// # Errors
/// The first input on which the target panics.
pub fn replay(
    target: Target,
    corpus: &[Vec<u8>],
    seed: u64,
    mut more: impl FnMut(u64) -> bool,
) -> Result<u64, Broken> {
    let mut runs = 0;
    for input in corpus {
        once(target, input)?;
        runs += 1;
    }
    let mut dice = Dice::new(seed);
    while more(runs) {
        once(target, &mutate(corpus, &mut dice))?;
        runs += 1;
    }
    Ok(runs)
}

/// Runs one input.
///
/// # Errors
/// [`Broken`] if the target panics on it.
pub fn once(target: Target, input: &[u8]) -> Result<(), Broken> {
    // Nothing outlives the call that a panic could leave half changed: the input is only read.
    catch_unwind(AssertUnwindSafe(|| (target.run)(input)))
        .map_err(|_| Broken { target: target.name, input: input.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fussy(data: &[u8]) {
        assert!(data.len() < 4 || data.first() == Some(&1), "the first of four is not a one");
    }

    #[test]
    fn the_input_that_breaks_a_target_is_given_back() {
        let target = Target { name: "fussy", run: fussy, seeds: Vec::new };
        let broken = replay(target, &[vec![1; 8]], 5, |runs| runs < 10_000).expect_err("bits flip");
        assert!(once(target, &broken.input).is_err());
        assert_eq!(broken.target, "fussy");
    }

    #[test]
    fn runs_are_counted_and_bounded() {
        let target = Target { name: "patient", run: |_| (), seeds: Vec::new };
        let corpus = [vec![1], vec![2], vec![3]];
        assert_eq!(replay(target, &corpus, 5, |runs| runs < 100).expect("it never panics"), 100);
        assert_eq!(replay(target, &corpus, 5, |_| false).expect("it never panics"), 3);
    }
}
