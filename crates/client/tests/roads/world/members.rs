//! What each member holds and how it answers honestly.

use super::World;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_client::Ask;
use salus_client::ask::{Answer, Silence, Told, What};
use salus_consent::{Denied, Desk, FinalView, Permit, Policies, Refusals, decide};
use salus_crypto::Secret;
use salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX;
use salus_wire::release::{
    EpochShare, EpochShares, ReleaseRequest, Released, ShareBytes, release_info, released_message,
};
use salus_wire::rpc::{Committed, Fetch, Fetched, Refusal, Values, fetch_message};
use salus_wire::{
    ChainId, Code, List, Locator, MemberIndex, Outcome, StateKey, StateValue, TimeMs, Tx, encode, namespaces,
};
use std::collections::BTreeMap;

/// A member's custodian.
pub(crate) struct Custodian {
    desk: Desk,
    shares: Vec<EpochShare>,
}

/// A member's store.
#[derive(Default)]
pub(crate) struct Store(BTreeMap<Locator, Fetched>);

impl Custodian {
    pub(super) fn new(chain: ChainId, me: MemberIndex) -> Self {
        Self { desk: Desk::new(chain, me), shares: Vec::new() }
    }

    pub(super) fn deposit(&mut self, share: EpochShare) {
        self.shares.push(share);
        self.shares.sort_by_key(|share| (share.header.span.from(), share.header.epoch));
    }

    /// Loses all that was deposited.
    pub(crate) fn forget(&mut self) {
        self.shares.clear();
    }

    /// Loses the first share that was deposited, in order of time.
    pub(crate) fn forget_first(&mut self) {
        self.shares.remove(0);
    }

    /// Changes a bit of every share it holds, or of the first alone.
    pub(crate) fn corrupt(&mut self, all: bool) {
        let count = if all { self.shares.len() } else { 1 };
        for share in &mut self.shares[..count] {
            let mut bytes = *share.share.0.danger_expose();
            bytes[7] ^= 1;
            share.share = ShareBytes(Secret::from_bytes(bytes));
        }
    }

    /// Holds every share three times.
    pub(crate) fn repeat(&mut self) {
        self.shares = self.shares.iter().flat_map(|share| [copy(share), copy(share), copy(share)]).collect();
    }
}

fn copy(share: &EpochShare) -> EpochShare {
    let bytes = ShareBytes(Secret::from_bytes(*share.share.0.danger_expose()));
    EpochShare { header: share.header.clone(), signature: share.signature, share: bytes }
}

impl Store {
    pub(crate) fn keep(&mut self, fetched: Fetched) {
        self.0.insert(fetched.manifest.locator, fetched);
    }

    /// Everything it holds, to be bent.
    pub(crate) fn held(&mut self) -> impl Iterator<Item = &mut Fetched> {
        self.0.values_mut()
    }

    pub(crate) fn get(&self, locator: &Locator) -> Option<&Fetched> {
        self.0.get(locator)
    }

    /// Loses everything.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl World {
    /// The honest answer.
    pub(crate) fn answer(&mut self, ask: Ask) -> Told {
        let Ask { id, to, what } = ask;
        let what = match what {
            What::Submit(tx) | What::Settle(tx) => self.submit(&tx).map(Answer::Committed),
            What::Reach(_) => Ok(Answer::Reached),
            What::Release(request) => {
                self.release(to, request).map(|released| Answer::Released(Box::new(released)))
            }
            What::Fetch(fetch) => self.fetch(to, &fetch).map(|fetched| Answer::Fetched(Box::new(fetched))),
            What::Read(keys) => Ok(Answer::Values(self.values(&keys))),
            What::Prove(keys) => Ok(Answer::Proof(Box::new(self.ledger.prove(&keys)))),
        };
        Told { id, from: to, what: what.map_err(|code| Silence::Refused(Refusal::bare(code))) }
    }

    fn values(&self, keys: &[StateKey]) -> Values {
        let values = List::new(self.ledger.values(keys)).expect("few keys");
        Values { at: self.ledger.tip(), values }
    }

    fn submit(&mut self, tx: &Tx) -> Result<Committed, Code> {
        if !self.orders_blindly {
            self.ledger.admit(tx)?;
        }
        let outcomes = self.ledger.block(std::slice::from_ref(tx));
        let outcome = outcomes.first().copied().unwrap_or(Outcome::Refused(Code::Internal));
        Ok(Committed { at: self.ledger.tip(), outcome })
    }

    fn view(&self, keys: Vec<StateKey>) -> Result<FinalView, Denied> {
        let values = self.ledger.values(&keys);
        FinalView::new(self.ledger.tip(), keys, values)
    }

    fn permit(&mut self, me: usize, request: ReleaseRequest, now: TimeMs) -> Result<Permit, Denied> {
        let admitted = self.custodians[me].desk.admit(request, now)?;
        let view = self.view(admitted.reads())?;
        let opened = admitted.open(&view, now)?;
        self.custodians[me].desk.learn(&opened);
        let view = self.view(opened.reads())?;
        let introduced = opened.introduce(&view)?;
        let view = self.view(introduced.reads())?;
        decide(introduced, &view, &mut Policies::default(), now)?.permit(&Refusals::default())
    }

    fn release(&mut self, me: MemberIndex, request: ReleaseRequest) -> Result<Released, Code> {
        let (at, now) = (usize::from(me.get()), self.now());
        let permit = self.permit(at, request, now).map_err(Denied::code)?;
        let skip = permit.skip().try_into().expect("small");
        let redeemed = permit.redeem(&Refusals::default(), now).map_err(Denied::code)?;
        let held = self.custodians[at].shares.iter().filter(|share| redeemed.opens(&share.header)).skip(skip);
        let mut held: Vec<EpochShare> = held.map(copy).collect();
        if held.is_empty() {
            return Err(Code::NothingHeld);
        }
        let beyond = held.len().saturating_sub(EPOCHS_PER_ENVELOPE_MAX);
        held.truncate(EPOCHS_PER_ENVELOPE_MAX);
        let (chain, access) = (self.ledger.chain, redeemed.access());
        let plain = encode(&EpochShares(List::new(held).expect("just cut")));
        let rng = &mut StdRng::seed_from_u64(3);
        let sealed = redeemed.reader().seal(&release_info(chain, me, access), &[], &plain, rng);
        let sealed = sealed.expect("the reader's key is a key");
        let remaining = beyond.try_into().expect("small");
        let message = released_message(chain, me, access, &sealed, remaining);
        let signature = self.ledger.service[at].sign(namespaces::RELEASED, &message);
        Ok(Released { custodian: me, access, sealed, remaining, signature })
    }

    fn fetch(&self, me: MemberIndex, fetch: &Fetch) -> Result<Fetched, Code> {
        let Fetch { terms, signature } = fetch;
        let access = self.ledger.values(&[StateKey::Access(terms.access)]).remove(0);
        let Some(StateValue::Access(access)) = access else { return Err(Code::AccessRequired) };
        let message = fetch_message(self.ledger.chain, terms);
        access.one_time.verify(namespaces::FETCH, &message, signature).map_err(|_| Code::RequestSignature)?;
        assert_eq!(terms.store, me);
        let store = &self.stores[usize::from(me.get())];
        store.0.get(&terms.locator).cloned().ok_or(Code::NoSuchSegment)
    }
}
