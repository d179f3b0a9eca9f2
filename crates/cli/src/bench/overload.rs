//! `salus bench overload`: what the consortium does with twice the load that it can bear, and what a
//! withdrawal costs meanwhile. Load and members share this machine, so ratios say more than rates.

use super::figures::{Figure, Goal, quantile_ms, real};
use super::flood::{Devices, Flooded};
use super::frames::reader;
use super::offered::{Crowd, Load, Offered};
use super::process::resident_mib;
use crate::args::OverloadArgs;
use crate::demo::show::Show;
use crate::demo::stage::{GATEWAY, Stage};
use crate::output::Failure;
use crate::session::Session;
use salus_wire::ids::{MemberIndex, PartyId};
use salus_wire::{StateKey, Tx};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Requests of one caller under way while the sustainable rate is looked for.
const CLOSED_EACH: usize = 4;
/// Withdrawals a second beside the load.
const WITHDRAWALS_PER_S: u64 = 5;
/// Transactions one after the other, for what an idle consortium needs.
const LIGHT: usize = 20;
/// Times the idle time within which a transaction counts as quick again.
const QUICK_TIMES: u32 = 2;
/// For the consortium to be quick again.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// Acknowledged transactions of which a member is asked afterwards.
const ASKED_AFTERWARDS: usize = 2_000;
/// Mebibytes by which a process may grow under the load: allocators keep what they had in use.
const GROWTH_MIB_MAX: f64 = 64.0;
/// Final transactions or acknowledged frames a second below which nothing is measured.
const RATE_MIN: f64 = 10.0;
/// Times the sustainable rate.
const TIMES: f64 = 2.0;

/// Measures; members and gateway must run.
pub(crate) async fn measure(args: &OverloadArgs, stage: &Stage, show: &Show) -> Result<Vec<Figure>, Failure> {
    let session = Session::operator(&stage.place)?;
    let length = Duration::from_secs(args.seconds);
    show.act("Transactions, twice as many as can be borne");
    let mut figures = transactions(&session, stage, args.callers, length).await?;
    show.act("Frames, twice as many as can be borne");
    figures.extend(frames(&session, stage, args.devices, length).await?);
    Ok(figures)
}

async fn transactions(
    session: &Session,
    stage: &Stage,
    callers: u16,
    length: Duration,
) -> Result<Vec<Figure>, Failure> {
    let crowd = Crowd::gather(session, callers)?;
    let idle = light(session, &crowd).await?;
    let sustainable = measurable(crowd.offer(Load::Closed(CLOSED_EACH), length).await?.goodput())?;
    let mut once = crowd.offer(Load::Open(sustainable), length).await?;
    let ends = prepared(&once, length).map(|party| crowd.revocation(party)).collect();
    let before = Memory::of(stage);
    let (twice, withdrawals) =
        tokio::join!(crowd.offer(Load::Open(sustainable * TIMES), length), withdraw(session, ends, length));
    let mut twice = twice?;
    let after = Memory::of(stage);
    let recovered = recovery(session, &crowd, idle).await?;
    let lost = lost(session, &once).await?.saturating_add(lost(session, &twice).await?);
    let mut figures = of_transactions(sustainable, &mut once, &mut twice);
    figures.push(Figure::new("acknowledged and then not there", real(lost), "", Goal::AtMost(0.0)));
    figures.push(Figure::new("quick again after the load", recovered.as_secs_f64(), "s", Goal::AtMost(10.0)));
    figures.extend(withdrawals?.figures());
    figures.extend(before.until(&after));
    Ok(figures)
}

fn of_transactions(sustainable: f64, once: &mut Offered, twice: &mut Offered) -> Vec<Figure> {
    let (peak, p99) = (once.goodput().max(sustainable), once.admitted_ms(99));
    vec![
        Figure::plain("transactions, sustainable (closed loop)", sustainable, "tx/s"),
        Figure::plain("  offered once: final", once.goodput(), "tx/s"),
        Figure::plain("  offered once: refused", real(once.refused), ""),
        Figure::plain("  offered once: sending to final, p99", p99, "ms"),
        Figure::plain("  offered twice: sent", real(twice.sent), ""),
        Figure::plain("  offered twice: not sent, caller full", real(twice.unsent), ""),
        Figure::plain("  offered twice: refused", real(twice.refused), ""),
        Figure::plain("  offered twice: failed otherwise", real(twice.failed), ""),
        Figure::plain("  offered twice: final", twice.goodput(), "tx/s"),
        Figure::new(
            "goodput at twice the load over the best at once",
            twice.goodput() / peak.max(f64::MIN_POSITIVE),
            "",
            Goal::AtLeast(0.9),
        ),
        Figure::plain("  sending to final, p50, at twice", twice.admitted_ms(50), "ms"),
        Figure::new(
            "sending to final, p99, twice over once",
            twice.admitted_ms(99) / p99.max(f64::MIN_POSITIVE),
            "",
            Goal::AtMost(2.0),
        ),
        Figure::plain("  sending to refused, p50", twice.refusals_ms(50), "ms"),
        Figure::new("sending to refused, p99", twice.refusals_ms(99), "ms", Goal::AtMost(10.0)),
        Figure::new("refusals that do not say for how long", real(twice.without_hint), "", Goal::AtMost(0.0)),
    ]
}

async fn frames(
    session: &Session,
    stage: &Stage,
    count: u16,
    length: Duration,
) -> Result<Vec<Figure>, Failure> {
    let reader = reader(session, stage).await?;
    let mut devices = Devices::enrol(session, stage, &reader, count).await?;
    let sustainable = measurable(devices.stream(None, length).await.goodput())?;
    let mut once = devices.stream(Some(sustainable), length).await;
    let before = Memory::of(stage);
    let mut twice = devices.stream(Some(sustainable * TIMES), length).await;
    let after = Memory::of(stage);
    let mut figures = of_frames(sustainable, &mut once, &mut twice);
    figures.extend(before.until(&after));
    Ok(figures)
}

fn of_frames(sustainable: f64, once: &mut Flooded, twice: &mut Flooded) -> Vec<Figure> {
    let (peak, p99) = (once.goodput().max(sustainable), once.admitted_ms(99));
    vec![
        Figure::plain("frames, sustainable (closed loop)", sustainable, "frames/s"),
        Figure::plain("  offered once: acknowledged", once.goodput(), "frames/s"),
        Figure::plain("  offered once: sending to acknowledged, p99", p99, "ms"),
        Figure::plain("  offered twice: acknowledged", twice.goodput(), "frames/s"),
        Figure::plain("  offered twice: refused", real(twice.refused), ""),
        Figure::new("  connections lost", real(once.lost.saturating_add(twice.lost)), "", Goal::AtMost(0.0)),
        Figure::new(
            "goodput at twice the load over the best at once",
            twice.goodput() / peak.max(f64::MIN_POSITIVE),
            "",
            Goal::AtLeast(0.9),
        ),
        Figure::new(
            "sending to acknowledged, p99, twice over once",
            twice.admitted_ms(99) / p99.max(f64::MIN_POSITIVE),
            "",
            Goal::AtMost(2.0),
        ),
        Figure::plain("  a quiet device, due to acknowledged, p50, once", once.quiet_ms(50), "ms"),
        Figure::plain("  a quiet device, due to acknowledged, p99, once", once.quiet_ms(99), "ms"),
        Figure::plain("  a quiet device, due to acknowledged, p50, twice", twice.quiet_ms(50), "ms"),
        Figure::plain("  a quiet device, due to acknowledged, p99, twice", twice.quiet_ms(99), "ms"),
    ]
}

/// A rate of which twice as much means anything.
fn measurable(rate: f64) -> Result<f64, Failure> {
    if rate < RATE_MIN {
        return Err(Failure::broken(format!(
            "only {rate:.1} a second: this machine is too busy to be measured"
        )));
    }
    Ok(rate)
}

/// The median time of a transaction when there is nothing else.
async fn light(session: &Session, crowd: &Crowd) -> Result<Duration, Failure> {
    let mut took = Vec::new();
    for _ in 0..LIGHT {
        took.push(one(session, crowd).await?);
    }
    took.sort_unstable();
    Ok(took.get(LIGHT / 2).copied().unwrap_or_default())
}

async fn one(session: &Session, crowd: &Crowd) -> Result<Duration, Failure> {
    let (_, tx) = crowd.registration()?;
    let started = Instant::now();
    session.submit(&tx).await?;
    Ok(started.elapsed())
}

/// How long until a transaction is about as quick as before.
async fn recovery(session: &Session, crowd: &Crowd, idle: Duration) -> Result<Duration, Failure> {
    let started = Instant::now();
    let quick = async {
        loop {
            if one(session, crowd).await? <= idle.saturating_mul(QUICK_TIMES) {
                return Ok(started.elapsed());
            }
        }
    };
    timeout(RECOVERS_WITHIN, quick).await.unwrap_or(Ok(RECOVERS_WITHIN))
}

/// Registrations to be ended under load.
fn prepared(offered: &Offered, length: Duration) -> impl Iterator<Item = PartyId> + '_ {
    let count = WITHDRAWALS_PER_S.saturating_mul(length.as_secs());
    offered.parties.iter().copied().take(usize::try_from(count).unwrap_or(0))
}

/// What became of the withdrawals.
struct Withdrawals {
    took: Vec<Duration>,
    failed: u64,
}

impl Withdrawals {
    fn figures(mut self) -> Vec<Figure> {
        vec![
            Figure::plain("withdrawals beside twice the load", real(count(self.took.len())), ""),
            Figure::new("  not final", real(self.failed), "", Goal::AtMost(0.0)),
            Figure::plain("  to proven final, p50", quantile_ms(&mut self.took, 50), "ms"),
            Figure::new(
                "  to proven final, p99",
                quantile_ms(&mut self.took, 99),
                "ms",
                Goal::AtMost(2_000.0),
            ),
        ]
    }
}

/// Withdraws at an even pace, each until it is proven to be final, as a person's client does.
async fn withdraw(session: &Session, ends: Vec<Tx>, length: Duration) -> Result<Withdrawals, Failure> {
    let mut pace = interval(Duration::from_millis(1_000 / WITHDRAWALS_PER_S));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let until = Instant::now() + length;
    let mut withdrawals = Withdrawals { took: Vec::new(), failed: 0 };
    for tx in ends {
        pace.tick().await;
        if Instant::now() >= until {
            break;
        }
        let started = Instant::now();
        match session.submit(&tx).await {
            Ok(_) => withdrawals.took.push(started.elapsed()),
            Err(_) => withdrawals.failed = withdrawals.failed.saturating_add(1),
        }
    }
    Ok(withdrawals)
}

/// How many of the acknowledged transactions a member does not have.
async fn lost(session: &Session, offered: &Offered) -> Result<u64, Failure> {
    let keys: Vec<StateKey> =
        offered.parties.iter().rev().take(ASKED_AFTERWARDS).map(|party| StateKey::Identity(*party)).collect();
    let other = MemberIndex::new(session.home.get().wrapping_add(1));
    let values = session.client.values(keys, other).await?;
    Ok(count(values.values.iter().filter(|value| value.is_none()).count()))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Resident mebibytes: of the members together, and of the gateway.
struct Memory {
    members: f64,
    gateway: f64,
}

impl Memory {
    fn of(stage: &Stage) -> Self {
        let mut memory = Self { members: 0.0, gateway: 0.0 };
        for (name, pid) in stage.processes() {
            if name == GATEWAY {
                memory.gateway = resident_mib(pid);
            } else {
                memory.members += resident_mib(pid);
            }
        }
        memory
    }

    fn until(&self, after: &Self) -> Vec<Figure> {
        let most = Goal::AtMost(GROWTH_MIB_MAX);
        vec![
            Figure::plain("  resident, all members, before twice", self.members, "MiB"),
            Figure::new("  growth of all members", after.members - self.members, "MiB", most),
            Figure::plain("  resident, gateway, before twice", self.gateway, "MiB"),
            Figure::new("  growth of the gateway", after.gateway - self.gateway, "MiB", most),
        ]
    }
}
