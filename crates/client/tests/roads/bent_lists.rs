//! Lists that one member bends: an access left out, two in the wrong order, another patient's, what was so
//! long ago. The member is passed over, and named where it cannot be innocent.

use crate::reading::honest;
use crate::world::{World, list, list_after, read};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::ask::{Answer, Told};
use salus_client::listing::{AccessList, ListedAccess};
use salus_client::{ClientError, GrantFile, Wallet};
use salus_wire::limits::LIST_STALE_MS;
use salus_wire::rpc::Values;
use salus_wire::state::Tip;
use salus_wire::{
    AccessTag, Code, GrantTag, Height, List, MemberIndex, ProvenItem, StateKey, StateProof, StateValue,
    TimeMs,
};

/// What the liar is asked, in this order: the grants, the lane, the proof.
const LANE: usize = 1;
const PROOF: usize = 2;
/// Blocks that take longer than a list may be old.
const LONG: usize = 80;

/// One grant, read three times; and what could be proven before the last.
struct Lane {
    world: World,
    file: GrantFile,
    old: StateProof,
    old_tip: Tip,
}

impl Lane {
    fn read_three_times() -> Self {
        let (mut world, written) = World::written(4);
        let file = written.file;
        for _ in 0..2 {
            read_once(&mut world, &file);
        }
        let old = world.ledger.prove(&ending(&world.wallet, &file, 2));
        let old_tip = world.ledger.tip();
        read_once(&mut world, &file);
        Self { world, file, old, old_tip }
    }

    /// Lists while member 0 bends its answers; all is listed, and member 0 is named for this or not at all.
    fn whole_with(mut self, lie: impl Fn(usize, &mut Answer), named: Option<Code>) {
        let listed = list(&mut self.world, lying(lie)).expect("the others are honest");
        assert_whole(&listed, &self.file);
        assert_named(&listed, named);
    }

    /// So many blocks with nothing in them.
    fn pass(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.world.ledger.block(&[]);
        }
    }
}

/// The three accesses are listed, in their order, each as it is.
fn assert_whole(list: &AccessList, file: &GrantFile) {
    assert_eq!(list.grants.len(), 1);
    let accesses = &list.grants[0].accesses;
    assert_eq!(accesses.iter().map(|access| access.index).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(accesses.is_sorted_by_key(|access| access.since.height));
    let own =
        |access: &ListedAccess| access.intent.as_ref().is_some_and(|intent| intent.terms.grant == file.tag());
    assert!(accesses.iter().all(own));
}

fn assert_named(list: &AccessList, code: Option<Code>) {
    let faults: Vec<_> = list.faults.iter().map(|fault| (fault.member, fault.code)).collect();
    let expected: Vec<_> = code.map(|code| (MemberIndex::new(0), code)).into_iter().collect();
    assert_eq!(faults, expected);
}

fn read_once(world: &mut World, file: &GrantFile) {
    let plan = world.plan(file);
    read(world, plan, honest).expect("all are honest");
}

/// The keys of one grant with so many accesses, and the next of each chain.
fn ending(wallet: &Wallet, file: &GrantFile, accesses: u16) -> Vec<StateKey> {
    let grants = [1, 2].map(|index| StateKey::Grant(GrantTag(wallet.chain().link(index).tag())));
    let lane = file.lane().expect("the whole lane");
    let lane = (1..=accesses + 1).map(|index| StateKey::Access(AccessTag(lane.link(index).tag())));
    grants.into_iter().chain(lane).collect()
}

/// Bends what member 0 says, told which of its answers it is.
fn lying(lie: impl Fn(usize, &mut Answer)) -> impl FnMut(&mut World, Told) -> Told {
    let mut answers = 0;
    move |_, mut told| {
        if let (0, Ok(answer)) = (told.from.get(), &mut told.what) {
            lie(answers, answer);
            answers += 1;
        }
        told
    }
}

fn values(answer: &mut Answer, edit: impl FnOnce(&mut Vec<Option<StateValue>>)) {
    if let Answer::Values(Values { values, .. }) = answer {
        let mut entries = values.to_vec();
        edit(&mut entries);
        *values = List::new(entries).expect("few");
    }
}

fn items(answer: &mut Answer, edit: impl FnOnce(&mut Vec<ProvenItem>)) {
    if let Answer::Proof(proof) = answer {
        let mut items = proof.items.to_vec();
        edit(&mut items);
        proof.items = List::new(items).expect("few");
    }
}

/// Leaves out the last access and shows it with what could be proven before.
fn omit_last(old: &StateProof) -> impl Fn(usize, &mut Answer) + use<> {
    let old = old.clone();
    move |number, answer| match number {
        LANE => values(answer, |entries| entries[2] = None),
        PROOF => *answer = Answer::Proof(Box::new(old.clone())),
        _ => {}
    }
}

#[test]
fn an_access_that_is_left_out_of_the_walk_is_listed_all_the_same() {
    for place in 0..3 {
        let omit = |number: usize, answer: &mut Answer| {
            if number == LANE {
                values(answer, |entries| entries[place] = None);
            }
        };
        // It may have become final since, so nobody is to blame.
        Lane::read_three_times().whole_with(omit, None);
    }
}

#[test]
fn two_accesses_in_the_wrong_order_are_listed_in_theirs() {
    let swap = |number: usize, answer: &mut Answer| match number {
        LANE => values(answer, |entries| entries.swap(0, 1)),
        PROOF => items(answer, |items| items.swap(2, 3)),
        _ => {}
    };
    Lane::read_three_times().whole_with(swap, None);
}

/// What a liar makes of the items of a proof, from what was true before.
type Bend = fn(&mut Vec<ProvenItem>, &[ProvenItem]);

#[test]
fn a_proof_that_hides_or_moves_an_access_names_who_gave_it() {
    let bends: [Bend; 4] = [
        // The last is absent after all.
        |items, _| items[4].value = None,
        // Its absence was true once.
        |items, old| items[4] = old[4].clone(),
        // One in the middle is another.
        |items, _| items[3].value = items[2].value.clone(),
        // Two stand in each other's place.
        |items, _| {
            let (first, second) = (items[2].clone(), items[3].clone());
            items[2] = ProvenItem { key: first.key, ..second.clone() };
            items[3] = ProvenItem { key: second.key, ..first };
        },
    ];
    for bend in bends {
        let lane = Lane::read_three_times();
        let old = lane.old.items.to_vec();
        let lie = |number: usize, answer: &mut Answer| {
            if number == PROOF {
                items(answer, |items| bend(items, &old));
            }
        };
        lane.whole_with(lie, Some(Code::ProofInvalid));
    }
}

#[test]
fn a_proof_that_is_silent_about_an_access_is_none() {
    for place in 2..6 {
        let hide = |number: usize, answer: &mut Answer| {
            if number == PROOF {
                items(answer, |items| drop(items.remove(place)));
            }
        };
        Lane::read_three_times().whole_with(hide, None);
    }
}

#[test]
fn another_patients_list_is_no_list_of_this_one() {
    for renamed in [false, true] {
        let mut lane = Lane::read_three_times();
        let other = Wallet::generate(lane.world.wallet.writer, &mut StdRng::seed_from_u64(9));
        let own = std::mem::replace(&mut lane.world.wallet, other);
        let (_, file) = lane.world.grant_all();
        // There is nothing to read, and the access stands all the same.
        let plan = lane.world.plan(&file);
        let nothing = read(&mut lane.world, plan, honest);
        assert_eq!(nothing.err().expect("they have no device").code(), Code::NothingHeld);
        let theirs = lane.world.ledger.prove(&ending(&lane.world.wallet, &file, 1));
        lane.world.wallet = own;
        let keys = ending(&lane.world.wallet, &lane.file, 1);
        // It shows the other's one access; as theirs, or under this patient's own tags.
        let serve = |number: usize, answer: &mut Answer| match number {
            LANE => values(answer, |entries| entries[1..3].fill(None)),
            PROOF => {
                *answer = Answer::Proof(Box::new(theirs.clone()));
                if renamed {
                    items(answer, |items| {
                        items.iter_mut().zip(&keys).for_each(|(item, key)| item.key = *key)
                    });
                }
            }
            _ => {}
        };
        lane.whole_with(serve, renamed.then_some(Code::ProofInvalid));
    }
}

#[test]
fn what_was_complete_a_moment_ago_says_as_of_when_and_is_not_taken_after_something_newer() {
    let Lane { mut world, file, old, old_tip } = Lane::read_three_times();
    let listed = list(&mut world, lying(omit_last(&old))).expect("it was true");
    assert_eq!((listed.at, listed.grants[0].accesses.len()), (old_tip, 2));

    let seen = world.ledger.tip().height;
    let listed = list_after(&mut world, seen, World::now, lying(omit_last(&old)));
    let listed = listed.expect("the others are honest");
    assert_whole(&listed, &file);
    assert_eq!(listed.at.height, seen);
}

#[test]
fn within_one_listing_no_proof_is_taken_that_is_older_than_another() {
    let Lane { mut world, file, old, .. } = Lane::read_three_times();
    let (mut answers, mut shown) = (0, Vec::new());
    let listed = list(&mut world, |_, mut told| {
        let number = answers % 3;
        answers += 1;
        if let Ok(answer) = &mut told.what {
            match told.from.get() {
                // The first proof is new, and does not end where the walk did.
                0 if number == LANE => values(answer, |entries| entries[2] = None),
                1 => omit_last(&old)(number, answer),
                _ => {}
            }
        }
        shown.push(told.from.get());
        told
    });
    assert_whole(&listed.expect("two are honest"), &file);
    assert!(shown.contains(&2), "{shown:?}");
}

#[test]
fn what_was_complete_long_ago_names_who_gave_it() {
    let mut lane = Lane::read_three_times();
    lane.pass(LONG);
    let old = lane.old.clone();
    lane.whole_with(omit_last(&old), Some(Code::ProofStale));
}

/// What a client's clock says at the time of a block.
type Reading = fn(TimeMs) -> TimeMs;

#[test]
fn a_list_is_as_old_as_the_limit_and_no_older() {
    let offsets: [(Reading, bool); 4] = [
        (|at| at.plus_ms(LIST_STALE_MS), true),
        (|at| at.plus_ms(LIST_STALE_MS + 1), false),
        (|at| TimeMs::new(at.get() - LIST_STALE_MS), true),
        (|at| TimeMs::new(at.get() - LIST_STALE_MS - 1), false),
    ];
    for (offset, taken) in offsets {
        let mut lane = Lane::read_three_times();
        let now = |world: &World| offset(world.ledger.tip().time);
        let listed = list_after(&mut lane.world, Height::new(0), now, |_, told| told);
        match listed {
            Ok(listed) => {
                assert!(taken);
                assert_whole(&listed, &lane.file);
            }
            Err(error) => {
                assert!(!taken);
                assert!(matches!(error, ClientError::Stale { .. }));
                assert_eq!(error.code(), Code::ProofStale);
                assert_eq!(error.faults().len(), 4, "each member once: {:?}", error.faults());
            }
        }
    }
}

#[test]
fn one_old_proof_alone_does_not_make_a_clock_wrong() {
    let mut lane = Lane::read_three_times();
    lane.pass(LONG);
    let old = lane.old.clone();
    let listed = list(&mut lane.world, |_, mut told| {
        match (told.from.get(), &mut told.what) {
            (0, Ok(answer @ Answer::Proof(_))) => *answer = Answer::Proof(Box::new(old.clone())),
            (_, Ok(answer @ Answer::Proof(_))) => items(answer, Vec::clear),
            _ => {}
        }
        told
    });
    let error = listed.err().expect("nobody is honest");
    assert!(matches!(error, ClientError::Unproven { .. }));
    assert!(error.faults().iter().any(|fault| fault.code == Code::ProofStale));
}
