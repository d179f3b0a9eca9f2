//! `salus bench`: this build on this machine, each figure beside its goal. Wall-clock figures say how
//! busy the machine was as much as how good the build is; CPU time and ratios travel better.

mod figures;
mod frames;
mod ledger;
mod plane;
pub(crate) mod process;

use crate::args::BenchArgs;
use crate::demo::show::Show;
use crate::demo::stage::Stage;
use crate::files::write_secret;
use crate::output::{Failure, Report};
use figures::Figure;
use serde_json::{Value, json};

/// Runs the command.
pub(crate) async fn run(args: &BenchArgs, quiet: bool) -> Result<Report, Failure> {
    let show = Show::new(quiet);
    let machine = process::machine();
    show.say(format!("on {machine}"));
    let mut figures = plane::measure()?;
    let dir = std::env::temp_dir().join(format!("salus-bench-{}", std::process::id()));
    let mut stage = Stage::build(&dir, args.members)?;
    let outcome = tokio::select! {
        outcome = with_members(args, &mut stage, &show) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(salus_wire::Code::Usage, "interrupted")),
    };
    stage.stop().await;
    std::fs::remove_dir_all(&dir).map_err(|error| Failure::file(&dir, error))?;
    figures.extend(outcome?);
    let value = json!({
        "machine": machine,
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "version": env!("CARGO_PKG_VERSION"),
        "members": args.members,
        "seconds": args.seconds,
        "figures": figures.iter().map(Figure::value).collect::<Vec<Value>>(),
    });
    if let Some(path) = &args.out {
        write_secret(path, format!("{value:#}\n").as_bytes())?;
    }
    Ok(Report::new(value).line(machine).lines(figures.iter().map(Figure::line)))
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
