//! `salus policy`: an institution says what it allows its own people, and sees what that comes to.

use crate::args::{ExplainArgs, NamedArg, Place, PolicyCommand};
use crate::files::read_text;
use crate::output::{Failure, Report};
use crate::session::Session;
use crate::terms;
use salus_client::drive::now;
use salus_consent::{Ask, Clause, Denied, Named, Policy};
use salus_wire::ids::{MemberIndex, TimeMs, TimeSpan};
use salus_wire::state::{IdentityRecord, PolicyRecord};
use salus_wire::tx::PartyKind;
use salus_wire::{Blob, Classes, Code, Codes, Scope, StateKey, StateValue, Tx, TxBody};
use serde_json::json;
use std::path::Path;

const HOUR_MS: u64 = 3_600_000;

/// Runs the command.
pub(crate) async fn run(command: &PolicyCommand) -> Result<Report, Failure> {
    match command {
        PolicyCommand::Check { file } => {
            let (text, policy) = read(file)?;
            let names = names(&policy.names());
            Ok(Report::new(json!({ "bytes": text.len(), "clauses": names })).line(format!(
                "a good policy of {} clauses: {}",
                names.len(),
                names.join(", ")
            )))
        }
        PolicyCommand::Publish { place, file } => publish(place, file).await,
        PolicyCommand::Show { place } => show(place).await,
        PolicyCommand::Explain(args) => explain(args).await,
    }
}

/// A policy's text, and what it says. What is refused here is never sent.
fn read(path: &Path) -> Result<(String, Policy), Failure> {
    let text = read_text(path)?;
    let policy = Policy::parse(text.as_bytes())
        .map_err(|error| Failure::new(Code::PolicyRefused, format!("`{}`: {error}", path.display())))?;
    Ok((text, policy))
}

async fn publish(place: &Place, file: &Path) -> Result<Report, Failure> {
    let (text, policy) = read(file)?;
    let session = Session::operator(place)?;
    let member = session.home;
    let stands = entry(&session, member).await?.map_or(0, |record| record.version);
    let last = || Failure::new(Code::Usage, "no version is left");
    let version = stands.checked_add(1).ok_or_else(last)?;
    let text = Blob::new(text.into_bytes()).map_err(|_| Failure::new(Code::TooLarge, "the policy"))?;
    let body = TxBody::PublishPolicy { member, version, text };
    let committed = session.submit(&Tx::sign(session.chain(), body, &session.registrar()?)).await?;
    let (height, names) = (committed.at.height, names(&policy.names()));
    let value =
        json!({ "member": member.get(), "version": version, "height": height.get(), "clauses": names });
    Ok(Report::new(value)
        .line(format!("version {version} of the policy of member {member} is final at height {height}"))
        .line("every access ordered after it is decided by it"))
}

/// A member's policy, as a proof shows it.
async fn entry(session: &Session, member: MemberIndex) -> Result<Option<PolicyRecord>, Failure> {
    match session.client.entry(StateKey::Policy(member), session.home, &session.policy()?).await? {
        Some(StateValue::Policy(record)) => Ok(Some(record)),
        Some(_) => Err(Failure::new(Code::ProofInvalid, "what stands there is no policy")),
        None => Ok(None),
    }
}

async fn show(place: &Place) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let member = session.home;
    let Some(record) = entry(&session, member).await? else {
        return Err(Failure::new(
            Code::NotFound,
            format!("member {member} has published no policy: it allows what grants allow"),
        ));
    };
    let (version, height) = (record.version, record.since.height);
    // What is a policy is plain ASCII; anything else may not reach a terminal as it is.
    let (names, text) = match Policy::parse(&record.text) {
        Ok(policy) => (Some(names(&policy.names())), String::from_utf8_lossy(&record.text).into_owned()),
        Err(_) => (None, record.text.escape_ascii().to_string()),
    };
    let valid = names.is_some();
    let value = json!({
        "member": member.get(), "version": version, "since_height": height.get(),
        "valid": valid, "clauses": names, "text": text,
    });
    let report = Report::new(value)
        .line(format!("version {version} of the policy of member {member}, since height {height}:"))
        .line(text);
    Ok(if valid { report } else { report.line("it is no policy: nobody of this member may read anything") })
}

/// Judges by the policy of somebody's member alone, as every custodian would.
async fn explain(args: &ExplainArgs) -> Result<Report, Failure> {
    let session = Session::operator(&args.place)?;
    let identity = session.identity(args.party).await?;
    let scope = scope(args)?;
    let ask = Ask {
        party: args.party,
        identity: &identity,
        scope: &scope,
        purpose: args.purpose.into(),
        at: at(args.hour),
    };
    let (version, policy) = match &args.file {
        Some(file) => (None, read(file)?.1),
        None => match entry(&session, identity.member).await? {
            Some(record) => (Some(record.version), published(&record)?),
            None => return Ok(none(identity.member)),
        },
    };
    let clauses = policy.allows(&ask, named(args.named, &identity)?).map_err(|denied| {
        let denied = Denied::from(denied);
        Failure::new(denied.code(), format!("denied: {denied}"))
    })?;
    let names = names(&clauses);
    Ok(Report::new(json!({ "allowed": true, "version": version, "clauses": names }))
        .line(format!("allowed by {}", names.join(", ")))
        .line("the patient's grant must permit it, too"))
}

fn published(record: &PolicyRecord) -> Result<Policy, Failure> {
    Policy::parse(&record.text).map_err(|error| Failure::new(Code::PolicyInvalid, error.to_string()))
}

fn none(member: MemberIndex) -> Report {
    Report::new(json!({ "allowed": true, "version": null, "clauses": [] }))
        .line(format!("member {member} has published no policy: it allows what grants allow"))
}

fn scope(args: &ExplainArgs) -> Result<Scope, Failure> {
    let nothing = || Failure::new(Code::Usage, "a sensitive class is asked for by itself");
    let classes: Option<Classes> = terms::classes(&args.classes)?;
    let span = TimeSpan::new(TimeMs::new(0), TimeMs::new(1)).ok_or_else(nothing)?;
    Ok(Scope {
        classes: classes.ok_or_else(nothing)?,
        codes: terms::codes(&args.codes)?.unwrap_or(Codes::All),
        span,
    })
}

/// Now, or today at an hour; policies know nothing else of the time.
fn at(hour: Option<u8>) -> TimeMs {
    match hour {
        Some(hour) => TimeMs::new(u64::from(hour).saturating_mul(HOUR_MS)),
        None => now(),
    }
}

/// How the grant would name them.
fn named(wanted: NamedArg, identity: &IdentityRecord) -> Result<Named, Failure> {
    match (wanted, identity.kind) {
        (NamedArg::Themselves, PartyKind::Application) => Ok(Named::Application),
        (NamedArg::Themselves, _) => Ok(Named::Person),
        (NamedArg::Role, _) => {
            let role = identity.roles.iter().next();
            role.map(Named::Role).ok_or_else(|| Failure::new(Code::RoleNotHeld, "they hold no role"))
        }
    }
}

fn names(clauses: &[Clause]) -> Vec<String> {
    clauses.iter().map(Clause::to_string).collect()
}
