//! From many connections to one queue: signatures are checked in batches, off the connections'
//! tasks, and frames reach the queue in the order in which they came.

use crate::registry::Registry;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::sign::{Batch, Signature};
use salus_store::queue::{Arrival, Durable, Pending, Queue, QueueError};
use salus_wire::Code;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Frames waiting for their signature to be checked; connections then wait.
const WAITING_MAX: usize = 1_024;
/// Signatures checked at once.
const BATCH_MAX: usize = 256;

/// A frame that says who signed it.
pub(crate) struct Claim {
    /// What was signed.
    pub(crate) signed: Vec<u8>,
    /// With this, if it is true.
    pub(crate) signature: Signature,
    /// By the key of this one's route.
    pub(crate) arrival: Arrival,
}

struct Job {
    claim: Claim,
    answer: oneshot::Sender<Result<Pending, Code>>,
}

enum Work {
    Check(Box<Job>),
    /// Answered once everything that came before is with the queue, or refused.
    Barrier(oneshot::Sender<()>),
}

/// The way to the queue.
#[derive(Clone)]
pub(crate) struct Intake(mpsc::Sender<Work>);

/// The other end of [`Intake`]; runs until all of them are dropped or the queue stops.
pub(crate) struct Checker {
    jobs: mpsc::Receiver<Work>,
    queue: Queue,
    registry: Arc<Registry>,
}

/// A way to `queue`, and what must run for it. Nothing of a chain that `registry` bars gets there.
pub(crate) fn intake(queue: Queue, registry: Arc<Registry>) -> (Intake, Checker) {
    let (sender, jobs) = mpsc::channel(WAITING_MAX);
    (Intake(sender), Checker { jobs, queue, registry })
}

impl Intake {
    /// Waits until the frame is durable.
    ///
    /// # Errors
    /// The code with which the device is answered.
    pub(crate) async fn take(&self, claim: Claim) -> Result<Durable, Code> {
        let (answer, told) = oneshot::channel();
        let job = Box::new(Job { claim, answer });
        self.0.send(Work::Check(job)).await.map_err(|_| Code::QueueDisk)?;
        let pending = told.await.map_err(|_| Code::QueueDisk)??;
        pending.durable().await.map_err(|error| error.code())
    }

    /// Waits until every frame that came before is with the queue, or refused. What comes after finds the registry
    /// as it is now, or later.
    ///
    /// # Errors
    /// When the queue has stopped.
    pub(crate) async fn barrier(&self) -> Result<(), Code> {
        let (answer, told) = oneshot::channel();
        self.0.send(Work::Barrier(answer)).await.map_err(|_| Code::QueueDisk)?;
        told.await.map_err(|_| Code::QueueDisk)
    }
}

impl Checker {
    /// Runs until nobody can send a frame any more.
    ///
    /// # Errors
    /// [`QueueError`] when the queue has stopped, or there is no randomness for batch checks.
    pub(crate) async fn run(mut self) -> Result<(), QueueError> {
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| QueueError::Entropy)?;
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while self.jobs.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            let (mut batch, mut barriers) = (Vec::with_capacity(jobs.len()), Vec::new());
            for job in std::mem::take(&mut jobs) {
                match job {
                    Work::Check(job) => batch.push(job),
                    Work::Barrier(answer) => barriers.push(answer),
                }
            }
            let work = tokio::task::spawn_blocking(move || {
                let bad = bad_signatures(&batch, &mut rng);
                (batch, bad, rng)
            });
            let (batch, bad, back) = work.await.map_err(|_| QueueError::Stopped)?;
            rng = back;
            for (index, job) in batch.into_iter().enumerate() {
                let Job { claim, answer } = *job;
                let offered = if bad.contains(&index) {
                    Err(Code::FrameSignature)
                } else if self.registry.bars(&claim.arrival.route.grants) {
                    Err(Code::DeviceUnassigned)
                } else {
                    Ok(self.queue.offer(claim.arrival).await?)
                };
                // Whoever no longer waits has lost its connection; its frame stays kept.
                let _ = answer.send(offered);
            }
            for barrier in barriers {
                let _ = barrier.send(());
            }
        }
        Ok(())
    }
}

fn bad_signatures(jobs: &[Box<Job>], rng: &mut StdRng) -> BTreeSet<usize> {
    let mut batch = Batch::new();
    for job in jobs {
        let claim = &job.claim;
        batch.push_raw(&claim.signed, claim.arrival.route.key, claim.signature);
    }
    match batch.verify(rng) {
        Ok(()) => BTreeSet::new(),
        Err(_) => batch.find_bad().into_iter().collect(),
    }
}
