//! Whether a transaction is final: by the consortium's certificate, never by one member's word.
//!
//! A member that lies could say that a withdrawal, a grant or an anchor is final when it is not; the
//! patient would believe a grant withdrawn that still opens, and a gateway would forget readings that
//! nobody keeps. So whoever acts on a transaction being final asks for a proof of the entry that it
//! writes. An entry that is there stays there, so a proof of any age will do; of a policy, only a later
//! version takes the place.

use salus_proof::Proven;
use salus_wire::state::{Standing, Tip};
use salus_wire::{StateKey, StateValue, Tx, TxBody};

/// What a proof says about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It took effect, in this block.
    Final(Tip),
    /// Its place is taken by another, for ever.
    Taken,
    /// Not yet, or not there.
    Open,
}

/// The one entry that a transaction writes.
pub(crate) fn target(body: &TxBody) -> StateKey {
    match body {
        TxBody::RegisterIdentity { party, .. } | TxBody::RevokeIdentity { party } => {
            StateKey::Identity(*party)
        }
        TxBody::EnrolDevice { enrolment, .. } | TxBody::RevokeDevice { enrolment } => {
            StateKey::Enrolment(*enrolment)
        }
        TxBody::AssignDevice { assignment, .. } => StateKey::Assignment(*assignment),
        TxBody::Anchor { gateway, batch, .. } => StateKey::Anchor(*gateway, *batch),
        TxBody::CommitGrant { tag, .. } | TxBody::RevokeGrant { tag } => StateKey::Grant(*tag),
        TxBody::RecordAccess { tag, .. } => StateKey::Access(*tag),
        TxBody::CloseReview { member, review, .. } => StateKey::Review(*member, *review),
        TxBody::PublishPolicy { member, .. } => StateKey::Policy(*member),
        TxBody::RecordDestruction { order, holder, .. } => StateKey::Destruction(*order, *holder),
        TxBody::OpenCase { case, .. } | TxBody::VetoCase { case } => StateKey::Case(*case),
    }
}

/// Holds a transaction against the entry that it should have written.
pub(crate) fn judge(tx: &Tx, entry: Proven<'_>) -> Finding {
    let Proven::Present(value) = entry else { return Finding::Open };
    match (&tx.body, value) {
        (
            TxBody::RegisterIdentity { kind, member, key, validity, roles, second, .. },
            StateValue::Identity(found),
        ) => {
            let ours = (found.kind, found.member, found.key, found.validity, found.roles, found.second);
            written(ours == (*kind, *member, *key, *validity, *roles, *second), found.since)
        }
        (
            TxBody::EnrolDevice { member, .. } | TxBody::AssignDevice { member, .. },
            StateValue::Device(found),
        ) => written(found.member == *member, found.since),
        (TxBody::Anchor { root, .. }, StateValue::Anchor(found)) => written(found.root == *root, found.since),
        (TxBody::CommitGrant { commitment, body, .. }, StateValue::Grant(found)) => {
            let ours = found.commitment == *commitment && found.one_time == tx.signer && found.body == *body;
            written(ours, found.since)
        }
        (TxBody::RecordAccess { commitment, body, .. }, StateValue::Access(found)) => {
            let ours = found.commitment == *commitment && found.one_time == tx.signer && found.body == *body;
            written(ours, found.since)
        }
        (TxBody::CloseReview { officer, body, .. }, StateValue::Review(found)) => {
            written((found.officer, &found.body) == (*officer, body), found.since)
        }
        (TxBody::PublishPolicy { version, .. }, StateValue::Policy(found)) if found.version < *version => {
            Finding::Open
        }
        (TxBody::PublishPolicy { version, text, .. }, StateValue::Policy(found)) => {
            written((found.version, &found.text) == (*version, text), found.since)
        }
        (TxBody::RecordDestruction { label, .. }, StateValue::Destruction(found)) => {
            written(found.label == *label, found.since)
        }
        (TxBody::RevokeIdentity { .. }, StateValue::Identity(found)) => ended(found.standing),
        (TxBody::RevokeDevice { .. }, StateValue::Device(found)) => ended(found.standing),
        (TxBody::OpenCase { veto, commitment, .. }, StateValue::Case(found)) => {
            written((found.veto, found.commitment) == (*veto, *commitment), found.since)
        }
        (TxBody::RevokeGrant { .. }, StateValue::Grant(found)) => ended(found.standing),
        (TxBody::VetoCase { .. }, StateValue::Case(found)) => ended(found.standing),
        _ => Finding::Taken,
    }
}

fn written(ours: bool, since: Tip) -> Finding {
    if ours { Finding::Final(since) } else { Finding::Taken }
}

fn ended(standing: Standing) -> Finding {
    match standing {
        Standing::Revoked(at) => Finding::Final(at),
        Standing::Active => Finding::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use salus_crypto::chain::ChainTag;
    use salus_crypto::digest::Digest;
    use salus_crypto::sign::SigningKey;
    use salus_wire::limits::GRANT_BODY_BYTES;
    use salus_wire::state::{GrantRecord, PolicyRecord};
    use salus_wire::{Blob, ChainId, GrantTag, Height, MemberIndex, TimeMs};

    const TAG: GrantTag = GrantTag(ChainTag::from_digest(Digest::from_bytes([1; 32])));
    const SINCE: Tip = Tip { height: Height::new(5), time: TimeMs::new(9) };

    fn signed(body: TxBody, key: &SigningKey) -> Tx {
        Tx::sign(ChainId(Digest::ZERO), body, key)
    }

    fn grant(key: &SigningKey, mark: u8) -> (Tx, GrantRecord) {
        let (commitment, body) =
            (Digest::from_bytes([mark; 32]), Blob::new(vec![mark; GRANT_BODY_BYTES]).unwrap());
        let tx = signed(TxBody::CommitGrant { tag: TAG, commitment, body: body.clone() }, key);
        let one_time = key.public_key();
        (tx, GrantRecord { commitment, one_time, body, since: SINCE, standing: Standing::Active })
    }

    #[test]
    fn only_the_entry_itself_makes_a_transaction_final() {
        let mut rng = StdRng::from_seed([3; 32]);
        let (mine, other) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let (tx, record) = grant(&mine, 7);
        let judged =
            |tx: &Tx, record: &GrantRecord| judge(tx, Proven::Present(&StateValue::Grant(record.clone())));
        assert_eq!(judged(&tx, &record), Finding::Final(SINCE));
        assert_eq!(judged(&tx, &grant(&mine, 8).1), Finding::Taken);
        assert_eq!(judged(&tx, &grant(&other, 7).1), Finding::Taken);
        assert_eq!(judge(&tx, Proven::Absent), Finding::Open);
        assert_eq!(judge(&tx, Proven::NotAsked), Finding::Open);

        let end = signed(TxBody::RevokeGrant { tag: TAG }, &mine);
        assert_eq!(judged(&end, &record), Finding::Open);
        let ended = GrantRecord { standing: Standing::Revoked(SINCE), ..record };
        assert_eq!(judged(&end, &ended), Finding::Final(SINCE));
        assert_eq!(target(&end.body), target(&tx.body));
    }

    #[test]
    fn a_policy_is_final_while_its_version_stands() {
        let key = SigningKey::generate(&mut StdRng::from_seed([3; 32]));
        let (member, text) = (MemberIndex::new(0), Blob::new(vec![7]).unwrap());
        let tx = signed(TxBody::PublishPolicy { member, version: 2, text: text.clone() }, &key);
        let judged = |version, text: &[u8]| {
            let record = PolicyRecord { version, text: Blob::new(text.to_vec()).unwrap(), since: SINCE };
            judge(&tx, Proven::Present(&StateValue::Policy(record)))
        };
        assert_eq!(judged(1, &[7]), Finding::Open);
        assert_eq!(judged(2, &text), Finding::Final(SINCE));
        assert_eq!(judged(2, &[8]), Finding::Taken);
        assert_eq!(judged(3, &text), Finding::Taken);
    }
}
