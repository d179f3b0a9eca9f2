//! Days written, read back, cut by a crash, damaged, full and over.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::digest::{Digest, Namespace, sha256};
use salus_crypto::secret::Secret;
use salus_wire::activity::NamedAs;
use salus_wire::limits::DAY_MS;
use salus_wire::{Classes, DataClass, MemberIndex, PartyId, Purpose, TimeMs};

const DAY: u32 = 20_000;

fn digest(n: u64) -> Digest {
    sha256(Namespace::new("salus/test/v1"), &[&n.to_le_bytes()])
}

fn row(n: u64) -> Activity {
    Activity {
        at: TimeMs::new(u64::from(DAY) * DAY_MS + n),
        requester: PartyId::new([1; 16]),
        member: MemberIndex::new(2),
        patient: digest(1_000),
        access: decode(digest(n).as_bytes(), 32).unwrap(),
        purpose: Purpose::Treatment,
        classes: Classes::of(&[DataClass::Vitals]).unwrap(),
        named: NamedAs::Role,
    }
}

fn open(at: &Path) -> Activities {
    Activities::open(at, MachineKey::new(Secret::from_bytes([7; 32]))).unwrap()
}

fn of(kept: &Activities, day: u32) -> Result<Vec<Activity>, StoreError> {
    let mut rows = Vec::new();
    kept.files().each(day, |row| rows.push(row)).map(|()| rows)
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

#[test]
fn what_is_remembered_is_told_after_a_restart_by_day_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = open(dir.path());
    let _ = kept.remember(DAY, vec![row(1), row(2)], &mut rng()).unwrap();
    let _ = kept.remember(DAY + 1, vec![row(3)], &mut rng()).unwrap();
    let _ = kept.remember(DAY, vec![row(4)], &mut rng()).unwrap();
    for kept in [kept, open(dir.path())] {
        assert_eq!(of(&kept, DAY).unwrap(), [row(1), row(2), row(4)]);
        assert_eq!(of(&kept, DAY + 1).unwrap(), [row(3)]);
        assert_eq!(of(&kept, DAY + 2).unwrap(), []);
    }
}

#[test]
fn a_days_time_ends_and_no_other_days() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = open(dir.path());
    for day in [DAY - 1, DAY, DAY + 1] {
        let _ = kept.remember(day, vec![row(u64::from(day))], &mut rng()).unwrap();
    }
    assert_eq!(kept.end_before(DAY + 1).unwrap(), 2);
    assert_eq!(kept.end_before(DAY + 1).unwrap(), 0);
    assert_eq!((of(&kept, DAY).unwrap(), of(&kept, DAY + 1).unwrap().len()), (vec![], 1));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // A day that is over and written to all the same begins anew.
    let _ = kept.remember(DAY, vec![row(9)], &mut rng()).unwrap();
    assert_eq!(of(&kept, DAY).unwrap(), [row(9)]);
}

#[test]
fn a_crash_cuts_what_was_not_promised_and_damage_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = open(dir.path());
    let _ = kept.remember(DAY, vec![row(1)], &mut rng()).unwrap();
    let path = dir.path().join(format!("{DAY}-1.activity"));
    let whole = fs::read(&path).unwrap();
    let _ = kept.remember(DAY, vec![row(2)], &mut rng()).unwrap();
    let both = fs::read(&path).unwrap();
    for end in [whole.len(), whole.len() + 1, both.len() - 1] {
        fs::write(&path, &both[..end]).unwrap();
        let mut kept = open(dir.path());
        assert_eq!(of(&kept, DAY).unwrap(), [row(1)]);
        let _ = kept.remember(DAY, vec![row(3)], &mut rng()).unwrap();
        assert_eq!(of(&kept, DAY).unwrap(), [row(1), row(3)]);
    }
    let mut damaged = both;
    damaged[whole.len() / 2] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let mut kept = open(dir.path());
    assert!(matches!(of(&kept, DAY), Err(StoreError::Damaged { .. })));
    // It goes on beside what is damaged, which stays as it is.
    let _ = kept.remember(DAY, vec![row(4)], &mut rng()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), damaged);
    fs::remove_file(&path).unwrap();
    assert_eq!(of(&kept, DAY).unwrap(), [row(4)]);
}

#[test]
fn a_record_opens_in_its_own_file_with_its_own_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = open(dir.path());
    let _ = kept.remember(DAY, vec![row(1)], &mut rng()).unwrap();
    let file = |day: u32| dir.path().join(format!("{day}-1.activity"));
    let stored = fs::read(file(DAY)).unwrap();
    assert!(!stored.windows(16).any(|bytes| bytes == [1; 16]), "the requester is on the disk");
    fs::copy(file(DAY), file(DAY + 1)).unwrap();
    assert!(matches!(of(&kept, DAY + 1), Err(StoreError::Corrupt { .. })));
    let other = Activities::open(dir.path(), MachineKey::new(Secret::from_bytes([8; 32])));
    assert!(matches!(other, Err(StoreError::Corrupt { .. })), "a lost key is not replaced without a word");
}

#[test]
fn a_full_part_is_followed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = open(dir.path());
    let rows = |from: u64| (from..from + 1_024).map(row).collect::<Vec<_>>();
    let mut n = 0;
    while !dir.path().join(format!("{DAY}-2.activity")).exists() {
        let _ = kept.remember(DAY, rows(n), &mut rng()).unwrap();
        n += 1_024;
        assert!(n < 1_000_000, "a part holds less than a million rows");
    }
    let told = of(&kept, DAY).unwrap();
    let count = u64::try_from(told.len()).unwrap();
    assert_eq!((count, told.first(), told.last()), (n, Some(&row(0)), Some(&row(n - 1))));
    assert!(
        kept.remember(DAY, (0..1_025).map(row).collect(), &mut rng()).is_err(),
        "more than a record holds"
    );
}
