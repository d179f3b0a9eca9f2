//! Every set of guardians and custodians there can be, and what it opens.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainSeed;
use salus_wire::PartyId;
use salus_wire::limits::RECOVERY_DELAY_MS_MIN;

const GUARDIANS: u16 = 3;
const NEEDED: u16 = 2;

fn parts(faults: Faults, needed: u16, delay_ms: u64) -> Option<RecoveryParts> {
    let seed = ChainSeed::new(Secret::from_bytes([1; 32]));
    let package = RecoveryPackage {
        writer: PartyId::new([4; 16]),
        seed: ShareBytes(seed.to_secret()),
        data: seed.anchor(),
        before: List::empty(),
    };
    let plan = RecoveryPlan {
        chain: seed.anchor(),
        data: seed.anchor(),
        delay_ms,
        guardians: GUARDIANS,
        needed,
        vetoes: &Secret::from_bytes([2; 32]),
        package: &package,
    };
    prepare_recovery(faults, &plan, &mut StdRng::seed_from_u64(3))
}

fn subset(shares: &[ShareBytes], set: u8) -> Vec<(u16, ShareBytes)> {
    let copy = |share: &ShareBytes| ShareBytes(Secret::from_bytes(*share.0.danger_expose()));
    (0_u16..).zip(shares).filter(|(at, _)| set >> at & 1 == 1).map(|(at, share)| (at, copy(share))).collect()
}

#[test]
fn exactly_enough_of_both_open_it() {
    let faults = Faults::for_members(4).unwrap();
    let RecoveryParts { terms, guardians, custodians } =
        parts(faults, NEEDED, RECOVERY_DELAY_MS_MIN).unwrap();
    assert!(terms.sound(faults));
    let for_place = |place: usize| -> Vec<ShareBytes> {
        let share = |shares: &Vec<ShareBytes>| Secret::from_bytes(*shares[place - 1].0.danger_expose());
        guardians.iter().map(|(_, shares)| ShareBytes(share(shares))).collect()
    };
    let guardians = for_place(2);
    for of_guardians in 0..8_u8 {
        let key = guardians_key(&terms, 2, &subset(&guardians, of_guardians));
        let enough = of_guardians.count_ones() >= u32::from(NEEDED);
        assert_eq!(key.is_ok(), enough, "{of_guardians:b}");
        // Whoever has too few guardians tries with what they have.
        let key = key.unwrap_or(Secret::from_bytes([0; 32]));
        for of_custodians in 0..16_u8 {
            let opened = open_package(&terms, 2, &key, &subset(&custodians, of_custodians));
            let opens = enough && of_custodians.count_ones() >= 3;
            assert_eq!(opened.is_ok(), opens, "{of_guardians:b} {of_custodians:b}");
            if let Ok(package) = opened {
                assert_eq!(package.seed.0.danger_expose(), &[1; 32]);
            }
        }
    }
    // What guardians gave for one place opens and makes nothing at another.
    let everybody = subset(&custodians, 0b1111);
    let key = guardians_key(&terms, 2, &subset(&guardians, 0b111)).unwrap();
    for place in [0, 1, 3, 9] {
        assert!(guardians_key(&terms, place, &subset(&guardians, 0b111)).is_err(), "{place}");
        assert!(open_package(&terms, place, &key, &everybody).is_err(), "{place}");
    }
    assert_ne!(opener_key(&key, &terms.name, 1).public_key(), terms.places[0].opener);
    assert_eq!(opener_key(&key, &terms.name, 2).public_key(), terms.places[1].opener);
}

#[test]
fn a_share_that_was_not_prepared_is_told() {
    let faults = Faults::for_members(4).unwrap();
    let RecoveryParts { terms, guardians, custodians } =
        parts(faults, NEEDED, RECOVERY_DELAY_MS_MIN).unwrap();
    for (at, (_, shares)) in (0..).zip(&guardians) {
        assert!((1..).zip(shares).all(|(place, share)| is_guardians(&terms, place, at, share)));
        assert!(!is_guardians(&terms, 2, at, &shares[0]) && !is_guardians(&terms, 0, at, &shares[0]));
    }
    assert!((0..).zip(&custodians).all(|(at, share)| is_custodians(&terms, MemberIndex::new(at), share)));
    let bad = ShareBytes(Secret::from_bytes([9; 32]));
    assert!(!is_guardians(&terms, 1, 0, &bad) && !is_custodians(&terms, MemberIndex::new(0), &bad));
    let first = &guardians[0].1[0];
    assert!(!is_guardians(&terms, 1, 1, first) && !is_guardians(&terms, 1, 9, first));
    assert!(!is_custodians(&terms, MemberIndex::new(1), &custodians[0]));
    let mut shares = subset(&custodians, 0b111);
    shares[0].1 = bad;
    let key = Secret::from_bytes([0; 32]);
    assert!(matches!(open_package(&terms, 1, &key, &shares), Err(ShareFault::Key)));
}

#[test]
fn numbers_that_do_not_fit_prepare_nothing() {
    let faults = Faults::for_members(4).unwrap();
    for (needed, delay_ms) in [(0, 9_000), (1, 9_000), (4, 9_000), (2, RECOVERY_DELAY_MS_MIN - 1)] {
        assert!(parts(faults, needed, delay_ms).is_none(), "{needed} {delay_ms}");
    }
}
