//! `salus emergency`: a patient prepares, a clinician breaks the glass, a privacy officer reviews.

use crate::args::{EmergencyCommand, Place};
use crate::files::{load, store, write_secret};
use crate::grant;
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::person::{PersonFile, key_file, person};
use crate::read::{self, Wanted};
use crate::session::{Session, rng};
use crate::terms::Wish;
use salus_client::drive::now;
use salus_client::emergency::{Officer, deposits};
use salus_client::{BrokenGlass, Fault, GlassPlan, GrantFile, ReadResult};
use salus_consent::{Look, open_review, review_of, verdict};
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_proof::{Proven, state};
use salus_wire::consent::{Grantee, Reason};
use salus_wire::emergency::{EmergencyUse, Verdict, card_name};
use salus_wire::ids::PartyId;
use salus_wire::limits::{REVIEW_DUE_MS, REVIEW_SUSPEND_MS};
use salus_wire::release::ShareBytes;
use salus_wire::state::Standing;
use salus_wire::{Classes, Code, DataClass, Purpose, StateKey, StateValue};
use serde_json::{Value, json};
use std::path::Path;

/// Times that a look is tried when another reader took its tag first.
const ATTEMPTS: usize = 3;
/// Hexadecimal digits by which looks are told apart in a table.
const TAG_DIGITS: usize = 16;

/// Runs the command.
pub(crate) async fn run(command: &EmergencyCommand) -> Result<Report, Failure> {
    match command {
        EmergencyCommand::Prepare { place, wallet, card, days, back_days, sensitivity, renew } => {
            let classes = sensitivity.map_or(Ok(Classes::ORDINARY), |class| {
                Classes::of(&[DataClass::from(class)])
                    .ok_or_else(|| Failure::new(Code::Usage, "no such class can be granted"))
            })?;
            let hours = (back_days.saturating_mul(24), days.saturating_mul(24));
            prepare(&Session::operator(place)?, wallet, card, classes, hours, *renew).await
        }
        EmergencyCommand::Read { place, person, second_factor, card, reason, waveform, print } => {
            let who = crate::person::person(person)?;
            let glass = Clinician { who: &who, second: second_factor, card, reason: (*reason).into() };
            let results = glass.read(&who.session(place)?).await?;
            if let Some(path) = waveform {
                let samples: Vec<u8> =
                    results.iter().flat_map(|result| read::waveform(&result.samples)).collect();
                write_secret(path, &samples)?;
            }
            Ok(shown(&results, *print))
        }
        EmergencyCommand::Reviews { place, person, all } => reviews(place, person, *all).await,
        EmergencyCommand::Close { place, person, requester, access, verdict } => {
            close(place, person, *requester, access.as_deref(), (*verdict).into()).await
        }
    }
}

/// Makes the card and the grant where they are missing, and brings every custodian its looks.
async fn prepare(
    session: &Session,
    path: &Path,
    card: &Path,
    classes: Classes,
    hours: (u64, u64),
    renew: bool,
) -> Result<Report, Failure> {
    let _ = grant::finish_earlier(session, path).await?;
    let secret = card_secret(card)?;
    let name = card_name(&secret);
    let mut owner = wallet(path)?;
    if !owner.cards.iter().any(|known| card_name(&known.0) == name) {
        owner.cards.push(ShareBytes(secret));
        store(path, &owner)?;
    }
    let stands = grant::listing(session, path).await?;
    let standing = |file: &&GrantFile| {
        let listed = stands.grants.iter().find(|listed| listed.index == file.index);
        let valid = file.grant.validity.contains(now());
        file.grant.grantee == Grantee::Emergency { card: name }
            && file.grant.scope.classes == classes
            && valid
            && listed.is_some_and(|listed| listed.standing == Standing::Active)
    };
    if renew || owner.emergency.iter().rev().find(standing).is_none() {
        let wish = Wish::emergency(name, classes, hours, now())?;
        grant::create(session, path, &wish, path).await?;
    }
    let owner = wallet(path)?;
    let file = owner.emergency.iter().rev().find(|file| {
        file.grant.grantee == Grantee::Emergency { card: name } && file.grant.scope.classes == classes
    });
    let file = file.ok_or_else(|| Failure::new(Code::Internal, "the wallet has no emergency grant"))?;
    let lost = || Failure::new(Code::Internal, "the wallet has no key of its grant");
    let one_time = owner.one_time_key(file.index).ok_or_else(lost)?;
    let faults = session.consortium.faults();
    let keys: Vec<KemPublicKey> =
        session.consortium.genesis().members.iter().map(|member| member.custodian.clone()).collect();
    let looks = deposits(session.chain(), faults, &keys, file, &one_time, &mut rng()?)?;
    let (kept, refused) = session.client.prepare(looks).await;
    let (kept, wanted) = (kept.len(), usize::from(faults.quorum()));
    if kept < wanted {
        let said: Vec<String> = refused.iter().map(read::fault_line).collect();
        let text = format!(
            "{kept} custodians are prepared and {wanted} must be; run this again\n{}",
            said.join("\n")
        );
        return Err(Failure::new(Code::TooFewShares, text));
    }
    Ok(Report::new(
        json!({ "grant": file.index, "card": card, "custodians": kept, "faults": faults_value(&refused) }),
    )
    .line(format!("grant {} opens in an emergency; {kept} custodians are prepared", file.index))
    .line(format!("the patient carries `{}`; alone it opens nothing", card.display()))
    .lines(refused.iter().map(read::fault_line)))
}

/// The secret of a card, made when there is none.
fn card_secret(path: &Path) -> Result<Secret<32>, Failure> {
    if !path.exists() {
        store(path, &ShareBytes(Secret::random(&mut rng()?)))?;
    }
    let ShareBytes(secret) = load(path)?;
    Ok(secret)
}

/// Somebody at a patient's side.
struct Clinician<'a> {
    who: &'a PersonFile,
    second: &'a Path,
    card: &'a Path,
    reason: Reason,
}

impl Clinician<'_> {
    /// Breaks the glass and reads under each grant; a look that another took first is tried again.
    async fn read(&self, session: &Session) -> Result<Vec<ReadResult>, Failure> {
        let ShareBytes(card) = load(self.card)?;
        let genesis = session.consortium.genesis();
        let plan = GlassPlan {
            chain: session.chain(),
            faults: session.consortium.faults(),
            service_keys: genesis.members.iter().map(|member| member.service).collect(),
            requester: self.who.party,
            key: self.who.signing_key(),
            second: key_file(self.second)?,
            reason: self.reason,
            card,
        };
        let mut attempts = ATTEMPTS;
        loop {
            attempts = attempts.saturating_sub(1);
            match self.once(session, &plan).await {
                Err(failure) if failure.code == Code::AlreadyExists && attempts > 0 => {}
                other => return other,
            }
        }
    }

    async fn once(&self, session: &Session, plan: &GlassPlan) -> Result<Vec<ReadResult>, Failure> {
        let mut results = Vec::new();
        let mut nothing = None;
        for file in session.client.break_glass(plan).await? {
            let glass = BrokenGlass { reason: self.reason, second: key_file(self.second)? };
            match read::read_under(session, self.who, file, &Wanted::all(Purpose::Emergency), Some(glass))
                .await
            {
                Ok(result) => results.push(result),
                Err(failure) if failure.code == Code::NothingHeld => nothing = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        match nothing {
            Some(failure) if results.is_empty() => Err(failure),
            _ => Ok(results),
        }
    }
}

fn shown(results: &[ReadResult], print: bool) -> Report {
    let reports: Vec<Report> = results.iter().map(|result| read::report(result, print)).collect();
    let values: Vec<Value> = reports.iter().map(|report| report.value.clone()).collect();
    let lines: Vec<String> = reports.into_iter().flat_map(|report| report.lines).collect();
    Report::new(json!({ "grants": values }))
        .lines(lines)
        .line("the patient and the privacy officer of your member see this use; it will be reviewed")
}

/// An officer's list: every look, and what came of its review, by proof.
async fn listed(session: &Session, who: &PersonFile) -> Result<(Vec<Look>, Vec<Fault>), Failure> {
    let officer = officer(session, who);
    let (uses, faults) = session.client.emergency_uses(&officer).await?;
    let mut keys: Vec<StateKey> = uses.iter().map(review_of).collect();
    keys.extend(uses.iter().map(|used| StateKey::Identity(used.requester)));
    keys.push(StateKey::Identity(who.party));
    keys.sort_unstable();
    keys.dedup();
    let proof = session.client.prove(keys, session.home).await?;
    let proven = state::verify(&session.policy()?, &proof)
        .map_err(|error| Failure::new(Code::ProofInvalid, error.to_string()))?;
    let mut looks = Vec::with_capacity(uses.len());
    for used in uses {
        let closed = match (proven.get(&review_of(&used)), proven.get(&StateKey::Identity(used.requester))) {
            (
                Proven::Present(StateValue::Review(record)),
                Proven::Present(StateValue::Identity(requester)),
            ) => match open_review(&used, record) {
                Some(review) => {
                    let by = session.identity(review.officer).await?;
                    verdict(session.chain(), &review, record, &by, requester)
                }
                None => None,
            },
            _ => None,
        };
        looks.push(Look { used, closed });
    }
    Ok((looks, faults))
}

async fn reviews(place: &Place, path: &Path, all: bool) -> Result<Report, Failure> {
    let who = person(path)?;
    let session = who.session(place)?;
    let (looks, faults) = listed(&session, &who).await?;
    let now = now();
    let shown: Vec<&Look> = looks.iter().filter(|look| all || look.closed.is_none()).collect();
    let open = looks.iter().filter(|look| look.closed.is_none()).count();
    let overdue = looks
        .iter()
        .filter(|look| look.closed.is_none() && now.since_ms(look.used.at) > REVIEW_DUE_MS)
        .count();
    let values: Vec<Value> =
        shown.iter().map(|look| look_value(look, stage(look, now.since_ms(look.used.at)))).collect();
    Ok(Report::new(
        json!({ "uses": values, "open": open, "overdue": overdue, "faults": faults_value(&faults) }),
    )
    .lines(shown.iter().map(|look| look_line(look, stage(look, now.since_ms(look.used.at)))))
    .line(format!("{open} emergency looks to review, {overdue} of them overdue"))
    .lines(faults.iter().map(read::fault_line)))
}

/// How far a review is.
fn stage(look: &Look, age_ms: u64) -> &'static str {
    match look.closed {
        Some(Verdict::Justified) => "justified",
        Some(Verdict::Unjustified) => "unjustified",
        None if age_ms > REVIEW_SUSPEND_MS => "overdue, suspends",
        None if age_ms > REVIEW_DUE_MS => "overdue",
        None => "open",
    }
}

fn look_value(look: &Look, stage: &str) -> Value {
    let used = &look.used;
    json!({
        "access": hex::encode(used.access.0.as_bytes()), "requester": used.requester.to_string(),
        "time_ms": used.at.get(), "reason": used.reason.name(), "review": stage,
    })
}

fn look_line(look: &Look, stage: &str) -> String {
    let EmergencyUse { at, requester, access, reason, .. } = &look.used;
    let tag: String = hex::encode(access.0.as_bytes()).chars().take(TAG_DIGITS).collect();
    format!("{tag}  party {requester}  at {} ms  {}  {stage}", at.get(), reason.name())
}

async fn close(
    place: &Place,
    path: &Path,
    requester: PartyId,
    access: Option<&str>,
    verdict: Verdict,
) -> Result<Report, Failure> {
    let who = person(path)?;
    let session = who.session(place)?;
    if requester == who.party {
        return Err(Failure::new(Code::Usage, "nobody reviews their own use"));
    }
    let (looks, _) = listed(&session, &who).await?;
    let wanted = |look: &&Look| {
        let tag = hex::encode(look.used.access.0.as_bytes());
        let named = access.is_none_or(|begin| tag.starts_with(&begin.to_lowercase()));
        look.closed.is_none() && look.used.requester == requester && named
    };
    let officer = officer(&session, &who);
    let mut closed = 0_usize;
    for look in looks.iter().filter(wanted) {
        session.submit(&officer.close(&look.used, verdict, &mut rng()?)?).await?;
        closed = closed.saturating_add(1);
    }
    if closed == 0 {
        return Err(Failure::new(Code::NotFound, "there is no such look to review"));
    }
    Ok(Report::new(json!({ "closed": closed })).line(format!("closed the review of {closed} looks")))
}

fn officer(session: &Session, who: &PersonFile) -> Officer {
    Officer { chain: session.chain(), party: who.party, key: who.signing_key() }
}

fn faults_value(faults: &[Fault]) -> Vec<Value> {
    let value = |fault: &Fault| json!({ "member": fault.member.get(), "code": fault.code.to_string() });
    faults.iter().map(value).collect()
}
