//! From a world in which a promise was broken to the smallest one in which it is broken still: one thing
//! after the other is left out, for as long as the same promise breaks.

use crate::plan::Plan;
use crate::run::{Outcome, run};
use clap::Args;
use std::collections::BTreeSet;
use std::fmt;

/// Worlds that are tried, at most.
const TRIES_MAX: u32 = 120;

/// What is left out of a world.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// Leave these misfortunes out, by their numbers
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub without: Vec<u16>,
    /// Have nobody lie
    #[arg(long)]
    pub no_liars: bool,
    /// Have no liar speak with two minds
    #[arg(long)]
    pub no_twins: bool,
    /// Have no liar put false blocks together
    #[arg(long)]
    pub no_false_blocks: bool,
    /// Have no liar's custodian give away what it holds, or false shares
    #[arg(long)]
    pub no_colluding: bool,
    /// Never crash everything at once
    #[arg(long)]
    pub no_blackout: bool,
    /// Crash no member just after it has recorded a refusal
    #[arg(long)]
    pub no_sudden: bool,
    /// At most so many patients
    #[arg(long, value_name = "N")]
    pub patients: Option<u16>,
    /// At most so many readings of each device
    #[arg(long, value_name = "N")]
    pub frames: Option<u16>,
    /// At most so many grants of each patient
    #[arg(long, value_name = "N")]
    pub rounds: Option<u16>,
    /// At most so many reads under each grant
    #[arg(long, value_name = "N")]
    pub reads: Option<u16>,
}

impl Trim {
    /// The script without what is left out.
    #[must_use]
    pub fn apply(&self, mut plan: Plan) -> Plan {
        plan.deeds.retain(|deed| !self.without.contains(&deed.of));
        if self.no_liars {
            plan.liars.clear();
        }
        if self.no_blackout {
            plan.blackouts.clear();
        }
        plan.twins &= !self.no_twins;
        plan.false_blocks &= !self.no_false_blocks;
        plan.colluding &= !self.no_colluding;
        plan.sudden &= !self.no_sudden;
        let least = |count: u16, most: Option<u16>| count.min(most.unwrap_or(count)).max(1);
        plan.patients = least(plan.patients, self.patients);
        plan.frames = least(plan.frames, self.frames);
        plan.rounds = least(plan.rounds, self.rounds);
        plan.reads = least(plan.reads, self.reads);
        plan
    }

    /// Everything that could be left out beside what is, one thing each.
    fn further(&self, whole: &Plan) -> Vec<Self> {
        let plan = self.apply(whole.clone());
        let here = || self.clone();
        let mut all = Vec::new();
        if !plan.liars.is_empty() {
            all.push(Self { no_liars: true, ..here() });
            let modes = [
                (plan.twins, Self { no_twins: true, ..here() }),
                (plan.false_blocks, Self { no_false_blocks: true, ..here() }),
                (plan.colluding, Self { no_colluding: true, ..here() }),
            ];
            all.extend(modes.into_iter().filter(|(there, _)| *there).map(|(_, trim)| trim));
        }
        if !plan.blackouts.is_empty() {
            all.push(Self { no_blackout: true, ..here() });
        }
        if plan.sudden {
            all.push(Self { no_sudden: true, ..here() });
        }
        let misfortunes: BTreeSet<u16> = plan.deeds.iter().map(|deed| deed.of).collect();
        all.extend(misfortunes.into_iter().map(|of| {
            let without = self.without.iter().copied().chain([of]).collect();
            Self { without, ..here() }
        }));
        let fewer = [
            (plan.patients, Self { patients: Some(plan.patients / 2), ..here() }),
            (plan.frames, Self { frames: Some(plan.frames / 2), ..here() }),
            (plan.rounds, Self { rounds: Some(plan.rounds / 2), ..here() }),
            (plan.reads, Self { reads: Some(plan.reads / 2), ..here() }),
        ];
        all.extend(fewer.into_iter().filter(|(count, _)| *count > 1).map(|(_, trim)| trim));
        all
    }
}

/// As options of the command.
impl fmt::Display for Trim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.without.is_empty() {
            let numbers: Vec<String> = self.without.iter().map(u16::to_string).collect();
            write!(f, " --without {}", numbers.join(","))?;
        }
        let flags = [
            (self.no_liars, "no-liars"),
            (self.no_twins && !self.no_liars, "no-twins"),
            (self.no_false_blocks && !self.no_liars, "no-false-blocks"),
            (self.no_colluding && !self.no_liars, "no-colluding"),
            (self.no_blackout, "no-blackout"),
            (self.no_sudden, "no-sudden"),
        ];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            write!(f, " --{name}")?;
        }
        let counts = [
            (self.patients, "patients"),
            (self.frames, "frames"),
            (self.rounds, "rounds"),
            (self.reads, "reads"),
        ];
        for (count, name) in counts {
            if let Some(count) = count {
                write!(f, " --{name} {}", count.max(1))?;
            }
        }
        Ok(())
    }
}

/// The smallest world found in which the promise that `broken` says is broken still.
///
/// At most [`TRIES_MAX`] worlds are run. What is left out stays out: the search goes from one thing to
/// the next and begins again after each that could be left out.
#[must_use]
pub fn shrink(seed: u64, plan: &Plan, broken: &Outcome) -> (Trim, Outcome) {
    let promise = |outcome: &Outcome| outcome.broken.as_ref().map(|broken| broken.promise);
    let (wanted, mut smallest) = (promise(broken), (Trim::default(), broken.clone()));
    let mut tries = 0;
    loop {
        let mut found = None;
        for trim in smallest.0.further(plan) {
            if tries == TRIES_MAX {
                return smallest;
            }
            tries += 1;
            let outcome = run(seed, trim.apply(plan.clone()));
            if promise(&outcome) == wanted {
                found = Some((trim, outcome));
                break;
            }
        }
        match found {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eventful() -> Plan {
        let plans = (1..100).map(|seed| Plan::draw(seed, 4));
        let mut plans = plans.filter(|plan| !plan.liars.is_empty() && plan.deeds.len() > 8 && plan.sudden);
        plans.next().unwrap()
    }

    #[test]
    fn what_is_left_out_is_gone_and_the_rest_stays() {
        let plan = eventful();
        let first = plan.deeds.first().unwrap().of;
        let trim = Trim { without: vec![first], no_liars: true, frames: Some(0), ..Trim::default() };
        let less = trim.apply(plan.clone());
        assert!(less.deeds.iter().all(|deed| deed.of != first) && !less.deeds.is_empty());
        assert!(less.liars.is_empty() && less.frames == 1);
        assert_eq!((less.rounds, less.sudden), (plan.rounds, true));
    }

    #[test]
    fn leaving_out_ends_with_nothing_more_to_leave_out() {
        let plan = eventful();
        let mut trim = Trim::default();
        let mut steps = 0;
        while let Some(next) = trim.further(&plan).pop() {
            trim = next;
            steps += 1;
            assert!(steps < 100, "{trim:?}");
        }
        let nothing = trim.apply(plan);
        assert!(nothing.deeds.is_empty() && nothing.liars.is_empty() && !nothing.sudden);
    }

    #[test]
    fn options_name_what_is_left_out() {
        let trim = Trim { without: vec![3, 7], no_sudden: true, reads: Some(0), ..Trim::default() };
        assert_eq!(trim.to_string(), " --without 3,7 --no-sudden --reads 1");
        assert_eq!(Trim::default().to_string(), "");
    }
}
