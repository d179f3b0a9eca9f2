//! Whether a process grows: a line through what was seen of it, by least squares.

use super::figures::{Figure, Goal, real};
use super::process::Held;
use std::collections::BTreeMap;

/// Seconds of a life that do not count: caches fill, connections come.
const WARM_UP_S: f64 = 60.0;
/// Seconds of a life beyond that, below which a line says nothing: a member's memory is a saw, because
/// its state database gives pages back only when it is opened anew, after every 2,048 entries.
const LIFE_S_MIN: f64 = 1_200.0;
/// Mebibytes, files and threads by which a process may grow in an hour and still count as flat.
const MIB_PER_HOUR_MAX: f64 = 16.0;
const FILES_PER_HOUR_MAX: f64 = 4.0;
const THREADS_PER_HOUR_MAX: f64 = 2.0;

/// What was seen of a process from its start to its end.
#[derive(Default)]
pub(crate) struct Life(Vec<Seen>);

struct Seen {
    at_s: f64,
    mib: f64,
    files: f64,
    threads: f64,
}

/// What is looked at, and by how much it may grow in an hour.
struct Kind {
    what: &'static str,
    of: fn(&Seen) -> f64,
    unit: &'static str,
    most: f64,
}

const KINDS: [Kind; 3] = [
    Kind { what: "resident", of: |seen| seen.mib, unit: "MiB/h", most: MIB_PER_HOUR_MAX },
    Kind { what: "open files", of: |seen| seen.files, unit: "files/h", most: FILES_PER_HOUR_MAX },
    Kind { what: "threads", of: |seen| seen.threads, unit: "threads/h", most: THREADS_PER_HOUR_MAX },
];

impl Life {
    pub(crate) fn push(&mut self, at_s: f64, held: &Held) {
        let Held { resident_kib, files, threads } = held;
        let mib = real(*resident_kib) / 1024.0;
        self.0.push(Seen { at_s, mib, files: real(*files), threads: real(*threads) });
    }

    /// What counts of it.
    fn settled(&self) -> &[Seen] {
        let first = self.0.first().map_or(0.0, |seen| seen.at_s);
        let warm = self.0.partition_point(|seen| seen.at_s < first + WARM_UP_S);
        self.0.get(warm..).unwrap_or_default()
    }

    fn length_s(&self) -> f64 {
        match self.settled() {
            [first, .., last] => last.at_s - first.at_s,
            _ => 0.0,
        }
    }
}

/// The longest life of each process, as growth in an hour.
pub(crate) fn trends(lives: &BTreeMap<(String, u32), Life>) -> Vec<Figure> {
    let mut longest: BTreeMap<&str, &Life> = BTreeMap::new();
    for ((name, _), life) in lives {
        let known = longest.entry(name).or_insert(life);
        if life.length_s() > known.length_s() {
            *known = life;
        }
    }
    longest.into_iter().flat_map(|(name, life)| figures(name, life)).collect()
}

fn figures(name: &str, life: &Life) -> Vec<Figure> {
    let settled = life.settled();
    let mut figures =
        vec![Figure::plain(format!("{name}: longest life, warmed up"), life.length_s() / 60.0, "min")];
    if life.length_s() < LIFE_S_MIN {
        return figures;
    }
    for Kind { what, of, unit, most } in KINDS {
        let points: Vec<(f64, f64)> = settled.iter().map(|seen| (seen.at_s / 3_600.0, of(seen))).collect();
        let last = points.last().map_or(0.0, |(_, value)| *value);
        let slope = slope(&points);
        figures.push(Figure::new(
            format!("  {what} (last {last:.0}), growth"),
            slope,
            unit,
            Goal::AtMost(most),
        ));
    }
    figures
}

/// The slope of the line with the least sum of squared distances; 0 of fewer than two points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = u32::try_from(points.len()).map_or(f64::MAX, f64::from).max(1.0);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let spread: f64 = points.iter().map(|point| (point.0 - x) * (point.0 - x)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_noise_has_none() {
        let line: Vec<(f64, f64)> = (0..100).map(|at| (f64::from(at), 7.0 + 3.0 * f64::from(at))).collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
        let noise: Vec<(f64, f64)> = (0..=100).map(|at| (f64::from(at), f64::from(at % 2))).collect();
        assert!(slope(&noise).abs() < 1e-9);
        for few in [&[][..], &[(1.0, 5.0)]] {
            assert!(slope(few).abs() < 1e-9);
        }
    }

    #[test]
    fn the_warm_up_does_not_count_and_the_longest_life_does() {
        let life = |pid: u32, seconds: u64, kib_each_s: u64| {
            let mut life = Life::default();
            for at in (0..seconds).step_by(5) {
                let warming = if at < 60 { at * 10_240 } else { 614_400 };
                let resident_kib = warming + at * kib_each_s;
                life.push(real(at), &Held { resident_kib, files: 20, threads: 4 });
            }
            (("member-1".to_owned(), pid), life)
        };
        let of = |lives: [((String, u32), Life); 2]| {
            trends(&lives.into_iter().collect())
                .iter()
                .map(|figure| figure.value()["met"].as_bool())
                .collect()
        };
        let flat: Vec<Option<bool>> = of([life(1, 100, 1_000), life(2, 3_600, 1)]);
        assert_eq!(flat, [None, Some(true), Some(true), Some(true)]);
        let growing: Vec<Option<bool>> = of([life(1, 100, 0), life(2, 3_600, 10)]);
        assert_eq!(growing, [None, Some(false), Some(true), Some(true)]);
    }
}
