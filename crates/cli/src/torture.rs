//! `salus torture`: processes are killed with SIGKILL, one after the other and at random, while a
//! device streams; at the end every acknowledged frame must be readable, bit for bit, and members
//! must agree (INV-1, INV-4).

use crate::args::{ClassArg, PurposeArg, TortureArgs};
use crate::demo::show::Show;
use crate::demo::stage::{GATEWAY, Stage};
use crate::device::{DeviceFile, Signed, deliver, enlist as enrol, sign};
use crate::ecg;
use crate::files::{load, store};
use crate::grant::{self, Wish};
use crate::output::{Failure, Report};
use crate::person::{PersonFile, enlist};
use crate::read::read_what_is_there;
use crate::session::{Session, rng};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_client::Wallet;
use salus_client::drive::now;
use salus_wire::ids::{Sequence, TimeMs};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Frames of one burst; a kill falls into each.
const BURST: usize = 20;
/// For which nothing of a burst may be acknowledged, over all attempts.
const BURST_WITHIN: Duration = Duration::from_secs(60);
/// For everything acknowledged to become readable at the end.
const READABLE_WITHIN: Duration = Duration::from_secs(60);

/// Who is killed in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Gateway,
    Member(u16),
    GatewayAndMember(u16),
}

/// Runs the command.
pub(crate) async fn run(args: &TortureArgs, quiet: bool) -> Result<Report, Failure> {
    let show = Show::new(quiet);
    let seed = args.seed.unwrap_or_else(|| now().get());
    let dir = std::env::temp_dir().join(format!("salus-torture-{}-{seed}", std::process::id()));
    show.say(format!("seed {seed}, in {}", dir.display()));
    let mut stage = Stage::build(&dir, args.members)?;
    let outcome = tokio::select! {
        outcome = rounds(args, seed, &mut stage, &show) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(salus_wire::Code::Usage, "interrupted")),
    };
    stage.stop().await;
    if outcome.is_ok() {
        std::fs::remove_dir_all(&dir).map_err(|error| Failure::file(&dir, error))?;
    }
    outcome
}

async fn rounds(args: &TortureArgs, seed: u64, stage: &mut Stage, show: &Show) -> Result<Report, Failure> {
    stage.start(show).await?;
    let mut choices = StdRng::seed_from_u64(seed);
    let mut victim = Patient::gather(stage).await?;
    let bar = show.bar(u64::from(args.rounds), "rounds of kill -9");
    let mut kills = [0_u32; 3];
    for _ in 0..args.rounds {
        let who = choose(&mut choices, stage.members);
        if let Some(count) = kills.get_mut(who.kind()) {
            *count = count.saturating_add(1);
        }
        round(stage, &mut victim, who, choices.random_range(0..BURST)).await?;
        bar.inc(1);
    }
    bar.finish();
    let acknowledged = victim.acknowledged.len();
    let read = victim.all_readable(stage, show).await?;
    let [gateway, member, both] = kills;
    Ok(Report::new(json!({
        "seed": seed, "rounds": args.rounds, "acknowledged": acknowledged, "read": read, "lost": 0,
        "killed": { "gateway": gateway, "member": member, "gateway_and_member": both },
    }))
    .line(format!(
        "{} rounds, seed {seed}: {acknowledged} frames acknowledged, none lost, {read} read",
        args.rounds
    ))
    .line(format!("  killed: gateway {gateway}, a member {member}, both at once {both}")))
}

/// The device, its patient, and what was acknowledged.
struct Patient {
    session: Session,
    reader: PersonFile,
    device: DeviceFile,
    path: PathBuf,
    clock: TimeMs,
    acknowledged: BTreeSet<Sequence>,
}

impl Patient {
    async fn gather(stage: &Stage) -> Result<Self, Failure> {
        let session = Session::operator(&stage.place)?;
        let wallet = stage.people("patient.wallet");
        let gateway = crate::patient::gateway_party(&stage.layout, GATEWAY)?;
        store(&wallet, &Wallet::generate(gateway, &mut rng()?))?;
        let path = stage.people("monitor.device");
        let device = enrol(&session, GATEWAY, &wallet, &path, 30).await?;
        let party = enlist(&session, &stage.people("reader.person"), 30).await?;
        let wish = Wish {
            to: party,
            classes: &[ClassArg::Waveform],
            purposes: &[PurposeArg::Treat],
            back_hours: 1,
            hours: 24,
        };
        grant::create(&session, &wallet, &wish, &stage.people("all.grant")).await?;
        let reader = load(&stage.people("reader.person"))?;
        Ok(Self { session, reader, device, path, clock: now(), acknowledged: BTreeSet::new() })
    }

    /// The next frames, signed.
    fn burst(&mut self) -> Result<Vec<Signed>, Failure> {
        let samples: Vec<i16> = (0..).take(BURST.saturating_mul(8)).collect();
        let readings = ecg::waveforms(&samples, 1_000, 8, self.clock)?;
        self.clock = now();
        sign(&mut self.device, &self.path, readings)
    }

    /// Sends frames until each is acknowledged.
    async fn deliver(&mut self, frames: &[Signed]) -> Result<(), Failure> {
        let acknowledged = &mut self.acknowledged;
        let note = |sequence| {
            acknowledged.insert(sequence);
        };
        let delivered = deliver(&self.device, frames, BURST_WITHIN, note).await;
        delivered
            .map_err(|failure| Failure::broken(format!("a burst was not acknowledged in time: {failure}")))
    }

    /// Reads until every acknowledged frame is there.
    async fn all_readable(&self, stage: &mut Stage, show: &Show) -> Result<usize, Failure> {
        let session = self.reader.session(&stage.place)?;
        let wheel = show.wheel("reading everything back");
        let started = Instant::now();
        loop {
            let result = read_what_is_there(&session, &self.reader, &stage.people("all.grant")).await?;
            let samples = result.map(|result| result.samples).unwrap_or_default();
            let read: BTreeSet<Sequence> = samples.iter().map(|sample| sample.get().sequence()).collect();
            let lost = self.acknowledged.difference(&read).count();
            if lost == 0 {
                wheel.finish_and_clear();
                return Ok(read.len());
            }
            if started.elapsed() > READABLE_WITHIN {
                return Err(Failure::broken(format!("{lost} acknowledged frames cannot be read")));
            }
        }
    }
}

/// Kills somebody in the middle of a burst, brings them back, and waits until all is well.
async fn round(stage: &mut Stage, patient: &mut Patient, who: Victim, after: usize) -> Result<(), Failure> {
    let frames = patient.burst()?;
    let (before, rest) = frames.split_at(after.min(frames.len()));
    patient.deliver(before).await?;
    kill(stage, who).await?;
    let delivery = async {
        if who == Victim::Gateway || matches!(who, Victim::GatewayAndMember(_)) {
            stage.start_gateway()?;
        }
        patient.deliver(rest).await
    };
    delivery.await?;
    if let Victim::Member(member) | Victim::GatewayAndMember(member) = who {
        stage.start_node(member)?;
        let head = patient.session.client.status(other_than(member, stage.members)).await?.head.height;
        stage.height_of(&patient.session, member, head).await?;
    }
    stage.still_running()
}

async fn kill(stage: &mut Stage, who: Victim) -> Result<(), Failure> {
    match who {
        Victim::Gateway => stage.kill_gateway().await,
        Victim::Member(member) => stage.kill_node(member).await,
        Victim::GatewayAndMember(member) => {
            stage.kill_gateway().await?;
            stage.kill_node(member).await
        }
    }
}

fn choose(choices: &mut StdRng, members: u16) -> Victim {
    let member = choices.random_range(0..members);
    match choices.random_range(0..3) {
        0 => Victim::Gateway,
        1 => Victim::Member(member),
        _ => Victim::GatewayAndMember(member),
    }
}

fn other_than(member: u16, members: u16) -> salus_wire::MemberIndex {
    salus_wire::MemberIndex::new(member.wrapping_add(1) % members.max(1))
}

impl Victim {
    const fn kind(self) -> usize {
        match self {
            Self::Gateway => 0,
            Self::Member(_) => 1,
            Self::GatewayAndMember(_) => 2,
        }
    }
}
