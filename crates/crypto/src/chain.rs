//! The room of hash chains: how the ledger lists a patient's grants, or a reader's accesses,
//! without anybody being able to link them (design 4.4).
//!
//! A chain is x_1024 = HKDF(seed), x_(i-1) = H(x_i), down to the anchor x_0. The ledger shows only
//! tags H'(x_i). Whoever holds the seed can list all tags; whoever is shown x_i can check it against
//! the anchor and derive every *earlier* tag, but none later; whoever sees only tags can link
//! nothing. It promises just that, and that bodies sealed here all have the length their caller
//! chose. It refuses to know what a grant or an access is.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::aead::{AeadKey, NONCE_LEN, TAG_LEN};
use crate::digest::{Digest, len_prefix, sha256};
use crate::error::{CryptoError, OpenFailed};
use crate::kdf;
use crate::namespaces;
use crate::secret::Secret;

/// The last index of a chain. Index 0 is the anchor, which is never a tag.
pub const CHAIN_LEN_MAX: u16 = 1024;
/// Bytes by which a sealed body is longer than its padded plaintext: random bytes, length, tag.
pub const BODY_OVERHEAD: usize = BODY_RANDOM_LEN + BODY_LENGTH_LEN + TAG_LEN;

const BODY_RANDOM_LEN: usize = 32;
const BODY_LENGTH_LEN: usize = 2;

/// What a chain grows from. Whoever holds it knows every link.
pub struct ChainSeed(Secret<32>);

impl ChainSeed {
    /// Takes a seed that its owner kept.
    pub const fn new(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// Draws a fresh seed.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The seed, to be kept by its owner or given, sealed, to the one who shall use the chain.
    pub fn to_secret(&self) -> Secret<32> {
        Secret::from_bytes(*self.0.expose())
    }

    /// The link x_i, at a cost of 1024 - i hashes. An index above [`CHAIN_LEN_MAX`] is a mistake of
    /// the caller's; it yields the last link, whose tag the ledger takes only once.
    pub fn link(&self, index: u16) -> Link {
        debug_assert!(index <= CHAIN_LEN_MAX, "a chain has no link beyond its last");
        self.top().back(CHAIN_LEN_MAX.saturating_sub(index))
    }

    /// x_0, by which others know the chain.
    pub fn anchor(&self) -> ChainAnchor {
        ChainAnchor(Digest::from_bytes(*self.link(0).0.expose()))
    }

    /// All tags, of x_1 to x_1024 in this order, at the price of 2048 hashes.
    pub fn tags(&self) -> Vec<ChainTag> {
        self.tags_to(CHAIN_LEN_MAX)
    }

    /// The tags of x_1 to x_`last` in this order, at the price of 1024 + `last` hashes. Asking for
    /// each by itself costs a walk down the chain every time.
    pub fn tags_to(&self, last: u16) -> Vec<ChainTag> {
        if last == 0 {
            return Vec::new();
        }
        let link = self.link(last);
        let mut tags = link.earlier_tags(last);
        tags.push(link.tag());
        tags
    }

    /// The seed of another chain that the holder of this one can always find again, such as a
    /// grant's lane. `parts` have a fixed layout or carry their own lengths.
    pub fn child(&self, label: &[u8], parts: &[&[u8]]) -> Self {
        let len = len_prefix(label);
        let mut info: Vec<&[u8]> = vec![&len, label];
        info.extend_from_slice(parts);
        Self(kdf::derive(namespaces::CHAIN_CHILD, &self.0, &[], &info))
    }

    /// The key of the body that stands at `index`. Not even x_i gives it: it is handed over for one
    /// body at a time.
    pub fn body_key(&self, index: u16) -> Secret<32> {
        kdf::derive(namespaces::CHAIN_BODY, &self.0, &[], &[&index.to_be_bytes()])
    }

    fn top(&self) -> Link {
        Link(kdf::derive(namespaces::CHAIN_TOP, &self.0, &[], &[]))
    }
}

impl fmt::Debug for ChainSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainSeed([REDACTED])")
    }
}

/// One preimage x_i: shown to custodians, kept from everybody else.
#[derive(PartialEq, Eq)]
pub struct Link(Secret<32>);

impl Link {
    /// Takes a link that was shown inside a seal.
    pub const fn from_secret(link: Secret<32>) -> Self {
        Self(link)
    }

    /// The link, to be sealed to a custodian or a grantee.
    pub fn to_secret(&self) -> Secret<32> {
        Secret::from_bytes(*self.0.expose())
    }

    /// The link that stands `steps` earlier, at a cost of `steps` hashes.
    pub fn back(&self, steps: u16) -> Self {
        let mut link = self.to_secret();
        for _ in 0..steps {
            step(&mut link);
        }
        Self(link)
    }

    /// What stands for this link in a commitment, which so could not be made before the link was known. Whoever is
    /// told it can check the commitment, and learns neither the link nor one before it.
    pub fn mark(&self) -> Digest {
        sha256(namespaces::CHAIN_MARK, &[self.0.expose()])
    }

    /// What the ledger shows for this link.
    pub fn tag(&self) -> ChainTag {
        ChainTag(sha256(namespaces::TAG, &[self.0.expose()]))
    }

    /// The tags of x_1 to x_(index-1), given that this link is x_index: what must all be present for
    /// a chain to have no hole before this link. Indices above [`CHAIN_LEN_MAX`] count as that.
    pub fn earlier_tags(&self, index: u16) -> Vec<ChainTag> {
        let mut link = Self(self.to_secret());
        let earlier = index.min(CHAIN_LEN_MAX).saturating_sub(1);
        let mut tags = Vec::with_capacity(earlier.into());
        for _ in 0..earlier {
            step(&mut link.0);
            tags.push(link.tag());
        }
        tags.reverse();
        tags
    }

    /// The key of a body that whoever is shown this link may open, such as an access intent.
    pub fn body_key(&self) -> Secret<32> {
        kdf::derive(namespaces::LINK_BODY, &self.0, &[], &[])
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link([REDACTED])")
    }
}

/// x_0 of a chain: names the chain to those who are told it, and is never on the ledger in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ChainAnchor(Digest);

impl ChainAnchor {
    /// Takes an anchor that somebody was told.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// The ledger's key for one link. Two of one chain cannot be linked without the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ChainTag(Digest);

impl ChainTag {
    /// Takes a tag read from the ledger.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// Whether `link` is x_`index` of the chain of `anchor`. Index 0, and any beyond
/// [`CHAIN_LEN_MAX`], never is.
pub fn anchored(link: &Link, index: u16, anchor: &ChainAnchor) -> bool {
    (1..=CHAIN_LEN_MAX).contains(&index) && link.back(index).0.expose() == anchor.as_bytes()
}

/// Seals `plaintext`, padded with zeros to `padded_len` bytes: 32 random bytes ‖ AES-256-GCM of u16
/// little-endian length ‖ plaintext ‖ zeros. Always [`BODY_OVERHEAD`] longer than `padded_len`. The
/// AES key is derived from `key` and the random bytes, so that it seals this body only.
///
/// # Errors
/// [`CryptoError::TooLong`] if the plaintext does not fit `padded_len`, or 65,535 bytes.
pub fn seal_body(
    key: &Secret<32>,
    padded_len: usize,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, CryptoError> {
    let limit = padded_len.min(u16::MAX.into());
    let too_long = CryptoError::TooLong { limit, found: plaintext.len() };
    let len = u16::try_from(plaintext.len()).map_err(|_| too_long)?;
    let padding = padded_len.checked_sub(plaintext.len()).ok_or(too_long)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(padded_len.saturating_add(BODY_LENGTH_LEN)));
    padded.extend_from_slice(&len.to_le_bytes());
    padded.extend_from_slice(plaintext);
    padded.extend(core::iter::repeat_n(0, padding));

    let mut random = [0; BODY_RANDOM_LEN];
    rng.fill_bytes(&mut random);
    let mut sealed = vec![0; padded_len.saturating_add(BODY_OVERHEAD)];
    if let Some((front, out)) = sealed.split_first_chunk_mut::<BODY_RANDOM_LEN>() {
        *front = random;
        body_cipher(key, &random).seal_into([0; NONCE_LEN], &[], &padded, out);
    }
    Ok(sealed)
}

/// Opens what [`seal_body`] made.
///
/// # Errors
/// [`OpenFailed`] if it was altered, is under another key, or its padding is not zeros.
pub fn open_body(key: &Secret<32>, sealed: &[u8]) -> Result<Vec<u8>, OpenFailed> {
    let (random, sealed) = sealed.split_first_chunk::<BODY_RANDOM_LEN>().ok_or(OpenFailed)?;
    let padded_len = sealed.len().checked_sub(TAG_LEN).ok_or(OpenFailed)?;
    let mut padded = Zeroizing::new(vec![0; padded_len]);
    body_cipher(key, random).open_into([0; NONCE_LEN], &[], sealed, &mut padded)?;
    let (len, rest) = padded.split_first_chunk::<BODY_LENGTH_LEN>().ok_or(OpenFailed)?;
    let len = usize::from(u16::from_le_bytes(*len));
    let (plaintext, padding) = rest.split_at_checked(len).ok_or(OpenFailed)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(OpenFailed);
    }
    Ok(plaintext.to_vec())
}

fn body_cipher(key: &Secret<32>, random: &[u8; BODY_RANDOM_LEN]) -> AeadKey {
    // The key is this body's alone, so the one fixed nonce is used once.
    AeadKey::new(kdf::derive(namespaces::BODY, key, random, &[]))
}

/// Replaces x_i by x_(i-1).
fn step(link: &mut Secret<32>) {
    let before = sha256(namespaces::CHAIN, &[link.expose()]);
    let mut bytes = *before.as_bytes();
    *link.expose_mut() = bytes;
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn seed() -> ChainSeed {
        ChainSeed::new(Secret::from_bytes([6; 32]))
    }

    fn key() -> Secret<32> {
        Secret::from_bytes([8; 32])
    }

    #[test]
    fn each_link_hashes_to_the_one_before() {
        let mut link = seed().link(CHAIN_LEN_MAX);
        for index in (0..CHAIN_LEN_MAX).rev().take(40) {
            let before = sha256(namespaces::CHAIN, &[link.0.expose()]);
            link = Link(Secret::from_bytes(*before.as_bytes()));
            assert_eq!(link, seed().link(index));
        }
        assert_eq!(seed().link(0).0.expose(), seed().anchor().as_bytes());
        assert_ne!(seed().link(1).tag().as_bytes(), seed().anchor().as_bytes());
    }

    #[test]
    fn a_link_is_anchored_at_its_index_only() {
        let anchor = seed().anchor();
        for index in [1, 2, 17, CHAIN_LEN_MAX] {
            let link = seed().link(index);
            assert!(anchored(&link, index, &anchor));
            assert!(!anchored(&link, index - 1, &anchor));
            assert!(!anchored(&link, index + 1, &anchor));
            assert!(!anchored(&link, u16::MAX, &anchor));
            assert!(!anchored(&link, index, &seed().child(b"lane", &[]).anchor()));
        }
        assert!(!anchored(&seed().link(0), 0, &anchor));
    }

    #[test]
    fn tags_from_the_seed_and_from_a_link_agree() {
        assert_eq!(seed().tags_to(0), []);
        assert_eq!(seed().tags_to(33), seed().tags()[..33]);
        let tags = seed().tags();
        assert_eq!(tags.len(), usize::from(CHAIN_LEN_MAX));
        for index in [1, 2, 300, CHAIN_LEN_MAX] {
            let link = seed().link(index);
            let place = usize::from(index) - 1;
            assert_eq!(link.tag(), tags[place]);
            assert_eq!(link.earlier_tags(index), tags[..place]);
        }
        assert!(seed().link(1).earlier_tags(0).is_empty());
    }

    #[test]
    fn derived_secrets_differ() {
        let (seed, link) = (seed(), seed().link(1));
        let all = [
            seed.to_secret(),
            seed.child(b"lane", &[b"1"]).to_secret(),
            seed.child(b"lane", &[b"2"]).to_secret(),
            seed.child(b"lane1", &[]).to_secret(),
            seed.body_key(1),
            seed.body_key(2),
            link.body_key(),
            seed.link(2).body_key(),
            link.to_secret(),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b), "{i}");
        }
    }

    #[test]
    fn a_body_of_any_length_looks_the_same() {
        let mut rng = StdRng::seed_from_u64(2);
        for len in 0..=20 {
            let body = seal_body(&key(), 20, &vec![9; len], &mut rng).unwrap();
            assert_eq!(body.len(), 20 + BODY_OVERHEAD);
            assert_eq!(open_body(&key(), &body), Ok(vec![9; len]));
        }
        let long = seal_body(&key(), 20, &[9; 21], &mut rng);
        assert_eq!(long, Err(CryptoError::TooLong { limit: 20, found: 21 }));
        let longest = seal_body(&key(), 70_000, &[9; 65_536], &mut rng);
        assert_eq!(longest, Err(CryptoError::TooLong { limit: 65_535, found: 65_536 }));
    }

    #[test]
    fn every_flipped_bit_of_a_body_is_refused() {
        let mut rng = StdRng::seed_from_u64(2);
        let body = seal_body(&key(), 8, b"grant", &mut rng).unwrap();
        for bit in 0..body.len() * 8 {
            let mut bad = body.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_body(&key(), &bad), Err(OpenFailed));
        }
        for len in 0..body.len() {
            assert_eq!(open_body(&key(), &body[..len]), Err(OpenFailed));
        }
        assert_eq!(open_body(&Secret::from_bytes([9; 32]), &body), Err(OpenFailed));
    }

    #[test]
    fn a_body_with_dirty_padding_or_length_is_refused() {
        for padded in [&[1, 0, 9, 1][..], &[3, 0, 9, 9], &[0xff, 0xff, 9, 9], &[1], &[]] {
            let mut body = vec![5; BODY_RANDOM_LEN];
            let mut sealed = vec![0; padded.len() + TAG_LEN];
            body_cipher(&key(), &[5; 32]).seal_into([0; NONCE_LEN], &[], padded, &mut sealed);
            body.extend_from_slice(&sealed);
            assert_eq!(open_body(&key(), &body), Err(OpenFailed));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?} {:?}", seed(), seed().link(1)), "ChainSeed([REDACTED]) Link([REDACTED])");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn back_steps_add_up(index in 0_u16..=CHAIN_LEN_MAX, part: u16) {
            let steps = part % (index + 1);
            prop_assert_eq!(seed().link(index).back(steps), seed().link(index - steps));
        }
    }
}
