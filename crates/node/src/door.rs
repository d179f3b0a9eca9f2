//! The door: one request in, one response out. Takes a place at the gate of the role that is asked,
//! before the role does anything, and turns whatever goes wrong into a coded refusal. It decides
//! nothing.

use crate::activity::ActivityBook;
use crate::custodian::Custodian;
use crate::deposits::Deposits;
use crate::emergency::Emergency;
use crate::eraser::Eraser;
use crate::follow;
use crate::keeper::Keeper;
use crate::limits::{ACTIVITY_TOKENS, Gates, Inside, keys_cost, put_cost};
use crate::office::Office;
use crate::recovery::Recovery;
use crate::refused;
use salus_engine::Handle;
use salus_link::Subject;
use salus_wire::rpc::{Refusal, Request, Response, Status, Values};
use salus_wire::state::Tip;
use salus_wire::{Code, List, StateKey, Urgency};
use std::sync::Arc;

/// All roles of one member.
pub struct Door {
    /// What they share.
    pub office: Arc<Office>,
    /// The ledger.
    pub engine: Handle,
    /// The store.
    pub keeper: Keeper,
    /// The custodian's intake.
    pub deposits: Deposits,
    /// The custodian.
    pub custodian: Custodian,
    /// The custodian in an emergency.
    pub emergency: Arc<Emergency>,
    /// Who obeys orders of erasure; nobody at a member that is simulated without one.
    pub eraser: Option<Eraser>,
    /// What the custodian remembers of releases; nothing at a member that is simulated without it.
    pub activity: Option<Arc<ActivityBook>>,
    /// The custodian of recoveries; nobody at a member that is simulated without one.
    pub recovery: Option<Arc<Recovery>>,
    /// How much at once.
    pub gates: Gates,
}

impl Door {
    /// Answers one request of a certified caller. May be dropped at any await.
    pub async fn answer(&self, caller: Subject, request: Request) -> Response {
        let kind = name(&request);
        match self.dispatch(caller, request).await {
            Ok(response) => response,
            Err(refusal) => {
                let code = refusal.code;
                tracing::debug!(?caller, %code, what = code.what(), kind, "refused");
                Response::Refused(refusal)
            }
        }
    }

    async fn dispatch(&self, caller: Subject, request: Request) -> Result<Response, Refusal> {
        let _place = self.place(caller, &request)?;
        match request {
            Request::Status => Ok(Response::Status(self.status())),
            Request::Submit(tx) => {
                self.engine.submit(*tx).await.map(Response::Committed).map_err(refused::engine)
            }
            Request::Read(keys) => self.values(keys.into_vec()).await,
            Request::Prove(keys) => {
                let proof = self.engine.prove(keys.into_vec()).await.map_err(refused::engine)?;
                Ok(Response::Proof(Box::new(proof)))
            }
            Request::Certified(height) => {
                let chain = self.engine.certified(height).await.map_err(refused::engine)?;
                Ok(Response::Certified(Box::new(chain)))
            }
            Request::Follow(above) => follow::blocks(&self.office, &self.engine, above).await,
            Request::Put(put) => self.keeper.put(*put).await.map(Response::Held),
            Request::Fetch(fetch) => {
                self.keeper.fetch(fetch).await.map(|fetched| Response::Fragment(Box::new(fetched)))
            }
            Request::Deposit(deposit) => self.deposits.take(*deposit).await,
            Request::Release(request) => {
                self.custodian.answer(request).await.map(|released| Response::Released(Box::new(released)))
            }
            Request::Prepare(deposit) => self.emergency.prepare(*deposit).await,
            Request::BreakGlass(request) => {
                self.emergency.break_glass(request).await.map(|glass| Response::Glass(Box::new(glass)))
            }
            Request::Reviews(request) => self.emergency.reviews(request).await,
            Request::Activity(request) => {
                let activity = self.activity.as_ref().ok_or(refused::bare(Code::NotReady))?;
                activity.tell(&request).await.map(Response::Activity)
            }
            Request::Erase(request) => {
                let eraser = self.eraser.as_ref().ok_or(refused::bare(Code::NotReady))?;
                eraser.answer(request).await.map(Response::Erased)
            }
            Request::KeepRecovery(deposit) => self.recovery()?.keep(*deposit).await,
            Request::Recover(request) => {
                let given = self.recovery()?.give(request).await?;
                Ok(Response::Recovered(Box::new(given)))
            }
        }
    }

    /// A place for this request; [`Request::Status`] needs none, it is a look at what is at hand.
    fn place(&self, caller: Subject, request: &Request) -> Result<Option<Inside<'_>>, Refusal> {
        let gates = &self.gates;
        let (gate, cost) = match request {
            Request::Status => return Ok(None),
            Request::Submit(tx) => match tx.body.urgency() {
                Urgency::Urgent => (&gates.urgent, 1),
                Urgency::Ordinary => (&gates.submits, 1),
            },
            Request::Read(keys) | Request::Prove(keys) => (&gates.reads, keys_cost(keys.len())),
            Request::Certified(_) => (&gates.reads, 1),
            Request::Activity(_) => (&gates.reads, ACTIVITY_TOKENS),
            Request::Follow(_) => (&gates.follows, 1),
            Request::Put(put) => (&gates.puts, put_cost(put)),
            Request::Fetch(_) => (&gates.fetches, 1),
            Request::Deposit(_) => (&gates.deposits, 1),
            Request::Release(_) | Request::Erase(_) => (&gates.releases, 1),
            Request::KeepRecovery(_) | Request::Recover(_) => (&gates.recoveries, 1),
            Request::Prepare(_) | Request::BreakGlass(_) | Request::Reviews(_) => (&gates.emergencies, 1),
        };
        gate.enter(caller, cost, &self.office.clock).map(Some)
    }

    fn recovery(&self) -> Result<&Recovery, Refusal> {
        self.recovery.as_deref().ok_or(refused::bare(Code::NotReady))
    }

    async fn values(&self, keys: Vec<StateKey>) -> Result<Response, Refusal> {
        let (at, values) = (self.office.read)(keys).await?;
        let values = List::new(values).map_err(|_| refused::bare(Code::Internal))?;
        Ok(Response::Values(Values { at, values }))
    }

    fn status(&self) -> Status {
        let stats = self.engine.stats();
        Status {
            member: self.office.me,
            chain: self.office.chain,
            head: Tip { height: stats.head.height, time: stats.head.time },
            state: stats.head.state,
            now: self.office.now(),
            peers: stats.peers,
            waiting: stats.waiting,
            fragments: self.keeper.count(),
            epochs: self.custodian.count(),
        }
    }
}

const fn name(request: &Request) -> &'static str {
    match request {
        Request::Status => "status",
        Request::Submit(_) => "submit",
        Request::Read(_) => "read",
        Request::Prove(_) => "prove",
        Request::Follow(_) => "follow",
        Request::Certified(_) => "certified",
        Request::Put(_) => "put",
        Request::Fetch(_) => "fetch",
        Request::Deposit(_) => "deposit",
        Request::Release(_) => "release",
        Request::Prepare(_) => "prepare",
        Request::BreakGlass(_) => "break glass",
        Request::Reviews(_) => "reviews",
        Request::Erase(_) => "erase",
        Request::Activity(_) => "activity",
        Request::KeepRecovery(_) => "keep recovery",
        Request::Recover(_) => "recover",
    }
}
