//! `salus activity`: a privacy officer reviews what their member's people looked at. ADR 17.

mod facts;
mod queue;

use crate::args::{ActivityArgs, ActivityCommand, Place};
use crate::emergency::{faults_value, officer};
use crate::files::load;
use crate::output::{Failure, Report};
use crate::person::person;
use crate::read;
use crate::session::Session;
use facts::Files;
use indicatif::{ProgressBar, ProgressStyle};
use queue::{Entry, Queue};
use salus_client::drive::now;
use salus_client::{ActivityList, GrantFile};
use salus_clinical::fhir::instant;
use salus_wire::activity::{
    Activity, NamedAs, SignOff, SignOffTerms, Verdict, day_of, finding_digest, patient_name, sign_off_message,
};
use salus_wire::limits::DAY_MS;
use salus_wire::tx::PartyKind;
use salus_wire::{Code, Role, TimeMs, namespaces};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Runs the command.
pub(crate) async fn run(command: &ActivityCommand) -> Result<Report, Failure> {
    match command {
        ActivityCommand::List(args) => list(args).await,
        ActivityCommand::Review { activity, queue, people, duty, patients, utc_offset_minutes } => {
            let files =
                Files { people: people.as_deref(), duty: duty.as_deref(), patients: patients.as_deref() };
            review(activity, queue, files.read(*utc_offset_minutes)?).await
        }
        ActivityCommand::Queue { queue, all } => Ok(shown(&Queue::read(queue)?, *all)),
        ActivityCommand::Close { place, person, queue, finding, verdict } => {
            close(place, person, queue, finding, (*verdict).into()).await
        }
        ActivityCommand::Name { grant } => name(grant),
    }
}

/// What all members together remember of the last days.
async fn gathered(args: &ActivityArgs) -> Result<(Session, ActivityList), Failure> {
    let who = person(&args.person)?;
    let session = who.session(&args.place)?;
    let today = day_of(now());
    let first = today.saturating_sub(args.days.saturating_sub(1));
    let bar = ProgressBar::new(u64::from(args.days).saturating_add(1)).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} days {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let officer = officer(&session, &who);
    let member = session.identity(who.party).await?.member;
    let days = (first, today);
    let list =
        session.client.activity(&officer, member, session.consortium.faults(), days, |_| bar.inc(1)).await?;
    bar.finish_and_clear();
    Ok((session, list))
}

async fn list(args: &ActivityArgs) -> Result<Report, Failure> {
    let (_, list) = gathered(args).await?;
    let people: BTreeSet<_> = list.rows.iter().map(|row| row.requester).collect();
    let patients: BTreeSet<_> = list.rows.iter().map(|row| row.patient).collect();
    let told = list.rows.iter().map(|row| (row, true)).chain(list.unsure.iter().map(|row| (row, false)));
    let values: Vec<Value> = told.clone().map(|(row, sure)| row_value(row, sure)).collect();
    let count = list.rows.len();
    let summary = format!("{count} accesses of {} people to {} patients", people.len(), patients.len());
    let value = json!({
        "activity": values, "complete": list.incomplete.is_empty(), "faults": faults_value(&list.faults),
    });
    Ok(Report::new(value)
        .lines(told.map(|(row, sure)| row_line(row, sure)))
        .line(summary)
        .lines(missing(&list))
        .lines(list.faults.iter().map(read::fault_line)))
}

/// Which days may lack something.
fn missing(list: &ActivityList) -> Option<String> {
    let days: Vec<String> = list.incomplete.iter().map(|day| date(*day)).collect();
    (!days.is_empty())
        .then(|| format!("INCOMPLETE: too few members answered for {}; run this again", days.join(", ")))
}

const fn named(named: NamedAs) -> &'static str {
    match named {
        NamedAs::Person => "person",
        NamedAs::Role => "role",
        NamedAs::Application => "application",
        NamedAs::Emergency => "emergency",
    }
}

fn row_value(row: &Activity, confirmed: bool) -> Value {
    json!({
        "time": instant(row.at), "requester": row.requester.to_string(),
        "patient": row.patient.to_string(), "access": hex::encode(row.access.0.as_bytes()),
        "purpose": row.purpose.code(), "named_as": named(row.named), "confirmed": confirmed,
    })
}

fn row_line(row: &Activity, sure: bool) -> String {
    let doubt = if sure { "" } else { "  told by too few to be sure" };
    let (at, patient) = (instant(row.at).unwrap_or_default(), short(&row.patient.to_string()));
    let (requester, purpose, named) = (row.requester, row.purpose.code(), named(row.named));
    format!("{at}  party {requester}  patient {patient}  {purpose}  as {named}{doubt}")
}

/// Enough of a name to tell two apart in a table.
fn short(name: &str) -> String {
    name.chars().take(12).collect()
}

async fn review(args: &ActivityArgs, path: &Path, facts: salus_review::Facts) -> Result<Report, Failure> {
    let (_, list) = gathered(args).await?;
    // What fewer tell may be a lie about somebody: it is counted, and nobody is asked for it.
    let found = salus_review::find(&list.rows, &facts);
    let locked = queue::lock(path)?;
    let mut queue = if path.exists() { Queue::read(path)? } else { Queue::default() };
    let new = queue.add(&found);
    queue.write(path, &locked)?;
    let open = queue.entries.iter().filter(|entry| entry.closed.is_none()).count();
    let (accesses, unsure) = (list.rows.len(), list.unsure.len());
    let value = json!({
        "accesses": accesses, "unconfirmed": unsure, "new": new, "open": open,
        "complete": list.incomplete.is_empty(), "faults": faults_value(&list.faults),
    });
    Ok(Report::new(value)
        .line(format!("{accesses} accesses, {new} new findings, {open} open on the queue"))
        .lines((unsure > 0).then(|| format!("{unsure} accesses are told by too few to be sure")))
        .lines(missing(&list))
        .lines(list.faults.iter().map(read::fault_line)))
}

fn shown(queue: &Queue, all: bool) -> Report {
    let entries: Vec<&Entry> = queue.entries.iter().filter(|entry| all || entry.closed.is_none()).collect();
    let open = queue.entries.iter().filter(|entry| entry.closed.is_none()).count();
    let values: Vec<Value> = entries.iter().map(|entry| entry_value(entry)).collect();
    Report::new(json!({ "findings": values, "open": open }))
        .lines(entries.iter().map(|entry| entry_line(entry)))
        .line(format!("{open} findings are open"))
}

fn entry_value(entry: &Entry) -> Value {
    json!({
        "finding": entry.id(), "requester": entry.requester.to_string(), "date": date(entry.day),
        "patient": entry.patient.map(|patient| patient.to_string()),
        "accesses": entry.accesses.iter().map(|tag| hex::encode(tag.0.as_bytes())).collect::<Vec<_>>(),
        "reasons": entry.reasons, "state": state(entry),
        "officer": entry.closed.as_ref().map(|closed| closed.terms.officer.to_string()),
    })
}

fn entry_line(entry: &Entry) -> String {
    let patient = entry
        .patient
        .map_or("the whole day".to_owned(), |patient| format!("patient {}", short(&patient.to_string())));
    let (id, requester, state) = (entry.id(), entry.requester, state(entry));
    format!(
        "{id}  party {requester}  {patient}  {}  {state}",
        entry.reasons.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    )
}

const fn state(entry: &Entry) -> &'static str {
    match &entry.closed {
        None => "open",
        Some(SignOff { terms: SignOffTerms { verdict: Verdict::Explained, .. }, .. }) => "explained",
        Some(SignOff { terms: SignOffTerms { verdict: Verdict::Unexplained, .. }, .. }) => "unexplained",
    }
}

/// A day as a date of UTC.
fn date(day: u32) -> String {
    let at = instant(TimeMs::new(u64::from(day).saturating_mul(DAY_MS))).unwrap_or_default();
    at.chars().take(10).collect()
}

async fn close(
    place: &Place,
    path: &Path,
    queue_path: &Path,
    finding: &str,
    verdict: Verdict,
) -> Result<Report, Failure> {
    let who = person(path)?;
    let session = who.session(place)?;
    let identity = session.identity(who.party).await?;
    if identity.kind != PartyKind::Person || !identity.roles.contains(Role::PrivacyOfficer) {
        return Err(Failure::new(Code::NotAnOfficer, "only a privacy officer closes a finding"));
    }
    let locked = queue::lock(queue_path)?;
    let mut queue = Queue::read(queue_path)?;
    let entry = queue.open(finding)?;
    if entry.requester == who.party {
        return Err(Failure::new(Code::Usage, "nobody reviews what they did themselves"));
    }
    let Entry { requester, patient, day, .. } = *entry;
    let about = finding_digest(&entry.accesses, &entry.reasons);
    let terms = SignOffTerms { requester, patient, day, about, officer: who.party, at: now(), verdict };
    let message = sign_off_message(session.chain(), &terms);
    let signature = who.signing_key().sign(namespaces::ACTIVITY_SIGN_OFF, &message);
    entry.closed = Some(SignOff { terms, signature });
    queue.write(queue_path, &locked)?;
    Ok(Report::new(json!({ "closed": finding })).line(format!("closed {finding}")))
}

fn name(path: &Path) -> Result<Report, Failure> {
    let file: GrantFile = load(path)?;
    let name = patient_name(&file.data()).to_string();
    Ok(Report::new(json!({ "patient": name })).line(name).line(
        "records of activity know the patient by this name: keep it with what the member knows of them",
    ))
}
