//! `salus-sim --planted`: all searches for planted bugs, and their table.

use crate::Cli;
use salus_planted::Bug;
use salus_sim::planted::{Hunt, hunt};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seeds between the beginnings of two searches for one bug.
const APART: u64 = 100_000;

/// Searches for every bug and prints what came of it.
pub(crate) fn all(cli: &Cli, jobs: usize) -> ExitCode {
    let started = Instant::now();
    let wanted = |bug: &&Bug| format!("{bug:?}").starts_with(&cli.bug);
    let bugs: Vec<Bug> = Bug::ALL.iter().filter(wanted).copied().collect();
    let searches: Vec<(Bug, u64)> = bugs
        .iter()
        .flat_map(|bug| {
            (0..cli.times).map(|time| (*bug, cli.from.saturating_add(time.saturating_mul(APART))))
        })
        .collect();
    let (next, hunts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((bug, from)) = searches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(*bug, *from, cli.seeds, cli.members);
                    eprintln!("{bug:?} from {from}: {:?} {}", found.seeds, found.promise);
                    hunts.lock().unwrap_or_else(PoisonError::into_inner).push(found);
                }
            });
        }
    });
    let hunts = hunts.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("| bug | what it does | seeds to find | mean | promise |\n|---|---|---|---|---|");
    bugs.iter().for_each(|bug| println!("{}", row(*bug, &hunts)));
    let found: Vec<u64> = hunts.iter().filter_map(|hunt| hunt.seeds).collect();
    let missed = hunts.len() - found.len();
    let (minutes, searches) = (started.elapsed().as_secs() / 60, hunts.len());
    println!(
        "\n{} bugs, {searches} searches, {missed} in vain, mean {}, {minutes} min",
        bugs.len(),
        mean(&found)
    );
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(bug: Bug, hunts: &[Hunt]) -> String {
    let mut mine: Vec<&Hunt> = hunts.iter().filter(|hunt| hunt.bug == bug).collect();
    mine.sort_by_key(|hunt| hunt.from);
    let each: Vec<String> =
        mine.iter().map(|hunt| hunt.seeds.map_or("none".to_owned(), |seeds| seeds.to_string())).collect();
    let found: Vec<u64> = mine.iter().filter_map(|hunt| hunt.seeds).collect();
    let mut promises: Vec<&str> = mine.iter().map(|hunt| hunt.promise.as_str()).collect();
    promises.sort_unstable();
    promises.dedup();
    format!(
        "| `{bug:?}` | {} | {} | {} | {} |",
        bug.what(),
        each.join(", "),
        mean(&found),
        promises.join(", ")
    )
}

fn mean(seeds: &[u64]) -> String {
    let count = u32::try_from(seeds.len()).unwrap_or(u32::MAX).max(1);
    let sum = u32::try_from(seeds.iter().sum::<u64>()).unwrap_or(u32::MAX);
    format!("{:.1}", f64::from(sum) / f64::from(count))
}
