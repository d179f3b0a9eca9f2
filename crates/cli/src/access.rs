//! `salus access`: who read what, complete as of a height.

use crate::account;
use crate::args::AccessCommand;
use crate::grant::{grant_line, listing, lists_before};
use crate::output::{Failure, Report};
use crate::read::{fault_line, fault_value};
use crate::recovery;
use crate::session::Session;
use salus_client::accounting::Detail;
use salus_client::listing::{AccessList, ListedAccess};
use salus_wire::consent::{Intent, Reason, Vouching};
use serde_json::{Value, json};

/// Runs the command.
pub(crate) async fn run(command: &AccessCommand) -> Result<Report, Failure> {
    match command {
        AccessCommand::List { place, wallet } => {
            let session = Session::operator(place)?;
            let list = listing(&session, wallet).await?;
            let notice = recovery::notice(&session, wallet, &list.grants).await?;
            let mut report = Report::new(value(&list)).lines(notice.iter().cloned()).lines(lines(&list));
            let mut before = Vec::new();
            for list in lists_before(&session, wallet).await? {
                report = report.line("under a wallet in whose place this one has come:").lines(lines(&list));
                before.push(value(&list));
            }
            if let Some(value) = report.value.as_object_mut() {
                value.insert("notice".to_owned(), json!(notice));
                value.insert("before".to_owned(), json!(before));
            }
            Ok(report)
        }
        AccessCommand::Account { place, wallet, each, required, csv } => {
            let detail = if *each { Detail::Each } else { Detail::Series };
            account::run(&Session::operator(place)?, wallet, detail, *required, csv.as_deref()).await
        }
    }
}

/// Lines for people.
pub(crate) fn lines(list: &AccessList) -> Vec<String> {
    let mut lines = Vec::new();
    let mut count = 0_usize;
    for grant in &list.grants {
        lines.push(grant_line(grant));
        for access in &grant.accesses {
            lines.push(access_line(access));
        }
        count = count.saturating_add(grant.accesses.len());
    }
    let height = list.at.height;
    lines.push(format!("{count} accesses; that there are no others is proven as of height {height}"));
    lines.extend(list.faults.iter().map(fault_line));
    lines
}

fn value(list: &AccessList) -> Value {
    let grants: Vec<Value> = list
        .grants
        .iter()
        .map(|grant| json!({ "grant": grant.index, "accesses": grant.accesses.iter().map(access_value).collect::<Vec<_>>() }))
        .collect();
    let faults: Vec<Value> = list.faults.iter().map(fault_value).collect();
    json!({
        "height": list.at.height.get(), "time_ms": list.at.time.get(), "complete": true, "grants": grants,
        "faults": faults,
    })
}

fn access_line(access: &ListedAccess) -> String {
    let (index, height) = (access.index, access.since.height);
    match &access.intent {
        Some(intent) => format!(
            "  access {index} at height {height}: party {} for {}{}",
            intent.terms.requester,
            intent.terms.purpose.code(),
            reason(intent).map(|reason| format!(", in an emergency: {}", reason.name())).unwrap_or_default(),
        ),
        None => {
            format!("  access {index} at height {height}: sealed wrongly by the reader, nothing was released")
        }
    }
}

/// Why the glass was broken, if it was.
fn reason(intent: &Intent) -> Option<Reason> {
    match intent.terms.vouching {
        Vouching::BreakGlass(reason) => Some(reason),
        Vouching::Requester => None,
    }
}

fn access_value(access: &ListedAccess) -> Value {
    json!({
        "index": access.index,
        "height": access.since.height.get(),
        "time_ms": access.since.time.get(),
        "requester": access.intent.as_ref().map(|intent| intent.terms.requester.to_string()),
        "purpose": access.intent.as_ref().map(|intent| intent.terms.purpose.code()),
        "emergency": access.intent.as_ref().and_then(reason).map(Reason::name),
    })
}
