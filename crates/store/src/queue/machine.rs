//! Every decision of the queue, as a step machine: inputs in, effects out, no disk.
//!
//! The driver carries out the effects of a step in order and then says how that went, before
//! anything else: [`Input::Synced`], [`Input::DiskFull`] or [`Input::Failed`] after a step that
//! asked for a [`Effect::Sync`]. [`Durable`] is made here alone, and only by `Synced`.

use super::file::{FileNumber, FileSealer};
use super::row::{Arrival, Checkpoint, GROUP_BYTES_MAX, GROUP_RECORDS_MAX, Group, Record, Row, RowNumber};
use super::seen::{Fingerprint, Seen, Verdict};
use rand::CryptoRng;
use salus_crypto::at_rest::MachineKey;
use salus_planted::{Bug, is};
use salus_wire::{BatchNumber, Code, DeviceId, List, Sequence, encode};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What the queue may take of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files, beyond which frames are refused.
    pub bytes_max: u64,
    /// Bytes of rows at which a new file begins; well below half of `bytes_max`.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024 * 1024, file_bytes_max: 16 * 1024 * 1024 }
    }
}

/// The promise that a frame survives a crash of this process and machine: the only thing with which
/// a device may be answered (INV-1). It is made after `fdatasync` returned, in this file alone.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the device waits for its acknowledgement"]
pub struct Durable {
    device: DeviceId,
    sequence: Sequence,
}

impl Durable {
    /// Whose frame.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Which one.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }
}

/// Names whoever waits for a reply. Chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What happens to the queue.
#[derive(Debug)]
pub enum Input {
    /// A verified frame came.
    Append(Ticket, Box<Arrival>),
    /// A batch begins and wants a number that no other batch has or will have.
    StartBatch(Ticket),
    /// Every row below this number is anchored.
    DoneBelow(Ticket, RowNumber),
    /// Begin a new file, from which on these devices were never seen.
    Leave(Ticket, Vec<DeviceId>),
    /// Nothing more is at hand: write what has gathered.
    Flush,
    /// The effects of the last step are carried out.
    Synced,
    /// The disk had no room for a write; no sync was tried.
    DiskFull,
    /// The disk failed.
    Failed,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make an empty file.
    Create(FileNumber),
    /// Write at the end of the file, which is `at`.
    Write {
        /// Which file.
        file: FileNumber,
        /// Its length so far.
        at: u64,
        /// What to write.
        bytes: Vec<u8>,
    },
    /// Sync the file's data and length, and tell the machine.
    Sync(FileNumber),
    /// Sync the folder, so that a new file's name survives.
    SyncFolder,
    /// Cut the file back to this length, and sync that.
    Truncate(FileNumber, u64),
    /// Delete the file. If this is lost in a crash, recovery does it again; without a
    /// [`Effect::SyncFolder`] behind it, only for files whose rows are done.
    Delete(FileNumber),
    /// Answer whoever waits.
    Reply(Ticket, Reply),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// The frame is kept.
    Durable(Durable),
    /// The batch has this number.
    Started(BatchNumber),
    /// The rows are remembered as done.
    Done,
    /// Every file from before is gone, durably.
    Left,
    /// No.
    Refused(Code),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Open for inputs.
    Gathering,
    /// A new file is being made.
    Rolling,
    /// A group is being written.
    Writing,
    /// The disk failed; nothing is promised any more.
    Poisoned,
}

#[derive(Debug)]
struct OldFile {
    number: FileNumber,
    bytes: u64,
    /// Every row in it is below this.
    rows_below: RowNumber,
}

#[derive(Debug)]
struct CurrentFile {
    number: FileNumber,
    bytes: u64,
    /// Bytes before its first group of rows.
    head_bytes: u64,
    sealer: FileSealer,
}

/// What the next group will hold, and who waits for it.
#[derive(Debug, Default)]
struct Gathered {
    /// Encoded records, one after the other.
    records: Vec<u8>,
    count: u32,
    waiting: Vec<(Ticket, Reply)>,
    rows: BTreeMap<(DeviceId, Sequence), Fingerprint>,
    next_row: RowNumber,
    next_batch: BatchNumber,
    done_below: RowNumber,
}

/// What is durable.
#[derive(Debug, Default)]
struct Kept {
    next_row: RowNumber,
    next_batch: BatchNumber,
    done_below: RowNumber,
    seen: Seen,
}

/// The queue's mind.
#[derive(Debug)]
pub struct Machine {
    key: Arc<MachineKey>,
    limits: Limits,
    phase: Phase,
    kept: Kept,
    gathered: Gathered,
    old: VecDeque<OldFile>,
    current: Option<CurrentFile>,
    making: Option<CurrentFile>,
    next_file: FileNumber,
    /// Whether the next write begins a new file.
    leaves: bool,
    /// Who waits for the files before this one to be gone.
    leaving: Vec<(Ticket, FileNumber)>,
}

impl Machine {
    /// A queue that never was. [`Machine::recover`] then tells it of what is on disk.
    #[must_use]
    pub fn new(key: Arc<MachineKey>, limits: Limits) -> Self {
        Self {
            key,
            limits,
            phase: Phase::Gathering,
            kept: Kept::default(),
            gathered: Gathered::default(),
            old: VecDeque::new(),
            current: None,
            making: None,
            next_file: FileNumber::default(),
            leaves: false,
            leaving: Vec::new(),
        }
    }

    /// Takes in what was read back of a file; files in ascending order, before any step.
    pub fn recover(&mut self, file: FileNumber, bytes: u64, records: Vec<Record>) {
        for record in records {
            self.kept.remember(record);
        }
        self.old.push_back(OldFile { number: file, bytes, rows_below: self.kept.next_row });
        self.next_file = file.next();
        self.gathered.restart(&self.kept);
    }

    /// A file that recovery deleted; its number is not used again.
    pub fn skip(&mut self, file: FileNumber) {
        self.next_file = self.next_file.max(file.next());
    }

    /// Files that hold nothing undone, but never the newest of all: it alone says what was seen before,
    /// until the next one begins with that.
    #[must_use]
    pub fn trim(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let needed = usize::from(self.current.is_none());
        while self.old.len() > needed
            && self.old.front().is_some_and(|file| file.rows_below <= self.kept.done_below)
        {
            effects.extend(self.old.pop_front().map(|file| Effect::Delete(file.number)));
        }
        effects
    }

    /// Every row below this number is durable.
    #[must_use]
    pub const fn durable_below(&self) -> RowNumber {
        self.kept.next_row
    }

    /// Every row below this number is anchored.
    #[must_use]
    pub const fn done_below(&self) -> RowNumber {
        self.kept.done_below
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let old: u64 = self.old.iter().map(|file| file.bytes).sum();
        old.saturating_add(self.current.as_ref().map_or(0, |file| file.bytes))
    }

    /// Whether the next group can take another record.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let count = usize::try_from(self.gathered.count).unwrap_or(usize::MAX);
        self.gathered.records.len() < GROUP_BYTES_MAX
            && count < GROUP_RECORDS_MAX
            && self.gathered.waiting.len() < GROUP_RECORDS_MAX
    }

    /// One step.
    pub fn step(&mut self, input: Input, rng: &mut impl CryptoRng) -> Vec<Effect> {
        match (&self.phase, input) {
            (Phase::Gathering, Input::Append(ticket, arrival)) => self.append(ticket, *arrival),
            (Phase::Gathering, Input::StartBatch(ticket)) => self.start_batch(ticket),
            (Phase::Gathering, Input::DoneBelow(ticket, below)) => self.mark_done(ticket, below),
            (Phase::Gathering, Input::Leave(ticket, devices)) => self.leave(ticket, &devices),
            (Phase::Gathering, Input::Flush) => self.flush(rng),
            (Phase::Rolling, Input::Synced) => self.rolled(),
            (Phase::Writing, Input::Synced) => self.commit(),
            (Phase::Rolling | Phase::Writing, Input::DiskFull) => self.back_out(),
            (_, Input::Failed) => self.poison(),
            (
                Phase::Poisoned,
                Input::Append(ticket, _)
                | Input::StartBatch(ticket)
                | Input::DoneBelow(ticket, _)
                | Input::Leave(ticket, _),
            ) => {
                vec![refuse(ticket, Code::QueueDisk)]
            }
            (
                _,
                Input::Append(ticket, _)
                | Input::StartBatch(ticket)
                | Input::DoneBelow(ticket, _)
                | Input::Leave(ticket, _),
            ) => {
                debug_assert!(false, "an input came while the disk was at work");
                vec![refuse(ticket, Code::Internal)]
            }
            (_, Input::Flush | Input::Synced | Input::DiskFull) => Vec::new(),
        }
    }

    fn append(&mut self, ticket: Ticket, arrival: Arrival) -> Vec<Effect> {
        let name = (arrival.device, arrival.sequence);
        let fingerprint = Fingerprint::of(&arrival.frame);
        let durable = Durable { device: arrival.device, sequence: arrival.sequence };
        if let Some(gathered) = self.gathered.rows.get(&name) {
            if *gathered != fingerprint {
                return vec![refuse(ticket, Code::SequenceReused)];
            }
            self.gathered.waiting.push((ticket, Reply::Durable(durable)));
            return Vec::new();
        }
        match self.kept.seen.judge(&arrival.device, arrival.sequence, fingerprint) {
            Verdict::Same => vec![Effect::Reply(ticket, Reply::Durable(durable))],
            Verdict::Other => vec![refuse(ticket, Code::SequenceReused)],
            Verdict::Full => vec![refuse(ticket, Code::QuotaExceeded)],
            Verdict::New if self.is_full(arrival.frame.len()) => vec![refuse(ticket, Code::QueueFull)],
            Verdict::New => {
                let number = self.gathered.next_row;
                self.gathered.next_row = number.next();
                self.gathered.rows.insert(name, fingerprint);
                let (device, sequence) = name;
                let early = Effect::Reply(ticket, Reply::Durable(Durable { device, sequence }));
                self.gathered.add(ticket, Reply::Durable(durable), &Record::Row(Row { number, arrival }));
                is(Bug::AckBeforeSync).then_some(early).into_iter().collect()
            }
        }
    }

    /// Marks are always taken, or a full queue could never be emptied.
    fn is_full(&self, frame_bytes: usize) -> bool {
        let coming = self.gathered.records.len().saturating_add(frame_bytes);
        let coming = u64::try_from(coming).unwrap_or(u64::MAX);
        !self.has_room() || self.bytes().saturating_add(coming) > self.limits.bytes_max
    }

    fn start_batch(&mut self, ticket: Ticket) -> Vec<Effect> {
        let number = self.gathered.next_batch;
        let Some(next) = number.next() else { return vec![refuse(ticket, Code::Internal)] };
        if !is(Bug::NumberReused) {
            self.gathered.next_batch = next;
        }
        self.gathered.add(ticket, Reply::Started(number), &Record::Started(number));
        Vec::new()
    }

    fn mark_done(&mut self, ticket: Ticket, below: RowNumber) -> Vec<Effect> {
        if below > self.kept.next_row {
            debug_assert!(false, "rows that are not durable cannot be done");
            return vec![refuse(ticket, Code::Internal)];
        }
        self.gathered.done_below = self.gathered.done_below.max(below);
        self.gathered.add(ticket, Reply::Done, &Record::DoneBelow(below));
        Vec::new()
    }

    /// The files before the new one go as soon as their rows are done, and with them all that they tell. The reply
    /// comes then.
    fn leave(&mut self, ticket: Ticket, devices: &[DeviceId]) -> Vec<Effect> {
        self.leaves = true;
        self.kept.seen.forget(devices);
        let done_below = self.gathered.done_below;
        self.gathered.add(ticket, Reply::Left, &Record::DoneBelow(done_below));
        Vec::new()
    }

    /// Tells those who wait for files that are gone by now.
    fn left(&mut self) -> Vec<Effect> {
        let oldest = self.old.front().map(|file| file.number);
        let gone = |file: FileNumber| oldest.is_none_or(|oldest| oldest >= file);
        let (left, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(|(_, file)| gone(*file));
        self.leaving = waiting;
        let replies = left.iter().map(|(ticket, _)| Effect::Reply(*ticket, Reply::Left));
        let synced = (!left.is_empty()).then_some(Effect::SyncFolder);
        synced.into_iter().chain(replies).collect()
    }

    fn flush(&mut self, rng: &mut impl CryptoRng) -> Vec<Effect> {
        if self.gathered.count == 0 {
            return self.gathered.replies();
        }
        let full =
            |file: &CurrentFile| file.bytes.saturating_sub(file.head_bytes) >= self.limits.file_bytes_max;
        let leaves = std::mem::take(&mut self.leaves);
        if leaves || self.current.as_ref().is_none_or(full) { self.roll(rng) } else { self.write() }
    }

    /// Begins a new file with a checkpoint of everything durable.
    fn roll(&mut self, rng: &mut impl CryptoRng) -> Vec<Effect> {
        let number = self.next_file;
        self.next_file = number.next();
        let (mut sealer, mut bytes) = FileSealer::create(&self.key, number, rng);
        let checkpoint = Group::new(vec![Record::Checkpoint(Box::new(self.kept.checkpoint()))]);
        let group = sealer.group(&encode(&checkpoint.unwrap_or_else(|_| List::empty())));
        let Ok(mut group) = group else { return self.poison() };
        bytes.append(&mut group);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.making = Some(CurrentFile { number, bytes: length, head_bytes: length, sealer });
        self.phase = Phase::Rolling;
        vec![
            Effect::Create(number),
            Effect::Write { file: number, at: 0, bytes },
            Effect::SyncFolder,
            Effect::Sync(number),
        ]
    }

    fn rolled(&mut self) -> Vec<Effect> {
        if let Some(file) = self.current.take() {
            self.old.push_back(OldFile {
                number: file.number,
                bytes: file.bytes,
                rows_below: self.kept.next_row,
            });
        }
        self.current = self.making.take();
        let mut effects = self.trim();
        effects.extend(self.write());
        effects
    }

    fn write(&mut self) -> Vec<Effect> {
        let records = self.gathered.encoded();
        let Some(file) = self.current.as_mut() else { return self.poison() };
        let Ok(bytes) = file.sealer.group(&records) else { return self.poison() };
        self.phase = Phase::Writing;
        vec![Effect::Write { file: file.number, at: file.bytes, bytes }, Effect::Sync(file.number)]
    }

    /// The group is on disk: now, and only now, its rows are durable.
    fn commit(&mut self) -> Vec<Effect> {
        self.phase = Phase::Gathering;
        let written = self.gathered.span();
        if let Some(file) = self.current.as_mut() {
            file.bytes = file.bytes.saturating_add(written);
        }
        for ((device, sequence), fingerprint) in std::mem::take(&mut self.gathered.rows) {
            if !is(Bug::SequenceForgotten) {
                self.kept.seen.note(device, sequence, fingerprint);
            }
        }
        self.kept.next_row = self.gathered.next_row;
        self.kept.next_batch = self.gathered.next_batch;
        self.kept.done_below = self.gathered.done_below;
        let current = self.current.as_ref().map_or(self.next_file, |file| file.number);
        let (leaving, waiting) = std::mem::take(&mut self.gathered.waiting)
            .into_iter()
            .partition(|(_, reply)| *reply == Reply::Left);
        self.gathered.waiting = waiting;
        let leaving: Vec<(Ticket, Reply)> = leaving;
        self.leaving.extend(leaving.into_iter().map(|(ticket, _)| (ticket, current)));
        let mut effects = self.gathered.replies();
        self.gathered.restart(&self.kept);
        effects.extend(self.trim());
        effects.extend(self.left());
        effects
    }

    /// No room: what was begun is undone, and whoever waits is told to come again.
    fn back_out(&mut self) -> Vec<Effect> {
        let mut effects = match (self.making.take(), &self.current) {
            (Some(file), _) => vec![Effect::Delete(file.number), Effect::SyncFolder],
            (None, Some(file)) => vec![Effect::Truncate(file.number, file.bytes)],
            (None, None) => Vec::new(),
        };
        effects.extend(self.gathered.refusals(Code::QueueFull));
        self.gathered.restart(&self.kept);
        self.phase = Phase::Gathering;
        effects
    }

    fn poison(&mut self) -> Vec<Effect> {
        self.phase = Phase::Poisoned;
        let mut effects = self.gathered.refusals(Code::QueueDisk);
        let leaving = std::mem::take(&mut self.leaving);
        effects.extend(leaving.into_iter().map(|(ticket, _)| refuse(ticket, Code::QueueDisk)));
        self.gathered.restart(&self.kept);
        effects
    }
}

impl Gathered {
    fn add(&mut self, ticket: Ticket, reply: Reply, record: &Record) {
        self.records.extend(encode(record));
        self.count = self.count.saturating_add(1);
        self.waiting.push((ticket, reply));
    }

    /// The encoding of a [`Group`]: a count and the records.
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.records);
        bytes
    }

    /// Bytes that the group takes on disk.
    fn span(&self) -> u64 {
        let sealed = self.records.len().saturating_add(4).saturating_add(salus_crypto::at_rest::ROW_OVERHEAD);
        u64::try_from(super::file::padded(sealed)).unwrap_or(u64::MAX)
    }

    fn replies(&mut self) -> Vec<Effect> {
        self.waiting.drain(..).map(|(ticket, reply)| Effect::Reply(ticket, reply)).collect()
    }

    fn refusals(&mut self, code: Code) -> Vec<Effect> {
        self.waiting.drain(..).map(|(ticket, _)| refuse(ticket, code)).collect()
    }

    fn restart(&mut self, kept: &Kept) {
        *self = Self {
            next_row: kept.next_row,
            next_batch: kept.next_batch,
            done_below: kept.done_below,
            ..Self::default()
        };
    }
}

impl Kept {
    fn remember(&mut self, record: Record) {
        match record {
            Record::Row(row) => {
                self.next_row = self.next_row.max(row.number.next());
                let fingerprint = Fingerprint::of(&row.arrival.frame);
                self.seen.note(row.arrival.device, row.arrival.sequence, fingerprint);
            }
            Record::Started(number) => {
                self.next_batch = self.next_batch.max(number.next().unwrap_or(number));
            }
            Record::DoneBelow(below) => self.done_below = self.done_below.max(below),
            Record::Checkpoint(checkpoint) => {
                self.next_row = self.next_row.max(checkpoint.next_row);
                self.next_batch = self.next_batch.max(checkpoint.next_batch);
                self.done_below = self.done_below.max(checkpoint.done_below);
                self.seen.restore(checkpoint.devices);
            }
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            next_row: self.next_row,
            next_batch: self.next_batch,
            done_below: self.done_below,
            devices: if is(Bug::CheckpointForgets) { Vec::new() } else { self.seen.to_checkpoint() },
        }
    }
}

fn refuse(ticket: Ticket, code: Code) -> Effect {
    Effect::Reply(ticket, Reply::Refused(code))
}
