//! What a preparation may say, and that its bodies fit where they are sealed.

use super::*;
use crate::limits::{GRANT_PLAIN_BYTES, RECOVERY_PACKAGE_PLAIN_BYTES};
use crate::{Grant, decode};
use salus_crypto::chain::ChainSeed;

fn key(n: u8) -> PublicKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32])).public_key()
}

fn terms() -> RecoveryTerms {
    let chain = ChainSeed::new(Secret::from_bytes([1; 32])).anchor();
    RecoveryTerms {
        name: Digest::ZERO,
        chain,
        data: chain,
        delay_ms: RECOVERY_DELAY_MS_MIN,
        needed: 2,
        guardians: List::new(vec![key(1), key(2), key(3)]).unwrap(),
        places: List::new(vec![place(4), place(6)]).unwrap(),
        threshold: 3,
        share_hashes: List::new(vec![Digest::ZERO; 4]).unwrap(),
        custodian_key: Digest::ZERO,
    }
}

fn place(n: u8) -> CasePlace {
    CasePlace {
        opener: key(n),
        veto: key(n + 1),
        guardian_hashes: List::new(vec![Digest::ZERO; 3]).unwrap(),
        guardian_key: Digest::ZERO,
        package: Blob::default(),
    }
}

#[test]
fn the_longest_bodies_fit() {
    let recovery = Recovery { salt: [0; 32], terms: Digest::ZERO, one_time: key(1) };
    let plain = encode(&recovery);
    assert!(plain.len() <= GRANT_PLAIN_BYTES);
    assert!(decode::<Grant>(&plain, GRANT_PLAIN_BYTES).is_err());
    let seed = || ShareBytes(Secret::from_bytes([1; 32]));
    let before = List::new((0..WALLETS_BEFORE_MAX).map(|_| seed()).collect()).unwrap();
    let package = RecoveryPackage { writer: PartyId::new([1; 16]), seed: seed(), data: terms().data, before };
    assert!(encode(&package).len() <= RECOVERY_PACKAGE_PLAIN_BYTES);
}

#[test]
fn only_terms_whose_numbers_fit_together_are_sound() {
    let faults = Faults::for_members(4).unwrap();
    assert!(terms().sound(faults));
    assert!(!terms().sound(Faults::for_members(7).unwrap()));
    type Spoil = fn(&mut RecoveryTerms);
    let spoils: [Spoil; 9] = [
        |terms| terms.needed = 1,
        |terms| terms.needed = 4,
        |terms| terms.guardians = List::new(vec![key(1), key(1), key(3)]).unwrap(),
        |terms| {
            let guardian_hashes = List::new(vec![Digest::ZERO; 2]).unwrap();
            terms.places = List::new(vec![place(4), CasePlace { guardian_hashes, ..place(6) }]).unwrap();
        },
        |terms| terms.places = List::empty(),
        |terms| terms.places = List::new(vec![place(4); 2]).unwrap(),
        |terms| terms.threshold = 2,
        |terms| terms.delay_ms = RECOVERY_DELAY_MS_MIN - 1,
        |terms| terms.delay_ms = RECOVERY_DELAY_MS_MAX + 1,
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut spoiled = terms();
        spoil(&mut spoiled);
        assert!(!spoiled.sound(faults), "{number}");
    }
}

#[test]
fn keys_of_places_differ_and_need_both_secrets() {
    let (guardians, custodians) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let name = Digest::ZERO;
    let openers: Vec<PublicKey> =
        (1..=8).map(|place| opener_key(&guardians, &name, place).public_key()).collect();
    let distinct: std::collections::BTreeSet<Digest> = openers.iter().map(case_id).collect();
    assert_eq!(distinct.len(), 8);
    assert_ne!(opener_key(&custodians, &name, 1).public_key(), openers[0]);
    let key = package_key(&guardians, &custodians, &name);
    assert_ne!(key, package_key(&guardians, &guardians, &name));
    assert_ne!(key, package_key(&custodians, &custodians, &name));
    assert_ne!(key, package_key(&guardians, &custodians, &Digest::from_bytes([1; 32])));
    assert_ne!(veto_key(&guardians, 1).public_key(), veto_key(&guardians, 2).public_key());
}
