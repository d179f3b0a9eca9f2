//! What a stranger reads: certificates, trust policies, receipts. All under one policy of four
//! members whose keys are known here, so that good input can be made without the engine.
//!
//! The promises: nothing panics; an accepted certificate has the one form of `spec/certificate.md`,
//! which is written here again, independently; a policy survives being written out; and no receipt
//! is accepted, since none was ever made under this policy.

use crate::sample::{Sampler, sample};
use crate::targets::Seed;
use salus_crypto::{Digest, PublicKey, Secret, SigningKey};
use salus_proof::{Claim, FromLeaf, TrustPolicy, certificate, receipt};
use salus_wire::receipt::Leaf;
use salus_wire::{ChainId, Code, Header, Height, MemberIndex, Receipt, TimeMs, View};
use std::sync::LazyLock;

/// Members of the consortium that is spoken of.
const MEMBERS: u8 = 4;
/// Of whom so many must sign.
const QUORUM: usize = 3;
/// Bytes of a certificate before its bitmap: epoch, view and parent view of one byte, and a digest.
const PROPOSAL_BYTES: usize = 3 + 32;

static POLICY: LazyLock<Option<TrustPolicy>> = LazyLock::new(|| {
    let keys: Vec<PublicKey> = signers().iter().map(SigningKey::public_key).collect();
    TrustPolicy::new(chain(), keys).ok()
});

/// Bytes as the certificate of one fixed header.
pub fn proof_certificate(data: &[u8]) {
    let Some(policy) = &*POLICY else { return };
    if certificate::verify(policy, &header(), data).is_ok() {
        assert!(data.starts_with(&proposal()), "another header is certified");
        let votes = data.get(PROPOSAL_BYTES + 8).map_or(0, |bitmap| bitmap.count_ones());
        let votes = usize::try_from(votes).unwrap_or(0);
        assert!(votes >= QUORUM, "{votes} votes are no quorum");
        assert!(data.len() == PROPOSAL_BYTES + 8 + 1 + 1 + 64 * votes, "bytes are left over");
    }
}

/// Bytes as the text of a trust policy.
pub fn proof_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(policy) = TrustPolicy::from_toml(text) {
        let again = TrustPolicy::from_toml(&policy.to_toml());
        assert!(again == Ok(policy), "a policy does not survive being written out");
    }
}

/// Bytes as a receipt.
pub fn proof_receipt(data: &[u8]) {
    let Some(policy) = &*POLICY else { return };
    if let Ok(receipt) = receipt::read(data) {
        assert!(receipt::verify::<Opaque>(policy, &receipt).is_err(), "a forged receipt is accepted");
    }
}

/// Certificates by a quorum, by all, by too few, and with the votes in another order.
#[must_use]
pub fn certificate_seeds() -> Vec<Seed> {
    [("quorum", vec![0, 1, 3]), ("all", vec![0, 1, 2, 3]), ("too-few", vec![2, 3]), ("order", vec![1, 0, 2])]
        .map(|(name, voters)| Seed::new(name, certified_by(&voters)))
        .to_vec()
}

/// A policy as it is written, and near misses.
#[must_use]
pub fn policy_seeds() -> Vec<Seed> {
    let good = POLICY.as_ref().map_or_else(String::new, TrustPolicy::to_toml);
    [
        ("good", good.clone()),
        ("unknown-entry", format!("{good}note = 1\n")),
        ("version", good.replace("version = 1", "version = 2")),
        ("no-members", good.split("members").next().unwrap_or_default().to_owned()),
    ]
    .map(|(name, text)| Seed::new(name, text.into_bytes()))
    .to_vec()
}

/// Well-formed receipts that prove nothing.
#[must_use]
pub fn receipt_seeds() -> Vec<Seed> {
    let samples = (0..8).filter_map(|seed| sample::<Receipt>(&mut Sampler::new(seed)));
    samples.enumerate().map(|(number, bytes)| Seed::new(&format!("forged-{number}"), bytes)).collect()
}

/// A reading that nobody looks into.
struct Opaque;

impl FromLeaf for Opaque {
    fn from_leaf(_: &Leaf) -> Result<Claim<Self>, Code> {
        Err(Code::Malformed)
    }
}

fn chain() -> ChainId {
    ChainId(Digest::from_bytes([9; 32]))
}

/// The members' keys, in the order in which a certificate counts them.
fn signers() -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> =
        (1..=MEMBERS).map(|n| SigningKey::from_seed(Secret::from_bytes([n; 32]))).collect();
    keys.sort_by_key(SigningKey::public_key);
    keys
}

fn header() -> Header {
    Header {
        chain: chain(),
        height: Height::new(7),
        view: View::new(12),
        parent_view: View::new(11),
        parent: Digest::from_bytes([1; 32]),
        proposer: MemberIndex::new(2),
        time: TimeMs::new(1_700_000_000_000),
        transactions: Digest::from_bytes([2; 32]),
        receipts: Digest::from_bytes([3; 32]),
        state: Digest::from_bytes([4; 32]),
    }
}

fn proposal() -> Vec<u8> {
    [[0, 12, 11].as_slice(), header().digest().as_bytes()].concat()
}

/// A certificate by these signers, in this order, as `spec/certificate.md` has it.
fn certified_by(voters: &[usize]) -> Vec<u8> {
    let namespace = [b"salus/finality/v1".as_slice(), chain().0.as_bytes(), b"_FINALIZE"].concat();
    let message = [&[0x3a], namespace.as_slice(), &proposal()].concat();
    let keys = signers();
    let bitmap = voters.iter().fold(0_u8, |bits, voter| bits | 1 << voter);
    let count = u8::try_from(voters.len()).unwrap_or(0);
    let mut bytes = [proposal().as_slice(), &u64::from(MEMBERS).to_be_bytes(), &[bitmap, count]].concat();
    for key in voters.iter().filter_map(|voter| keys.get(*voter)) {
        bytes.extend(key.sign_raw(&message).as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_what_their_names_say() {
        let policy = POLICY.as_ref().expect("the keys differ");
        let accepted: Vec<String> = certificate_seeds()
            .into_iter()
            .filter(|seed| certificate::verify(policy, &header(), &seed.input).is_ok())
            .map(|seed| seed.name)
            .collect();
        assert_eq!(accepted, ["quorum", "all"]);
        let texts = policy_seeds();
        let text = |index: usize| std::str::from_utf8(&texts[index].input).expect("it is text");
        assert!(TrustPolicy::from_toml(text(0)).is_ok());
        assert!((1..texts.len()).all(|index| TrustPolicy::from_toml(text(index)).is_err()));
        assert!(receipt_seeds().iter().all(|seed| receipt::read(&seed.input).is_ok()));
    }

    #[test]
    fn every_flipped_bit_of_a_certificate_is_refused() {
        let policy = POLICY.as_ref().expect("the keys differ");
        let good = certified_by(&[0, 1, 3]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(certificate::verify(policy, &header(), &bad).is_err(), "bit {bit}");
        }
    }
}
