//! `salus bench`: this build on this machine, each figure beside its goal. Wall-clock figures say how
//! busy the machine was as much as how good the build is; CPU time and ratios travel better.

mod asking;
mod consent;
mod figures;
mod flood;
mod frames;
mod ledger;
mod offered;
mod overload;
mod plane;
pub(crate) mod process;
mod soak;
mod trend;

use crate::args::{BenchArgs, BenchCommand, ConsentArgs, OverloadArgs, SoakArgs};
use crate::demo::show::Show;
use crate::demo::stage::{GATEWAY, Stage};
use crate::files::write_secret;
use crate::output::{Failure, Report};
use figures::Figure;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A consortium in a folder that goes when the measurement is over.
struct Bench {
    show: Show,
    machine: String,
    dir: PathBuf,
    stage: Stage,
}

impl Bench {
    fn build(members: u16, quiet: bool) -> Result<Self, Failure> {
        let show = Show::new(quiet);
        let machine = process::machine();
        show.say(format!("on {machine}"));
        let dir = std::env::temp_dir().join(format!("salus-bench-{}", std::process::id()));
        let stage = Stage::build(&dir, members)?;
        Ok(Self { show, machine, dir, stage })
    }

    /// Ends everything and says what was measured.
    async fn report(
        mut self,
        outcome: Result<Vec<Figure>, Failure>,
        seconds: u64,
        out: Option<&Path>,
    ) -> Result<Report, Failure> {
        self.stage.stop().await;
        std::fs::remove_dir_all(&self.dir).map_err(|error| Failure::file(&self.dir, error))?;
        let figures = outcome?;
        let value = json!({
            "machine": self.machine,
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "version": env!("CARGO_PKG_VERSION"),
            "members": self.stage.members,
            "seconds": seconds,
            "figures": figures.iter().map(Figure::value).collect::<Vec<Value>>(),
        });
        if let Some(path) = out {
            write_secret(path, format!("{value:#}\n").as_bytes())?;
        }
        Ok(Report::new(value).line(self.machine).lines(figures.iter().map(Figure::line)))
    }
}

/// Runs the command.
pub(crate) async fn run(args: &BenchArgs, quiet: bool) -> Result<Report, Failure> {
    match &args.what {
        None => everything(args, quiet).await,
        Some(BenchCommand::Overload(args)) => twice(args, quiet).await,
        Some(BenchCommand::Consent(args)) => consenting(args, quiet).await,
        Some(BenchCommand::Soak(args)) => long(args, quiet).await,
    }
}

async fn everything(args: &BenchArgs, quiet: bool) -> Result<Report, Failure> {
    let mut bench = Bench::build(args.members, quiet)?;
    // How fast the road is, and not how fast one device may be.
    unlimited(&bench.stage)?;
    let mut figures = plane::measure()?;
    let measured = or_interrupted(with_members(args, &mut bench.stage, &bench.show)).await;
    let outcome = measured.map(|more| {
        figures.extend(more);
        figures
    });
    bench.report(outcome, args.seconds, args.out.as_deref()).await
}

async fn twice(args: &OverloadArgs, quiet: bool) -> Result<Report, Failure> {
    let mut bench = Bench::build(args.members, quiet)?;
    let measured = async {
        bench.stage.start(&bench.show).await?;
        overload::measure(args, &bench.stage, &bench.show).await
    };
    let outcome = or_interrupted(measured).await;
    bench.report(outcome, args.seconds, args.out.as_deref()).await
}

async fn consenting(args: &ConsentArgs, quiet: bool) -> Result<Report, Failure> {
    let mut bench = Bench::build(args.members, quiet)?;
    let started = std::time::Instant::now();
    let measured = async {
        consent::unlimited(&bench.stage)?;
        bench.stage.start(&bench.show).await?;
        consent::measure(args, &mut bench.stage, &bench.show).await
    };
    let outcome = or_interrupted(measured).await;
    bench.report(outcome, started.elapsed().as_secs(), args.out.as_deref()).await
}

async fn long(args: &SoakArgs, quiet: bool) -> Result<Report, Failure> {
    let mut bench = Bench::build(args.members, quiet)?;
    let measured = async {
        bench.stage.start(&bench.show).await?;
        soak::measure(args, &mut bench.stage, &bench.show).await
    };
    let outcome = or_interrupted(measured).await;
    bench.report(outcome, args.minutes.saturating_mul(60), args.out.as_deref()).await
}

async fn or_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = salus_node::until_told() => Err(Failure::new(salus_wire::Code::Usage, "interrupted")),
    }
}

/// Lets each device send as fast as it can.
fn unlimited(stage: &Stage) -> Result<(), Failure> {
    let path = stage.layout.gateway(GATEWAY).file("gateway.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
    let text = format!("device_frames_per_s = {}\n{text}", u32::MAX);
    std::fs::write(&path, text).map_err(|error| Failure::file(&path, error))
}

async fn with_members(args: &BenchArgs, stage: &mut Stage, show: &Show) -> Result<Vec<Figure>, Failure> {
    stage.start(show).await?;
    show.act("Devices stream, a clinician reads");
    let mut figures = frames::measure(stage, args.seconds).await?;
    stage.kill_gateway().await?;
    show.act("The ledger under load");
    figures.extend(ledger::measure(stage, args.seconds).await?);
    Ok(figures)
}
