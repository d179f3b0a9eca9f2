//! A wallet is prepared, lost, and comes back, without a ledger: what each step refuses.

use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_wire::Code;
use salus_wire::limits::RECOVERY_DELAY_MS_MIN;

const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
const NOW: TimeMs = TimeMs::new(1_000_000);

fn service(n: u16) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([200 + u8::try_from(n).unwrap(); 32]))
}

fn faults() -> Faults {
    Faults::for_members(4).unwrap()
}

fn wish(veto_apart: bool) -> RecoveryWish {
    RecoveryWish { guardians: 3, needed: 2, delay_ms: RECOVERY_DELAY_MS_MIN, veto_apart }
}

struct Scene {
    rng: StdRng,
    old: Wallet,
    guardians: Vec<GuardianFile>,
}

impl Scene {
    fn prepared() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let mut old = Wallet::generate(PartyId::new([4; 16]), &mut rng);
        let (guardians, apart) = old.prepare_recovery(CHAIN, faults(), &wish(false), &mut rng).unwrap();
        assert!(apart.is_none());
        Self { rng, old, guardians }
    }

    fn approve(&mut self, ask: &AskFile, guardians: &[usize], place: u16) -> Vec<ApprovalFile> {
        let Self { rng, guardians: files, .. } = self;
        guardians.iter().map(|n| files[*n].approve(CHAIN, ask, place, NOW, rng).unwrap()).collect()
    }

    /// What custodians would give in the wallet's case.
    fn given(&mut self, new: &Wallet, custodians: &[u16]) -> Vec<(MemberIndex, Recovered)> {
        let prepared = &self.old.prepared[0];
        let recovering = new.recovering.as_ref().unwrap();
        let reader = KemSecretKey::from_seed(copy(&recovering.reader)).public_key();
        let case = recovering.case.as_ref().unwrap().case;
        let mut given = Vec::new();
        for n in custodians {
            let (custodian, share) = (MemberIndex::new(*n), &prepared.shares[usize::from(*n)]);
            let info = recovered_info(CHAIN, custodian, &case);
            let sealed = reader.seal(&info, &[], &encode(share), &mut self.rng).unwrap();
            let message = recovered_message(CHAIN, custodian, &case, &sealed);
            let signature = service(*n).sign(namespaces::RECOVERED, &message);
            given.push((custodian, Recovered { custodian, sealed, signature }));
        }
        given
    }

    fn shares(&mut self, new: &Wallet, custodians: &[u16]) -> Vec<(MemberIndex, ShareBytes)> {
        let given = self.given(new, custodians);
        let open = |(from, given): &(MemberIndex, Recovered)| {
            let key = service(from.get()).public_key();
            new.recovered_share(CHAIN, *from, &key, given).map(|share| (*from, share))
        };
        given.iter().map(|given| open(given).unwrap()).collect()
    }
}

fn code<T>(result: Result<T, ClientError>) -> Option<Code> {
    result.err().map(|error| error.code())
}

#[test]
fn two_guardians_and_three_custodians_give_the_wallet_back() {
    let mut scene = Scene::prepared();
    let (mut new, ask) = Wallet::replacing(NOW, &mut scene.rng);
    let approvals = scene.approve(&ask, &[2, 0], 1);
    let opened = new.open_case(CHAIN, &approvals, NOW).unwrap();
    assert_eq!(opened.entry, scene.old.prepared[0].entry(&scene.old.chain()));
    assert_eq!(opened.tx.signer, scene.old.prepared[0].terms.places[0].opener);
    // Until it is done it grants and prepares nothing.
    let early = new.prepare_recovery(CHAIN, faults(), &wish(false), &mut scene.rng);
    assert!(matches!(early, Err(ClientError::Recovering)));
    // Also after the wallet was stored.
    let mut new: Wallet = decode(&encode(&new), 1 << 20).unwrap();
    let two = scene.shares(&new, &[0, 3]);
    assert_eq!(code(new.take_the_place(&two)), Some(Code::RecoveryApproval));
    assert!(new.before.is_empty() && new.data.is_none());
    let three = scene.shares(&new, &[3, 0, 1]);
    new.take_the_place(&three).unwrap();
    assert_eq!((new.writer, new.data()), (scene.old.writer, scene.old.chain().anchor()));
    assert_eq!(ChainSeed::new(copy(&new.before[0])).anchor(), scene.old.chain().anchor());
    assert_ne!(new.chain().anchor(), scene.old.chain().anchor());
    // The recovery of a recovered wallet remembers the first.
    new.prepare_recovery(CHAIN, faults(), &wish(false), &mut scene.rng).unwrap();
    assert_eq!(new.prepared[0].terms.data, scene.old.chain().anchor());
    assert_eq!(new.prepared[0].terms.chain, new.chain().anchor());
}

#[test]
fn approvals_that_are_not_enough_of_one_case_open_none() {
    let mut scene = Scene::prepared();
    let (mut new, ask) = Wallet::replacing(NOW, &mut scene.rng);
    let (_, other) = Wallet::replacing(NOW, &mut scene.rng);
    let refused = |new: &mut Wallet, files: &[ApprovalFile]| {
        assert_eq!(code(new.open_case(CHAIN, files, NOW)), Some(Code::RecoveryApproval));
    };
    refused(&mut new, &[]);
    refused(&mut new, &scene.approve(&ask, &[1], 1));
    refused(&mut new, &scene.approve(&ask, &[1, 1], 1));
    // For another wallet, which this one cannot even open.
    refused(&mut new, &scene.approve(&other, &[0, 1], 1));
    // Of two places.
    let mut apart = scene.approve(&ask, &[0], 1);
    apart.extend(scene.approve(&ask, &[1], 2));
    refused(&mut new, &apart);
    // A guardian whose share is not what was prepared counts for nothing.
    let share = std::mem::replace(&mut scene.guardians[1].shares[0], ShareBytes(Secret::from_bytes([1; 32])));
    refused(&mut new, &scene.approve(&ask, &[0, 1], 1));
    scene.guardians[1].shares[0] = share;
    let key = std::mem::replace(&mut scene.guardians[1].key, ShareBytes(Secret::from_bytes([1; 32])));
    refused(&mut new, &scene.approve(&ask, &[0, 1], 1));
    scene.guardians[1].key = key;
    // One bad approval beside two good ones does no harm.
    let mut enough = scene.approve(&other, &[0], 1);
    enough.extend(scene.approve(&ask, &[0, 1], 1));
    assert!(new.open_case(CHAIN, &enough, NOW).is_ok());
    assert_eq!(code(scene.old.open_case(CHAIN, &enough, NOW)), Some(Code::RecoveryApproval));
}

#[test]
fn an_answer_that_is_not_a_custodians_share_is_refused() {
    let mut scene = Scene::prepared();
    let (mut new, ask) = Wallet::replacing(NOW, &mut scene.rng);
    let approvals = scene.approve(&ask, &[0, 1], 1);
    new.open_case(CHAIN, &approvals, NOW).unwrap();
    let (from, good) = scene.given(&new, &[2]).remove(0);
    let key = service(2).public_key();
    assert!(new.recovered_share(CHAIN, from, &key, &good).is_some());
    assert!(new.recovered_share(CHAIN, MemberIndex::new(1), &key, &good).is_none());
    assert!(new.recovered_share(CHAIN, from, &service(1).public_key(), &good).is_none());
    scene.old.prepared[0].shares[2] = ShareBytes(Secret::from_bytes([1; 32]));
    let (_, bad) = scene.given(&new, &[2]).remove(0);
    assert!(new.recovered_share(CHAIN, from, &key, &bad).is_none());
}

#[test]
fn a_preparation_looks_like_a_grant_and_waits_for_its_turn() {
    let mut scene = Scene::prepared();
    let again = scene.old.prepare_recovery(CHAIN, faults(), &wish(false), &mut scene.rng);
    assert!(matches!(again, Err(ClientError::GrantPending)));
    let TxBody::CommitGrant { tag, body, .. } = &scene.old.prepared[0].tx.body else {
        panic!("it is committed")
    };
    assert_eq!(*tag, scene.old.prepared[0].entry(&scene.old.chain()));
    assert_eq!(body.len(), salus_wire::limits::GRANT_BODY_BYTES);
    // One whose tag another took is forgotten, and made anew at the next place.
    scene.old.passed_over(1);
    scene.old.prepare_recovery(CHAIN, faults(), &wish(false), &mut scene.rng).unwrap();
    assert_eq!(scene.old.prepared.iter().map(|prepared| prepared.index).collect::<Vec<_>>(), [2]);
    scene.old.prepared[0].settled = true;
    scene.old.passed_over(2);
    let one = RecoveryWish { needed: 1, ..wish(false) };
    let alone = scene.old.prepare_recovery(CHAIN, faults(), &one, &mut scene.rng);
    assert!(matches!(alone, Err(ClientError::BeyondGrant)));
    assert_eq!(scene.old.prepared.len(), 1);
}

#[test]
fn a_veto_is_signed_by_the_wallets_secret_or_by_one_kept_apart() {
    let mut scene = Scene::prepared();
    let prepared = &scene.old.prepared[0];
    let (terms, vetoes) = (&prepared.terms, prepared.vetoes.as_ref().unwrap());
    let tx = veto(CHAIN, terms, vetoes, 2).unwrap();
    assert_eq!(
        (tx.signer, tx.body),
        (terms.places[1].veto, TxBody::VetoCase { case: case_id(&terms.places[1].opener) })
    );
    let stranger = ShareBytes(Secret::from_bytes([1; 32]));
    for (secret, place) in [(&stranger, 1), (vetoes, 0), (vetoes, 99)] {
        assert_eq!(code(veto(CHAIN, terms, secret, place)), Some(Code::RecoveryApproval));
    }
    let mut other = Wallet::generate(PartyId::new([4; 16]), &mut scene.rng);
    let (_, apart) = other.prepare_recovery(CHAIN, faults(), &wish(true), &mut scene.rng).unwrap();
    let prepared = &other.prepared[0];
    assert!(prepared.vetoes.is_none());
    // What is kept apart needs no wallet.
    let apart: VetoFile = decode(&encode(&apart.unwrap()), 1 << 20).unwrap();
    assert_eq!((apart.entry, &apart.terms), (prepared.entry(&other.chain()), &prepared.terms));
    let tx = apart.veto(CHAIN, 1).unwrap();
    assert_eq!(tx.signer, prepared.terms.places[0].veto);
}

#[test]
fn a_case_stays_as_it_was_made_until_it_is_dead() {
    let mut scene = Scene::prepared();
    let (mut new, ask) = Wallet::replacing(NOW, &mut scene.rng);
    let first = scene.approve(&ask, &[0, 1], 1);
    let tx = new.open_case(CHAIN, &first, NOW).unwrap().tx.clone();
    // Other approvals would make another commitment than the one on the ledger.
    let others = scene.approve(&ask, &[0, 1, 2], 1);
    assert_eq!(new.open_case(CHAIN, &others, NOW).unwrap().tx, tx);
    let TxBody::OpenCase { veto, commitment, .. } = tx.body else { panic!("it opens a case") };
    let since = Tip { height: salus_wire::Height::new(1), time: NOW };
    let ours = CaseRecord { commitment, veto, since, standing: salus_wire::state::Standing::Active };
    for stage in [Stage::Behind, Stage::Open { ends: NOW }, Stage::Over] {
        assert!(!new.give_up_case(&ours, stage));
    }
    assert!(new.give_up_case(&ours, Stage::Vetoed));
    let second = scene.approve(&ask, &[1, 2], 2);
    assert_eq!(new.open_case(CHAIN, &second, NOW).unwrap().place(), 2);
    // Another stands under its name.
    assert!(new.give_up_case(&ours, Stage::Over));
    assert!(!new.give_up_case(&ours, Stage::Over), "there is none any more");
}

#[test]
fn what_was_asked_long_ago_is_neither_approved_nor_opened() {
    let mut scene = Scene::prepared();
    let (mut new, ask) = Wallet::replacing(NOW, &mut scene.rng);
    let approvals = scene.approve(&ask, &[0, 1], 1);
    let Scene { guardians, rng, .. } = &mut scene;
    for (at, fine) in
        [(NOW.plus_ms(RECOVERY_ASK_MS_MAX), true), (NOW.plus_ms(RECOVERY_ASK_MS_MAX + 1), false)]
    {
        assert_eq!(guardians[0].approve(CHAIN, &ask, 1, at, rng).is_ok(), fine);
    }
    let (_, later) = Wallet::replacing(NOW.plus_ms(RECOVERY_ASK_MS_MAX + 1), rng);
    assert_eq!(code(guardians[0].approve(CHAIN, &later, 1, NOW, rng)), Some(Code::RecoveryApproval));
    for place in [0, 9] {
        assert!(guardians[0].approve(CHAIN, &ask, place, NOW, rng).is_err());
    }
    let late = NOW.plus_ms(RECOVERY_OPEN_MS_MAX + 1);
    assert_eq!(code(new.open_case(CHAIN, &approvals, late).map(drop)), Some(Code::RecoveryApproval));
    assert!(new.open_case(CHAIN, &approvals, NOW.plus_ms(RECOVERY_OPEN_MS_MAX)).is_ok());
}

#[test]
fn a_fingerprint_is_of_all_that_is_asked() {
    let mut rng = StdRng::seed_from_u64(2);
    let (_, ask) = Wallet::replacing(NOW, &mut rng);
    let good = ask.fingerprint();
    let other = ChainSeed::new(Secret::from_bytes([1; 32])).anchor();
    let reader = KemSecretKey::generate(&mut rng).public_key();
    for spoiled in [
        AskFile { salt: [0; 32], reader: ask.reader.clone(), ..ask },
        AskFile { successor: other, reader: ask.reader.clone(), ..ask },
        AskFile { asked: NOW.plus_ms(1), reader: ask.reader.clone(), ..ask },
        AskFile { reader, ..ask },
    ] {
        assert_ne!(spoiled.fingerprint(), good);
    }
}
