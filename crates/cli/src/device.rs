//! `salus device`: enrol, stream, sign, revoke.
//!
//! A device's file stands for the device itself: its key, its certificate, its count of frames. The
//! count is moved on and stored *before* frames are signed, so that no crash leads to two frames
//! with one sequence.

use crate::args::{DeviceCommand, Place, RoleArg};
use crate::ecg;
use crate::files::{load, recording, store, write_secret};
use crate::grant;
use crate::layout::Layout;
use crate::output::{Failure, Report};
use crate::patient::{gateway_config, wallet};
use crate::person::{authority, validity};
use crate::session::{Session, link, rng};
use crate::terms::Wish;
use crate::within::{Moment, Release};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::{CryptoRng, Rng};
use salus_client::Wallet;
use salus_client::drive::now;
use salus_clinical::{Reading, frame};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_gateway::device_client::Settled;
use salus_gateway::mqtt::TOPIC;
use salus_gateway::registry::{self, Assigned, Enrolled};
use salus_gateway::{DeviceClient, DeviceError, Dialect};
use salus_link::tls::TrustedAuthority;
use salus_link::{Credential, DeviceTls, Subject};
use salus_wire::ids::{DeviceId, GrantTag, MemberIndex, Sequence, TimeMs};
use salus_wire::release::ShareBytes;
use salus_wire::tx::{Assignment, Enrolment, assignment_commitment, enrolment_commitment};
use salus_wire::{Code, DataClass, List, Role, Tx, TxBody};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The DNS name in a gateway's certificate, which devices check.
pub(crate) const GATEWAY_NAME: &str = "gateway.salus";

/// For which a device goes on trying while nothing is acknowledged.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts of a device to reach its gateway.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a device's file holds. Secret.
#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) struct DeviceFile {
    device: DeviceId,
    key: ShareBytes,
    member: MemberIndex,
    enrolment: Digest,
    next_sequence: u64,
    certificate: String,
    tls_key: String,
    gateway: String,
    gateway_authority: String,
}

/// What was streamed.
pub(crate) struct Sent {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

/// A frame that its device signed, and must send until it is acknowledged.
pub(crate) struct Signed {
    pub(crate) sequence: Sequence,
    pub(crate) frame: Vec<u8>,
}

/// Runs the command.
pub(crate) async fn run(command: &DeviceCommand) -> Result<Report, Failure> {
    match command {
        DeviceCommand::Enrol { .. } => enrol(command).await,
        DeviceCommand::Stream { device, recording, rate, frame, seconds, real_time } => {
            let what = Streaming { rate: *rate, frame: *frame, seconds: *seconds, real_time: *real_time };
            stream(device, recording.as_deref(), &what).await
        }
        DeviceCommand::Sign { device, out, recording, rate, frame, seconds } => {
            let what = Streaming { rate: *rate, frame: *frame, seconds: *seconds, real_time: false };
            write_frames(device, recording.as_deref(), &what, out)
        }
        DeviceCommand::Credentials { device, out } => write_credentials(device, out),
        DeviceCommand::Revoke { place, device } => revoke(place, device).await,
    }
}

async fn enrol(command: &DeviceCommand) -> Result<Report, Failure> {
    let DeviceCommand::Enrol {
        place,
        gateway,
        wallet,
        out,
        days,
        sensitivity,
        treatment,
        no_treatment,
        within,
    } = command
    else {
        return Err(Failure::new(Code::Internal, "nothing is to be enrolled"));
    };
    let session = Session::operator(place)?;
    let (sensitivity, release) = (sensitivity.map(DataClass::from), within.release());
    let roles = if *no_treatment { &[][..] } else { treatment };
    let _wheel = release.tell("what is not committed yet is not enrolled; enrol the device again");
    let enlisting = enlist_as(&session, gateway, wallet, out, *days, sensitivity, release);
    let treating = treat(&session, wallet, out, *days, roles, release);
    let (file, grants) = match release {
        Release::AtOnce => (enlisting.await?, treating.await?),
        // Each at a time of its own: an order would tie them together again.
        Release::Within(_) => futures::try_join!(enlisting, treating)?,
    };
    let line =
        |grant: &PathBuf| format!("the ward reads with `{}`; the patient can withdraw it", grant.display());
    let lines: Vec<String> = grants.iter().map(line).collect();
    let enrolment = file.enrolment.to_string();
    Ok(Report::new(json!({ "file": out, "enrolment": enrolment, "treatment": grants }))
        .line(format!("enrolled; the device's keys are in `{}`", out.display()))
        .line("the ledger holds salted commitments to the device and to whom it is assigned")
        .lines(lines))
}

async fn revoke(place: &Place, device: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let file: DeviceFile = load(device)?;
    let body = TxBody::RevokeDevice { enrolment: file.enrolment };
    let height = session.submit(&Tx::sign(session.chain(), body, &session.registrar()?)).await?.at.height;
    Ok(Report::new(json!({ "height": height.get() })).line(format!("revoked, final at height {height}")))
}

/// The treatment relation of the member that collects the data: a grant to each of these roles there, unless
/// the patient has granted something already. Each is committed at a time that is drawn, in the order of the wallet.
/// Gives the files.
async fn treat(
    session: &Session,
    wallet_file: &Path,
    out: &Path,
    days: u64,
    roles: &[RoleArg],
    release: Release,
) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    if !wallet(wallet_file)?.one_time.is_empty() {
        return Ok(files);
    }
    let (since, mut rng) = (Instant::now().into(), rng()?);
    let mut moments: Vec<Moment> = roles.iter().map(|_| release.draw(since, &mut rng)).collect();
    moments.sort_unstable();
    for (role, at) in roles.iter().map(|role| Role::from(*role)).zip(moments) {
        let mut name = out.as_os_str().to_owned();
        name.push(format!(".{}.grant", role.name()));
        let file = PathBuf::from(name);
        let wish = Wish::ward(session.home, role, days, now())?;
        grant::create_after(session, wallet_file, &wish, &file, async || at.come().await).await?;
        files.push(file);
    }
    Ok(files)
}

/// Enrols a new device, of whose readings the kind says the class, and assigns it to the patient of a wallet.
pub(crate) async fn enlist(
    session: &Session,
    gateway: &str,
    wallet_file: &Path,
    out: &Path,
    days: u64,
) -> Result<DeviceFile, Failure> {
    enlist_as(session, gateway, wallet_file, out, days, None, Release::AtOnce).await
}

/// As [`enlist`], with the sensitive class of everything that it reads, and enrolment and assignment each at a time
/// that is drawn. The gateway takes the device once both are final.
async fn enlist_as(
    session: &Session,
    gateway: &str,
    wallet_file: &Path,
    out: &Path,
    days: u64,
    sensitivity: Option<DataClass>,
    release: Release,
) -> Result<DeviceFile, Failure> {
    let mut rng = rng()?;
    let config = gateway_config(&session.layout, gateway)?;
    let wallet = wallet(wallet_file)?;
    if wallet.order.is_some() {
        return Err(Failure::new(
            Code::ChainErased,
            "no device is assigned to a patient who has ordered erasure",
        ));
    }
    if wallet.recovering.as_ref().is_some_and(|recovering| !recovering.done) {
        return Err(salus_client::ClientError::Recovering.into());
    }
    let key = SigningKey::generate(&mut rng);
    let mut device = [0; 16];
    rng.fill_bytes(&mut device);
    let device = DeviceId::new(device);
    let enrolment = Enrolment { salt: salt(&mut rng), device, key: key.public_key() };
    let commitment = enrolment_commitment(&enrolment);
    let assignment = Assignment {
        salt: salt(&mut rng),
        enrolment: commitment,
        grants: wallet.data(),
        writer: config.party,
        validity: validity_back(days)?,
        sensitivity,
    };
    let assigned = assignment_commitment(&assignment);
    let file = device_file(session, &config, device, &key, commitment)?;
    store(out, &file)?;
    let member = session.home;
    let registrar = session.registrar()?;
    let enrol = TxBody::EnrolDevice { enrolment: commitment, member };
    let assign = TxBody::AssignDevice { assignment: assigned, member };
    let since = Instant::now().into();
    let mut commits = [enrol, assign].map(|body| (release.draw(since, &mut rng), body));
    commits.sort_by_key(|(at, _)| *at);
    for (at, body) in commits {
        at.come().await;
        session.submit(&Tx::sign(session.chain(), body, &registrar)).await?;
    }
    register(&session.layout, gateway, &config, enrolment, assignment, &wallet, &mut rng)?;
    Ok(file)
}

/// Writes the device into the gateway's sealed registry.
fn register(
    layout: &Layout,
    gateway: &str,
    config: &salus_gateway::GatewayConfig,
    enrolment: Enrolment,
    assignment: Assignment,
    wallet: &Wallet,
    rng: &mut impl CryptoRng,
) -> Result<(), Failure> {
    let machine = salus_store::key_file::read_machine_key(
        &layout.gateway(gateway).key("machine.key"),
        &config.data_dir,
    )
    .map_err(|error| Failure::new(Code::FileUnreadable, error.to_string()))?;
    let too_long = |_| Failure::new(Code::Internal, "a chain is longer than its maximum");
    let tags = wallet.chain().tags().into_iter().map(GrantTag).collect();
    let assigned = Assigned { assignment, grant_tags: List::new(tags).map_err(too_long)? };
    let assignments = List::new(vec![assigned]).map_err(too_long)?;
    registry::add(&config.registry_folder(), &machine, &Enrolled { enrolment, assignments }, rng)
        .map_err(|error| Failure::new(error.code(), error.to_string()))
}

fn device_file(
    session: &Session,
    config: &salus_gateway::GatewayConfig,
    device: DeviceId,
    key: &SigningKey,
    enrolment: Digest,
) -> Result<DeviceFile, Failure> {
    let owner = session.layout.member(config.member.get());
    let authority = authority(&owner.key("authority.pem"), &owner.key("authority.key"))?;
    let credential = authority.issue(&Subject::Device(device), &[], now()).map_err(|error| link(&error))?;
    Ok(DeviceFile {
        device,
        key: ShareBytes(key.seed_for_storage()),
        member: config.member,
        enrolment,
        next_sequence: 1,
        certificate: credential.chain_pem().to_owned(),
        tls_key: credential.danger_key_pem().to_owned(),
        gateway: config.listen_mqtt.to_string(),
        gateway_authority: authority.certificate_pem().to_owned(),
    })
}

/// How to stream.
struct Streaming {
    rate: u32,
    frame: u32,
    seconds: Option<u32>,
    real_time: bool,
}

async fn stream(path: &Path, source: Option<&Path>, what: &Streaming) -> Result<Report, Failure> {
    let mut device: DeviceFile = load(path)?;
    let readings = readings(source, what)?;
    let bar = crate::demo::show::Show::new(false).bar(u64::try_from(readings.len()).unwrap_or(0), "frames");
    let sent = if what.real_time {
        paced(&mut device, path, readings, |_| bar.inc(1)).await?
    } else {
        publish(&mut device, path, readings, |_| bar.inc(1)).await?
    };
    bar.finish();
    let rate = sent.frames.saturating_mul(1_000) / usize::try_from(sent.took.as_millis().max(1)).unwrap_or(1);
    Ok(Report::new(json!({ "frames": sent.frames, "bytes": sent.bytes, "frames_per_second": rate }))
        .line(format!("{} frames acknowledged, {} bytes, {rate} frames a second", sent.frames, sent.bytes)))
}

/// The recording as readings that begin now, or, when they need not wait for their time, end now.
fn readings(source: Option<&Path>, what: &Streaming) -> Result<Vec<Reading>, Failure> {
    let mut samples = recording(source)?;
    if let Some(seconds) = what.seconds {
        let length = u64::from(seconds).saturating_mul(u64::from(what.rate));
        samples.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    }
    let length_ms = u64::try_from(samples.len()).unwrap_or(0).saturating_mul(1_000) / u64::from(what.rate);
    let begin = if what.real_time { now() } else { TimeMs::new(now().get().saturating_sub(length_ms)) };
    ecg::waveforms(&samples, what.rate, what.frame, begin)
}

/// Signs readings into files named by their sequence, which sort in the order of signing.
fn write_frames(path: &Path, source: Option<&Path>, what: &Streaming, out: &Path) -> Result<Report, Failure> {
    let mut device: DeviceFile = load(path)?;
    let signed = sign(&mut device, path, readings(source, what)?)?;
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, error))?;
    for one in &signed {
        write_secret(&out.join(format!("{:020}.frame", one.sequence.get())), &one.frame)?;
    }
    Ok(Report::new(
        json!({ "frames": signed.len(), "folder": out, "topic": TOPIC, "gateway": device.gateway }),
    )
    .line(format!("{} frames signed, in `{}`", signed.len(), out.display()))
    .line(format!("publish each at QoS 1 to `{TOPIC}` at {}", device.gateway)))
}

/// Writes what a TLS library asks for.
fn write_credentials(path: &Path, out: &Path) -> Result<Report, Failure> {
    let device: DeviceFile = load(path)?;
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, error))?;
    let files = [
        ("device.pem", &device.certificate),
        ("device.key", &device.tls_key),
        ("authority.pem", &device.gateway_authority),
    ];
    for (name, text) in files {
        write_secret(&out.join(name), text.as_bytes())?;
    }
    Ok(Report::new(json!({ "folder": out, "gateway": device.gateway }))
        .line(format!("wrote device.pem, device.key and authority.pem to `{}`", out.display()))
        .line("whoever holds device.key can connect as the device; frames need its signing key as well"))
}

/// Sends each reading when its time has come.
async fn paced(
    device: &mut DeviceFile,
    path: &Path,
    readings: Vec<Reading>,
    mut acknowledged: impl FnMut(Sequence),
) -> Result<Sent, Failure> {
    let started = Instant::now();
    let (mut frames, mut bytes) = (0_usize, 0_usize);
    for reading in readings {
        let wait_ms = reading.effective().since_ms(now());
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let sent = publish(device, path, vec![reading], &mut acknowledged).await?;
        frames = frames.saturating_add(sent.frames);
        bytes = bytes.saturating_add(sent.bytes);
    }
    Ok(Sent { frames, bytes, took: started.elapsed() })
}

/// Signs and streams readings, and returns once every one is acknowledged.
pub(crate) async fn publish(
    device: &mut DeviceFile,
    path: &Path,
    readings: Vec<Reading>,
    acknowledged: impl FnMut(Sequence),
) -> Result<Sent, Failure> {
    let signed = sign(device, path, readings)?;
    let bytes = signed.iter().map(|one| one.frame.len()).sum();
    let frames = signed.len();
    let started = Instant::now();
    deliver(device, &signed, PATIENCE, acknowledged).await?;
    Ok(Sent { frames, bytes, took: started.elapsed() })
}

/// Sends frames, and again what was not acknowledged, as a device does, until each is. Gives up when
/// the gateway refuses for good, or when nothing at all was acknowledged for as long as `patience`.
pub(crate) async fn deliver(
    device: &DeviceFile,
    frames: &[Signed],
    patience: Duration,
    mut acknowledged: impl FnMut(Sequence),
) -> Result<(), Failure> {
    let mut done = BTreeSet::new();
    let mut progress = Instant::now();
    loop {
        let rest: Vec<&Signed> = frames.iter().filter(|one| !done.contains(&one.sequence)).collect();
        if rest.is_empty() {
            return Ok(());
        }
        let attempt = async {
            let mut client = connect(device).await?;
            send(&mut client, &rest, |sequence| {
                progress = Instant::now();
                if done.insert(sequence) {
                    acknowledged(sequence);
                }
            })
            .await
        };
        if let Err(failure) = attempt.await {
            if !passing(failure.code) || progress.elapsed() > patience {
                return Err(failure);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Whether sending again may help: the gateway is away or full, or has not yet read its registry, or is
/// about to be restarted because its disk failed.
fn passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unreachable
            | Code::QueueFull
            | Code::QueueDisk
            | Code::DeviceUnknown
            | Code::TimedOut
            | Code::Internal
    )
}

/// Moves the device's count on, stores it, and signs.
pub(crate) fn sign(
    device: &mut DeviceFile,
    path: &Path,
    readings: Vec<Reading>,
) -> Result<Vec<Signed>, Failure> {
    let first = device.next_sequence;
    device.next_sequence = first.saturating_add(u64::try_from(readings.len()).unwrap_or(u64::MAX));
    store(path, device)?;
    let key = SigningKey::from_seed(Secret::from_bytes(*device.key.0.danger_expose()));
    let numbered = (first..).map(Sequence::new).zip(readings);
    let id = device.device;
    Ok(numbered
        .map(|(sequence, reading)| Signed { sequence, frame: frame::sign(&key, id, sequence, reading) })
        .collect())
}

/// Connects to the device's gateway.
pub(crate) async fn connect(device: &DeviceFile) -> Result<DeviceClient, Failure> {
    let credential = Credential::from_pem(device.certificate.clone(), device.tls_key.clone());
    let authority =
        TrustedAuthority { member: device.member, certificate_pem: device.gateway_authority.clone() };
    let tls = credential.and_then(|own| DeviceTls::new(&own, &authority, GATEWAY_NAME));
    let tls = tls.map_err(|error| link(&error))?;
    DeviceClient::connect(&device.gateway, &tls, device.device, Dialect::V5)
        .await
        .map_err(|error| failed(&error))
}

/// Sends frames, some at a time, until each is acknowledged. The first that the gateway refuses ends
/// it, with the gateway's reason.
async fn send(
    client: &mut DeviceClient,
    frames: &[&Signed],
    mut acknowledged: impl FnMut(Sequence),
) -> Result<(), Failure> {
    for one in frames {
        client.publish(one.frame.clone()).await.map_err(|error| failed(&error))?;
        while let Some(settled) = client.settled() {
            acknowledge(frames, &settled, &mut acknowledged)?;
        }
    }
    client.flush().await.map_err(|error| failed(&error))?;
    while let Some(settled) = client.settle().await.map_err(|error| failed(&error))? {
        acknowledge(frames, &settled, &mut acknowledged)?;
    }
    Ok(())
}

fn acknowledge(
    frames: &[&Signed],
    settled: &Settled,
    acknowledged: &mut impl FnMut(Sequence),
) -> Result<(), Failure> {
    if let Err(nack) = &settled.result {
        return Err(Failure::new(nack.code.unwrap_or(Code::Internal), nack.text.clone()));
    }
    let index = usize::try_from(settled.frame.0).unwrap_or(usize::MAX);
    if let Some(one) = frames.get(index) {
        acknowledged(one.sequence);
    }
    Ok(())
}

pub(crate) fn failed(error: &DeviceError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

fn salt(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    salt
}

/// An assignment holds from a day back, for readings that a device kept while it was offline.
fn validity_back(days: u64) -> Result<salus_wire::TimeSpan, Failure> {
    let yesterday = TimeMs::new(now().get().saturating_sub(86_400_000));
    validity(yesterday, days.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway whose disk failed is restarted, and takes then what it could not keep before.
    #[test]
    fn a_device_gives_up_only_what_sending_again_cannot_change() {
        for code in [Code::Unreachable, Code::QueueFull, Code::QueueDisk, Code::DeviceUnknown] {
            assert!(passing(code), "{code}");
        }
        for code in [Code::BadSignature, Code::Malformed, Code::Revoked, Code::OutsideValidity] {
            assert!(!passing(code), "{code}");
        }
    }
}
