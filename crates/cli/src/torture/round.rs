//! One round: something goes wrong in the middle of a burst, is undone, and all must be well within a
//! named time.

use super::draw::{Draw, Fault};
use super::ground::Ground;
use super::links::{Links, Passage};
use super::patient::Patient;
use super::starving::Starving;
use super::trouble::{Disk, Trouble};
use super::witness::Witness;
use crate::demo::stage::{Process, Stage};
use crate::output::Failure;
use crate::session::Session;
use salus_wire::MemberIndex;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// From when a fault is undone until all members agree on one head above it and new frames are
/// acknowledged and anchored.
pub(super) const RECOVERY_WITHIN: Duration = Duration::from_secs(30);
/// Of the time that a machine without a processor to spare is granted beside it.
const STARVING_MAX: Duration = Duration::from_secs(300);
/// Between looks at whether it is too late.
const LATE_LOOK_EVERY: Duration = Duration::from_millis(500);
/// For a process to call what is to fail.
const HIT_WITHIN: Duration = Duration::from_secs(4);
/// For a process to end after a sync of its disk failed.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Blocks that a member may have in hand while it ends.
const IN_HAND: u64 = 2;
/// Between looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How a process ends that says why.
const ENDED_WITH_AN_ERROR: i32 = 1;

/// What became of a round.
pub(super) struct Outcome {
    /// From undoing the fault until all was well.
    pub(super) recovery: Duration,
    /// Whether the fault met anything; a disk may give trouble while nobody calls it.
    pub(super) hit: bool,
}

/// Carries out one round.
pub(super) async fn round(
    stage: &mut Stage,
    ground: &Ground,
    patient: &mut Patient,
    witness: &mut Witness,
    draw: &Draw,
) -> Result<Outcome, Failure> {
    let frames = patient.burst()?;
    let (before, rest) = frames.split_at(draw.after.min(frames.len()));
    patient.deliver(before).await?;
    let fault = async {
        let hit = inflict(stage, ground, &draw.fault).await?;
        Ok((hit, Instant::now()))
    };
    let ((), (hit, undone)) = tokio::try_join!(patient.deliver(rest), fault)?;
    let starving = Starving::since_now(stage.processes().into_iter().map(|(_, pid)| pid).collect());
    tokio::select! {
        recovered = recover(stage, patient, witness) => recovered?,
        () = too_late(undone, &starving) => {
            let what = format!("not all was well {} s after it was undone", undone.elapsed().as_secs());
            return Err(Failure::broken(what));
        }
    }
    stage.still_running()?;
    Ok(Outcome { recovery: undone.elapsed(), hit })
}

/// Resolves once [`RECOVERY_WITHIN`] has passed beside the time that the machine took for others.
async fn too_late(undone: Instant, starving: &Starving) {
    while undone.elapsed() < RECOVERY_WITHIN + starving.time().min(STARVING_MAX) {
        sleep(LATE_LOOK_EVERY).await;
    }
}

/// New frames are acknowledged and anchored, and members agree.
async fn recover(stage: &mut Stage, patient: &mut Patient, witness: &mut Witness) -> Result<(), Failure> {
    witness.look(stage, patient.session()).await?;
    let before = witness.at();
    let frames = patient.burst()?;
    patient.deliver(&frames).await?;
    while witness.anchored() <= before {
        sleep(LOOK_EVERY).await;
        witness.look(stage, patient.session()).await?;
    }
    Ok(())
}

/// Does the fault, and undoes it; whether it met anything.
async fn inflict(stage: &mut Stage, ground: &Ground, fault: &Fault) -> Result<bool, Failure> {
    match fault {
        Fault::Kill { processes, away } => {
            stage.kill_processes(processes).await?;
            sleep(*away).await;
            processes.iter().try_for_each(|process| stage.start_process(*process))?;
            Ok(true)
        }
        Fault::Freeze { processes, length } => {
            stage.freeze(processes)?;
            sleep(*length).await;
            stage.thaw(processes)?;
            Ok(true)
        }
        Fault::Links { directions, passage, length } => {
            bad_links(&ground.links, directions, *passage, *length).await;
            Ok(true)
        }
        Fault::Disk { process, trouble, skip, length } => {
            let disk = ground.disk(*process)?;
            disk.give(*trouble, *skip)?;
            let ended = match trouble {
                Trouble::NoRoom => no_room(stage, disk, *process, *length).await,
                Trouble::OneSync | Trouble::Everything => failing(stage, disk, *process).await,
            };
            disk.mend()?;
            if ended? {
                stage.start_process(*process)?;
            }
            Ok(disk.hits()? > 0)
        }
    }
}

async fn bad_links(
    links: &Links,
    directions: &[super::links::Direction],
    passage: Passage,
    length: Duration,
) {
    links.set(directions, passage);
    sleep(length).await;
    links.set(directions, Passage::Open);
}

/// A process whose disk failed it must end, and say why; whether it did.
async fn failing(stage: &mut Stage, disk: &Disk, process: Process) -> Result<bool, Failure> {
    let started = Instant::now();
    while disk.hits()? == 0 {
        if started.elapsed() > HIT_WITHIN {
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
    match stage.ends_within(process, ENDS_WITHIN).await {
        Some(status) => in_order(process, status).map(|()| true),
        None => Err(Failure::broken(format!("{process} went on after its disk had failed"))),
    }
}

/// A gateway waits for room; a member waits or ends, and says why; whether it ended.
async fn no_room(
    stage: &mut Stage,
    disk: &Disk,
    process: Process,
    length: Duration,
) -> Result<bool, Failure> {
    let mut ended = stage.ends_within(process, length).await;
    disk.mend()?;
    if let (None, Process::Member(member)) = (&ended, process)
        && disk.hits()? > 0
    {
        ended = ends_or_goes_on(stage, member).await?;
    }
    match ended {
        None => Ok(false),
        Some(status) if process == Process::Gateway => {
            Err(Failure::broken(format!("the gateway ended for want of room ({status})")))
        }
        Some(status) => in_order(process, status).map(|()| true),
    }
}

/// A member that met a full disk takes a moment to end; one that takes further blocks will not.
async fn ends_or_goes_on(stage: &mut Stage, member: u16) -> Result<Option<ExitStatus>, Failure> {
    let session = Session::operator(&stage.place)?;
    let (process, started) = (Process::Member(member), Instant::now());
    let mut first = None;
    while started.elapsed() < ENDS_WITHIN {
        if let Some(status) = stage.ends_within(process, LOOK_EVERY).await {
            return Ok(Some(status));
        }
        if let Ok(status) = session.client.status(MemberIndex::new(member)).await {
            let height = status.head.height.get();
            if height > first.get_or_insert(height).saturating_add(IN_HAND) {
                return Ok(None);
            }
        }
    }
    Err(Failure::broken(format!("{process} met a full disk and neither ended nor went on")))
}

fn in_order(process: Process, status: ExitStatus) -> Result<(), Failure> {
    if status.code() == Some(ENDED_WITH_AN_ERROR) {
        return Ok(());
    }
    Err(Failure::broken(format!("{process} did not end in order but with {status}")))
}
