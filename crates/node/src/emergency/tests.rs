//! Four custodians, a patient who prepared, a clinician, and an officer.

use super::*;
use crate::testing::{CHAIN, READER, START, World, faults, kem, key, member, rng, service, span};
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::{ChainSeed, seal_body};
use salus_crypto::secret::Secret;
use salus_fragment::{CheckedLook, LookPlace, open_kit, prepare};
use salus_store::Disk;
use salus_wire::consent::{Grant, Grantee, Reason};
use salus_wire::emergency::{
    EmergencyKit, GlassTerms, Review, Verdict, card_name, glass_request_message, review_key, review_message,
    reviews_message,
};
use salus_wire::limits::{EMERGENCY_LOOKS_MAX, GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS};
use salus_wire::release::ShareBytes;
use salus_wire::state::{AccessRecord, GrantRecord, ReviewRecord};
use salus_wire::tx::{PartyKind, grant_commitment};
use salus_wire::{Blob, Classes, Codes, Purpose, Purposes, Role, Roles, Scope};
use std::sync::atomic::{AtomicU64, Ordering};

const OFFICER: PartyId = PartyId::new([30; 16]);
const PLACES: u16 = 12;

/// Fresh for each request.
static NONCE: AtomicU64 = AtomicU64::new(0);

struct Ward {
    world: World,
    custodians: Vec<Emergency>,
    disks: Vec<Arc<InMemory>>,
    card: [u8; 32],
}

fn custodian(world: &World, n: u16, disk: &Arc<InMemory>) -> Emergency {
    let objects: Arc<InMemory> = Arc::clone(disk);
    let kept = Emergencies::over(Disk::over(objects), MachineKey::new(Secret::from_bytes([8; 32])));
    Emergency::new(world.office(n), Arc::new(kem(n)), kept)
}

fn nonce() -> [u8; 16] {
    u128::from(NONCE.fetch_add(1, Ordering::SeqCst)).to_be_bytes()
}

impl Ward {
    /// A patient whose card opens `PLACES` looks, a nurse with a second factor, a privacy officer.
    async fn new() -> Self {
        let world = World::new();
        world.identity(READER, PartyKind::Person, key(3).public_key());
        world.edit_identity(READER, |identity| {
            (identity.roles, identity.second) = (Roles::of(&[Role::Nurse]), Some(key(33).public_key()));
        });
        world.identity(OFFICER, PartyKind::Person, key(31).public_key());
        world.edit_identity(OFFICER, |identity| identity.roles = Roles::of(&[Role::PrivacyOfficer]));
        let disks: Vec<Arc<InMemory>> = (0..4).map(|_| Arc::default()).collect();
        let custodians = (0..4).zip(&disks).map(|(n, disk)| custodian(&world, n, disk)).collect();
        let ward = Self { world, custodians, disks, card: [21; 32] };
        ward.world.put(StateKey::Grant(ward.tag()), StateValue::Grant(ward.record()));
        for (n, custodian) in (0..).zip(&ward.custodians) {
            let answer = custodian.prepare(ward.deposit(n, &key(6))).await.unwrap();
            assert!(matches!(answer, Response::Prepared));
        }
        ward
    }

    fn name(&self) -> Digest {
        card_name(&Secret::from_bytes(self.card))
    }

    fn tag(&self) -> GrantTag {
        GrantTag(self.world.patient.link(1).tag())
    }

    fn lane(&self) -> &ChainSeed {
        &self.world.lane
    }

    fn access(&self, place: u16) -> AccessTag {
        AccessTag(self.lane().link(place).tag())
    }

    fn grant(&self) -> Grant {
        Grant {
            salt: [1; 32],
            writer: crate::testing::WRITER,
            grantee: Grantee::Emergency { card: self.name() },
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span(100, 90_000) },
            purposes: Purposes::only(Purpose::Emergency),
            validity: span(1, 8_000_000),
            denies: List::empty(),
            lane: self.lane().anchor(),
            one_time: key(6).public_key(),
        }
    }

    fn record(&self) -> GrantRecord {
        let plain = encode(&self.grant());
        let body = seal_body(&self.world.patient.body_key(1), GRANT_PLAIN_BYTES, &plain, &mut rng()).unwrap();
        GrantRecord {
            commitment: grant_commitment(&self.world.patient.link(1), &self.grant()),
            one_time: key(6).public_key(),
            body: Blob::new(body).unwrap(),
            since: self.world.tip(),
            standing: Standing::Active,
        }
    }

    /// The looks for custodian `n`, prepared from one seed so that all custodians get the same headers.
    fn deposit(&self, n: u16, one_time: &salus_crypto::sign::SigningKey) -> EmergencyDeposit {
        let mut rng = rng();
        let looks = (1..=PLACES)
            .map(|place| {
                let at =
                    LookPlace { card: self.name(), grant: self.tag(), place, access: self.access(place) };
                let kit = EmergencyKit {
                    grant_index: 1,
                    grant_link: ShareBytes(self.world.patient.link(1).to_secret()),
                    grant_body_key: ShareBytes(self.world.patient.body_key(1)),
                    access_link: ShareBytes(self.lane().link(place).to_secret()),
                    grant: self.grant(),
                };
                let shares = prepare(CHAIN, faults(), at, &kit, one_time, &mut rng).unwrap();
                shares.into_iter().nth(usize::from(n)).unwrap()
            })
            .collect();
        let plain = encode(&LookShares(List::new(looks).unwrap()));
        let info = prepare_info(CHAIN, self.tag(), member(n));
        let sealed = kem(n).public_key().seal(&info, &[], &plain, &mut rng).unwrap();
        let message = prepare_message(CHAIN, self.tag(), member(n), &sealed);
        let signature = one_time.sign(namespaces::EMERGENCY_DEPOSIT, &message);
        EmergencyDeposit { grant: self.tag(), custodian: member(n), sealed, signature }
    }

    fn request(&self, n: u16) -> (GlassRequest, [u8; 16]) {
        let nonce = nonce();
        let terms = GlassTerms {
            custodian: member(n),
            nonce,
            sent: self.world.now(),
            requester: READER,
            key: key(3).public_key(),
            reason: Reason::Danger,
            card: ShareBytes(Secret::from_bytes(self.card)),
            reader: self.world.ephemeral.public_key(),
        };
        let message = glass_request_message(CHAIN, &terms);
        let signature = key(3).sign(namespaces::BREAK_GLASS, &message);
        let second = key(33).sign(namespaces::BREAK_GLASS_SECOND, &message);
        (GlassRequest { terms, signature, second }, nonce)
    }

    /// What custodian `n` gives.
    async fn broken(&self, n: u16) -> Result<Vec<LookShare>, Code> {
        let (request, nonce) = self.request(n);
        let custodian = &self.custodians[usize::from(n)];
        let glass = custodian.break_glass(request).await.map_err(|refusal| refusal.code)?;
        let message = glass_message(CHAIN, member(n), READER, &glass.sealed);
        service(n).public_key().verify(namespaces::GLASS, &message, &glass.signature).unwrap();
        let info = glass_info(CHAIN, member(n), READER, nonce);
        let plain = self.world.ephemeral.open(&info, &[], &glass.sealed).unwrap();
        let NextLooks(looks) = decode(&plain, RPC_BYTES_MAX).unwrap();
        Ok(looks.into_vec())
    }

    /// The tag at `place` of the lane is taken.
    fn taken(&self, place: u16) {
        let (commitment, one_time) = (Digest::ZERO, key(2).public_key());
        let body = Blob::new(vec![0; salus_wire::limits::INTENT_BODY_BYTES]).unwrap();
        let record = AccessRecord { commitment, one_time, body, since: self.world.tip() };
        self.world.put(StateKey::Access(self.access(place)), StateValue::Access(record));
    }

    fn pass(&self, ms: u64) {
        self.world.clock.fetch_add(ms, Ordering::SeqCst);
        self.world.head.fetch_add(ms, Ordering::SeqCst);
    }

    async fn told(&self, n: u16, signer: u8) -> Result<Vec<EmergencyUse>, Code> {
        let (nonce, sent, key_) = (nonce(), self.world.now(), key(signer).public_key());
        let message = reviews_message(CHAIN, member(n), nonce, sent, OFFICER, &key_);
        let signature = key(signer).sign(namespaces::REVIEWS, &message);
        let request =
            ReviewsRequest { custodian: member(n), nonce, sent, officer: OFFICER, key: key_, signature };
        match self.custodians[usize::from(n)].reviews(request).await {
            Ok(Response::Reviews(uses)) => Ok(uses.into_vec()),
            Ok(_) => panic!("another answer"),
            Err(refusal) => Err(refusal.code),
        }
    }

    fn close(&self, used: &EmergencyUse, verdict: Verdict) {
        let message = review_message(CHAIN, used.access, READER, OFFICER, verdict);
        let signature = key(31).sign(namespaces::REVIEW, &message);
        let review = Review { access: used.access, requester: READER, officer: OFFICER, verdict, signature };
        let key = review_key(&used.card, used.access);
        let body = seal_body(&key, INTENT_PLAIN_BYTES, &encode(&review), &mut rng()).unwrap();
        let record = ReviewRecord { body: Blob::new(body).unwrap(), since: self.world.tip() };
        self.world.put(review_of(used), StateValue::Review(record));
    }
}

#[tokio::test]
async fn three_custodians_open_the_next_look_and_two_do_not() {
    let ward = Ward::new().await;
    let mut looks = Vec::new();
    for n in [1, 2, 3] {
        let look = ward.broken(n).await.unwrap().pop().unwrap();
        assert_eq!(look.header.access, ward.access(1));
        looks.push(CheckedLook::check(faults(), member(n), &look).unwrap());
    }
    let two = looks.split_off(1);
    assert!(open_kit(CHAIN, two).is_err());
    for n in [0, 2, 3] {
        let look = ward.broken(n).await.unwrap().pop().unwrap();
        looks.push(CheckedLook::check(faults(), member(n), &look).unwrap());
    }
    let (header, kit) = open_kit(CHAIN, looks).unwrap();
    assert_eq!((header.place, kit.grant), (1, ward.grant()));
    ward.taken(1);
    assert_eq!(ward.broken(0).await.unwrap()[0].header.access, ward.access(2));
}

#[tokio::test]
async fn nothing_is_given_without_a_card_a_standing_grant_and_a_free_look() {
    let mut ward = Ward::new().await;
    ward.card = [22; 32];
    assert_eq!(ward.broken(0).await.err(), Some(Code::NoCard));
    ward.card = [21; 32];
    let revoked = GrantRecord { standing: Standing::Revoked(ward.world.tip()), ..ward.record() };
    ward.world.put(StateKey::Grant(ward.tag()), StateValue::Grant(revoked));
    assert_eq!(ward.broken(0).await.err(), Some(Code::NoCard));
    ward.world.put(StateKey::Grant(ward.tag()), StateValue::Grant(ward.record()));
    (1..=PLACES).for_each(|place| ward.taken(place));
    assert_eq!(ward.broken(0).await.err(), Some(Code::NoCard));
}

#[tokio::test]
async fn what_was_looked_at_is_remembered_over_a_restart_and_bounded() {
    let mut ward = Ward::new().await;
    for place in 1..=u16::try_from(EMERGENCY_LOOKS_MAX).unwrap() {
        ward.broken(0).await.unwrap();
        ward.broken(0).await.unwrap();
        ward.taken(place);
    }
    assert_eq!(ward.broken(0).await.err(), Some(Code::GlassLimit));
    ward.custodians[0] = custodian(&ward.world, 0, &ward.disks[0]);
    assert_eq!(ward.broken(0).await.err(), Some(Code::GlassLimit));
    assert!(ward.broken(1).await.is_ok(), "it was not asked");
    ward.pass(salus_wire::limits::EMERGENCY_MS_MAX);
    assert!(ward.broken(0).await.is_ok(), "another use");
}

#[tokio::test]
async fn a_use_that_nobody_reviews_suspends_and_a_review_mends_it() {
    let ward = Ward::new().await;
    ward.world.edit_identity(READER, |identity| identity.validity = span(1, 90 * 86_400_000));
    ward.world.edit_identity(OFFICER, |identity| identity.validity = span(1, 90 * 86_400_000));
    for place in 1..=2 {
        ward.broken(0).await.unwrap();
        ward.taken(place);
        ward.pass(salus_wire::limits::EMERGENCY_MS_MAX);
    }
    ward.pass(REVIEW_SUSPEND_MS);
    assert_eq!(ward.broken(0).await.err(), Some(Code::GlassSuspended));
    let uses = ward.told(0, 31).await.unwrap();
    assert_eq!(uses.iter().map(|used| used.access).collect::<Vec<_>>(), [ward.access(2), ward.access(1)]);
    assert!(uses.iter().all(|used| used.requester == READER && used.card == ward.name()));
    // Something that is no review leaves it open.
    let nonsense = Blob::new(vec![1; salus_wire::limits::INTENT_BODY_BYTES]).unwrap();
    let since = ward.world.tip();
    ward.world.put(review_of(&uses[0]), StateValue::Review(ReviewRecord { body: nonsense, since }));
    assert_eq!(ward.broken(0).await.err(), Some(Code::GlassSuspended));
    ward.close(&uses[0], Verdict::Justified);
    assert!(ward.broken(0).await.is_ok());
    ward.close(&uses[1], Verdict::Unjustified);
    assert_eq!(ward.broken(0).await.err(), Some(Code::GlassSuspended));
}

#[tokio::test]
async fn only_an_officer_hears_of_uses_and_only_of_their_members_people() {
    let ward = Ward::new().await;
    ward.broken(0).await.unwrap();
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 1);
    assert_eq!(ward.told(1, 31).await.unwrap().len(), 0, "it gave nothing");
    assert_eq!(ward.told(0, 32).await.err(), Some(Code::RequestSignature));
    ward.world.edit_identity(OFFICER, |identity| identity.member = member(2));
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 0);
    ward.world.edit_identity(OFFICER, |identity| identity.roles = Roles::of(&[Role::Nurse]));
    assert_eq!(ward.told(0, 31).await.err(), Some(Code::NotAnOfficer));
}

#[tokio::test]
async fn a_custodian_keeps_only_what_the_grants_own_key_brings() {
    let ward = Ward::new().await;
    let refused = |deposit| async { ward.custodians[0].prepare(deposit).await.err().map(|no| no.code) };
    assert_eq!(refused(ward.deposit(1, &key(6))).await, Some(Code::RequestReplayed));
    assert_eq!(refused(ward.deposit(0, &key(7))).await, Some(Code::BadSignature));
    let other = GrantTag(ward.world.patient.link(2).tag());
    assert_eq!(
        refused(EmergencyDeposit { grant: other, ..ward.deposit(0, &key(6)) }).await,
        Some(Code::NoGrant)
    );
    let revoked = GrantRecord { standing: Standing::Revoked(ward.world.tip()), ..ward.record() };
    ward.world.put(StateKey::Grant(ward.tag()), StateValue::Grant(revoked));
    assert_eq!(refused(ward.deposit(0, &key(6))).await, Some(Code::GrantRevoked));
    assert_eq!(ward.world.now(), START);
}

#[tokio::test]
async fn looks_are_destroyed_with_their_grant_and_others_stay() {
    let ward = Ward::new().await;
    let other = GrantTag(ward.world.patient.link(2).tag());
    ward.custodians[0].destroy(&BTreeSet::from([other])).await.unwrap();
    ward.broken(0).await.unwrap();
    ward.custodians[0].destroy(&BTreeSet::from([other, ward.tag()])).await.unwrap();
    assert_eq!(ward.broken(0).await.err(), Some(Code::NoCard));
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 1, "who looked stays remembered");
}

#[tokio::test]
async fn a_stolen_disk_tells_neither_whose_looks_it_holds_nor_who_looked() {
    use futures::TryStreamExt;
    use object_store::{ObjectStore, ObjectStoreExt};
    let ward = Ward::new().await;
    ward.broken(0).await.unwrap();
    let found: Vec<_> = ward.disks[0].list(None).try_collect().await.unwrap();
    assert_eq!(found.len(), usize::from(PLACES) + 1);
    let secrets = [
        ward.card.to_vec(),
        ward.name().as_bytes().to_vec(),
        READER.as_bytes().to_vec(),
        encode(&ward.tag()),
    ];
    for meta in found {
        let bytes = ward.disks[0].get(&meta.location).await.unwrap().bytes().await.unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_slice()));
            assert!(!meta.location.to_string().contains(&hex(secret)));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
