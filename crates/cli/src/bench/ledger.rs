//! The ledger under load: real members, real disks, signed transactions of about 200 bytes.

use super::figures::{Figure, Goal, quantile_ms, real};
use super::process::{cpu_seconds, disk_bytes, resident_mib};
use crate::demo::stage::Stage;
use crate::output::Failure;
use crate::session::{Session, rng};
use futures::future::try_join_all;
use rand_core::CryptoRng;
use salus_client::drive::now;
use salus_crypto::sign::SigningKey;
use salus_wire::ids::{MemberIndex, PartyId, TimeMs, TimeSpan};
use salus_wire::tx::PartyKind;
use salus_wire::{ChainId, Code, Outcome, Roles, Tx, TxBody};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Transactions under way at once, over all members.
const IN_FLIGHT: usize = 200;
/// Transactions submitted one after the other for finality at light load.
const LIGHT: usize = 100;
/// Milliseconds for which a registration of the measurement holds.
const RECORD_VALID_MS: u64 = 86_400_000;

/// Measures the ledger; the members must run.
pub(crate) async fn measure(stage: &Stage, seconds: u64) -> Result<Vec<Figure>, Failure> {
    let session = Session::operator(&stage.place)?;
    let registrar = session.registrar()?;
    let mut light = light(&session, &registrar).await?;
    let pids: Vec<u32> = stage.processes().into_iter().map(|(_, pid)| pid).collect();
    let disk_before = ledger_disk(stage);
    let cpu_before = cpu(&pids);
    let started = Instant::now();
    let (committed, mut finality) = load(&session, &registrar, Duration::from_secs(seconds)).await?;
    let took = started.elapsed().as_secs_f64();
    let cpu_spent = cpu(&pids) - cpu_before;
    let disk = ledger_disk(stage).saturating_sub(disk_before);
    let resident: f64 = pids.iter().map(|pid| resident_mib(*pid)).sum();
    let count = real(committed).max(1.0);
    Ok(vec![
        Figure::new(
            "committed transactions, 4 members and client on one machine",
            count / took,
            "tx/s",
            Goal::AtLeast(5_000.0),
        ),
        Figure::new(
            "CPU per committed transaction, members and client",
            cpu_spent * 1e3 / count,
            "CPU-ms",
            Goal::AtMost(0.36),
        ),
        Figure::new("finality at light load, p50", quantile_ms(&mut light, 50), "ms", Goal::AtMost(30.0)),
        Figure::new("finality at light load, p99", quantile_ms(&mut light, 99), "ms", Goal::AtMost(80.0)),
        Figure::plain("finality under that load, p50", quantile_ms(&mut finality, 50), "ms"),
        Figure::plain("finality under that load, p99", quantile_ms(&mut finality, 99), "ms"),
        Figure::new("disk per transaction, all copies", real(disk) / count / 1e3, "kB", Goal::AtMost(2.8)),
        Figure::new(
            "resident memory, all members, after the load",
            resident / 1024.0,
            "GiB",
            Goal::AtMost(0.5),
        ),
    ])
}

/// One registration after the other.
async fn light(session: &Session, registrar: &SigningKey) -> Result<Vec<Duration>, Failure> {
    let mut rng = rng()?;
    let mut finality = Vec::with_capacity(LIGHT);
    for _ in 0..LIGHT {
        let tx = registration(session.chain(), session.home, registrar, &mut rng)?;
        let started = Instant::now();
        session.submit(&tx).await?;
        finality.push(started.elapsed());
    }
    Ok(finality)
}

/// A closed loop of [`IN_FLIGHT`] submitters.
async fn load(
    session: &Session,
    registrar: &SigningKey,
    length: Duration,
) -> Result<(u64, Vec<Duration>), Failure> {
    let members = session.consortium.faults().members().max(1);
    let committed = AtomicU64::new(0);
    let until = Instant::now() + length;
    let submitters = (0..IN_FLIGHT).map(|number| {
        let to = MemberIndex::new(u16::try_from(number).unwrap_or(0) % members);
        submitter(session, registrar, to, until, &committed)
    });
    let finality = try_join_all(submitters).await?.into_iter().flatten().collect();
    Ok((committed.into_inner(), finality))
}

async fn submitter(
    session: &Session,
    registrar: &SigningKey,
    to: MemberIndex,
    until: Instant,
    committed: &AtomicU64,
) -> Result<Vec<Duration>, Failure> {
    let mut rng = rng()?;
    let mut finality = Vec::new();
    while Instant::now() < until {
        let tx = registration(session.chain(), session.home, registrar, &mut rng)?;
        let started = Instant::now();
        let outcome = session.client.submit(&tx, to).await?.outcome;
        if let Outcome::Refused(code) = outcome {
            return Err(Failure::new(code, "the ledger refused a registration"));
        }
        finality.push(started.elapsed());
        committed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(finality)
}

fn registration(
    chain: ChainId,
    member: MemberIndex,
    registrar: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<Tx, Failure> {
    let mut party = [0; 16];
    rng.fill_bytes(&mut party);
    let at = now();
    let validity = TimeSpan::new(TimeMs::new(at.get().saturating_sub(60_000)), at.plus_ms(RECORD_VALID_MS));
    let body = TxBody::RegisterIdentity {
        party: PartyId::new(party),
        kind: PartyKind::Person,
        member,
        key: registrar.public_key(),
        validity: validity.ok_or_else(|| Failure::new(Code::Internal, "the clock is beyond its range"))?,
        roles: Roles::NONE,
        second: None,
    };
    Ok(Tx::sign(chain, body, registrar))
}

fn cpu(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>() + cpu_seconds(std::process::id())
}

fn ledger_disk(stage: &Stage) -> u64 {
    (0..stage.members)
        .map(|member| disk_bytes(&stage.layout.member(member).data()))
        .fold(0, u64::saturating_add)
}
