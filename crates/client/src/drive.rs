//! The thin driver: runs the step machines over links, with a clock, timers and entropy that are
//! the process's own or a simulator's ([`Ground`]). No decision is made here that a machine could
//! make.

mod erase;
mod recover;

use crate::ask::{Answer, Ask, AskId, Silence, Told, What};
use crate::error::{ClientError, Fault};
use crate::grant::GrantFile;
use crate::listing::{AccessList, Lister};
use crate::patience::Patience;
use crate::read::{ReadPlan, ReadResult, Reader, TAGS_AT_ONCE};
use crate::settle::{self, Finding};
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng};
use salus_crypto::chain::ChainSeed;
use salus_link::Caller;
use salus_planted::{Bug, is};
use salus_proof::{Proven, ProvenState, TrustPolicy, state};
use salus_wire::ids::{AccessTag, MemberIndex, TimeMs};
use salus_wire::rpc::{Committed, FinalBlock, Refusal, Request, Response, Status, Values};
use salus_wire::{Code, Height, List, StateKey, StateProof, StateValue, Tx};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For a transaction to become final, dead leaders included. A member that lost power forgot it and does not
/// say so.
const SUBMIT_WITHIN: Duration = Duration::from_secs(10);
/// How often each member is asked to settle a transaction of which nothing is known yet.
const SETTLE_ROUNDS: usize = 3;
/// For anything else. A custodian or store slower than this counts as silent.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// For a member to settle a transaction before another is asked beside it.
const HEDGE_AFTER: Duration = Duration::from_secs(2);

/// What a client stands on.
pub trait Ground: Send + Sync {
    /// How many members there are.
    fn members(&self) -> u16;
    /// Asks one member; `None` when it cannot be reached or is silent for longer than `within`.
    fn call<'a>(
        &'a self,
        to: MemberIndex,
        request: &'a Request,
        within: Duration,
    ) -> BoxFuture<'a, Option<Response>>;
    /// Waits.
    fn pause(&self, time: Duration) -> BoxFuture<'static, ()>;
    /// The client's clock.
    fn now(&self) -> TimeMs;
    /// A fresh generator.
    ///
    /// # Errors
    /// When there is no entropy.
    fn rng(&self) -> Result<StdRng, ClientError>;
}

/// Real links, and the clock, timers and entropy of this process.
struct Process(Caller);

impl Ground for Process {
    fn members(&self) -> u16 {
        u16::try_from(self.0.peers().count()).unwrap_or(u16::MAX)
    }

    fn call<'a>(
        &'a self,
        to: MemberIndex,
        request: &'a Request,
        within: Duration,
    ) -> BoxFuture<'a, Option<Response>> {
        Box::pin(async move { self.0.peer(to).ok()?.call(request, within).await.ok() })
    }

    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> TimeMs {
        now()
    }

    fn rng(&self) -> Result<StdRng, ClientError> {
        entropy()
    }
}

/// A consortium as a client sees it.
#[derive(Clone)]
pub struct Consortium {
    pub(crate) ground: Arc<dyn Ground>,
    pub(crate) members: u16,
    /// The highest block that a proof has shown: no list is taken as of an earlier one.
    seen: Arc<AtomicU64>,
}

impl Consortium {
    /// A client of the members that `caller` knows.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self::on(Arc::new(Process(caller)))
    }

    /// A client on other ground.
    #[must_use]
    pub fn on(ground: Arc<dyn Ground>) -> Self {
        let members = ground.members().max(1);
        Self { ground, members, seen: Arc::default() }
    }

    /// Has a transaction ordered and returns once a proof under the consortium's certificate shows
    /// that it took effect, whatever any member says. Asks `home` first, then the others in turn, and all
    /// of them again when nothing is heard.
    /// Every transaction names a key that only one may write, so asking twice cannot order it twice.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when its place is proven to be another's, or when more members
    /// refuse it than can lie; [`ClientError::Unproven`] with what each member did when no proof
    /// came: it may be final or become so, and asking again is safe.
    pub async fn settle(
        &self,
        tx: &Tx,
        home: MemberIndex,
        policy: &TrustPolicy,
    ) -> Result<Committed, ClientError> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut turns = (0..SETTLE_ROUNDS).flat_map(|_| self.in_turn(home));
        let mut asked = FuturesUnordered::new();
        loop {
            // The next is asked when those before have answered, or are slow to.
            let more = turns.next().map(|to| asked.push(self.settled_by(tx, to, policy))).is_some();
            let answer = if more {
                match select(asked.next(), self.ground.pause(HEDGE_AFTER)).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => continue,
                }
            } else {
                asked.next().await
            };
            match answer {
                Some(Ok(Finding::Final(at))) => {
                    return Ok(Committed { at, outcome: salus_wire::Outcome::Applied });
                }
                Some(Ok(_)) => return Err(ClientError::Refused { code: Code::AlreadyExists }),
                Some(Err(fault)) => {
                    faults.retain(|earlier| earlier.member != fault.member);
                    faults.push(fault);
                }
                None => break,
            }
            if let Some(code) = self.agreed(&faults) {
                return Err(ClientError::Refused { code });
            }
        }
        let unreachable = faults.iter().all(|fault| fault.code == Code::Unreachable);
        Err(if unreachable { ClientError::Unreachable } else { ClientError::Unproven { faults } })
    }

    /// Has one member order a transaction; what a proof says of it then, unless it is nothing.
    async fn settled_by(&self, tx: &Tx, to: MemberIndex, policy: &TrustPolicy) -> Result<Finding, Fault> {
        let key = settle::target(&tx.body);
        let said = self.answer(to, What::Submit(Box::new(tx.clone()))).await;
        if let Ok(Answer::Committed(Committed { at, .. })) = &said
            && is(Bug::MemberBelieved)
        {
            return Ok(Finding::Final(*at));
        }
        let denied = match &said {
            Ok(Answer::Committed(Committed { outcome: salus_wire::Outcome::Refused(code), .. })) => {
                Some(*code)
            }
            Err(Silence::Refused(refusal)) => Some(refusal.code),
            _ => None,
        };
        let claims = matches!(said, Ok(Answer::Committed(_))) || denied.is_some_and(is_ours_already);
        if claims && let Ok(state) = self.proven(vec![key], to, policy).await {
            match settle::judge(tx, state.get(&key)) {
                Finding::Open => {}
                decisive => return Ok(decisive),
            }
        }
        let code = denied.unwrap_or(if claims { Code::ProofInvalid } else { Code::Unreachable });
        Err(Fault { member: to, code, detail: "settling".to_owned() })
    }

    /// Entries and absences under a certified header, from the first member whose proof verifies.
    ///
    /// # Errors
    /// [`ClientError::Unproven`] or [`ClientError::Unreachable`].
    pub async fn proven(
        &self,
        keys: Vec<StateKey>,
        home: MemberIndex,
        policy: &TrustPolicy,
    ) -> Result<ProvenState, ClientError> {
        let mut faults: Vec<Fault> = Vec::new();
        for to in self.in_turn(home) {
            let told = self.beside(AskId(0), to, || What::Prove(keys.clone())).await;
            let (Ok(Answer::Proof(proof)), to) = (told.what, told.from) else { continue };
            match state::verify(policy, &proof) {
                Ok(state) => {
                    self.saw(state.at().height);
                    return Ok(state);
                }
                Err(_) => {
                    let detail = "proving".to_owned();
                    faults.push(Fault { member: to, code: Code::ProofInvalid, detail });
                }
            }
        }
        Err(if faults.is_empty() { ClientError::Unreachable } else { ClientError::Unproven { faults } })
    }

    /// An entry of the state as a proof shows it, from the first member that has it. Who is behind proves,
    /// truthfully, that there is none; so its absence counts once every member that answers proves it.
    ///
    /// # Errors
    /// As [`Self::proven`].
    pub async fn entry(
        &self,
        key: StateKey,
        home: MemberIndex,
        policy: &TrustPolicy,
    ) -> Result<Option<StateValue>, ClientError> {
        for first in self.in_turn(home) {
            let state = self.proven(vec![key], first, policy).await?;
            if let Proven::Present(value) = state.get(&key) {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    /// The reason that more members than can lie refuse for, when it is the caller's doing.
    fn agreed(&self, faults: &[Fault]) -> Option<Code> {
        let liars = usize::from(self.members.saturating_sub(1) / 3);
        let liars = if is(Bug::RefusalBelieved) { 0 } else { liars };
        let last = faults.last()?.code;
        let same = faults.iter().filter(|fault| fault.code == last).count();
        // That the place is taken, or the entry ended, shows in the proof, or it is not so.
        let decisive = last.blame() == salus_wire::Blame::Caller && !is_ours_already(last);
        (decisive && same > liars).then_some(last)
    }

    /// Every member, `home` first.
    fn in_turn(&self, home: MemberIndex) -> impl Iterator<Item = MemberIndex> + use<> {
        let members = self.members;
        (0..members).map(move |turn| MemberIndex::new(home.get().wrapping_add(turn) % members))
    }

    /// Orders a transaction, asking `home` first and the others when it cannot be reached. What it
    /// returns is one member's word; who acts on it calls [`Self::settle`].
    pub async fn submit(&self, tx: &Tx, home: MemberIndex) -> Result<Committed, ClientError> {
        let mut lost = false;
        for turn in 0..self.members {
            let to = MemberIndex::new(home.get().wrapping_add(turn) % self.members);
            match self.answer(to, What::Submit(Box::new(tx.clone()))).await {
                Ok(Answer::Committed(committed)) => return Ok(committed),
                Err(Silence::Refused(refusal)) if lost && is_ours_already(refusal.code) => {
                    let at = self.status(to).await?.head;
                    return Ok(Committed { at, outcome: salus_wire::Outcome::Applied });
                }
                Err(Silence::Refused(refusal))
                    if refusal.retry_after_ms == 0 && refusal.code.blame() == salus_wire::Blame::Caller =>
                {
                    return Err(ClientError::Refused { code: refusal.code });
                }
                _ => lost = true,
            }
        }
        Err(ClientError::Unreachable)
    }

    /// State entries at the head of the first member that answers, unproven.
    pub async fn values(&self, keys: Vec<StateKey>, home: MemberIndex) -> Result<Values, ClientError> {
        for turn in 0..self.members {
            let to = MemberIndex::new(home.get().wrapping_add(turn) % self.members);
            let told = self.beside(AskId(0), to, || What::Read(keys.clone())).await;
            if let Ok(Answer::Values(values)) = told.what {
                return Ok(values);
            }
        }
        Err(ClientError::Unreachable)
    }

    /// The first tag of a grant's lane that one member does not show as taken, from 1. A wrong
    /// answer costs a retry and nothing else: the ledger decides who has a tag.
    pub async fn next_tag(&self, grant: &GrantFile, home: MemberIndex) -> Result<u16, ClientError> {
        let tags = grant.lane().map(|lane| lane.tags()).unwrap_or_default();
        let mut first = 1_u16;
        for stride in tags.chunks(TAGS_AT_ONCE) {
            let keys: Vec<StateKey> = stride.iter().map(|tag| StateKey::Access(AccessTag(*tag))).collect();
            let values = self.values(keys, home).await?;
            let taken = values.values.iter().take_while(|value| value.is_some()).count();
            first = first.saturating_add(u16::try_from(taken).unwrap_or(u16::MAX));
            if taken < stride.len() {
                return Ok(first);
            }
        }
        Err(ClientError::ChainUsedUp)
    }

    /// A proof of state entries and absences from the first member that answers. Unverified: the
    /// caller holds it against a trust policy.
    pub async fn prove(&self, keys: Vec<StateKey>, home: MemberIndex) -> Result<StateProof, ClientError> {
        for turn in 0..self.members {
            let to = MemberIndex::new(home.get().wrapping_add(turn) % self.members);
            if let Ok(Answer::Proof(proof)) = self.answer(to, What::Prove(keys.clone())).await {
                return Ok(*proof);
            }
        }
        Err(ClientError::Unreachable)
    }

    /// How one member is.
    pub async fn status(&self, member: MemberIndex) -> Result<Status, ClientError> {
        match self.call(member, &Request::Status, ANSWER_WITHIN).await {
            Some(Response::Status(status)) => Ok(status),
            Some(Response::Refused(refusal)) => Err(ClientError::Refused { code: refusal.code }),
            _ => Err(ClientError::Unreachable),
        }
    }

    /// Final blocks above a height, as one member has them.
    pub async fn follow(&self, member: MemberIndex, above: Height) -> Result<Vec<FinalBlock>, ClientError> {
        match self.call(member, &Request::Follow(above), ANSWER_WITHIN).await {
            Some(Response::Blocks(blocks)) => Ok(blocks.into_vec()),
            Some(Response::Refused(refusal)) => Err(ClientError::Refused { code: refusal.code }),
            _ => Err(ClientError::Unreachable),
        }
    }

    /// Reads under a grant.
    pub async fn read(&self, plan: ReadPlan) -> Result<ReadResult, ClientError> {
        let mut rng = self.ground.rng()?;
        let policy = plan.policy.clone();
        let (mut reader, asks) = Reader::start(plan, &mut rng)?;
        let mut waiting = FuturesUnordered::new();
        let mut asks = asks;
        loop {
            for ask in asks {
                let (id, from) = (ask.id, ask.to);
                let slow = self.ground.pause(HEDGE_AFTER);
                waiting.push(Either::Right(slow.map(move |()| Told { id, from, what: Err(Silence::Slow) })));
                waiting.push(Either::Left(self.told(ask, &policy)));
            }
            let Some(told) = waiting.next().await else { break };
            asks = reader.step(told, self.ground.now(), &mut rng);
            if reader.is_done() {
                break;
            }
        }
        reader.finish().unwrap_or(Err(ClientError::Unreachable))
    }

    /// Lists a patient's grants and accesses, complete as of a height that is recent by this client's
    /// clock and not before any that it was shown.
    ///
    /// # Errors
    /// [`ClientError::Stale`] when more members than can lie prove only what was so long ago;
    /// [`ClientError::Unproven`] when no proof verifies and shows the end of every chain.
    pub async fn list(
        &self,
        policy: TrustPolicy,
        home: MemberIndex,
        seed: ChainSeed,
    ) -> Result<AccessList, ClientError> {
        let seen = Height::new(self.seen.load(Ordering::Relaxed));
        let (mut lister, mut asks) = Lister::start(policy.clone(), self.members, home, seed, seen);
        while let Some(ask) = asks.pop() {
            let told = self.told(ask, &policy).await;
            asks = lister.step(told, self.ground.now());
        }
        let list = lister.finish().unwrap_or(Err(ClientError::Unreachable))?;
        self.saw(list.at.height);
        Ok(list)
    }

    fn saw(&self, height: Height) {
        self.seen.fetch_max(height.get(), Ordering::Relaxed);
    }

    async fn told(&self, ask: Ask, policy: &TrustPolicy) -> Told {
        let Ask { id, to, what } = ask;
        let what = match what {
            What::Settle(tx) => match self.settle(&tx, to, policy).await {
                Ok(committed) => Ok(Answer::Committed(committed)),
                Err(ClientError::Refused { code }) => Err(Silence::Refused(Refusal::bare(code))),
                Err(_) => Err(Silence::Unreachable),
            },
            What::Prove(keys) => return self.beside(id, to, || What::Prove(keys.clone())).await,
            What::Read(keys) => return self.beside(id, to, || What::Read(keys.clone())).await,
            what => self.answer(to, what).await,
        };
        Told { id, from: to, what }
    }

    /// Asks what any member can answer, and the next member beside one that is slow.
    async fn beside(&self, id: AskId, home: MemberIndex, what: impl Fn() -> What) -> Told {
        let mut turns = self.in_turn(home);
        let mut asked = FuturesUnordered::new();
        loop {
            let next = turns.next();
            let more = next.is_some();
            asked.extend(next.map(|to| self.answer(to, what()).map(move |what| Told { id, from: to, what })));
            let answer = if more {
                match select(asked.next(), self.ground.pause(HEDGE_AFTER)).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => continue,
                }
            } else {
                asked.next().await
            };
            return answer.unwrap_or(Told { id, from: home, what: Err(Silence::Unreachable) });
        }
    }

    async fn answer(&self, to: MemberIndex, what: What) -> Result<Answer, Silence> {
        let within = if matches!(what, What::Submit(_)) { SUBMIT_WITHIN } else { ANSWER_WITHIN };
        let request = request(what).ok_or(Silence::Unreachable)?;
        let mut patience = Patience::new(within);
        loop {
            let response = self.call(to, &request, within).await.ok_or(Silence::Unreachable)?;
            match self.pause(&response, &mut patience) {
                Some(pause) => self.ground.pause(pause).await,
                None => return answer(response),
            }
        }
    }

    /// How long to wait for a member that is busy for now.
    pub(crate) fn pause(&self, response: &Response, patience: &mut Patience) -> Option<Duration> {
        match response {
            Response::Refused(refusal) if refusal.retry_after_ms > 0 => {
                let random = self.ground.rng().map_or(0, |mut rng| rng.next_u32());
                patience.pause(refusal.retry_after_ms, random)
            }
            _ => None,
        }
    }

    pub(crate) async fn call(
        &self,
        to: MemberIndex,
        request: &Request,
        within: Duration,
    ) -> Option<Response> {
        self.ground.call(to, request, within).await
    }
}

/// The wall clock of this process.
#[must_use]
pub fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A generator seeded by the operating system.
pub fn entropy() -> Result<StdRng, ClientError> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| ClientError::Refused { code: Code::Internal })
}

fn is_ours_already(code: Code) -> bool {
    matches!(code, Code::AlreadyExists | Code::Revoked)
}

fn request(what: What) -> Option<Request> {
    Some(match what {
        What::Submit(tx) | What::Settle(tx) => Request::Submit(tx),
        What::Reach(height) => Request::Follow(Height::new(height.get().saturating_sub(1))),
        What::Release(release) => Request::Release(release),
        What::Fetch(fetch) => Request::Fetch(fetch),
        What::Read(keys) => Request::Read(List::new(keys).ok()?),
        What::Prove(keys) => Request::Prove(List::new(keys).ok()?),
    })
}

fn answer(response: Response) -> Result<Answer, Silence> {
    match response {
        Response::Committed(committed) => Ok(Answer::Committed(committed)),
        Response::Blocks(_) => Ok(Answer::Reached),
        Response::Released(released) => Ok(Answer::Released(released)),
        Response::Fragment(fetched) => Ok(Answer::Fetched(fetched)),
        Response::Values(values) => Ok(Answer::Values(values)),
        Response::Proof(proof) => Ok(Answer::Proof(proof)),
        Response::Refused(refusal) => Err(Silence::Refused(refusal)),
        _ => Err(Silence::Unreachable),
    }
}
