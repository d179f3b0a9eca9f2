//! The two trees against each other, and the proofs against nomt's own verifier.

use super::*;
use proptest::prelude::*;
use salus_wire::state::{AnchorRecord, Tip};
use salus_wire::{BatchNumber, Height, PartyId, Terminal, TimeMs, encode};

fn key(n: u8) -> StateKey {
    StateKey::Anchor(PartyId::new([n % 3; 16]), BatchNumber::new(u64::from(n)))
}

fn value(n: u8) -> StateValue {
    let since = Tip { height: Height::new(u64::from(n)), time: TimeMs::new(7) };
    StateValue::Anchor(AnchorRecord { root: Digest::from_bytes([n; 32]), since })
}

/// One block's changes, as a list of small numbers: key and value by number, last write wins.
fn changes(block: &[(u8, u8)]) -> Vec<(StateKey, StateValue)> {
    let mut last = std::collections::BTreeMap::new();
    last.extend(block.iter().map(|(k, v)| (key(*k), value(*v))));
    last.into_iter().collect()
}

/// Checks a proof with the hash rules alone: the terminal folded with the siblings gives the root.
fn holds(root: Digest, item: &ProvenItem) -> bool {
    use nomt_core::hasher::{NodeHasher, Sha2Hasher, ValueHasher};
    use nomt_core::trie::{InternalData, LeafData, TERMINATOR};
    let path = item.key.path();
    let mut node = match item.terminal {
        Terminal::Empty => TERMINATOR,
        Terminal::Leaf { path, value } => {
            Sha2Hasher::hash_leaf(&LeafData { key_path: *path.as_bytes(), value_hash: *value.as_bytes() })
        }
    };
    for (depth, sibling) in item.siblings.iter().enumerate().rev() {
        let right = path.as_bytes()[depth / 8] >> (7 - depth % 8) & 1 == 1;
        let sibling = *sibling.as_bytes();
        let (left, right) = if right { (sibling, node) } else { (node, sibling) };
        node = Sha2Hasher::hash_internal(&InternalData { left, right });
    }
    let meant = match (&item.value, item.terminal) {
        (Some(present), Terminal::Leaf { path: at, value }) => {
            at == path && *value.as_bytes() == Sha2Hasher::hash_value(&encode(present))
        }
        (Some(_), Terminal::Empty) => false,
        (None, Terminal::Leaf { path: at, .. }) => at != path,
        (None, Terminal::Empty) => true,
    };
    meant && Digest::from_bytes(node) == root
}

#[test]
fn an_empty_tree_proves_absence() {
    let tree = MemoryTree::default();
    assert_eq!(tree.root(), Digest::ZERO);
    assert!(tree.prove(&[], &[key(1)]).unwrap().iter().all(|item| holds(tree.root(), item)));
}

#[test]
fn the_root_does_not_depend_on_the_order_of_writing() {
    let blocks: Vec<(u8, u8)> = (0..40).map(|n| (n, n)).collect();
    let tree = MemoryTree::default();
    let (together, _) = tree.extend(&[], &changes(&blocks)).unwrap();
    let mut one_by_one = MemoryTree::default();
    for entry in blocks.iter().rev() {
        let (root, _) = one_by_one.extend(&[], &changes(&[*entry])).unwrap();
        one_by_one.write(&changes(&[*entry]), &root).unwrap();
    }
    assert_eq!(one_by_one.root(), together);
}

#[test]
fn changes_that_do_not_give_their_root_are_not_written() {
    let mut tree = MemoryTree::default();
    let result = tree.write(&changes(&[(1, 1)]), &Digest::ZERO);
    assert!(matches!(result, Err(StateError::OtherRoot)));
    assert_eq!(tree.root(), Digest::ZERO);
}

#[test]
fn the_tree_on_disk_keeps_its_content_while_it_gives_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = DiskTree::open(&dir.path().join("state")).unwrap();
    let mut memory = MemoryTree::default();
    for n in 0..20 {
        // A branch that is still held must not keep the database open.
        let (root, branch) = disk.extend(&[], &changes(&[(n, n)])).unwrap();
        memory.write(&changes(&[(n, n)]), &root).unwrap();
        disk.entries_written = disk::ENTRIES_PER_OPENING;
        disk.write(&changes(&[(n, n)]), &root).unwrap();
        assert_eq!(disk.entries_written, 0);
        drop(branch);
    }
    let keys: Vec<StateKey> = (0..30).map(key).collect();
    assert_eq!(disk.prove(&[], &keys).unwrap(), memory.prove(&[], &keys).unwrap());
}

#[test]
fn the_table_on_disk_grows_before_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = DiskTree::open_with(&dir.path().join("state"), 128).unwrap();
    let mut memory = MemoryTree::default();
    for group in 0..12_u16 {
        let entries = (0..256).map(|n| StateKey::Member(salus_wire::MemberIndex::new(group * 256 + n)));
        let entries: Vec<_> = entries.map(|key| (key, value(1))).collect();
        let (root, _) = memory.extend(&[], &entries).unwrap();
        memory.write(&entries, &root).unwrap();
        disk.entries_written = disk::ENTRIES_PER_OPENING;
        disk.write(&entries, &root).unwrap();
    }
    let size = std::fs::metadata(dir.path().join("state/ht")).unwrap().len();
    assert!(size > 128 * 4_096 * 3 / 2, "{size}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Blocks committed, then a lineage of three branches above them: the trees agree everywhere.
    #[test]
    fn disk_and_memory_agree(
        committed in prop::collection::vec(prop::collection::vec((0u8..60, any::<u8>()), 0..12), 1..6),
        pending in prop::collection::vec(prop::collection::vec((0u8..60, any::<u8>()), 0..12), 3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = DiskTree::open(&dir.path().join("state")).unwrap();
        let mut memory = MemoryTree::default();
        for block in &committed {
            let (root, _) = memory.extend(&[], &changes(block)).unwrap();
            disk.write(&changes(block), &root).unwrap();
            memory.write(&changes(block), &root).unwrap();
        }
        let keys: Vec<StateKey> = (0..60).map(key).collect();
        let (proven, expected) = (disk.prove(&[], &keys).unwrap(), memory.prove(&[], &keys).unwrap());
        prop_assert_eq!(&proven, &expected);
        prop_assert!(proven.iter().all(|item| holds(disk.root(), item)));

        let (mut on_disk, mut in_memory) = (Vec::new(), Vec::new());
        for block in &pending {
            let lineage: Vec<_> = on_disk.iter().rev().collect();
            let (disk_root, branch) = disk.extend(&lineage, &changes(block)).unwrap();
            drop(lineage);
            on_disk.push(branch);
            let lineage: Vec<_> = in_memory.iter().rev().collect();
            let (root, branch) = memory.extend(&lineage, &changes(block)).unwrap();
            drop(lineage);
            in_memory.push(branch);
            prop_assert_eq!(disk_root, root);
            let lineages = (on_disk.iter().rev().collect::<Vec<_>>(), in_memory.iter().rev().collect::<Vec<_>>());
            prop_assert_eq!(disk.read(&lineages.0, &keys).unwrap(), memory.read(&lineages.1, &keys).unwrap());
            let proven = disk.prove(&lineages.0, &keys).unwrap();
            prop_assert_eq!(&proven, &memory.prove(&lineages.1, &keys).unwrap());
            prop_assert!(proven.iter().all(|item| holds(root, item)));
        }
        let all: Vec<(u8, u8)> = pending.concat();
        let (root, _) = memory.extend(&[], &changes(&all)).unwrap();
        disk.write(&changes(&all), &root).unwrap();
        let root = disk.root();
        drop(disk);
        let reopened = DiskTree::open(&dir.path().join("state")).unwrap();
        prop_assert_eq!(reopened.root(), root);
    }
}
