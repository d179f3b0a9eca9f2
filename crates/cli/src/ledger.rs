//! `salus ledger`: the blocks as every member sees them, decoded. For auditors, and for whoever wants
//! to see for themselves how little is in there.

use crate::args::LedgerArgs;
use crate::output::{Failure, Report};
use crate::session::Session;
use salus_wire::ids::Height;
use salus_wire::rpc::FinalBlock;
use salus_wire::{Holder, Outcome, Tx, TxBody};
use serde_json::{Value, json};

/// Blocks in one answer of this command.
const BLOCKS_MAX: usize = 100_000;

/// Runs the command.
pub(crate) async fn run(args: &LedgerArgs) -> Result<Report, Failure> {
    let session = Session::operator(&args.place)?;
    let head = session.client.status(session.home).await?.head.height;
    let mut above = Height::new(args.from.saturating_sub(1));
    let mut transactions = Vec::new();
    let mut blocks = 0_usize;
    while above < head && blocks < BLOCKS_MAX {
        let answer = session.client.follow(session.home, above).await?;
        let Some(last) = answer.last() else { break };
        above = last.block.header.height;
        blocks = blocks.saturating_add(answer.len());
        transactions.extend(answer.iter().flat_map(decoded));
    }
    let lines: Vec<String> = transactions.iter().map(line).collect();
    let count = transactions.len();
    Ok(Report::new(json!({ "head": head.get(), "blocks": blocks, "transactions": transactions }))
        .lines(lines)
        .line(format!("{count} transactions in {blocks} blocks, up to height {head}")))
}

fn decoded(block: &FinalBlock) -> Vec<Value> {
    let height = block.block.header.height.get();
    let both = block.block.transactions.iter().zip(block.outcomes.iter());
    both.map(|(tx, outcome)| {
        json!({
            "height": height,
            "kind": kind(&tx.body),
            "outcome": match outcome {
                Outcome::Applied => "applied".to_owned(),
                Outcome::Refused(code) => code.to_string(),
            },
            "fields": fields(tx),
        })
    })
    .collect()
}

fn line(tx: &Value) -> String {
    let text = |name: &str| tx.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{:>8}  {:<18} {}", tx.get("height").unwrap_or(&Value::Null), text("kind"), text("outcome"))
}

const fn kind(body: &TxBody) -> &'static str {
    match body {
        TxBody::RegisterIdentity { .. } => "register identity",
        TxBody::RevokeIdentity { .. } => "revoke identity",
        TxBody::EnrolDevice { .. } => "enrol device",
        TxBody::RevokeDevice { .. } => "revoke device",
        TxBody::AssignDevice { .. } => "assign device",
        TxBody::Anchor { .. } => "anchor",
        TxBody::CommitGrant { .. } => "commit grant",
        TxBody::RevokeGrant { .. } => "revoke grant",
        TxBody::RecordAccess { .. } => "record access",
        TxBody::CloseReview { .. } => "close review",
        TxBody::PublishPolicy { .. } => "publish policy",
        TxBody::RecordDestruction { .. } => "record destruction",
        TxBody::OpenCase { .. } => "open case",
        TxBody::VetoCase { .. } => "veto case",
    }
}

/// Every value that the transaction puts on the ledger, in hexadecimal where it is bytes.
fn fields(tx: &Tx) -> Value {
    let body = match &tx.body {
        TxBody::RegisterIdentity { party, member, key, validity, roles, .. } => json!({
            "party": party.to_string(), "member": member.get(), "key": hex::encode(key.as_bytes()),
            "from": validity.from().get(), "until": validity.until().get(),
            "roles": roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        }),
        TxBody::RevokeIdentity { party } => json!({ "party": party.to_string() }),
        TxBody::EnrolDevice { enrolment, member } => {
            json!({ "enrolment": enrolment.to_string(), "member": member.get() })
        }
        TxBody::RevokeDevice { enrolment } => json!({ "enrolment": enrolment.to_string() }),
        TxBody::AssignDevice { assignment, member } => {
            json!({ "assignment": assignment.to_string(), "member": member.get() })
        }
        TxBody::Anchor { gateway, batch, root, held } => json!({
            "gateway": gateway.to_string(), "batch": batch.get(), "root": root.to_string(),
            "stores": held.iter().map(|held| held.store.get()).collect::<Vec<_>>(),
        }),
        TxBody::CommitGrant { tag, commitment, body } => json!({
            "tag": hex::encode(tag.0.as_bytes()), "commitment": commitment.to_string(), "body": hex::encode(&**body),
        }),
        TxBody::RevokeGrant { tag } => json!({ "tag": hex::encode(tag.0.as_bytes()) }),
        TxBody::RecordAccess { tag, commitment, body } => json!({
            "tag": hex::encode(tag.0.as_bytes()), "commitment": commitment.to_string(), "body": hex::encode(&**body),
        }),
        TxBody::CloseReview { member, officer, review, body } => json!({
            "member": member.get(), "officer": officer.to_string(), "review": review.to_string(),
            "body": hex::encode(&**body),
        }),
        TxBody::PublishPolicy { member, version, text } => json!({
            "member": member.get(), "version": version, "text": hex::encode(&**text),
        }),
        TxBody::RecordDestruction { order, holder, label } => json!({
            "order": hex::encode(order.0.as_bytes()), "label": label.to_string(),
            "holder": match holder {
                Holder::Member(member) => format!("member {member}"),
                Holder::Writer(party) => format!("writer {party}"),
            },
        }),
        TxBody::OpenCase { case, veto, commitment } => json!({
            "case": case.to_string(), "veto": hex::encode(veto.as_bytes()), "commitment": commitment.to_string(),
        }),
        TxBody::VetoCase { case } => json!({ "case": case.to_string() }),
    };
    json!({
        "body": body,
        "signer": hex::encode(tx.signer.as_bytes()),
        "signature": hex::encode(tx.signature.as_bytes()),
    })
}
