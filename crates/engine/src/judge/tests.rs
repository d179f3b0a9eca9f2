//! The judgement, driven without runtime, network or disk.

use super::*;
use crate::testing::{World, consortium, enrolment, grant, revocation, rival_grant, sealed};
use crate::tree::MemoryTree;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salus_wire::Outcome;

const ME: MemberIndex = MemberIndex::new(0);
const NOW: TimeMs = TimeMs::new(5_000);

fn rng() -> StdRng {
    StdRng::from_seed([9; 32])
}

fn judge(world: &World) -> Judge<MemoryTree> {
    let mut tree = MemoryTree::default();
    tree.write(&salus_ledger::genesis_state(&world.genesis), &first(world).state).unwrap();
    Judge::new(&world.genesis, tree, &first(world)).unwrap()
}

fn first(world: &World) -> Header {
    crate::genesis::header(&world.genesis).unwrap()
}

fn slot(view: u64) -> Slot {
    let time = TimeMs::new(10_000 + view);
    Slot { view: View::new(view), parent_view: View::new(view - 1), proposer: ME, time }
}

fn build(judge: &mut Judge<MemoryTree>, parent: &Header, view: u64) -> (Candidate, Vec<GrantTag>) {
    judge.build(parent, slot(view)).unwrap().unwrap()
}

fn admit(judge: &mut Judge<MemoryTree>, tx: Tx) -> Result<Digest, Code> {
    judge.admit(vec![tx], ME, NOW, &mut rng()).unwrap().pop().unwrap()
}

#[test]
fn one_member_builds_what_another_finds_right_and_both_come_to_one_state() {
    let world = consortium(4);
    let (mut proposer, mut voter) = (judge(&world), judge(&world));
    let tx = enrolment(&world, 1);
    let digest = admit(&mut proposer, tx).unwrap();
    let (candidate, _) = build(&mut proposer, &first(&world), 1);
    assert_eq!(candidate.tx_digests(), [digest]);
    assert_eq!(voter.check(&candidate, &first(&world), &mut rng()).unwrap(), Verdict::Valid(vec![]));
    let settled = proposer.commit(&candidate).unwrap().unwrap();
    let at = Tip { height: Height::new(1), time: TimeMs::new(10_001) };
    assert_eq!(settled, [Settled { digest, result: Ok(Committed { at, outcome: Outcome::Applied }) }]);
    voter.commit(&candidate).unwrap().unwrap();
    assert_eq!(proposer.head(), voter.head());
    assert_eq!(proposer.pool().len(), 0);
}

#[test]
fn a_block_is_applied_once_and_in_order() {
    let world = consortium(4);
    let (mut source, mut judge) = (judge(&world), judge(&world));
    let (one, _) = build(&mut source, &first(&world), 1);
    let (two, _) = build(&mut source, one.header(), 2);
    assert!(matches!(judge.commit(&two), Err(EngineError::Mismatch { .. })));
    assert!(judge.commit(&one).unwrap().is_some());
    assert!(judge.commit(&one).unwrap().is_none(), "redelivery after a restart");
    assert!(judge.commit(&two).unwrap().is_some());
    assert!(judge.commit(&one).unwrap().is_none());
    assert_eq!(judge.head().digest, two.header_digest());
}

#[test]
fn blocks_above_the_final_one_are_executed_on_each_other() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let genesis = first(&world);
    let first_digest = admit(&mut judge, enrolment(&world, 1)).unwrap();
    let (one, _) = build(&mut judge, &genesis, 1);
    let second_digest = admit(&mut judge, enrolment(&world, 2)).unwrap();
    assert_eq!(judge.fresh(&one.header_digest()), 1);
    let (two, _) = build(&mut judge, one.header(), 2);
    // What an ancestor holds is not put into a block again.
    assert_eq!((one.tx_digests(), two.tx_digests()), (&[first_digest][..], &[second_digest][..]));
    // A rival of the first block stays possible until one of them is final.
    let (rival, _) = build(&mut judge, &genesis, 3);
    assert_eq!(rival.tx_digests().len(), 2);
    judge.commit(&one).unwrap();
    assert_eq!(judge.place(&rival.header_digest(), rival.header().height), Place::Stale);
    assert_eq!(judge.place(&two.header_digest(), two.header().height), Place::Known);
    judge.commit(&two).unwrap();
    assert_eq!(judge.place(&Digest::ZERO, Height::new(9)), Place::Unknown);
}

#[test]
fn each_fault_of_a_proposer_is_told_apart() {
    let world = consortium(4);
    let mut source = judge(&world);
    admit(&mut source, enrolment(&world, 1)).unwrap();
    let (good, _) = build(&mut source, &first(&world), 1);
    let check = |change: fn(&mut FinalBlock), expected: Verdict| {
        let mut block = (**good.block()).clone();
        change(&mut block);
        let candidate = sealed(block);
        let verdict = judge(&world).check(&candidate, &first(&world), &mut rng()).unwrap();
        assert_eq!(verdict, expected);
    };
    check(|_| {}, Verdict::Valid(vec![]));
    check(|b| b.block.header.chain = ChainId(Digest::ZERO), Verdict::Invalid(Fault::Chain));
    check(|b| b.block.header.height = Height::new(2), Verdict::Invalid(Fault::Height));
    check(|b| b.block.header.time = TimeMs::new(1_000), Verdict::Invalid(Fault::Time));
    check(|b| b.block.header.state = Digest::ZERO, Verdict::Invalid(Fault::Roots));
    check(|b| b.block.header.parent = Digest::ZERO, Verdict::Unplaced(Place::Stale));
    check(
        |b| b.outcomes = List::new(vec![Outcome::Refused(Code::Revoked)]).unwrap(),
        Verdict::Invalid(Fault::Roots),
    );
    check(
        |b| {
            let mut txs = b.block.transactions.to_vec();
            txs[0].signature = salus_crypto::sign::Signature::from_bytes([0; 64]);
            b.block.transactions = List::new(txs).unwrap();
        },
        Verdict::Invalid(Fault::Signature),
    );
}

#[test]
fn a_final_block_that_does_not_give_its_state_stops_the_member() {
    let world = consortium(4);
    let (good, _) = build(&mut judge(&world), &first(&world), 1);
    let mut block = (**good.block()).clone();
    block.block.header.state = Digest::ZERO;
    let result = judge(&world).commit(&sealed(block));
    assert!(matches!(result, Err(EngineError::Diverged { height }) if height == Height::new(1)));
}

#[test]
fn a_vote_names_the_revocations_of_the_block_and_of_its_open_ancestors() {
    let world = consortium(4);
    let (mut proposer, mut voter) = (judge(&world), judge(&world));
    let (commit, tag) = grant(&world, 1);
    admit(&mut proposer, commit).unwrap();
    let (one, revoked) = build(&mut proposer, &first(&world), 1);
    assert_eq!(revoked, []);
    proposer.commit(&one).unwrap();
    voter.commit(&one).unwrap();
    admit(&mut proposer, revocation(&world, 1)).unwrap();
    let (two, revoked) = build(&mut proposer, one.header(), 2);
    assert_eq!(revoked, [tag], "before a proposal of one's own");
    let (three, revoked) = build(&mut proposer, two.header(), 3);
    assert_eq!(revoked, [tag], "a vote for the child can make the parent final");
    assert_eq!(voter.check(&two, one.header(), &mut rng()).unwrap(), Verdict::Valid(vec![tag]));
    assert_eq!(voter.check(&three, two.header(), &mut rng()).unwrap(), Verdict::Valid(vec![tag]));
    assert_eq!(
        voter.check(&two, one.header(), &mut rng()).unwrap(),
        Verdict::Valid(vec![tag]),
        "asked again"
    );
    voter.commit(&two).unwrap();
    assert_eq!(voter.check(&three, two.header(), &mut rng()).unwrap(), Verdict::Valid(vec![]));
}

#[test]
fn the_loser_of_two_for_one_entry_is_told_when_the_winner_is_final() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let (winner, loser) = (grant(&world, 1).0, rival_grant(&world, 1));
    let (first_digest, second_digest) =
        (admit(&mut judge, winner).unwrap(), admit(&mut judge, loser.clone()).unwrap());
    let (one, _) = build(&mut judge, &first(&world), 1);
    assert_eq!(one.tx_digests(), [first_digest]);
    let settled = judge.commit(&one).unwrap().unwrap();
    let refused = Settled { digest: second_digest, result: Err(Refused::bare(Code::AlreadyExists)) };
    assert_eq!(settled.last(), Some(&refused));
    assert_eq!(admit(&mut judge, loser), Err(Code::AlreadyExists));
}

#[test]
fn what_may_not_enter_is_refused_with_its_code() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let good = enrolment(&world, 1);
    let mut forged = enrolment(&world, 2);
    forged.signature = good.signature;
    let stranger = Tx::sign(world.genesis.chain(), good.body.clone(), &world.registrars[1]);
    let results =
        judge.admit(vec![forged, good.clone(), stranger, good.clone()], ME, NOW, &mut rng()).unwrap();
    let digest = Ok(good.digest());
    assert_eq!(results, [Err(Code::BadSignature), digest, Err(Code::UnknownSigner), digest]);
    assert_eq!(judge.pool().len(), 1);
    let outsider = judge.admit(vec![enrolment(&world, 3)], MemberIndex::new(9), NOW, &mut rng()).unwrap();
    assert_eq!(outsider, [Err(Code::QuotaExceeded)]);
}

#[test]
fn what_waits_too_long_is_given_up() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let digest = admit(&mut judge, enrolment(&world, 1)).unwrap();
    assert_eq!(judge.expire(NOW), []);
    let late = NOW.plus_ms(crate::mempool::TX_LIVES_MS);
    assert_eq!(judge.expire(late), [Settled { digest, result: Err(Refused::bare(Code::TimedOut)) }]);
    assert_eq!(judge.pool().len(), 0);
}

#[test]
fn too_many_open_blocks_are_dropped_and_executed_again() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let genesis = first(&world);
    let (kept, _) = build(&mut judge, &genesis, 1);
    for view in 2..=u64::try_from(BRANCHES_MAX).unwrap() + 1 {
        build(&mut judge, &genesis, view);
    }
    assert!(judge.branches.len() <= BRANCHES_MAX);
    assert_eq!(judge.place(&kept.header_digest(), kept.header().height), Place::Unknown);
    assert_eq!(judge.check(&kept, &genesis, &mut rng()).unwrap(), Verdict::Valid(vec![]));
}

#[test]
fn the_state_is_written_in_groups_and_open_blocks_stay_on_it() {
    let world = consortium(4);
    let mut judge = judge(&world);
    let mut parent = first(&world);
    let written = judge.tree.root();
    let last = u64::try_from(UNWRITTEN_BLOCKS_MAX).unwrap();
    let mut open = Vec::new();
    for view in 1..=last + 2 {
        admit(&mut judge, enrolment(&world, u8::try_from(view).unwrap())).unwrap();
        let (next, _) = build(&mut judge, &parent, view);
        parent = next.header().clone();
        open.push(next);
        if view > 2 {
            // Two blocks are open at any time, one of them on the other.
            judge.commit(&open[usize::try_from(view).unwrap() - 3]).unwrap().unwrap();
            assert_eq!(judge.tree.root() == written, view < last + 2, "view {view}");
        }
    }
    assert_eq!(judge.tree.root(), judge.head().state);
    let heights: Vec<u64> = judge.branches.values().map(|branch| branch.header.height.get()).collect();
    assert_eq!(heights.len(), 2, "{heights:?}");
    for block in &open[open.len() - 2..] {
        judge.commit(block).unwrap().unwrap();
        assert_eq!(judge.head().state, block.header().state);
    }
    let keys: Vec<StateKey> = (1..=66).map(|n| StateKey::Enrolment(Digest::from_bytes([n; 32]))).collect();
    assert!(judge.read(&keys).unwrap().iter().all(Option::is_some));
    assert!(judge.prove(&keys).unwrap().iter().all(|item| item.value.is_some()));
}

#[test]
fn entries_are_read_and_proven_at_the_head() {
    let world = consortium(4);
    let mut judge = judge(&world);
    admit(&mut judge, enrolment(&world, 1)).unwrap();
    let (one, _) = build(&mut judge, &first(&world), 1);
    let key = StateKey::Enrolment(Digest::from_bytes([1; 32]));
    assert_eq!(judge.read(&[key]).unwrap(), [None], "an open block shows nothing");
    judge.commit(&one).unwrap();
    assert!(matches!(judge.read(&[key]).unwrap()[..], [Some(StateValue::Device(_))]));
    assert!(judge.prove(&[key]).unwrap()[0].value.is_some());
}

#[test]
fn a_state_of_another_block_is_refused() {
    let world = consortium(4);
    let header = Header { state: Digest::ZERO, ..first(&world) };
    let tree = judge(&world).tree;
    assert!(matches!(Judge::new(&world.genesis, tree, &header), Err(EngineError::Mismatch { .. })));
}
