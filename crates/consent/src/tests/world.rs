//! A world in which one request is permitted: a patient, a writer, a reader, and a ledger that
//! holds three grants of the patient's chain and three accesses of the third grant's lane.

use crate::{Denied, Desk, FinalView, Introduced, Opened, Permit, Policies, Refusals, decide};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::{ChainSeed, Link, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::kem::{KemPublicKey, KemSecretKey};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_wire::consent::{Grant, Grantee, Intent, IntentTerms, Vouching};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES};
use salus_wire::release::{ReleaseRequest, ReleaseTerms, ShareBytes, reader_digest, release_request_message};
use salus_wire::state::{AccessRecord, GrantRecord, IdentityRecord, PolicyRecord, Standing, Tip};
use salus_wire::tx::{
    PartyKind, SealedGrant, SealedIntent, access_commitment, grant_commitment, intent_message,
};
use salus_wire::{
    AccessTag, Blob, ChainId, Classes, Codes, DataClass, GrantTag, Height, List, MemberIndex,
    ObservationCode, PartyId, Purpose, Purposes, Role, Roles, Scope, StateKey, StateValue, TimeMs, TimeSpan,
    encode, namespaces,
};
use std::collections::BTreeMap;

pub(super) const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
pub(super) const ME: MemberIndex = MemberIndex::new(2);
pub(super) const READER: PartyId = PartyId::new([3; 16]);
pub(super) const READERS_MEMBER: MemberIndex = MemberIndex::new(1);
pub(super) const HEART_RATE: ObservationCode = ObservationCode::Loinc(8_867);
pub(super) const SPO2: ObservationCode = ObservationCode::Loinc(59_408);
pub(super) const TEMPERATURE: ObservationCode = ObservationCode::Loinc(8_310);
pub(super) const WRITER: PartyId = PartyId::new([4; 16]);
/// The place of the grant, and of the access, that the request is about.
pub(super) const PLACE: u16 = 3;
/// When the access became final.
pub(super) const SINCE: Tip = Tip { height: Height::new(50), time: TimeMs::new(1_000_000) };
/// The head, a second later; also the custodian's clock.
pub(super) const HEAD: Tip = Tip { height: Height::new(52), time: TimeMs::new(1_001_000) };
pub(super) const NOW: TimeMs = HEAD.time;

pub(super) struct World {
    pub(super) patient: ChainSeed,
    pub(super) lane: ChainSeed,
    pub(super) one_time: SigningKey,
    pub(super) ephemeral: KemPublicKey,
    pub(super) grant: Grant,
    pub(super) intent: IntentTerms,
    /// Who signs the intent; the reader unless a test says otherwise.
    pub(super) intent_signer: SigningKey,
    /// Who signs it as a second factor, if anybody does.
    pub(super) second_signer: Option<SigningKey>,
    pub(super) identity: Option<IdentityRecord>,
    pub(super) standing: Standing,
    /// What the reader's member has published.
    pub(super) policy: Option<String>,
    pub(super) refusals: Refusals,
    pub(super) head: Tip,
    pub(super) now: TimeMs,
    /// Applied to the ledger after it is built from the fields above.
    pub(super) edit_ledger: fn(&World, &mut Ledger),
    /// Applied to the request before its one-time key signs it.
    pub(super) edit_terms: fn(&World, &mut ReleaseTerms),
}

pub(super) type Ledger = BTreeMap<StateKey, StateValue>;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

pub(super) fn span(from: u64, until: u64) -> TimeSpan {
    TimeSpan::new(TimeMs::new(from), TimeMs::new(until)).unwrap()
}

pub(super) fn seed(n: u8) -> ChainSeed {
    ChainSeed::new(Secret::from_bytes([n; 32]))
}

pub(super) fn rng() -> StdRng {
    StdRng::seed_from_u64(11)
}

impl World {
    pub(super) fn new() -> Self {
        let (reader_key, one_time) = (key(1), key(2));
        let (patient, lane) = (seed(10), seed(11));
        let ephemeral = KemSecretKey::from_seed(Secret::from_bytes([5; 32])).public_key();
        let grant = grant(&lane, &reader_key);
        let intent = intent(&patient, &one_time, &ephemeral);
        let identity = IdentityRecord {
            kind: PartyKind::Person,
            member: READERS_MEMBER,
            key: reader_key.public_key(),
            validity: span(0, 2_000_000),
            roles: Roles::of(&[Role::Nurse]),
            second: None,
            since: Tip { height: Height::new(1), time: TimeMs::new(1) },
            standing: Standing::Active,
        };
        Self {
            patient,
            lane,
            one_time,
            ephemeral,
            grant,
            intent,
            intent_signer: key(1),
            second_signer: None,
            identity: Some(identity),
            standing: Standing::Active,
            policy: None,
            refusals: Refusals::default(),
            head: HEAD,
            now: NOW,
            edit_ledger: |_, _| {},
            edit_terms: |_, _| {},
        }
    }

    pub(super) fn reader_key(&self) -> PublicKey {
        key(1).public_key()
    }

    pub(super) fn access_tag(&self, index: u16) -> AccessTag {
        AccessTag(self.lane.link(index).tag())
    }

    pub(super) fn grant_tag(&self, index: u16) -> GrantTag {
        GrantTag(self.patient.link(index).tag())
    }

    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new();
        for index in 1..=PLACE {
            ledger.insert(StateKey::Grant(self.grant_tag(index)), StateValue::Grant(self.grant_record()));
            ledger.insert(StateKey::Access(self.access_tag(index)), StateValue::Access(self.access_record()));
        }
        if let Some(identity) = &self.identity {
            ledger.insert(StateKey::Identity(READER), StateValue::Identity(identity.clone()));
        }
        if let Some(text) = &self.policy {
            ledger.insert(StateKey::Policy(READERS_MEMBER), policy(1, text));
        }
        (self.edit_ledger)(self, &mut ledger);
        ledger
    }

    fn grant_record(&self) -> GrantRecord {
        GrantRecord {
            commitment: grant_commitment(&self.patient.link(PLACE), &self.grant),
            one_time: key(6).public_key(),
            body: sealed_grant(&self.patient.body_key(PLACE), &encode(&self.grant)),
            since: Tip { height: Height::new(40), time: TimeMs::new(900_000) },
            standing: self.standing,
        }
    }

    fn access_record(&self) -> AccessRecord {
        let intent = self.signed_intent();
        AccessRecord {
            commitment: access_commitment(&intent),
            one_time: self.one_time.public_key(),
            body: sealed_intent(&self.lane.link(PLACE).body_key(), &encode(&intent)),
            since: SINCE,
        }
    }

    pub(super) fn signed_intent(&self) -> Intent {
        let message = intent_message(CHAIN, &self.intent);
        let signature = self.intent_signer.sign(namespaces::INTENT, &message);
        let second = self.second_signer.as_ref().map(|key| key.sign(namespaces::INTENT_SECOND, &message));
        Intent { terms: self.intent.clone(), signature, second }
    }

    pub(super) fn terms(&self) -> ReleaseTerms {
        let mut terms = ReleaseTerms {
            custodian: ME,
            nonce: [8; 16],
            sent: NOW,
            one_time: self.one_time.public_key(),
            access_index: PLACE,
            access_link: show(&self.lane.link(PLACE)),
            grant_index: PLACE,
            grant_link: show(&self.patient.link(PLACE)),
            grant_body_key: ShareBytes(self.patient.body_key(PLACE)),
            reader: self.ephemeral.clone(),
            scope: self.intent.scope.clone(),
            skip: 0,
        };
        (self.edit_terms)(self, &mut terms);
        terms
    }

    pub(super) fn request(&self) -> ReleaseRequest {
        signed(self.terms(), &self.one_time)
    }

    /// The whole road from this world's request to its permit.
    pub(super) fn decide(&self) -> Result<Permit, Denied> {
        self.decide_request(self.request(), &self.ledger())
    }

    pub(super) fn decide_request(&self, request: ReleaseRequest, ledger: &Ledger) -> Result<Permit, Denied> {
        let introduced = self.introduce(request, ledger)?;
        let view = self.view(introduced.reads(), ledger)?;
        decide(introduced, &view, &mut Policies::default(), self.now)?.permit(&self.refusals)
    }

    pub(super) fn introduce(&self, request: ReleaseRequest, ledger: &Ledger) -> Result<Introduced, Denied> {
        let opened = self.open(&mut Desk::new(CHAIN, ME), request, ledger)?;
        let view = self.view(opened.reads(), ledger)?;
        opened.introduce(&view)
    }

    pub(super) fn open(
        &self,
        desk: &mut Desk,
        request: ReleaseRequest,
        ledger: &Ledger,
    ) -> Result<Opened, Denied> {
        let admitted = desk.admit(request, self.now)?;
        let view = self.view(admitted.reads(), ledger)?;
        admitted.open(&view, self.now)
    }

    pub(super) fn view(&self, keys: Vec<StateKey>, ledger: &Ledger) -> Result<FinalView, Denied> {
        let values = keys.iter().map(|key| ledger.get(key).cloned()).collect();
        FinalView::new(self.head, keys, values)
    }
}

pub(super) fn policy(version: u32, text: &str) -> StateValue {
    let text = Blob::new(text.as_bytes().to_vec()).unwrap();
    StateValue::Policy(PolicyRecord { version, text, since: SINCE })
}

fn grant(lane: &ChainSeed, reader_key: &SigningKey) -> Grant {
    Grant {
        salt: [1; 32],
        writer: WRITER,
        grantee: Grantee::Person { party: READER, key: reader_key.public_key() },
        scope: Scope { classes: vitals(), codes: codes(&[HEART_RATE, SPO2]), span: span(100, 900) },
        purposes: Purposes::of(&[Purpose::Treatment]).unwrap(),
        validity: span(900_000, 1_500_000),
        denies: List::empty(),
        lane: lane.anchor(),
        one_time: key(6).public_key(),
        data: None,
    }
}

fn intent(patient: &ChainSeed, one_time: &SigningKey, ephemeral: &KemPublicKey) -> IntentTerms {
    IntentTerms {
        salt: [2; 32],
        requester: READER,
        vouching: Vouching::Requester,
        grant: GrantTag(patient.link(PLACE).tag()),
        scope: Scope { classes: vitals(), codes: codes(&[HEART_RATE, SPO2]), span: span(200, 800) },
        purpose: Purpose::Treatment,
        valid_ms: ACCESS_VALID_MS_MAX,
        reader: reader_digest(ephemeral),
        one_time: one_time.public_key(),
    }
}

pub(super) fn signed(terms: ReleaseTerms, one_time: &SigningKey) -> ReleaseRequest {
    let message = release_request_message(CHAIN, &terms);
    let signature = one_time.sign(namespaces::RELEASE_REQUEST, &message);
    ReleaseRequest { terms, signature }
}

pub(super) fn show(link: &Link) -> ShareBytes {
    ShareBytes(link.to_secret())
}

pub(super) fn sealed_grant(key: &Secret<32>, plain: &[u8]) -> SealedGrant {
    Blob::new(seal_body(key, GRANT_PLAIN_BYTES, plain, &mut rng()).unwrap()).unwrap()
}

pub(super) fn sealed_intent(key: &Secret<32>, plain: &[u8]) -> SealedIntent {
    Blob::new(seal_body(key, INTENT_PLAIN_BYTES, plain, &mut rng()).unwrap()).unwrap()
}

pub(super) fn vitals() -> Classes {
    Classes::of(&[DataClass::Vitals]).unwrap()
}

pub(super) fn codes(codes: &[ObservationCode]) -> Codes {
    Codes::only(codes).unwrap()
}

pub(super) fn other_key() -> PublicKey {
    key(77).public_key()
}

pub(super) fn other_signer() -> SigningKey {
    key(77)
}
