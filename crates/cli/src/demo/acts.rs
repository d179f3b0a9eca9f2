//! The acts of the demo, in order. Each shows one promise and fails when it does not hold.

use super::show::Show;
use super::stage::{GATEWAY, Stage};
use crate::device::{DeviceFile, enlist as enrol, publish};
use crate::ecg;
use crate::files::{load, recording};
use crate::grant;
use crate::output::Failure;
use crate::person::{PersonFile, enlist};
use crate::read::{Wanted, fault_line, read, read_what_is_there, waveform, write_receipt};
use crate::session::{Session, rng};
use crate::terms::Wish;
use crate::{access, receipt};
use salus_client::drive::now;
use salus_client::{ReadResult, Wallet};
use salus_clinical::Reading;
use salus_wire::ids::{Height, PartyId, TimeMs};
use salus_wire::{Code, DataClass, Purpose};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Samples a second of the recording.
const RATE: u32 = 360;
/// Seconds of the recording kept back for the time when a member is away.
const SECONDS_LATER: usize = 60;
/// For readings to become readable after they were acknowledged.
const READABLE_WITHIN: Duration = Duration::from_secs(30);
/// The member that is lost.
const LOST: u16 = 2;
/// The member whose store is spoilt.
const SPOILT: u16 = 0;

/// The people and devices of the demo, and what was measured.
pub(crate) struct Cast {
    session: Session,
    clinician: PersonFile,
    stranger: PersonFile,
    monitor: DeviceFile,
    oximeter: DeviceFile,
    samples: Vec<i16>,
    start: TimeMs,
    kept: usize,
    bytes: usize,
    streaming: Duration,
    reads: Vec<Duration>,
    evidence: Option<salus_client::Evidence>,
}

impl Cast {
    /// Registers people, makes the patient's wallet, enrols devices.
    pub(crate) async fn gather(stage: &Stage, show: &Show) -> Result<Self, Failure> {
        show.act("People and devices");
        let session = Session::operator(&stage.place)?;
        enlist(&session, &stage.people("clinician.person"), 30).await?;
        enlist(&session, &stage.people("stranger.person"), 30).await?;
        show.held("a clinician and a stranger are registered; the ledger knows random ids and keys");
        let gateway = crate::patient::gateway_party(&stage.layout, GATEWAY)?;
        let wallet = stage.people("patient.wallet");
        crate::files::store(&wallet, &Wallet::generate(gateway, &mut rng()?))?;
        show.held("a patient has a wallet; nothing about them is anywhere else");
        let monitor = enrol(&session, GATEWAY, &wallet, &stage.people("monitor.device"), 30).await?;
        let oximeter = enrol(&session, GATEWAY, &wallet, &stage.people("oximeter.device"), 30).await?;
        show.held("an ECG monitor and a pulse oximeter are enrolled; the ledger holds salted commitments");
        let samples = recording(None)?;
        let length_ms = u64::try_from(samples.len()).unwrap_or(0).saturating_mul(1_000) / u64::from(RATE);
        Ok(Self {
            session,
            clinician: load(&stage.people("clinician.person"))?,
            stranger: load(&stage.people("stranger.person"))?,
            monitor,
            oximeter,
            samples,
            start: TimeMs::new(now().get().saturating_sub(length_ms)),
            kept: 0,
            bytes: 0,
            streaming: Duration::ZERO,
            reads: Vec::new(),
            evidence: None,
        })
    }

    /// Streams most of the recording.
    pub(crate) async fn keep(&mut self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("Five minutes of a real ECG are kept");
        let first = self.samples.len().saturating_sub(SECONDS_LATER.saturating_mul(360));
        let part: Vec<i16> = self.samples.iter().take(first).copied().collect();
        self.stream(stage, show, &part, self.start).await?;
        show.held("every frame was signed by its device, and acknowledged only once it was on disk");
        Ok(())
    }

    async fn stream(
        &mut self,
        stage: &Stage,
        show: &Show,
        samples: &[i16],
        start: TimeMs,
    ) -> Result<(), Failure> {
        let waves = ecg::waveforms(samples, RATE, RATE, start)?;
        let rates = ecg::heart_rates(samples, RATE, start)?;
        let started = Instant::now();
        let (wave_bytes, rate_bytes) = tokio::try_join!(
            send(&mut self.monitor, stage, show, waves, "ECG: device to gateway"),
            send(&mut self.oximeter, stage, show, rates, "heart rate: device to gateway"),
        )?;
        self.streaming = self.streaming.saturating_add(started.elapsed());
        self.kept = self.kept.saturating_add(wave_bytes.0).saturating_add(rate_bytes.0);
        self.bytes = self.bytes.saturating_add(wave_bytes.1).saturating_add(rate_bytes.1);
        Ok(())
    }

    /// A clinician with a grant reads the ECG back, bit for bit.
    pub(crate) async fn read(&mut self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("A clinician with a grant reads");
        self.grant(stage, self.clinician.party, "first.grant").await?;
        show.held("the patient grants treatment; the ledger shows a tag that nobody can link");
        let result = self.read_all(stage, show, "first.grant", SECONDS_LATER).await?;
        let height = result.committed.at.height;
        show.held(format!(
            "the access was final (height {height}) before any custodian released a key share"
        ));
        show.held(format!(
            "{} readings, each proven anchored and signed by its device",
            result.samples.len()
        ));
        show.held("the ECG is the one that was sent, bit for bit");
        Ok(())
    }

    /// Somebody else with the same grant file is refused, with the reason.
    pub(crate) async fn refuse_stranger(&self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("A stranger tries with a stolen grant file");
        let session = self.stranger.session(&stage.place)?;
        let treatment = Wanted::all(Purpose::Treatment);
        let outcome = read(&session, &self.stranger, &stage.people("first.grant"), &treatment).await;
        refused(show, outcome, &[Code::OtherGrantee])
    }

    /// The grant is withdrawn, and the clinician is refused.
    pub(crate) async fn withdraw(&self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("The patient withdraws the grant");
        let committed = grant::revoke(&self.session, &stage.people("patient.wallet"), 1).await?;
        show.held(format!("withdrawn, final at height {}", committed.at.height));
        let session = self.clinician.session(&stage.place)?;
        let treatment = Wanted::all(Purpose::Treatment);
        let outcome = read(&session, &self.clinician, &stage.people("first.grant"), &treatment).await;
        refused(show, outcome, &[Code::GrantRevoked])
    }

    /// One member dies; reading and writing go on; it comes back.
    pub(crate) async fn lose_member(&mut self, stage: &mut Stage, show: &Show) -> Result<(), Failure> {
        show.act("One organisation loses power");
        stage.kill_node(LOST).await?;
        show.held(format!("member {LOST} was killed (kill -9)"));
        let kept_back = self.samples.len().saturating_sub(SECONDS_LATER.saturating_mul(360));
        let part: Vec<i16> = self.samples.iter().skip(kept_back).copied().collect();
        let offset_ms = u64::try_from(kept_back).unwrap_or(0).saturating_mul(1_000) / u64::from(RATE);
        self.stream(stage, show, &part, self.start.plus_ms(offset_ms)).await?;
        show.held("devices went on streaming");
        self.grant(stage, self.clinician.party, "second.grant").await?;
        let result = self.read_all(stage, show, "second.grant", 0).await?;
        show.held(format!("a new grant, and all {} readings verify without it", result.samples.len()));
        self.evidence = result.evidence.into_iter().next();
        stage.start_node(LOST)?;
        let other = self.session.client.status(salus_wire::MemberIndex::new(0)).await?;
        let wheel = show.wheel("the lost member catches up");
        let status = stage.height_of(&self.session, LOST, other.head.height).await?;
        wheel.finish_and_clear();
        show.held(format!("member {LOST} is back, at height {}", status.head.height));
        self.states_agree(stage, show).await
    }

    /// Compares state roots of all members at one height.
    async fn states_agree(&self, stage: &mut Stage, show: &Show) -> Result<(), Failure> {
        let mut heads = Vec::new();
        for member in 0..stage.members {
            heads.push(stage.height_of(&self.session, member, Height::new(1)).await?.head.height);
        }
        let common = heads.into_iter().min().unwrap_or_default();
        let before = Height::new(common.get().saturating_sub(1));
        let mut states = Vec::new();
        for member in 0..stage.members {
            let blocks = self.session.client.follow(salus_wire::MemberIndex::new(member), before).await?;
            let block = blocks.first().ok_or_else(|| Failure::broken("a member lacks a final block"))?;
            states.push((block.block.header.height, block.block.header.digest()));
        }
        if states.windows(2).any(|pair| pair.first() != pair.last()) {
            return Err(Failure::broken("members hold different blocks at one height"));
        }
        show.held(format!(
            "all {} members hold the same block, hence the same state, at height {common}",
            stage.members
        ));
        Ok(())
    }

    /// A stored fragment is spoilt: the read names the store and succeeds.
    pub(crate) async fn spoil_fragment(&mut self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("A disk rots");
        let spoilt = spoil(&stage.layout.member(SPOILT).data().join("store").join("seg"))?;
        show.held(format!("one bit was flipped in each of {spoilt} fragments of member {SPOILT}'s store"));
        let result = self.read_all(stage, show, "second.grant", 0).await?;
        let named = result
            .faults
            .iter()
            .find(|fault| fault.member.get() == SPOILT && fault.code == Code::BadFragment);
        let named = named
            .ok_or_else(|| Failure::broken("the read did not name the store that served a bad fragment"))?;
        show.say(fault_line(named));
        show.held(format!(
            "the read named store {SPOILT} and gave all {} readings all the same",
            result.samples.len()
        ));
        Ok(())
    }

    /// The patient's list of accesses, complete.
    pub(crate) async fn account(&self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("The patient sees who read");
        let list = grant::listing(&self.session, &stage.people("patient.wallet")).await?;
        for line in access::lines(&list) {
            show.say(format!("   {line}"));
        }
        let recorded: usize = list.grants.iter().map(|grant| grant.accesses.len()).sum();
        let made = self.reads.len().saturating_add(2);
        if recorded < made {
            return Err(Failure::broken(format!("{made} accesses were made, {recorded} are listed")));
        }
        show.held("the list is complete: the next tag of every chain is proven absent");
        Ok(())
    }

    /// A receipt is written and verified offline.
    pub(crate) async fn receipt(&self, stage: &Stage, show: &Show) -> Result<(), Failure> {
        show.act("A receipt for a stranger");
        let path = stage.people("beat.receipt");
        let evidence =
            self.evidence.as_ref().ok_or_else(|| Failure::broken("no reading to make a receipt of"))?;
        let bytes = write_receipt(&self.session, evidence, &path).await?;
        let started = Instant::now();
        let verified = receipt::check(&path, &stage.layout.policy())?;
        let took = started.elapsed();
        show.held(format!("{bytes} bytes, verified offline in {took:.1?} with the trust policy alone"));
        show.say(format!("     {}", salus_clinical::render::line(&verified)));
        let mut spoilt = crate::files::read_at_most(&path, bytes)?;
        if let Some(byte) = spoilt.get_mut(bytes / 2) {
            *byte ^= 1;
        }
        crate::files::write_secret(&path, &spoilt)?;
        match receipt::check(&path, &stage.layout.policy()) {
            Err(failure) if failure.code == Code::ReceiptInvalid => {
                show.held("with one bit flipped it is refused")
            }
            _ => return Err(Failure::broken("a spoilt receipt was accepted")),
        }
        Ok(())
    }

    async fn grant(&self, stage: &Stage, to: PartyId, name: &str) -> Result<(), Failure> {
        let wish = Wish::treatment(to, &[DataClass::Vitals, DataClass::Waveform], now())?;
        grant::create(&self.session, &stage.people("patient.wallet"), &wish, &stage.people(name)).await?;
        Ok(())
    }

    /// Reads until everything acknowledged so far is there, and compares the ECG bit for bit.
    async fn read_all(
        &mut self,
        stage: &Stage,
        show: &Show,
        grant: &str,
        seconds_missing: usize,
    ) -> Result<ReadResult, Failure> {
        let session = self.clinician.session(&stage.place)?;
        let started = Instant::now();
        let wheel = show.wheel("reading");
        loop {
            let one = Instant::now();
            let result = read_what_is_there(&session, &self.clinician, &stage.people(grant)).await?;
            self.reads.push(one.elapsed());
            let have = result.as_ref().map_or(0, |result| result.samples.len());
            let whole = |result: &ReadResult| result.epochs_missing == 0 && result.segments_missing == 0;
            if let Some(result) = result.filter(|result| have >= self.kept && whole(result)) {
                wheel.finish_and_clear();
                self.same_ecg(&result, seconds_missing)?;
                return Ok(result);
            }
            if started.elapsed() > READABLE_WITHIN {
                let kept = self.kept;
                return Err(Failure::broken(format!("{have} of {kept} acknowledged readings can be read")));
            }
        }
    }

    fn same_ecg(&self, result: &ReadResult, seconds_missing: usize) -> Result<(), Failure> {
        let sent = self.samples.len().saturating_sub(seconds_missing.saturating_mul(360));
        let sent: Vec<u8> = self.samples.iter().take(sent).flat_map(|sample| sample.to_le_bytes()).collect();
        if waveform(&result.samples) == sent {
            Ok(())
        } else {
            Err(Failure::broken("the ECG read is not the ECG sent"))
        }
    }

    /// The figures at the end.
    pub(crate) async fn summary(&self, stage: &Stage, took: Duration) -> Result<Summary, Failure> {
        let mut finality = self.session.finality.lock().map(|all| all.clone()).unwrap_or_default();
        let mut reads = self.reads.clone();
        let (p50, p99, read) =
            (quantile(&mut finality, 50), quantile(&mut finality, 99), quantile(&mut reads, 50));
        let rate =
            self.kept * 1_000 / usize::try_from(self.streaming.as_millis().max(1)).unwrap_or(usize::MAX);
        let height = self.session.client.status(salus_wire::MemberIndex::new(0)).await?.head.height;
        let value = json!({
            "members": stage.members,
            "readings_kept": self.kept,
            "bytes": self.bytes,
            "frames_per_second": rate,
            "finality_ms": { "p50": p50.as_secs_f64() * 1e3, "p99": p99.as_secs_f64() * 1e3, "samples": finality.len() },
            "read_ms": { "p50": read.as_secs_f64() * 1e3, "samples": reads.len() },
            "height": height.get(),
            "seconds": took.as_secs_f64(),
        });
        let lines = vec![
            String::new(),
            format!("every promise held, in {:.1} s", took.as_secs_f64()),
            format!("  readings kept     {} ({} bytes as signed by their devices)", self.kept, self.bytes),
            format!("  frames            {rate} a second, device to acknowledged"),
            format!("  finality          p50 {p50:.1?}, p99 {p99:.1?} over {} transactions", finality.len()),
            format!("  read              p50 {read:.1?} from intent to verified, {} reads", reads.len()),
            format!("  ledger            height {height}, {} members", stage.members),
        ];
        Ok(Summary { value, lines })
    }
}

/// The demo's last words.
pub(crate) struct Summary {
    pub(crate) value: Value,
    pub(crate) lines: Vec<String>,
}

async fn send(
    device: &mut DeviceFile,
    stage: &Stage,
    show: &Show,
    readings: Vec<Reading>,
    what: &'static str,
) -> Result<(usize, usize), Failure> {
    let bar = show.bar(u64::try_from(readings.len()).unwrap_or(0), what);
    let path = stage.people(if what.starts_with("ECG") { "monitor.device" } else { "oximeter.device" });
    let sent = publish(device, &path, readings, |_| bar.inc(1)).await?;
    bar.finish();
    Ok((sent.frames, sent.bytes))
}

fn refused(show: &Show, outcome: Result<ReadResult, Failure>, expected: &[Code]) -> Result<(), Failure> {
    match outcome {
        Err(failure) if expected.contains(&failure.code) => {
            show.held(format!("refused by the custodians: {} {}", failure.code, failure.code.what()));
            Ok(())
        }
        Err(failure) => Err(Failure::broken(format!("refused for another reason than expected: {failure}"))),
        Ok(_) => Err(Failure::broken("somebody read who must not")),
    }
}

/// Flips one bit in the middle of every stored object; returns how many.
fn spoil(folder: &std::path::Path) -> Result<usize, Failure> {
    let mut count = 0_usize;
    for entry in std::fs::read_dir(folder).map_err(|error| Failure::file(folder, error))? {
        let path = entry.map_err(|error| Failure::file(folder, error))?.path();
        if path.is_dir() {
            count = count.saturating_add(spoil(&path)?);
            continue;
        }
        let mut bytes = std::fs::read(&path).map_err(|error| Failure::file(&path, error))?;
        let at = bytes.len().saturating_mul(9) / 10;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        std::fs::write(&path, bytes).map_err(|error| Failure::file(&path, error))?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// The q-th percentile; zero of nothing.
fn quantile(all: &mut [Duration], q: usize) -> Duration {
    all.sort_unstable();
    let at = all.len().saturating_mul(q) / 100;
    all.get(at.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
}
