//! No change of one element of a permitted request, or of the ledger under it, is still permitted.

use super::clauses::header;
use super::world::{NOW, PLACE, World, signed};
use proptest::prelude::*;
use salus_crypto::secret::Secret;
use salus_wire::release::{ReleaseRequest, ReleaseTerms, ShareBytes};
use salus_wire::state::{AccessRecord, GrantRecord, IdentityRecord};
use salus_wire::{StateKey, StateValue, decode, encode};

const REQUEST_BYTES_MAX: usize = 4_096;

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn every_flipped_bit_of_the_signed_request_denies_or_does_not_decode() {
    let world = World::new();
    let bytes = encode(&world.request());
    let ledger = world.ledger();
    // A stride that is odd and prime to 8 visits every byte and every place of a bit.
    for bit in (0..bytes.len() * 8).step_by(7) {
        if let Ok(request) = decode::<ReleaseRequest>(&flipped(&bytes, bit), REQUEST_BYTES_MAX) {
            assert!(world.decide_request(request, &ledger).is_err(), "bit {bit}");
        }
    }
}

/// Byte ranges of the encoded terms that the holder of the one-time key may choose freely: nonce,
/// time within the skew, and the page.
fn free(terms_len: usize, byte: usize) -> bool {
    (2..18).contains(&byte) || (18..26).contains(&byte) || byte >= terms_len - 4
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The reader itself signs what it changed.
    #[test]
    fn a_changed_and_signed_request_is_denied(place in any::<prop::sample::Index>()) {
        let world = World::new();
        let bytes = encode(&world.terms());
        let bit = place.index(bytes.len() * 8);
        prop_assume!(!free(bytes.len(), bit / 8));
        if let Ok(terms) = decode::<ReleaseTerms>(&flipped(&bytes, bit), REQUEST_BYTES_MAX) {
            let narrowed = world.intent.scope.covers(&terms.scope) && terms.scope != world.intent.scope;
            prop_assume!(!narrowed);
            let request = signed(terms, &world.one_time);
            let permit = world.decide_request(request, &world.ledger());
            // A grant that is shown at an earlier place is of another chain, which has no epochs.
            prop_assert!(permit.is_err() || permit.is_ok_and(|permit| !permit.opens(&header(&world))));
        }
    }

    #[test]
    fn a_changed_ledger_entry_is_denied(which in 0..3_usize, place in any::<prop::sample::Index>()) {
        let world = World::new();
        let key = [
            StateKey::Access(world.access_tag(PLACE)),
            StateKey::Grant(world.grant_tag(PLACE)),
            StateKey::Identity(world.intent.requester),
        ][which];
        let mut ledger = world.ledger();
        let bytes = encode(&ledger[&key]);
        let value: Result<StateValue, _> = decode(&flipped(&bytes, place.index(bytes.len() * 8)), bytes.len());
        if let Ok(value) = value {
            prop_assume!(!harmless(&ledger[&key], &value));
            ledger.insert(key, value);
            prop_assert!(world.decide_request(world.request(), &ledger).is_err());
        }
    }

    #[test]
    fn random_secrets_in_the_request_are_denied(which in 0..3_u8, bytes in any::<[u8; 32]>()) {
        let world = World::new();
        let mut terms = world.terms();
        let secret = ShareBytes(Secret::from_bytes(bytes));
        match which {
            0 => terms.access_link = secret,
            1 => terms.grant_link = secret,
            _ => terms.grant_body_key = secret,
        }
        let request = signed(terms, &world.one_time);
        prop_assert!(world.decide_request(request, &world.ledger()).is_err());
    }
}

/// What the ledger may say differently without this request being any less permitted: when an
/// entry was made (as long as the access lives), by which member, in which roles, and validity
/// that still holds.
fn harmless(was: &StateValue, is: &StateValue) -> bool {
    match (was, is) {
        (StateValue::Access(was), StateValue::Access(is)) => {
            let lives = NOW < is.since.time.plus_ms(60_000);
            lives && *was == AccessRecord { since: was.since, ..is.clone() }
        }
        (StateValue::Grant(was), StateValue::Grant(is)) => {
            *was == GrantRecord { since: was.since, ..is.clone() }
        }
        (StateValue::Identity(was), StateValue::Identity(is)) => {
            let holds = is.validity.contains(NOW);
            let IdentityRecord { since, member, validity, roles, second, .. } = was.clone();
            let same = IdentityRecord { since, member, validity, roles, second, ..is.clone() };
            holds && *was == same
        }
        _ => false,
    }
}
