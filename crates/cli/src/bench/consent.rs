//! `salus bench consent`: how long a withdrawal takes until every custodian refuses, how long a read takes
//! with all members and with one less, and what a release costs a custodian. Members, gateway and reader
//! are processes of this machine.

use super::asking::{Access, Answer, Asker};
use super::figures::{Figure, Goal, quantile_ms};
use super::frames::{minute, reader};
use super::process::{cpu_seconds, thread_cpu_seconds};
use crate::args::ConsentArgs;
use crate::demo::show::Show;
use crate::demo::stage::Stage;
use crate::grant;
use crate::output::Failure;
use crate::person::PersonFile;
use crate::read::{Wanted, read};
use crate::session::{Session, rng};
use crate::terms::Wish;
use futures::future::{try_join, try_join_all};
use salus_client::drive::now;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::SigningKey;
use salus_wire::ids::MemberIndex;
use salus_wire::{Code, DataClass, Purpose, namespaces};
use std::path::Path;
use std::time::{Duration, Instant};

/// Releases a second that each custodian of this measurement takes from one caller; else 16.
const RELEASES_PER_S: u32 = 100_000;
/// Between an answer of a custodian and the next question to it, while a withdrawal is under way: time
/// that the figure can be too long by.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// For a custodian to do what it is waited for.
const WITHIN: Duration = Duration::from_secs(30);
/// For which idle members are watched.
const IDLE: Duration = Duration::from_secs(10);
/// Requests under way at each custodian while its cost is measured.
const UNDER_WAY: u32 = 4;
/// Rounds of arithmetic measured alone.
const ROUNDS: u32 = 1_000;
/// The patient of all measurements.
const PATIENT: &str = "read";

/// Has custodians answer one caller as often as it asks.
pub(super) fn unlimited(stage: &Stage) -> Result<(), Failure> {
    for member in 0..stage.members {
        let path = stage.layout.member(member).file("node.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
        let text = format!("{text}\n[rates]\nreleases = {RELEASES_PER_S}\n");
        std::fs::write(&path, text).map_err(|error| Failure::file(&path, error))?;
    }
    Ok(())
}

/// Measures; members and gateway must run.
pub(super) async fn measure(
    args: &ConsentArgs,
    stage: &mut Stage,
    show: &Show,
) -> Result<Vec<Figure>, Failure> {
    let session = Session::operator(&stage.place)?;
    let reader = reader(&session, stage).await?;
    let grant = minute(&session, stage, &reader, PATIENT).await?;
    let asker = Asker::new(&session, &reader)?;
    show.act("A clinician reads");
    let mut figures = read_times(args, stage, &reader, &grant, show, "all members there").await?;
    show.act("Custodians release");
    figures.extend(cost(args, stage, &asker, &grant, show).await?);
    show.act("A patient withdraws");
    figures.extend(withdrawals(args, &session, stage, &asker, &reader, show).await?);
    show.act("A member is killed, a clinician reads");
    stage.kill_node(args.members.saturating_sub(1)).await?;
    figures.extend(read_times(args, stage, &reader, &grant, show, "one killed").await?);
    Ok(figures)
}

/// Reads a minute of ECG again and again, each time under an access of its own: everything that
/// `salus read` does once it runs.
async fn read_times(
    args: &ConsentArgs,
    stage: &Stage,
    reader: &PersonFile,
    grant: &Path,
    show: &Show,
    members: &str,
) -> Result<Vec<Figure>, Failure> {
    let session = reader.session(&stage.place)?;
    let bar = show.bar(u64::from(args.reads), "reads");
    let mut times = Vec::new();
    for _ in 0..args.reads {
        let started = Instant::now();
        let result = read(&session, reader, grant, &Wanted::all(Purpose::Treatment)).await?;
        times.push(started.elapsed());
        if result.samples.is_empty() || result.epochs_missing != 0 || result.segments_missing != 0 {
            return Err(Failure::broken("a read gave less than there is"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut figure = |q: usize, goal: f64| {
        let what = format!("intent to verified minute of ECG, {members}, p{q}");
        Figure::new(what, quantile_ms(&mut times, q), "ms", Goal::AtMost(goal))
    };
    let mut figures = vec![figure(50, 150.0), figure(99, 400.0)];
    figures.push(Figure::plain("  the same, longest", quantile_ms(&mut times, 100), "ms"));
    Ok(figures)
}

/// CPU time of the members' processes for each release, beyond what they use when nobody asks.
async fn cost(
    args: &ConsentArgs,
    stage: &Stage,
    asker: &Asker<'_>,
    grant: &Path,
    show: &Show,
) -> Result<Vec<Figure>, Failure> {
    let pids: Vec<u32> = members(stage);
    let cpu = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let wheel = show.wheel("watching idle members");
    let before = cpu();
    tokio::time::sleep(IDLE).await;
    let idle = (cpu() - before) / IDLE.as_secs_f64();
    wheel.finish_and_clear();

    let access = asker.access(grant).await?;
    everybody_releases(asker, &access).await?;
    let bar = show.bar(u64::from(args.releases).saturating_mul(u64::from(args.members)), "releases");
    let each = args.releases / UNDER_WAY;
    let (before, started) = (cpu(), Instant::now());
    let callers = asker.custodians().flat_map(|to| (0..UNDER_WAY).map(move |_| to)).map(|to| {
        let (access, bar) = (&access, &bar);
        async move {
            for _ in 0..each {
                match asker.ask(access, to).await? {
                    Answer::Released => bar.inc(1),
                    other => return Err(Failure::broken(format!("member {to} does not release: {other:?}"))),
                }
            }
            Ok(())
        }
    });
    try_join_all(callers).await?;
    let (spent, took) = (cpu() - before, started.elapsed().as_secs_f64());
    bar.finish_and_clear();
    let releases = f64::from(each) * f64::from(UNDER_WAY) * f64::from(args.members);
    let of_each = (spent - idle * took) * 1e3 / releases;
    Ok(vec![
        Figure::new("CPU of a custodian's process for one release", of_each, "CPU-ms", Goal::AtMost(0.15)),
        Figure::plain("  of this two checks, a signature and a seal", arithmetic()?, "CPU-ms"),
        Figure::plain("  releases of all custodians meanwhile", releases / took, "1/s"),
        Figure::plain("  CPU of an idle member", idle * 1e3 / f64::from(args.members), "CPU-ms/s"),
    ])
}

/// What no release can do without, alone on one thread: the request's signature and the intent's are
/// checked, a share is sealed to the reader and the answer signed.
fn arithmetic() -> Result<f64, Failure> {
    let mut rng = rng()?;
    let (signer, reader) = (SigningKey::generate(&mut rng), KemSecretKey::generate(&mut rng).public_key());
    let (public, message) = (signer.public_key(), [7; 512]);
    let internal = |error: &dyn std::error::Error| Failure::new(Code::Internal, error.to_string());
    let started = thread_cpu_seconds();
    for _ in 0..ROUNDS {
        let signature = signer.sign(namespaces::RELEASED, &message);
        for _ in 0..2 {
            public.verify(namespaces::RELEASED, &message, &signature).map_err(|error| internal(&error))?;
        }
        reader.seal(b"info", &[], &message, &mut rng).map_err(|error| internal(&error))?;
    }
    Ok((thread_cpu_seconds() - started) * 1e3 / f64::from(ROUNDS))
}

fn members(stage: &Stage) -> Vec<u32> {
    let processes = stage.processes().into_iter();
    processes.filter(|(name, _)| name.starts_with("member")).map(|(_, pid)| pid).collect()
}

/// Every custodian releases under this access; who is a block behind is asked again.
async fn everybody_releases(asker: &Asker<'_>, access: &Access) -> Result<(), Failure> {
    let all = asker.custodians().map(|to| until(asker, access, to, Answer::Released));
    try_join_all(all).await.map(drop)
}

/// Asks one custodian, each time anew, until it answers so; gives when it did.
async fn until(
    asker: &Asker<'_>,
    access: &Access,
    to: MemberIndex,
    wanted: Answer,
) -> Result<Instant, Failure> {
    let started = Instant::now();
    while started.elapsed() < WITHIN {
        if asker.ask(access, to).await? == wanted {
            return Ok(Instant::now());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Err(Failure::broken(format!("member {to} did not answer {wanted:?} in time")))
}

/// Withdraws one grant after the other. Under each an access is final and every custodian has released
/// before; it is asked for that access again and again, until it refuses.
async fn withdrawals(
    args: &ConsentArgs,
    session: &Session,
    stage: &Stage,
    asker: &Asker<'_>,
    reader: &PersonFile,
    show: &Show,
) -> Result<Vec<Figure>, Failure> {
    let (wallet, file) = (stage.people(&format!("{PATIENT}.wallet")), stage.people("withdrawn.grant"));
    let wish = Wish::treatment(reader.party, &[DataClass::Vitals, DataClass::Waveform], now())?;
    let bar = show.bar(u64::from(args.revocations), "withdrawals");
    let (mut refused, mut settled) = (Vec::new(), Vec::new());
    for _ in 0..args.revocations {
        let (index, _) = grant::create(session, &wallet, &wish, &file).await?;
        let access = asker.access(&file).await?;
        everybody_releases(asker, &access).await?;
        let started = Instant::now();
        let withdraw = async {
            grant::revoke(session, &wallet, index).await?;
            Ok(started.elapsed())
        };
        let revoked = Answer::Refused(Code::GrantRevoked);
        let asked = try_join_all(asker.custodians().map(|to| until(asker, &access, to, revoked)));
        let (final_after, refusals) = try_join(withdraw, asked).await?;
        settled.push(final_after);
        let last = refusals.iter().map(|at| at.saturating_duration_since(started)).max();
        refused.push(last.unwrap_or(WITHIN));
        still_refused(asker, &access).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(vec![
        Figure::plain("withdrawal to refused by every custodian, p50", quantile_ms(&mut refused, 50), "ms"),
        Figure::new(
            "withdrawal to refused by every custodian, p99",
            quantile_ms(&mut refused, 99),
            "ms",
            Goal::AtMost(2_000.0),
        ),
        Figure::plain("  the same, longest", quantile_ms(&mut refused, 100), "ms"),
        Figure::plain("  withdrawal to proven final, p50", quantile_ms(&mut settled, 50), "ms"),
        Figure::plain("  withdrawal to proven final, p99", quantile_ms(&mut settled, 99), "ms"),
    ])
}

/// Nobody releases again who has refused.
async fn still_refused(asker: &Asker<'_>, access: &Access) -> Result<(), Failure> {
    for to in asker.custodians() {
        match asker.ask(access, to).await? {
            Answer::Refused(Code::GrantRevoked) => {}
            other => return Err(Failure::broken(format!("member {to} refused, and then: {other:?}"))),
        }
    }
    Ok(())
}
