//! The rules: for each transaction, who must sign, what must stand, and what stands afterwards.
//!
//! Promises one entry written per transaction, or a code and nothing. The order of the checks is
//! part of the protocol, because outcomes are hashed into the header (INV-4): signer first, then
//! what stands under the key, then the rest. Refuses to check signatures.

use crate::apply::Moment;
use crate::read::{View, target};
use salus_crypto::PublicKey;
use salus_planted::{Bug, is};
use salus_wire::limits::{GRANT_BODY_BYTES, INTENT_BODY_BYTES};
use salus_wire::recovery::case_id;
use salus_wire::state::{
    AccessRecord, AnchorRecord, CaseRecord, DestructionRecord, DeviceRecord, GrantRecord, IdentityRecord,
    PolicyRecord, ReviewRecord, Standing, StateKey, StateValue,
};
use salus_wire::tx::{Held, PartyKind, PolicyText};
use salus_wire::{Code, Faults, GrantTag, Holder, MemberIndex, PartyId, Role, Roles, Tx, TxBody};

/// The entry that `tx` would write, or why it may not.
pub(crate) fn effect(view: &View<'_>, moment: &Moment, tx: &Tx) -> Result<(StateKey, StateValue), Code> {
    let key = target(&tx.body);
    let value = match &tx.body {
        TxBody::RegisterIdentity { kind, member, key: party_key, validity, roles, second, .. } => {
            registrar(view, *member, &tx.signer)?;
            vacant(view, &key)?;
            of_a_person(*kind, *roles, second.as_ref())?;
            StateValue::Identity(IdentityRecord {
                kind: *kind,
                member: *member,
                key: *party_key,
                validity: *validity,
                roles: *roles,
                second: *second,
                since: moment.tip(),
                standing: Standing::Active,
            })
        }
        TxBody::EnrolDevice { member, .. } | TxBody::AssignDevice { member, .. } => {
            registrar(view, *member, &tx.signer)?;
            vacant(view, &key)?;
            let (since, standing) = (moment.tip(), Standing::Active);
            StateValue::Device(DeviceRecord { member: *member, since, standing })
        }
        TxBody::RevokeIdentity { .. } => revoke_identity(view, moment, &key, &tx.signer)?,
        TxBody::RevokeDevice { .. } => revoke_device(view, moment, &key, &tx.signer)?,
        TxBody::Anchor { gateway, root, held, .. } => {
            gateway_signs(view, moment, *gateway, &tx.signer)?;
            vacant(view, &key)?;
            enough_stores(held, moment.faults)?;
            StateValue::Anchor(AnchorRecord { root: *root, since: moment.tip() })
        }
        TxBody::CommitGrant { commitment, body, .. } => {
            full_length(body, GRANT_BODY_BYTES)?;
            vacant(view, &key)?;
            let (commitment, one_time, body) = (*commitment, tx.signer, body.clone());
            let (since, standing) = (moment.tip(), Standing::Active);
            StateValue::Grant(GrantRecord { commitment, one_time, body, since, standing })
        }
        TxBody::RevokeGrant { .. } => revoke_grant(view, moment, &key, &tx.signer)?,
        TxBody::RecordAccess { commitment, body, .. } => {
            full_length(body, INTENT_BODY_BYTES)?;
            vacant(view, &key)?;
            let (commitment, one_time) = (*commitment, tx.signer);
            StateValue::Access(AccessRecord { commitment, one_time, body: body.clone(), since: moment.tip() })
        }
        TxBody::CloseReview { member, officer, body, .. } => {
            officer_signs(view, moment, *member, *officer, &tx.signer)?;
            full_length(body, INTENT_BODY_BYTES)?;
            vacant(view, &key)?;
            StateValue::Review(ReviewRecord { officer: *officer, body: body.clone(), since: moment.tip() })
        }
        TxBody::PublishPolicy { member, version, text } => {
            registrar(view, *member, &tx.signer)?;
            policy(view, moment, &key, (*version, text))?
        }
        TxBody::RecordDestruction { order, holder, label } => {
            holder_signs(view, *holder, &tx.signer)?;
            vacant(view, &key)?;
            ordered(view, *order)?;
            StateValue::Destruction(DestructionRecord { label: *label, since: moment.tip() })
        }
        TxBody::OpenCase { .. } => open_case(view, moment, &key, tx)?,
        TxBody::VetoCase { .. } => veto_case(view, moment, &key, &tx.signer)?,
    };
    Ok((key, value))
}

fn revoke_identity(
    view: &View<'_>,
    moment: &Moment,
    key: &StateKey,
    signer: &PublicKey,
) -> Result<StateValue, Code> {
    let Some(StateValue::Identity(record)) = view.get(key)? else { return Err(Code::NotFound) };
    registrar(view, record.member, signer)?;
    let standing = ended(record.standing, moment)?;
    Ok(StateValue::Identity(IdentityRecord { standing, ..record.clone() }))
}

fn revoke_device(
    view: &View<'_>,
    moment: &Moment,
    key: &StateKey,
    signer: &PublicKey,
) -> Result<StateValue, Code> {
    let Some(StateValue::Device(record)) = view.get(key)? else { return Err(Code::NotFound) };
    registrar(view, record.member, signer)?;
    let standing = ended(record.standing, moment)?;
    Ok(StateValue::Device(DeviceRecord { standing, ..record.clone() }))
}

fn revoke_grant(
    view: &View<'_>,
    moment: &Moment,
    key: &StateKey,
    signer: &PublicKey,
) -> Result<StateValue, Code> {
    let Some(StateValue::Grant(record)) = view.get(key)? else { return Err(Code::NotFound) };
    if record.one_time != *signer && !is(Bug::AnyoneWithdraws) {
        return Err(Code::UnknownSigner);
    }
    let standing = ended(record.standing, moment)?;
    Ok(StateValue::Grant(GrantRecord { standing, ..record.clone() }))
}

/// The name of a case is the hash of its signer's key, so that nobody can take another's.
fn open_case(view: &View<'_>, moment: &Moment, key: &StateKey, tx: &Tx) -> Result<StateValue, Code> {
    let TxBody::OpenCase { case, veto, commitment } = &tx.body else { return Err(Code::Internal) };
    if case_id(&tx.signer) != *case {
        return Err(Code::UnknownSigner);
    }
    vacant(view, key)?;
    let (commitment, veto, standing) = (*commitment, *veto, Standing::Active);
    Ok(StateValue::Case(CaseRecord { commitment, veto, since: moment.tip(), standing }))
}

fn veto_case(
    view: &View<'_>,
    moment: &Moment,
    key: &StateKey,
    signer: &PublicKey,
) -> Result<StateValue, Code> {
    let Some(StateValue::Case(record)) = view.get(key)? else { return Err(Code::NotFound) };
    if record.veto != *signer {
        return Err(Code::UnknownSigner);
    }
    let standing = ended(record.standing, moment)?;
    Ok(StateValue::Case(CaseRecord { standing, ..record.clone() }))
}

/// The signer is the registrar of a member that exists.
fn registrar(view: &View<'_>, member: MemberIndex, signer: &PublicKey) -> Result<(), Code> {
    if is(Bug::AnyRegistrar) {
        return Ok(());
    }
    match view.get(&StateKey::Member(member))? {
        Some(StateValue::Member(record)) if record.registrar == *signer => Ok(()),
        _ => Err(Code::UnknownSigner),
    }
}

/// The signer is the registered key of a gateway, neither revoked nor outside its validity.
fn gateway_signs(view: &View<'_>, moment: &Moment, gateway: PartyId, signer: &PublicKey) -> Result<(), Code> {
    let record = registered(view, gateway, signer)?;
    if record.kind != PartyKind::Gateway {
        return Err(Code::UnknownSigner);
    }
    stands(record, moment)
}

/// The signer is the registered key of a member's privacy officer, neither revoked nor outside their validity.
fn officer_signs(
    view: &View<'_>,
    moment: &Moment,
    member: MemberIndex,
    officer: PartyId,
    signer: &PublicKey,
) -> Result<(), Code> {
    let record = registered(view, officer, signer)?;
    let theirs = record.kind == PartyKind::Person && record.member == member;
    if !theirs || !record.roles.contains(Role::PrivacyOfficer) {
        return Err(Code::NotAnOfficer);
    }
    stands(record, moment)
}

/// The registration of a party whose key signs.
fn registered<'view>(
    view: &'view View<'_>,
    party: PartyId,
    signer: &PublicKey,
) -> Result<&'view IdentityRecord, Code> {
    match view.get(&StateKey::Identity(party))? {
        Some(StateValue::Identity(record)) if record.key == *signer => Ok(record),
        _ => Err(Code::UnknownSigner),
    }
}

/// The registration is neither revoked nor outside its validity.
fn stands(record: &IdentityRecord, moment: &Moment) -> Result<(), Code> {
    if record.standing != Standing::Active {
        return Err(Code::Revoked);
    }
    if !record.validity.contains(moment.time) {
        return Err(Code::OutsideValidity);
    }
    Ok(())
}

/// The signer speaks for who destroyed: a member's service key, or the key with which a gateway was registered,
/// also after its registration has ended.
fn holder_signs(view: &View<'_>, holder: Holder, signer: &PublicKey) -> Result<(), Code> {
    let speaks = match holder {
        Holder::Member(member) => {
            matches!(view.get(&StateKey::Member(member))?, Some(StateValue::Member(record)) if record.service == *signer)
        }
        Holder::Writer(party) => {
            matches!(view.get(&StateKey::Identity(party))?, Some(StateValue::Identity(record))
                if record.kind == PartyKind::Gateway && record.key == *signer)
        }
    };
    if speaks { Ok(()) } else { Err(Code::UnknownSigner) }
}

/// What is obeyed stands on somebody's grant chain. That it is an order only those see who are shown its body.
fn ordered(view: &View<'_>, order: GrantTag) -> Result<(), Code> {
    match view.get(&StateKey::Grant(order))? {
        Some(StateValue::Grant(_)) => Ok(()),
        _ => Err(Code::NotFound),
    }
}

/// The promises come from n - f distinct members, in ascending order so that a set has one form.
/// Of those stores f may lie, and the rest still rebuild the segments (INV-1).
fn enough_stores(held: &[Held], faults: Faults) -> Result<(), Code> {
    if !held.is_sorted_by(|a, b| a.store < b.store) && !is(Bug::ReceiptsRepeated) {
        return Err(Code::Malformed);
    }
    if held.iter().any(|promise| promise.store.get() >= faults.members()) {
        return Err(Code::BadReceipt);
    }
    let fewer = usize::from(is(Bug::FewerReceipts));
    if held.len().saturating_add(fewer) < usize::from(faults.quorum()) {
        return Err(Code::TooFewReceipts);
    }
    Ok(())
}

/// Only people have roles, and a second factor.
fn of_a_person(kind: PartyKind, roles: Roles, second: Option<&PublicKey>) -> Result<(), Code> {
    let neither = roles.is_empty() && second.is_none();
    if kind == PartyKind::Person || neither { Ok(()) } else { Err(Code::Malformed) }
}

/// Sealed bodies of a kind all have one length, so that length says nothing (INV-3).
fn full_length(body: &[u8], bytes: usize) -> Result<(), Code> {
    if body.len() == bytes { Ok(()) } else { Err(Code::Malformed) }
}

fn vacant(view: &View<'_>, key: &StateKey) -> Result<(), Code> {
    match view.get(key)? {
        Some(_) if !is(Bug::EntryOverwritten) => Err(Code::AlreadyExists),
        _ => Ok(()),
    }
}

fn policy(
    view: &View<'_>,
    moment: &Moment,
    key: &StateKey,
    (version, text): (u32, &PolicyText),
) -> Result<StateValue, Code> {
    next_version(view, key, version)?;
    Ok(StateValue::Policy(PolicyRecord { version, text: text.clone(), since: moment.tip() }))
}

/// The version follows the one that stands. What the text says is not looked at: members must agree on
/// every outcome, and so would have to run the very same reader of policies.
fn next_version(view: &View<'_>, key: &StateKey, version: u32) -> Result<(), Code> {
    let stands = match view.get(key)? {
        Some(StateValue::Policy(record)) => record.version,
        _ => 0,
    };
    if version <= stands && !is(Bug::EntryOverwritten) {
        return Err(Code::AlreadyExists);
    }
    match stands.checked_add(1) {
        Some(next) if version <= next => Ok(()),
        _ => Err(Code::NotFound),
    }
}

fn ended(standing: Standing, moment: &Moment) -> Result<Standing, Code> {
    match standing {
        Standing::Active => Ok(Standing::Revoked(moment.tip())),
        Standing::Revoked(_) => Err(Code::Revoked),
    }
}
