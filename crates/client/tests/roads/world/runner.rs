//! Runs a machine to its end against a world whose members a test may bend.

use super::World;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::ask::{Answer, Silence, Told};
use salus_client::listing::{AccessList, Lister};
use salus_client::{ClientError, ReadPlan, ReadResult, Reader};
use salus_wire::{Height, MemberIndex, TimeMs};

/// What a member answered.
pub(crate) type Reply = Result<Answer, Silence>;

/// Questions of one run, as a bound on machines that never end.
const QUESTIONS_MAX: usize = 20_000;

/// Reads; answers come in the order of the questions, each as `bend` makes it.
pub(crate) fn read(
    world: &mut World,
    plan: ReadPlan,
    mut bend: impl FnMut(MemberIndex, Reply) -> Reply,
) -> Result<ReadResult, ClientError> {
    read_in_order(world, plan, |told| Told { what: bend(told.from, told.what), ..told }, |_| (0, false))
}

/// Reads; of the answers that wait, `next` says which comes now and whether it comes once more later.
pub(crate) fn read_in_order(
    world: &mut World,
    plan: ReadPlan,
    mut bend: impl FnMut(Told) -> Told,
    mut next: impl FnMut(usize) -> (usize, bool),
) -> Result<ReadResult, ClientError> {
    let rng = &mut StdRng::seed_from_u64(world.ledger.tip().height.get());
    let (mut reader, mut asks) = Reader::start(plan, rng)?;
    let mut waiting: Vec<Told> = Vec::new();
    for _ in 0..QUESTIONS_MAX {
        waiting.extend(asks.into_iter().map(|ask| bend(world.answer(ask))));
        if reader.is_done() {
            break;
        }
        assert!(!waiting.is_empty(), "the machine waits for nothing");
        let (index, again) = next(waiting.len());
        let told = if again { copy(&waiting[index]) } else { waiting.remove(index) };
        asks = reader.step(told, world.now(), rng);
    }
    reader.finish().expect("it came to its end")
}

/// Lists; `bend` may change the world before each answer and the answer itself.
pub(crate) fn list(
    world: &mut World,
    bend: impl FnMut(&mut World, Told) -> Told,
) -> Result<AccessList, ClientError> {
    list_after(world, Height::new(0), World::now, bend)
}

/// Lists as of no block before `seen`, with this clock.
pub(crate) fn list_after(
    world: &mut World,
    seen: Height,
    now: impl Fn(&World) -> TimeMs,
    mut bend: impl FnMut(&mut World, Told) -> Told,
) -> Result<AccessList, ClientError> {
    let members = world.ledger.faults.members();
    let (policy, seed) = (world.ledger.policy.clone(), world.wallet.chain());
    let (mut lister, mut asks) = Lister::start(policy, members, MemberIndex::new(0), seed, seen);
    for _ in 0..QUESTIONS_MAX {
        let Some(ask) = asks.pop() else { break };
        let told = world.answer(ask);
        let told = bend(world, told);
        let again = copy(&told);
        let now = now(world);
        asks = lister.step(told, now);
        assert!(lister.step(again, now).is_empty(), "an answer counts once");
    }
    lister.finish().expect("it came to its end")
}

fn copy(told: &Told) -> Told {
    let what = match &told.what {
        Err(silence) => Err(silence.clone()),
        Ok(Answer::Committed(committed)) => Ok(Answer::Committed(*committed)),
        Ok(Answer::Released(released)) => Ok(Answer::Released(released.clone())),
        Ok(Answer::Fetched(fetched)) => Ok(Answer::Fetched(fetched.clone())),
        Ok(Answer::Values(values)) => Ok(Answer::Values(values.clone())),
        Ok(Answer::Reached) => Ok(Answer::Reached),
        Ok(Answer::Proof(proof)) => Ok(Answer::Proof(proof.clone())),
    };
    Told { id: told.id, from: told.from, what }
}
