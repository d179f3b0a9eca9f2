//! An accounting of seven years, day by day at its edges.

use super::*;
use crate::listing::ListedAccess;
use salus_crypto::chain::ChainTag;
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{Signature, SigningKey};
use salus_wire::consent::{Intent, Vouching};
use salus_wire::state::Standing;
use salus_wire::{Blob, DataClass, GrantTag, Height, List, Scope, StateProof, state::CertifiedChain};

const DAY_MS: u64 = 86_400_000;

fn day(year: i32, month: u8, day: u8) -> TimeMs {
    let date = Date::from_calendar_date(year, Month::try_from(month).unwrap(), day).unwrap();
    let seconds = date.midnight().assume_utc().unix_timestamp();
    TimeMs::new(u64::try_from(seconds).unwrap() * 1_000)
}

fn intent(party: u8, purpose: Purpose, class: DataClass, from: u64) -> Intent {
    let key = SigningKey::from_seed(Secret::from_bytes([1; 32])).public_key();
    let span = TimeSpan::new(TimeMs::new(from), TimeMs::new(from + 10)).unwrap();
    let terms = IntentTerms {
        salt: [0; 32],
        requester: PartyId::new([party; 16]),
        vouching: Vouching::Requester,
        grant: GrantTag(ChainTag::from_digest(Digest::ZERO)),
        scope: Scope { classes: Classes::of(&[class]).unwrap(), codes: Codes::All, span },
        purpose,
        valid_ms: 1,
        reader: Digest::ZERO,
        one_time: key,
    };
    Intent { terms, signature: Signature::from_bytes([0; 64]), second: None }
}

fn access(at: TimeMs, intent: Option<Intent>) -> ListedAccess {
    ListedAccess { index: 1, intent, since: Tip { height: Height::new(1), time: at } }
}

fn list(grants: Vec<Vec<ListedAccess>>) -> AccessList {
    let at = Tip { height: Height::new(9), time: TimeMs::new(9) };
    let grants = (1..).zip(grants).map(|(index, accesses)| ListedGrant {
        erasure: false,
        recovery: false,
        index,
        grant: None,
        since: at,
        standing: Standing::Active,
        accesses,
    });
    let chain = CertifiedChain { headers: List::empty(), certificate: Blob::default() };
    let proof = Box::new(StateProof { chain, items: List::empty() });
    AccessList { at, grants: grants.collect(), proof, faults: Vec::new() }
}

#[test]
fn a_window_is_six_years_of_the_calendar_to_the_day() {
    for (request, from) in [
        (day(2032, 11, 26), day(2026, 11, 26)),
        (day(2032, 11, 26).plus_ms(DAY_MS - 1), day(2026, 11, 26)),
        (day(2032, 2, 29), day(2026, 2, 28)),
        (day(2032, 3, 1), day(2026, 3, 1)),
        (day(2034, 2, 28), day(2028, 2, 28)),
        (day(1975, 1, 1), TimeMs::new(0)),
    ] {
        let window = window(request);
        assert_eq!(window.from(), from);
        assert!(window.contains(request) && !window.contains(request.plus_ms(1)));
    }
    assert!(window(TimeMs::new(u64::MAX)).contains(TimeMs::new(u64::MAX - 1)));
}

#[test]
fn what_lies_a_millisecond_before_the_window_is_left_out() {
    let request = day(2032, 2, 29);
    let edge = day(2026, 2, 28);
    let research = || Some(intent(1, Purpose::Research, DataClass::Vitals, 0));
    let before = TimeMs::new(edge.get() - 1);
    let list = list(vec![vec![access(before, research()), access(edge, research()), access(request, None)]]);
    let accounting = account(&list, &[], window(request), Detail::Series);
    let [one] = accounting.disclosures.as_slice() else { panic!("{:?}", accounting.disclosures) };
    assert_eq!((one.first, one.last, one.times), (edge, edge, 1));
    assert_eq!((accounting.void, accounting.at), (1, list.at));
}

#[test]
fn one_description_to_one_recipient_for_one_purpose_is_a_series() {
    let at = |n: u64| day(2030, 1, 1).plus_ms(n * DAY_MS);
    let vitals = |party, purpose, from| Some(intent(party, purpose, DataClass::Vitals, from));
    let list = list(vec![
        vec![
            access(at(3), vitals(1, Purpose::Research, 100)),
            access(at(1), vitals(1, Purpose::Research, 500)),
            access(at(2), vitals(2, Purpose::Research, 100)),
            access(at(4), vitals(1, Purpose::Treatment, 100)),
        ],
        vec![
            access(at(9), vitals(1, Purpose::Research, 50)),
            access(at(5), Some(intent(1, Purpose::Research, DataClass::Waveform, 1))),
        ],
    ]);
    let series = account(&list, &[], window(day(2031, 1, 1)), Detail::Series);
    assert_eq!(series.disclosures.len(), 4);
    let first = &series.disclosures[0];
    assert_eq!((first.first, first.last, first.times), (at(1), at(9), 3));
    assert_eq!((first.measured.from(), first.measured.until()), (TimeMs::new(50), TimeMs::new(510)));
    assert_eq!(first.grants, [GrantPlace { back: 0, index: 1 }, GrantPlace { back: 0, index: 2 }]);
    assert!(series.disclosures.is_sorted_by_key(|disclosure| disclosure.first));
    let required: Vec<bool> = series.disclosures.iter().map(Disclosure::is_required).collect();
    assert_eq!(required, [true, true, false, true]);
    let each = account(&list, &[], window(day(2031, 1, 1)), Detail::Each);
    assert_eq!(each.disclosures.len(), 6);
    assert!(each.disclosures.iter().all(|disclosure| disclosure.times == 1));
}

#[test]
fn what_was_disclosed_of_a_wallet_that_was_lost_is_accounted_for_with_this_one() {
    let at = |n: u64| day(2030, 1, 1).plus_ms(n * DAY_MS);
    let research = || Some(intent(1, Purpose::Research, DataClass::Vitals, 0));
    let mine = list(vec![vec![access(at(5), research())]]);
    let mut lost = list(vec![vec![], vec![access(at(1), research()), access(at(2), None)]]);
    lost.at.height = Height::new(7);
    let lost = [lost];
    let series = account(&mine, &lost, window(day(2031, 1, 1)), Detail::Series);
    let [one] = series.disclosures.as_slice() else { panic!("{:?}", series.disclosures) };
    assert_eq!((one.first, one.last, one.times), (at(1), at(5), 2));
    assert_eq!(one.grants, [GrantPlace { back: 0, index: 1 }, GrantPlace { back: 1, index: 2 }]);
    assert_eq!((series.void, series.at.height), (1, Height::new(7)), "complete as of the earlier one");
}
