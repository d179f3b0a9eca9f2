//! The accounting of disclosures as a document, as CSV (RFC 4180) and as JSON.

use crate::files::write_secret;
use crate::grant::{listing, lists_before};
use crate::output::{Failure, Report};
use crate::session::Session;
use salus_client::accounting::{Accounting, Detail, Disclosure, GrantPlace, account, window};
use salus_client::drive::now;
use salus_clinical::fhir::instant;
use salus_wire::ids::{PartyId, TimeMs};
use salus_wire::{Code, DataClass, Purpose, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const COLUMNS: [&str; 12] = [
    "first",
    "last",
    "times",
    "recipient",
    "organisation",
    "roles",
    "description",
    "measured_from",
    "measured_until",
    "purpose",
    "required",
    "grants",
];

/// A recipient as the ledger knows it.
struct Recipient {
    organisation: String,
    roles: Vec<&'static str>,
}

/// Makes the accounting of a wallet, asked for now.
pub(crate) async fn run(
    session: &Session,
    wallet: &Path,
    detail: Detail,
    required: bool,
    csv: Option<&Path>,
) -> Result<Report, Failure> {
    let list = listing(session, wallet).await?;
    // The latest first: a disclosure of a wallet that was lost is the patient's as much as this one's.
    let mut before = lists_before(session, wallet).await?;
    before.reverse();
    let mut accounting = account(&list, &before, window(now()), detail);
    accounting.disclosures.retain(|disclosure| !required || disclosure.is_required());
    let recipients = recipients(session, &accounting).await?;
    let rows: Vec<[String; 12]> =
        accounting.disclosures.iter().map(|disclosure| row(disclosure, &recipients)).collect();
    if let Some(path) = csv {
        write_secret(path, text(&rows).as_bytes())?;
    }
    let lines = document(&accounting, &rows);
    Ok(Report::new(value(&accounting, &rows)).lines(lines))
}

/// Whom each disclosure went to. Registrations never vanish from the ledger.
async fn recipients(
    session: &Session,
    accounting: &Accounting,
) -> Result<BTreeMap<PartyId, Recipient>, Failure> {
    let members = &session.consortium.genesis().members;
    let mut recipients = BTreeMap::new();
    for disclosure in &accounting.disclosures {
        if recipients.contains_key(&disclosure.recipient) {
            continue;
        }
        let recipient = match session.identity(disclosure.recipient).await {
            Ok(identity) => Recipient {
                organisation: members
                    .get(usize::from(identity.member.get()))
                    .map(|member| String::from_utf8_lossy(&member.name).into_owned())
                    .unwrap_or_default(),
                roles: identity.roles.iter().map(Role::name).collect(),
            },
            // Who was never registered was given nothing.
            Err(failure) if failure.code == Code::NotFound => {
                Recipient { organisation: String::new(), roles: Vec::new() }
            }
            Err(failure) => return Err(failure),
        };
        recipients.insert(disclosure.recipient, recipient);
    }
    Ok(recipients)
}

fn row(disclosure: &Disclosure, recipients: &BTreeMap<PartyId, Recipient>) -> [String; 12] {
    let recipient = recipients.get(&disclosure.recipient);
    let grants: Vec<String> = disclosure.grants.iter().map(place).collect();
    [
        time(disclosure.first),
        time(disclosure.last),
        disclosure.times.to_string(),
        disclosure.recipient.to_string(),
        recipient.map(|recipient| recipient.organisation.clone()).unwrap_or_default(),
        recipient.map(|recipient| recipient.roles.join(" ")).unwrap_or_default(),
        description(disclosure),
        time(disclosure.measured.from()),
        time(disclosure.measured.until()),
        purpose(disclosure.purpose).to_owned(),
        disclosure.is_required().to_string(),
        grants.join(" "),
    ]
}

/// A grant of a wallet in whose place this one came is named with how many wallets it is back.
fn place(grant: &GrantPlace) -> String {
    match grant.back {
        0 => grant.index.to_string(),
        back => format!("before-{back}:{}", grant.index),
    }
}

/// A brief description, 164.528(b)(2)(iii).
fn description(disclosure: &Disclosure) -> String {
    let classes: Vec<&str> = disclosure.classes.iter().map(DataClass::name).collect();
    let codes: Vec<String> = disclosure.codes.listed().iter().map(ToString::to_string).collect();
    let kinds = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    format!("{}{kinds}", classes.join(", "))
}

/// A brief statement of the purpose, 164.528(b)(2)(iv).
const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Treatment => "treatment",
        Purpose::Payment => "payment",
        Purpose::Operations => "health care operations",
        Purpose::Research => "research",
        Purpose::PatientRequest => "at the patient's request",
        Purpose::Emergency => "emergency treatment",
        Purpose::PublicHealth => "public health",
    }
}

fn time(time: TimeMs) -> String {
    instant(time).unwrap_or_else(|| "beyond the year 9999".to_owned())
}

fn document(accounting: &Accounting, rows: &[[String; 12]]) -> Vec<String> {
    let window = &accounting.window;
    let mut lines = vec![
        "Accounting of disclosures (45 CFR 164.528)".to_owned(),
        format!("from {} to {}", time(window.from()), time(window.until())),
        String::new(),
    ];
    for [first, last, times, recipient, organisation, roles, description, from, until, why, ..] in rows {
        let dates = if times == "1" { first.clone() } else { format!("{first} to {last}, {times} times") };
        let roles = if roles.is_empty() { String::new() } else { format!(", {roles}") };
        lines.push(dates);
        lines.push(format!("  to   {organisation}{roles} (party {recipient})"));
        lines.push(format!("  of   {description}, measured {from} to {until}"));
        lines.push(format!("  for  {why}"));
    }
    let (count, height) = (rows.len(), accounting.at.height);
    lines.push(format!("{count} entries; that nothing is missing is proven as of height {height}"));
    lines.push(
        "No disclosure is left out at anybody's word: an accounting by Salus cannot be suspended.".to_owned(),
    );
    if accounting.void > 0 {
        lines
            .push(format!("{} accesses were sealed wrongly: nothing was released for them", accounting.void));
    }
    lines
}

fn value(accounting: &Accounting, rows: &[[String; 12]]) -> Value {
    let entry = |row: &[String; 12]| -> Value {
        COLUMNS.iter().zip(row).map(|(name, text)| ((*name).to_owned(), json!(text))).collect()
    };
    json!({
        "height": accounting.at.height.get(),
        "complete": true,
        "from": time(accounting.window.from()),
        "until": time(accounting.window.until()),
        "disclosures": rows.iter().map(entry).collect::<Vec<_>>(),
        "void": accounting.void,
    })
}

fn text(rows: &[[String; 12]]) -> String {
    let header = COLUMNS.join(",");
    let rows = rows.iter().map(|row| row.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
    std::iter::once(header).chain(rows).map(|line| line + "\r\n").collect()
}

/// A cell that spreadsheets take as text, whatever an organisation is called.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_it_holds() {
        for (cell, written) in [
            ("St. Mary", "\"St. Mary\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("@x", "\"'@x\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(cell), written);
        }
        let row = COLUMNS.map(str::to_owned);
        let written = text(&[row]);
        assert_eq!(written.lines().count(), 2);
        assert!(written.lines().all(|line| line.split(',').count() == COLUMNS.len()));
    }
}
