//! The vectors: checked in as the generator makes them, and judged alike by both verifiers.

use crate::consortium::Consortium;
use crate::frame::Beat;
use crate::text::Vector;
use crate::{certificates, receipts, states};
use salus_proof::{Proven, TrustPolicy, Unproven, chain, receipt, state};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::{StateKey, StateProof, StateValue, decode};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KINDS: [&str; 4] = ["certificate", "policy", "receipt", "state"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn all() -> Vec<Vector> {
    [certificates::vectors(), states::vectors(), receipts::vectors()].concat()
}

/// Every file below `vectors/` that this generator owns, by path.
fn files() -> BTreeMap<PathBuf, String> {
    let vectors = all().into_iter().map(|vector| (format!("{}.txt", vector.path).into(), vector.text()));
    let policies = [1, 4, 7, 64]
        .map(|n| (format!("policy/members-{n}.toml").into(), Consortium::of(n).policy.to_toml()));
    vectors.chain(policies).collect()
}

fn checked_in(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = KINDS.iter().map(PathBuf::from).collect();
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below)).into_iter().flatten() {
            let entry = entry.expect("a readable folder");
            let path = below.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                found.insert(path, fs::read_to_string(entry.path()).expect("a text file"));
            }
        }
    }
    found
}

/// A changed format is a reviewed file: the vectors as generated lie where the message says.
#[test]
fn vectors_are_checked_in_as_they_are_generated() {
    let made = files();
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    for (path, text) in &made {
        let path = copy.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of our own");
        fs::write(path, text).expect("a file of our own");
    }
    let found = checked_in(&root().join("vectors"));
    let changed: Vec<&PathBuf> =
        made.iter().filter(|(path, text)| found.get(*path) != Some(text)).map(|(path, _)| path).collect();
    let surplus: Vec<&PathBuf> = found.keys().filter(|path| !made.contains_key(*path)).collect();
    assert!(
        changed.is_empty() && surplus.is_empty(),
        "changed: {changed:?}, surplus: {surplus:?}; as generated they are in {}",
        copy.display()
    );
}

#[test]
fn our_verifier_agrees_with_every_vector() {
    for vector in all() {
        let members = vector.policy.rsplit('-').next().and_then(|n| n.parse().ok()).expect("a policy");
        let policy = Consortium::of(members).policy;
        let verdict = match judge(&policy, &vector) {
            Ok(()) => "ok",
            Err(unproven) => unproven.name(),
        };
        assert_eq!(verdict, vector.expect, "{}", vector.path);
    }
}

fn judge(policy: &TrustPolicy, vector: &Vector) -> Result<(), Unproven> {
    match vector.path.split('/').next() {
        Some("certificate") => chain::verify(policy, &decode(&vector.bytes, RPC_BYTES_MAX)?).map(drop),
        Some("receipt") => receipt::verify::<Beat>(policy, &receipt::read(&vector.bytes)?).map(drop),
        _ => {
            let proof: StateProof = decode(&vector.bytes, RPC_BYTES_MAX)?;
            let proven = state::verify(policy, &proof)?;
            assert_eq!(proven.at(), proven.header().tip());
            for (name, value) in &vector.facts {
                assert!(holds(&proven, name, value), "{name} in {}", vector.path);
            }
            Ok(())
        }
    }
}

fn holds(proven: &salus_proof::ProvenState, name: &str, value: &str) -> bool {
    let bytes = |text: &str| hex::decode(text).expect("hexadecimal");
    let (key, value) = value.split_once(' ').unwrap_or((value, ""));
    let key: StateKey = decode(&bytes(key), 64).expect("a key");
    match (name, proven.get(&key)) {
        ("present", Proven::Present(found)) => {
            *found == decode::<StateValue>(&bytes(value), 1024).expect("a value")
        }
        ("absent", Proven::Absent) => true,
        _ => false,
    }
}

#[test]
fn a_proof_says_nothing_about_other_keys() {
    let consortium = Consortium::of(4);
    let proof = consortium.proof(&states::entries(), &[StateKey::Tip], 0);
    let proven = state::verify(&consortium.policy, &proof).expect("it holds");
    assert!(matches!(proven.get(&StateKey::Tip), Proven::Present(StateValue::Tip(_))));
    assert_eq!(proven.get(&StateKey::Member(salus_wire::MemberIndex::new(0))), Proven::NotAsked);
}

/// The verifier that was written from the specification, in another language.
#[test]
fn the_verifier_in_python_agrees_with_every_vector() {
    let output = Command::new("python3")
        .arg(root().join("spec/verifier/salus_verify.py"))
        .arg("vectors")
        .arg(root().join("vectors"))
        .output()
        .expect("python3 is installed");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    let count = all().len();
    assert!(said.contains(&format!("{count} vectors agree")), "{said}");
}
