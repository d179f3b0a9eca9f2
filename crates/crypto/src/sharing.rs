//! The room of secret sharing: Shamir over GF(256) of a 32-byte key.
//!
//! It promises that fewer shares than the threshold say nothing about the key, that a share can be
//! held against a published hash (a bad one names its custodian), and the combined key against a
//! published commitment (a bad package names its writer). It refuses to check those itself: it
//! does not know who published what. The hashes are not Feldman commitments, on purpose: a discrete
//! logarithm would give the key to a quantum computer.
//!
//! Source: Shamir, "How to share a secret", 1979; the field and interpolation are those of
//! `vsss-rs`, in constant time.

use core::fmt;
use core::num::NonZeroU8;

use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use vsss_rs::Gf256;
use zeroize::Zeroize;

use crate::digest::{Digest, len_prefix, sha256};
use crate::error::CryptoError;
use crate::namespaces;
use crate::secret::Secret;

/// How many shares open the secret: 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Threshold(NonZeroU8);

impl Threshold {
    /// A threshold; `None` for 0 or above 255.
    pub fn new(shares: u16) -> Option<Self> {
        u8::try_from(shares).ok().and_then(NonZeroU8::new).map(Self)
    }

    /// 2f + 1: f liars and f more who leak are still too few. `None` when that is above 255.
    pub fn for_faults(faults: u16) -> Option<Self> {
        Self::new(faults.checked_mul(2)?.checked_add(1)?)
    }

    /// The number of shares.
    pub fn get(self) -> u16 {
        u16::from(self.0.get())
    }
}

/// Which share: 1 to 255, because the value at 0 is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ShareIndex(NonZeroU8);

impl ShareIndex {
    /// An index; `None` for 0 or above 255.
    pub fn new(index: u16) -> Option<Self> {
        u8::try_from(index).ok().and_then(NonZeroU8::new).map(Self)
    }

    /// The index as a number.
    pub fn get(self) -> u16 {
        u16::from(self.0.get())
    }
}

/// One custodian's share. It leaves this crate only in parts, to be sealed.
#[derive(PartialEq, Eq)]
pub struct Share {
    index: ShareIndex,
    value: Secret<32>,
}

impl Share {
    /// Puts a share together out of an opened seal.
    pub fn from_parts(index: ShareIndex, value: Secret<32>) -> Self {
        Self { index, value }
    }

    /// Takes a share apart, to be sealed to its custodian and for nothing else.
    pub fn into_parts(self) -> (ShareIndex, Secret<32>) {
        (self.index, self.value)
    }

    /// Which share it is.
    pub fn index(&self) -> ShareIndex {
        self.index
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, [REDACTED])", self.index.get())
    }
}

/// Splits `secret` into `count` shares with the indices 1 to `count`, of which `threshold` open it.
/// With a threshold of 1 each share is the secret itself, as it must be.
///
/// # Errors
/// [`CryptoError::BadShareCount`] if `count` is below the threshold or above 255.
pub fn split(
    secret: &Secret<32>,
    threshold: Threshold,
    count: u16,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Share>, CryptoError> {
    let bad_count = CryptoError::BadShareCount { count, threshold: threshold.get() };
    if count < threshold.get() || count > u16::from(u8::MAX) {
        return Err(bad_count);
    }
    if threshold.get() == 1 {
        return Ok((1..=count).filter_map(ShareIndex::new).map(|index| whole(secret, index)).collect());
    }
    let rows = Gf256::split_bytes(threshold.get().into(), count.into(), secret.expose(), rng)
        .map_err(|_| bad_count)?;
    rows.into_iter().map(|row| read_row(row).ok_or(bad_count)).collect()
}

/// Combines the first `threshold` of `shares` into the secret. It is the right one only if those
/// shares are; check each with [`share_hash`] before, and the result with [`key_commitment`].
///
/// # Errors
/// [`CryptoError::NotEnoughShares`] below the threshold; [`CryptoError::DuplicateShare`] if any two
/// of the shares have one index.
pub fn combine(threshold: Threshold, shares: &[Share]) -> Result<Secret<32>, CryptoError> {
    let not_enough = CryptoError::NotEnoughShares { found: shares.len(), threshold: threshold.get() };
    let used = shares.get(..threshold.get().into()).ok_or(not_enough)?;
    let distinct: std::collections::BTreeSet<_> = shares.iter().map(Share::index).collect();
    if distinct.len() != shares.len() {
        return Err(CryptoError::DuplicateShare);
    }
    if let [only] = used {
        return Ok(Secret::from_bytes(*only.value.expose()));
    }
    let mut rows: Vec<Vec<u8>> = used.iter().map(write_row).collect();
    let combined = Gf256::combine_bytes(&rows);
    rows.zeroize();
    let mut combined = combined.map_err(|_| not_enough)?;
    let secret = Secret::from_slice(&combined);
    combined.zeroize();
    secret
}

/// The hash by which a share package names each share. `context` is the epoch's id, so that a share
/// of one epoch is none of another. It hides the share, which is as random as a key.
pub fn share_hash(context: &[u8], share: &Share) -> Digest {
    let index = [share.index.0.get()];
    let parts = [&len_prefix(context), context, &index, share.value.expose()];
    sha256(namespaces::SHARE, &parts)
}

/// The commitment to a key by which a share package, or a manifest, binds its writer. It hides the
/// key, which must be uniformly random.
pub fn key_commitment(context: &[u8], key: &Secret<32>) -> Digest {
    sha256(namespaces::KEY_COMMITMENT, &[&len_prefix(context), context, key.expose()])
}

fn whole(secret: &Secret<32>, index: ShareIndex) -> Share {
    Share { index, value: Secret::from_bytes(*secret.expose()) }
}

/// The library's form of a share: the index, then the value.
fn write_row(share: &Share) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    row.push(share.index.0.get());
    row.extend_from_slice(share.value.expose());
    row
}

fn read_row(mut row: Vec<u8>) -> Option<Share> {
    let share = row.split_first().and_then(|(index, value)| {
        let value = Secret::from_slice(value).ok()?;
        Some(Share { index: ShareIndex(NonZeroU8::new(*index)?), value })
    });
    row.zeroize();
    share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn secret() -> Secret<32> {
        Secret::random(&mut StdRng::seed_from_u64(3))
    }

    fn shares(threshold: u16, count: u16) -> Vec<Share> {
        let threshold = Threshold::new(threshold).unwrap();
        split(&secret(), threshold, count, &mut StdRng::seed_from_u64(4)).unwrap()
    }

    fn copy(share: &Share) -> Share {
        Share { index: share.index, value: Secret::from_bytes(*share.value.expose()) }
    }

    #[test]
    fn thresholds_follow_from_faults() {
        let check =
            |faults, expected| assert_eq!(Threshold::for_faults(faults).map(Threshold::get), expected);
        check(0, Some(1));
        check(1, Some(3));
        check(21, Some(43));
        check(127, Some(255));
        check(128, None);
        check(u16::MAX, None);
        assert_eq!(ShareIndex::new(0), None);
        assert_eq!(ShareIndex::new(256), None);
    }

    #[test]
    fn indices_run_from_one() {
        for (threshold, count) in [(1, 1), (1, 3), (3, 4), (5, 7), (255, 255)] {
            let indices: Vec<_> = shares(threshold, count).iter().map(|s| s.index().get()).collect();
            assert_eq!(indices, (1..=count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_three_of_five_open_and_no_two_do() {
        let all = shares(3, 5);
        let three = Threshold::new(3).unwrap();
        for mask in 0..32_u32 {
            let some: Vec<_> = (0..5).filter(|i| mask >> i & 1 == 1).map(|i: usize| copy(&all[i])).collect();
            let combined = combine(three, &some);
            if some.len() >= 3 {
                assert_eq!(combined.unwrap(), secret());
            } else {
                let threshold = 3;
                assert_eq!(combined, Err(CryptoError::NotEnoughShares { found: some.len(), threshold }));
            }
        }
    }

    #[test]
    fn two_shares_of_three_interpolate_to_something_else() {
        let all = shares(3, 5);
        let two = Threshold::new(2).unwrap();
        for (a, b) in [(0, 1), (0, 4), (2, 3)] {
            assert_ne!(combine(two, &[copy(&all[a]), copy(&all[b])]).unwrap(), secret());
        }
        assert!(all.iter().all(|share| share.value != secret()));
    }

    #[test]
    fn a_share_counts_once() {
        let all = shares(3, 4);
        let three = Threshold::new(3).unwrap();
        let twice = [copy(&all[0]), copy(&all[1]), copy(&all[0])];
        assert_eq!(combine(three, &twice), Err(CryptoError::DuplicateShare));
        let also_beyond = [copy(&all[0]), copy(&all[1]), copy(&all[2]), copy(&all[2])];
        assert_eq!(combine(three, &also_beyond), Err(CryptoError::DuplicateShare));
    }

    #[test]
    fn counts_out_of_range_are_refused() {
        let three = Threshold::new(3).unwrap();
        for count in [0, 2, 256, u16::MAX] {
            let refused = split(&secret(), three, count, &mut StdRng::seed_from_u64(4));
            assert_eq!(refused, Err(CryptoError::BadShareCount { count, threshold: 3 }));
        }
    }

    #[test]
    fn hashes_bind_context_index_and_every_bit() {
        let share = &shares(3, 4)[0];
        let hash = share_hash(b"epoch", share);
        let other_index = Share { index: ShareIndex::new(2).unwrap(), ..copy(share) };
        assert_ne!(hash, share_hash(b"epoch", &other_index));
        assert_ne!(hash, share_hash(b"epocg", share));
        for bit in 0..256 {
            let mut value = *share.value.expose();
            value[bit / 8] ^= 1 << (bit % 8);
            let flipped = Share { index: share.index, value: Secret::from_bytes(value) };
            assert_ne!(hash, share_hash(b"epoch", &flipped));
        }
        assert_ne!(key_commitment(b"a", &secret()), key_commitment(b"b", &secret()));
        assert_ne!(key_commitment(b"a", &secret()), key_commitment(b"a", &share.value));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", shares(3, 4)[1]), "Share(2, [REDACTED])");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_threshold_of_any_order_opens(
            seed: u64, threshold in 1_u16..20, extra in 0_u16..20, rotate: usize,
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let secret = Secret::random(&mut rng);
            let threshold = Threshold::new(threshold).unwrap();
            let mut shares = split(&secret, threshold, threshold.get() + extra, &mut rng).unwrap();
            let count = shares.len();
            shares.rotate_left(rotate % count);
            prop_assert_eq!(combine(threshold, &shares).unwrap(), secret);
        }
    }
}
