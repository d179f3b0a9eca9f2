//! The thin driver: one thread that owns the files and does what the machine says, and the reader
//! that gives durable rows back in order. No decision is made here that the machine could make.

use super::error::QueueError;
use super::file::{FileNumber, FileOpener, GROUP_HEAD_BYTES, GroupHead, SECTOR_BYTES, Scanned, scan};
use super::machine::{Durable, Effect, Input, Limits, Machine, Reply, Ticket};
use super::row::{Arrival, Record, Row, RowNumber};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_crypto::at_rest::MachineKey;
use salus_wire::{BatchNumber, Code, DeviceId};
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Callers whose record has not been looked at yet; further ones wait.
const COMMANDS_MAX: usize = 1_024;

/// How the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Every row below this number is durable.
    pub durable_below: RowNumber,
    /// Every row below this number is anchored.
    pub done_below: RowNumber,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What whoever called is told.
type Answer<T> = oneshot::Sender<Result<T, Code>>;

enum Command {
    Append(Box<Arrival>, Answer<Durable>),
    StartBatch(Answer<BatchNumber>),
    DoneBelow(RowNumber, Answer<()>),
    Leave(Vec<DeviceId>, Answer<()>),
}

enum Waiting {
    Append(Answer<Durable>),
    StartBatch(Answer<BatchNumber>),
    DoneBelow(Answer<()>),
}

/// The queue's handle. Clones share it; the queue ends when all are dropped.
#[derive(Clone, Debug)]
pub struct Queue {
    commands: mpsc::Sender<Command>,
    stats: watch::Receiver<Stats>,
}

/// A frame on its way to the disk.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Durable, Code>>);

impl Pending {
    /// Waits until the frame is durable.
    ///
    /// # Errors
    /// [`QueueError::Refused`], or [`QueueError::Stopped`] when it may or may not have been kept.
    pub async fn durable(self) -> Result<Durable, QueueError> {
        self.0.await.map_err(|_| QueueError::Stopped)?.map_err(QueueError::Refused)
    }
}

impl Queue {
    /// Hands a frame over; frames of one caller keep their order. Waits only for room in the inbox.
    ///
    /// # Errors
    /// [`QueueError::Stopped`].
    pub async fn offer(&self, arrival: Arrival) -> Result<Pending, QueueError> {
        let (answer, pending) = oneshot::channel();
        self.send(Command::Append(Box::new(arrival), answer)).await?;
        Ok(Pending(pending))
    }

    /// Keeps a frame.
    ///
    /// # Errors
    /// As [`Queue::offer`] and [`Pending::durable`].
    pub async fn append(&self, arrival: Arrival) -> Result<Durable, QueueError> {
        self.offer(arrival).await?.durable().await
    }

    /// A batch number that no batch of this queue had or will have; durable when returned.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn start_batch(&self) -> Result<BatchNumber, QueueError> {
        let (answer, told) = oneshot::channel();
        self.send(Command::StartBatch(answer)).await?;
        told.await.map_err(|_| QueueError::Stopped)?.map_err(QueueError::Refused)
    }

    /// Remembers that every row below `below` is anchored and need not be kept.
    ///
    /// # Errors
    /// [`QueueError`]; the rows are then sealed again after a restart, which readers bear.
    pub async fn done_below(&self, below: RowNumber) -> Result<(), QueueError> {
        let (answer, told) = oneshot::channel();
        self.send(Command::DoneBelow(below, answer)).await?;
        told.await.map_err(|_| QueueError::Stopped)?.map_err(QueueError::Refused)
    }

    /// Begins a new file, in which these devices were never seen; returns once the files before it are gone, which
    /// is when all their rows are done.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn leave(&self, devices: Vec<DeviceId>) -> Result<(), QueueError> {
        let (answer, told) = oneshot::channel();
        self.send(Command::Leave(devices, answer)).await?;
        told.await.map_err(|_| QueueError::Stopped)?.map_err(QueueError::Refused)
    }

    /// How the queue is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// Returns when the queue has stopped because its disk failed. The process must then end.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    async fn send(&self, command: Command) -> Result<(), QueueError> {
        self.commands.send(command).await.map_err(|_| QueueError::Stopped)
    }
}

/// Opens the queue in `folder`, made if absent, after cutting a torn tail. The reader begins at
/// the first row that is not done.
///
/// # Errors
/// [`QueueError::Disk`], or [`QueueError::Damaged`] when acknowledged frames cannot be read back.
pub async fn open(
    folder: PathBuf,
    key: Arc<MachineKey>,
    limits: Limits,
) -> Result<(Queue, Reader), QueueError> {
    let work = tokio::task::spawn_blocking(move || open_blocking(folder, key, limits));
    work.await.map_err(|_| QueueError::Stopped)?
}

fn open_blocking(
    folder: PathBuf,
    key: Arc<MachineKey>,
    limits: Limits,
) -> Result<(Queue, Reader), QueueError> {
    let rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| QueueError::Entropy)?;
    fs::create_dir_all(&folder).map_err(|source| disk(&folder, source))?;
    let lock = lock(&folder)?;
    let mut machine = Machine::new(Arc::clone(&key), limits);
    recover(&folder, &key, &mut machine)?;
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let (publish, stats) = watch::channel(stats_of(&machine));
    let reader = Reader::new(folder.clone(), key, stats.clone(), machine.done_below());
    let disk = Disk { folder: folder.clone(), file: None, _lock: lock };
    let worker =
        Worker { machine, disk, waiting: HashMap::new(), tickets: 0, publish, rng, lacks_room: false };
    std::thread::Builder::new()
        .name("queue".to_owned())
        .spawn(move || worker.run(inbox))
        .map_err(|source| self::disk(&folder, source))?;
    Ok((Queue { commands, stats }, reader))
}

fn disk(path: &Path, source: std::io::Error) -> QueueError {
    QueueError::Disk { path: path.display().to_string(), source }
}

/// Two processes on one queue would each believe the other's files to be torn.
fn lock(folder: &Path) -> Result<File, QueueError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| disk(&path, source))?;
    file.try_lock().map_err(|error| disk(&path, error.into()))?;
    Ok(file)
}

fn recover(folder: &Path, key: &MachineKey, machine: &mut Machine) -> Result<(), QueueError> {
    let files = list(folder).map_err(|source| disk(folder, source))?;
    let last = files.last().copied();
    for number in files {
        let path = folder.join(number.to_string());
        let bytes = fs::read(&path).map_err(|source| disk(&path, source))?;
        let damaged = |at: usize| {
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            QueueError::Damaged { path: path.display().to_string(), at }
        };
        let torn_allowed = Some(number) == last;
        match scan(key, number, &bytes) {
            Scanned::Intact { records, intact } if intact == bytes.len() || torn_allowed => {
                let length = u64::try_from(intact).unwrap_or(u64::MAX);
                if intact != bytes.len() {
                    tracing::warn!(file = %number, at = intact, "cut a torn tail off the queue");
                    cut(&path, length).map_err(|source| disk(&path, source))?;
                }
                machine.recover(number, length, records);
            }
            Scanned::NeverBegun if torn_allowed => {
                fs::remove_file(&path).map_err(|source| disk(&path, source))?;
                machine.skip(number);
            }
            Scanned::Intact { intact, .. } => return Err(damaged(intact)),
            Scanned::NeverBegun => return Err(damaged(0)),
            Scanned::Damaged { at } => return Err(damaged(at)),
        }
    }
    for effect in machine.trim() {
        if let Effect::Delete(number) = effect {
            let path = folder.join(number.to_string());
            fs::remove_file(&path).map_err(|source| disk(&path, source))?;
        }
    }
    // A torn file that came back beside a newer one would look damaged.
    sync_folder(folder).map_err(|source| disk(folder, source))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn cut(path: &Path, length: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

/// The queue's files in ascending order.
fn list(folder: &Path) -> std::io::Result<Vec<FileNumber>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.extend(entry?.file_name().to_str().and_then(FileNumber::parse));
    }
    files.sort_unstable();
    Ok(files)
}

fn stats_of(machine: &Machine) -> Stats {
    Stats { durable_below: machine.durable_below(), done_below: machine.done_below(), bytes: machine.bytes() }
}

struct Disk {
    folder: PathBuf,
    file: Option<(FileNumber, File)>,
    _lock: File,
}

impl Disk {
    fn carry_out(&mut self, effect: Effect) -> std::io::Result<()> {
        match effect {
            Effect::Create(number) => {
                let path = self.folder.join(number.to_string());
                let file = OpenOptions::new().create_new(true).write(true).open(path)?;
                self.file = Some((number, file));
                Ok(())
            }
            Effect::Write { file, at, bytes } => {
                let mut file = self.file(file)?;
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&bytes)
            }
            Effect::Sync(number) => self.file(number)?.sync_data(),
            Effect::SyncFolder => sync_folder(&self.folder),
            Effect::Truncate(number, length) => {
                let file = self.file(number)?;
                file.set_len(length)?;
                file.sync_data()
            }
            Effect::Delete(number) => match fs::remove_file(self.folder.join(number.to_string())) {
                // A file that could not be made for want of room is not there.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            Effect::Reply(..) => Ok(()),
        }
    }

    fn file(&self, number: FileNumber) -> std::io::Result<&File> {
        match &self.file {
            Some((current, file)) if *current == number => Ok(file),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

struct Worker {
    machine: Machine,
    disk: Disk,
    waiting: HashMap<Ticket, Waiting>,
    tickets: u64,
    publish: watch::Sender<Stats>,
    rng: StdRng,
    /// Whether the last write lacked room, so that the log says so once and not for each frame.
    lacks_room: bool,
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(command) = inbox.blocking_recv() {
            let mut next = Some(command);
            while let Some(command) = next {
                self.take(command);
                next = if self.machine.has_room() { inbox.try_recv().ok() } else { None };
            }
            if let Err(error) = self.step(Input::Flush) {
                tracing::error!(%error, "the queue's disk failed, nothing more is acknowledged");
                return;
            }
        }
    }

    fn take(&mut self, command: Command) {
        let ticket = Ticket(self.tickets);
        self.tickets = self.tickets.wrapping_add(1);
        let (input, waiting) = match command {
            Command::Append(arrival, answer) => (Input::Append(ticket, arrival), Waiting::Append(answer)),
            Command::StartBatch(answer) => (Input::StartBatch(ticket), Waiting::StartBatch(answer)),
            Command::DoneBelow(below, answer) => {
                (Input::DoneBelow(ticket, below), Waiting::DoneBelow(answer))
            }
            Command::Leave(devices, answer) => (Input::Leave(ticket, devices), Waiting::DoneBelow(answer)),
        };
        self.waiting.insert(ticket, waiting);
        for effect in self.machine.step(input, &mut self.rng) {
            if let Effect::Reply(ticket, reply) = effect {
                self.reply(ticket, reply);
            }
        }
    }

    /// Steps, carries out, tells the machine how it went, until it asks for nothing more.
    fn step(&mut self, input: Input) -> std::io::Result<()> {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let effects = self.machine.step(input, &mut self.rng);
            // Whoever is answered may look at the statistics, or read, at once.
            self.publish.send_replace(stats_of(&self.machine));
            for effect in effects {
                let room_may_lack = matches!(effect, Effect::Create(_) | Effect::Write { .. });
                let synced = matches!(effect, Effect::Sync(_));
                if let Effect::Reply(ticket, reply) = effect {
                    self.reply(ticket, reply);
                    continue;
                }
                match self.disk.carry_out(effect) {
                    Ok(()) if synced => {
                        self.has_room();
                        next = Some(Input::Synced);
                    }
                    Ok(()) => {}
                    Err(error) if room_may_lack && is_full(&error) => {
                        self.has_no_room(&error);
                        next = Some(Input::DiskFull);
                        break;
                    }
                    Err(error) => {
                        self.fail();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn has_no_room(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.lacks_room, true) {
            let (code, next) = (Code::QueueDisk, Code::QueueDisk.next_step());
            tracing::error!(%code, %error, folder = %self.disk.folder.display(), next, "the queue's disk is full, devices are told to wait");
        }
    }

    fn has_room(&mut self) {
        if std::mem::replace(&mut self.lacks_room, false) {
            tracing::info!("the queue's disk has room again");
        }
    }

    fn fail(&mut self) {
        for effect in self.machine.step(Input::Failed, &mut self.rng) {
            if let Effect::Reply(ticket, reply) = effect {
                self.reply(ticket, reply);
            }
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        // Whoever no longer waits has ended with its connection; its frame stays kept.
        let _ = match (self.waiting.remove(&ticket), reply) {
            (Some(Waiting::Append(answer)), Reply::Durable(durable)) => answer.send(Ok(durable)).is_ok(),
            (Some(Waiting::Append(answer)), Reply::Refused(code)) => answer.send(Err(code)).is_ok(),
            (Some(Waiting::StartBatch(answer)), Reply::Started(batch)) => answer.send(Ok(batch)).is_ok(),
            (Some(Waiting::StartBatch(answer)), Reply::Refused(code)) => answer.send(Err(code)).is_ok(),
            (Some(Waiting::DoneBelow(answer)), Reply::Done | Reply::Left) => answer.send(Ok(())).is_ok(),
            (Some(Waiting::DoneBelow(answer)), Reply::Refused(code)) => answer.send(Err(code)).is_ok(),
            _ => false,
        };
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Gives durable rows back in order, each once, reading them from disk: what waits is bounded by
/// the disk and not by memory. One for each queue.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    key: Arc<MachineKey>,
    stats: watch::Receiver<Stats>,
    next: RowNumber,
    place: Option<Place>,
    spare: VecDeque<Row>,
}

/// Where the reader is.
#[derive(Debug)]
struct Place {
    number: FileNumber,
    file: File,
    opener: FileOpener,
    at: u64,
}

impl Reader {
    fn new(folder: PathBuf, key: Arc<MachineKey>, stats: watch::Receiver<Stats>, next: RowNumber) -> Self {
        Self { folder, key, stats, next, place: None, spare: VecDeque::new() }
    }

    /// Rows from where the last call ended: at least one, waiting for it if need be, and not more
    /// than fit in `bytes_max` of frames, but for the first. Consumes itself while it works, so
    /// that a dropped call cannot leave it half-way.
    ///
    /// # Errors
    /// [`QueueError::Stopped`] when the queue ended; else the disk failed under acknowledged rows.
    pub async fn next(mut self, bytes_max: usize) -> Result<(Vec<Row>, Self), QueueError> {
        let next = self.next;
        let waiting = self.stats.wait_for(|stats| stats.durable_below > next).await;
        let below = waiting.map_err(|_| QueueError::Stopped)?.durable_below;
        let work = tokio::task::spawn_blocking(move || {
            let rows = self.take(below, bytes_max)?;
            Ok((rows, self))
        });
        work.await.map_err(|_| QueueError::Stopped)?
    }

    fn take(&mut self, below: RowNumber, bytes_max: usize) -> Result<Vec<Row>, QueueError> {
        let mut rows = Vec::new();
        let mut bytes = 0_usize;
        while self.next < below {
            let Some(row) = self.spare.pop_front() else {
                self.read_group()?;
                continue;
            };
            bytes = bytes.saturating_add(row.arrival.frame.len());
            if bytes > bytes_max && !rows.is_empty() {
                self.spare.push_front(row);
                break;
            }
            self.next = row.number.next();
            rows.push(row);
        }
        Ok(rows)
    }

    /// Reads the next group with the rows in it, or goes on to the next file.
    fn read_group(&mut self) -> Result<(), QueueError> {
        let Some(place) = self.place.as_mut() else { return self.next_file() };
        let group = read_group(place).map_err(|source| disk(&self.folder, source))?;
        match group {
            Some(records) => {
                let next = self.next;
                self.spare.extend(records.into_iter().filter_map(|record| match record {
                    Record::Row(row) if row.number >= next => Some(row),
                    _ => None,
                }));
                Ok(())
            }
            None => self.next_file(),
        }
    }

    fn next_file(&mut self) -> Result<(), QueueError> {
        let after = self.place.as_ref().map(|place| place.number);
        let files = list(&self.folder).map_err(|source| disk(&self.folder, source))?;
        let number = files.into_iter().find(|number| Some(*number) > after);
        let number = number.ok_or_else(|| disk(&self.folder, ErrorKind::UnexpectedEof.into()))?;
        let path = self.folder.join(number.to_string());
        let mut file = File::open(&path).map_err(|source| disk(&path, source))?;
        let mut sector = [0; SECTOR_BYTES];
        file.read_exact(&mut sector).map_err(|source| disk(&path, source))?;
        let opener = FileOpener::new(&self.key, number, &sector)
            .ok_or_else(|| QueueError::Damaged { path: path.display().to_string(), at: 0 })?;
        let at = u64::try_from(SECTOR_BYTES).unwrap_or(u64::MAX);
        self.place = Some(Place { number, file, opener, at });
        Ok(())
    }
}

/// The group at the reader's place; `None` at the end of the file. Only called for rows that are
/// durable, so a group that is there is whole.
fn read_group(place: &mut Place) -> std::io::Result<Option<Vec<Record>>> {
    place.file.seek(SeekFrom::Start(place.at))?;
    let mut head_bytes = [0; GROUP_HEAD_BYTES];
    match place.file.read_exact(&mut head_bytes) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let damaged = || std::io::Error::from(ErrorKind::InvalidData);
    let head: GroupHead = place.opener.head(&head_bytes).ok_or_else(damaged)?;
    let mut sealed = vec![0; head.length];
    place.file.read_exact(&mut sealed)?;
    let records = place.opener.open(head, &sealed).ok_or_else(damaged)?;
    place.at = place.at.saturating_add(u64::try_from(head.span()).map_err(|_| damaged())?);
    Ok(Some(records))
}
