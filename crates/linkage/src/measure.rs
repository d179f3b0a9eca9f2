//! All games, under one policy or several, and a table of them.

use crate::attack::patient::Others;
use crate::attack::{Case, access, anchors, attribution, patient};
use crate::error::LinkageError;
use crate::ledger::{CADENCE_MS, Cost, Eyes, Ledger, WINDOW_MS, replay};
use crate::number::{DAY, real, seconds};
use crate::parts::{Leak, transactions};
use crate::policy::Policy;
use crate::region::{Region, World};
use crate::score::{Score, Trial};
use salus_wire::Tx;
use serde_json::{Value, json};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How large each region is.
    pub region: Region,
    /// Regions tried; one more is the adversary's own.
    pub worlds: u64,
    /// From which all follows.
    pub seed: u64,
    /// Ways of releasing transactions.
    pub policies: Vec<Policy>,
    /// A mistake to plant.
    pub leak: Leak,
    /// Whether stays are given to other patients at random, so that there is nothing to find about patients.
    pub shuffled_patients: bool,
}

/// A game under a policy.
#[derive(Clone, Debug)]
pub struct Row {
    /// The policy's name.
    pub policy: &'static str,
    /// The game.
    pub task: &'static str,
    /// What the adversary sees.
    pub eyes: Eyes,
    /// What came of it.
    pub score: Score,
}

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Games by policy.
    pub rows: Vec<Row>,
    /// The costs of each policy, of all regions together, and the correlation of anchors with devices.
    pub costs: Vec<(Policy, Cost, Option<f64>)>,
    /// Encounters, transactions.
    pub size: (usize, usize),
    /// How large each region is, how many there are, and the seed.
    pub of: (Region, u64, u64),
}

/// The games, as they stand in tables.
pub const TASKS: [(&str, Eyes); 8] = [
    ("grant of a known encounter", Eyes::Ledger),
    ("grant of a known encounter", Eyes::Member),
    ("patient of an access", Eyes::Ledger),
    ("patient of an access", Eyes::Member),
    ("same patient or another anywhere", Eyes::Ledger),
    ("same patient or another at the same hospital", Eyes::Ledger),
    ("another encounter of a known patient", Eyes::Ledger),
    ("busier of two minutes of a gateway", Eyes::Ledger),
];

struct Made {
    world: World,
    txs: Vec<Tx>,
    seed: u64,
}

/// Plays all games.
///
/// # Errors
/// [`LinkageError`] for a region in which nothing can be measured, or when the product or the ledger refuses.
pub fn measure(setting: &Setting) -> Result<Report, LinkageError> {
    let seeds = setting.seed..=setting.seed + setting.worlds;
    let made: Result<Vec<Made>, LinkageError> = seeds.map(|seed| make(setting, seed)).collect();
    let made = made?;
    let Some((own, tried)) = made.split_first() else { return Err(LinkageError::Region) };
    let mut report = Report {
        rows: Vec::new(),
        costs: Vec::new(),
        size: (
            tried.iter().map(|made| made.world.encounters.len()).sum(),
            tried.iter().map(|made| made.txs.len()).sum(),
        ),
        of: (setting.region, setting.worlds, setting.seed),
    };
    for policy in &setting.policies {
        under(*policy, own, tried, &mut report);
    }
    Ok(report)
}

fn make(setting: &Setting, seed: u64) -> Result<Made, LinkageError> {
    let mut world = World::live(setting.region, seed)?;
    if setting.shuffled_patients {
        world.danger_shuffle_patients(seed);
    }
    let (consortium, txs) = transactions(&world, setting.leak, seed)?;
    if setting.leak == Leak::Nothing {
        replay(&consortium, &txs)?;
    }
    Ok(Made { world, txs, seed })
}

fn under(policy: Policy, own: &Made, tried: &[Made], report: &mut Report) {
    let (ledger, truth) = Ledger::order(&own.world, &own.txs, policy, own.seed);
    let own = Case { world: &own.world, ledger: &ledger, truth: &truth, offset: 0 };
    let mut trials: Vec<Vec<Trial>> = vec![Vec::new(); TASKS.len()];
    let (mut cost, mut correlation) = (Cost::default(), None);
    for (number, made) in tried.iter().enumerate() {
        let (ledger, truth) = Ledger::order(&made.world, &made.txs, policy, made.seed);
        let case = Case { world: &made.world, ledger: &ledger, truth: &truth, offset: number * 1_000_000 };
        let games = [
            attribution::attack(&own, &case, Eyes::Ledger),
            attribution::attack(&own, &case, Eyes::Member),
            access::attack(&own, &case, Eyes::Ledger),
            access::attack(&own, &case, Eyes::Member),
            patient::same(&own, &case, Others::Anywhere),
            patient::same(&own, &case, Others::SameHospital),
            patient::find(&own, &case),
            anchors::attack(&case),
        ];
        trials.iter_mut().zip(games).for_each(|(all, more)| all.extend(more));
        cost = cost.plus(&truth.cost);
        correlation = anchors::correlation(&case).or(correlation);
    }
    for ((task, eyes), trials) in TASKS.into_iter().zip(&trials) {
        report.rows.push(Row { policy: policy.name, task, eyes, score: Score::of(trials) });
    }
    report.costs.push((policy, cost, correlation));
}

impl Cost {
    fn plus(&self, more: &Self) -> Self {
        Self {
            cover: self.cover + more.cover,
            cover_bytes: self.cover_bytes + more.cover_bytes,
            empty_anchors: self.empty_anchors + more.empty_anchors,
            waited_ms: self.waited_ms + more.waited_ms,
            grants: self.grants + more.grants,
            accesses: self.accesses + more.accesses,
            late: self.late + more.late,
        }
    }
}

impl Report {
    /// A game's score under a policy.
    #[must_use]
    pub fn score(&self, policy: &str, task: usize) -> Option<Score> {
        let (task, eyes) = *TASKS.get(task)?;
        let row = self.rows.iter().find(|row| row.policy == policy && row.task == task && row.eyes == eyes);
        row.map(|row| row.score)
    }

    /// The tables, as Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let (region, worlds, seed) = self.of;
        let mut text = format!(
            "{worlds} regions of {} members, {} gateways, {} patients and {} days, seed {seed}: {} encounters, {} transactions beside anchors.\n",
            region.members, region.gateways, region.patients, region.days, self.size.0, self.size.1
        );
        for (policy, cost, correlation) in &self.costs {
            text.push_str(&format!(
                "\n**{}**: {:.2} tx/s and {:.1} GB a year of cover, {:.1} anchors of nothing a second; a grant waits {:.1} s on average, {:.1} % of accesses wait for one; anchors and devices correlate {}\n\n| task | sees | trials | guess % | adversary % | points | ± | aim |\n|---|---|---|---|---|---|---|---|\n",
                policy.name,
                self.cover_per_s(cost),
                self.gigabytes_a_year(cost),
                self.anchors_per_s(cost),
                seconds(cost.waited_ms) / real(cost.grants.max(1)),
                100.0 * real(cost.late) / real(cost.accesses.max(1)),
                correlation.map_or("not at all".to_owned(), |found| format!("{found:.2}")),
            ));
            for row in self.rows.iter().filter(|row| row.policy == policy.name) {
                let (score, eyes) = (row.score, eyes(row.eyes));
                text.push_str(&format!(
                    "| {} | {eyes} | {} | {:.1} | {:.1} | {:+.1} | {:.1} | {} |\n",
                    row.task,
                    score.trials,
                    score.guess,
                    score.adversary,
                    score.points(),
                    score.margin,
                    score.verdict()
                ));
            }
        }
        text
    }

    /// The same as one JSON value.
    #[must_use]
    pub fn value(&self) -> Value {
        let (region, worlds, seed) = self.of;
        let rows = self.rows.iter().map(|row| {
            json!({
                "policy": row.policy, "task": row.task, "sees": eyes(row.eyes), "trials": row.score.trials,
                "guess": row.score.guess, "adversary": row.score.adversary, "points": row.score.points(),
                "margin": row.score.margin, "aim": row.score.verdict(),
            })
        });
        let costs = self.costs.iter().map(|(policy, cost, correlation)| {
            json!({
                "policy": policy.name, "cover_per_s": self.cover_per_s(cost),
                "gigabytes_a_year": self.gigabytes_a_year(cost), "empty_anchors_per_s": self.anchors_per_s(cost),
                "grant_waits_s": seconds(cost.waited_ms) / real(cost.grants.max(1)),
                "accesses_late": real(cost.late) / real(cost.accesses.max(1)), "correlation": correlation,
            })
        });
        json!({
            "members": region.members, "gateways": region.gateways, "patients": region.patients,
            "days": region.days, "worlds": worlds, "seed": seed, "encounters": self.size.0,
            "transactions": self.size.1, "games": rows.collect::<Vec<_>>(), "costs": costs.collect::<Vec<_>>(),
        })
    }

    fn cover_per_s(&self, cost: &Cost) -> f64 {
        real(cost.cover) / self.lived_s()
    }

    fn gigabytes_a_year(&self, cost: &Cost) -> f64 {
        real(cost.cover_bytes) / self.lived_s() * 365.0 * seconds(DAY) / 1e9
    }

    /// All gateways together, of one region.
    fn anchors_per_s(&self, cost: &Cost) -> f64 {
        let (region, worlds, _) = self.of;
        let hours = real(usize::try_from(region.days * 24 * worlds).unwrap_or(usize::MAX)).max(1.0);
        real(cost.empty_anchors) / (hours * seconds(WINDOW_MS))
    }

    fn lived_s(&self) -> f64 {
        let (region, worlds, _) = self.of;
        seconds(region.days * worlds * DAY).max(1.0)
    }
}

fn eyes(eyes: Eyes) -> &'static str {
    match eyes {
        Eyes::Ledger => "ledger",
        Eyes::Member => "ledger, as a member",
    }
}

const _: () = assert!(WINDOW_MS.is_multiple_of(CADENCE_MS), "a window holds whole ticks");
