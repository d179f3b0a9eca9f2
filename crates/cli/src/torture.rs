//! `salus torture`: members and a gateway as real processes on real disks, to which things happen while
//! a device streams: kill -9 of one, several and all, freezes, bad links, failing and full disks.
//! After each round members must agree (INV-4); every few rounds, and at the end, every acknowledged
//! frame must be readable (INV-1) and withdrawn grants must open nothing (INV-5).

mod draw;
mod ground;
mod links;
mod patient;
mod restart;
mod round;
mod starving;
mod tally;
mod trouble;
mod witness;

use crate::args::TortureArgs;
use crate::demo::show::Show;
use crate::demo::stage::{GATEWAY, Stage};
use crate::files::write_secret;
use crate::output::{Failure, Report};
use draw::Draws;
use ground::Ground;
use patient::Patient;
use salus_client::drive::now;
use salus_wire::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tally::Tally;
use witness::Witness;

/// Rounds, when neither rounds nor minutes are asked for.
const ROUNDS: u32 = 20;
/// Rounds of one patient; then everything of theirs is read back and another one comes.
const SHIFT_ROUNDS: usize = 10;

/// Runs the command.
pub(crate) async fn run(args: &TortureArgs, quiet: bool) -> Result<Report, Failure> {
    let show = Show::new(quiet);
    let seed = args.seed.unwrap_or_else(|| now().get());
    let dir = std::env::temp_dir().join(format!("salus-torture-{}-{seed}", std::process::id()));
    show.say(format!("seed {seed}, in {}", dir.display()));
    let mut stage = Stage::build(&dir, args.members)?;
    if let Some(mib) = args.restart_with_ledger_mib {
        return restarts(&mut stage, mib, args.times, &show).await;
    }
    let mut tally = Tally::new(seed, args.members);
    let told = AtomicBool::new(false);
    let outcome = tokio::select! {
        outcome = torture(args, seed, &mut stage, &mut tally, &told, &show) => outcome,
        () = told_twice(&told) => Err(Failure::new(Code::Usage, "interrupted")),
    };
    stage.stop().await;
    let broken = outcome.as_ref().err().map(ToString::to_string);
    let value = tally.value(broken.as_deref());
    if let Some(path) = &args.out {
        write_secret(path, format!("{value:#}\n").as_bytes())?;
    }
    match outcome {
        Ok(()) => {
            std::fs::remove_dir_all(&dir).map_err(|error| Failure::file(&dir, error))?;
            Ok(Report::new(value).lines(tally.lines()))
        }
        Err(failure) => Err(Failure::new(
            failure.code,
            format!(
                "{}; everything is kept in `{}`, logs in `logs`; again: `{}`",
                failure.detail,
                dir.display(),
                tally.again()
            ),
        )),
    }
}

async fn restarts(stage: &mut Stage, mib: u32, times: u16, show: &Show) -> Result<Report, Failure> {
    let outcome = tokio::select! {
        outcome = restart::run(stage, mib, times, show) => outcome,
        () = salus_node::until_told() => Err(Failure::new(Code::Usage, "interrupted")),
    };
    stage.stop().await;
    let dir = stage.layout.root();
    std::fs::remove_dir_all(dir).map_err(|error| Failure::file(dir, error))?;
    outcome
}

/// Resolves when it was told to end twice; the first time, what is under way is brought to its end.
async fn told_twice(told: &AtomicBool) {
    salus_node::until_told().await;
    told.store(true, Ordering::Relaxed);
    salus_node::until_told().await;
}

async fn torture(
    args: &TortureArgs,
    seed: u64,
    stage: &mut Stage,
    tally: &mut Tally,
    told: &AtomicBool,
    show: &Show,
) -> Result<(), Failure> {
    let ground = Ground::lay(stage).await?;
    stage.start(show).await?;
    let mut witness = Witness::new(crate::patient::gateway_party(&stage.layout, GATEWAY)?);
    let mut draws = Draws::new(seed, args.members);
    let limits = Limits::of(args);
    let bar = show.bar(u64::from(limits.rounds), "rounds of torture");
    let mut patients: Vec<Patient> = Vec::new();
    while limits.go_on(tally) && !told.load(Ordering::Relaxed) {
        let mut patient = Patient::gather(stage, patients.len()).await?;
        for _ in 0..SHIFT_ROUNDS {
            if !limits.go_on(tally) || told.load(Ordering::Relaxed) {
                break;
            }
            let draw = draws.next();
            let outcome = round::round(stage, &ground, &mut patient, &mut witness, &draw).await;
            let outcome = outcome.map_err(|failure| within(&failure, tally.rounds, &draw))?;
            tally.count(draw.kind, &outcome);
            (tally.blocks, tally.roots) = (witness.blocks, witness.roots);
            bar.inc(1);
        }
        tally.acknowledged = tally.acknowledged.saturating_add(patient.acknowledged());
        patient.all_readable(stage).await?;
        patient.grant_and_withdraw(stage).await?;
        patients.push(patient);
    }
    bar.finish();
    tally.interrupted = told.load(Ordering::Relaxed);
    read_back(stage, &patients, tally, show).await
}

/// Everything that was acknowledged in the whole run is readable, and nothing withdrawn is.
async fn read_back(
    stage: &Stage,
    patients: &[Patient],
    tally: &mut Tally,
    show: &Show,
) -> Result<(), Failure> {
    let wheel = show.wheel("reading everything back");
    for patient in patients {
        tally.read = tally.read.saturating_add(patient.all_readable(stage).await?);
        patient.withdrawn_opens_nothing(stage).await?;
        tally.withdrawn = tally.withdrawn.saturating_add(1);
    }
    wheel.finish_and_clear();
    Ok(())
}

/// Names the round in which a failure fell.
fn within(failure: &Failure, round: u32, draw: &draw::Draw) -> Failure {
    Failure::new(failure.code, format!("round {round} ({draw:?}): {}", failure.detail))
}

/// How long a run goes on.
struct Limits {
    rounds: u32,
    length: Option<Duration>,
}

impl Limits {
    fn of(args: &TortureArgs) -> Self {
        let length = args.minutes.map(|minutes| Duration::from_secs(u64::from(minutes).saturating_mul(60)));
        let rounds = args.rounds.unwrap_or(if length.is_some() { u32::MAX } else { ROUNDS });
        Self { rounds, length }
    }

    fn go_on(&self, tally: &Tally) -> bool {
        tally.rounds < self.rounds && self.length.is_none_or(|length| tally.elapsed() < length)
    }
}
