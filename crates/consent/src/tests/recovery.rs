//! Recovery by table: every clause alone, what cases come to, what of the chain is in whose charge.

use super::world::World;
use crate::recovery::*;
use crate::{Denied, Desk, FinalView};
use salus_crypto::chain::{ChainAnchor, ChainSeed, Link, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sharing::{Share, ShareIndex, share_hash};
use salus_crypto::sign::SigningKey;
use salus_wire::activity::patient_name;
use salus_wire::limits::{GRANT_PLAIN_BYTES, RECOVERY_APPROVAL_MS_MAX, VIEW_STALE_MS};
use salus_wire::recovery::{
    Approval, Case, CasePlace, RecoverRequest, RecoverTerms, Recovery, RecoveryPart, RecoveryTerms,
    approval_message, case_commitment, custodian_context, recover_message, recovery_commitment, terms_digest,
};
use salus_wire::release::{ShareBytes, reader_digest};
use salus_wire::state::{CaseRecord, GrantRecord, Standing, Tip};
use salus_wire::{
    Blob, ChainId, Code, Faults, GrantTag, Height, List, MemberIndex, StateKey, StateValue, TimeMs, encode,
    namespaces,
};

const CHAIN: ChainId = ChainId(Digest::from_bytes([9; 32]));
const ME: MemberIndex = MemberIndex::new(2);
const NAME: Digest = Digest::from_bytes([7; 32]);
const DELAY: u64 = 10_000;
/// When the first case was opened, and when its delay is over.
const OPENED: u64 = 1_000_000;
const ENDS: u64 = OPENED + DELAY;
const SHARE: [u8; 32] = [8; 32];
const INDEX: u16 = 3;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([n; 32]))
}

fn seed(n: u8) -> ChainSeed {
    ChainSeed::new(Secret::from_bytes([n; 32]))
}

fn kem(n: u8) -> KemSecretKey {
    KemSecretKey::from_seed(Secret::from_bytes([n; 32]))
}

fn tip(time: u64) -> Tip {
    Tip { height: Height::new(time / 100), time: TimeMs::new(time) }
}

fn faults() -> Faults {
    Faults::for_members(4).unwrap()
}

fn terms() -> RecoveryTerms {
    let share = Share::from_parts(ShareIndex::new(ME.get() + 1).unwrap(), Secret::from_bytes(SHARE));
    let hash = share_hash(custodian_context(&NAME).as_bytes(), &share);
    let place = |n: u8| CasePlace {
        opener: key(20 + n).public_key(),
        veto: key(40 + n).public_key(),
        guardian_hashes: List::new(vec![Digest::ZERO; 3]).unwrap(),
        guardian_key: Digest::ZERO,
        package: Blob::default(),
    };
    RecoveryTerms {
        name: NAME,
        chain: seed(1).anchor(),
        data: seed(1).anchor(),
        delay_ms: DELAY,
        needed: 2,
        guardians: List::new([1, 2, 3].map(|n| key(n).public_key()).to_vec()).unwrap(),
        places: List::new((1..=3).map(place).collect()).unwrap(),
        threshold: 3,
        share_hashes: List::new(vec![Digest::ZERO, Digest::ZERO, hash, Digest::ZERO]).unwrap(),
        custodian_key: Digest::ZERO,
    }
}

fn entry() -> GrantTag {
    GrantTag(seed(1).link(INDEX).tag())
}

fn entry_record(standing: Standing) -> GrantRecord {
    committed_at(&seed(1).link(INDEX), standing)
}

fn committed_at(link: &Link, standing: Standing) -> GrantRecord {
    let one_time = key(60).public_key();
    let recovery = Recovery { salt: [1; 32], terms: terms_digest(&terms()), one_time };
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
    let body = seal_body(&seed(1).body_key(INDEX), GRANT_PLAIN_BYTES, &encode(&recovery), &mut rng).unwrap();
    let (commitment, body) = (recovery_commitment(link, &recovery), Blob::new(body).unwrap());
    GrantRecord { commitment, one_time, body, since: tip(10), standing }
}

fn case() -> Case {
    let (successor, reader) = (seed(2).anchor(), reader_digest(&kem(5).public_key()));
    Case { salt: [2; 32], name: NAME, place: 1, successor, reader, asked: TimeMs::new(OPENED - 500) }
}

fn approval(case: &Case, guardian: u16, by: &SigningKey) -> Approval {
    let signature = by.sign(namespaces::RECOVERY_APPROVAL, &approval_message(CHAIN, case));
    Approval { guardian, signature }
}

/// A case that two guardians approved and whose delay is just over; spoiled one thing at a time.
struct Asked {
    case: Case,
    approvals: Vec<Approval>,
    opener: SigningKey,
    reader: KemSecretKey,
    record: Option<CaseRecord>,
    second: Option<CaseRecord>,
    entry: Standing,
    head: u64,
    now: u64,
    custodian: MemberIndex,
    /// Whether the ledger holds what is asked, after it was spoiled.
    committed: bool,
}

impl Asked {
    fn good() -> Self {
        let case = case();
        Self {
            case,
            approvals: vec![approval(&case, 0, &key(1)), approval(&case, 2, &key(3))],
            opener: key(21),
            reader: kem(5),
            record: Some(record(1, OPENED)),
            second: None,
            entry: Standing::Active,
            head: ENDS,
            now: ENDS,
            custodian: ME,
            committed: true,
        }
    }

    fn decide(mut self) -> Result<RecoveryPermit, Denied> {
        let approvals = List::new(std::mem::take(&mut self.approvals)).unwrap();
        if let Some(record) = self.record.as_mut().filter(|_| self.committed) {
            record.commitment = case_commitment(&self.case, &approvals);
        }
        let terms = RecoverTerms {
            custodian: self.custodian,
            nonce: [1; 16],
            sent: TimeMs::new(self.now),
            opener: self.opener.public_key(),
            case: self.case,
            approvals,
            reader: self.reader.public_key(),
        };
        let signature = self.opener.sign(namespaces::RECOVER_REQUEST, &recover_message(CHAIN, &terms));
        let now = TimeMs::new(self.now);
        let admitted = Desk::new(CHAIN, ME).admit_recovery(RecoverRequest { terms, signature }, now)?;
        let keys = recovery_reads(&super::recovery::terms(), entry());
        let case = |record: Option<CaseRecord>| record.map(StateValue::Case);
        let values = vec![
            Some(StateValue::Grant(entry_record(self.entry))),
            case(self.record),
            case(self.second),
            None,
        ];
        let view = FinalView::new(tip(self.head), keys, values)?;
        admitted.decide(&super::recovery::terms(), entry(), &view, now)
    }
}

fn record(place: u8, since: u64) -> CaseRecord {
    CaseRecord {
        commitment: Digest::ZERO,
        veto: key(40 + place).public_key(),
        since: tip(since),
        standing: Standing::Active,
    }
}

fn vetoed(place: u8, since: u64, at: u64) -> CaseRecord {
    CaseRecord { standing: Standing::Revoked(tip(at)), ..record(place, since) }
}

type Spoil = fn(&mut Asked);

fn each_alone(table: &[(&str, Spoil, Option<Denied>)]) {
    assert_eq!(Asked::good().decide().unwrap().successor(), seed(2).anchor());
    for (name, spoil, denied) in table {
        let mut asked = Asked::good();
        spoil(&mut asked);
        assert_eq!(asked.decide().err(), *denied, "{name}");
    }
}

#[test]
fn every_clause_of_approvals_denies_alone() {
    each_alone(&[
        ("one guardian fewer", |asked| asked.approvals.truncate(1), Some(Denied::TooFewApprovals)),
        ("nobody", |asked| asked.approvals.clear(), Some(Denied::TooFewApprovals)),
        ("all guardians", |asked| asked.approvals.insert(1, approval(&case(), 1, &key(2))), None),
        (
            "a stranger",
            |asked| asked.approvals[1] = approval(&case(), 2, &key(9)),
            Some(Denied::NotAGuardian),
        ),
        (
            "a guardian beyond the named",
            |asked| asked.approvals[1] = approval(&case(), 3, &key(3)),
            Some(Denied::NotAGuardian),
        ),
        (
            "one guardian as another",
            |asked| asked.approvals[1] = approval(&case(), 1, &key(3)),
            Some(Denied::NotAGuardian),
        ),
        ("one twice", |asked| asked.approvals[1] = asked.approvals[0], Some(Denied::ApprovalTwice)),
        ("out of order", |asked| asked.approvals.reverse(), Some(Denied::ApprovalTwice)),
        (
            "one good among three",
            |asked| asked.approvals.insert(1, approval(&case(), 1, &key(9))),
            Some(Denied::NotAGuardian),
        ),
        (
            "approved for another wallet",
            |asked| asked.case.successor = seed(3).anchor(),
            Some(Denied::NotAGuardian),
        ),
        ("approved for another place", |asked| asked.case.place = 2, Some(Denied::NoRecovery)),
        ("no such place", |asked| asked.case.place = 0, Some(Denied::NoRecovery)),
        ("another name", |asked| asked.case.name = Digest::ZERO, Some(Denied::NoRecovery)),
        ("another opener", |asked| asked.opener = key(22), Some(Denied::NoRecovery)),
        ("another key to seal to", |asked| asked.reader = kem(6), Some(Denied::OtherReader)),
    ]);
}

#[test]
fn every_clause_of_the_ledger_denies_alone() {
    each_alone(&[
        ("not opened", |asked| asked.record = None, Some(Denied::CaseNotFinal)),
        ("not as committed", |asked| asked.committed = false, Some(Denied::CaseCommitment)),
        ("a millisecond early", |asked| asked.head = ENDS - 1, Some(Denied::RecoveryEarly)),
        ("just opened", |asked| asked.head = OPENED, Some(Denied::RecoveryEarly)),
        ("a day late", |asked| (asked.head, asked.now) = (ENDS + 86_400_000, ENDS + 86_400_000), None),
        (
            "vetoed at the last moment",
            |asked| asked.record = Some(vetoed(1, OPENED, ENDS - 1)),
            Some(Denied::RecoveryVetoed),
        ),
        ("vetoed too late", |asked| asked.record = Some(vetoed(1, OPENED, ENDS)), None),
        (
            "another's veto key",
            |asked| asked.record = Some(CaseRecord { veto: key(9).public_key(), ..record(1, OPENED) }),
            Some(Denied::RecoveryVetoed),
        ),
        (
            "behind another",
            |asked| asked.second = Some(record(2, OPENED - 200)),
            Some(Denied::RecoveryVetoed),
        ),
        ("before another", |asked| asked.second = Some(record(2, OPENED + 200)), None),
        (
            "behind one that was vetoed",
            |asked| asked.second = Some(vetoed(2, OPENED - 200, OPENED + 200)),
            None,
        ),
        (
            "withdrawn long before",
            |asked| asked.entry = Standing::Revoked(tip(OPENED - DELAY)),
            Some(Denied::RecoveryVetoed),
        ),
        (
            "withdrawn less than the delay before",
            |asked| asked.entry = Standing::Revoked(tip(OPENED - DELAY + 100)),
            None,
        ),
        ("a stale view", |asked| asked.now = ENDS + VIEW_STALE_MS + 1, Some(Denied::ViewStale)),
        ("a slow clock", |asked| asked.head = ENDS + VIEW_STALE_MS + 1, Some(Denied::ViewStale)),
        ("another custodian", |asked| asked.custodian = MemberIndex::new(1), Some(Denied::OtherCustodian)),
    ]);
}

#[test]
fn approvals_that_are_old_open_nothing() {
    for (asked_at, denied) in [
        (OPENED, None),
        (OPENED - RECOVERY_APPROVAL_MS_MAX.min(OPENED), None),
        (OPENED + RECOVERY_APPROVAL_MS_MAX + 1, Some(Denied::ApprovalsOld)),
    ] {
        let mut asked = Asked::good();
        asked.case.asked = TimeMs::new(asked_at);
        asked.approvals = vec![approval(&asked.case, 0, &key(1)), approval(&asked.case, 1, &key(2))];
        assert_eq!(asked.decide().err(), denied, "{asked_at}");
    }
}

#[test]
fn requests_are_signed_and_asked_once_and_permits_spent_at_once() {
    let case = case();
    let approvals = List::new(vec![approval(&case, 0, &key(1))]).unwrap();
    let request = || {
        let terms = RecoverTerms {
            custodian: ME,
            nonce: [1; 16],
            sent: TimeMs::new(ENDS),
            opener: key(21).public_key(),
            case,
            approvals: approvals.clone(),
            reader: kem(5).public_key(),
        };
        let signature = key(21).sign(namespaces::RECOVER_REQUEST, &recover_message(CHAIN, &terms));
        RecoverRequest { terms, signature }
    };
    let (mut desk, now) = (Desk::new(CHAIN, ME), TimeMs::new(ENDS));
    assert!(desk.admit_recovery(request(), now).is_ok());
    assert_eq!(desk.admit_recovery(request(), now).err(), Some(Denied::Replayed));
    let mut other = request();
    other.terms.case.salt = [3; 32];
    assert_eq!(desk.admit_recovery(other, now).err(), Some(Denied::RequestSignature));

    let spent = Asked::good().decide().unwrap().redeem(TimeMs::new(ENDS + crate::PERMIT_MS_MAX + 1));
    assert_eq!(spent.err(), Some(Denied::PermitSpent));
    assert_eq!(Asked::good().decide().unwrap().redeem(TimeMs::new(ENDS)).unwrap().case, case);
}

/// Every way in which three places can be, against the rule said once more in other words.
#[test]
fn exactly_one_case_leads() {
    let terms = terms();
    let kinds = |place: u8, since: u64| {
        [
            None,
            Some(record(place, since)),
            Some(vetoed(place, since, since + DELAY - 1)),
            Some(vetoed(place, since, since + DELAY)),
            Some(CaseRecord { veto: key(9).public_key(), ..record(place, since) }),
        ]
    };
    let whens = [OPENED, OPENED + 100, OPENED + 300];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let choices: Vec<_> = (1_u8..).zip(order).map(|(place, at)| kinds(place, whens[at])).collect();
        for pick in 0..125 {
            let kind = [pick % 5, pick / 5 % 5, pick / 25];
            let picked: Vec<Option<&CaseRecord>> =
                choices.iter().zip(kind).map(|(kinds, n)| kinds[n].as_ref()).collect();
            let live = |n: usize| [1, 3].contains(&kind[n]);
            let leads = (0..3).filter(|n| live(*n)).min_by_key(|n| order[*n]);
            for now in [OPENED, ENDS - 1, ENDS, ENDS + 100, ENDS + 300] {
                let stages = stages(&terms, None, &picked, TimeMs::new(now));
                for (n, stage) in stages.iter().enumerate() {
                    let ends = whens[order[n]] + DELAY;
                    let expected = match kind[n] {
                        0 => Stage::Free,
                        2 => Stage::Vetoed,
                        4 => Stage::Void,
                        _ if leads != Some(n) => Stage::Behind,
                        _ if now >= ends => Stage::Over,
                        _ => Stage::Open { ends: TimeMs::new(ends) },
                    };
                    assert_eq!(*stage, expected, "{order:?} {pick} {now} {n}");
                }
            }
        }
    }
}

#[test]
fn a_chain_is_ended_by_the_ledger_alone_and_newer_grants_wait_for_an_open_case() {
    let keys = || recovery_reads(&terms(), entry());
    let of = |case: Option<CaseRecord>, granted: u64, head: u64, now: u64| {
        let values = vec![
            Some(StateValue::Grant(entry_record(Standing::Active))),
            case.map(StateValue::Case),
            None,
            None,
        ];
        let view = FinalView::new(tip(head), keys(), values).unwrap();
        lets_stand(&terms(), entry(), &view, tip(granted).height, TimeMs::new(now))
    };
    let case = || Some(record(1, OPENED));
    assert_eq!(of(None, ENDS, ENDS, ENDS), Ok(()));
    assert_eq!(of(case(), OPENED - 100, ENDS - 1, ENDS), Ok(()));
    assert_eq!(of(case(), OPENED, ENDS - 1, ENDS), Err(Denied::RecoveryOpen));
    assert_eq!(of(case(), OPENED - 100, ENDS, ENDS), Err(Denied::ChainMoved));
    assert_eq!(of(Some(vetoed(1, OPENED, ENDS - 1)), OPENED + 100, ENDS, ENDS), Ok(()));
    assert_eq!(of(None, 0, ENDS, ENDS + VIEW_STALE_MS + 1), Err(Denied::ViewStale));
    for (case, expected) in [
        (None, false),
        (Some(record(1, OPENED)), true),
        (Some(vetoed(1, OPENED, OPENED)), false),
        (Some(vetoed(1, OPENED, ENDS)), true),
    ] {
        let grant = Some(StateValue::Grant(entry_record(Standing::Active)));
        let values = vec![grant, case.map(StateValue::Case), None, None];
        let view = FinalView::new(tip(OPENED), keys(), values).unwrap();
        assert_eq!(contested(&terms(), entry(), &view, TimeMs::new(OPENED)), Ok(expected));
    }
    let view = FinalView::new(tip(ENDS), vec![StateKey::Grant(entry())], vec![None]).unwrap();
    let stands = lets_stand(&terms(), entry(), &view, Height::new(0), TimeMs::new(ENDS));
    assert_eq!(stands, Err(Denied::NoRecovery));
}

#[test]
fn a_chain_is_in_charge_of_its_own_and_of_what_it_came_into() {
    let [old, new, other] = [1, 2, 3].map(|n| seed(n).anchor());
    let before = |data: ChainAnchor| RecoveryTerms { data, ..terms() };
    let check = |chain, data, before: Option<&RecoveryTerms>| in_charge(chain, data, before).is_ok();
    assert!(check(&old, &old, None));
    assert!(check(&new, &old, Some(&before(old))));
    assert!(!check(&new, &old, None));
    assert!(!check(&new, &other, Some(&before(old))));
    assert_eq!(Denied::ChainMoved.code(), Code::ChainMoved);
}

#[test]
fn a_patient_has_one_name_before_and_after_a_recovery() {
    let mut world = World::new();
    let name = |world: &World| world.decide().unwrap().activity().patient;
    assert_eq!(name(&world), patient_name(&world.patient.anchor()));
    world.grant.data = Some(seed(1).anchor());
    assert_eq!(name(&world), patient_name(&seed(1).anchor()));
}

#[test]
fn a_preparation_is_the_chain_holders_or_is_refused() {
    let part = || RecoveryPart {
        index: INDEX,
        link: ShareBytes(seed(1).link(INDEX).to_secret()),
        body_key: ShareBytes(seed(1).body_key(INDEX)),
        terms: terms(),
        share: ShareBytes(Secret::from_bytes(SHARE)),
    };
    let check = |part: RecoveryPart, record: Option<GrantRecord>, gap: bool, me: MemberIndex| {
        let shown = ShownPart::new(part, entry())?;
        let keys = shown.reads();
        let grant = || Some(StateValue::Grant(entry_record(Standing::Active)));
        let values = vec![record.map(StateValue::Grant), grant(), if gap { None } else { grant() }];
        let view = FinalView::new(tip(ENDS), keys, values)?;
        shown.check(&view, faults(), me, TimeMs::new(ENDS))
    };
    let good = || Some(entry_record(Standing::Active));
    assert_eq!(check(part(), good(), false, ME).unwrap().into_parts().0, entry());
    assert_eq!(check(part(), None, false, ME).err(), Some(Denied::NoGrant));
    assert_eq!(check(part(), good(), true, ME).err(), Some(Denied::GrantGap));
    let gone = Some(entry_record(Standing::Revoked(tip(20))));
    assert_eq!(check(part(), gone, false, ME).err(), Some(Denied::GrantRevoked));
    // A grantee of a later grant can hash back to the link, and not open the body.
    let blind = RecoveryPart { body_key: ShareBytes(seed(1).link(INDEX).body_key()), ..part() };
    assert_eq!(check(blind, good(), false, ME).err(), Some(Denied::NotARecovery));
    // Whoever took the tag before they knew the link could not commit to it, and who copies the entry has another key.
    let early = Some(committed_at(&seed(1).link(INDEX - 1), Standing::Active));
    assert_eq!(check(part(), early, false, ME).err(), Some(Denied::NotARecovery));
    let copied = GrantRecord { one_time: key(61).public_key(), ..entry_record(Standing::Active) };
    assert_eq!(check(part(), Some(copied), false, ME).err(), Some(Denied::GrantOneTime));
    let mut other = part();
    other.terms.delay_ms += 1;
    assert_eq!(check(other, good(), false, ME).err(), Some(Denied::GrantCommitment));
    let beyond = RecoveryPart { index: 0, ..part() };
    assert_eq!(check(beyond, good(), false, ME).err(), Some(Denied::NoSuchPlace));
    let foreign = RecoveryPart { link: ShareBytes(seed(2).link(INDEX).to_secret()), ..part() };
    assert_eq!(check(foreign, good(), false, ME).err(), Some(Denied::OtherGrant));
    assert_eq!(check(part(), good(), false, MemberIndex::new(0)).err(), Some(Denied::NotARecovery));
    let bad = RecoveryPart { share: ShareBytes(Secret::from_bytes([1; 32])), ..part() };
    assert_eq!(check(bad, good(), false, ME).err(), Some(Denied::NotARecovery));
}
