//! `salus demo`: the whole road on one machine, with real processes, real disks and real failures.
//!
//! Every act states what it expects and fails with SAL-5009 when that does not hold, so that an exit
//! code of 0 means that every promise shown was kept.

mod acts;
pub(crate) mod show;
pub(crate) mod stage;

use crate::args::DemoArgs;
use crate::output::{Failure, Report};
use acts::Cast;
use serde_json::json;
use show::Show;
use stage::Stage;
use std::path::PathBuf;
use std::time::Instant;

/// Runs the demo until it is done, fails, or is interrupted; in each case nothing is left running
/// unless `--keep` asks for it.
pub(crate) async fn run(args: &DemoArgs, quiet: bool) -> Result<Report, Failure> {
    let show = Show::new(quiet);
    let dir = args.dir.clone().unwrap_or_else(fresh_dir);
    show.say(format!("everything is kept in {}", dir.display()));
    let mut stage = Stage::build(&dir, args.members)?;
    let outcome = tokio::select! {
        outcome = play(&mut stage, &show) => outcome,
        () = salus_node::until_told() => Err(Failure::new(salus_wire::Code::Usage, "interrupted")),
    };
    if args.keep && outcome.is_ok() {
        keep_running(&stage, &show).await;
    }
    stage.stop().await;
    let failed = outcome.is_err();
    if failed {
        show.say(format!("the logs are in {}", dir.join("logs").display()));
    } else if !args.keep_files && !args.keep && args.dir.is_none() {
        std::fs::remove_dir_all(&dir).map_err(|error| Failure::file(&dir, error))?;
    }
    outcome
}

async fn play(stage: &mut Stage, show: &Show) -> Result<Report, Failure> {
    let acts = Instant::now();
    stage.start(show).await?;
    let mut cast = Cast::gather(stage, show).await?;
    cast.keep(stage, show).await?;
    cast.read(stage, show).await?;
    cast.refuse_stranger(stage, show).await?;
    cast.withdraw(stage, show).await?;
    cast.lose_member(stage, show).await?;
    cast.spoil_fragment(stage, show).await?;
    cast.account(stage, show).await?;
    cast.receipt(stage, show).await?;
    let summary = cast.summary(stage, acts.elapsed()).await?;
    Ok(Report::new(json!({ "promises_kept": true, "summary": summary.value })).lines(summary.lines))
}

async fn keep_running(stage: &Stage, show: &Show) {
    let dir = stage.layout.root().display();
    show.say("the consortium keeps running; in another terminal, for example:");
    show.say(format!("  salus status --dir {dir}"));
    show.say(format!("  salus access list --dir {dir} --wallet {dir}/people/patient.wallet"));
    show.say(format!("  salus read --dir {dir} --person {dir}/people/clinician.person --grant {dir}/people/second.grant --print"));
    show.say("Ctrl-C ends it");
    salus_node::until_told().await;
}

fn fresh_dir() -> PathBuf {
    std::env::temp_dir().join(format!("salus-demo-{}-{}", std::process::id(), salus_client::drive::now()))
}
