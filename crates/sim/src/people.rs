//! Devices that measure, patients who grant and withdraw, and people who read.

use crate::clock::{age_ms, world_ms};
use crate::disk::lock;
use crate::foul;
use crate::keys::START;
use crate::oracle::{Broken, PatientNo, ReadOutcome, Seen};
use crate::road::Caller;
use crate::world::{End, World};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use futures::future::{Either, select};
use rand::RngExt;
use salus_client::grant::GrantTerms;
use salus_client::{Consortium, GrantFile, ReadPlan, ReadResult};
use salus_crypto::sign::SigningKey;
use salus_store::queue::Arrival;
use salus_wire::consent::{Deny, Grantee};
use salus_wire::state::Tip;
use salus_wire::{
    Blob, Classes, Code, Codes, DataClass, GrantTag, List, MemberIndex, ObservationCode, Purpose, Purposes,
    Scope, Sequence, TimeMs, TimeSpan, Tx, decode, encode,
};
use std::sync::Arc;
use std::time::Duration;

/// A device that hears nothing for so long sends again.
const HEAR_WITHIN: Duration = Duration::from_secs(2);
/// Between tries of what did not succeed.
const AGAIN: Duration = Duration::from_millis(400);
pub(crate) const GRANT_FILE_BYTES_MAX: usize = 4_096;

/// A time that nobody lives to see.
fn far() -> TimeMs {
    START.plus_ms(1 << 40)
}

pub(crate) fn ever() -> TimeSpan {
    TimeSpan::new(TimeMs::new(1), far()).expect("not empty")
}

/// What every device here measures: heart rates.
pub(crate) fn heart_rates() -> Scope {
    let codes = Codes::only(&[ObservationCode::Loinc(8_867)]).expect("one");
    Scope { classes: Classes::of(&[DataClass::Vitals]).expect("one"), codes, span: ever() }
}

/// A purpose that every grant allows and then denies.
pub(crate) const DENIED: Purpose = Purpose::Operations;

/// A purpose that every grant allows and the policy of the readers' member forbids.
pub(crate) const FORBIDDEN: Purpose = Purpose::PublicHealth;

/// Heart rates for treatment, and nothing for a purpose that is denied, to a reader: by name, or by the
/// role that they alone hold.
fn terms(world: &World, reader: usize, by_role: bool) -> GrantTerms {
    let who = world.cast.readers.get(reader).expect("a reader");
    let role = world.cast.roles().nth(reader).expect("a reader");
    let deny = Deny {
        party: None,
        purposes: Some(Purposes::only(DENIED)),
        classes: None,
        codes: Codes::All,
        span: None,
    };
    GrantTerms {
        grantee: if by_role {
            Grantee::Role { member: MemberIndex::new(0), role }
        } else {
            Grantee::Person { party: who.party, key: who.key.public_key() }
        },
        scope: heart_rates(),
        purposes: Purposes::of(&[Purpose::Treatment, DENIED, FORBIDDEN]).expect("three"),
        validity: ever(),
        denies: List::new(vec![deny]).expect("one"),
    }
}

/// Which reader a grant names.
fn named(world: &World, grantee: &Grantee) -> Option<usize> {
    match grantee {
        Grantee::Person { party, .. } | Grantee::Application { party, .. } => {
            world.cast.readers.iter().position(|who| who.party == *party)
        }
        Grantee::Emergency { .. } => None,
        Grantee::Role { role, .. } => world.cast.roles().position(|held| held == *role),
    }
}

/// Measures until told to stop; offers each reading until it is acknowledged, and some twice.
pub fn device(world: &Arc<World>, context: &Context, patient: PatientNo) {
    let world = Arc::clone(world);
    context.child("device").with_attribute("patient", patient.0).spawn(move |context| async move {
        loop {
            let (device, sequence, arrival, frame) = {
                let mut patient = lock(world.patient(patient));
                if patient.next >= u64::from(world.plan.frames) {
                    return;
                }
                let now = TimeMs::new(world_ms(&context));
                let frame = patient.unsent.clone().unwrap_or_else(|| patient.frame(patient.next, now));
                patient.unsent = Some(frame.clone());
                let (device, sequence, route) =
                    (patient.device, Sequence::new(patient.next), patient.route());
                let kept = Blob::new(frame.clone()).expect("a frame is small");
                (device, sequence, Arrival { device, sequence, received: now, route, frame: kept }, frame)
            };
            world.tell(&context, Seen::Offered { patient, device, sequence, frame });
            while !offer(&world, &context, arrival.clone()).await {
                context.sleep(AGAIN).await;
            }
            world.tell(&context, Seen::Acknowledged { device, sequence });
            {
                let mut patient = lock(world.patient(patient));
                patient.unsent = None;
                patient.next += 1;
            }
            let (twice, otherwise, pause) = {
                let mut dice = lock(&world.dice);
                let pause = dice.random_range(20..2 * world.plan.frame_ms);
                (dice.random_range(0..20) == 0, dice.random_range(0..20) == 0, pause)
            };
            if twice {
                world.fault("doubled frame");
                let _ = offer(&world, &context, arrival.clone()).await;
            }
            if otherwise {
                let sequence = Sequence::new(lock(&world.dice).random_range(0..=sequence.get()));
                repeats_itself(&world, &context, patient, Arrival { sequence, ..arrival }).await;
            }
            context.sleep(Duration::from_millis(pause)).await;
        }
    });
}

/// A device that signs another reading under a number that was acknowledged must be refused.
async fn repeats_itself(world: &World, context: &Context, patient: PatientNo, arrival: Arrival) {
    world.fault("sequence reused");
    let other = lock(world.patient(patient)).frame(arrival.sequence.get(), TimeMs::new(world_ms(context)));
    let frame = Blob::new(other).expect("a frame is small");
    let (device, sequence) = (arrival.device, arrival.sequence);
    // Another moment is another reading.
    if offer(world, context, Arrival { frame, ..arrival }).await {
        let how = format!("two readings were acknowledged as {device:?} {sequence}");
        world.breaks(Broken { promise: "INV-1", at_ms: age_ms(context), how });
    }
}

async fn offer(world: &World, context: &Context, arrival: Arrival) -> bool {
    let answer = Box::pin(world.edge.offer(arrival));
    matches!(select(answer, Box::pin(context.sleep(HEAR_WITHIN))).await, Either::Left((Some(Ok(())), _)))
}

/// A person's client.
pub(crate) fn consortium(
    world: &Arc<World>,
    context: &Context,
    reader: usize,
    purpose: u64,
) -> (Consortium, Arc<Caller>) {
    let party = world.cast.readers.get(reader).expect("a reader").party;
    let ground = Arc::new(Caller::new(world, context.child("road"), End::People, party, purpose));
    (Consortium::on(ground.clone()), ground)
}

/// Orders a transaction until it is known what became of it.
pub(crate) async fn settled(
    world: &Arc<World>,
    context: &Context,
    consortium: &Consortium,
    tx: &Tx,
) -> Result<Tip, Code> {
    loop {
        let home = MemberIndex::new(lock(&world.dice).random_range(0..world.cast.faults.members()));
        match consortium.settle(tx, home, &world.cast.policy).await {
            Ok(committed) => return Ok(committed.at),
            Err(error) if is_final(error.code()) => return Err(error.code()),
            Err(_) => context.sleep(AGAIN).await,
        }
    }
}

const fn is_final(code: Code) -> bool {
    matches!(code, Code::AlreadyExists | Code::Revoked)
}

/// Registers everybody.
pub async fn register(world: &Arc<World>, context: &Context) {
    let (consortium, _) = consortium(world, context, 0, 50);
    for tx in world.cast.registrations() {
        let _ = settled(world, context, &consortium, &tx).await;
    }
}

/// A grant as its reader holds it.
pub struct Held {
    /// Whose.
    pub(crate) patient: PatientNo,
    index: u16,
    /// Its tag.
    pub(crate) tag: GrantTag,
    /// The encoded file.
    pub(crate) file: Vec<u8>,
    /// Who may read.
    pub(crate) reader: usize,
}

/// Commits a grant of everything to a reader.
async fn grant(
    world: &Arc<World>,
    context: &Context,
    patient: PatientNo,
    reader: usize,
    purpose: u64,
) -> Option<Held> {
    let (consortium, _) = consortium(world, context, reader, purpose);
    let (tx, file) = {
        let mut rng = lock(&world.dice);
        let mut patient = lock(world.patient(patient));
        let terms = terms(world, reader, rng.random_range(0..3) == 0);
        // A grant that was cut short by a blackout is finished first.
        let _ = patient.wallet.grant(world.cast.chain, terms, &mut *rng);
        let pending = patient.wallet.pending.as_ref()?;
        (pending.tx.clone(), encode(&pending.file))
    };
    let opened: GrantFile = decode(&file, GRANT_FILE_BYTES_MAX).ok()?;
    let (tag, index) = (opened.tag(), opened.index);
    let reader = named(world, &opened.grant.grantee)?;
    world.tell(context, Seen::Granting { patient, grant: tag });
    let at = settled(world, context, &consortium, &tx).await.map(|at| at.height);
    world.tell(context, Seen::Granted { patient, grant: tag, at });
    match at {
        Ok(_) => {
            let _ = lock(world.patient(patient)).wallet.settled(index);
            Some(Held { patient, index, tag, file, reader })
        }
        Err(_) => None,
    }
}

async fn withdraw(world: &Arc<World>, context: &Context, held: &Held, purpose: u64) {
    let (consortium, _) = consortium(world, context, held.reader, purpose);
    let tx = lock(world.patient(held.patient)).wallet.revoke(world.cast.chain, held.index);
    let Some(tx) = tx else { return };
    let (patient, grant) = (held.patient, held.tag);
    world.tell(context, Seen::Withdrawing { patient, grant });
    if let Ok(at) = settled(world, context, &consortium, &tx).await {
        world.tell(context, Seen::Withdrawn { patient, grant, at: at.height });
    }
}

/// Reads everything once under a grant; says whether nothing is missing.
async fn read(world: &Arc<World>, context: &Context, held: &Held, purpose: u64) -> Option<bool> {
    let (consortium, ground) = consortium(world, context, held.reader, purpose);
    ground.reads_under(held.patient, held.tag);
    let who = world.cast.readers.get(held.reader).expect("a reader");
    let file: GrantFile = decode(&held.file, GRANT_FILE_BYTES_MAX).ok()?;
    let home = MemberIndex::new(lock(&world.dice).random_range(0..world.cast.faults.members()));
    let number = world.read_number();
    let (patient, grant) = (held.patient, held.tag);
    let next_tag = consortium.next_tag(&file, home).await.unwrap_or(1);
    world.tell(context, Seen::Reading { read: number, patient, grant });
    let plan = ReadPlan {
        emergency: None,
        chain: world.cast.chain,
        faults: world.cast.faults,
        policy: world.cast.policy.clone(),
        service_keys: world.cast.service_keys(),
        writer_key: world.cast.writer_key(),
        requester: who.party,
        key: SigningKey::from_seed(who.key.seed_for_storage()),
        grant: file,
        next_tag,
        scope: heart_rates(),
        purpose: Purpose::Treatment,
        home,
    };
    let outcome = consortium.read(plan).await.map(outcome).map_err(|error| error.code());
    let complete = outcome.as_ref().ok().map(|outcome| outcome.complete);
    world.tell(context, Seen::Read { read: number, outcome });
    complete
}

fn outcome(result: ReadResult) -> ReadOutcome {
    let complete = result.epochs_missing == 0 && result.segments_missing == 0;
    let access = result.access;
    let at = result.committed.at.height;
    let samples = result.samples.into_iter().zip(result.evidence);
    let frames = samples
        .map(|(sample, evidence)| {
            let sample = sample.into_inner();
            (sample.device(), sample.sequence(), evidence.leaf.frame.to_vec())
        })
        .collect();
    ReadOutcome { access, at, frames, complete, everything: true }
}

/// Lists a patient's accesses; says whether that succeeded.
async fn list(world: &Arc<World>, context: &Context, patient: PatientNo, purpose: u64) -> bool {
    let (consortium, _) = consortium(world, context, 0, purpose);
    let seed = lock(world.patient(patient)).wallet.chain();
    let home = MemberIndex::new(lock(&world.dice).random_range(0..world.cast.faults.members()));
    match consortium.list(world.cast.policy.clone(), home, seed).await {
        Ok(list) => {
            let chain = lock(world.patient(patient)).wallet.chain();
            let grants = list.grants.iter().map(|listed| {
                let tag = GrantTag(chain.link(listed.index).tag());
                let lane = salus_client::grant::lane_seed(&chain, listed.index);
                let accesses = listed.accesses.iter().map(|access| lane.link(access.index).tag());
                (tag, accesses.map(salus_wire::AccessTag).collect())
            });
            let grants = grants.collect();
            world.tell(context, Seen::Listed { patient, at: list.at.height, grants });
            true
        }
        Err(_) => false,
    }
}

/// Grants, reads, lists and withdraws while the world is unquiet.
pub fn consent(world: &Arc<World>, context: &Context, patient: PatientNo) {
    let world = Arc::clone(world);
    context.child("consent").with_attribute("patient", patient.0).spawn(move |context| async move {
        for round in 0..world.plan.rounds {
            let purpose = 500_000 + u64::from(patient.0) * 10_000 + u64::from(round) * 100;
            let reader = usize::from(round) % world.cast.readers.len().max(1);
            let Some(held) = grant(&world, &context, patient, reader, purpose).await else { return };
            let held = Arc::new(held);
            readers(&world, &context, &held, purpose);
            let pause = lock(&world.dice).random_range(100..1_500);
            context.sleep(Duration::from_millis(pause)).await;
            let _ = list(&world, &context, patient, purpose + 90).await;
            if lock(&world.dice).random_range(0..2) == 0
                && let Some(held) = grant(&world, &context, patient, reader, purpose + 93).await
            {
                foul::request(&world, &context, &held, purpose + 94).await;
            }
            if lock(&world.dice).random_range(0..4) > 0 {
                withdraw(&world, &context, &held, purpose + 91).await;
                let _ = read(&world, &context, &held, purpose + 92).await;
            }
        }
    });
}

/// Reads a few times under a grant, one after the other and now and then at once.
fn readers(world: &Arc<World>, context: &Context, held: &Arc<Held>, purpose: u64) {
    for lane in 0..2_u64 {
        let (world, held) = (Arc::clone(world), Arc::clone(held));
        context.child("reader").with_attribute("lane", lane).spawn(move |context| async move {
            for turn in 0..world.plan.reads {
                let pause = lock(&world.dice).random_range(10..700);
                context.sleep(Duration::from_millis(pause)).await;
                let _ = read(&world, &context, &held, purpose + 10 + 20 * lane + u64::from(turn)).await;
            }
        });
    }
}

/// Whether the patient's device has nothing more to say.
fn is_silent(world: &World, patient: PatientNo) -> bool {
    lock(world.patient(patient)).next >= u64::from(world.plan.frames)
}

/// When all is well again: everything that was acknowledged is read, and every access is listed.
pub async fn settle(world: &Arc<World>, context: &Context, patient: PatientNo) {
    let purpose = 900_000 + u64::from(patient.0) * 10_000;
    let mut held = None;
    let mut turn = 0;
    loop {
        turn += 1;
        if held.is_none() {
            held = grant(world, context, patient, 0, purpose + turn * 10).await;
        }
        if let Some(grant) = &held {
            match read(world, context, grant, purpose + turn * 10 + 1).await {
                Some(true) if world.owed(patient) == 0 && is_silent(world, patient) => break,
                Some(_) => {}
                // It may have been withdrawn by the patient's own other hand.
                None => held = None,
            }
        }
        context.sleep(AGAIN).await;
    }
    loop {
        turn += 1;
        if list(world, context, patient, purpose + turn * 10 + 2).await {
            return;
        }
        context.sleep(AGAIN).await;
    }
}
