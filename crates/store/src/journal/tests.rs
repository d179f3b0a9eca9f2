//! A journal cut at every byte, damaged at every byte, and written to a disk that fails.

use super::*;
use proptest::prelude::*;

/// A disk that takes a number of bytes and syncs, and then fails.
#[derive(Debug)]
struct Failing {
    bytes_left: usize,
    syncs_left: usize,
}

impl Medium for Failing {
    fn read(&mut self, _: u64) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes).and_then(|()| self.sync())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes_left =
            self.bytes_left.checked_sub(bytes.len()).ok_or(io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs_left = self.syncs_left.checked_sub(1).ok_or(io::Error::from_raw_os_error(5))?;
        Ok(())
    }
}

fn bytes_of(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        bytes.extend(record(u64_of(bytes.len()), payload));
    }
    bytes
}

fn three() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), Vec::new(), vec![9; 300]]
}

#[test]
fn a_cut_at_any_byte_keeps_exactly_the_whole_records() {
    let bytes = bytes_of(&three());
    let ends: Vec<usize> = (0..=3).map(|n| bytes_of(&three()[..n]).len()).collect();
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let expected = Recovered::Good { records: three()[..whole].to_vec(), keep: u64_of(ends[whole]) };
        assert_eq!(recover(&bytes[..cut]), expected, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_before_the_last_record_is_damage_and_in_it_is_a_tear() {
    let bytes = bytes_of(&three());
    let last = bytes_of(&three()[..2]).len();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match recover(&bad) {
            Recovered::Damaged { at } => assert!(bit / 8 < last && at <= u64_of(bit / 8), "bit {bit}"),
            Recovered::Good { records, keep } => {
                assert!(bit / 8 >= last && keep == u64_of(last) && records == three()[..2], "bit {bit}");
            }
        }
    }
}

#[test]
fn a_bad_tail_longer_than_a_record_is_damage() {
    let mut bytes = bytes_of(&three());
    let good = u64_of(bytes.len());
    bytes.resize(bytes.len() + RECORD_BYTES_MAX + HEAD_LEN + CHECK_LEN, 0);
    assert_eq!(recover(&bytes), Recovered::Good { records: three(), keep: good });
    bytes.resize(bytes.len() + 2, 0);
    assert_eq!(recover(&bytes), Recovered::Damaged { at: good });
}

#[test]
fn what_is_appended_is_there_again_and_a_tear_is_cut_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, records) = Journal::open(&path).unwrap();
    assert!(records.is_empty());
    for payload in three() {
        assert_eq!(journal.append(&payload, 7).unwrap().promise(), &7);
    }
    drop(journal);
    let mut torn = std::fs::read(&path).unwrap();
    torn.truncate(torn.len() - 1);
    std::fs::write(&path, &torn).unwrap();
    let (mut journal, records) = Journal::open(&path).unwrap();
    assert_eq!(records, three()[..2]);
    let _durable = journal.append(b"after", ()).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1, [b"first".to_vec(), Vec::new(), b"after".to_vec()]);
}

#[test]
fn a_rewrite_takes_the_place_of_the_old_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    for payload in three() {
        let _durable = journal.append(&payload, ()).unwrap();
    }
    std::fs::write(path.with_extension("next"), b"left by a crash").unwrap();
    journal.rewrite(&[b"only".to_vec()]).unwrap();
    let _durable = journal.append(b"more", ()).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1, [b"only".to_vec(), b"more".to_vec()]);
}

#[test]
fn a_damaged_journal_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut bytes = bytes_of(&three());
    bytes[13] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Journal::open(&path), Err(StoreError::Damaged { at: 0, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

fn on(failing: Failing) -> Journal {
    Journal::on(Path::new("failing"), Box::new(failing)).unwrap().0
}

#[test]
fn a_failed_write_or_sync_promises_nothing_and_poisons() {
    for failing in [Failing { bytes_left: 70, syncs_left: 9 }, Failing { bytes_left: 999, syncs_left: 1 }] {
        let mut journal = on(failing);
        assert!(journal.append(&[0; 40], ()).is_ok());
        assert!(matches!(journal.append(&[0; 40], ()), Err(StoreError::File { .. })));
        assert!(matches!(journal.append(&[], ()), Err(StoreError::Poisoned)));
        assert!(matches!(journal.rewrite(&[]), Err(StoreError::Poisoned)));
    }
}

#[test]
fn an_oversized_record_is_refused_and_does_not_poison() {
    let mut journal = on(Failing { bytes_left: usize::MAX, syncs_left: 9 });
    assert!(matches!(
        journal.append(&vec![0; RECORD_BYTES_MAX + 1], ()),
        Err(StoreError::JournalFull { .. })
    ));
    assert!(journal.append(&vec![0; RECORD_BYTES_MAX], ()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_come_back_and_any_bytes_are_survived(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = bytes_of(&payloads);
        let keep = u64_of(bytes.len());
        prop_assert_eq!(recover(&bytes), Recovered::Good { records: payloads, keep });
        // Eight bytes of check make a good record out of noise a matter of 2^-64.
        prop_assert_eq!(recover(&noise), Recovered::Good { records: Vec::new(), keep: 0 });
    }
}
