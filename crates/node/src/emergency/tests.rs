//! Four custodians, a patient who prepared, a clinician, an officer, and people who lie.

use super::*;
use crate::testing::{CHAIN, READER, START, World, faults, kem, key, member, rng, service, span};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::{ChainSeed, seal_body};
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_fragment::{CheckedLook, LookPlace, open_kit, open_tag, prepare};
use salus_store::Disk;
use salus_wire::consent::{Grant, Grantee, Reason};
use salus_wire::emergency::{
    EmergencyKit, GlassTerms, Review, card_key, glass_request_message, look_name, review_key, reviews_message,
};
use salus_wire::limits::{
    ACTIVITY_DAYS, DAY_MS, EMERGENCY_LOOKS_MAX, GRANT_PLAIN_BYTES, INTENT_PLAIN_BYTES, REVIEW_SUSPEND_MS,
};
use salus_wire::release::ShareBytes;
use salus_wire::state::{AccessRecord, PolicyRecord, ReviewRecord};
use salus_wire::tx::{PartyKind, grant_commitment};
use salus_wire::{AccessTag, Blob, Classes, Codes, Purpose, Purposes, Role, Roles, Scope};
use std::sync::atomic::{AtomicU64, Ordering};

const OFFICER: PartyId = PartyId::new([30; 16]);
const PLACES: u16 = 12;
/// Of whoever is registered here.
const LONG: u64 = 90 * DAY_MS;

/// Fresh for each request.
static NONCE: AtomicU64 = AtomicU64::new(0);

struct Ward {
    world: World,
    custodians: Vec<Emergency>,
    disks: Vec<Arc<InMemory>>,
    card: [u8; 32],
}

/// Who makes a deposit: the grant's one-time key, the card's secret, and the card that the grant names.
struct By {
    one_time: SigningKey,
    card: [u8; 32],
    named: Digest,
}

fn custodian(world: &World, n: u16, disk: &Arc<InMemory>) -> Emergency {
    let objects: Arc<InMemory> = Arc::clone(disk);
    Emergency::new(world.office(n), Arc::new(kem(n)), Emergencies::over(Disk::over(objects), machine_key()))
}

fn machine_key() -> MachineKey {
    MachineKey::new(Secret::from_bytes([8; 32]))
}

fn nonce() -> [u8; 16] {
    u128::from(NONCE.fetch_add(1, Ordering::SeqCst)).to_be_bytes()
}

fn name(card: [u8; 32]) -> Digest {
    card_name(&card_key(&Secret::from_bytes(card)).public_key())
}

impl Ward {
    /// A patient whose card opens `PLACES` looks, a nurse with a second factor, a privacy officer.
    async fn new() -> Self {
        let world = World::new();
        world.identity(READER, PartyKind::Person, key(3).public_key());
        world.edit_identity(READER, |identity| {
            (identity.roles, identity.second) = (Roles::of(&[Role::Nurse]), Some(key(33).public_key()));
            identity.validity = span(1, LONG);
        });
        world.identity(OFFICER, PartyKind::Person, key(31).public_key());
        world.edit_identity(OFFICER, |identity| {
            (identity.roles, identity.validity) = (Roles::of(&[Role::PrivacyOfficer]), span(1, LONG));
        });
        let disks: Vec<Arc<InMemory>> = (0..4).map(|_| Arc::default()).collect();
        let custodians = (0..4).zip(&disks).map(|(n, disk)| custodian(&world, n, disk)).collect();
        let ward = Self { world, custodians, disks, card: [21; 32] };
        ward.prepared(1).await;
        ward
    }

    /// The grant at `index` is final and its looks are at every custodian.
    async fn prepared(&self, index: u16) {
        self.commit(index, &self.patient());
        for (n, custodian) in (0..).zip(&self.custodians) {
            let answer = custodian.prepare(self.deposit(n, index, &self.patient())).await.unwrap();
            assert!(matches!(answer, Response::Prepared));
        }
    }

    fn commit(&self, index: u16, by: &By) {
        self.world.put(StateKey::Grant(self.tag(index)), StateValue::Grant(self.record(index, by)));
    }

    fn withdraw(&self, index: u16) {
        let standing = Standing::Revoked(self.world.tip());
        let record = GrantRecord { standing, ..self.record(index, &self.patient()) };
        self.world.put(StateKey::Grant(self.tag(index)), StateValue::Grant(record));
    }

    fn patient(&self) -> By {
        By { one_time: key(6), card: self.card, named: name(self.card) }
    }

    fn tag(&self, index: u16) -> GrantTag {
        GrantTag(self.world.patient.link(index).tag())
    }

    fn lane(&self, index: u16) -> ChainSeed {
        self.world.lane.child(b"lane", &[&index.to_le_bytes()])
    }

    fn access_of(&self, index: u16, place: u16) -> AccessTag {
        AccessTag(self.lane(index).link(place).tag())
    }

    fn access(&self, place: u16) -> AccessTag {
        self.access_of(1, place)
    }

    fn grant(&self, index: u16, by: &By) -> Grant {
        Grant {
            salt: [1; 32],
            writer: crate::testing::WRITER,
            grantee: Grantee::Emergency { card: by.named },
            scope: Scope { classes: Classes::ORDINARY, codes: Codes::All, span: span(100, 90_000) },
            purposes: Purposes::only(Purpose::Emergency),
            validity: span(1, LONG),
            denies: List::empty(),
            lane: self.lane(index).anchor(),
            one_time: by.one_time.public_key(),
            data: None,
        }
    }

    fn record(&self, index: u16, by: &By) -> GrantRecord {
        let grant = self.grant(index, by);
        let body_key = self.world.patient.body_key(index);
        let body = seal_body(&body_key, GRANT_PLAIN_BYTES, &encode(&grant), &mut rng()).unwrap();
        GrantRecord {
            commitment: grant_commitment(&self.world.patient.link(index), &grant),
            one_time: by.one_time.public_key(),
            body: Blob::new(body).unwrap(),
            since: self.world.tip(),
            standing: Standing::Active,
        }
    }

    /// The looks for custodian `n`, prepared from one seed so that all custodians get the same headers.
    fn deposit(&self, n: u16, index: u16, by: &By) -> EmergencyDeposit {
        let (mut rng, grant, card) = (rng(), self.tag(index), Secret::from_bytes(by.card));
        let looks = (1..=PLACES)
            .map(|place| {
                let at = LookPlace { grant, place, access: self.access_of(index, place) };
                let kit = EmergencyKit {
                    grant_index: index,
                    grant_link: ShareBytes(self.world.patient.link(index).to_secret()),
                    grant_body_key: ShareBytes(self.world.patient.body_key(index)),
                    access_link: ShareBytes(self.lane(index).link(place).to_secret()),
                };
                let terms = self.grant(index, by);
                let shares = prepare(CHAIN, faults(), at, &terms, &kit, &card, &mut rng).unwrap();
                shares.into_iter().nth(usize::from(n)).unwrap()
            })
            .collect();
        self.sealed(n, grant, by, looks)
    }

    fn sealed(&self, n: u16, grant: GrantTag, by: &By, looks: Vec<LookShare>) -> EmergencyDeposit {
        let plain = encode(&LookShares(List::new(looks).unwrap()));
        let info = prepare_info(CHAIN, grant, member(n));
        let sealed = kem(n).public_key().seal(&info, &[], &plain, &mut rng()).unwrap();
        let (signer, custodian) = (card_key(&Secret::from_bytes(by.card)), member(n));
        let card = signer.public_key();
        let message = prepare_message(CHAIN, grant, custodian, &card, &sealed);
        let signature = by.one_time.sign(namespaces::EMERGENCY_DEPOSIT, &message);
        let card_signature = signer.sign(namespaces::EMERGENCY_DEPOSIT_CARD, &message);
        EmergencyDeposit { grant, custodian, card, sealed, signature, card_signature }
    }

    fn request(&self, n: u16, ask: GlassAsk) -> GlassRequest {
        let card = card_key(&Secret::from_bytes(self.card));
        let terms = GlassTerms {
            custodian: member(n),
            nonce: nonce(),
            sent: self.world.now(),
            requester: READER,
            key: key(3).public_key(),
            reason: Reason::Danger,
            card: card.public_key(),
            reader: self.world.ephemeral.public_key(),
            ask,
        };
        let message = glass_request_message(CHAIN, &terms);
        let signature = key(3).sign(namespaces::BREAK_GLASS, &message);
        let second = key(33).sign(namespaces::BREAK_GLASS_SECOND, &message);
        let card = card.sign(namespaces::BREAK_GLASS_CARD, &message);
        GlassRequest { terms, signature, second, card }
    }

    /// What custodian `n` answers.
    async fn asked(&self, n: u16, ask: GlassAsk) -> Result<Given, Code> {
        let request = self.request(n, ask);
        let nonce = request.terms.nonce;
        let custodian = &self.custodians[usize::from(n)];
        let glass = custodian.break_glass(request).await.map_err(|refusal| refusal.code)?;
        let message = glass_message(CHAIN, member(n), READER, &glass.sealed);
        service(n).public_key().verify(namespaces::GLASS, &message, &glass.signature).unwrap();
        let info = glass_info(CHAIN, member(n), READER, nonce);
        let plain = self.world.ephemeral.open(&info, &[], &glass.sealed).unwrap();
        Ok(decode(&plain, RPC_BYTES_MAX).unwrap())
    }

    fn ask(&self, index: u16, place: u16) -> LookAsk {
        let before = (1..place).map(|place| self.access_of(index, place)).collect();
        LookAsk { grant: self.tag(index), before: List::new(before).unwrap() }
    }

    async fn given(&self, n: u16, asks: Vec<LookAsk>) -> Result<Vec<LookShare>, Code> {
        match self.asked(n, GlassAsk::Looks(List::new(asks).unwrap())).await? {
            Given::Looks(looks) => Ok(looks.into_vec()),
            Given::Tags(_) => panic!("another answer"),
        }
    }

    /// Custodian `n` gives the look at `place` of the first grant.
    async fn broken(&self, n: u16, place: u16) -> Result<LookShare, Code> {
        Ok(self.given(n, vec![self.ask(1, place)]).await?.pop().unwrap())
    }

    /// The tag at `place` of the first grant's lane is taken.
    fn taken(&self, place: u16) {
        let (commitment, one_time) = (Digest::ZERO, key(2).public_key());
        let body = Blob::new(vec![0; salus_wire::limits::INTENT_BODY_BYTES]).unwrap();
        let record = AccessRecord { commitment, one_time, body, since: self.world.tip() };
        self.world.put(StateKey::Access(self.access(place)), StateValue::Access(record));
    }

    /// Custodian `n` is asked for key shares under the access at `place`.
    async fn used(&self, n: u16, place: u16) -> Result<(), Code> {
        let access = self.access(place);
        let used = EmergencyUse {
            at: self.world.now(),
            requester: READER,
            card: name(self.card),
            look: look_name(access),
            access: Some(access),
            reason: Reason::Danger,
        };
        self.custodians[usize::from(n)].uses(used).await.map_err(|refusal| refusal.code)
    }

    /// A look is given, taken, and used.
    async fn looked(&self, n: u16, place: u16) {
        self.broken(n, place).await.unwrap();
        self.taken(place);
        self.used(n, place).await.unwrap();
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

    fn close(&self, used: &EmergencyUse, officer: PartyId, under: u16, verdict: Verdict) {
        let EmergencyUse { look, requester, card, .. } = used;
        let review = Review { look: *look, requester: *requester, verdict };
        let key = review_key(card, look, *requester);
        let body =
            Blob::new(seal_body(&key, INTENT_PLAIN_BYTES, &encode(&review), &mut rng()).unwrap()).unwrap();
        self.reviewed(used, under, ReviewRecord { officer, body, since: self.world.tip() });
    }

    fn reviewed(&self, used: &EmergencyUse, under: u16, record: ReviewRecord) {
        self.world.put(review_of(used, member(under)), StateValue::Review(record));
    }

    /// Everything that custodian `n` keeps, opened.
    async fn kept(&self, n: usize) -> Vec<Vec<u8>> {
        let found: Vec<_> = self.disks[n].list(None).try_collect().await.unwrap();
        let mut opened = Vec::new();
        for meta in found {
            let bytes = self.disks[n].get(&meta.location).await.unwrap().bytes().await.unwrap();
            // The name of a card among those of a grant holds nothing.
            if bytes.is_empty() {
                continue;
            }
            opened.push(machine_key().open(meta.location.to_string().as_bytes(), &bytes).unwrap());
        }
        opened
    }
}

#[tokio::test]
async fn three_custodians_open_the_next_look_and_two_do_not() {
    let ward = Ward::new().await;
    let card = card_key(&Secret::from_bytes(ward.card)).public_key();
    let check =
        |n: u16, look: &LookShare| CheckedLook::check(CHAIN, faults(), &card, member(n), look).unwrap();
    let mut looks = Vec::new();
    for n in [1, 2, 3] {
        looks.push(check(n, &ward.broken(n, 1).await.unwrap()));
    }
    let two = looks.split_off(1);
    assert!(open_kit(two).is_err());
    for n in [0, 2, 3] {
        looks.push(check(n, &ward.broken(n, 1).await.unwrap()));
    }
    let (header, kit) = open_kit(looks).unwrap();
    assert_eq!((header.place, header.terms, kit.grant_index), (1, ward.grant(1, &ward.patient()), 1));
    // The next place is given once the one before is taken, and for who shows which tag that is.
    assert_eq!(ward.broken(0, 2).await.err(), Some(Code::TagGap));
    ward.taken(1);
    let other = LookAsk { grant: ward.tag(1), before: List::new(vec![ward.access(2)]).unwrap() };
    ward.taken(2);
    assert_eq!(ward.given(0, vec![other]).await.err(), Some(Code::WrongTag));
    assert_eq!(ward.broken(0, 2).await.unwrap().header.look, look_name(ward.access(2)));
}

#[tokio::test]
async fn who_has_the_card_is_told_the_tags_and_nobody_else_can_read_them() {
    let ward = Ward::new().await;
    let Given::Tags(tags) = ward.asked(0, GlassAsk::Tags).await.unwrap() else { panic!("another answer") };
    assert_eq!(tags.len(), usize::from(PLACES));
    for ShownTag { grant, place, tag } in tags.iter() {
        let open = |card| open_tag(&Secret::from_bytes(card), *grant, *place, tag);
        assert_eq!(open(ward.card), Some(ward.access(*place)));
        assert_eq!(open([22; 32]), None);
    }
    assert_eq!(ward.told(0, 31).await.unwrap(), [], "nothing was given");
}

#[tokio::test]
async fn a_custodian_that_lies_learns_no_tag_that_is_free() {
    let ward = Ward::new().await;
    let mut seen = vec![
        encode(&ward.request(1, GlassAsk::Tags)),
        encode(&ward.request(1, GlassAsk::Looks(List::new(vec![ward.ask(1, 1)]).unwrap()))),
    ];
    ward.looked(1, 1).await;
    seen.push(encode(&ward.request(1, GlassAsk::Looks(List::new(vec![ward.ask(1, 2)]).unwrap()))));
    ward.broken(1, 2).await.unwrap();
    seen.extend(ward.kept(1).await);
    assert!(seen.len() > usize::from(PLACES));
    let knows = |secret: &[u8]| seen.iter().any(|bytes| bytes.windows(32).any(|window| window == secret));
    // It knows the tag that it was shown on the ledger, and its name for each of the others.
    assert!(knows(ward.access(1).0.as_bytes()));
    for place in 2..=PLACES {
        assert!(knows(look_name(ward.access(place)).as_bytes()), "{place}");
        assert!(!knows(ward.access(place).0.as_bytes()), "{place}");
        assert!(!knows(ward.lane(1).link(place).to_secret().danger_expose()), "{place}");
    }
    assert!(!knows(&ward.card) && !knows(ward.lane(1).to_secret().danger_expose()));
}

#[tokio::test]
async fn nothing_is_given_without_a_card_a_standing_grant_and_a_free_look() {
    let mut ward = Ward::new().await;
    ward.card = [22; 32];
    assert_eq!(ward.broken(0, 1).await.err(), Some(Code::NoCard));
    assert_eq!(ward.asked(0, GlassAsk::Tags).await.err(), Some(Code::NoCard));
    ward.card = [21; 32];
    ward.withdraw(1);
    assert_eq!(ward.broken(0, 1).await.err(), Some(Code::GrantRevoked));
    assert_eq!(ward.asked(0, GlassAsk::Tags).await.err(), Some(Code::NoCard));
    ward.commit(1, &ward.patient());
    (1..=PLACES).for_each(|place| ward.taken(place));
    assert_eq!(ward.broken(0, PLACES + 1).await.err(), Some(Code::NoCard));
    assert_eq!(ward.broken(0, 1).await.map(|look| look.header.place), Ok(1), "and takes nothing");
}

#[tokio::test]
async fn what_the_policy_of_the_readers_member_forbids_wastes_no_look() {
    let ward = Ward::new().await;
    let policy = r#"@id("treat") permit (principal is Person, action == Action::"read", resource is Data) when { context.purpose == "TREAT" };"#;
    let text = Blob::new(policy.as_bytes().to_vec()).unwrap();
    let record = PolicyRecord { version: 1, text, since: ward.world.tip() };
    ward.world.put(StateKey::Policy(member(0)), StateValue::Policy(record));
    assert_eq!(ward.broken(0, 1).await.err(), Some(Code::PolicyDenies));
    assert_eq!(ward.told(0, 31).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_looked_at_is_remembered_over_a_restart_and_bounded() {
    let mut ward = Ward::new().await;
    let most = u16::try_from(EMERGENCY_LOOKS_MAX).unwrap();
    for place in 1..=most {
        ward.broken(0, place).await.unwrap();
        ward.broken(0, place).await.unwrap();
        ward.taken(place);
    }
    assert_eq!(ward.broken(0, most + 1).await.err(), Some(Code::GlassLimit));
    ward.custodians[0] = custodian(&ward.world, 0, &ward.disks[0]);
    assert_eq!(ward.broken(0, most + 1).await.err(), Some(Code::GlassLimit));
    assert_eq!(ward.used(0, most + 1).await.err(), Some(Code::GlassLimit));
    assert!(ward.broken(1, most + 1).await.is_ok(), "it was not asked");
    ward.pass(EMERGENCY_MS_MAX);
    assert!(ward.broken(0, most + 1).await.is_ok(), "another use");
}

#[tokio::test]
async fn each_look_of_a_batch_counts_before_the_next_is_judged() {
    let ward = Ward::new().await;
    ward.prepared(2).await;
    ward.prepared(3).await;
    let most = u16::try_from(EMERGENCY_LOOKS_MAX).unwrap();
    for place in 1..most {
        ward.broken(0, place).await.unwrap();
        ward.taken(place);
    }
    let given = ward.given(0, vec![ward.ask(2, 1), ward.ask(3, 1)]).await.unwrap();
    assert_eq!(given.iter().map(|look| look.header.grant).collect::<Vec<_>>(), [ward.tag(2)]);
    assert_eq!(ward.given(0, vec![ward.ask(3, 1)]).await.err(), Some(Code::GlassLimit));
}

#[tokio::test]
async fn what_was_kept_for_later_opens_nothing_until_it_is_asked_for_again() {
    let ward = Ward::new().await;
    ward.broken(0, 1).await.unwrap();
    ward.taken(1);
    ward.pass(EMERGENCY_MS_MAX - 1);
    assert_eq!(ward.used(0, 1).await, Ok(()));
    assert_eq!(ward.broken(0, 1).await.err(), Some(Code::LookSpent), "it is used up");
    ward.broken(0, 2).await.unwrap();
    ward.pass(EMERGENCY_MS_MAX);
    assert_eq!(ward.used(0, 2).await, Err(Code::LookSpent), "an hour is over");
    ward.pass(3 * DAY_MS);
    assert_eq!(ward.used(0, 2).await, Err(Code::LookSpent));
    ward.broken(1, 1).await.unwrap();
    assert_eq!(ward.used(0, 2).await, Err(Code::LookSpent), "put aside is not forgotten");
    ward.broken(0, 2).await.unwrap();
    assert_eq!(ward.used(0, 2).await, Ok(()), "asked for again, and judged again");
    assert_eq!(ward.told(0, 31).await.unwrap().iter().filter(|used| used.access.is_some()).count(), 2);
}

#[tokio::test]
async fn a_use_that_nobody_reviews_suspends_and_a_review_mends_it() {
    let ward = Ward::new().await;
    for place in 1..=2 {
        ward.looked(0, place).await;
        ward.pass(EMERGENCY_MS_MAX);
    }
    ward.broken(1, 3).await.unwrap();
    ward.pass(REVIEW_SUSPEND_MS);
    assert_eq!(ward.broken(0, 3).await.err(), Some(Code::GlassSuspended));
    assert!(ward.broken(1, 3).await.is_ok(), "nothing was read under what it gave");
    let uses = ward.told(0, 31).await.unwrap();
    let read: Vec<_> = uses.iter().map(|used| used.access.unwrap()).collect();
    assert_eq!(read, [ward.access(2), ward.access(1)]);
    assert!(uses.iter().all(|used| used.requester == READER && used.card == name(ward.card)));
    // What stands under another member, what is no review, and their own word leave it open.
    ward.close(&uses[0], OFFICER, 2, Verdict::Justified);
    let nonsense = Blob::new(vec![1; salus_wire::limits::INTENT_BODY_BYTES]).unwrap();
    let record = ReviewRecord { officer: OFFICER, body: nonsense, since: ward.world.tip() };
    ward.reviewed(&uses[0], 0, record);
    assert_eq!(ward.broken(0, 3).await.err(), Some(Code::GlassSuspended));
    ward.close(&uses[0], READER, 0, Verdict::Justified);
    assert_eq!(ward.broken(0, 3).await.err(), Some(Code::GlassSuspended));
    ward.close(&uses[0], OFFICER, 0, Verdict::Justified);
    assert!(ward.broken(0, 3).await.is_ok());
    ward.close(&uses[1], OFFICER, 0, Verdict::Unjustified);
    assert_eq!(ward.broken(0, 3).await.err(), Some(Code::GlassSuspended));
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 3, "what is put aside is told as well");
}

#[tokio::test]
async fn only_an_officer_hears_of_uses_and_only_of_their_members_people() {
    let ward = Ward::new().await;
    ward.broken(0, 1).await.unwrap();
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 1);
    assert_eq!(ward.told(1, 31).await.unwrap().len(), 0, "it gave nothing");
    assert_eq!(ward.told(0, 32).await.err(), Some(Code::RequestSignature));
    ward.world.edit_identity(OFFICER, |identity| identity.member = member(2));
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 0);
    ward.world.edit_identity(OFFICER, |identity| identity.roles = Roles::of(&[Role::Nurse]));
    assert_eq!(ward.told(0, 31).await.err(), Some(Code::NotAnOfficer));
}

#[tokio::test]
async fn a_custodian_keeps_only_what_the_grants_own_key_and_its_card_bring() {
    let ward = Ward::new().await;
    let refused = |deposit| async { ward.custodians[0].prepare(deposit).await.err().map(|no| no.code) };
    let patient = ward.patient();
    assert_eq!(refused(ward.deposit(1, 1, &patient)).await, Some(Code::RequestReplayed));
    let stranger = By { one_time: key(7), ..ward.patient() };
    assert_eq!(refused(ward.deposit(0, 1, &stranger)).await, Some(Code::BadSignature));
    assert_eq!(refused(ward.deposit(0, 2, &patient)).await, Some(Code::NoGrant));
    ward.withdraw(1);
    assert_eq!(refused(ward.deposit(0, 1, &patient)).await, Some(Code::GrantRevoked));
    assert_eq!(ward.world.now(), START);
}

#[tokio::test]
async fn a_stranger_puts_nothing_under_a_card_and_one_grant_has_one_card() {
    let ward = Ward::new().await;
    let refused = |deposit| async { ward.custodians[0].prepare(deposit).await.err().map(|no| no.code) };
    // A grant of their own that names the patient's card; they have another card, or sign with another.
    let junk = By { one_time: key(7), card: [66; 32], named: name(ward.card) };
    ward.commit(2, &junk);
    assert_eq!(refused(ward.deposit(0, 2, &junk)).await, Some(Code::BodyMismatch));
    let card = card_key(&Secret::from_bytes(ward.card)).public_key();
    let forged = EmergencyDeposit { card, ..ward.deposit(0, 2, &junk) };
    assert_eq!(refused(forged).await, Some(Code::BadSignature));
    // The grant on the ledger names one card; looks that name another are not of it.
    let own = By { one_time: key(7), card: [66; 32], named: name([66; 32]) };
    assert_eq!(refused(ward.deposit(0, 2, &own)).await, Some(Code::BodyMismatch));
    ward.commit(2, &own);
    assert_eq!(refused(ward.deposit(0, 2, &own)).await, None, "their own card is their own affair");
    let Given::Tags(tags) = ward.asked(0, GlassAsk::Tags).await.unwrap() else { panic!("another answer") };
    assert!(tags.iter().all(|shown| shown.grant == ward.tag(1)));
}

#[tokio::test]
async fn a_card_finds_few_grants_and_those_that_are_withdrawn_make_room() {
    let ward = Ward::new().await;
    let grants = u16::try_from(EMERGENCY_GRANTS_MAX).unwrap();
    for index in 2..=grants {
        ward.prepared(index).await;
    }
    let more = grants + 1;
    ward.commit(more, &ward.patient());
    let deposit = || ward.deposit(0, more, &ward.patient());
    let refused = ward.custodians[0].prepare(deposit()).await.err().map(|no| no.code);
    assert_eq!(refused, Some(Code::TooLarge));
    ward.prepared(1).await;
    ward.withdraw(1);
    assert!(ward.custodians[0].prepare(deposit()).await.is_ok());
    assert_eq!(ward.kept(0).await.len(), usize::from(grants * PLACES), "and nothing of it is kept");
}

#[tokio::test]
async fn looks_are_destroyed_with_their_grant_and_others_stay() {
    let ward = Ward::new().await;
    ward.custodians[0].destroy(&BTreeSet::from([ward.tag(2)])).await.unwrap();
    ward.broken(0, 1).await.unwrap();
    ward.custodians[0].destroy(&BTreeSet::from([ward.tag(2), ward.tag(1)])).await.unwrap();
    assert_eq!(ward.broken(0, 1).await.err(), Some(Code::NoCard));
    assert_eq!(ward.told(0, 31).await.unwrap().len(), 1, "who looked stays remembered");
}

#[tokio::test]
async fn a_stolen_disk_tells_neither_whose_looks_it_holds_nor_who_looked() {
    let ward = Ward::new().await;
    ward.broken(0, 1).await.unwrap();
    let found: Vec<_> = ward.disks[0].list(None).try_collect().await.unwrap();
    assert_eq!(found.len(), usize::from(PLACES) + 2, "looks, the name of their card, and who looked");
    let secrets = [
        ward.card.to_vec(),
        name(ward.card).as_bytes().to_vec(),
        READER.as_bytes().to_vec(),
        encode(&ward.tag(1)),
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

#[tokio::test]
async fn who_looked_is_forgotten_after_six_years_and_not_before() {
    let ward = Ward::new().await;
    ward.broken(0, 1).await.unwrap();
    let kept_for = u64::from(ACTIVITY_DAYS) * DAY_MS;
    for (clock, left) in [(kept_for, 1), (kept_for + DAY_MS, 0)] {
        ward.world.clock.store(START.get() + clock, Ordering::SeqCst);
        ward.world.head.store(START.get() + clock, Ordering::SeqCst);
        ward.custodians[0].end().await.unwrap();
        // Beside the looks and the name of their card.
        assert_eq!(ward.kept(0).await.len() - usize::from(PLACES), left);
    }
}
