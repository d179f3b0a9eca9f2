//! The format of one queue file, and what can be read back of it after a crash.
//!
//! Sector 0: magic ‖ file number ‖ row header (the key's salt) ‖ check. Then groups, each beginning
//! on a sector boundary: magic ‖ group number ‖ length ‖ check ‖ sealed records ‖ zeros. The check
//! is a truncated SHA-256 over the fields and the file's number; it tells a head from old bytes at
//! little cost, while the seal alone vouches for the records.

use super::row::{Group, Record};
use rand::CryptoRng;
use salus_crypto::CryptoError;
use salus_crypto::at_rest::{MachineKey, ROW_HEADER_LEN, RowOpener, RowSealer};
use salus_crypto::digest::{Namespace, sha256};
use std::fmt;
use std::ops::Range;

/// Bytes that a disk writes as one.
pub const SECTOR_BYTES: usize = 512;
/// Bytes of a group's sealed records; a checkpoint of every device is the largest.
const SEALED_BYTES_MAX: usize = 64 * 1024 * 1024;

const FILE_MAGIC: &[u8; 8] = b"salusq1\n";
const GROUP_MAGIC: &[u8; 4] = b"grp\n";
const HEAD: Namespace = Namespace::new("salus/queue-head/v1");
const CONTEXT: &[u8] = b"salus/queue/v1";
const CHECK_BYTES: usize = 16;
/// Bytes of a group's head: magic, number, length, check.
pub(super) const GROUP_HEAD_BYTES: usize = 4 + 4 + 4 + CHECK_BYTES;
const FILE_HEAD_BYTES: usize = 8 + 8 + ROW_HEADER_LEN + CHECK_BYTES;

const _: () = assert!(FILE_HEAD_BYTES <= SECTOR_BYTES && GROUP_HEAD_BYTES <= SECTOR_BYTES);

/// A file's number, which is its name. Never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileNumber(u64);

impl FileNumber {
    /// Names the number.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number in a file name, if it is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".queue")?;
        let number = Self(u64::from_str_radix(digits, 16).ok()?);
        (number.to_string() == name).then_some(number)
    }
}

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.queue", self.0)
    }
}

/// Seals the groups of a file that this process made.
#[derive(Debug)]
pub struct FileSealer {
    file: FileNumber,
    sealer: RowSealer,
}

impl FileSealer {
    /// Begins a file: the sealer, and the file's first sector.
    pub fn create(key: &MachineKey, file: FileNumber, rng: &mut impl CryptoRng) -> (Self, Vec<u8>) {
        let (sealer, header) = RowSealer::create(key, &context(file), rng);
        let mut sector = FILE_MAGIC.to_vec();
        sector.extend(file.0.to_le_bytes());
        sector.extend(header);
        sector.extend(check(file, &[&header]));
        sector.resize(SECTOR_BYTES, 0);
        (Self { file, sealer }, sector)
    }

    /// Seals a group of encoded records: whole sectors, to be written at the end of the file.
    ///
    /// # Errors
    /// [`CryptoError::RowsExhausted`] after 2^32 groups.
    pub fn group(&mut self, records: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut sealed = Vec::with_capacity(records.len().saturating_add(SECTOR_BYTES));
        let number = self.sealer.seal(records, &mut sealed)?;
        // A group is at most a checkpoint, far below 4 GiB.
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        let mut group = Vec::with_capacity(padded(sealed.len()));
        group.extend(GROUP_MAGIC);
        group.extend(number.to_le_bytes());
        group.extend(length.to_le_bytes());
        group.extend(check(self.file, &[&number.to_le_bytes(), &length.to_le_bytes()]));
        group.append(&mut sealed);
        group.resize(padded(group.len().saturating_sub(GROUP_HEAD_BYTES)), 0);
        Ok(group)
    }
}

/// What a group's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHead {
    /// Its number within the file, ascending.
    pub(super) number: u32,
    /// Bytes of sealed records.
    pub(super) length: usize,
}

impl GroupHead {
    /// Bytes from this group's beginning to the next one's.
    pub(super) fn span(self) -> usize {
        padded(self.length)
    }
}

/// Opens the groups of one file.
#[derive(Debug)]
pub(super) struct FileOpener {
    file: FileNumber,
    opener: RowOpener,
}

impl FileOpener {
    /// From the file's first sector; `None` when that is not one.
    pub(super) fn new(key: &MachineKey, file: FileNumber, sector: &[u8]) -> Option<Self> {
        let rest = sector.strip_prefix(FILE_MAGIC)?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (header, rest) = rest.split_first_chunk::<ROW_HEADER_LEN>()?;
        let (given, _) = rest.split_first_chunk::<CHECK_BYTES>()?;
        if u64::from_le_bytes(*number) != file.0 || *given != check(file, &[header]) {
            return None;
        }
        Some(Self { file, opener: RowOpener::new(key, &context(file), header).ok()? })
    }

    /// The group's head at the beginning of `bytes`.
    pub(super) fn head(&self, bytes: &[u8]) -> Option<GroupHead> {
        group_head(self.file, bytes)
    }

    /// The records under `head`, from exactly its sealed bytes.
    pub(super) fn open(&self, head: GroupHead, sealed: &[u8]) -> Option<Vec<Record>> {
        let records = self.opener.open(head.number, sealed).ok()?;
        salus_wire::decode::<Group>(&records, SEALED_BYTES_MAX).ok().map(Group::into_vec)
    }
}

/// What can be read back of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned {
    /// Everything up to `intact`; what follows, if anything, was being written when all ended.
    Intact {
        /// In the order written.
        records: Vec<Record>,
        /// Bytes that can be read; the rest is to be cut.
        intact: usize,
    },
    /// Nothing: the file was being made when all ended.
    NeverBegun,
    /// Something that was synced is not what was written.
    Damaged {
        /// From this byte.
        at: usize,
    },
}

/// Reads a file back. Whether a torn tail is allowed, the caller knows: only in the last file.
#[must_use]
pub fn scan(key: &MachineKey, file: FileNumber, bytes: &[u8]) -> Scanned {
    let sector = bytes.get(..SECTOR_BYTES).unwrap_or_default();
    let Some(opener) = FileOpener::new(key, file, sector) else {
        let begun =
            sectors(bytes, SECTOR_BYTES).any(|tail| group_head(file, tail).is_some_and(|h| h.number > 0));
        return if begun { Scanned::Damaged { at: 0 } } else { Scanned::NeverBegun };
    };
    let mut records = Vec::new();
    let mut at = SECTOR_BYTES;
    let mut last = None;
    while let Some((head, mut group)) =
        group_at(&opener, bytes, at).filter(|(head, _)| Some(head.number) > last)
    {
        records.append(&mut group);
        at = at.saturating_add(head.span());
        last = Some(head.number);
    }
    // A torn group is the last thing that was ever written: anything readable behind it was
    // written after it had been synced.
    let later = at.saturating_add(SECTOR_BYTES);
    let lost = (later..bytes.len()).step_by(SECTOR_BYTES).any(|at| group_at(&opener, bytes, at).is_some());
    if lost { Scanned::Damaged { at } } else { Scanned::Intact { records, intact: at.min(bytes.len()) } }
}

fn group_at(opener: &FileOpener, bytes: &[u8], at: usize) -> Option<(GroupHead, Vec<Record>)> {
    let tail = bytes.get(at..)?;
    let head = opener.head(tail)?;
    let sealed = tail.get(sealed_range(head))?;
    Some((head, opener.open(head, sealed)?))
}

/// Where a group's sealed bytes are, from its beginning.
pub(super) fn sealed_range(head: GroupHead) -> Range<usize> {
    GROUP_HEAD_BYTES..GROUP_HEAD_BYTES.saturating_add(head.length)
}

fn sectors(bytes: &[u8], from: usize) -> impl Iterator<Item = &[u8]> {
    (from..bytes.len()).step_by(SECTOR_BYTES).filter_map(move |at| bytes.get(at..))
}

fn group_head(file: FileNumber, bytes: &[u8]) -> Option<GroupHead> {
    let rest = bytes.strip_prefix(GROUP_MAGIC)?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (given, _) = rest.split_first_chunk::<CHECK_BYTES>()?;
    if *given != check(file, &[number, length]) {
        return None;
    }
    let length =
        usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= SEALED_BYTES_MAX)?;
    Some(GroupHead { number: u32::from_le_bytes(*number), length })
}

/// Bytes that a group with this many sealed bytes takes on disk.
pub(super) fn padded(sealed: usize) -> usize {
    sealed.saturating_add(GROUP_HEAD_BYTES).next_multiple_of(SECTOR_BYTES)
}

fn check(file: FileNumber, fields: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let number = file.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![&number];
    parts.extend(fields);
    sha256(HEAD, &parts).as_bytes().first_chunk().copied().unwrap_or_default()
}

fn context(file: FileNumber) -> Vec<u8> {
    [CONTEXT, &file.0.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::Secret;
    use salus_wire::{BatchNumber, encode};

    const FILE: FileNumber = FileNumber::new(3);

    fn key() -> MachineKey {
        MachineKey::new(Secret::from_bytes([5; 32]))
    }

    fn records(n: u64) -> Vec<Record> {
        vec![Record::Started(BatchNumber::new(n)); 30]
    }

    /// A file of three groups, and where each begins.
    fn sample() -> (Vec<u8>, Vec<usize>) {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut sealer, mut bytes) = FileSealer::create(&key(), FILE, &mut rng);
        let mut begins = Vec::new();
        for n in 0..3 {
            begins.push(bytes.len());
            bytes.extend(sealer.group(&encode(&Group::new(records(n)).unwrap())).unwrap());
        }
        (bytes, begins)
    }

    fn found(groups: u64, intact: usize) -> Scanned {
        Scanned::Intact { records: (0..groups).flat_map(records).collect(), intact }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (bytes, _) = sample();
        assert_eq!(scan(&key(), FILE, &bytes), found(3, bytes.len()));
    }

    #[test]
    fn every_cut_loses_only_the_groups_it_cuts() {
        let (bytes, begins) = sample();
        for cut in 0..bytes.len() {
            let whole = begins.iter().skip(1).chain([&bytes.len()]).filter(|end| **end <= cut).count();
            let intact = begins.get(whole).map_or(bytes.len(), |begin| *begin).min(cut);
            // The zeros that pad the last group carry nothing.
            let expected = if cut < SECTOR_BYTES {
                Scanned::NeverBegun
            } else {
                found(u64::try_from(whole).unwrap(), intact)
            };
            let scanned = scan(&key(), FILE, &bytes[..cut]);
            if !matches!((&scanned, &expected), (Scanned::Intact { records: a, .. }, Scanned::Intact { records: b, .. }) if a.len() > b.len())
            {
                assert_eq!(scanned, expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn damage_before_intact_groups_is_not_a_torn_tail() {
        let (bytes, begins) = sample();
        for at in [begins[0] + 5, begins[0] + 60, begins[1] + 1, begins[1] + 100] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(matches!(scan(&key(), FILE, &bytes), Scanned::Damaged { .. }), "{at}");
        }
        let mut last = bytes.clone();
        last[begins[2] + 60] ^= 1;
        assert_eq!(scan(&key(), FILE, &last), found(2, begins[2]));
        let mut header = bytes;
        header[20] ^= 1;
        assert_eq!(scan(&key(), FILE, &header), Scanned::Damaged { at: 0 });
    }

    #[test]
    fn a_file_under_another_name_or_key_opens_nothing() {
        let (bytes, _) = sample();
        assert_eq!(scan(&key(), FileNumber::new(4), &bytes), Scanned::NeverBegun);
        let other = MachineKey::new(Secret::from_bytes([6; 32]));
        assert_eq!(scan(&other, FILE, &bytes), found(0, SECTOR_BYTES));
    }

    #[test]
    fn names_have_one_form() {
        assert_eq!(FileNumber::parse(&FILE.to_string()), Some(FILE));
        for name in ["3.queue", "0000000000000003", "+000000000000003.queue", "x"] {
            assert_eq!(FileNumber::parse(name), None, "{name}");
        }
    }
}
