//! Golden vectors: the bytes of every construction of this crate, frozen in `golden.txt`.
//!
//! Promises that no change of a dependency or of ours alters a byte unseen. The randomness is a
//! counter, 00 01 02 … ff 00 …, begun anew for each line, so that a program in any language can make
//! them again. Refuses to judge: a line that must change is a reviewed change of that file.

#![expect(clippy::unwrap_used, reason = "a test that cannot make or read a vector has failed")]

use std::convert::Infallible;
use std::fmt::Write as _;

use rand_core::{TryCryptoRng, TryRng};
use salus_crypto::aead::AeadKey;
use salus_crypto::at_rest::{MachineKey, RowOpener, RowSealer};
use salus_crypto::chain::{ChainSeed, open_body, seal_body};
use salus_crypto::chunked::{open_chunks, seal_chunks};
use salus_crypto::kem::{KemSecretKey, Sealed};
use salus_crypto::sharing::{Share, ShareIndex, Threshold, combine, key_commitment, share_hash, split};
use salus_crypto::{Digest, Namespace, Secret, SigningKey, digest, kdf, merkle};

const NS: Namespace = Namespace::new("salus/golden/v1");
const GOLDEN: &str = include_str!("golden.txt");

/// Not random at all, which is what a golden vector wants.
struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

fn counter() -> Counter {
    Counter(0)
}

fn key() -> Secret<32> {
    Secret::from_bytes([0x42; 32])
}

/// The part of the golden file under `name`, as bytes.
fn golden(name: &str) -> Vec<u8> {
    let line = GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    hex::decode(line.unwrap()).unwrap()
}

fn digests(lines: &mut String) {
    let mut line = |name: &str, digest: Digest| writeln!(lines, "{name} = {digest}").unwrap();
    line("sha256(ns, 'heart' 'beat')", digest::sha256(NS, &[b"heart", b"beat"]));
    line("ciphertext_hash('72')", digest::ciphertext_hash(b"72"));
    line("fragment_hash('72')", digest::fragment_hash(b"72"));
    let leaves: Vec<_> = (0..5_u8).map(|n| Digest::from_bytes([n; 32])).collect();
    line("merkle root of leaves 00.. to 04..", merkle::root(&leaves));
    line("prf(ns, key, '72')", kdf::prf(NS, &key(), &[b"72"]));
    line("label('share', '7')", MachineKey::new(key()).label(&[b"share", b"7"]));
    line("key_commitment('epoch', key)", key_commitment(b"epoch", &key()));
}

fn chains(lines: &mut String) {
    let mut line = |name: &str, bytes: &[u8]| writeln!(lines, "{name} = {}", hex::encode(bytes)).unwrap();
    let seed = ChainSeed::new(key());
    line("derive(ns, key, 'salt', 'info')", kdf::derive(NS, &key(), b"salt", &[b"info"]).danger_expose());
    line("chain anchor", seed.anchor().as_bytes());
    line("chain link 1", seed.link(1).to_secret().danger_expose());
    line("chain link 1024", seed.link(1024).to_secret().danger_expose());
    line("chain tag 1", seed.link(1).tag().as_bytes());
    line("chain child('lane', 0001)", seed.child(b"lane", &[&[0, 1]]).to_secret().danger_expose());
    line("chain body key 1", seed.body_key(1).danger_expose());
    line("link body key 1", seed.link(1).body_key().danger_expose());
}

fn seals(lines: &mut String) {
    let mut line = |name: &str, bytes: &[u8]| writeln!(lines, "{name} = {}", hex::encode(bytes)).unwrap();
    line("signature(ns, '72')", SigningKey::from_seed(key()).sign(NS, b"72").as_bytes());
    line("seal_chunks(key, 'aad', '72')", &seal_chunks(AeadKey::new(key()), b"aad", b"72"));
    line("seal_body(key, 8, '72')", &seal_body(&key(), 8, b"72", &mut counter()).unwrap());
    line("record('ctx', '72')", &MachineKey::new(key()).seal(b"ctx", b"72", &mut counter()));
    let (mut sealer, header) = RowSealer::create(&MachineKey::new(key()), b"ctx", &mut counter());
    let mut rows = header.to_vec();
    for row in [b"72", b"73"] {
        sealer.seal(row, &mut rows).unwrap();
    }
    line("rows('ctx', '72' '73')", &rows);
    for share in split(&key(), Threshold::new(3).unwrap(), 4, &mut counter()).unwrap() {
        let index = share.index().get();
        line(&format!("share hash {index} of 4, 3 open"), share_hash(b"epoch", &share).as_bytes());
        line(&format!("share {index} of 4, 3 open"), share.into_parts().1.danger_expose());
    }
    let sealed = KemSecretKey::from_seed(key()).public_key().seal(b"info", b"aad", b"72", &mut counter());
    line("kem seal('info', 'aad', '72')", &borsh::to_vec(&sealed.unwrap()).unwrap());
}

#[test]
fn nothing_has_changed() {
    let mut made = String::new();
    digests(&mut made);
    chains(&mut made);
    seals(&mut made);
    let frozen: Vec<_> = GOLDEN.lines().filter(|line| !line.starts_with('#')).collect();
    for (made, frozen) in made.lines().zip(&frozen) {
        assert_eq!(made, *frozen);
    }
    assert_eq!(made.lines().count(), frozen.len(), "all lines as made now:\n{made}");
}

#[test]
fn what_was_sealed_then_opens_now() {
    let machine = MachineKey::new(key());
    let plaintext = b"72".to_vec();
    let chunks = golden("seal_chunks(key, 'aad', '72')");
    assert_eq!(open_chunks(&AeadKey::new(key()), b"aad", &chunks), Ok(plaintext.clone()));
    assert_eq!(open_body(&key(), &golden("seal_body(key, 8, '72')")), Ok(plaintext.clone()));
    assert_eq!(machine.open(b"ctx", &golden("record('ctx', '72')")), Ok(plaintext.clone()));
    let rows = golden("rows('ctx', '72' '73')");
    let (header, rows) = rows.split_first_chunk().unwrap();
    let opener = RowOpener::new(&machine, b"ctx", header).unwrap();
    assert_eq!(opener.open(1, &rows[rows.len() / 2..]), Ok(b"73".to_vec()));
    let sealed: Sealed = borsh::from_slice(&golden("kem seal('info', 'aad', '72')")).unwrap();
    assert_eq!(KemSecretKey::from_seed(key()).open(b"info", b"aad", &sealed), Ok(plaintext));
}

#[test]
fn shares_split_then_combine_now() {
    let share = |index| {
        let value = golden(&format!("share {index} of 4, 3 open"));
        Share::from_parts(ShareIndex::new(index).unwrap(), Secret::from_slice(&value).unwrap())
    };
    let three = Threshold::new(3).unwrap();
    assert_eq!(combine(three, &[share(4), share(1), share(3)]).unwrap(), key());
}
