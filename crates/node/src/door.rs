//! The door: one request in, one response out. Finds the role, takes a place at its gate, and turns
//! whatever goes wrong into a coded refusal. It decides nothing.

use crate::custodian::Custodian;
use crate::deposits::Deposits;
use crate::follow;
use crate::keeper::Keeper;
use crate::limits::Gates;
use crate::office::Office;
use crate::refused;
use salus_engine::Handle;
use salus_link::Subject;
use salus_wire::rpc::{Refusal, Request, Response, Status, Values};
use salus_wire::state::Tip;
use salus_wire::{Code, List, StateKey};
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
    /// How much at once.
    pub gates: Gates,
}

impl Door {
    /// Answers one request of a certified caller. May be dropped at any await.
    pub async fn answer(&self, caller: Subject, request: Request) -> Response {
        let kind = name(&request);
        match self.dispatch(request).await {
            Ok(response) => response,
            Err(refusal) => {
                let code = refusal.code;
                tracing::debug!(?caller, %code, what = code.what(), kind, "refused");
                Response::Refused(refusal)
            }
        }
    }

    async fn dispatch(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Status => Ok(Response::Status(self.status())),
            Request::Submit(tx) => {
                let _place = self.gates.submits.enter()?;
                self.engine.submit(*tx).await.map(Response::Committed).map_err(refused::engine)
            }
            Request::Read(keys) => {
                let _place = self.gates.reads.enter()?;
                self.values(keys.into_vec()).await
            }
            Request::Prove(keys) => {
                let _place = self.gates.reads.enter()?;
                let proof = self.engine.prove(keys.into_vec()).await.map_err(refused::engine)?;
                Ok(Response::Proof(Box::new(proof)))
            }
            Request::Certified(height) => {
                let _place = self.gates.reads.enter()?;
                let chain = self.engine.certified(height).await.map_err(refused::engine)?;
                Ok(Response::Certified(Box::new(chain)))
            }
            Request::Follow(above) => {
                let _place = self.gates.follows.enter()?;
                follow::blocks(&self.office, &self.engine, above).await
            }
            Request::Put(put) => {
                let _place = self.gates.puts.enter()?;
                self.keeper.put(*put).await.map(Response::Held)
            }
            Request::Fetch(fetch) => {
                let _place = self.gates.fetches.enter()?;
                self.keeper.fetch(fetch).await.map(|fetched| Response::Fragment(Box::new(fetched)))
            }
            Request::Deposit(deposit) => {
                let _place = self.gates.deposits.enter()?;
                self.deposits.take(*deposit).await
            }
            Request::Release(request) => {
                let _place = self.gates.releases.enter()?;
                self.custodian.answer(request).await.map(|released| Response::Released(Box::new(released)))
            }
        }
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
    }
}
