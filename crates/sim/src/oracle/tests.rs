//! The oracle can fail: each promise broken by a small history made by hand, beside one good history.

mod custody;
mod history;
mod rules;
mod world;

use super::register::Register;

/// All ways in which grant, withdrawal, one success and one denial can begin and end; an operation may
/// also never end, or never begin.
#[test]
fn the_register_agrees_with_a_search_of_all_orders() {
    let mut checked = [0_u32; 2];
    let mut history = Vec::new();
    grow(&mut history, &mut checked);
    assert!(checked[0] > 1_000 && checked[1] > 1_000, "{checked:?}");
}

/// An operation of a history: 0 grant, 1 withdrawal, 2 success, 3 denial; the second time it ends.
fn grow(history: &mut Vec<usize>, checked: &mut [u32; 2]) {
    let found = by_register(history);
    assert_eq!(found, by_search(history), "{history:?}");
    checked[usize::from(found)] += 1;
    for operation in 0..4 {
        if history.iter().filter(|other| **other == operation).count() < 2 {
            history.push(operation);
            grow(history, checked);
            history.pop();
        }
    }
}

fn span(history: &[usize], operation: usize) -> (Option<usize>, Option<usize>) {
    let mut found = (0..history.len()).filter(|at| history[*at] == operation);
    (found.next(), found.next())
}

fn by_register(history: &[usize]) -> bool {
    let mut register = Register::default();
    let mut good = true;
    for at in 0..history.len() {
        let (begun, ended) = span(history, history[at]);
        let (began, now) = (wide(begun.unwrap()), wide(at));
        let told = match (history[at], ended == Some(at)) {
            (0, false) => {
                register.granting(now);
                Ok(())
            }
            (1, false) => {
                register.withdrawing(now);
                Ok(())
            }
            (0, true) => register.granted(now),
            (1, true) => register.withdrawn(now),
            (2, true) => register.succeeded(began, now),
            (3, true) => register.denied(now),
            _ => Ok(()),
        };
        good &= told.is_ok();
    }
    good
}

/// Whether some order of the operations explains the history: one that began after another ended comes
/// later; whoever never ended may be left out; and each does what a register may do.
fn by_search(history: &[usize]) -> bool {
    fn extend(history: &[usize], done: &mut Vec<usize>, state: u8) -> bool {
        let left: Vec<usize> = (0..4).filter(|op| !done.contains(op)).collect();
        if left.iter().all(|op| span(history, *op).1.is_none()) {
            return true;
        }
        left.iter().any(|next| {
            let Some(began) = span(history, *next).0 else { return false };
            let first =
                left.iter().all(|op| span(history, *op).1.is_none_or(|end| op == next || end > began));
            let after = match (next, state) {
                (0, 0) => 1,
                (1, 1) => 2,
                (2, 1) => 1,
                (3, 2) => 2,
                _ => return false,
            };
            done.push(*next);
            let explained = first && extend(history, done, after);
            done.pop();
            explained
        })
    }
    extend(history, &mut Vec::new(), 0)
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}
