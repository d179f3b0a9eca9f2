//! What the custodian remembers of the keys it releases, durable before it releases any, and what it tells a
//! privacy officer of it. Releases that come at once share one write. ADR 17.

use crate::limits::RETRY_MS;
use crate::office::Office;
use crate::refusals::Writer;
use crate::refused;
use rand::rngs::StdRng;
use salus_consent::{ActivityPermit, Desk};
use salus_store::activity::{ActivityPromise, Files, RECORD_ROWS_MAX};
use salus_store::{Activities, StoreError};
use salus_wire::activity::{Activity, ActivityPage, ActivityRequest};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, ACTIVITY_ROWS_MAX};
use salus_wire::rpc::Refusal;
use salus_wire::{AccessTag, Code, List, MemberIndex, TimeMs};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Accesses that wait or are known to be remembered, so that a later page of one adds no row.
const KNOWN_MAX: usize = 65_536;
/// How many of them there are before those that can open nothing more are forgotten.
const FORGET_ABOVE: usize = KNOWN_MAX / 2;

/// The custodian's memory of releases.
pub struct ActivityBook {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    inner: Arc<Inner>,
    files: Arc<Files>,
    writer: Writer,
    /// One write at a time; whoever holds it writes for all that wait.
    turn: tokio::sync::Mutex<()>,
    /// One day is read at a time, also when who asked is gone before it is read.
    reading: Arc<Semaphore>,
}

/// What a write needs, which goes on when whoever waits for it does not.
struct Inner {
    kept: Mutex<Activities>,
    waiting: Mutex<Waiting>,
    failed: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<Activity>,
    known: BTreeMap<AccessTag, Known>,
}

/// How far an access is remembered; one that is not known was not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its row waits for a write.
    Waits,
    /// Its row is durable. Nothing is opened under it after this time.
    Durable(TimeMs),
}

impl Waiting {
    /// Takes a row, once for each access; `false` when there is no room.
    fn take(&mut self, row: Activity, now: TimeMs) -> bool {
        if self.known.len() >= FORGET_ABOVE {
            self.known.retain(|_, known| !matches!(known, Known::Durable(until) if *until < now));
        }
        if self.known.contains_key(&row.access) {
            return true;
        }
        let room = self.known.len() < KNOWN_MAX;
        if room {
            self.known.insert(row.access, Known::Waits);
            self.rows.push_back(row);
        }
        room
    }

    /// The first rows, of one day, as many as one record holds.
    fn batch(&self) -> Vec<Activity> {
        let day = self.rows.front().map(Activity::day);
        let of_the_day = self.rows.iter().take_while(|row| Some(row.day()) == day);
        of_the_day.take(RECORD_ROWS_MAX).cloned().collect()
    }

    /// The first rows were written, or will not be.
    fn done(&mut self, rows: &[Activity], durable: bool) {
        for row in rows {
            self.rows.pop_front();
            if durable {
                let until = row.at.plus_ms(2 * u64::from(ACCESS_VALID_MS_MAX));
                self.known.insert(row.access, Known::Durable(until));
            } else {
                self.known.remove(&row.access);
            }
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Rows and what is known of them change together, under this lock, in code that does not panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the first rows that wait. Blocks until the disk has answered; rows are taken and settled under the
    /// lock of the disk, so that none is written twice.
    fn write(&self, rng: &mut StdRng) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.waiting().batch();
        let Some(day) = rows.first().map(Activity::day) else { return Ok(()) };
        match kept.remember(day, rows.clone(), rng) {
            Ok(durable) => {
                let ActivityPromise = *durable.promise();
                self.waiting().done(&rows, true);
                Ok(())
            }
            Err(full @ StoreError::JournalFull { .. }) => {
                self.waiting().done(&rows, false);
                Err(full)
            }
            Err(error) => {
                // What of it was written nobody knows; only opening the disk again tells.
                self.failed.send_replace(true);
                Err(error)
            }
        }
    }
}

impl ActivityBook {
    /// The memory over what a disk holds.
    #[must_use]
    pub fn new(office: Arc<Office>, kept: Activities, writer: Writer) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        let files = kept.files();
        let (kept, waiting, failed) = (Mutex::new(kept), Mutex::default(), watch::Sender::new(false));
        let inner = Arc::new(Inner { kept, waiting, failed });
        let (turn, reading) = (tokio::sync::Mutex::new(()), Arc::new(Semaphore::new(1)));
        Self { office, desk, inner, files, writer, turn, reading }
    }

    /// Remembers one release; on success it is durable. May be dropped at any await.
    ///
    /// # Errors
    /// A refusal: nothing may be released then.
    pub async fn remember(&self, row: Activity) -> Result<(), Refusal> {
        let access = row.access;
        if !self.inner.waiting().take(row, self.office.now()) {
            return Err(Refusal::busy(Code::CustodianBusy, RETRY_MS));
        }
        loop {
            let _turn = self.turn.lock().await;
            let known = self.inner.waiting().known.get(&access).copied();
            match known {
                Some(Known::Durable(_)) => return Ok(()),
                Some(Known::Waits) if !*self.inner.failed.borrow() => self.write().await?,
                _ => return Err(refused::bare(Code::StorageFailed)),
            }
        }
    }

    async fn write(&self) -> Result<(), Refusal> {
        let (mut rng, inner) = (self.office.rng()?, Arc::clone(&self.inner));
        let written = self.writer.write(move || inner.write(&mut rng)).await;
        written.unwrap_or(Err(StoreError::Poisoned)).map_err(|error| refused::store(&error))
    }

    /// Tells a privacy officer what their member's people looked at on a day.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn tell(&self, request: &ActivityRequest) -> Result<ActivityPage, Refusal> {
        let office = &self.office;
        let admitted = {
            // A desk holds no invariant that a panic in between could break.
            let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            desk.admit_activity(request, office.now()).map_err(refused::denied)?
        };
        let view = office.view(admitted.reads()).await?;
        let ActivityPermit { member, day, skip } =
            admitted.decide(&view, office.now()).map_err(refused::denied)?;
        let reading = Arc::clone(&self.reading).try_acquire_owned();
        let reading = reading.map_err(|_| Refusal::busy(Code::CustodianBusy, RETRY_MS))?;
        let files = Arc::clone(&self.files);
        let work = move || {
            let _reading = reading;
            page(&files, member, day, usize::try_from(skip).unwrap_or(usize::MAX))
        };
        let page = self.writer.write(work).await.unwrap_or(Err(StoreError::Poisoned));
        let (rows, remaining) = page.map_err(|error| refused::store(&error))?;
        let rows = List::new(rows).map_err(|_| refused::bare(Code::Internal))?;
        Ok(ActivityPage { rows, remaining })
    }

    /// Forgets what is older than activity is kept.
    ///
    /// # Errors
    /// A refusal; some of it may be there still.
    pub async fn end(&self) -> Result<(), Refusal> {
        let first = self.office.first_day_kept().await?;
        let inner = Arc::clone(&self.inner);
        let work = move || inner.kept.lock().unwrap_or_else(PoisonError::into_inner).end_before(first);
        let ended = self.writer.write(work).await.unwrap_or(Err(StoreError::Poisoned));
        let ended = ended.map_err(|error| refused::store(&error))?;
        if ended > 0 {
            tracing::info!(ended, "files of activity were kept for six years, and are gone");
        }
        Ok(())
    }

    /// Returns when its disk has failed: it must release nothing more, and the node must end.
    pub async fn failed(&self) {
        // An error would mean that the sender, which `self` holds, is gone.
        let _ = self.inner.failed.subscribe().wait_for(|failed| *failed).await;
    }
}

/// The rows of one member's people on a day after `skip` of them, as many as a page holds, and how many come after.
fn page(
    files: &Files,
    member: MemberIndex,
    day: u32,
    skip: usize,
) -> Result<(Vec<Activity>, u32), StoreError> {
    let (mut rows, mut theirs, mut remaining) = (Vec::new(), 0_usize, 0_u32);
    files.each(day, |row| {
        if row.member != member {
            return;
        }
        if theirs >= skip && rows.len() < ACTIVITY_ROWS_MAX {
            rows.push(row);
        } else if theirs >= skip {
            remaining = remaining.saturating_add(1);
        }
        theirs = theirs.saturating_add(1);
    })?;
    Ok((rows, remaining))
}

#[cfg(test)]
mod tests;
