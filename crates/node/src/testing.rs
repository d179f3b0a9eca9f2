//! What the roles' tests share: a ledger that is a map, a clock that is a number, a gateway, a
//! patient and a reader.

use crate::office::Office;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::{ChainSeed, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{EpochTerms, SealingEpoch};
use salus_wire::consent::{Grant, Grantee, Intent, IntentTerms, Vouching};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES};
use salus_wire::release::reader_digest;
use salus_wire::state::{AccessRecord, GrantRecord, IdentityRecord, Standing, Tip};
use salus_wire::tx::{PartyKind, access_commitment, grant_commitment, intent_message};
use salus_wire::{
    AccessTag, Blob, ChainId, Classes, Codes, DataClass, Faults, GrantTag, Height, List, MemberIndex,
    ObservationCode, PartyId, Purpose, Purposes, Roles, Scope, StateKey, StateValue, TimeMs, TimeSpan,
    encode, namespaces,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
const HEART_RATE: ObservationCode = ObservationCode::Loinc(8_867);
pub(crate) const READER: PartyId = PartyId::new([3; 16]);
pub(crate) const WRITER: PartyId = PartyId::new([4; 16]);
pub(crate) const START: TimeMs = TimeMs::new(1_000_000);

pub(crate) struct World {
    pub(crate) ledger: Arc<Mutex<BTreeMap<StateKey, StateValue>>>,
    /// Milliseconds of the custodian's clock and of the ledger's head.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) head: Arc<AtomicU64>,
    pub(crate) writer: SigningKey,
    pub(crate) patient: ChainSeed,
    pub(crate) lane: ChainSeed,
    pub(crate) one_time: SigningKey,
    pub(crate) ephemeral: KemSecretKey,
}

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

pub(crate) fn member(n: u16) -> MemberIndex {
    MemberIndex::new(n)
}

pub(crate) fn faults() -> Faults {
    Faults::for_members(4).unwrap()
}

pub(crate) fn span(from: u64, until: u64) -> TimeSpan {
    TimeSpan::new(TimeMs::new(from), TimeMs::new(until)).unwrap()
}

pub(crate) fn rng() -> StdRng {
    StdRng::seed_from_u64(5)
}

pub(crate) fn kem(n: u16) -> KemSecretKey {
    KemSecretKey::from_seed(Secret::from_bytes([100 + u8::try_from(n).unwrap(); 32]))
}

pub(crate) fn service(n: u16) -> SigningKey {
    key(200 + u8::try_from(n).unwrap())
}

impl World {
    /// A ledger on which the writer is registered, and nothing else.
    pub(crate) fn new() -> Self {
        let world = Self {
            ledger: Arc::default(),
            clock: Arc::new(AtomicU64::new(START.get())),
            head: Arc::new(AtomicU64::new(START.get())),
            writer: key(1),
            patient: ChainSeed::new(Secret::from_bytes([10; 32])),
            lane: ChainSeed::new(Secret::from_bytes([11; 32])),
            one_time: key(2),
            ephemeral: KemSecretKey::from_seed(Secret::from_bytes([5; 32])),
        };
        world.identity(WRITER, PartyKind::Gateway, world.writer.public_key());
        world
    }

    /// The same with a reader, a grant and a final access: all that a release needs.
    pub(crate) fn with_access() -> Self {
        let world = Self::new();
        world.identity(READER, PartyKind::Person, key(3).public_key());
        world.put(StateKey::Grant(world.grant_tag()), StateValue::Grant(world.grant_record()));
        world.put(StateKey::Access(world.access_tag()), StateValue::Access(world.access_record()));
        world
    }

    pub(crate) fn put(&self, key: StateKey, value: StateValue) {
        self.ledger.lock().unwrap().insert(key, value);
    }

    pub(crate) fn identity(&self, party: PartyId, kind: PartyKind, key: PublicKey) {
        let since = Tip { height: Height::new(1), time: TimeMs::new(1) };
        let (validity, standing) = (span(1, 9_000_000), Standing::Active);
        let roles = Roles::NONE;
        let record =
            IdentityRecord { kind, member: member(0), key, validity, roles, second: None, since, standing };
        self.put(StateKey::Identity(party), StateValue::Identity(record));
    }

    pub(crate) fn edit_identity(&self, party: PartyId, edit: impl FnOnce(&mut IdentityRecord)) {
        match self.ledger.lock().unwrap().get_mut(&StateKey::Identity(party)) {
            Some(StateValue::Identity(identity)) => edit(identity),
            _ => panic!("the party is registered"),
        }
    }

    pub(crate) fn revoke_grant(&self) {
        let record = GrantRecord { standing: Standing::Revoked(self.tip()), ..self.grant_record() };
        self.put(StateKey::Grant(self.grant_tag()), StateValue::Grant(record));
    }

    pub(crate) fn office(&self, n: u16) -> Arc<Office> {
        let (ledger, head) = (Arc::clone(&self.ledger), Arc::clone(&self.head));
        let clock = Arc::clone(&self.clock);
        let read = move |keys: Vec<StateKey>| {
            let ledger = ledger.lock().unwrap();
            let values = keys.iter().map(|key| ledger.get(key).cloned()).collect();
            let answer = Ok((tip_at(head.load(Ordering::SeqCst)), values));
            let ready: futures::future::BoxFuture<'static, _> = Box::pin(std::future::ready(answer));
            ready
        };
        Arc::new(Office {
            chain: CHAIN,
            me: member(n),
            faults: faults(),
            service: service(n),
            read: Arc::new(read),
            clock: Arc::new(move || TimeMs::new(clock.load(Ordering::SeqCst))),
            entropy: crate::office::system_entropy(),
            timers: crate::office::system_timers(),
        })
    }

    pub(crate) fn tip(&self) -> Tip {
        tip_at(self.head.load(Ordering::SeqCst))
    }

    pub(crate) fn now(&self) -> TimeMs {
        TimeMs::new(self.clock.load(Ordering::SeqCst))
    }

    pub(crate) fn grant_tag(&self) -> GrantTag {
        GrantTag(self.patient.link(1).tag())
    }

    pub(crate) fn access_tag(&self) -> AccessTag {
        AccessTag(self.lane.link(1).tag())
    }

    /// An epoch of the patient's data that begins at `from`.
    pub(crate) fn epoch(&self, from: u64, rng: &mut StdRng) -> SealingEpoch {
        let (writer, class, code) = (WRITER, DataClass::Vitals, HEART_RATE);
        let (span, grants) = (span(from, from + 100), self.patient.anchor());
        SealingEpoch::generate(EpochTerms { writer, class, code, span, grants }, rng)
    }

    fn grant_record(&self) -> GrantRecord {
        let grant = Grant {
            salt: [1; 32],
            writer: WRITER,
            grantee: Grantee::Person { party: READER, key: key(3).public_key() },
            scope: vitals(span(100, 90_000)),
            purposes: Purposes::of(&[Purpose::Treatment]).unwrap(),
            validity: span(1, 8_000_000),
            denies: List::empty(),
            lane: self.lane.anchor(),
            one_time: key(6).public_key(),
            data: None,
        };
        GrantRecord {
            commitment: grant_commitment(&self.patient.link(1), &grant),
            one_time: key(6).public_key(),
            body: sealed(&self.patient.body_key(1), GRANT_PLAIN_BYTES, &encode(&grant)),
            since: tip_at(START.get() - 9_000),
            standing: Standing::Active,
        }
    }

    fn access_record(&self) -> AccessRecord {
        let terms = IntentTerms {
            salt: [2; 32],
            requester: READER,
            vouching: Vouching::Requester,
            grant: self.grant_tag(),
            scope: vitals(span(200, 80_000)),
            purpose: Purpose::Treatment,
            valid_ms: ACCESS_VALID_MS_MAX,
            reader: reader_digest(&self.ephemeral.public_key()),
            one_time: self.one_time.public_key(),
        };
        let signature = key(3).sign(namespaces::INTENT, &intent_message(CHAIN, &terms));
        let intent = Intent { terms, signature, second: None };
        AccessRecord {
            commitment: access_commitment(&intent),
            one_time: self.one_time.public_key(),
            body: sealed(&self.lane.link(1).body_key(), INTENT_PLAIN_BYTES, &encode(&intent)),
            since: tip_at(START.get() - 1_000),
        }
    }
}

fn tip_at(ms: u64) -> Tip {
    Tip { height: Height::new(ms / 1_000), time: TimeMs::new(ms) }
}

/// All vital signs of a span.
pub(crate) fn vitals(span: TimeSpan) -> Scope {
    Scope { classes: Classes::of(&[DataClass::Vitals]).unwrap(), codes: Codes::All, span }
}

fn sealed<const SEALED: usize>(key: &Secret<32>, padded_len: usize, plain: &[u8]) -> Blob<SEALED> {
    Blob::new(seal_body(key, padded_len, plain, &mut rng()).unwrap()).unwrap()
}
