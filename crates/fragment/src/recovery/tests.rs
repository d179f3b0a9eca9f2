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
    let guardians: Vec<ShareBytes> = guardians.into_iter().map(|(_, share)| share).collect();
    for of_guardians in 0..8_u8 {
        let key = guardians_key(&terms, &subset(&guardians, of_guardians));
        let enough = of_guardians.count_ones() >= u32::from(NEEDED);
        assert_eq!(key.is_ok(), enough, "{of_guardians:b}");
        // Whoever has too few guardians tries with what they have.
        let key = key.unwrap_or(Secret::from_bytes([0; 32]));
        for of_custodians in 0..16_u8 {
            let opened = open_package(&terms, &key, &subset(&custodians, of_custodians));
            let opens = enough && of_custodians.count_ones() >= 3;
            assert_eq!(opened.is_ok(), opens, "{of_guardians:b} {of_custodians:b}");
            if let Ok(package) = opened {
                assert_eq!(package.seed.0.danger_expose(), &[1; 32]);
            }
        }
    }
}

#[test]
fn a_share_that_was_not_prepared_is_told() {
    let faults = Faults::for_members(4).unwrap();
    let RecoveryParts { terms, guardians, custodians } =
        parts(faults, NEEDED, RECOVERY_DELAY_MS_MIN).unwrap();
    assert!((0..).zip(&guardians).all(|(at, (_, share))| is_guardians(&terms, at, share)));
    assert!((0..).zip(&custodians).all(|(at, share)| is_custodians(&terms, MemberIndex::new(at), share)));
    let bad = ShareBytes(Secret::from_bytes([9; 32]));
    assert!(!is_guardians(&terms, 0, &bad) && !is_custodians(&terms, MemberIndex::new(0), &bad));
    assert!(!is_guardians(&terms, 1, &guardians[0].1) && !is_guardians(&terms, 9, &guardians[0].1));
    assert!(!is_custodians(&terms, MemberIndex::new(1), &custodians[0]));
    let mut shares = subset(&custodians, 0b111);
    shares[0].1 = bad;
    let key = Secret::from_bytes([0; 32]);
    assert!(matches!(open_package(&terms, &key, &shares), Err(ShareFault::Key)));
}

#[test]
fn numbers_that_do_not_fit_prepare_nothing() {
    let faults = Faults::for_members(4).unwrap();
    for (needed, delay_ms) in [(0, 9_000), (1, 9_000), (4, 9_000), (2, RECOVERY_DELAY_MS_MIN - 1)] {
        assert!(parts(faults, needed, delay_ms).is_none(), "{needed} {delay_ms}");
    }
}
