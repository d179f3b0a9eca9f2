//! What a crash or a bad disk may leave of a file of the gateway's queue. The promises: nothing
//! panics; what is intact is so by itself, without what follows it; nothing is read that was not
//! written.

use crate::targets::Seed;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::Secret;
use salus_crypto::at_rest::MachineKey;
use salus_store::queue::file::{FileNumber, FileSealer, SECTOR_BYTES, Scanned, scan};
use salus_store::queue::row::{Group, Record};
use salus_wire::{BatchNumber, encode};

const FILE: FileNumber = FileNumber::new(1);
/// Groups in the file of the seeds.
const GROUPS: u64 = 3;

/// Bytes as the content of a file.
pub fn queue_file(data: &[u8]) {
    if let Scanned::Intact { records, intact } = scan(&key(), FILE, data) {
        assert!(records.iter().all(|record| known().contains(record)), "a record is read that nobody wrote");
        let kept = data.get(..intact).unwrap_or_default();
        assert!(kept.len() == intact, "more is intact than is there");
        assert_eq!(scan(&key(), FILE, kept), Scanned::Intact { records, intact });
    }
}

fn key() -> MachineKey {
    MachineKey::new(Secret::from_bytes([5; 32]))
}

fn known() -> Vec<Record> {
    (0..GROUPS).map(|number| Record::Started(BatchNumber::new(number))).collect()
}

/// A file of three groups: whole, torn at several places, damaged early and late.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let (mut sealer, mut whole) = FileSealer::create(&key(), FILE, &mut StdRng::seed_from_u64(1));
    for record in known() {
        let group = Group::new(vec![record]).map(|group| encode(&group)).unwrap_or_default();
        whole.extend(sealer.group(&group).unwrap_or_default());
    }
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        bytes
    };
    let torn = |length: usize| whole.get(..length).unwrap_or_default().to_vec();
    vec![
        Seed::new("torn-head", torn(100)),
        Seed::new("torn-group", torn(2 * SECTOR_BYTES + 40)),
        Seed::new("early", flipped(SECTOR_BYTES + 40)),
        Seed::new("late", flipped(3 * SECTOR_BYTES + 40)),
        Seed::new("header", flipped(20)),
        Seed::new("whole", whole.clone()),
    ]
}
