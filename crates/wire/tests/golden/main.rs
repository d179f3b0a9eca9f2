//! Golden encodings of everything that is signed, hashed, stored or sent: one file for each type
//! and variant under `vectors/wire`, and what must be refused.
//!
//! A changed byte is a changed format: the test fails until the file is reviewed and replaced.
#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

mod activity;
mod consent;
mod data;
mod emergency;
mod erasure;
mod keys;
mod ledger;
mod recovery;
mod rpc;
mod sample;

use sample::Golden;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn all() -> Vec<Golden> {
    let all = [
        ledger::all(),
        consent::all(),
        data::all(),
        keys::all(),
        emergency::all(),
        activity::all(),
        rpc::all(),
        erasure::all(),
        recovery::all(),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn encodings_are_as_checked_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/wire");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wire");
    fs::create_dir_all(&copy).expect("a folder of our own");
    let made: BTreeMap<PathBuf, String> =
        all().iter().map(|golden| (format!("{}.txt", golden.name).into(), golden.text())).collect();
    for (name, text) in &made {
        fs::write(copy.join(name), text).expect("a file of our own");
    }
    let found = |name: &PathBuf| fs::read_to_string(folder.join(name)).ok();
    let changed: Vec<&PathBuf> = made.keys().filter(|name| found(name).as_ref() != made.get(*name)).collect();
    let files = fs::read_dir(&folder).into_iter().flatten();
    let names = files.map(|file| PathBuf::from(file.expect("a readable folder").file_name()));
    let surplus: Vec<PathBuf> = names.filter(|name| !made.contains_key(name)).collect();
    assert!(
        changed.is_empty() && surplus.is_empty(),
        "changed: {changed:?}, surplus: {surplus:?}; as generated they are in {}",
        copy.display()
    );
}

#[test]
fn names_are_distinct() {
    let names: std::collections::BTreeSet<&str> = all().iter().map(|golden| golden.name).collect();
    assert_eq!(names.len(), all().len());
}

#[test]
fn decoding_gives_the_same_bytes_back() {
    for golden in all() {
        assert_eq!((golden.reencode)(&golden.bytes).as_ref(), Some(&golden.bytes), "{}", golden.name);
    }
}

#[test]
fn every_truncation_and_a_byte_too_many_are_refused() {
    for golden in all() {
        for length in 0..golden.bytes.len() {
            assert!((golden.reencode)(&golden.bytes[..length]).is_none(), "{} cut to {length}", golden.name);
        }
        let longer = [golden.bytes.as_slice(), &[0]].concat();
        assert!((golden.reencode)(&longer).is_none(), "{} with a byte too many", golden.name);
    }
}

#[test]
fn lists_over_their_limit_are_refused() {
    for golden in all() {
        for (at, maximum, what) in &golden.lists {
            let (before, rest) = golden.bytes.split_at(*at);
            let (count, after) = rest.split_first_chunk::<4>().expect("a count");
            assert!(u32::from_le_bytes(*count) <= *maximum, "no count at {at} of {}", golden.name);
            for claim in [maximum + 1, u32::MAX] {
                let bytes = [before, &claim.to_le_bytes(), after].concat();
                assert!((golden.reencode)(&bytes).is_none(), "{claim} {what} in {}", golden.name);
            }
        }
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for golden in all() {
        for (at, byte, what) in &golden.wrong {
            let mut bytes = golden.bytes.clone();
            assert_ne!(bytes[*at], *byte);
            bytes[*at] = *byte;
            assert!((golden.reencode)(&bytes).is_none(), "{what} in {}", golden.name);
        }
    }
}
