//! Cover on a clock that jumps from gap to gap: its shape, its rate, when it yields, and that the ledger takes it.

use super::*;
use crate::testing::{CHAIN, World, faults};
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::SeedableRng;
use salus_ledger::{Moment, ReadSet, apply, check_signatures, reads};
use salus_wire::rpc::{Committed, Refusal};
use salus_wire::{Code, Height, Outcome, StateKey, StateValue, TimeMs, encode};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const HOUR_MS: u64 = 3_600_000;

/// A member whose timers move a clock and end the test with it, and whose engine notes what it is given.
#[derive(Clone)]
struct Bench {
    clock: Arc<AtomicU64>,
    until: u64,
    given: Arc<Mutex<Vec<(u64, Tx)>>>,
    busy: Arc<AtomicBool>,
    entropy: Option<u64>,
    answers: bool,
}

impl Bench {
    fn new(until: u64) -> Self {
        let (clock, given, busy) = Default::default();
        Self { clock, until, given, busy, entropy: Some(1), answers: true }
    }

    fn office(&self) -> Arc<Office> {
        let (clock, until) = (Arc::clone(&self.clock), self.until);
        let timers = move |gap: Duration| -> BoxFuture<'static, ()> {
            let ms = u64::try_from(gap.as_millis()).unwrap();
            if clock.fetch_add(ms, Ordering::SeqCst) + ms < until {
                Box::pin(std::future::ready(()))
            } else {
                Box::pin(std::future::pending())
            }
        };
        let (seed, drawn) = (self.entropy, AtomicU64::new(0));
        let entropy = move || {
            let piece = drawn.fetch_add(1, Ordering::SeqCst);
            seed.map(|seed| StdRng::seed_from_u64(seed * 1_000_000 + piece))
        };
        let office = Arc::into_inner(World::new().office(0)).unwrap();
        Arc::new(Office { timers: Arc::new(timers), entropy: Arc::new(entropy), ..office })
    }

    /// Lets the time pass, and gives what was committed when.
    fn run(&self, rates: CoverRates) -> Vec<(u64, Tx)> {
        let bench = self.clone();
        let submit = move |tx: Tx| -> BoxFuture<'static, Result<Committed, Refusal>> {
            let at = bench.clock.load(Ordering::SeqCst);
            bench.given.lock().unwrap().push((at, tx));
            if bench.answers {
                Box::pin(std::future::ready(Err(Refusal::busy(Code::TimedOut, 1))))
            } else {
                Box::pin(std::future::pending())
            }
        };
        let busy = Arc::clone(&self.busy);
        let busy = move || busy.load(Ordering::SeqCst);
        let cover = Cover::new(self.office(), Arc::new(submit), Arc::new(busy), rates);
        assert!(cover.run().now_or_never().is_none(), "it never ends by itself");
        self.given.lock().unwrap().clone()
    }
}

fn rates(grant: u32, access: u32) -> CoverRates {
    let every = |seconds: u32| MeanSeconds::try_from(seconds).ok();
    CoverRates { grant_every_s: every(grant), access_every_s: every(access) }
}

fn is_grant(tx: &Tx) -> bool {
    matches!(tx.body, TxBody::CommitGrant { .. })
}

fn both(seed: u64) -> [Tx; 2] {
    let rng = &mut StdRng::seed_from_u64(seed);
    [grant_of_nothing(CHAIN, rng), access_of_nothing(CHAIN, rng)]
}

#[test]
fn it_is_off_when_nothing_is_said() {
    let bench = Bench::new(24 * HOUR_MS);
    assert_eq!(bench.run(CoverRates::default()), []);
    assert_eq!(bench.clock.load(Ordering::SeqCst), 0, "it does not even wait");
}

#[test]
fn each_kind_comes_as_often_as_configured() {
    let bench = Bench::new(100 * HOUR_MS);
    let given = bench.run(rates(10, 100));
    let (grants, accesses): (Vec<_>, Vec<_>) = given.iter().partition(|(_, tx)| is_grant(tx));
    // 36,000 and 3,600 are expected, with a deviation of 190 and 60.
    assert!((35_000..37_000).contains(&grants.len()), "{}", grants.len());
    assert!((3_300..3_900).contains(&accesses.len()), "{}", accesses.len());
    assert_eq!(Bench::new(HOUR_MS).run(rates(0, 1)).iter().filter(|(_, tx)| is_grant(tx)).count(), 0);
    assert_eq!(Bench::new(HOUR_MS).run(rates(1, 0)).iter().filter(|(_, tx)| !is_grant(tx)).count(), 0);
}

#[test]
fn gaps_are_exponential() {
    let given = Bench::new(100 * HOUR_MS).run(rates(10, 0));
    let gaps: Vec<u64> = given.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // A share of e^-x of them is longer than x times the mean.
    for (mean_times, per_mille) in [(1, 368), (2, 135), (4, 18)] {
        let longer = gaps.iter().filter(|gap| **gap > 10_000 * mean_times).count();
        let found = longer * 1_000 / gaps.len();
        assert!(found.abs_diff(per_mille) <= 12, "{mean_times}: {found}");
    }
}

#[test]
fn it_looks_like_what_is_meant_and_is_another_each_time() {
    let world = World::with_access();
    let ledger = world.ledger.lock().unwrap();
    for (one, other) in both(1).into_iter().zip(both(2)) {
        assert_ne!(one.signer, other.signer);
        assert_ne!(encode(&one.body), encode(&other.body));
        assert_eq!(encode(&one).len(), encode(&other).len());
    }
    let [grant, access] = both(1);
    let TxBody::CommitGrant { body, .. } = grant.body else { panic!("a grant") };
    let Some(StateValue::Grant(meant)) = ledger.get(&StateKey::Grant(world.grant_tag())) else { panic!() };
    assert_eq!(body.len(), meant.body.len());
    let TxBody::RecordAccess { body, .. } = access.body else { panic!("an access") };
    let Some(StateValue::Access(meant)) = ledger.get(&StateKey::Access(world.access_tag())) else { panic!() };
    assert_eq!(body.len(), meant.body.len());
    let values: BTreeSet<u8> = body.iter().copied().collect();
    assert!(values.len() > 200, "no padding shows");
}

#[test]
fn keys_and_tags_are_never_used_twice() {
    let given = Bench::new(10 * HOUR_MS).run(rates(10, 10));
    let distinct: BTreeSet<_> = given.iter().map(|(_, tx)| *tx.signer.as_bytes()).collect();
    assert_eq!(distinct.len(), given.len());
    let tags: BTreeSet<_> = given.iter().flat_map(|(_, tx)| reads(&tx.body, faults())).collect();
    assert_eq!(tags.len(), given.len());
}

#[test]
fn the_ledger_takes_it_once_like_any_other() {
    let [grant, access] = both(1);
    let txs = [grant.clone(), access.clone(), grant, access];
    check_signatures(CHAIN, &txs, &[], &mut StdRng::seed_from_u64(3)).unwrap();
    let keys = txs.iter().flat_map(|tx| reads(&tx.body, faults()));
    let nothing: ReadSet = keys.map(|key| (key, None)).collect();
    let moment = Moment { chain: CHAIN, faults: faults(), height: Height::new(9), time: TimeMs::new(1_000) };
    let taken = Outcome::Refused(Code::AlreadyExists);
    assert_eq!(apply(&nothing, moment, &txs).outcomes, [Outcome::Applied, Outcome::Applied, taken, taken]);
    assert!(txs.iter().all(Tx::fits));
}

#[test]
fn it_yields_while_the_member_is_busy_and_makes_nothing_up_for_later() {
    let mut bench = Bench::new(HOUR_MS);
    bench.busy.store(true, Ordering::SeqCst);
    assert_eq!(bench.run(rates(1, 1)), []);
    bench.busy.store(false, Ordering::SeqCst);
    bench.until = 2 * HOUR_MS;
    let given = bench.run(rates(1, 1));
    assert!((6_800..7_600).contains(&given.len()), "{}", given.len());
}

#[test]
fn no_more_is_under_way_than_the_limit() {
    let mut bench = Bench::new(HOUR_MS);
    bench.answers = false;
    assert_eq!(bench.run(rates(1, 1)).len(), COVER_AT_ONCE);
}

#[test]
fn without_entropy_there_is_none() {
    let mut bench = Bench::new(HOUR_MS);
    bench.entropy = None;
    assert_eq!(bench.run(rates(1, 1)), []);
}

#[test]
fn means_have_bounds() {
    for (seconds, possible) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
        assert_eq!(MeanSeconds::try_from(seconds).is_ok(), possible, "{seconds}");
    }
}
