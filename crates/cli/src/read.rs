//! `salus read`: record the access, gather, verify, and only then show.

use crate::args::ReadArgs;
use crate::files::{load, write_secret};
use crate::output::{Failure, Report};
use crate::person::{PersonFile, person};
use crate::session::Session;
use crate::terms::{classes, codes};
use salus_client::receipt::{anchor_key, receipt};
use salus_client::{BrokenGlass, Evidence, Fault, GrantFile, LaneKey, ReadPlan, ReadResult};
use salus_clinical::{Sample, Value, render};
use salus_proof::Verified;
use salus_wire::{Classes, Code, Codes, Purpose, Scope, encode};
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub(crate) async fn run(args: &ReadArgs) -> Result<Report, Failure> {
    let person = person(&args.person)?;
    let session = person.session(&args.place)?;
    let wanted =
        Wanted { classes: classes(&args.classes)?, codes: codes(&args.codes)?, purpose: args.purpose.into() };
    let result = read(&session, &person, &args.grant, &wanted).await?;
    if let Some(path) = &args.waveform {
        write_secret(path, &waveform(&result.samples))?;
    }
    if let Some(path) = &args.receipt {
        let first = result.evidence.first().ok_or_else(|| Failure::new(Code::NothingHeld, "no reading"))?;
        write_receipt(&session, first, path).await?;
    }
    Ok(report(&result, args.print))
}

/// What to read under a grant; all of it where nothing is said.
pub(crate) struct Wanted {
    pub(crate) classes: Option<Classes>,
    pub(crate) codes: Option<Codes>,
    pub(crate) purpose: Purpose,
}

impl Wanted {
    /// Everything that the grant opens.
    pub(crate) const fn all(purpose: Purpose) -> Self {
        Self { classes: None, codes: None, purpose }
    }

    /// What that is under a grant.
    pub(crate) fn scope(&self, granted: &Scope) -> Scope {
        Scope {
            classes: self.classes.unwrap_or(granted.classes),
            codes: self.codes.clone().unwrap_or_else(|| granted.codes.clone()),
            span: granted.span,
        }
    }
}

/// Reads what is wanted of what a grant file opens.
pub(crate) async fn read(
    session: &Session,
    person: &PersonFile,
    grant: &Path,
    wanted: &Wanted,
) -> Result<ReadResult, Failure> {
    read_under(session, person, load(grant)?, wanted, None).await
}

/// Reads what is wanted under a grant; in an emergency, with the word that the glass is broken.
pub(crate) async fn read_under(
    session: &Session,
    person: &PersonFile,
    grant: GrantFile,
    wanted: &Wanted,
    emergency: Option<BrokenGlass>,
) -> Result<ReadResult, Failure> {
    let writer_key = session.identity_key(grant.grant.writer).await?;
    let genesis = session.consortium.genesis();
    let plan = ReadPlan {
        chain: session.chain(),
        faults: session.consortium.faults(),
        policy: session.policy()?,
        service_keys: genesis.members.iter().map(|member| member.service).collect(),
        writer_key,
        requester: person.party,
        key: person.signing_key(),
        next_tag: next_tag(session, &grant).await?,
        emergency,
        scope: wanted.scope(&grant.grant.scope),
        purpose: wanted.purpose,
        home: session.home,
        grant,
    };
    Ok(session.client.read(plan).await?)
}

/// As [`read`], but nothing held yet is nothing read: for whoever waits until something is.
pub(crate) async fn read_what_is_there(
    session: &Session,
    person: &PersonFile,
    grant: &Path,
) -> Result<Option<ReadResult>, Failure> {
    match read(session, person, grant, &Wanted::all(Purpose::Treatment)).await {
        Ok(result) => Ok(Some(result)),
        Err(failure) if failure.code == Code::NothingHeld => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The first free tag of the lane, as far as one member knows.
async fn next_tag(session: &Session, grant: &GrantFile) -> Result<u16, Failure> {
    match grant.lane {
        LaneKey::Look { place, .. } => Ok(place),
        LaneKey::Seed(_) => Ok(session.client.next_tag(grant, session.home).await?),
    }
}

/// Makes the receipt of one reading, checks it, and writes it.
pub(crate) async fn write_receipt(
    session: &Session,
    evidence: &Evidence,
    path: &Path,
) -> Result<usize, Failure> {
    let proof = session.client.prove(vec![anchor_key(evidence)], session.home).await?;
    let receipt = receipt(evidence, proof)
        .ok_or_else(|| Failure::new(Code::ProofInvalid, "the evidence does not fit together"))?;
    salus_proof::receipt::verify::<Sample>(&session.policy()?, &receipt)
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let bytes = encode(&receipt);
    write_secret(path, &bytes)?;
    Ok(bytes.len())
}

/// The waveform samples of verified readings, in order of time.
pub(crate) fn waveform(samples: &[Verified<Sample>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for sample in samples {
        if let Value::Waveform(waveform) = sample.get().reading().value() {
            bytes.extend(waveform.samples().iter().flat_map(|sample| sample.to_le_bytes()));
        }
    }
    bytes
}

/// A verified reading as JSON.
pub(crate) fn reading_value(sample: &Verified<Sample>) -> serde_json::Value {
    serde_json::from_str(&render::json(sample)).unwrap_or_default()
}

/// One line about what a member did wrong.
pub(crate) fn fault_line(fault: &Fault) -> String {
    format!("  member {}: {} {} ({})", fault.member, fault.code, fault.code.what(), fault.detail)
}

/// The same as JSON.
pub(crate) fn fault_value(fault: &Fault) -> serde_json::Value {
    json!({ "member": fault.member.get(), "code": fault.code.to_string(), "detail": fault.detail })
}

pub(crate) fn report(result: &ReadResult, print: bool) -> Report {
    let (count, height) = (result.samples.len(), result.committed.at.height);
    let shown = if print { result.samples.as_slice() } else { &[] };
    let readings: Vec<serde_json::Value> = shown.iter().map(reading_value).collect();
    let faults: Vec<serde_json::Value> = result.faults.iter().map(fault_value).collect();
    let report = Report::new(json!({
        "readings": count,
        "access_height": height.get(),
        "access_index": result.access_index,
        "epochs_missing": result.epochs_missing,
        "segments_missing": result.segments_missing,
        "notice": result.notice,
        "faults": faults,
        "values": readings,
    }));
    let report = if print { report.lines(result.samples.iter().map(render::line)) } else { report };
    let report =
        report.line(format!("{count} readings, every one verified; the access is final at height {height}"));
    let (epochs, segments) = (result.epochs_missing, result.segments_missing);
    let report = if epochs == 0 && segments == 0 {
        report
    } else {
        report.line(format!(
            "incomplete for now: {epochs} epochs lack key shares, {segments} segments lack fragments"
        ))
    };
    report.lines(result.notice.map(str::to_owned)).lines(result.faults.iter().map(fault_line))
}
