//! The whole road under load: devices sign and stream, the gateway keeps and anchors; then a
//! clinician reads. Everything runs on this machine.

use super::figures::{Figure, Goal, quantile_ms, real};
use super::process::{cpu_seconds, resident_mib};
use crate::demo::stage::{GATEWAY, Stage};
use crate::device::{DeviceFile, enlist as enrol, publish};
use crate::ecg;
use crate::files::{load, recording, store};
use crate::grant;
use crate::output::Failure;
use crate::person::{PersonFile, enlist};
use crate::read::{Wanted, read, read_what_is_there, write_receipt};
use crate::receipt;
use crate::session::{Session, rng};
use crate::terms::Wish;
use futures::future::try_join_all;
use salus_client::Wallet;
use salus_client::drive::now;
use salus_clinical::Reading;
use salus_wire::ids::TimeMs;
use salus_wire::{DataClass, Purpose};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Devices that stream at once.
const DEVICES: usize = 4;
/// Frames of one burst of a device.
const BURST: usize = 2_000;
/// Reads timed one after the other.
const READS: usize = 40;
/// Samples of ECG that a timed read gives back: a minute at 360 Hz.
const READ_SAMPLES: usize = 21_600;
/// For everything to be anchored after the last frame.
const ANCHORED_WITHIN: Duration = Duration::from_secs(60);
/// Receipts checked for their time.
const RECEIPTS: u32 = 50;

/// Measures frames, reads and receipts; members and gateway must run.
pub(crate) async fn measure(stage: &Stage, seconds: u64) -> Result<Vec<Figure>, Failure> {
    let session = Session::operator(&stage.place)?;
    let reader = reader(&session, stage).await?;
    let mut figures = reads(&session, stage, &reader).await?;
    figures.extend(stream(&session, stage, &reader, seconds).await?);
    Ok(figures)
}

pub(super) async fn reader(session: &Session, stage: &Stage) -> Result<PersonFile, Failure> {
    enlist(session, &stage.people("reader.person"), 1).await?;
    load(&stage.people("reader.person"))
}

/// A patient of their own, a device of theirs, and a grant to the reader.
pub(super) async fn patient(
    session: &Session,
    stage: &Stage,
    reader: &PersonFile,
    name: &str,
) -> Result<(DeviceFile, PathBuf), Failure> {
    let wallet = stage.people(&format!("{name}.wallet"));
    let gateway = crate::patient::gateway_party(&stage.layout, GATEWAY)?;
    store(&wallet, &Wallet::generate(gateway, &mut rng()?))?;
    let path = stage.people(&format!("{name}.device"));
    let device = enrol(session, GATEWAY, &wallet, &path, 1).await?;
    let wish = Wish::treatment(reader.party, &[DataClass::Vitals, DataClass::Waveform], now())?;
    grant::create(session, &wallet, &wish, &stage.people(&format!("{name}.grant"))).await?;
    Ok((device, path))
}

/// A patient with a minute of ECG that the reader can read; gives the grant's file.
pub(super) async fn minute(
    session: &Session,
    stage: &Stage,
    reader: &PersonFile,
    name: &str,
) -> Result<PathBuf, Failure> {
    let (mut device, path) = patient(session, stage, reader, name).await?;
    let samples: Vec<i16> = recording(None)?.into_iter().take(READ_SAMPLES).collect();
    let waves = ecg::waveforms(&samples, 360, 360, now())?;
    let expected = waves.len();
    publish(&mut device, &path, waves, |_| ()).await?;
    let grant = stage.people(&format!("{name}.grant"));
    readable(&reader.session(&stage.place)?, reader, &grant, expected).await?;
    Ok(grant)
}

/// Times reads of a minute of ECG, and the check of a receipt.
async fn reads(session: &Session, stage: &Stage, reader: &PersonFile) -> Result<Vec<Figure>, Failure> {
    let grant = minute(session, stage, reader, "read").await?;
    let session_of = reader.session(&stage.place)?;
    let mut times = Vec::with_capacity(READS);
    let mut evidence = None;
    for _ in 0..READS {
        let started = Instant::now();
        let result = read(&session_of, reader, &grant, &Wanted::all(Purpose::Treatment)).await?;
        times.push(started.elapsed());
        evidence = result.evidence.into_iter().next();
    }
    let evidence = evidence.ok_or_else(|| Failure::broken("a read gave nothing"))?;
    let receipt_path = stage.people("bench.receipt");
    let bytes = write_receipt(session, &evidence, &receipt_path).await?;
    let started = Instant::now();
    for _ in 0..RECEIPTS {
        receipt::check(&receipt_path, &stage.layout.policy())?;
    }
    let check_ms = started.elapsed().as_secs_f64() * 1e3 / f64::from(RECEIPTS);
    Ok(vec![
        Figure::new(
            "intent to verified minute of ECG, p50",
            quantile_ms(&mut times, 50),
            "ms",
            Goal::AtMost(150.0),
        ),
        Figure::new(
            "intent to verified minute of ECG, p99",
            quantile_ms(&mut times, 99),
            "ms",
            Goal::AtMost(400.0),
        ),
        Figure::new("check of a receipt, offline, files included", check_ms, "ms", Goal::AtMost(2.0)),
        Figure::plain("receipt of a 1 s ECG frame", real(u64::try_from(bytes).unwrap_or(0)) / 1024.0, "KiB"),
    ])
}

/// Streams heart rates from several devices for a while.
async fn stream(
    session: &Session,
    stage: &Stage,
    reader: &PersonFile,
    seconds: u64,
) -> Result<Vec<Figure>, Failure> {
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        devices.push(patient(session, stage, reader, &format!("stream-{number}")).await?);
    }
    let pids: Vec<u32> = stage.processes().into_iter().map(|(_, pid)| pid).collect();
    let cpu = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>() + cpu_seconds(std::process::id());
    let before = cpu();
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    let counts = try_join_all(devices.iter_mut().map(|(device, path)| bursts(device, path, until))).await?;
    let acknowledged = started.elapsed().as_secs_f64();
    let mut gateway_mib = 0.0;
    for (name, pid) in stage.processes() {
        if name == GATEWAY {
            gateway_mib = resident_mib(pid);
        }
    }
    let session_of = reader.session(&stage.place)?;
    for (number, count) in counts.iter().enumerate() {
        readable(&session_of, reader, &stage.people(&format!("stream-{number}.grant")), *count).await?;
    }
    let anchored = started.elapsed().as_secs_f64();
    let frames = real(u64::try_from(counts.iter().sum::<usize>()).unwrap_or(0)).max(1.0);
    Ok(vec![
        Figure::plain("signed frames, device to acknowledged", frames / acknowledged, "frames/s"),
        Figure::new(
            "signed frames, device to anchored and read back verified",
            frames / anchored,
            "frames/s",
            Goal::AtLeast(20_000.0),
        ),
        Figure::plain(
            "CPU per frame, everything, reading back included",
            (cpu() - before) * 1e3 / frames,
            "CPU-ms",
        ),
        Figure::plain("resident memory of the gateway under that load", gateway_mib, "MiB"),
    ])
}

async fn bursts(device: &mut DeviceFile, path: &Path, until: Instant) -> Result<usize, Failure> {
    let mut sent = 0_usize;
    while Instant::now() < until {
        sent = sent.saturating_add(publish(device, path, heart_rates()?, |_| ()).await?.frames);
    }
    Ok(sent)
}

/// A burst of heart rates, a second apart, up to now.
pub(super) fn heart_rates() -> Result<Vec<Reading>, Failure> {
    let beat: Vec<i16> = (0..40_i16).map(|at| if at == 20 { 400 } else { 0 }).collect();
    let samples: Vec<i16> = std::iter::repeat_n(beat, BURST.saturating_add(2)).flatten().collect();
    let length_ms = u64::try_from(BURST).unwrap_or(0).saturating_mul(1_000);
    let mut readings = ecg::heart_rates(&samples, 40, TimeMs::new(now().get().saturating_sub(length_ms)))?;
    readings.truncate(BURST);
    Ok(readings)
}

/// Reads until `expected` readings are there.
async fn readable(
    session: &Session,
    reader: &PersonFile,
    grant: &Path,
    expected: usize,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let result = read_what_is_there(session, reader, grant).await?;
        let have = result.map_or(0, |result| result.samples.len());
        if have >= expected {
            return Ok(());
        }
        if started.elapsed() > ANCHORED_WITHIN {
            return Err(Failure::broken(format!("{have} of {expected} acknowledged readings can be read")));
        }
    }
}
