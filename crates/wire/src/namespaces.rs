//! Every string under which the protocol signs, hashes or derives, in one file. The crypto room
//! keeps those of its own constructions. No two things share one.

use salus_crypto::digest::Namespace;

/// Signed: a transaction, by its signer.
pub const TX: Namespace = Namespace::new("salus/tx/v1");
/// Hashed: a transaction with its signature, as a leaf of its block.
pub const TX_LEAF: Namespace = Namespace::new("salus/tx-leaf/v1");
/// Hashed: an outcome with its transaction's digest, as a leaf of its block.
pub const OUTCOME: Namespace = Namespace::new("salus/outcome/v1");
/// Hashed: a block header; what the engine certifies.
pub const HEADER: Namespace = Namespace::new("salus/header/v1");
/// Hashed: the genesis; the consortium's identity.
pub const GENESIS: Namespace = Namespace::new("salus/genesis/v1");
/// Hashed: the DER certificate of a member's certificate authority.
pub const AUTHORITY: Namespace = Namespace::new("salus/authority/v1");
/// Hashed: a state key, to its path in the tree.
pub const STATE_KEY: Namespace = Namespace::new("salus/state-key/v1");
/// Hashed: an X-Wing public key.
pub const KEM_KEY: Namespace = Namespace::new("salus/kem-key/v1");
/// Hashed: an enrolment with its salt.
pub const ENROLMENT: Namespace = Namespace::new("salus/enrolment/v1");
/// Hashed: an assignment with its salt.
pub const ASSIGNMENT: Namespace = Namespace::new("salus/assignment/v1");
/// Hashed: a grant with its salt.
pub const GRANT: Namespace = Namespace::new("salus/grant/v1");
/// Hashed: an intent with its salt.
pub const ACCESS: Namespace = Namespace::new("salus/access/v1");
/// Signed: an intent's terms, by the requester's registered key.
pub const INTENT: Namespace = Namespace::new("salus/intent/v1");
/// Hashed: a manifest, as a leaf of its batch.
pub const MANIFEST: Namespace = Namespace::new("salus/manifest/v1");
/// Hashed: a salted reading, as a leaf of its segment.
pub const LEAF: Namespace = Namespace::new("salus/leaf/v1");
/// Signed: a store's promise that it holds a batch, by the member's service key.
pub const HELD: Namespace = Namespace::new("salus/held/v1");
/// Signed: a batch brought to a store, by the gateway's key.
pub const PUT: Namespace = Namespace::new("salus/put/v1");
/// Signed: a reader's request to a store, by the access's one-time key.
pub const FETCH: Namespace = Namespace::new("salus/fetch/v1");
/// Signed: an epoch header, by the writer's key.
pub const EPOCH: Namespace = Namespace::new("salus/epoch/v1");
/// Signed: key shares brought to a custodian, by the writer's key.
pub const DEPOSIT: Namespace = Namespace::new("salus/deposit/v1");
/// Hashed: the context to which an envelope is sealed.
pub const ENVELOPE: Namespace = Namespace::new("salus/envelope/v1");
/// Signed: a reader's request to a custodian, by the access's one-time key.
pub const RELEASE_REQUEST: Namespace = Namespace::new("salus/release-request/v1");
/// Hashed: the context to which a release is sealed.
pub const RELEASE: Namespace = Namespace::new("salus/release/v1");
/// Signed: a custodian's answer, by the member's service key.
pub const RELEASED: Namespace = Namespace::new("salus/released/v1");

/// Hashed: the public key of a patient's card, to the name under which custodians keep what it finds.
pub const EMERGENCY_CARD: Namespace = Namespace::new("salus/emergency-card/v1");
/// Hashed: the secret of a card, to the seed of the key with which it signs.
pub const EMERGENCY_CARD_KEY: Namespace = Namespace::new("salus/emergency-card-key/v1");
/// Hashed: the tag of a look, to the name by which custodians know it before it is taken.
pub const EMERGENCY_TAG: Namespace = Namespace::new("salus/emergency-tag/v1");
/// Hashed: the secret of a card, to the key that seals the tag of one look.
pub const EMERGENCY_TAG_KEY: Namespace = Namespace::new("salus/emergency-tag-key/v1");
/// Hashed: the context of one look's key, and of its shares.
pub const EMERGENCY_LOOK: Namespace = Namespace::new("salus/emergency-look/v1");
/// Signed: the header of one look, by the card's key.
pub const EMERGENCY_HEADER: Namespace = Namespace::new("salus/emergency-header/v1");
/// Signed: looks brought to a custodian, by the grant's one-time key.
pub const EMERGENCY_DEPOSIT: Namespace = Namespace::new("salus/emergency-deposit/v1");
/// Signed: the same, by the card's key.
pub const EMERGENCY_DEPOSIT_CARD: Namespace = Namespace::new("salus/emergency-deposit-card/v1");
/// Hashed: the context to which looks are sealed for a custodian.
pub const EMERGENCY_ENVELOPE: Namespace = Namespace::new("salus/emergency-envelope/v1");
/// Signed: a request to break the glass, by the requester's registered key.
pub const BREAK_GLASS: Namespace = Namespace::new("salus/break-glass/v1");
/// Signed: the same, by the requester's second factor.
pub const BREAK_GLASS_SECOND: Namespace = Namespace::new("salus/break-glass-second/v1");
/// Signed: the same, by the key of the patient's card.
pub const BREAK_GLASS_CARD: Namespace = Namespace::new("salus/break-glass-card/v1");
/// Signed: a custodian's answer to that, by the member's service key.
pub const GLASS: Namespace = Namespace::new("salus/glass/v1");
/// Hashed: the context to which such an answer is sealed.
pub const GLASS_SEAL: Namespace = Namespace::new("salus/glass-seal/v1");
/// Signed: an intent's terms, by the requester's second factor.
pub const INTENT_SECOND: Namespace = Namespace::new("salus/intent-second/v1");
/// Hashed: what the review of an emergency use is named by.
pub const REVIEW_ID: Namespace = Namespace::new("salus/review-id/v1");
/// Hashed: the key that opens a closed review.
pub const REVIEW_KEY: Namespace = Namespace::new("salus/review-key/v1");
/// Signed: a privacy officer's question for uses to review, by their registered key.
pub const REVIEWS: Namespace = Namespace::new("salus/reviews/v1");
/// Signed: a privacy officer's question for activity.
pub const ACTIVITY: Namespace = Namespace::new("salus/activity/v1");
/// Signed: a privacy officer's word on a finding.
pub const ACTIVITY_SIGN_OFF: Namespace = Namespace::new("salus/activity-sign-off/v1");
/// Hashed: what a finding of a privacy officer is about.
pub const ACTIVITY_FINDING: Namespace = Namespace::new("salus/activity-finding/v1");
/// Hashed: how records of activity name a patient.
pub const ACTIVITY_PATIENT: Namespace = Namespace::new("salus/activity-patient/v1");
/// Hashed: an erasure order with its salt.
pub const ERASURE: Namespace = Namespace::new("salus/erasure/v1");
/// Signed: a request under an erasure order, by the order's one-time key.
pub const ERASE_REQUEST: Namespace = Namespace::new("salus/erase-request/v1");
/// Hashed: the context to which the shares of an erased chain are sealed a last time.
pub const ERASED_INFO: Namespace = Namespace::new("salus/erased-info/v1");
/// Signed: a custodian's answer with those shares, by the member's service key.
pub const ERASED_SHARES: Namespace = Namespace::new("salus/erased-shares/v1");

/// Hashed: a preparation for recovery, with its salt.
pub const RECOVERY: Namespace = Namespace::new("salus/recovery/v1");
/// Hashed: the terms of a preparation.
pub const RECOVERY_TERMS: Namespace = Namespace::new("salus/recovery-terms/v1");
/// Hashed: the context of the guardians' shares.
pub const RECOVERY_GUARDIANS: Namespace = Namespace::new("salus/recovery-guardians/v1");
/// Hashed: the context of the custodians' shares.
pub const RECOVERY_CUSTODIANS: Namespace = Namespace::new("salus/recovery-custodians/v1");
/// Derived: the key of a package, from the guardians' key and the custodians'.
pub const RECOVERY_KEY: Namespace = Namespace::new("salus/recovery-key/v1");
/// Derived: the key that opens a case, from the guardians' key.
pub const RECOVERY_OPENER: Namespace = Namespace::new("salus/recovery-opener/v1");
/// Derived: the key that vetoes a case.
pub const RECOVERY_VETO: Namespace = Namespace::new("salus/recovery-veto/v1");
/// Hashed: what the ledger calls a case.
pub const RECOVERY_CASE_ID: Namespace = Namespace::new("salus/recovery-case-id/v1");
/// Hashed: a case with its approvals.
pub const RECOVERY_CASE: Namespace = Namespace::new("salus/recovery-case/v1");
/// Signed: a guardian's approval.
pub const RECOVERY_APPROVAL: Namespace = Namespace::new("salus/recovery-approval/v1");
/// Hashed: what a new wallet asks of its guardians.
pub const RECOVERY_ASK: Namespace = Namespace::new("salus/recovery-ask/v1");
/// Hashed: the context to which an approval is sealed for the new wallet.
pub const RECOVERY_APPROVAL_SEAL: Namespace = Namespace::new("salus/recovery-approval-seal/v1");
/// Signed: a preparation brought to a custodian, by its entry's one-time key.
pub const RECOVERY_DEPOSIT: Namespace = Namespace::new("salus/recovery-deposit/v1");
/// Hashed: the context to which it is sealed for the custodian.
pub const RECOVERY_ENVELOPE: Namespace = Namespace::new("salus/recovery-envelope/v1");
/// Signed: a new wallet's request for a custodian's share, by the case's opener key.
pub const RECOVER_REQUEST: Namespace = Namespace::new("salus/recover-request/v1");
/// Hashed: the context to which that share is sealed.
pub const RECOVERY_SEAL: Namespace = Namespace::new("salus/recovery-seal/v1");
/// Signed: a custodian's answer with it, by the member's service key.
pub const RECOVERED: Namespace = Namespace::new("salus/recovered/v1");

/// Signed: a vote that makes a block final; stands before the chain's id and the engine's own
/// suffix, see `spec/certificate.md`.
pub const FINALITY: Namespace = Namespace::new("salus/finality/v1");

/// All of them, for the test that none is used twice.
pub const ALL: &[Namespace] = &[
    TX,
    TX_LEAF,
    OUTCOME,
    HEADER,
    GENESIS,
    AUTHORITY,
    STATE_KEY,
    KEM_KEY,
    ENROLMENT,
    ASSIGNMENT,
    GRANT,
    ACCESS,
    INTENT,
    MANIFEST,
    LEAF,
    HELD,
    PUT,
    FETCH,
    EPOCH,
    DEPOSIT,
    ENVELOPE,
    RELEASE_REQUEST,
    RELEASE,
    RELEASED,
    EMERGENCY_CARD,
    EMERGENCY_CARD_KEY,
    EMERGENCY_TAG,
    EMERGENCY_TAG_KEY,
    EMERGENCY_LOOK,
    EMERGENCY_HEADER,
    EMERGENCY_DEPOSIT,
    EMERGENCY_DEPOSIT_CARD,
    EMERGENCY_ENVELOPE,
    BREAK_GLASS,
    BREAK_GLASS_SECOND,
    BREAK_GLASS_CARD,
    GLASS,
    GLASS_SEAL,
    INTENT_SECOND,
    REVIEW_ID,
    REVIEW_KEY,
    REVIEWS,
    ACTIVITY,
    ACTIVITY_SIGN_OFF,
    ACTIVITY_FINDING,
    ACTIVITY_PATIENT,
    FINALITY,
    ERASURE,
    ERASE_REQUEST,
    ERASED_INFO,
    ERASED_SHARES,
    RECOVERY,
    RECOVERY_TERMS,
    RECOVERY_GUARDIANS,
    RECOVERY_CUSTODIANS,
    RECOVERY_KEY,
    RECOVERY_OPENER,
    RECOVERY_VETO,
    RECOVERY_CASE_ID,
    RECOVERY_CASE,
    RECOVERY_APPROVAL,
    RECOVERY_ASK,
    RECOVERY_APPROVAL_SEAL,
    RECOVERY_DEPOSIT,
    RECOVERY_ENVELOPE,
    RECOVER_REQUEST,
    RECOVERY_SEAL,
    RECOVERED,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_namespace_is_used_twice() {
        let names: BTreeSet<&str> = super::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), super::ALL.len());
        assert!(names.iter().all(|name| name.starts_with("salus/") && name.ends_with("/v1")));
    }
}
