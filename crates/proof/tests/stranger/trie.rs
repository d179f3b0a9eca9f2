//! Our trie, the generator's and nomt's own, held equal.

use crate::consortium::{Consortium, leaves};
use crate::oracle::{self, Leaves, Node};
use nomt_core::hasher::Sha2Hasher;
use nomt_core::proof::{PathProof, PathProofTerminal};
use nomt_core::trie::LeafData;
use nomt_core::trie_pos::TriePosition;
use nomt_core::update::build_trie;
use proptest::prelude::*;
use salus_crypto::Digest;
use salus_proof::{Proven, state, trie};
use salus_wire::{BatchNumber, PartyId, StateKey, StateValue, Terminal};
use std::collections::BTreeMap;

/// Paths that agree on their first bits far more often than hashes do.
fn any_path() -> impl Strategy<Value = Node> {
    (0..4_u8, 0..32_usize, any::<u8>()).prop_map(|(first, at, byte)| {
        let mut path = [0; 32];
        path[0] = first << 6;
        path[at] ^= byte;
        path
    })
}

fn any_leaves() -> impl Strategy<Value = Leaves> {
    proptest::collection::btree_map(any_path(), any::<Node>(), 0..24)
}

/// The verdict of nomt's own verifier: whether the key is there with this value, or absent.
fn nomt_says(root: Node, path: &Node, proof: &oracle::Proof) -> Option<bool> {
    let whole = TriePosition::from_path_and_depth(*path, 256);
    let terminal = match proof.terminal {
        Some((key_path, value_hash)) => PathProofTerminal::Leaf(LeafData { key_path, value_hash }),
        None => PathProofTerminal::Terminator(whole.clone()),
    };
    let nomt = PathProof { terminal, siblings: proof.siblings.clone() }
        .verify::<Sha2Hasher>(whole.path(), root)
        .ok()?;
    Some(!nomt.confirm_nonexistence(path).ok()?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn three_tries_agree(leaves in any_leaves(), stranger in any_path()) {
        let root = oracle::node(&leaves, 0);
        let nomt = build_trie::<Sha2Hasher>(0, leaves.iter().map(|(path, value)| (*path, *value)), |_| ());
        prop_assert_eq!(root, nomt);
        for path in leaves.keys().chain([&stranger]) {
            let proof = oracle::prove(&leaves, path);
            prop_assert_eq!(nomt_says(root, path, &proof), Some(leaves.contains_key(path)));
            let terminal = proof.terminal.map_or(Terminal::Empty, |(path, value)| Terminal::Leaf {
                path: Digest::from_bytes(path),
                value: Digest::from_bytes(value),
            });
            let siblings: Vec<Digest> = proof.siblings.into_iter().map(Digest::from_bytes).collect();
            let ours = trie::root(&Digest::from_bytes(*path), &terminal, &siblings);
            prop_assert_eq!(ours, Some(Digest::from_bytes(root)));
        }
    }

    #[test]
    fn what_is_there_is_present_and_the_rest_absent(batches in proptest::collection::btree_set(0..64_u64, 0..40)) {
        let key = |batch| StateKey::Anchor(PartyId::new([1; 16]), BatchNumber::new(batch));
        let entries: BTreeMap<StateKey, StateValue> =
            batches.iter().map(|batch| (key(*batch), crate::states::anchor(Digest::ZERO, *batch))).collect();
        let consortium = Consortium::of(1);
        let keys: Vec<StateKey> = (0..64).map(key).collect();
        let proven = state::verify(&consortium.policy, &consortium.proof(&entries, &keys, 0)).expect("it holds");
        for key in &keys {
            prop_assert_eq!(proven.get(key), entries.get(key).map_or(Proven::Absent, Proven::Present));
        }
        prop_assert_eq!(proven.header().header().state.as_bytes(), &oracle::node(&leaves(&entries), 0));
    }
}

#[test]
fn a_path_has_no_more_than_256_siblings() {
    let path = Digest::from_bytes([3; 32]);
    let siblings = vec![Digest::ZERO; 257];
    assert!(trie::root(&path, &Terminal::Empty, &siblings[..256]).is_some());
    assert_eq!(trie::root(&path, &Terminal::Empty, &siblings), None);
    assert!(trie::share_bits(&path, &path, 256) && !trie::share_bits(&path, &path, 257));
}
