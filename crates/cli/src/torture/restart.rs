//! How long a member takes to be back after kill -9 with a long ledger: four real members commit
//! transactions as fast as they can until each has so many bytes of blocks, then one after the other
//! is killed, started, and awaited until it answers and is at the head.

use crate::bench::process::disk_bytes;
use crate::demo::show::Show;
use crate::demo::stage::Stage;
use crate::output::{Failure, Report};
use crate::session::{Session, rng};
use futures::future::try_join_all;
use indicatif::ProgressBar;
use rand_core::CryptoRng;
use salus_client::ClientError;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::sign::SigningKey;
use salus_wire::ids::{GrantTag, MemberIndex};
use salus_wire::limits::GRANT_BODY_BYTES;
use salus_wire::{Blob, ChainId, Code, Tx, TxBody};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Connections to each member while the ledger grows, and transactions under way on each; a member
/// takes 64 calls of one connection at once.
const SESSIONS: usize = 2;
const IN_FLIGHT: u16 = 256;
/// Between looks at the size of the ledger.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between looks at whether a member is back.
const READY_LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest that a member may take to be back with a gigabyte of blocks.
const RESTART_WITHIN: Duration = Duration::from_secs(5);
/// For a member to be back at all.
const READY_WITHIN: Duration = Duration::from_secs(300);
const MIB: u64 = 1024 * 1024;

/// Fills the ledgers, restarts members, and says how long each took.
pub(super) async fn run(stage: &mut Stage, mib: u32, times: u16, show: &Show) -> Result<Report, Failure> {
    stage.start(show).await?;
    stage.kill_gateway().await?;
    let started = Instant::now();
    let committed = fill(stage, u64::from(mib).saturating_mul(MIB), show).await?;
    let filled_s = started.elapsed().as_secs();
    let session = Session::operator(&stage.place)?;
    let mut restarts = Vec::new();
    for turn in 0..times {
        let took = restart(stage, &session, turn % stage.members).await?;
        show.held(format!("member {} was back after {} ms", turn % stage.members, took.as_millis()));
        restarts.push(took);
    }
    let head = session.client.status(session.home).await?.head.height;
    let ms: Vec<u128> = restarts.iter().map(Duration::as_millis).collect();
    restarts.sort_unstable();
    let p50 = restarts.get(restarts.len() / 2).copied().unwrap_or_default();
    let worst = restarts.last().copied().unwrap_or_default();
    if worst > RESTART_WITHIN {
        let what =
            format!("a restart took {} ms, more than {} ms", worst.as_millis(), RESTART_WITHIN.as_millis());
        return Err(Failure::broken(what));
    }
    let (blocks, engine) = (blocks_bytes(stage, 0), engine_bytes(stage, 0));
    Ok(Report::new(json!({
        "build": if cfg!(debug_assertions) { "development" } else { "release" },
        "members": stage.members,
        "height": head.get(),
        "transactions": committed,
        "blocks_bytes_each": blocks,
        "engine_bytes_each": engine,
        "filled_seconds": filled_s,
        "restart_ms": ms,
        "restart_ms_p50": p50.as_millis(),
        "restart_ms_max": worst.as_millis(),
    }))
    .line(format!("{committed} transactions in {head} blocks, {} MiB of blocks at each member", blocks / MIB))
    .line(format!(
        "back after kill -9: {} ms (p50), {} ms (max of {times})",
        p50.as_millis(),
        worst.as_millis()
    )))
}

/// Kills one member and waits until it answers and has what the others had when it answered.
async fn restart(stage: &mut Stage, session: &Session, member: u16) -> Result<Duration, Failure> {
    let other = MemberIndex::new(member.wrapping_add(1) % stage.members);
    stage.kill_node(member).await?;
    let started = Instant::now();
    stage.start_node(member)?;
    loop {
        if let Ok(status) = session.client.status(MemberIndex::new(member)).await {
            let head = session.client.status(other).await?.head.height;
            if status.head.height.get().saturating_add(1) >= head.get() {
                return Ok(started.elapsed());
            }
        }
        stage.still_running()?;
        if started.elapsed() > READY_WITHIN {
            return Err(Failure::broken(format!("member {member} is not back")));
        }
        tokio::time::sleep(READY_LOOK_EVERY).await;
    }
}

/// Commits until every member has so many bytes of blocks; how many transactions it took.
async fn fill(stage: &mut Stage, bytes: u64, show: &Show) -> Result<u64, Failure> {
    let bar = show.bar(bytes / MIB, "MiB of blocks at each member");
    let full = AtomicBool::new(false);
    let sessions: Result<Vec<Session>, Failure> =
        (0..SESSIONS).map(|_| Session::operator(&stage.place)).collect();
    let sessions = sessions?;
    let submitters = sessions.iter().flat_map(|session| (0..IN_FLIGHT).map(move |number| (session, number)));
    let members = stage.members;
    let submitters =
        submitters.map(|(session, number)| submitter(session, MemberIndex::new(number % members), &full));
    let ((), committed) = tokio::try_join!(watch(stage, bytes, &bar, &full), try_join_all(submitters))?;
    bar.finish();
    Ok(committed.into_iter().sum())
}

/// Resolves when the ledgers are full.
async fn watch(stage: &mut Stage, bytes: u64, bar: &ProgressBar, full: &AtomicBool) -> Result<(), Failure> {
    loop {
        stage.still_running()?;
        let least = (0..stage.members).map(|member| blocks_bytes(stage, member)).min().unwrap_or(0);
        bar.set_position(least / MIB);
        if least >= bytes {
            full.store(true, Ordering::Relaxed);
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn submitter(session: &Session, to: MemberIndex, full: &AtomicBool) -> Result<u64, Failure> {
    let mut rng = rng()?;
    let key = SigningKey::generate(&mut rng);
    let mut committed = 0_u64;
    while !full.load(Ordering::Relaxed) {
        let tx = largest(session.chain(), &key, &mut rng)?;
        match session.client.submit(&tx, to).await {
            Ok(_) => committed = committed.saturating_add(1),
            // Members under all the load that they can bear turn callers away.
            Err(ClientError::Unreachable) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(committed)
}

/// The largest transaction that anybody may order: a grant, here one that nobody can open.
fn largest(chain: ChainId, key: &SigningKey, rng: &mut impl CryptoRng) -> Result<Tx, Failure> {
    let (mut tag, mut body) = ([0; 32], vec![0; GRANT_BODY_BYTES]);
    rng.fill_bytes(&mut tag);
    rng.fill_bytes(&mut body);
    let body = Blob::new(body).map_err(|_| Failure::new(Code::Internal, "a body is too long"))?;
    let tag = GrantTag(ChainTag::from_digest(Digest::from_bytes(tag)));
    Ok(Tx::sign(chain, TxBody::CommitGrant { tag, commitment: Digest::ZERO, body }, key))
}

fn blocks_bytes(stage: &Stage, member: u16) -> u64 {
    disk_bytes(&stage.layout.member(member).data().join("engine").join("blocks"))
}

fn engine_bytes(stage: &Stage, member: u16) -> u64 {
    disk_bytes(&stage.layout.member(member).data().join("engine"))
}
