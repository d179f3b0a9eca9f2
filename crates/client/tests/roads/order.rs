//! Answers come in any order, some twice, some long after their question was settled: the result
//! stays the same.

use crate::reading::assert_whole;
use crate::world::{World, read_in_order};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_client::ask::{Answer, Told};
use salus_crypto::Signature;
use salus_wire::Blob;

/// The last member lies in whatever it says.
fn lie(told: Told, liar: u16) -> Told {
    let Told { id, from, mut what } = told;
    if from.get() == liar {
        match &mut what {
            Ok(Answer::Released(released)) => released.signature = Signature::from_bytes([9; 64]),
            Ok(Answer::Fetched(fetched)) => fetched.manifest.seal_random[0] ^= 1,
            Ok(Answer::Proof(proof)) => proof.chain.certificate = Blob::default(),
            _ => {}
        }
    }
    Told { id, from, what }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_answers_gives_the_same_readings(seed: u64, liar in 0_u16..4) {
        let (mut world, written) = World::written(4);
        let plan = world.plan(&written.file);
        let mut rng = StdRng::seed_from_u64(seed);
        let next = |waiting: usize| (rng.random_range(0..waiting), rng.random_bool(0.3));
        let result = read_in_order(&mut world, plan, |told| lie(told, liar), next);
        let result = result.expect("one liar is too few to stop it");
        assert_whole(&result, &written.leaves);
        let named: Vec<u16> = result.faults.iter().map(|fault| fault.member.get()).collect();
        prop_assert!(named.iter().all(|member| *member == liar), "{named:?} instead of {liar}");
        prop_assert_eq!(result.access_index, 1);
    }
}
