//! `salus grant`: a patient permits, withdraws and lists.

use crate::args::{GrantCommand, Place};
use crate::consent;
use crate::files::{load, store};
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::read::Wanted;
use crate::recovery;
use crate::session::{Session, rng};
use crate::terms::{self, Wish};
use crate::within::Release;
use salus_client::drive::now;
use salus_client::listing::{AccessList, ListedGrant};
use salus_client::{GrantFile, Wallet};
use salus_consent::{Ask, Named, judge};
use salus_crypto::chain::ChainSeed;
use salus_wire::consent::{Deny, Grant, Grantee};
use salus_wire::ids::{PartyId, TimeSpan};
use salus_wire::rpc::Committed;
use salus_wire::state::Standing;
use salus_wire::{Classes, Code, Codes, DataClass, Purpose, Purposes};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// Places of a chain that one command passes over.
pub(crate) const TAKEN_MAX: usize = 8;

/// Runs the command.
pub(crate) async fn run(command: &GrantCommand) -> Result<Report, Failure> {
    match command {
        GrantCommand::Create { place, wallet, terms, out, within } => {
            let session = Session::operator(place)?;
            let wish = Wish::of(terms, crate::patient::wallet(wallet)?.writer, now())?;
            let finished = finish_earlier(&session, wallet).await?;
            let (index, committed) = create_within(&session, wallet, &wish, out, within.release()).await?;
            Ok(created(finished, index, &committed, out))
        }
        GrantCommand::Replace { place, wallet, index, terms, out } => {
            let session = Session::operator(place)?;
            let wish = Wish::of(terms, crate::patient::wallet(wallet)?.writer, now())?;
            let finished = finish_earlier(&session, wallet).await?;
            // What cannot be granted must not end what was.
            wish.terms(&session).await?;
            let gone = revoke(&session, wallet, *index).await?.at.height;
            let (new, committed) = create(&session, wallet, &wish, out).await?;
            Ok(created(finished, new, &committed, out)
                .line(format!("grant {index} is withdrawn, final at height {gone}")))
        }
        GrantCommand::Explain { place, grant, party, classes, codes, purpose } => {
            let wanted = Wanted {
                classes: terms::classes(classes)?,
                codes: terms::codes(codes)?,
                purpose: (*purpose).into(),
            };
            explain(place, grant, *party, &wanted).await
        }
        GrantCommand::Consent { place, wallet, index, patient } => {
            consent::write(place, wallet, *index, patient.as_deref()).await
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
/// chain may ever be left out. Gives the grantee's file; none when another took the tag first.
pub(crate) async fn finish_earlier(session: &Session, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let _ = recovery::settle(session, path).await?;
    let mut wallet = wallet(path)?;
    let Some(pending) = &wallet.pending else { return Ok(None) };
    let file = path.with_extension(format!("{}.grant", pending.file.index));
    Ok(finish(session, path, &mut wallet, &file).await?.map(|_| file))
}

/// Commits a grant and writes the grantee's file. The wallet is stored before the ledger is asked.
pub(crate) async fn create(
    session: &Session,
    path: &Path,
    wish: &Wish,
    out: &Path,
) -> Result<(u16, Committed), Failure> {
    let mut wallet = wallet(path)?;
    for _ in 0..TAKEN_MAX {
        make(session, path, &mut wallet, wish).await?;
        if let Some(done) = finish(session, path, &mut wallet, out).await? {
            return Ok(done);
        }
    }
    Err(taken())
}

/// Makes a grant that waits in the wallet from now on, stored, and gives its number.
async fn make(session: &Session, path: &Path, wallet: &mut Wallet, wish: &Wish) -> Result<u16, Failure> {
    let terms = wish.terms(session).await?;
    let consent = wish.consent.as_ref().map(consent::kept).transpose()?;
    let index = wallet.grant(session.chain(), terms, &mut rng()?)?.file.index;
    wallet.consents.extend(consent.map(|consent| (index, consent)));
    store(path, wallet)?;
    Ok(index)
}

/// As [`create`], at a time that is drawn. Whoever ends the command before has lost nothing: the grant waits in the
/// wallet, and the next command that grants sees it final.
async fn create_within(
    session: &Session,
    path: &Path,
    wish: &Wish,
    out: &Path,
    release: Release,
) -> Result<(u16, Committed), Failure> {
    let at = release.draw(Instant::now(), &mut rng()?);
    let wait = async || {
        let if_ended =
            "nothing is lost, the grant is in the wallet and the next command that grants commits it first";
        let _wheel = at.is_ahead().then(|| release.tell(if_ended));
        at.come().await;
    };
    create_after(session, path, wish, out, wait).await
}

/// As [`create`], with the grant in the wallet now and on the ledger when `wait` is over.
pub(crate) async fn create_after(
    session: &Session,
    path: &Path,
    wish: &Wish,
    out: &Path,
    wait: impl AsyncFn(),
) -> Result<(u16, Committed), Failure> {
    let mut made = wallet(path)?;
    for _ in 0..TAKEN_MAX {
        let index = make(session, path, &mut made, wish).await?;
        wait().await;
        // Another command may have gone on with the wallet meanwhile.
        let mut latest = wallet(path)?;
        let done = if waits(&latest, index) {
            finish(session, path, &mut latest, out).await?
        } else {
            finished_by_another(session, &made, out).await?
        };
        if let Some(done) = done {
            return Ok(done);
        }
        made = latest;
    }
    Err(taken())
}

fn waits(wallet: &Wallet, index: u16) -> bool {
    wallet.pending.as_ref().is_some_and(|pending| pending.file.index == index)
}

/// Another command saw the grant final that waits in `made`, or found its tag taken. The grantee's file is written
/// here, too; the wallet is as that command left it.
async fn finished_by_another(
    session: &Session,
    made: &Wallet,
    out: &Path,
) -> Result<Option<(u16, Committed)>, Failure> {
    let Some(pending) = &made.pending else { return Ok(None) };
    match session.submit(&pending.tx).await {
        Err(failure) if failure.code == Code::AlreadyExists => Ok(None),
        committed => {
            let committed = committed?;
            store(out, &pending.file)?;
            Ok(Some((pending.file.index, committed)))
        }
    }
}

/// Somebody sees every tag of a chain on its way and is first.
pub(crate) fn taken() -> Failure {
    Failure::new(Code::AlreadyExists, "others keep taking the chain's next tag; send through another member")
}

/// Sees the pending grant of a wallet final, and writes the grantee's file; that of an emergency grant stays in
/// the wallet. `None` when another is proven to have taken its tag: it is passed over.
pub(crate) async fn finish(
    session: &Session,
    path: &Path,
    wallet: &mut Wallet,
    out: &Path,
) -> Result<Option<(u16, Committed)>, Failure> {
    let lost = || Failure::new(Code::Internal, "the wallet has no pending grant");
    let pending = wallet.pending.as_ref().ok_or_else(lost)?;
    let index = pending.file.index;
    let committed = match session.submit(&pending.tx).await {
        Err(failure) if failure.code == Code::AlreadyExists => {
            wallet.passed_over(index);
            store(path, wallet)?;
            return Ok(None);
        }
        committed => committed?,
    };
    let emergency = matches!(pending.file.grant.grantee, Grantee::Emergency { .. });
    if !emergency {
        store(out, &pending.file)?;
    }
    let file = wallet.settled(index);
    wallet.emergency.extend(file.filter(|_| emergency));
    store(path, wallet)?;
    Ok(Some((index, committed)))
}

/// Withdraws the grant at `index`. One that still waits is committed first: it would stand after its withdrawal.
pub(crate) async fn revoke(session: &Session, path: &Path, index: u16) -> Result<Committed, Failure> {
    let mut wallet = wallet(path)?;
    if waits(&wallet, index) {
        let file = path.with_extension(format!("{index}.grant"));
        let _ = finish(session, path, &mut wallet, &file).await?;
    }
    let tx = wallet.revoke(session.chain(), index);
    let tx = tx.ok_or_else(|| Failure::new(Code::Usage, format!("the wallet has no grant {index}")))?;
    session.submit(&tx).await
}

/// The list of everything under a wallet, proven complete.
pub(crate) async fn listing(session: &Session, path: &Path) -> Result<AccessList, Failure> {
    Ok(session.client.list(session.policy()?, session.home, wallet(path)?.chain()).await?)
}

/// The lists of the wallets in whose place this one has come, the first one first.
pub(crate) async fn lists_before(session: &Session, path: &Path) -> Result<Vec<AccessList>, Failure> {
    let mut lists = Vec::new();
    for seed in wallet(path)?.before {
        let seed = ChainSeed::new(seed.0);
        lists.push(session.client.list(session.policy()?, session.home, seed).await?);
    }
    Ok(lists)
}

async fn list(place: &Place, path: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let list = listing(&session, path).await?;
    let (height, count) = (list.at.height, list.grants.len());
    let grants: Vec<Value> = list.grants.iter().map(grant_value).collect();
    let notice = recovery::notice(&session, path, &list.grants).await?;
    let value = json!({ "height": height.get(), "complete": true, "grants": grants, "notice": notice });
    Ok(Report::new(value)
        .lines(notice)
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
        None if listed.erasure => {
            format!("entry {index} since height {height}: the order that everything be destroyed")
        }
        None if listed.recovery => {
            format!(
                "entry {index} since height {height}: the recovery of this wallet is prepared; {standing}"
            )
        }
        Some(grant) => {
            format!("grant {index} to {} since height {height}: {standing}", grantee(&grant.grantee))
        }
        None => format!("entry {index} since height {height}: not this wallet's; nothing opens by it"),
    }
}

fn grant_value(listed: &ListedGrant) -> Value {
    json!({
        "index": listed.index,
        "erasure": listed.erasure,
        "recovery": listed.recovery,
        "grantee": listed.grant.as_ref().map(|grant| grantee(&grant.grantee)),
        "terms": listed.grant.as_ref().map(terms_value),
        "since_height": listed.since.height.get(),
        "withdrawn_height": match listed.standing {
            Standing::Active => None,
            Standing::Revoked(at) => Some(at.height.get()),
        },
        "accesses": listed.accesses.len(),
    })
}

/// Whom a grant names.
fn grantee(grantee: &Grantee) -> String {
    match grantee {
        Grantee::Person { party, .. } => format!("party {party}"),
        Grantee::Application { party, .. } => format!("application {party}"),
        Grantee::Role { member, role } => format!("every {} of member {member}", role.name()),
        Grantee::Emergency { .. } => "every physician and nurse, in an emergency".to_owned(),
    }
}

/// What a grant says.
fn terms_value(grant: &Grant) -> Value {
    let span = |span: &TimeSpan| json!({ "from_ms": span.from().get(), "until_ms": span.until().get() });
    json!({
        "classes": class_names(grant.scope.classes),
        "codes": code_names(&grant.scope.codes),
        "measured": span(&grant.scope.span),
        "purposes": purpose_codes(grant.purposes),
        "valid": span(&grant.validity),
        "denies": grant.denies.iter().map(deny_value).collect::<Vec<_>>(),
    })
}

fn deny_value(deny: &Deny) -> Value {
    let span = |span: TimeSpan| json!({ "from_ms": span.from().get(), "until_ms": span.until().get() });
    json!({
        "party": deny.party.map(|party| party.to_string()),
        "purposes": deny.purposes.map(purpose_codes),
        "classes": deny.classes.map(class_names),
        "codes": code_names(&deny.codes),
        "measured": deny.span.map(span),
    })
}

fn class_names(classes: Classes) -> Vec<&'static str> {
    classes.iter().map(DataClass::name).collect()
}

fn purpose_codes(purposes: Purposes) -> Vec<&'static str> {
    purposes.iter().map(Purpose::code).collect()
}

/// `None` stands for every kind.
fn code_names(codes: &Codes) -> Option<Vec<String>> {
    let listed = codes.listed();
    (!listed.is_empty()).then(|| listed.iter().map(ToString::to_string).collect())
}

fn created(finished: Option<PathBuf>, index: u16, committed: &Committed, out: &Path) -> Report {
    let height = committed.at.height;
    Report::new(json!({ "index": index, "height": height.get(), "file": out, "finished": finished }))
        .lines(
            finished.map(|file| {
                format!("a grant that was cut short is final now; its file is `{}`", file.display())
            }),
        )
        .line(format!("grant {index} is final at height {height}"))
        .line(format!("give `{}` to the grantee", out.display()))
}

/// Judges by the terms of a grant alone, as every custodian would.
async fn explain(place: &Place, file: &Path, party: PartyId, wanted: &Wanted) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let file: GrantFile = load(file)?;
    let identity = session.identity(party).await?;
    let scope = wanted.scope(&file.grant.scope);
    let ask = Ask { party, identity: &identity, scope: &scope, purpose: wanted.purpose, at: now() };
    let grounds = judge(&file.grant, &ask)
        .map_err(|denied| Failure::new(denied.code(), format!("denied: {denied}")))?;
    let named = match grounds.named {
        Named::Person => "them by name".to_owned(),
        Named::Application => "this application".to_owned(),
        Named::Role(role) => format!("every {} of their member", role.name()),
        Named::Emergency(role) => format!("every {} in an emergency", role.name()),
    };
    let held_back = grounds.held_back.iter().map(deny_value).collect::<Vec<_>>();
    let count = held_back.len();
    let report = Report::new(json!({ "permitted": true, "named": named, "held_back": held_back }))
        .line(format!("permitted: the grant names {named}, and covers the classes, kinds, times and purpose"))
        .line("it is for custodians to see that it is not withdrawn");
    Ok(if count == 0 { report } else { report.line(format!("{count} rules of denial hold part of it back")) })
}
