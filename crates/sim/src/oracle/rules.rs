//! What a transaction may do, read off the documents of its variant (`salus_wire::tx`,
//! spec/encoding.md section 4, the codes): one plain judgement with *every* objection that holds,
//! because no document says which of several is named.
//!
//! Refuses to know blocks and what was answered to anybody.

use salus_crypto::digest::{Digest, sha256};
use salus_crypto::sign::PublicKey;
use salus_wire::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES};
use salus_wire::manifest::held_message;
use salus_wire::state::{
    AccessRecord, AnchorRecord, CaseRecord, DestructionRecord, DeviceRecord, GrantRecord, IdentityRecord,
    PolicyRecord, ReviewRecord, Standing, StateKey, StateValue, Tip,
};
use salus_wire::tx::{Held, PartyKind};
use salus_wire::{
    BatchNumber, ChainId, Code, Holder, MemberIndex, Outcome, PartyId, Role, Tx, TxBody, namespaces,
};
use std::collections::{BTreeMap, BTreeSet};

/// All entries, by key.
pub(crate) type State = BTreeMap<StateKey, StateValue>;

/// What ought to become of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes effect: this one entry is written.
    Applies(StateKey, Box<StateValue>),
    /// It changes nothing, for any of these reasons.
    Refused(Objections),
}

/// Why a transaction is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objections {
    /// Codes whose meaning fits.
    codes: BTreeSet<Code>,
    /// Whether something is wrong for which no document names the code.
    unnamed: bool,
}

/// Who judges: the rules are the same for the whole life of a consortium.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) chain: ChainId,
    /// n - f.
    pub(crate) quorum: usize,
}

type Write = (StateKey, StateValue);

impl Verdict {
    /// Whether this may have become of it.
    pub(crate) fn allows(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Applies(..), Outcome::Applied) => true,
            (Self::Refused(why), Outcome::Refused(code)) => why.unnamed || why.codes.contains(code),
            _ => false,
        }
    }
}

impl Objections {
    fn when(&mut self, wrong: bool, code: Code) {
        if wrong {
            self.codes.insert(code);
        }
    }

    fn unnamed_when(&mut self, wrong: bool) {
        self.unnamed |= wrong;
    }

    fn none(&self) -> bool {
        self.codes.is_empty() && !self.unnamed
    }
}

impl Rules {
    /// Judges `tx` on `state`, in a block at `tip`.
    pub(crate) fn judge(&self, state: &State, tip: Tip, tx: &Tx) -> Verdict {
        let mut no = Objections::default();
        let message = Tx::message(self.chain, &tx.body);
        no.when(tx.signer.verify(namespaces::TX, &message, &tx.signature).is_err(), Code::BadSignature);
        no.when(!tx.fits(), Code::TooLarge);
        let write = self.write(state, tip, tx, &mut no);
        match write {
            Some((key, value)) if no.none() => Verdict::Applies(key, Box::new(value)),
            Some(_) => Verdict::Refused(no),
            None => {
                no.unnamed_when(no.none());
                Verdict::Refused(no)
            }
        }
    }

    fn write(&self, state: &State, tip: Tip, tx: &Tx, no: &mut Objections) -> Option<Write> {
        let signer = tx.signer;
        match &tx.body {
            TxBody::RegisterIdentity { party, kind, member, key, validity, roles, second } => {
                no.when(!registrar(state, *member, signer), Code::UnknownSigner);
                no.unnamed_when(
                    *kind != PartyKind::Person && (roles.iter().next().is_some() || second.is_some()),
                );
                let (kind, member, key, validity, roles) = (*kind, *member, *key, *validity, *roles);
                let second = *second;
                let (since, standing) = (tip, Standing::Active);
                let record = IdentityRecord { kind, member, key, validity, roles, second, since, standing };
                fresh(state, StateKey::Identity(*party), StateValue::Identity(record), no)
            }
            TxBody::RevokeIdentity { party } => revoke_identity(state, tip, *party, signer, no),
            TxBody::EnrolDevice { enrolment, member } => {
                device(state, tip, StateKey::Enrolment(*enrolment), *member, signer, no)
            }
            TxBody::RevokeDevice { enrolment } => revoke_device(state, tip, *enrolment, signer, no),
            TxBody::AssignDevice { assignment, member } => {
                device(state, tip, StateKey::Assignment(*assignment), *member, signer, no)
            }
            TxBody::Anchor { gateway, batch, root, held } => {
                gateway_speaks(state, tip, *gateway, signer, no);
                self.receipts(state, (*gateway, *batch, *root), held, no);
                let record = AnchorRecord { root: *root, since: tip };
                fresh(state, StateKey::Anchor(*gateway, *batch), StateValue::Anchor(record), no)
            }
            TxBody::CommitGrant { tag, commitment, body } => {
                whole(body, GRANT_BODY_BYTES, no);
                let (commitment, body) = (*commitment, body.clone());
                let standing = Standing::Active;
                let record = GrantRecord { commitment, one_time: signer, body, since: tip, standing };
                fresh(state, StateKey::Grant(*tag), StateValue::Grant(record), no)
            }
            TxBody::RevokeGrant { tag } => revoke_grant(state, tip, StateKey::Grant(*tag), signer, no),
            TxBody::RecordAccess { tag, commitment, body } => {
                whole(body, INTENT_BODY_BYTES, no);
                let (commitment, body) = (*commitment, body.clone());
                let record = AccessRecord { commitment, one_time: signer, body, since: tip };
                fresh(state, StateKey::Access(*tag), StateValue::Access(record), no)
            }
            TxBody::CloseReview { member, officer, review, body } => {
                officer_speaks(state, tip, (*member, *officer), signer, no);
                whole(body, INTENT_BODY_BYTES, no);
                let record = ReviewRecord { officer: *officer, body: body.clone(), since: tip };
                fresh(state, StateKey::Review(*member, *review), StateValue::Review(record), no)
            }
            TxBody::PublishPolicy { member, version, text } => {
                no.when(!registrar(state, *member, signer), Code::UnknownSigner);
                let key = StateKey::Policy(*member);
                let before = published(state, &key);
                no.when(*version <= before, Code::AlreadyExists);
                no.when(u64::from(*version) > u64::from(before) + 1, Code::NotFound);
                let record = PolicyRecord { version: *version, text: text.clone(), since: tip };
                Some((key, StateValue::Policy(record)))
            }
            TxBody::RecordDestruction { order, holder, label } => {
                no.when(!holder_speaks(state, *holder, signer), Code::UnknownSigner);
                let stands = matches!(state.get(&StateKey::Grant(*order)), Some(StateValue::Grant(_)));
                no.when(!stands, Code::NotFound);
                let record = DestructionRecord { label: *label, since: tip };
                fresh(state, StateKey::Destruction(*order, *holder), StateValue::Destruction(record), no)
            }
            TxBody::OpenCase { case, veto, commitment } => {
                open_case(state, tip, signer, (*case, *veto, *commitment), no)
            }
            TxBody::VetoCase { case } => veto_case(state, tip, StateKey::Case(*case), signer, no),
        }
    }

    /// "Signed `Held` receipts from at least n - f distinct stores, in ascending order of store."
    fn receipts(
        &self,
        state: &State,
        (gateway, batch, root): (PartyId, BatchNumber, Digest),
        held: &[Held],
        no: &mut Objections,
    ) {
        no.unnamed_when(!held.is_sorted_by(|one, next| one.store < next.store));
        let mut stores = BTreeSet::new();
        for receipt in held {
            let message = held_message(self.chain, gateway, batch, root, receipt.store);
            match state.get(&StateKey::Member(receipt.store)) {
                Some(StateValue::Member(member)) => {
                    let good = member.service.verify(namespaces::HELD, &message, &receipt.signature).is_ok();
                    no.when(!good, Code::BadReceipt);
                    stores.extend(good.then_some(receipt.store));
                }
                _ => no.unnamed_when(true),
            }
        }
        no.when(stores.len() < self.quorum, Code::TooFewReceipts);
    }
}

/// An entry under a key that only one transaction may ever write.
fn fresh(state: &State, key: StateKey, value: StateValue, no: &mut Objections) -> Option<Write> {
    no.when(state.contains_key(&key), Code::AlreadyExists);
    Some((key, value))
}

/// How many policies a member has published.
fn published(state: &State, key: &StateKey) -> u32 {
    match state.get(key) {
        Some(StateValue::Policy(record)) => record.version,
        _ => 0,
    }
}

fn registrar(state: &State, member: MemberIndex, signer: PublicKey) -> bool {
    matches!(state.get(&StateKey::Member(member)), Some(StateValue::Member(of)) if of.registrar == signer)
}

fn device(
    state: &State,
    tip: Tip,
    key: StateKey,
    member: MemberIndex,
    signer: PublicKey,
    no: &mut Objections,
) -> Option<Write> {
    no.when(!registrar(state, member, signer), Code::UnknownSigner);
    let record = DeviceRecord { member, since: tip, standing: Standing::Active };
    fresh(state, key, StateValue::Device(record), no)
}

fn revoke_identity(
    state: &State,
    tip: Tip,
    party: PartyId,
    signer: PublicKey,
    no: &mut Objections,
) -> Option<Write> {
    let key = StateKey::Identity(party);
    let Some(StateValue::Identity(record)) = state.get(&key) else {
        no.when(true, Code::NotFound);
        return None;
    };
    no.when(!registrar(state, record.member, signer), Code::UnknownSigner);
    no.when(record.standing != Standing::Active, Code::Revoked);
    Some((key, StateValue::Identity(IdentityRecord { standing: Standing::Revoked(tip), ..record.clone() })))
}

fn revoke_device(
    state: &State,
    tip: Tip,
    enrolment: Digest,
    signer: PublicKey,
    no: &mut Objections,
) -> Option<Write> {
    let key = StateKey::Enrolment(enrolment);
    let Some(StateValue::Device(record)) = state.get(&key) else {
        no.when(true, Code::NotFound);
        return None;
    };
    no.when(!registrar(state, record.member, signer), Code::UnknownSigner);
    no.when(record.standing != Standing::Active, Code::Revoked);
    Some((key, StateValue::Device(DeviceRecord { standing: Standing::Revoked(tip), ..record.clone() })))
}

fn revoke_grant(
    state: &State,
    tip: Tip,
    key: StateKey,
    signer: PublicKey,
    no: &mut Objections,
) -> Option<Write> {
    let Some(StateValue::Grant(record)) = state.get(&key) else {
        no.when(true, Code::NotFound);
        return None;
    };
    no.when(record.one_time != signer, Code::UnknownSigner);
    no.when(record.standing != Standing::Active, Code::Revoked);
    Some((key, StateValue::Grant(GrantRecord { standing: Standing::Revoked(tip), ..record.clone() })))
}

/// "A case of 12 is named by the hash of its signer's key."
fn open_case(
    state: &State,
    tip: Tip,
    signer: PublicKey,
    (case, veto, commitment): (Digest, PublicKey, Digest),
    no: &mut Objections,
) -> Option<Write> {
    let named = sha256(namespaces::RECOVERY_CASE_ID, &[signer.as_bytes()]);
    no.when(named != case, Code::UnknownSigner);
    let record = CaseRecord { commitment, veto, since: tip, standing: Standing::Active };
    fresh(state, StateKey::Case(case), StateValue::Case(record), no)
}

fn veto_case(
    state: &State,
    tip: Tip,
    key: StateKey,
    signer: PublicKey,
    no: &mut Objections,
) -> Option<Write> {
    let Some(StateValue::Case(record)) = state.get(&key) else {
        no.when(true, Code::NotFound);
        return None;
    };
    no.when(record.veto != signer, Code::UnknownSigner);
    no.when(record.standing != Standing::Active, Code::Revoked);
    Some((key, StateValue::Case(CaseRecord { standing: Standing::Revoked(tip), ..record.clone() })))
}

/// The signer is the key of a registered gateway that stands, at a block time at which it is valid.
fn gateway_speaks(state: &State, tip: Tip, gateway: PartyId, signer: PublicKey, no: &mut Objections) {
    let Some(StateValue::Identity(record)) = state.get(&StateKey::Identity(gateway)) else {
        no.when(true, Code::UnknownSigner);
        return;
    };
    no.when(record.kind != PartyKind::Gateway || record.key != signer, Code::UnknownSigner);
    no.when(record.standing != Standing::Active, Code::Revoked);
    let (from, until) = (record.validity.from(), record.validity.until());
    no.when(tip.time < from || tip.time >= until, Code::OutsideValidity);
}

/// "Signed by the officer's registered key": a person whom that member registered in that role, and who stands.
fn officer_speaks(
    state: &State,
    tip: Tip,
    (member, officer): (MemberIndex, PartyId),
    signer: PublicKey,
    no: &mut Objections,
) {
    let Some(StateValue::Identity(of)) = state.get(&StateKey::Identity(officer)) else {
        no.when(true, Code::UnknownSigner);
        return;
    };
    no.when(of.key != signer, Code::UnknownSigner);
    let role = of.roles.iter().any(|role| role == Role::PrivacyOfficer);
    no.when(of.kind != PartyKind::Person || of.member != member || !role, Code::NotAnOfficer);
    no.when(of.standing != Standing::Active, Code::Revoked);
    no.when(tip.time < of.validity.from() || tip.time >= of.validity.until(), Code::OutsideValidity);
}

/// "Signed by the member's service key, or by the gateway's registered key", which may have ended.
fn holder_speaks(state: &State, holder: Holder, signer: PublicKey) -> bool {
    match holder {
        Holder::Member(member) => {
            matches!(state.get(&StateKey::Member(member)), Some(StateValue::Member(of)) if of.service == signer)
        }
        Holder::Writer(party) => match state.get(&StateKey::Identity(party)) {
            Some(StateValue::Identity(of)) => of.kind == PartyKind::Gateway && of.key == signer,
            _ => false,
        },
    }
}

/// "The blobs of 6 are always of exactly 690 bytes, those of 8 and 9 of 434; the ledger refuses others."
fn whole(body: &[u8], bytes: usize, no: &mut Objections) {
    no.unnamed_when(body.len() != bytes);
}
