//! `salus grant`: a patient permits, withdraws and lists.

use crate::args::{ClassArg, GrantCommand, Place, PurposeArg};
use crate::files::store;
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::session::{Session, rng};
use salus_client::Wallet;
use salus_client::drive::now;
use salus_client::grant::GrantTerms;
use salus_client::listing::{AccessList, ListedGrant};
use salus_wire::Code;
use salus_wire::consent::{Classes, DataClass, Purpose, Purposes};
use salus_wire::ids::{PartyId, TimeMs, TimeSpan};
use salus_wire::rpc::Committed;
use salus_wire::state::Standing;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HOUR_MS: u64 = 3_600_000;

/// What a grant is to say.
pub(crate) struct Wish<'a> {
    pub(crate) to: PartyId,
    pub(crate) classes: &'a [ClassArg],
    pub(crate) purposes: &'a [PurposeArg],
    pub(crate) back_hours: u64,
    pub(crate) hours: u64,
}

/// Runs the command.
pub(crate) async fn run(command: &GrantCommand) -> Result<Report, Failure> {
    match command {
        GrantCommand::Create { place, wallet, to, classes, purposes, back_hours, hours, out } => {
            let wish = Wish { to: *to, classes, purposes, back_hours: *back_hours, hours: *hours };
            let session = Session::operator(place)?;
            let finished = finish_earlier(&session, wallet).await?;
            let (index, committed) = create(&session, wallet, &wish, out).await?;
            let height = committed.at.height;
            let value = json!({ "index": index, "height": height.get(), "file": out, "finished": finished });
            Ok(Report::new(value)
                .lines(finished.map(|file| {
                    format!("a grant that was cut short is final now; its file is `{}`", file.display())
                }))
                .line(format!("grant {index} is final at height {height}"))
                .line(format!("give `{}` to the grantee", out.display())))
        }
        GrantCommand::Revoke { place, wallet, index } => {
            let session = Session::operator(place)?;
            let height = revoke(&session, wallet, *index).await?.at.height;
            Ok(Report::new(json!({ "index": index, "height": height.get() })).line(format!(
                "grant {index} is withdrawn, final at height {height}; no access ordered after it opens anything"
            )))
        }
        GrantCommand::List { place, wallet } => list(place, wallet).await,
    }
}

/// Sees the grant final that an earlier command left in the wallet, if there is one: no tag of a
/// chain may ever be left out. Gives the grantee's file.
async fn finish_earlier(session: &Session, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut wallet = wallet(path)?;
    let Some(pending) = &wallet.pending else { return Ok(None) };
    let file = path.with_extension(format!("{}.grant", pending.file.index));
    finish(session, path, &mut wallet, &file).await?;
    Ok(Some(file))
}

/// Commits a grant and writes the grantee's file. The wallet is stored before the ledger is asked.
pub(crate) async fn create(
    session: &Session,
    path: &Path,
    wish: &Wish<'_>,
    out: &Path,
) -> Result<(u16, Committed), Failure> {
    let mut wallet = wallet(path)?;
    let grantee_key = session.identity_key(wish.to).await?;
    let terms = terms(wish, grantee_key, now())?;
    wallet.grant(session.chain(), terms, &mut rng()?)?;
    store(path, &wallet)?;
    finish(session, path, &mut wallet, out).await
}

/// Sees the pending grant of a wallet final, and writes the grantee's file.
async fn finish(
    session: &Session,
    path: &Path,
    wallet: &mut Wallet,
    out: &Path,
) -> Result<(u16, Committed), Failure> {
    let lost = || Failure::new(Code::Internal, "the wallet has no pending grant");
    let pending = wallet.pending.as_ref().ok_or_else(lost)?;
    let committed = session.submit(&pending.tx).await?;
    store(out, &pending.file)?;
    let index = pending.file.index;
    let _ = wallet.settled(index);
    store(path, wallet)?;
    Ok((index, committed))
}

/// Withdraws the grant at `index`.
pub(crate) async fn revoke(session: &Session, path: &Path, index: u16) -> Result<Committed, Failure> {
    let tx = wallet(path)?.revoke(session.chain(), index);
    let tx = tx.ok_or_else(|| Failure::new(Code::Usage, format!("the wallet has no grant {index}")))?;
    session.submit(&tx).await
}

/// The list of everything under a wallet, proven complete.
pub(crate) async fn listing(session: &Session, path: &Path) -> Result<AccessList, Failure> {
    Ok(session.client.list(session.policy()?, session.home, wallet(path)?.chain()).await?)
}

async fn list(place: &Place, path: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let list = listing(&session, path).await?;
    let (height, count) = (list.at.height, list.grants.len());
    let grants: Vec<Value> = list.grants.iter().map(grant_value).collect();
    Ok(Report::new(json!({ "height": height.get(), "complete": true, "grants": grants }))
        .lines(list.grants.iter().map(grant_line))
        .line(format!("{count} grants; that there are no others is proven as of height {height}")))
}

/// One line about a grant.
pub(crate) fn grant_line(listed: &ListedGrant) -> String {
    let standing = match listed.standing {
        Standing::Active => "stands".to_owned(),
        Standing::Revoked(at) => format!("withdrawn at height {}", at.height),
    };
    let (index, height) = (listed.index, listed.since.height);
    match &listed.grant {
        Some(grant) => format!("grant {index} to party {} since height {height}: {standing}", grant.grantee),
        None => format!("grant {index} since height {height}: {standing}; its body does not open"),
    }
}

fn grant_value(listed: &ListedGrant) -> Value {
    json!({
        "index": listed.index,
        "grantee": listed.grant.as_ref().map(|grant| grant.grantee.to_string()),
        "since_height": listed.since.height.get(),
        "withdrawn_height": match listed.standing {
            Standing::Active => None,
            Standing::Revoked(at) => Some(at.height.get()),
        },
        "accesses": listed.accesses.len(),
    })
}

fn terms(
    wish: &Wish<'_>,
    grantee_key: salus_crypto::sign::PublicKey,
    now: TimeMs,
) -> Result<GrantTerms, Failure> {
    let usage = |what: &str| Failure::new(Code::Usage, what);
    let from = TimeMs::new(now.get().saturating_sub(wish.back_hours.saturating_mul(HOUR_MS)));
    let expires = now.plus_ms(wish.hours.saturating_mul(HOUR_MS));
    let span = TimeSpan::new(from, expires).ok_or_else(|| usage("the grant would cover no time"))?;
    let purposes: Vec<Purpose> = wish.purposes.iter().map(|purpose| Purpose::from(*purpose)).collect();
    Ok(GrantTerms {
        grantee: wish.to,
        grantee_key,
        classes: classes(wish.classes).ok_or_else(|| usage("the grant names no class"))?,
        span,
        purposes: Purposes::of(&purposes).ok_or_else(|| usage("the grant names no purpose"))?,
        expires,
    })
}

/// The set of classes named on the command line; `None` when it is empty.
pub(crate) fn classes(args: &[ClassArg]) -> Option<Classes> {
    let classes: Vec<DataClass> = args.iter().map(|class| DataClass::from(*class)).collect();
    Classes::of(&classes)
}
