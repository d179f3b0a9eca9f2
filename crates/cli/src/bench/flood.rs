//! Frames from many devices, as fast as the gateway takes them or at a rate that does not care; and one
//! quiet device beside them, which must not notice.

use super::figures::{quantile_ms, real};
use super::frames::{heart_rates, patient};
use crate::demo::stage::Stage;
use crate::device::{DeviceFile, connect, failed, sign};
use crate::output::Failure;
use crate::person::PersonFile;
use crate::session::Session;
use futures::future::join_all;
use salus_gateway::DeviceClient;
use salus_gateway::device_client::FrameNumber;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Frames a second of the quiet device.
const QUIET_PER_S: f64 = 10.0;
/// By how much a device that is late makes up for it: timers are a millisecond late, and each time.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Before a lost connection is made again.
const REST: Duration = Duration::from_millis(200);
/// For the acknowledgements that are still due at the end.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Devices that flood, and one that does not.
pub(crate) struct Devices {
    flood: Vec<Device>,
    quiet: Device,
}

struct Device {
    file: DeviceFile,
    path: PathBuf,
}

/// What became of the frames.
#[derive(Default)]
pub(crate) struct Flooded {
    /// Acknowledged before the time was over.
    in_time: u64,
    /// Answered with a refusal.
    pub(crate) refused: u64,
    /// Connections that were lost.
    pub(crate) lost: u64,
    seconds: f64,
    /// Of the flooding devices, from sending to acknowledged.
    pub(crate) admitted: Vec<Duration>,
    /// Of the quiet device, from being due to acknowledged.
    pub(crate) quiet: Vec<Duration>,
}

impl Flooded {
    /// Acknowledged frames a second.
    pub(crate) fn goodput(&self) -> f64 {
        real(self.in_time) / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Frames acknowledged in time.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.in_time
    }

    pub(crate) fn admitted_ms(&mut self, q: usize) -> f64 {
        quantile_ms(&mut self.admitted, q)
    }

    pub(crate) fn quiet_ms(&mut self, q: usize) -> f64 {
        quantile_ms(&mut self.quiet, q)
    }
}

impl Devices {
    /// Enrols `count` devices and the quiet one.
    pub(crate) async fn enrol(
        session: &Session,
        stage: &Stage,
        reader: &PersonFile,
        count: u16,
    ) -> Result<Self, Failure> {
        let mut flood = Vec::new();
        for number in 0..count {
            flood.push(device(session, stage, reader, &format!("flood-{number}")).await?);
        }
        Ok(Self { flood, quiet: device(session, stage, reader, "quiet").await? })
    }

    /// Streams for a while; `rate` frames a second from all together, or as many as are taken.
    pub(crate) async fn stream(&mut self, rate: Option<f64>, length: Duration) -> Flooded {
        let until = Instant::now() + length;
        let count = u32::try_from(self.flood.len()).map_or(1.0, f64::from);
        let period = rate.map_or(Duration::ZERO, |rate| period(rate / count));
        let flood = self.flood.iter_mut().map(|device| device.run(period, until));
        let quiet = self.quiet.run(period_of_quiet(), until);
        let (flood, quiet) = tokio::join!(join_all(flood), quiet);
        let mut sum = Flooded { seconds: length.as_secs_f64(), ..Flooded::default() };
        for one in flood {
            sum.lost = sum.lost.saturating_add(one.lost);
            sum.in_time = sum.in_time.saturating_add(one.in_time);
            sum.refused = sum.refused.saturating_add(one.refused);
            sum.admitted.extend(one.since_sent);
        }
        sum.refused = sum.refused.saturating_add(quiet.refused);
        sum.quiet = quiet.since_due;
        sum
    }
}

fn period_of_quiet() -> Duration {
    period(QUIET_PER_S)
}

fn period(per_second: f64) -> Duration {
    Duration::try_from_secs_f64(per_second.max(0.001).recip()).unwrap_or(Duration::from_secs(1))
}

async fn device(
    session: &Session,
    stage: &Stage,
    reader: &PersonFile,
    name: &str,
) -> Result<Device, Failure> {
    let (file, path) = patient(session, stage, reader, name).await?;
    Ok(Device { file, path })
}

/// One device's stream.
#[derive(Default)]
struct Stream {
    /// When each frame under way was due, and sent.
    under_way: HashMap<FrameNumber, (Instant, Instant)>,
    in_time: u64,
    refused: u64,
    /// Connections.
    lost: u64,
    since_sent: Vec<Duration>,
    since_due: Vec<Duration>,
}

impl Device {
    /// Streams, over a new connection whenever one is lost.
    async fn run(&mut self, period: Duration, until: Instant) -> Stream {
        let mut stream = Stream::default();
        while Instant::now() < until {
            if self.connected(&mut stream, period, until).await.is_err() {
                stream.lost = stream.lost.saturating_add(1);
                stream.under_way.clear();
                sleep_until(until.min(Instant::now() + REST)).await;
            }
        }
        stream
    }

    async fn connected(
        &mut self,
        stream: &mut Stream,
        period: Duration,
        until: Instant,
    ) -> Result<(), Failure> {
        let mut client = connect(&self.file).await?;
        let mut signed = VecDeque::new();
        let mut due = Instant::now();
        while Instant::now() < until {
            if signed.is_empty() {
                signed.extend(sign(&mut self.file, &self.path, heart_rates()?)?);
            }
            wait(&mut client, stream, due.min(until), until).await?;
            let Some(next) = signed.pop_front() else { continue };
            let frame = client.publish(next.frame).await.map_err(|error| failed(&error))?;
            stream.under_way.insert(frame, (due, Instant::now()));
            due = due.max(Instant::now().checked_sub(LATE_MAX).unwrap_or(due)) + period;
            stream.note(&mut client, until);
        }
        // Whatever is not settled by then counts for nothing.
        let rest = tokio::time::timeout(SETTLED_WITHIN, async {
            while let Ok(Some(settled)) = client.settle().await {
                stream.settled(settled.frame, settled.result.is_ok(), until);
            }
        });
        let _ = rest.await;
        Ok(())
    }
}

/// Hears acknowledgements until `due`; at once when that is past.
async fn wait(
    client: &mut DeviceClient,
    stream: &mut Stream,
    due: Instant,
    until: Instant,
) -> Result<(), Failure> {
    if due <= Instant::now() {
        return Ok(());
    }
    // All is sent before the wait, which may then be cut short without losing half a packet.
    client.flush().await.map_err(|error| failed(&error))?;
    while due > Instant::now() {
        if stream.under_way.is_empty() {
            sleep_until(due).await;
            return Ok(());
        }
        tokio::select! {
            () = sleep_until(due) => return Ok(()),
            settled = client.settle() => {
                if let Some(settled) = settled.map_err(|error| failed(&error))? {
                    stream.settled(settled.frame, settled.result.is_ok(), until);
                }
            }
        }
    }
    Ok(())
}

impl Stream {
    fn note(&mut self, client: &mut DeviceClient, until: Instant) {
        while let Some(settled) = client.settled() {
            self.settled(settled.frame, settled.result.is_ok(), until);
        }
    }

    fn settled(&mut self, frame: FrameNumber, kept: bool, until: Instant) {
        let Some((due, sent)) = self.under_way.remove(&frame) else { return };
        if kept {
            self.in_time = self.in_time.saturating_add(u64::from(Instant::now() <= until));
            self.since_sent.push(sent.elapsed());
            self.since_due.push(due.elapsed());
        } else {
            self.refused = self.refused.saturating_add(1);
        }
    }
}
