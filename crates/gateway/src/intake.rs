//! From many connections to one queue: signatures are checked in batches, off the connections'
//! tasks, and frames reach the queue in the order in which they came.

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::sign::{Batch, Signature};
use salus_store::queue::{Arrival, Durable, Pending, Queue, QueueError};
use salus_wire::Code;
use std::collections::BTreeSet;
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

/// The way to the queue.
#[derive(Clone)]
pub(crate) struct Intake(mpsc::Sender<Job>);

/// The other end of [`Intake`]; runs until all of them are dropped or the queue stops.
pub(crate) struct Checker {
    jobs: mpsc::Receiver<Job>,
    queue: Queue,
}

/// A way to `queue`, and what must run for it.
pub(crate) fn intake(queue: Queue) -> (Intake, Checker) {
    let (sender, jobs) = mpsc::channel(WAITING_MAX);
    (Intake(sender), Checker { jobs, queue })
}

impl Intake {
    /// Waits until the frame is durable.
    ///
    /// # Errors
    /// The code with which the device is answered.
    pub(crate) async fn take(&self, claim: Claim) -> Result<Durable, Code> {
        let (answer, told) = oneshot::channel();
        self.0.send(Job { claim, answer }).await.map_err(|_| Code::QueueDisk)?;
        let pending = told.await.map_err(|_| Code::QueueDisk)??;
        pending.durable().await.map_err(|error| error.code())
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
            let batch = std::mem::take(&mut jobs);
            let work = tokio::task::spawn_blocking(move || {
                let bad = bad_signatures(&batch, &mut rng);
                (batch, bad, rng)
            });
            let (batch, bad, back) = work.await.map_err(|_| QueueError::Stopped)?;
            rng = back;
            for (index, Job { claim, answer }) in batch.into_iter().enumerate() {
                let offered = if bad.contains(&index) {
                    Err(Code::FrameSignature)
                } else {
                    Ok(self.queue.offer(claim.arrival).await?)
                };
                // Whoever no longer waits has lost its connection; its frame stays kept.
                let _ = answer.send(offered);
            }
        }
        Ok(())
    }
}

fn bad_signatures(jobs: &[Job], rng: &mut StdRng) -> BTreeSet<usize> {
    let mut batch = Batch::new();
    for Job { claim, .. } in jobs {
        batch.push_raw(&claim.signed, claim.arrival.route.key, claim.signature);
    }
    match batch.verify(rng) {
        Ok(()) => BTreeSet::new(),
        Err(_) => batch.find_bad().into_iter().collect(),
    }
}
