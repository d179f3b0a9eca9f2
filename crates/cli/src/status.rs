//! `salus status` and `salus explain`.

use crate::args::StatusArgs;
use crate::output::{Failure, Report};
use crate::session::Session;
use futures::future::join_all;
use salus_wire::ids::MemberIndex;
use salus_wire::rpc::Status;
use salus_wire::{Blame, Code};
use serde_json::{Value, json};

/// Asks every member how it is. Fails when none answers.
pub(crate) async fn run(args: &StatusArgs) -> Result<Report, Failure> {
    let session = Session::operator(&args.place)?;
    let members = (0..session.consortium.faults().members()).map(MemberIndex::new);
    let answers =
        join_all(members.map(async |member| (member, session.client.status(member).await.ok()))).await;
    if answers.iter().all(|(_, status)| status.is_none()) {
        return Err(Failure::new(Code::Unreachable, "no member answers"));
    }
    let values: Vec<Value> = answers.iter().map(|(member, status)| value(*member, status.as_ref())).collect();
    Ok(Report::new(json!({ "members": values }))
        .lines(answers.iter().map(|(member, status)| line(*member, status.as_ref()))))
}

fn line(member: MemberIndex, status: Option<&Status>) -> String {
    let Some(status) = status else { return format!("member {member}: does not answer") };
    let age_ms = status.now.since_ms(status.head.time);
    format!(
        "member {member}: height {}, {age_ms} ms old, {} peers, {} waiting, {} fragments, {} epochs",
        status.head.height, status.peers, status.waiting, status.fragments, status.epochs
    )
}

fn value(member: MemberIndex, status: Option<&Status>) -> Value {
    let Some(status) = status else { return json!({ "member": member.get(), "answers": false }) };
    json!({
        "member": member.get(),
        "answers": true,
        "height": status.head.height.get(),
        "head_age_ms": status.now.since_ms(status.head.time),
        "state": status.state.to_string(),
        "peers": status.peers,
        "waiting": status.waiting,
        "fragments": status.fragments,
        "epochs": status.epochs,
    })
}

/// Explains a code such as `SAL-2009`.
pub(crate) fn explain(text: &str) -> Result<Report, Failure> {
    let digits = text.trim().trim_start_matches("SAL-").trim_start_matches("sal-");
    let code = digits.parse().ok().and_then(Code::from_number);
    let code = code.ok_or_else(|| Failure::new(Code::Usage, format!("there is no code `{text}`")))?;
    let blame = match code.blame() {
        Blame::Caller => "whoever asked or sent",
        Blame::Peer => "another member, store, custodian or writer",
        Blame::Ours => "the operator of the process that says so",
    };
    Ok(Report::new(json!({
        "code": code.to_string(), "what": code.what(), "who": blame, "next": code.next_step(),
    }))
    .line(format!("{code}: {}", code.what()))
    .line(format!("  who has to act: {blame}"))
    .line(format!("  next: {}", code.next_step())))
}
