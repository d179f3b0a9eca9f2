//! `salus bench soak`: part of the sustainable load for a long time, with processes that are killed and
//! frozen at random, while memory, open files and threads of each are written down.

use super::figures::{Figure, real};
use super::flood::Devices;
use super::frames::reader;
use super::offered::{Crowd, Load};
use super::process::{Held, held};
use super::trend::{Life, trends};
use crate::args::SoakArgs;
use crate::demo::show::Show;
use crate::demo::stage::Stage;
use crate::output::Failure;
use crate::session::Session;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// Between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Loads that are put on one after the other: a gap in which every answer comes home.
const ROUND: Duration = Duration::from_secs(60);
/// For which the sustainable rate is looked for.
const FIND: Duration = Duration::from_secs(15);
/// Requests of one caller under way meanwhile.
const CLOSED_EACH: usize = 4;
/// Seconds between the end of one fault and the next.
const CALM_S: std::ops::Range<u64> = 10..40;
/// Seconds of a fault.
const FAULT_S: std::ops::Range<u64> = 1..8;
/// The member that is never killed, as the gateway is not, so that one life of each is as long as the soak.
/// They are frozen like all others.
const SPARED: u16 = 1;
/// Callers, and devices.
const CALLERS: u16 = 16;
const DEVICES: u16 = 8;

/// What happens to a process.
#[derive(Clone, Copy)]
enum Blow {
    Kill(u16),
    Freeze(usize),
}

/// Measures; members and gateway must run.
pub(crate) async fn measure(args: &SoakArgs, stage: &mut Stage, show: &Show) -> Result<Vec<Figure>, Failure> {
    let session = Session::operator(&stage.place)?;
    let crowd = Crowd::gather(&session, CALLERS)?;
    let reader = reader(&session, stage).await?;
    let mut devices = Devices::enrol(&session, stage, &reader, DEVICES).await?;
    let (most_tx, most_frames) =
        tokio::join!(crowd.offer(Load::Closed(CLOSED_EACH), FIND), devices.stream(None, FIND));
    let part = f64::from(args.load) / 100.0;
    let (tx, frames) = (most_tx?.goodput() * part, most_frames.goodput() * part);
    show.act(&format!("{} minutes at {} %: {tx:.0} tx/s and {frames:.0} frames/s", args.minutes, args.load));
    let until = Instant::now() + Duration::from_secs(args.minutes.saturating_mul(60));
    let mut book = Book::open(args)?;
    let (load, faults) = tokio::join!(
        bear(&crowd, &mut devices, (tx, frames), until),
        strike_and_look(stage, &mut book, args.seed, until)
    );
    let (load, faults) = (load?, faults?);
    stage.still_running()?;
    let mut figures = vec![
        Figure::plain("transactions offered", tx, "tx/s"),
        Figure::plain("frames offered", frames, "frames/s"),
        Figure::plain("transactions final", real(load.good), ""),
        Figure::plain("transactions lost or refused", real(load.bad), ""),
        Figure::plain("frames acknowledged", real(load.acknowledged), ""),
        Figure::plain("faults", real(faults), ""),
    ];
    figures.extend(trends(&book.lives));
    Ok(figures)
}

/// What became of the load.
struct Borne {
    /// Transactions that became final, and that did not.
    good: u64,
    bad: u64,
    /// Frames.
    acknowledged: u64,
}

/// Puts the load on, round after round.
async fn bear(
    crowd: &Crowd,
    devices: &mut Devices,
    (tx, frames): (f64, f64),
    until: Instant,
) -> Result<Borne, Failure> {
    let (mut good, mut bad, mut acknowledged) = (0_u64, 0_u64, 0_u64);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let length = left.min(ROUND);
        let (offered, streamed) =
            tokio::join!(crowd.offer(Load::Open(tx), length), devices.stream(Some(frames), length));
        let offered = offered?;
        good = good.saturating_add(u64::try_from(offered.admitted.len()).unwrap_or(0));
        bad = bad.saturating_add(offered.failed).saturating_add(offered.refused);
        acknowledged = acknowledged.saturating_add(streamed.acknowledged());
        if length < ROUND {
            break;
        }
    }
    Ok(Borne { good, bad, acknowledged })
}

/// Strikes at random, and looks at every process again and again.
async fn strike_and_look(
    stage: &mut Stage,
    book: &mut Book,
    seed: u64,
    until: Instant,
) -> Result<u64, Failure> {
    let mut choices = StdRng::seed_from_u64(seed);
    let mut faults = 0_u64;
    while Instant::now() < until {
        let calm = Duration::from_secs(choices.random_range(CALM_S));
        book.look_until(stage, (Instant::now() + calm).min(until)).await?;
        if Instant::now() >= until {
            break;
        }
        let blow = choose(&mut choices, stage.members);
        let length = Duration::from_secs(choices.random_range(FAULT_S));
        strike(stage, book, blow, length).await?;
        faults = faults.saturating_add(1);
    }
    Ok(faults)
}

fn choose(choices: &mut StdRng, members: u16) -> Blow {
    let member = choices.random_range(0..members);
    if choices.random() && member != SPARED {
        return Blow::Kill(member);
    }
    Blow::Freeze(choices.random_range(0..usize::from(members).saturating_add(1)))
}

async fn strike(stage: &mut Stage, book: &mut Book, blow: Blow, length: Duration) -> Result<(), Failure> {
    let over = Instant::now() + length;
    match blow {
        Blow::Kill(member) => {
            stage.kill_node(member).await?;
            book.look_until(stage, over).await?;
            stage.start_node(member)
        }
        Blow::Freeze(which) => {
            let Some((_, pid)) = stage.processes().into_iter().nth(which) else { return Ok(()) };
            signal("-STOP", pid).await?;
            sleep(length).await;
            signal("-CONT", pid).await
        }
    }
}

async fn signal(what: &str, pid: u32) -> Result<(), Failure> {
    let done = Command::new("kill").arg(what).arg(pid.to_string()).status().await;
    done.map(drop).map_err(|error| Failure::new(salus_wire::Code::Internal, error.to_string()))
}

/// What was seen, in a file and by the life of each process.
struct Book {
    started: Instant,
    csv: BufWriter<File>,
    path: std::path::PathBuf,
    lives: BTreeMap<(String, u32), Life>,
}

impl Book {
    fn open(args: &SoakArgs) -> Result<Self, Failure> {
        let path = args.csv.clone();
        let file = File::create(&path).map_err(|error| Failure::file(&path, error))?;
        let mut book =
            Self { started: Instant::now(), csv: BufWriter::new(file), path, lives: BTreeMap::new() };
        book.line("seconds,process,pid,resident_kib,files,threads")?;
        Ok(book)
    }

    async fn look_until(&mut self, stage: &Stage, until: Instant) -> Result<(), Failure> {
        loop {
            self.look(stage)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(LOOK_EVERY)).await;
        }
    }

    fn look(&mut self, stage: &Stage) -> Result<(), Failure> {
        let at = self.started.elapsed().as_secs_f64();
        for (name, pid) in stage.processes() {
            let Some(held) = held(pid) else { continue };
            let Held { resident_kib, files, threads } = held;
            self.line(&format!("{at:.1},{name},{pid},{resident_kib},{files},{threads}"))?;
            self.lives.entry((name, pid)).or_default().push(at, &held);
        }
        self.csv.flush().map_err(|error| Failure::file(&self.path, error))
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.csv, "{line}").map_err(|error| Failure::file(&self.path, error))
    }
}
