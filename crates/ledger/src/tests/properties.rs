//! Properties of whole blocks, drawn from a small world so that collisions are common.

use super::*;
use crate::admit;
use proptest::prelude::*;
use proptest::sample::select;

/// Any transaction over three names, four registrars and three one-time keys.
fn any_tx() -> impl Strategy<Value = Tx> {
    let keys: Vec<u8> = vec![1, 2, 3, 10, 11, 12, 13];
    (0..10_u8, 1..4_u8, 0..5_u16, select(keys), any::<bool>()).prop_map(|(kind, n, member, by, flag)| {
        let party_kind = if flag { PartyKind::Gateway } else { PartyKind::Person };
        let body = match kind {
            0 => register(n, party_kind, member, 0, u64::MAX),
            1 => TxBody::RevokeIdentity { party: party(n) },
            2 => enrol(n, member),
            3 => TxBody::RevokeDevice { enrolment: digest(n) },
            4 => assign(n, member),
            5 => anchor(n, u64::from(member), if flag { &[0, 1, 2] } else { &[0, 1] }),
            6 => commit(n),
            7 => withdraw(n),
            8 => publish(member, u32::from(n)),
            _ => access(n),
        };
        signed(body, &key(by))
    })
}

fn any_block() -> impl Strategy<Value = Vec<Tx>> {
    proptest::collection::vec(any_tx(), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_has_one_effect(before in any_block(), block in any_block()) {
        let mut world = World::new();
        world.block(&before);
        let read = world.read(&block);
        let applied = apply(&read, world.moment, &block);
        prop_assert_eq!(applied.outcomes.len(), block.len());
        prop_assert!(applied.changes.is_sorted_by(|a, b| a.0 < b.0));
        prop_assert_eq!(&applied, &apply(&read, world.moment, &block));
    }

    #[test]
    fn a_block_split_in_two_has_the_same_outcomes(block in any_block(), cut in 0..24_usize) {
        let mut whole = World::new();
        let mut parts = World::new();
        let (first, second) = block.split_at(cut.min(block.len()));
        let mut outcomes = parts.block(first);
        outcomes.extend(parts.block(second));
        prop_assert_eq!(whole.block(&block), outcomes);
    }

    #[test]
    fn the_second_copy_of_a_block_does_nothing(block in any_block()) {
        let mut world = World::new();
        world.block(&block);
        // What was refused the first time may apply the second time (its signer may be known by
        // then), but nothing that applied may apply again; after as many rounds as there are
        // transactions nothing is left that could.
        for _ in 0..block.len() {
            world.block(&block);
        }
        let settled = world.clone();
        let outcomes = world.block(&block);
        prop_assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Applied));
        let without_tip = |world: &World| {
            let mut entries = world.entries.clone();
            entries.remove(&StateKey::Tip);
            entries
        };
        prop_assert_eq!(without_tip(&world), without_tip(&settled));
    }

    #[test]
    fn nothing_applies_twice(block in any_block()) {
        let mut world = World::new();
        let first = world.block(&block);
        let second = world.block(&block);
        for (a, b) in first.iter().zip(&second) {
            prop_assert!(*a != Outcome::Applied || *b != Outcome::Applied);
        }
    }

    #[test]
    fn admission_and_application_agree(before in any_block(), tx in any_tx()) {
        let mut world = World::new();
        world.block(&before);
        let txs = std::slice::from_ref(&tx);
        let read = world.read(txs);
        let applied = apply(&read, world.moment, txs);
        let admitted = admit(&read, world.moment, &tx).map_or_else(Outcome::Refused, |()| Outcome::Applied);
        prop_assert_eq!(&applied.outcomes, &[admitted]);
        if admitted != Outcome::Applied {
            prop_assert_eq!(applied.changes.len(), 1);
        }
    }
}
