//! One patient with a device and a reader: what was acknowledged to the device, and whether it can be
//! read; and grants that were withdrawn, which must open nothing ever after.
//!
//! A run has many, one after the other, so that reading back what is new stays cheap.

use super::draw::BURST;
use crate::demo::stage::{GATEWAY, Stage};
use crate::device::{DeviceFile, Signed, deliver, enlist as enrol, sign};
use crate::ecg;
use crate::files::{load, store};
use crate::grant;
use crate::output::Failure;
use crate::person::{PersonFile, enlist};
use crate::read::read_what_is_there;
use crate::session::{Session, rng};
use crate::terms::Wish;
use salus_client::Wallet;
use salus_client::drive::now;
use salus_wire::ids::{PartyId, Sequence, TimeMs};
use salus_wire::{Code, DataClass};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For which nothing of a burst may be acknowledged, over all attempts.
const BURST_WITHIN: Duration = Duration::from_secs(60);
/// For everything acknowledged to become readable once nothing is wrong any more.
const READABLE_WITHIN: Duration = Duration::from_secs(60);
/// The second grant of each patient, which is withdrawn.
const WITHDRAWN: u16 = 2;

/// The device, its patient, and what was acknowledged.
pub(super) struct Patient {
    session: Session,
    reader: PersonFile,
    party: PartyId,
    device: DeviceFile,
    path: PathBuf,
    wallet: PathBuf,
    grant: PathBuf,
    withdrawn: PathBuf,
    clock: TimeMs,
    acknowledged: BTreeSet<Sequence>,
}

impl Patient {
    /// Everything of the patient of that number.
    pub(super) async fn gather(stage: &Stage, number: usize) -> Result<Self, Failure> {
        let file = |kind: &str| stage.people(&format!("{number}.{kind}"));
        let session = Session::operator(&stage.place)?;
        let (wallet, path, person) = (file("wallet"), file("device"), file("person"));
        let gateway = crate::patient::gateway_party(&stage.layout, GATEWAY)?;
        store(&wallet, &Wallet::generate(gateway, &mut rng()?))?;
        let device = enrol(&session, GATEWAY, &wallet, &path, 30).await?;
        let party = enlist(&session, &person, 30).await?;
        let reader = load(&person)?;
        let (grant, withdrawn) = (file("grant"), file("withdrawn.grant"));
        grant::create(&session, &wallet, &wish(party)?, &grant).await?;
        let acknowledged = BTreeSet::new();
        Ok(Self {
            session,
            reader,
            party,
            device,
            path,
            wallet,
            grant,
            withdrawn,
            clock: now(),
            acknowledged,
        })
    }

    /// A connection to every member.
    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// How many frames were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// The next frames, signed.
    pub(super) fn burst(&mut self) -> Result<Vec<Signed>, Failure> {
        let samples: Vec<i16> = (0..).take(BURST.saturating_mul(8)).collect();
        let readings = ecg::waveforms(&samples, 1_000, 8, self.clock)?;
        self.clock = now();
        sign(&mut self.device, &self.path, readings)
    }

    /// Sends frames until each is acknowledged.
    pub(super) async fn deliver(&mut self, frames: &[Signed]) -> Result<(), Failure> {
        let acknowledged = &mut self.acknowledged;
        let note = |sequence| {
            acknowledged.insert(sequence);
        };
        let delivered = deliver(&self.device, frames, BURST_WITHIN, note).await;
        delivered
            .map_err(|failure| Failure::broken(format!("a burst was not acknowledged in time: {failure}")))
    }

    /// Reads until every acknowledged frame is there (INV-1); how many were read.
    pub(super) async fn all_readable(&self, stage: &Stage) -> Result<usize, Failure> {
        let session = self.reader.session(&stage.place)?;
        let started = Instant::now();
        loop {
            let result = read_what_is_there(&session, &self.reader, &self.grant).await;
            let (read, why) = match result {
                Ok(result) => (sequences(result), String::new()),
                Err(failure) => (BTreeSet::new(), format!(": {failure}")),
            };
            let lost = self.acknowledged.difference(&read).count();
            if lost == 0 {
                return Ok(read.len());
            }
            if started.elapsed() > READABLE_WITHIN {
                return Err(Failure::broken(format!("{lost} acknowledged frames cannot be read{why}")));
            }
        }
    }

    /// Grants once more, reads, withdraws, and is refused (INV-5).
    pub(super) async fn grant_and_withdraw(&self, stage: &Stage) -> Result<(), Failure> {
        grant::create(&self.session, &self.wallet, &wish(self.party)?, &self.withdrawn).await?;
        let session = self.reader.session(&stage.place)?;
        let result = read_what_is_there(&session, &self.reader, &self.withdrawn).await?;
        if sequences(result).len() < self.acknowledged.len() {
            return Err(Failure::broken("a second grant opens less than the first"));
        }
        grant::revoke(&self.session, &self.wallet, WITHDRAWN).await?;
        self.withdrawn_opens_nothing(stage).await
    }

    /// Sees the withdrawn grant refused (INV-5).
    pub(super) async fn withdrawn_opens_nothing(&self, stage: &Stage) -> Result<(), Failure> {
        let session = self.reader.session(&stage.place)?;
        match read_what_is_there(&session, &self.reader, &self.withdrawn).await {
            Err(failure) if failure.code == Code::GrantRevoked => Ok(()),
            Err(failure) => {
                Err(Failure::broken(format!("a withdrawn grant is refused for another reason: {failure}")))
            }
            Ok(_) => Err(Failure::broken("a withdrawn grant opens")),
        }
    }
}

fn sequences(result: Option<salus_client::ReadResult>) -> BTreeSet<Sequence> {
    let samples = result.map(|result| result.samples).unwrap_or_default();
    samples.iter().map(|sample| sample.get().sequence()).collect()
}

fn wish(to: PartyId) -> Result<Wish, Failure> {
    Wish::treatment(to, &[DataClass::Waveform], now())
}
