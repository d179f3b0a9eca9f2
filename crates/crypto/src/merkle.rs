//! The room of Merkle trees: RFC 9162 section 2.1 over SHA-256, with 32-byte leaves.
//!
//! The RFC takes the count of leaves from a signed tree head. Here a root stands alone, so it is the
//! hash of the count and the RFC's root: without that, one path proves a leaf among five, six, seven
//! and eight, and whoever holds a proof may change what it says of the count.
//!
//! It promises the RFC's trees and paths under such roots, and a verifier that refuses every other
//! index and count, and paths too long, too short or into an empty tree. It refuses to know what a leaf means;
//! a leaf that must not be guessed arrives already salted.

use crate::digest::{Digest, sha256_raw};

/// Longest path accepted: trees of up to 2^32 leaves.
pub const MERKLE_PATH_MAX: usize = 32;

/// The root over `leaves`, in O(n): SHA-256(02 ‖ count as u64, big-endian ‖ the RFC's tree hash). The
/// RFC's tree hash of no leaves is the hash of no bytes.
pub fn root(leaves: &[Digest]) -> Digest {
    // No list in memory has more than 2^64 leaves, so the fallback is never taken.
    let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    counted(count, &tree_hash(leaves))
}

/// The inclusion path of the leaf at `index` (RFC 9162 section 2.1.3.1), lowest sibling first.
/// `None` when there is no such leaf.
pub fn path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::with_capacity(MERKLE_PATH_MAX);
    let mut level = leaf_hashes(leaves);
    let mut position = index;
    while level.len() > 1 {
        path.extend(level.get(position ^ 1));
        level = parents(&level);
        position >>= 1;
    }
    Some(path)
}

/// The inclusion paths of all leaves, in O(n log n): the same as [`path`] of each.
pub fn paths(leaves: &[Digest]) -> Vec<Vec<Digest>> {
    let mut paths = vec![Vec::new(); leaves.len()];
    let mut level = leaf_hashes(leaves);
    let mut height = 0_u32;
    while level.len() > 1 {
        for (index, path) in paths.iter_mut().enumerate() {
            path.extend(level.get((index >> height) ^ 1));
        }
        level = parents(&level);
        height = height.saturating_add(1);
    }
    paths
}

/// Whether `path` proves that `leaf` stands at `index` among the `count` leaves under `root`
/// (RFC 9162 section 2.1.3.2). Any doubt is `false`.
pub fn verify(root: &Digest, leaf: &Digest, index: u64, count: u64, path: &[Digest]) -> bool {
    // Step 1; it also refuses the empty tree, where no index is below the count.
    if index >= count || path.len() > MERKLE_PATH_MAX {
        return false;
    }
    // Steps 2 and 3: `position` is the RFC's fn, `last` its sn.
    let (mut position, mut last) = (index, count.saturating_sub(1));
    let mut hash = leaf_hash(leaf);
    // Step 4.
    for sibling in path {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // A right edge that was promoted: skip the levels where it had no sibling. `position`
            // equals `last` and is not zero here, so some bit is set and the loop ends.
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    // Step 5, with the count bound into the root.
    last == 0 && counted(count, &hash) == *root
}

/// MTH of RFC 9162 section 2.1.1.
fn tree_hash(leaves: &[Digest]) -> Digest {
    let mut level = leaf_hashes(leaves);
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or_else(|| sha256_raw(&[]))
}

/// A root: the count and the tree hash, told from leaves (00) and nodes (01) by its first byte.
fn counted(count: u64, tree_hash: &Digest) -> Digest {
    sha256_raw(&[&[0x02], &count.to_be_bytes(), tree_hash.as_bytes()])
}

fn leaf_hashes(leaves: &[Digest]) -> Vec<Digest> {
    leaves.iter().map(leaf_hash).collect()
}

/// One level up. A last node without a sibling is promoted unchanged, which is the RFC's split at
/// the largest power of two, seen from below.
fn parents(level: &[Digest]) -> Vec<Digest> {
    let (pairs, odd) = level.as_chunks::<2>();
    pairs.iter().map(|[left, right]| node_hash(left, right)).chain(odd.iter().copied()).collect()
}

fn leaf_hash(leaf: &Digest) -> Digest {
    sha256_raw(&[&[0x00], leaf.as_bytes()])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256_raw(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::fragment_hash;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|i| fragment_hash(&i.to_be_bytes())).collect()
    }

    fn wide(n: usize) -> u64 {
        u64::try_from(n).unwrap()
    }

    /// The recursive definition of RFC 9162 section 2.1.1, written down literally.
    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => sha256_raw(&[]),
            [leaf] => sha256_raw(&[&[0], leaf.as_bytes()]),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                sha256_raw(&[&[1], mth(left).as_bytes(), mth(right).as_bytes()])
            }
        }
    }

    /// PATH(m, D_n) of RFC 9162 section 2.1.3.1, written down literally.
    fn path_of(m: usize, leaves: &[Digest]) -> Vec<Digest> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(k);
        let (mut path, top) =
            if m < k { (path_of(m, left), mth(right)) } else { (path_of(m - k, right), mth(left)) };
        path.push(top);
        path
    }

    #[test]
    fn empty_tree_is_the_hash_of_nothing() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tree_hash(&[]).to_string(), expected);
        assert_eq!(root(&[]), counted(0, &tree_hash(&[])));
        assert_eq!(path(&[], 0), None);
        assert!(!verify(&root(&[]), &Digest::ZERO, 0, 0, &[]));
    }

    #[test]
    fn every_shape_to_33_agrees_with_the_rfc() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(root, counted(wide(count), &mth(&leaves)), "root of {count}");
            let all = paths(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let expected = path_of(index, &leaves);
                assert_eq!(all[index], expected, "path {index} of {count}");
                assert_eq!(path(&leaves, index).as_ref(), Some(&expected));
                assert!(verify(&root, leaf, wide(index), wide(count), &expected));
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_path_is_refused() {
        let leaves = leaves(7);
        let root = root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let good = path(&leaves, index).unwrap();
            for step in 0..good.len() {
                for bit in 0..256 {
                    let mut bad = good.clone();
                    let mut bytes = *bad[step].as_bytes();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    bad[step] = Digest::from_bytes(bytes);
                    assert!(!verify(&root, leaf, wide(index), 7, &bad));
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_positions_and_counts_are_refused() {
        let leaves = leaves(6);
        let root = root(&leaves);
        let good = path(&leaves, 2).unwrap();
        assert!(!verify(&root, &leaves[2], 2, 6, &good[..2]));
        assert!(!verify(&root, &leaves[2], 2, 6, &[&good[..], &[root]].concat()));
        assert!(!verify(&root, &leaves[2], 6, 6, &good));
        assert!(!verify(&root, &leaves[2], u64::MAX, u64::MAX, &good));
        assert!(!verify(&root, &leaves[2], 2, 0, &[]));
        for index in [0, 1, 3, 4, 5] {
            assert!(!verify(&root, &leaves[2], index, 6, &good));
        }
        let long = vec![root; MERKLE_PATH_MAX + 1];
        assert!(!verify(&root, &leaves[2], 2, u64::MAX, &long));
    }

    #[test]
    fn every_other_index_and_count_is_refused() {
        for size in 1..=17_usize {
            let leaves = leaves(size);
            let (root, count) = (root(&leaves), wide(size));
            for (at, path) in paths(&leaves).iter().enumerate() {
                let index = wide(at);
                let claims = (0..36).flat_map(|count| (0..20).map(move |index| (index, count)));
                for claim in claims.filter(|claim| *claim != (index, count)) {
                    let found = verify(&root, &leaves[at], claim.0, claim.1, path);
                    assert!(!found, "{index} of {count} as {claim:?}");
                }
            }
        }
    }

    #[test]
    fn an_inner_node_is_not_a_leaf() {
        let leaves = leaves(4);
        let inner = parents(&leaf_hashes(&leaves));
        assert!(!verify(&root(&leaves), &inner[0], 0, 2, &inner[1..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn verify_accepts_only_its_own_leaf(count in 1_usize..300, a: usize, b: usize) {
            let leaves = leaves(count);
            let (a, b) = (a % count, b % count);
            let root = root(&leaves);
            let path = path(&leaves, a).unwrap();
            prop_assert_eq!(verify(&root, &leaves[b], wide(a), wide(count), &path), a == b);
        }
    }
}
