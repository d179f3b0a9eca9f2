//! Whether a transaction is final, among members that lie about it.

use crate::world::{World, terms};
use futures::future::BoxFuture;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::drive::Ground;
use salus_client::{ClientError, Consortium};
use salus_wire::rpc::{Committed, Refusal, Request, Response, Values};
use salus_wire::{Code, List, MemberIndex, Outcome, StateKey, StateProof, TimeMs, Tx};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a member answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Honest,
    /// Says that it is final and does nothing.
    Promises,
    /// Says that it exists already.
    Exists,
    /// Refuses it for a reason that is the caller's doing.
    Refuses,
    Silent,
    /// Takes the question and never answers.
    Slow,
    /// Proves what was so before the first transaction.
    Behind,
    /// Loses power with the first transaction it takes, and does not say so.
    Forgets,
}

struct Members {
    world: Mutex<World>,
    before: StateProof,
    manners: Vec<Manner>,
    /// Transactions that were lost with the power of their members.
    forgotten: Mutex<BTreeSet<MemberIndex>>,
}

impl Members {
    fn submit(&self, tx: &Tx, to: MemberIndex, manner: Manner) -> Option<Response> {
        let first = || self.forgotten.lock().expect("one thread").insert(to);
        let manner = match manner {
            Manner::Forgets if first() => Manner::Silent,
            Manner::Forgets => Manner::Honest,
            manner => manner,
        };
        let mut world = self.world.lock().expect("one thread");
        let refused = |code| Some(Response::Refused(Refusal::bare(code)));
        match manner {
            Manner::Honest => match world.ledger.admit(tx) {
                Ok(()) => {
                    let outcome = world.ledger.block(std::slice::from_ref(tx))[0];
                    Some(Response::Committed(Committed { at: world.ledger.tip(), outcome }))
                }
                Err(code) => refused(code),
            },
            Manner::Promises => {
                Some(Response::Committed(Committed { at: world.ledger.tip(), outcome: Outcome::Applied }))
            }
            Manner::Exists => refused(Code::AlreadyExists),
            Manner::Refuses => refused(Code::BadSignature),
            Manner::Silent | Manner::Slow | Manner::Behind | Manner::Forgets => None,
        }
    }
}

impl Ground for Members {
    fn members(&self) -> u16 {
        4
    }

    fn call<'a>(
        &'a self,
        to: MemberIndex,
        request: &'a Request,
        _: Duration,
    ) -> BoxFuture<'a, Option<Response>> {
        let manner = self.manners[usize::from(to.get())];
        if manner == Manner::Slow {
            return Box::pin(std::future::pending());
        }
        let response = match request {
            Request::Submit(tx) => self.submit(tx, to, manner),
            Request::Prove(_) | Request::Read(_) if manner == Manner::Silent => None,
            Request::Read(keys) => {
                let world = self.world.lock().expect("one thread");
                let values = List::new(world.ledger.values(keys)).expect("as many as keys");
                Some(Response::Values(Values { at: world.ledger.tip(), values }))
            }
            Request::Prove(_) if manner == Manner::Behind => {
                Some(Response::Proof(Box::new(self.before.clone())))
            }
            Request::Prove(keys) => {
                let proof = self.world.lock().expect("one thread").ledger.prove(keys);
                Some(Response::Proof(Box::new(proof)))
            }
            _ => None,
        };
        Box::pin(std::future::ready(response))
    }

    fn pause(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn now(&self) -> TimeMs {
        self.world.lock().expect("one thread").now()
    }

    fn rng(&self) -> Result<StdRng, ClientError> {
        Ok(StdRng::seed_from_u64(1))
    }
}

/// Settles a new grant with members of these manners; whether it stands on the ledger then.
fn settle(manners: [Manner; 4]) -> (Result<Committed, ClientError>, bool) {
    let (settled, stands, _) = settle_and_see(manners);
    (settled, stands)
}

/// The same; and whether the client sees it then.
fn settle_and_see(manners: [Manner; 4]) -> (Result<Committed, ClientError>, bool, bool) {
    let mut world = World::of(4);
    let mut rng = StdRng::seed_from_u64(7);
    let chain = world.ledger.chain;
    let pending = world.wallet.grant(chain, terms(), &mut rng).expect("the chain is long");
    let (tx, tag) = (pending.tx.clone(), pending.file.tag());
    let refused = world.wallet.grant(chain, terms(), &mut rng).map(drop);
    assert!(matches!(refused, Err(ClientError::GrantPending)), "a second grant before the first is final");
    let policy = world.ledger.policy.clone();
    let key = StateKey::Grant(tag);
    let before = world.ledger.prove(&[key]);
    let members = Arc::new(Members {
        world: Mutex::new(world),
        before,
        manners: manners.to_vec(),
        forgotten: Mutex::default(),
    });
    let consortium = Consortium::on(members.clone());
    let settled = consortium.settle(&tx, MemberIndex::new(0), &policy);
    let settled = futures::executor::block_on(settled);
    let seen = futures::executor::block_on(consortium.entry(key, MemberIndex::new(0), &policy));
    let stands = members.world.lock().expect("one thread").ledger.values(&[key])[0].is_some();
    (settled, stands, matches!(seen, Ok(Some(_))))
}

#[test]
fn what_only_some_members_show_yet_is_found() {
    use Manner::{Behind, Honest, Silent};
    for (manners, there) in
        [([Behind, Behind, Honest, Behind], true), ([Behind, Silent, Behind, Behind], false)]
    {
        let (settled, stands, seen) = settle_and_see(manners);
        assert_eq!((settled.is_ok(), stands, seen), (there, there, there));
    }
}

#[test]
fn a_member_that_says_final_is_not_believed() {
    for liar in [Manner::Promises, Manner::Exists, Manner::Refuses, Manner::Silent, Manner::Slow] {
        let (settled, stands) = settle([liar, Manner::Honest, Manner::Honest, Manner::Honest]);
        assert_eq!(settled.expect("three are honest").outcome, Outcome::Applied);
        assert!(stands);
    }
}

#[test]
fn a_transaction_that_every_member_lost_with_its_power_is_ordered_again() {
    let (settled, stands) = settle([Manner::Forgets; 4]);
    assert_eq!(settled.expect("all are back").outcome, Outcome::Applied);
    assert!(stands);
}

#[test]
fn without_a_proof_nothing_is_final() {
    let (settled, stands) = settle([Manner::Promises, Manner::Exists, Manner::Promises, Manner::Silent]);
    assert!(matches!(settled, Err(ClientError::Unproven { .. })) && !stands);
    let (settled, stands) = settle([Manner::Silent; 4]);
    assert!(matches!(settled, Err(ClientError::Unreachable)) && !stands);
}

#[test]
fn a_refusal_counts_when_more_say_so_than_can_lie() {
    let (settled, _) = settle([Manner::Refuses, Manner::Silent, Manner::Refuses, Manner::Silent]);
    assert!(matches!(settled, Err(ClientError::Refused { code: Code::BadSignature })));
}

#[test]
fn others_are_asked_beside_a_member_that_is_slow() {
    let world = World::of(4);
    let (policy, seed) = (world.ledger.policy.clone(), world.wallet.chain());
    let before = world.ledger.prove(&[]);
    let manners = vec![Manner::Slow, Manner::Slow, Manner::Honest, Manner::Honest];
    let consortium = Consortium::on(Arc::new(Members {
        world: Mutex::new(world),
        before,
        manners,
        forgotten: Mutex::default(),
    }));
    let list = futures::executor::block_on(consortium.list(policy, MemberIndex::new(0), seed));
    assert_eq!(list.expect("two answer").grants.len(), 0);
}
