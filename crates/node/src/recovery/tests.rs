//! A custodian, a patient who prepared, two guardians, and whoever has the lost wallet.

use super::*;
use crate::testing::{CHAIN, START, World, faults, kem, key, member, rng, service};
use object_store::memory::InMemory;
use salus_crypto::at_rest::MachineKey;
use salus_crypto::chain::{ChainSeed, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_fragment::{RecoveryParts, RecoveryPlan, guardians_key, open_package, prepare_recovery};
use salus_store::Disk;
use salus_wire::limits::GRANT_PLAIN_BYTES;
use salus_wire::recovery::{
    Approval, Approvals, Case, RecoverTerms, Recovery as Entry, RecoveryPackage, RecoveryTerms,
    approval_message, case_commitment, case_id, opener_key, recover_message, recovery_commitment,
};
use salus_wire::release::{ShareBytes, reader_digest};
use salus_wire::state::{CaseRecord, GrantRecord, Standing, Tip};
use salus_wire::{Blob, GrantTag, List};
use std::sync::atomic::{AtomicU64, Ordering};

const DELAY: u64 = 5_000;
/// What custodians take at least.
const LEAST: u64 = 4_000;

/// Fresh for each request.
static NONCE: AtomicU64 = AtomicU64::new(0);

struct Scene {
    world: World,
    custodians: Vec<Recovery>,
    old: ChainSeed,
    new: ChainSeed,
    parts: RecoveryParts,
    vetoes: Secret<32>,
}

fn custodian(world: &World, n: u16) -> Recovery {
    let objects: Arc<InMemory> = Arc::default();
    let kept = Recoveries::over(Disk::over(objects), MachineKey::new(Secret::from_bytes([8; 32])));
    Recovery::new(world.office(n), Arc::new(kem(n)), kept, LEAST)
}

fn parts(old: &ChainSeed, data: ChainAnchor, vetoes: &Secret<32>) -> RecoveryParts {
    let package = RecoveryPackage {
        writer: crate::testing::WRITER,
        seed: ShareBytes(old.to_secret()),
        data,
        before: List::empty(),
    };
    let (chain, package) = (old.anchor(), &package);
    let plan = RecoveryPlan { chain, data, delay_ms: DELAY, guardians: 3, needed: 2, vetoes, package };
    prepare_recovery(faults(), &plan, &mut rng()).unwrap()
}

impl Scene {
    /// Nothing is committed or brought yet.
    fn new() -> Self {
        let world = World::new();
        let [old, new] = [41, 42].map(|n| ChainSeed::new(Secret::from_bytes([n; 32])));
        let vetoes = Secret::from_bytes([43; 32]);
        let parts = parts(&old, old.anchor(), &vetoes);
        let custodians = (0..4).map(|n| custodian(&world, n)).collect();
        Self { world, custodians, old, new, parts, vetoes }
    }

    /// Everything is prepared, under entry 1 of the chain.
    async fn prepared() -> Self {
        let scene = Self::new();
        scene.commit(1, &scene.parts.terms, Standing::Active);
        for n in 0..4 {
            assert_eq!(scene.bring(n, 1, &scene.parts).await, Ok(()));
        }
        scene
    }

    fn entry(&self, index: u16) -> GrantTag {
        GrantTag(self.old.link(index).tag())
    }

    fn commit(&self, index: u16, terms: &RecoveryTerms, standing: Standing) {
        let one_time = key(60).public_key();
        let entry = Entry { salt: [1; 32], terms: terms_digest(terms), one_time };
        let body = seal_body(&self.old.body_key(index), GRANT_PLAIN_BYTES, &encode(&entry), &mut rng());
        let (commitment, body) =
            (recovery_commitment(&self.old.link(index), &entry), Blob::new(body.unwrap()).unwrap());
        let record = GrantRecord { commitment, one_time, body, since: self.world.tip(), standing };
        self.world.put(StateKey::Grant(self.entry(index)), StateValue::Grant(record));
    }

    fn deposit(&self, n: u16, index: u16, parts: &RecoveryParts) -> RecoveryDeposit {
        let entry = self.entry(index);
        let share = ShareBytes(Secret::from_bytes(*parts.custodians[usize::from(n)].0.danger_expose()));
        let part = RecoveryPart {
            index,
            link: ShareBytes(self.old.link(index).to_secret()),
            body_key: ShareBytes(self.old.body_key(index)),
            terms: parts.terms.clone(),
            share,
        };
        let info = recovery_deposit_info(CHAIN, entry, member(n));
        let sealed = kem(n).public_key().seal(&info, &[], &encode(&part), &mut rng()).unwrap();
        let message = recovery_deposit_message(CHAIN, entry, member(n), &sealed);
        let signature = key(60).sign(namespaces::RECOVERY_DEPOSIT, &message);
        RecoveryDeposit { entry, custodian: member(n), sealed, signature }
    }

    async fn bring(&self, n: u16, index: u16, parts: &RecoveryParts) -> Result<(), Code> {
        let deposit = self.deposit(n, index, parts);
        let kept = self.custodians[usize::from(n)].keep(deposit).await.map_err(|refusal| refusal.code)?;
        assert!(matches!(kept, Response::RecoveryKept));
        Ok(())
    }

    fn guardians(&self) -> Secret<32> {
        let shares: Vec<(u16, ShareBytes)> = (0_u16..2)
            .map(|n| {
                let (_, shares) = &self.parts.guardians[usize::from(n)];
                (n, ShareBytes(Secret::from_bytes(*shares[0].0.danger_expose())))
            })
            .collect();
        guardians_key(&self.parts.terms, 1, &shares).unwrap()
    }

    fn opener(&self) -> SigningKey {
        opener_key(&self.guardians(), &self.parts.terms.name, 1)
    }

    fn case(&self) -> (Case, Approvals) {
        let case = Case {
            salt: [1; 32],
            name: self.parts.terms.name,
            place: 1,
            successor: self.new.anchor(),
            reader: reader_digest(&kem(50).public_key()),
            asked: START,
        };
        let approvals = (0_u16..2)
            .map(|guardian| {
                let (key, _) = &self.parts.guardians[usize::from(guardian)];
                let signature = key.sign(namespaces::RECOVERY_APPROVAL, &approval_message(CHAIN, &case));
                Approval { guardian, signature }
            })
            .collect();
        (case, List::new(approvals).unwrap())
    }

    fn open(&self, standing: Standing) {
        let (case, approvals) = self.case();
        let veto = self.parts.terms.places[0].veto;
        let commitment = case_commitment(&case, &approvals);
        let since = Tip { time: START, ..self.world.tip() };
        let record = CaseRecord { commitment, veto, since, standing };
        self.world.put(StateKey::Case(case_id(&self.opener().public_key())), StateValue::Case(record));
    }

    fn wait(&self, ms: u64) {
        for clock in [&self.world.clock, &self.world.head] {
            clock.fetch_add(ms, Ordering::SeqCst);
        }
    }

    async fn give(&self, n: u16) -> Result<ShareBytes, Code> {
        let (case, approvals) = self.case();
        let terms = RecoverTerms {
            custodian: member(n),
            nonce: u128::from(NONCE.fetch_add(1, Ordering::SeqCst)).to_be_bytes(),
            sent: self.world.now(),
            opener: self.opener().public_key(),
            case,
            approvals,
            reader: kem(50).public_key(),
        };
        let signature = self.opener().sign(namespaces::RECOVER_REQUEST, &recover_message(CHAIN, &terms));
        let given = self.custodians[usize::from(n)].give(RecoverRequest { terms, signature }).await;
        let given = given.map_err(|refusal| refusal.code)?;
        let message = recovered_message(CHAIN, member(n), &case, &given.sealed);
        service(n).public_key().verify(namespaces::RECOVERED, &message, &given.signature).unwrap();
        let plain = kem(50).open(&recovered_info(CHAIN, member(n), &case), &[], &given.sealed).unwrap();
        Ok(decode(&plain, 32).unwrap())
    }

    /// By a grant from before everything.
    async fn in_charge(&self, n: u16, chain: &ChainSeed, data: &ChainSeed) -> Result<(), Code> {
        self.in_charge_since(n, chain, data, 0).await
    }

    async fn in_charge_since(
        &self,
        n: u16,
        chain: &ChainSeed,
        data: &ChainSeed,
        since: u64,
    ) -> Result<(), Code> {
        let custodian = &self.custodians[usize::from(n)];
        let charged = custodian.in_charge(&chain.anchor(), &data.anchor(), Height::new(since)).await;
        charged.map_err(|refusal| refusal.code)
    }
}

#[tokio::test]
async fn shares_are_given_once_the_delay_is_over_and_open_the_wallet() {
    let scene = Scene::prepared().await;
    assert_eq!(scene.give(0).await.err(), Some(Code::NoRecovery));
    scene.open(Standing::Active);
    scene.wait(DELAY - 1);
    assert_eq!(scene.give(0).await.err(), Some(Code::RecoveryEarly));
    assert_eq!(scene.in_charge(0, &scene.old, &scene.old).await, Ok(()));
    assert_eq!(scene.in_charge(0, &scene.new, &scene.old).await, Err(Code::ChainMoved));
    // What was granted since the case was opened opens nothing meanwhile.
    let opened = START.get() / 1_000;
    assert_eq!(scene.in_charge_since(0, &scene.old, &scene.old, opened - 1).await, Ok(()));
    assert_eq!(scene.in_charge_since(0, &scene.old, &scene.old, opened).await, Err(Code::ChainMoved));
    scene.wait(1);
    // The old chain is ended by the ledger, at custodians that nobody asked, too.
    assert_eq!(scene.in_charge(3, &scene.old, &scene.old).await, Err(Code::ChainMoved));
    assert_eq!(scene.in_charge(3, &scene.new, &scene.old).await, Err(Code::ChainMoved));
    let mut shares = Vec::new();
    for n in 0..3 {
        shares.push((n, scene.give(n).await.unwrap()));
        assert_eq!(scene.in_charge(n, &scene.new, &scene.old).await, Ok(()));
        assert_eq!(scene.in_charge(n, &scene.old, &scene.old).await, Err(Code::ChainMoved));
    }
    let opened = open_package(&scene.parts.terms, 1, &scene.guardians(), &shares).unwrap();
    assert_eq!(ChainSeed::new(opened.seed.0).anchor(), scene.old.anchor());
    // It may be asked for again.
    assert!(scene.give(0).await.is_ok());
}

#[tokio::test]
async fn a_veto_in_time_ends_the_case_and_the_chain_lives() {
    let scene = Scene::prepared().await;
    let at = Tip { time: START.plus_ms(DELAY - 1), ..scene.world.tip() };
    scene.open(Standing::Revoked(at));
    scene.wait(2 * DELAY);
    assert_eq!(scene.give(0).await.err(), Some(Code::RecoveryVetoed));
    assert_eq!(scene.in_charge_since(0, &scene.old, &scene.old, u64::MAX).await, Ok(()));
    // A stale custodian says nothing at all.
    scene.world.clock.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(scene.give(0).await.err(), Some(Code::ViewStale));
    assert_eq!(scene.in_charge(0, &scene.old, &scene.old).await, Err(Code::ViewStale));
}

#[tokio::test]
async fn a_thief_cannot_name_guardians_of_their_own_while_the_patients_can_act() {
    let scene = Scene::prepared().await;
    let mut theirs = parts(&scene.old, scene.old.anchor(), &scene.vetoes);
    theirs.terms.delay_ms = DELAY - 1;
    scene.commit(2, &theirs.terms, Standing::Active);
    assert_eq!(scene.bring(0, 2, &theirs).await, Err(Code::RecoveryTooShort), "than the patient's");
    theirs.terms.delay_ms = DELAY + 1;
    scene.commit(2, &theirs.terms, Standing::Active);
    assert_eq!(scene.bring(0, 2, &theirs).await, Err(Code::AlreadyExists));
    // The same once more is no harm.
    assert_eq!(scene.bring(0, 1, &scene.parts).await, Ok(()));
    let withdrawn = scene.world.tip();
    scene.commit(1, &scene.parts.terms, Standing::Revoked(withdrawn));
    scene.wait(DELAY - 1);
    assert_eq!(scene.bring(0, 2, &theirs).await, Err(Code::AlreadyExists));
    // A case that the patient's guardians opened meanwhile keeps theirs out for good.
    scene.open(Standing::Active);
    scene.wait(1);
    assert_eq!(scene.bring(0, 2, &theirs).await, Err(Code::ChainMoved));
    assert!(scene.give(0).await.is_ok());
}

#[tokio::test]
async fn what_was_withdrawn_for_long_is_replaced() {
    let scene = Scene::prepared().await;
    scene.commit(1, &scene.parts.terms, Standing::Revoked(scene.world.tip()));
    assert_eq!(scene.bring(0, 1, &scene.parts).await, Err(Code::GrantRevoked));
    let mut next = parts(&scene.old, scene.old.anchor(), &scene.vetoes);
    next.terms.name = Digest::from_bytes([1; 32]);
    next.terms.share_hashes = List::new(
        (0_u16..4)
            .map(|n| {
                let index = salus_crypto::sharing::ShareIndex::new(n + 1).unwrap();
                let value = Secret::from_bytes(*next.custodians[usize::from(n)].0.danger_expose());
                let context = salus_wire::recovery::custodian_context(&next.terms.name);
                let share = salus_crypto::sharing::Share::from_parts(index, value);
                salus_crypto::sharing::share_hash(context.as_bytes(), &share)
            })
            .collect(),
    )
    .unwrap();
    scene.commit(2, &next.terms, Standing::Active);
    scene.wait(DELAY);
    assert_eq!(scene.bring(0, 2, &next).await, Ok(()));
    assert_eq!(scene.give(0).await.err(), Some(Code::NoRecovery));
}

#[tokio::test]
async fn deposits_that_are_not_the_holders_are_refused() {
    let scene = Scene::prepared().await;
    let fails = async |deposit: RecoveryDeposit| {
        scene.custodians[0].keep(deposit).await.map_err(|refusal| refusal.code).err()
    };
    let good = || scene.deposit(0, 1, &scene.parts);
    assert_eq!(fails(scene.deposit(1, 1, &scene.parts)).await, Some(Code::RequestReplayed));
    assert_eq!(fails(scene.deposit(0, 9, &scene.parts)).await, Some(Code::NoGrant));
    let mut unsigned = good();
    unsigned.signature = key(61).sign(namespaces::RECOVERY_DEPOSIT, b"");
    assert_eq!(fails(unsigned).await, Some(Code::BadSignature));
    // Data of another chain is in nobody's charge but its own.
    let foreign = parts(&scene.old, scene.new.anchor(), &scene.vetoes);
    scene.commit(2, &foreign.terms, Standing::Active);
    assert_eq!(fails(scene.deposit(0, 2, &foreign)).await, Some(Code::ChainMoved));
}

#[tokio::test]
async fn a_delay_in_which_nobody_notices_is_not_taken() {
    let mut scene = Scene::new();
    for (delay_ms, kept) in [(LEAST - 1, Err(Code::RecoveryTooShort)), (LEAST, Ok(()))] {
        scene.parts.terms.delay_ms = delay_ms;
        scene.commit(1, &scene.parts.terms, Standing::Active);
        assert_eq!(scene.bring(0, 1, &scene.parts).await, kept, "{delay_ms}");
    }
}

#[tokio::test]
async fn no_erasure_is_obeyed_while_a_case_is_open_nor_after_and_an_erased_chain_leaves_nothing() {
    let scene = Scene::prepared().await;
    let custodian = &scene.custodians[0];
    let heed = async |seed: &ChainSeed| custodian.heed(&seed.anchor()).await.map_err(|refusal| refusal.code);
    assert_eq!(heed(&scene.old).await, Ok(()));
    assert_eq!(heed(&scene.new).await, Ok(()));
    scene.open(Standing::Active);
    assert_eq!(heed(&scene.old).await, Err(Code::ChainMoved));
    scene.open(Standing::Revoked(scene.world.tip()));
    assert_eq!(heed(&scene.old).await, Ok(()));
    scene.open(Standing::Active);
    scene.wait(DELAY);
    assert!(scene.give(0).await.is_ok());
    assert_eq!(heed(&scene.old).await, Err(Code::ChainMoved));
    custodian.destroy(&scene.old.anchor()).await.unwrap();
    assert_eq!(scene.give(0).await.err(), Some(Code::NoRecovery));
}
