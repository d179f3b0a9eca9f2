//! The door over loopback with a real queue, registry and certificates: when a device is answered,
//! and how.

use crate::desk::{Desk, Tolerance};
use crate::device_client::{DeviceClient, Dialect, Settled};
use crate::error::DeviceError;
use crate::forget::{Mark, Premises, forget_in_steps, settle};
use crate::intake::{Intake, intake};
use crate::mqtt::door;
use crate::quarantine::{self, Shelf, quarantine};
use crate::registry::tests::{PARTY, device_key, enrolled, machine_key, registry};
use crate::registry::{Registry, Standing};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_clinical::{Decimal, Reading, Value, frame, kind};
use salus_link::tls::TrustedAuthority;
use salus_link::{Authority, DeviceTls, ServerTls, Subject};
use salus_store::queue::{self, Queue, Reader, RowNumber};
use salus_wire::tx::enrolment_commitment;
use salus_wire::{Code, DeviceId, GrantTag, MemberIndex, Sequence, TimeMs};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// More than a test sends.
const FRAMES_PER_S: u32 = 1_000_000;
const NOW: TimeMs = TimeMs::new(1_790_000_000_000);

fn clock() -> TimeMs {
    NOW
}

/// A gateway's front, with devices 1 and 2 assigned, and device 4 no longer.
struct Front {
    at: SocketAddr,
    authority: Authority,
    folder: Arc<TempDir>,
    registry: Arc<Registry>,
    intake: Intake,
    shelf: Shelf,
    queue: Queue,
    reader: Option<Reader>,
    tasks: Vec<JoinHandle<()>>,
    _close: watch::Sender<bool>,
    registry_folder: TempDir,
}

impl Front {
    async fn start() -> Self {
        let authority = Authority::generate(MemberIndex::new(0), NOW).unwrap();
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), authority, FRAMES_PER_S).await
    }

    async fn start_in(folder: Arc<TempDir>, authority: Authority, device_frames_per_s: u32) -> Self {
        let span = (NOW.get() - 1_000_000, NOW.get() + 1_000_000);
        let past = (NOW.get() - 1_000_000, NOW.get() - 1);
        let (registry, registry_folder) =
            registry(&[enrolled(1, 9, span), enrolled(2, 8, span), enrolled(4, 9, past)]);
        let registry = Arc::new(registry);
        let limits = queue::Limits { bytes_max: 300_000, file_bytes_max: 20_000 };
        let (queue, reader) = open(&folder, limits).await;
        let (intake, checker) = intake(queue.clone(), Arc::clone(&registry));
        let (quarantine, ring, shelf) =
            quarantine(folder.path().join("quarantine"), machine_key(), Arc::clone(&registry));
        let to_queue = intake.clone();
        let (close, open) = watch::channel(true);
        let desk = Desk {
            registry: Arc::clone(&registry),
            intake,
            quarantine,
            tolerance: Tolerance { behind_ms: 60_000, ahead_ms: 5_000 },
            machine_key: machine_key(),
            clock,
            open,
        };
        let own = authority.issue(&Subject::Gateway(PARTY), &["gateway.salus".to_owned()], NOW).unwrap();
        let tls = ServerTls::devices(&own, &trusted(&authority)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let device_frames_per_s = NonZeroU32::new(device_frames_per_s).unwrap();
        let allowed = door::Limits { connections_max: 8, device_frames_per_s };
        let tasks = vec![
            tokio::spawn(door::serve(listener, tls, allowed, Arc::new(desk))),
            tokio::spawn(async { checker.run().await.unwrap() }),
            tokio::spawn(ring.run()),
        ];
        let reader = Some(reader);
        Self {
            at,
            authority,
            folder,
            registry,
            intake: to_queue,
            shelf,
            queue,
            reader,
            tasks,
            _close: close,
            registry_folder,
        }
    }

    async fn connect(&self, n: u8, dialect: Dialect) -> Result<DeviceClient, DeviceError> {
        let device = DeviceId::new([n; 16]);
        let own = self.authority.issue(&Subject::Device(device), &[], NOW).unwrap();
        let tls = DeviceTls::new(&own, &trusted(&self.authority), "gateway.salus").unwrap();
        DeviceClient::connect(&self.at.to_string(), &tls, device, dialect).await
    }

    /// The sequences of the rows that are durable, in order.
    async fn kept(&mut self) -> Vec<u64> {
        let (rows, reader) = self.reader.take().unwrap().next(usize::MAX).await.unwrap();
        self.reader = Some(reader);
        rows.iter().map(|row| row.arrival.sequence.get()).collect()
    }

    /// Ends everything at once, as `kill -9` would, and starts again on the same folder.
    async fn killed_and_started(self) -> Self {
        let Self { authority, folder, queue, tasks, reader, intake, .. } = self;
        drop((queue, reader, intake));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        Self::start_in(folder, authority, FRAMES_PER_S).await
    }
}

async fn open(folder: &TempDir, limits: queue::Limits) -> (Queue, Reader) {
    loop {
        match queue::open(folder.path().join("queue"), machine_key(), limits).await {
            Ok(opened) => return opened,
            // The thread of the last life still holds the lock.
            Err(queue::QueueError::Disk { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn trusted(authority: &Authority) -> TrustedAuthority {
    let certificate_pem = authority.certificate_pem().to_owned();
    TrustedAuthority { member: MemberIndex::new(0), certificate_pem }
}

fn beat(device: u8, key: u8, sequence: u64, at: TimeMs, rate: i64) -> Vec<u8> {
    let value = Value::Quantity(Decimal::whole(rate));
    let reading = Reading::new(kind::find("8867-4").unwrap(), at, value).unwrap();
    frame::sign(&device_key(key), DeviceId::new([device; 16]), Sequence::new(sequence), reading)
}

fn good(device: u8, sequence: u64) -> Vec<u8> {
    beat(device, device, sequence, NOW, 72)
}

fn code(settled: &Settled) -> Option<Code> {
    settled.result.as_ref().err().and_then(|nack| nack.code)
}

async fn settle_one(client: &mut DeviceClient, frame: Vec<u8>) -> Settled {
    client.publish(frame).await.unwrap();
    client.settle().await.unwrap().unwrap()
}

#[tokio::test]
async fn frames_are_acknowledged_in_order_and_are_durable() {
    for dialect in [Dialect::V5, Dialect::V311] {
        let mut front = Front::start().await;
        let mut client = front.connect(1, dialect).await.unwrap();
        for sequence in 0..200 {
            client.publish(good(1, sequence)).await.unwrap();
        }
        let settled = client.finish().await.unwrap();
        let order: Vec<u64> = settled.iter().map(|settled| settled.frame.0).collect();
        assert_eq!(order, (0..200).collect::<Vec<_>>());
        assert!(settled.iter().all(|settled| settled.result.is_ok()));
        assert_eq!(front.kept().await, (0..200).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_device_that_floods_waits_and_another_does_not() {
    let authority = Authority::generate(MemberIndex::new(0), NOW).unwrap();
    // The clock stands still, so a used up rate stays used up.
    let mut front = Front::start_in(Arc::new(tempfile::tempdir().unwrap()), authority, 3).await;
    let mut flood = front.connect(1, Dialect::V5).await.unwrap();
    for sequence in 0..20 {
        flood.publish(good(1, sequence)).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(flood.settle().await.unwrap().unwrap().result, Ok(()));
    }
    // A new connection brings no new rate.
    let mut again = front.connect(1, Dialect::V5).await.unwrap();
    again.publish(good(1, 20)).await.unwrap();
    again.flush().await.unwrap();
    let mut other = front.connect(2, Dialect::V5).await.unwrap();
    for sequence in 0..3 {
        assert_eq!(settle_one(&mut other, good(2, sequence)).await.result, Ok(()));
    }
    assert!(flood.settled().is_none() && again.settled().is_none());
    assert_eq!(front.kept().await, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn every_refusal_has_its_code_and_the_connection_goes_on() {
    let front = Front::start().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    let later = |ms| NOW.plus_ms(ms);
    let earlier = TimeMs::new(NOW.get() - 60_001);
    let outside = NOW.plus_ms(2_000_000);
    let mut flipped = good(1, 1);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut longer = good(1, 1);
    longer.push(0);
    let cases = [
        ("truncated", good(1, 1)[..40].to_vec(), Code::FrameMalformed),
        ("trailing byte", longer, Code::FrameMalformed),
        ("empty", Vec::new(), Code::FrameMalformed),
        ("another device's", good(2, 1), Code::CertificateMismatch),
        ("signed by another key", beat(1, 2, 1, NOW, 72), Code::FrameSignature),
        ("altered signature", flipped, Code::FrameSignature),
        ("clock behind", beat(1, 1, 1, earlier, 72), Code::ClockOff),
        ("clock ahead", beat(1, 1, 1, later(5_001), 72), Code::ClockOff),
        ("clock ahead of every assignment", beat(1, 1, 1, outside, 72), Code::ClockOff),
    ];
    for (what, frame, expected) in cases {
        assert_eq!(code(&settle_one(&mut client, frame).await), Some(expected), "{what}");
    }
    assert_eq!(settle_one(&mut client, good(1, 1)).await.result, Ok(()));
    assert_eq!(settle_one(&mut client, good(1, 1)).await.result, Ok(()), "a repetition is harmless");
    let reused = settle_one(&mut client, beat(1, 1, 1, NOW, 73)).await;
    assert_eq!(code(&reused), Some(Code::SequenceReused));
    let enrolment = enrolment_commitment(&enrolled(1, 9, (0, 1)).enrolment);
    front.registry.learn(enrolment, Standing::Revoked);
    assert_eq!(code(&settle_one(&mut client, good(1, 2)).await), Some(Code::DeviceRevoked));
    let mut unassigned = front.connect(4, Dialect::V5).await.unwrap();
    assert_eq!(code(&settle_one(&mut unassigned, good(4, 1)).await), Some(Code::DeviceUnassigned));
    let mut unknown = front.connect(3, Dialect::V5).await.unwrap();
    assert_eq!(code(&settle_one(&mut unknown, good(3, 1)).await), Some(Code::DeviceUnknown));
}

#[tokio::test]
async fn what_was_refused_is_in_quarantine() {
    let front = Front::start().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    assert!(settle_one(&mut client, b"no frame".to_vec()).await.result.is_err());
    let folder = front.folder.path().join("quarantine");
    let kept = loop {
        match quarantine::list(&folder, &machine_key()) {
            Ok(kept) if !kept.is_empty() => break kept,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!((kept[0].code, &*kept[0].frame), (Code::FrameMalformed, &b"no frame"[..]));
}

/// Has patient `n` forgotten, as the operator does, and gives the mark that is ready.
fn forgotten(front: &Front, n: u8) -> Mark {
    let chain =
        salus_crypto::chain::ChainSeed::new(salus_crypto::secret::Secret::from_bytes([n; 32])).anchor();
    let order = GrantTag(salus_crypto::chain::ChainTag::from_digest(salus_crypto::digest::Digest::ZERO));
    let (registry, quarantine) = (front.registry_folder.path(), front.folder.path().join("quarantine"));
    let premises = Premises { registry, quarantine: &quarantine, key: &machine_key() };
    forget_in_steps(&premises, order, &chain, &mut StdRng::seed_from_u64(1), &mut || Ok(())).unwrap();
    front.registry.refresh().unwrap();
    front.registry.ready().remove(0).1
}

async fn in_quarantine(front: &Front, count: usize) {
    let folder = front.folder.path().join("quarantine");
    while quarantine::list(&folder, &machine_key()).map_or(0, |kept| kept.len()) != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_kept_of_what_an_erased_patients_device_sends_on() {
    let front = Front::start().await;
    let mut theirs = front.connect(1, Dialect::V5).await.unwrap();
    let mut others = front.connect(2, Dialect::V5).await.unwrap();
    assert_eq!(settle_one(&mut theirs, good(1, 1)).await.result, Ok(()));
    assert!(settle_one(&mut theirs, b"no frame".to_vec()).await.result.is_err());
    assert!(settle_one(&mut others, b"none either".to_vec()).await.result.is_err());
    in_quarantine(&front, 2).await;
    let mark = forgotten(&front, 9);
    in_quarantine(&front, 1).await;
    front.queue.done_below(front.queue.stats().durable_below).await.unwrap();
    settle(&mark, &front.intake, &front.queue, &front.shelf).await.unwrap();
    // Good frames and bad ones, and one that is kept of somebody else, so that these were looked at.
    assert_eq!(code(&settle_one(&mut theirs, good(1, 2)).await), Some(Code::DeviceUnknown));
    assert_eq!(code(&settle_one(&mut theirs, b"no frame".to_vec()).await), Some(Code::FrameMalformed));
    assert!(settle_one(&mut others, b"a last one".to_vec()).await.result.is_err());
    in_quarantine(&front, 2).await;
    let kept = quarantine::list(&front.folder.path().join("quarantine"), &machine_key()).unwrap();
    assert!(kept.iter().all(|refused| refused.device == DeviceId::new([2; 16])));
    assert_eq!(front.queue.stats().durable_below, RowNumber::new(1));
}

#[tokio::test]
async fn nothing_is_signed_before_the_old_files_of_the_queue_are_gone() {
    let front = Front::start().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    assert_eq!(settle_one(&mut client, good(1, 1)).await.result, Ok(()));
    let files = || std::fs::read_dir(front.folder.path().join("queue")).unwrap().count();
    let mark = forgotten(&front, 9);
    let mut settled = Box::pin(settle(&mark, &front.intake, &front.queue, &front.shelf));
    // The old file, the new one and the lock: the row is not done.
    while files() < 3 {
        assert!(futures::poll!(&mut settled).is_pending());
        tokio::task::yield_now().await;
    }
    front.queue.done_below(RowNumber::new(0)).await.unwrap();
    assert!(futures::poll!(&mut settled).is_pending());
    front.queue.done_below(front.queue.stats().durable_below).await.unwrap();
    settled.await.unwrap();
    assert_eq!(files(), 2);
}

#[tokio::test]
async fn on_311_a_refusal_ends_the_connection_and_what_was_kept_stays_acknowledged() {
    let mut front = Front::start().await;
    let mut client = front.connect(1, Dialect::V311).await.unwrap();
    assert_eq!(settle_one(&mut client, good(1, 1)).await.result, Ok(()));
    client.publish(b"no frame".to_vec()).await.unwrap();
    assert!(matches!(client.settle().await, Err(DeviceError::Unreachable { .. })));
    assert_eq!(front.kept().await, [1]);
}

#[tokio::test]
async fn after_a_kill_what_was_acknowledged_is_there_and_the_rest_can_be_sent_again() {
    let front = Front::start().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    for sequence in 0..50 {
        client.publish(good(1, sequence)).await.unwrap();
    }
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 20 {
        acknowledged.push(client.settle().await.unwrap().unwrap().frame.0);
    }
    let mut front = front.killed_and_started().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    for sequence in 0..50 {
        assert_eq!(settle_one(&mut client, good(1, sequence)).await.result, Ok(()));
    }
    assert_eq!(front.kept().await, (0..50).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_full_queue_says_wait_and_takes_frames_again_when_rows_are_done() {
    let mut front = Front::start().await;
    let mut client = front.connect(1, Dialect::V5).await.unwrap();
    let mut sequence = 0;
    let refused = loop {
        sequence += 1;
        let settled = settle_one(&mut client, good(1, sequence)).await;
        if settled.result.is_err() {
            break settled;
        }
    };
    assert_eq!(code(&refused), Some(Code::QueueFull));
    assert_eq!(front.kept().await.len(), usize::try_from(sequence - 1).unwrap());
    front.queue.done_below(front.queue.stats().durable_below).await.unwrap();
    assert_eq!(settle_one(&mut client, good(1, sequence)).await.result, Ok(()));
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let front = Front::start().await;
    let foreign = Authority::generate(MemberIndex::new(0), NOW).unwrap();
    let device = DeviceId::new([1; 16]);
    let own = foreign.issue(&Subject::Device(device), &[], NOW).unwrap();
    let tls = DeviceTls::new(&own, &trusted(&front.authority), "gateway.salus").unwrap();
    let at = front.at.to_string();
    let refused = DeviceClient::connect(&at, &tls, device, Dialect::V5).await;
    assert!(matches!(refused, Err(DeviceError::Unreachable { .. })));
}
