//! What the custodian remembers of the keys it releases, durable before it releases any, and what it tells a
//! privacy officer of it. Releases that come at once share one write. ADR 17.

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
use salus_wire::{AccessTag, Code, List, TimeMs};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Accesses known to be remembered, so that a later page of one adds no row. Forgetting one costs a second row,
/// which readers count once.
const KNOWN_MAX: usize = 65_536;

/// The custodian's memory of releases.
pub struct ActivityBook {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    kept: Arc<Mutex<Activities>>,
    files: Arc<Files>,
    writer: Writer,
    waiting: Mutex<Waiting>,
    /// One write at a time; whoever holds it writes for all that wait.
    turn: tokio::sync::Mutex<()>,
    failed: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<Activity>,
    /// Rows that were ever put there.
    come: u64,
    /// Rows of these, from the first, that are durable.
    durable: u64,
    /// Accesses that are durable, with when they can open nothing more.
    known: BTreeMap<AccessTag, TimeMs>,
}

impl ActivityBook {
    /// The memory over what a disk holds.
    #[must_use]
    pub fn new(office: Arc<Office>, kept: Activities, writer: Writer) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        Self {
            office,
            desk,
            files: kept.files(),
            kept: Arc::new(Mutex::new(kept)),
            writer,
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            failed: watch::Sender::new(false),
        }
    }

    /// Remembers one release; on success it is durable.
    ///
    /// # Errors
    /// A refusal: nothing may be released then.
    pub async fn remember(&self, row: Activity) -> Result<(), Refusal> {
        let place = {
            let mut waiting = self.waiting();
            if waiting.known.contains_key(&row.access) {
                return Ok(());
            }
            waiting.rows.push_back(row);
            waiting.come = waiting.come.saturating_add(1);
            waiting.come
        };
        while self.waiting().durable < place {
            let _turn = self.turn.lock().await;
            if *self.failed.borrow() {
                return Err(refused::store(&StoreError::Poisoned));
            }
            if self.waiting().durable < place {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// Writes rows of one day, as many as one record holds, for everybody who waits. Only with the turn.
    async fn write(&self) -> Result<(), Refusal> {
        let rows: Vec<Activity> = {
            let waiting = self.waiting();
            let day = waiting.rows.front().map(Activity::day);
            let of_the_day = waiting.rows.iter().take_while(|row| Some(row.day()) == day);
            of_the_day.take(RECORD_ROWS_MAX).cloned().collect()
        };
        let Some(day) = rows.first().map(Activity::day) else { return Ok(()) };
        let mut rng: StdRng = self.office.rng()?;
        let kept = Arc::clone(&self.kept);
        let written = rows.clone();
        let work = move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.remember(day, written, &mut rng)
        };
        let durable =
            self.writer.write(work).await.unwrap_or(Err(StoreError::Poisoned)).map_err(|error| {
                // What of it was written nobody knows; only opening the disk again tells.
                self.failed.send_replace(true);
                refused::store(&error)
            })?;
        let ActivityPromise = *durable.promise();
        let now = self.office.now();
        let mut waiting = self.waiting();
        waiting.known.retain(|_, until| *until > now);
        for row in rows {
            waiting.rows.pop_front();
            waiting.durable = waiting.durable.saturating_add(1);
            if waiting.known.len() < KNOWN_MAX {
                let until = row.at.plus_ms(2 * u64::from(ACCESS_VALID_MS_MAX));
                waiting.known.insert(row.access, until);
            }
        }
        Ok(())
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
        let files = Arc::clone(&self.files);
        let rows = self.writer.write(move || files.of(day)).await.unwrap_or(Err(StoreError::Poisoned));
        let rows = rows.map_err(|error| refused::store(&error))?;
        let mut theirs = rows.into_iter().filter(|row| row.member == member);
        let page: Vec<Activity> = theirs
            .by_ref()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .take(ACTIVITY_ROWS_MAX)
            .collect();
        let remaining = u32::try_from(theirs.count()).unwrap_or(u32::MAX);
        let rows = List::new(page).map_err(|_| refused::bare(Code::Internal))?;
        Ok(ActivityPage { rows, remaining })
    }

    /// Forgets what is older than activity is kept.
    ///
    /// # Errors
    /// A refusal; some of it may be there still.
    pub async fn end(&self) -> Result<(), Refusal> {
        let first = self.office.first_day_kept().await?;
        let kept = Arc::clone(&self.kept);
        let work = move || kept.lock().unwrap_or_else(PoisonError::into_inner).end_before(first);
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
        let _ = self.failed.subscribe().wait_for(|failed| *failed).await;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Rows and counts change together, under this lock, in code that does not panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
