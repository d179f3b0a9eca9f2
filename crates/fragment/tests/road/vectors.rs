//! Golden vectors of sealed segments: shares, manifest and fragments as bytes, and what a reader
//! must get out of them. They were sealed once and are then only read.

use crate::world::{CHAIN, World, draft, leaves, world};
use salus_crypto::PublicKey;
use salus_fragment::{CheckedShare, Fragment, OpeningEpoch, Quorum, check, open, seal};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::receipt::Leaf;
use salus_wire::{Code, Faults, FragmentIndex, Manifest, MemberIndex, SegmentIndex, decode, encode};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Facts = Vec<(String, String)>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/segment/sealed")
}

fn fact(name: impl ToString, value: impl AsRef<[u8]>) -> (String, String) {
    (name.to_string(), hex::encode(value))
}

fn sealed(world: &mut World, expect: &str, comment: &str) -> Facts {
    let (leaves, geometry) = (leaves(3), world.geometry());
    let plaintext = b"whatever the readings of this segment are packed into".to_vec();
    let draft = draft(2, plaintext.clone(), &leaves);
    let sealed = seal(&world.epoch, geometry, draft, &mut world.rng).expect("sealed");
    let mut facts = vec![
        ("comment".to_owned(), comment.to_owned()),
        ("expect".to_owned(), expect.to_owned()),
        ("members".to_owned(), world.faults.members().to_string()),
        ("index".to_owned(), "2".to_owned()),
        fact("chain", encode(&CHAIN)),
        fact("writer", world.writer.public_key().as_bytes()),
        fact("plaintext", plaintext),
    ];
    facts.extend(leaves.iter().map(|leaf| fact("leaf", encode(leaf))));
    facts.push(fact("manifest", encode(&sealed.manifest)));
    facts.extend(sealed.fragments.iter().map(|fragment| fact("fragment", fragment.as_bytes())));
    facts.extend(world.shares().iter().map(|(_, share)| fact("share", encode(share))));
    facts
}

/// Flips the last bit of the nth fact of this name.
fn spoil(mut facts: Facts, name: &str, nth: usize) -> Facts {
    let spoilt = facts.iter_mut().filter(|(found, _)| found == name).nth(nth).expect("it is there");
    let mut bytes = hex::decode(&spoilt.1).expect("hexadecimal");
    *bytes.last_mut().expect("not empty") ^= 1;
    spoilt.1 = hex::encode(bytes);
    facts
}

fn all() -> Vec<(&'static str, Facts)> {
    let contradicted = {
        let mut facts = sealed(&mut world(4), "SAL-5007", "the manifest commits to another ciphertext");
        let manifest = facts.iter_mut().find(|(name, _)| name == "manifest").expect("it is there");
        let bytes = hex::decode(&manifest.1).expect("hexadecimal");
        let mut changed: Manifest = decode(&bytes, RPC_BYTES_MAX).expect("ours");
        changed.ciphertext = salus_crypto::Digest::ZERO;
        manifest.1 = hex::encode(encode(&changed));
        facts
    };
    vec![
        ("members-1", sealed(&mut world(1), "ok", "one of one, without parity")),
        ("members-4", sealed(&mut world(4), "ok", "two of four, key of three")),
        ("members-7", sealed(&mut world(7), "ok", "three of seven, key of five")),
        ("fragment-altered", spoil(sealed(&mut world(4), "SAL-3001", "store 1 lies"), "fragment", 1)),
        ("share-altered", spoil(sealed(&mut world(4), "SAL-5005", "custodian 2 lies"), "share", 2)),
        ("writer-contradicts", contradicted),
    ]
}

fn text(facts: &Facts) -> String {
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        writeln!(text, "{name}: {value}").expect("a string takes text");
        text
    })
}

fn parse(text: &str) -> Facts {
    let lines = text.lines().map(|line| line.split_once(": ").expect("name: value"));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn one<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).expect(name)
}

fn every(facts: &Facts, name: &str) -> Vec<Vec<u8>> {
    let found = facts.iter().filter(|(found, _)| found == name);
    found.map(|(_, value)| hex::decode(value).expect("hexadecimal")).collect()
}

/// Checks every share and fragment, then opens with the last ones, so that nothing is systematic.
fn judge(facts: &Facts) -> Result<(), Code> {
    let faults = Faults::for_members(one(facts, "members").parse().expect("a number")).expect("few");
    let index = SegmentIndex::new(one(facts, "index").parse().expect("a number"));
    let chain = decode(&hex::decode(one(facts, "chain")).expect("hexadecimal"), 32).expect("an id");
    let writer = PublicKey::from_hex(one(facts, "writer")).expect("a key");
    let manifest: Manifest = decode(&every(facts, "manifest")[0], RPC_BYTES_MAX).expect("a manifest");
    let mut shares = Vec::new();
    for (custodian, share) in (0..).map(MemberIndex::new).zip(every(facts, "share")) {
        let share = decode(&share, RPC_BYTES_MAX).expect("a share");
        shares.push(
            CheckedShare::check(chain, faults, &writer, custodian, share).map_err(|fault| fault.code())?,
        );
    }
    let mut fragments = Vec::new();
    for (index, bytes) in (0..).map(FragmentIndex::new).zip(every(facts, "fragment")) {
        fragments.push(check(&manifest, index, Fragment::from_bytes(bytes)).map_err(|bad| bad.code())?);
    }
    let surplus = fragments.len() - manifest.geometry.data();
    let quorum = Quorum::gather(&manifest, fragments.split_off(surplus)).map_err(|fault| fault.code())?;
    let epoch = OpeningEpoch::combine(shares).map_err(|fault| fault.code())?;
    let key = epoch.segment_key(index, &manifest).map_err(|fault| fault.code())?;
    let opened = open(&manifest, quorum, key).map_err(|fault| fault.code())?;
    assert_eq!(opened.plaintext(), every(facts, "plaintext")[0]);
    let leaves: Vec<Leaf> =
        every(facts, "leaf").iter().map(|leaf| decode(leaf, RPC_BYTES_MAX).expect("a leaf")).collect();
    opened.prove(&leaves).map_err(|fault| fault.code()).map(drop)
}

#[test]
fn sealed_segments_end_as_their_vectors_say() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors/segment/sealed");
    fs::create_dir_all(&copy).expect("a folder of our own");
    let made = all();
    for (name, facts) in &made {
        fs::write(copy.join(format!("{name}.txt")), text(facts)).expect("a file of our own");
    }
    for (name, facts) in made {
        let path = folder().join(format!("{name}.txt"));
        let checked_in = fs::read_to_string(&path);
        let found = parse(&checked_in.unwrap_or_else(|_| panic!("{name} lies in {}", copy.display())));
        let verdict = judge(&found).map_or_else(|code| code.to_string(), |()| "ok".to_owned());
        assert_eq!(verdict, one(&found, "expect"), "{name}");
        let verdict = judge(&facts).map_or_else(|code| code.to_string(), |()| "ok".to_owned());
        assert_eq!(verdict, one(&facts, "expect"), "{name} as sealed now");
    }
}

/// The reader that was written from the specification, in another language.
#[test]
fn a_reader_in_python_agrees_with_every_good_vector() {
    let names = ["members-1", "members-4", "members-7"];
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/road/stranger.py"))
        .args(names.map(|name| folder().join(format!("{name}.txt"))))
        .output()
        .expect("python3 is installed");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "3 segments agree", "{complained}");
}
