//! `salus emergency`: a patient prepares, a clinician breaks the glass, a privacy officer reviews.

use crate::args::{EmergencyCommand, Place};
use crate::files::{store, write_secret};
use crate::grant;
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::person::{self, PersonFile, person};
use crate::read::{self, Wanted};
use crate::session::{Session, rng};
use crate::terms::Wish;
use salus_client::drive::now;
use salus_client::emergency::{Officer, deposits};
use salus_client::{BrokenGlass, Fault, GlassPlan, GrantFile, ReadResult, UnbroughtLooks};
use salus_consent::{Look, review_of, verdict};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_proof::Proven;
use salus_store::key_file;
use salus_wire::consent::{Grantee, Reason};
use salus_wire::emergency::{EmergencyUse, Verdict, card_key, card_name};
use salus_wire::ids::{PartyId, TimeMs};
use salus_wire::limits::{REVIEW_DUE_MS, REVIEW_SUSPEND_MS, STATE_KEYS_MAX};
use salus_wire::release::ShareBytes;
use salus_wire::state::Standing;
use salus_wire::{AccessTag, Classes, Code, DataClass, List, MemberIndex, Purpose, StateKey, StateValue};
use serde_json::{Value, json};
use std::collections::BTreeSet;
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
            let seen = glass.read(&who.session(place)?).await?;
            if let Some(path) = waveform {
                let samples: Vec<u8> =
                    seen.results.iter().flat_map(|result| read::waveform(&result.samples)).collect();
                write_secret(path, &samples)?;
            }
            Ok(shown(&seen, *print))
        }
        EmergencyCommand::Reviews { place, person, all } => reviews(place, person, *all).await,
        EmergencyCommand::Close { place, person, requester, look, verdict } => {
            close(place, person, *requester, look.as_deref(), (*verdict).into()).await
        }
    }
}

/// Makes the card and the grant where they are missing, brings every custodian that lacks them its looks, and
/// withdraws the grants that this one replaces.
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
    let name = name_of(&secret);
    let mut owner = wallet(path)?;
    if !owner.cards.iter().any(|known| name_of(&known.0) == name) {
        owner.cards.push(ShareBytes(Secret::from_bytes(*secret.danger_expose())));
        store(path, &owner)?;
    }
    let stands = standing(session, path, name, classes).await?;
    let valid = |index: &u16| {
        let file = owner.emergency.iter().find(|file| file.index == *index);
        file.is_some_and(|file| file.grant.validity.contains(now()))
    };
    let index = match stands.last().filter(|index| !renew && valid(index)) {
        Some(index) => *index,
        None => grant::create(session, path, &Wish::emergency(name, classes, hours, now())?, path).await?.0,
    };
    make_looks(session, path, index, &secret)?;
    let (missing, refused) = bring_looks(session, path, index).await?;
    let members = usize::from(session.consortium.faults().members());
    let (kept, wanted) =
        (members.saturating_sub(missing.len()), usize::from(session.consortium.faults().quorum()));
    let said: Vec<String> = refused.iter().map(read::fault_line).collect();
    if kept < wanted {
        let text = format!(
            "{kept} custodians are prepared and {wanted} must be; run this again\n{}",
            said.join("\n")
        );
        return Err(Failure::new(Code::TooFewShares, text));
    }
    let replaced: Vec<u16> = stands.into_iter().filter(|old| *old != index).collect();
    withdraw(session, path, &replaced).await?;
    let lacking = (!missing.is_empty()).then(|| {
        format!("{} custodians lack their looks; run this again when they are there", missing.len())
    });
    Ok(Report::new(json!({
        "grant": index, "card": card, "custodians": kept, "complete": missing.is_empty(), "missing": missing,
        "withdrawn": replaced, "faults": faults_value(&refused),
    }))
    .line(format!("grant {index} opens in an emergency; {kept} custodians of {members} are prepared"))
    .lines(lacking)
    .lines(replaced.iter().map(|old| format!("grant {old}, which it replaces, is withdrawn")))
    .line(format!("the patient carries `{}`; alone it opens nothing", card.display()))
    .lines(said))
}

/// Withdraws grants that another replaces; what was not brought of them never will be.
async fn withdraw(session: &Session, path: &Path, replaced: &[u16]) -> Result<(), Failure> {
    for index in replaced {
        grant::revoke(session, path, *index).await?;
    }
    let mut owner = wallet(path)?;
    owner.looks.retain(|looks| !replaced.contains(&looks.index));
    store(path, &owner)
}

fn name_of(card: &Secret<32>) -> Digest {
    card_name(&card_key(card).public_key())
}

/// The emergency grants of a card for these classes that are not withdrawn, by index, the newest last.
async fn standing(
    session: &Session,
    path: &Path,
    card: Digest,
    classes: Classes,
) -> Result<Vec<u16>, Failure> {
    let listed = grant::listing(session, path).await?;
    let stands = |file: &&GrantFile| {
        let listed = listed.grants.iter().find(|listed| listed.index == file.index);
        file.grant.grantee == Grantee::Emergency { card }
            && file.grant.scope.classes == classes
            && listed.is_some_and(|listed| listed.standing == Standing::Active)
    };
    Ok(wallet(path)?.emergency.iter().filter(stands).map(|file| file.index).collect())
}

/// Makes the looks of a grant, once: the wallet keeps those that are not brought yet.
fn make_looks(session: &Session, path: &Path, index: u16, card: &Secret<32>) -> Result<(), Failure> {
    let mut owner = wallet(path)?;
    if owner.looks.iter().any(|looks| looks.index == index) {
        return Ok(());
    }
    let lost = || Failure::new(Code::Internal, "the wallet has no such emergency grant");
    let file = owner.emergency.iter().find(|file| file.index == index).ok_or_else(lost)?;
    let one_time = owner.one_time_key(index).ok_or_else(lost)?;
    let (chain, faults) = (session.chain(), session.consortium.faults());
    let keys: Vec<KemPublicKey> =
        session.consortium.genesis().members.iter().map(|member| member.custodian.clone()).collect();
    let made = deposits(chain, faults, &keys, file, (&one_time, card), &mut rng()?)?;
    let deposits = List::new(made).map_err(|_| lost())?;
    owner.looks.push(UnbroughtLooks { index, deposits });
    store(path, &owner)
}

/// Brings looks to the custodians that lack them; says which still do, and what they said.
async fn bring_looks(session: &Session, path: &Path, index: u16) -> Result<(Vec<u16>, Vec<Fault>), Failure> {
    let mut owner = wallet(path)?;
    let lost = || Failure::new(Code::Internal, "the wallet has no looks of its grant");
    let looks = owner.looks.iter_mut().find(|looks| looks.index == index).ok_or_else(lost)?;
    let (kept, refused) = session.client.prepare(looks.deposits.to_vec()).await;
    let mut missing = looks.deposits.to_vec();
    missing.retain(|deposit| !kept.contains(&deposit.custodian));
    let who = missing.iter().map(|deposit| deposit.custodian.get()).collect();
    looks.deposits = List::new(missing).map_err(|_| lost())?;
    store(path, &owner)?;
    Ok((who, refused))
}

/// The secret of a card.
fn card_file(path: &Path) -> Result<Secret<32>, Failure> {
    key_file::read(path).map_err(|error| Failure::new(Code::FileUnreadable, error.to_string()))
}

/// The same, made when there is none.
fn card_secret(path: &Path) -> Result<Secret<32>, Failure> {
    if !path.exists() {
        key_file::create(path, &Secret::random(&mut rng()?))
            .map_err(|error| Failure::new(Code::FileUnreadable, error.to_string()))?;
    }
    card_file(path)
}

/// Somebody at a patient's side.
struct Clinician<'a> {
    who: &'a PersonFile,
    second: &'a Path,
    card: &'a Path,
    reason: Reason,
}

/// What was read in an emergency, and what was not.
struct Seen {
    results: Vec<ReadResult>,
    /// Grants that did not open, by the code that says why.
    skipped: Vec<Code>,
}

impl Clinician<'_> {
    /// Breaks the glass and reads under each grant; a look that another took first is tried again, by what another
    /// member proves.
    async fn read(&self, session: &Session) -> Result<Seen, Failure> {
        let genesis = session.consortium.genesis();
        let members = session.consortium.faults().members();
        let mut plan = GlassPlan {
            chain: session.chain(),
            faults: session.consortium.faults(),
            service_keys: genesis.members.iter().map(|member| member.service).collect(),
            requester: self.who.party,
            key: self.who.signing_key(),
            second: person::key_file(self.second)?,
            reason: self.reason,
            card: card_file(self.card)?,
            policy: session.policy()?,
            home: session.home,
        };
        let mut attempts = ATTEMPTS;
        loop {
            attempts = attempts.saturating_sub(1);
            match self.once(session, &plan).await {
                Err(failure) if failure.code == Code::AlreadyExists && attempts > 0 => {
                    plan.home = MemberIndex::new(plan.home.get().wrapping_add(1) % members);
                }
                other => return other,
            }
        }
    }

    /// Reads under every grant that opens. One that fails does not end the others.
    async fn once(&self, session: &Session, plan: &GlassPlan) -> Result<Seen, Failure> {
        let broken = session.client.break_glass(plan).await?;
        let mut seen = Seen { results: Vec::new(), skipped: Vec::new() };
        seen.skipped.extend(broken.skipped.iter().map(|(_, code)| *code));
        let mut failed = None;
        for file in broken.files {
            let glass = BrokenGlass { reason: self.reason, second: person::key_file(self.second)? };
            match read::read_under(session, self.who, file, &Wanted::all(Purpose::Emergency), Some(glass))
                .await
            {
                Ok(result) => seen.results.push(result),
                Err(failure) => {
                    seen.skipped.push(failure.code);
                    failed = failed.or(Some(failure));
                }
            }
        }
        match failed {
            Some(failure) if seen.results.is_empty() => Err(failure),
            _ => Ok(seen),
        }
    }
}

fn shown(seen: &Seen, print: bool) -> Report {
    let reports: Vec<Report> = seen.results.iter().map(|result| read::report(result, print)).collect();
    let values: Vec<Value> = reports.iter().map(|report| report.value.clone()).collect();
    let lines: Vec<String> = reports.into_iter().flat_map(|report| report.lines).collect();
    let skipped: Vec<String> = seen.skipped.iter().map(ToString::to_string).collect();
    let line = |code: &Code| format!("a grant under the card was skipped: {code} {}", code.what());
    Report::new(json!({ "grants": values, "skipped": skipped }))
        .lines(lines)
        .lines(seen.skipped.iter().map(line))
        .line("the patient and the privacy officer of your member see this use; it will be reviewed")
}

/// An officer's list: every look, and what came of its review, by proof.
struct Listed {
    /// Of whose people.
    member: MemberIndex,
    looks: Vec<Look>,
    /// Accesses of looks that are final.
    read: BTreeSet<AccessTag>,
    /// Reviews that stand and are none: they count as open.
    unreadable: usize,
    faults: Vec<Fault>,
}

impl Listed {
    /// Whether something was read under a look, as the ledger shows, and nobody has said yet what to think of it.
    fn open(&self, look: &Look) -> bool {
        look.closed.is_none() && look.used.access.is_some_and(|access| self.read.contains(&access))
    }
}

async fn listed(session: &Session, who: &PersonFile) -> Result<Listed, Failure> {
    let (uses, faults) = session.client.emergency_uses(&officer(session, who)).await?;
    let (policy, member) = (session.policy()?, session.identity(who.party).await?.member);
    let (looks, read) = (Vec::new(), BTreeSet::new());
    let mut listed = Listed { member, looks, read, unreadable: 0, faults };
    for uses in uses.chunks(STATE_KEYS_MAX / 2) {
        let reviews = uses.iter().map(|used| review_of(used, member));
        let accesses = uses.iter().filter_map(|used| used.access.map(StateKey::Access));
        let proven = session.client.proven(reviews.chain(accesses).collect(), session.home, &policy).await?;
        for used in uses {
            let closed = match proven.get(&review_of(used, member)) {
                Proven::Present(StateValue::Review(record)) => {
                    let closed = verdict(used, record);
                    listed.unreadable = listed.unreadable.saturating_add(usize::from(closed.is_none()));
                    closed
                }
                _ => None,
            };
            let final_ = |tag: &AccessTag| matches!(proven.get(&StateKey::Access(*tag)), Proven::Present(_));
            listed.read.extend(used.access.filter(final_));
            listed.looks.push(Look { used: used.clone(), closed });
        }
    }
    Ok(listed)
}

async fn reviews(place: &Place, path: &Path, all: bool) -> Result<Report, Failure> {
    let who = person(path)?;
    let session = who.session(place)?;
    let listed = listed(&session, &who).await?;
    let now = now();
    let stages: Vec<(&Look, &'static str)> =
        listed.looks.iter().map(|look| (look, stage(&listed, look, now))).collect();
    let shown = || stages.iter().filter(|(look, _)| all || listed.open(look));
    let open = listed.looks.iter().filter(|look| listed.open(look)).count();
    let late = |look: &&Look| listed.open(look) && now.since_ms(look.used.at) > REVIEW_DUE_MS;
    let overdue = listed.looks.iter().filter(late).count();
    let unread = listed.looks.iter().filter(|look| look.closed.is_none()).count().saturating_sub(open);
    let values: Vec<Value> = shown().map(|(look, stage)| look_value(look, stage)).collect();
    let bad = (listed.unreadable > 0)
        .then(|| format!("{} reviews on the ledger are none, and were skipped", listed.unreadable));
    Ok(Report::new(json!({
        "uses": values, "open": open, "overdue": overdue, "unread": unread, "skipped": listed.unreadable,
        "faults": faults_value(&listed.faults),
    }))
    .lines(shown().map(|(look, stage)| look_line(look, stage)))
    .line(format!(
        "{open} emergency looks to review, {overdue} of them overdue; nothing was read under {unread}"
    ))
    .lines(bad)
    .lines(listed.faults.iter().map(read::fault_line)))
}

/// How far a review is.
fn stage(listed: &Listed, look: &Look, now: TimeMs) -> &'static str {
    let age_ms = now.since_ms(look.used.at);
    match look.closed {
        Some(Verdict::Justified) => "justified",
        Some(Verdict::Unjustified) => "unjustified",
        None if !listed.open(look) => "nothing read",
        None if age_ms > REVIEW_SUSPEND_MS => "overdue, suspends",
        None if age_ms > REVIEW_DUE_MS => "overdue",
        None => "open",
    }
}

fn look_value(look: &Look, stage: &str) -> Value {
    let used = &look.used;
    json!({
        "look": used.look.to_string(), "access": used.access.map(|access| hex::encode(access.0.as_bytes())),
        "requester": used.requester.to_string(), "time_ms": used.at.get(), "reason": used.reason.name(),
        "review": stage,
    })
}

fn look_line(look: &Look, stage: &str) -> String {
    let EmergencyUse { at, requester, look: name, reason, .. } = &look.used;
    let name: String = name.to_string().chars().take(TAG_DIGITS).collect();
    format!("{name}  party {requester}  at {} ms  {}  {stage}", at.get(), reason.name())
}

/// Closes reviews of what was read; one that cannot be closed does not keep the others open.
async fn close(
    place: &Place,
    path: &Path,
    requester: PartyId,
    name: Option<&str>,
    verdict: Verdict,
) -> Result<Report, Failure> {
    let who = person(path)?;
    let session = who.session(place)?;
    if requester == who.party {
        return Err(Failure::new(Code::Usage, "nobody reviews their own use"));
    }
    let officer = officer(&session, &who);
    let listed = listed(&session, &who).await?;
    let wanted = |look: &&Look| {
        let named = name.is_none_or(|begin| look.used.look.to_string().starts_with(&begin.to_lowercase()));
        listed.open(look) && look.used.requester == requester && named
    };
    let (mut closed, mut failed) = (0_usize, Vec::new());
    for look in listed.looks.iter().filter(wanted) {
        match session.submit(&officer.close(&look.used, listed.member, verdict, &mut rng()?)?).await {
            Ok(_) => closed = closed.saturating_add(1),
            Err(failure) => failed.push(failure),
        }
    }
    let skipped = failed.len();
    match failed.into_iter().next() {
        Some(failure) if closed == 0 => Err(failure),
        None if closed == 0 => Err(Failure::new(Code::NotFound, "there is no such look to review")),
        first => Ok(Report::new(json!({ "closed": closed, "skipped": skipped }))
            .line(format!("closed the review of {closed} looks"))
            .lines(first.map(|failure| format!("{skipped} were skipped, the first for {failure}")))),
    }
}

/// A privacy officer.
pub(crate) fn officer(session: &Session, who: &PersonFile) -> Officer {
    Officer { chain: session.chain(), party: who.party, key: who.signing_key() }
}

/// What members did, as a value.
pub(crate) fn faults_value(faults: &[Fault]) -> Vec<Value> {
    let value = |fault: &Fault| json!({ "member": fault.member.get(), "code": fault.code.to_string() });
    faults.iter().map(value).collect()
}
