//! What a crash or a bad disk may leave of a journal. The promises: nothing panics; what is kept is
//! exactly a run of whole records from the start, which is written here again, independently; and
//! what is said to be damaged is not so from a record that was torn.

use crate::targets::Seed;
use salus_store::journal::{self, Recovered};

/// Bytes as the content of a journal.
pub fn store_journal(data: &[u8]) {
    match journal::recover(data) {
        Recovered::Good { records, keep } => {
            let written = joined(&records);
            assert!(
                u64::try_from(written.len()) == Ok(keep),
                "other bytes are kept than those of the records"
            );
            assert!(data.starts_with(&written), "a record is read that is not there");
        }
        Recovered::Damaged { at } => {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            assert!(at < data.len(), "damage lies past the end");
        }
    }
}

/// A journal of some records, whole, torn, with a flipped bit early and late, and with zeros behind.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let whole = joined(&[b"one".to_vec(), Vec::new(), vec![7; 40]]);
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        bytes
    };
    let torn = whole.get(..whole.len().saturating_sub(3)).unwrap_or_default().to_vec();
    let padded = [whole.clone(), vec![0; 64]].concat();
    vec![
        Seed::new("empty", Vec::new()),
        Seed::new("torn", torn),
        Seed::new("early", flipped(13)),
        Seed::new("late", flipped(whole.len().saturating_sub(12))),
        Seed::new("zeros", padded),
        Seed::new("whole", whole),
    ]
}

fn joined(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        bytes.extend(journal::record(offset, record));
    }
    bytes
}
