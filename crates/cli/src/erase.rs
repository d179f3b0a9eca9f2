//! `salus erase`: a patient has everything under a wallet destroyed, sees who has signed for it, and a
//! gateway's operator has their part of it done.

use crate::args::{EraseCommand, Place};
use crate::files::{load, store};
use crate::grant::{TAKEN_MAX, finish_earlier, listing, revoke, taken};
use crate::output::{Failure, Report};
use crate::patient::{gateway_config, wallet};
use crate::read::fault_line;
use crate::session::{Session, rng};
use salus_client::erasure::{Addressees, Unnamed};
use salus_client::listing::ListedGrant;
use salus_client::{Errand, Fault, OrderFile, Receipts, Wallet};
use salus_wire::ids::MemberIndex;
use salus_wire::state::Standing;
use salus_wire::{Code, GrantTag, Height, Holder, StateKey};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Cells of the bar that shows how far a step is.
const BAR_CELLS: usize = 24;

/// Runs the command.
pub(crate) async fn run(command: &EraseCommand) -> Result<Report, Failure> {
    match command {
        EraseCommand::Order { place, wallet, out, leave_unnamed, and_wallet } => {
            let unnamed = if *leave_unnamed { Unnamed::Leave } else { Unnamed::Wait };
            order(place, wallet, out, unnamed, *and_wallet).await
        }
        EraseCommand::Status { place, wallet } => status(place, wallet).await,
        EraseCommand::Forget { place, gateway, order } => forget(place, gateway, order).await,
    }
}

async fn order(
    place: &Place,
    path: &Path,
    out: &Path,
    unnamed: Unnamed,
    and_wallet: bool,
) -> Result<Report, Failure> {
    let owner = wallet(path)?;
    if owner.data.is_some() || owner.recovering.is_some() {
        // Before anything is withdrawn: members would refuse it.
        return Err(Failure::new(
            Code::ChainMoved,
            "the data of a wallet that was recovered is not erased yet",
        ));
    }
    let session = Session::operator(place)?;
    let height = ordered(&session, path, out).await?;
    let errand = errand(&session, &wallet(path)?).await?;
    let mut faults = find(&session, path, &errand, height, unnamed).await?;
    faults.extend(destroy(&session, path, &errand).await?);
    let receipts = receipts(&session, &errand).await?;
    let mut report = report(&session, &receipts, &wallet(path)?)
        .line(format!("give `{}` to the operator of the gateway, for `salus erase forget`", out.display()))
        .lines(faults.iter().map(fault_line));
    if !and_wallet {
        return Ok(report);
    }
    if !receipts.complete() {
        return Ok(report.line("the wallet is kept until every holder has signed: give the order again then"));
    }
    destroy_wallet(&[path, out])?;
    if let Some(value) = report.value.as_object_mut() {
        value.insert("wallet_destroyed".to_owned(), json!(true));
    }
    Ok(report.line("the wallet is destroyed; nobody can tell any more which entries were the patient's"))
}

/// Withdraws what stands and sees the order final; gives the height at which that is so.
async fn ordered(session: &Session, path: &Path, out: &Path) -> Result<Height, Failure> {
    if wallet(path)?.order.is_none() {
        let _finished: Option<PathBuf> = finish_earlier(session, path).await?;
        // What others put under a tag of the chain is nobody's grant, and not the patient's to withdraw.
        let ours = |entry: &ListedGrant| entry.grant.is_some() || entry.recovery;
        let stands = |entry: &ListedGrant| ours(entry) && entry.standing == Standing::Active;
        for grant in listing(session, path).await?.grants.into_iter().filter(stands) {
            revoke(session, path, grant.index).await?;
        }
    }
    for _ in 0..TAKEN_MAX {
        let mut wallet = wallet(path)?;
        let order = wallet.order_erasure(session.chain(), &mut rng()?)?;
        let (index, tx, settled) = (order.index, order.tx.clone(), order.settled);
        if !settled {
            store(path, &wallet)?;
        }
        let committed = match session.submit(&tx).await {
            Err(failure) if failure.code == Code::AlreadyExists && !settled => {
                wallet.passed_over(index);
                store(path, &wallet)?;
                continue;
            }
            committed => committed?,
        };
        if let Some(order) = &mut wallet.order {
            order.settled = true;
        }
        store(path, &wallet)?;
        if let Some(file) = wallet.order_file() {
            store(out, &file)?;
        }
        return Ok(committed.at.height);
    }
    Err(taken())
}

/// Closes the chain everywhere and finds the fragments, unless an earlier life of this command has. What is
/// found is stored before anything is destroyed.
async fn find(
    session: &Session,
    path: &Path,
    errand: &Errand,
    height: Height,
    unnamed: Unnamed,
) -> Result<Vec<Fault>, Failure> {
    let mut wallet = wallet(path)?;
    let Some(order) = wallet.order.as_mut().filter(|order| order.epochs.is_none()) else {
        return Ok(Vec::new());
    };
    let bar = Bar::new("asking custodians", usize::from(errand.faults().members()));
    let found = session.client.close_chain(errand, height, unnamed, &|done| bar.show(done)).await;
    bar.end();
    let (found, faults) = found.map_err(|error| {
        let said: Vec<String> = error.faults().iter().map(fault_line).collect();
        let text =
            format!("{error}; nothing is destroyed yet, nothing is released any more\n{}", said.join("\n"));
        Failure::new(error.code(), text)
    })?;
    order.epochs = Some(found.epochs);
    order.unnamed = found.unnamed;
    store(path, &wallet)?;
    Ok(faults)
}

/// Destroys fragments, then shares, at every member that has not signed.
async fn destroy(session: &Session, path: &Path, errand: &Errand) -> Result<Vec<Fault>, Failure> {
    let missing = receipts(session, errand).await?.missing();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut wallet = wallet(path)?;
    let lost = || Failure::new(Code::Internal, "the wallet has no order");
    let epochs = wallet.order.as_mut().and_then(|order| order.epochs.as_mut()).ok_or_else(lost)?;
    let bar = Bar::new("destroying fragments", usize::from(errand.faults().members()));
    let mut faults = session.client.destroy_fragments(errand, epochs, &|done| bar.show(done)).await;
    bar.end();
    store(path, &wallet)?;
    // Who has not destroyed its fragments does not get to sign that it has.
    let willing: Vec<MemberIndex> =
        missing.into_iter().filter(|member| !faults.iter().any(|fault| fault.member == *member)).collect();
    let bar = Bar::new("destroying key shares", willing.len());
    faults.extend(session.client.finish_erasure(errand, &willing, &|done| bar.show(done)).await);
    bar.end();
    Ok(faults)
}

async fn status(place: &Place, path: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let wallet = wallet(path)?;
    let errand = errand(&session, &wallet).await?;
    Ok(report(&session, &receipts(&session, &errand).await?, &wallet))
}

async fn errand(session: &Session, wallet: &Wallet) -> Result<Errand, Failure> {
    let genesis = session.consortium.genesis();
    let to = Addressees {
        chain: session.chain(),
        faults: session.consortium.faults(),
        service_keys: genesis.members.iter().map(|member| member.service).collect(),
        writer_key: session.identity_key(wallet.writer).await?,
    };
    wallet.errand(to).ok_or_else(|| Failure::new(Code::NoOrder, "this wallet has ordered no erasure"))
}

async fn receipts(session: &Session, errand: &Errand) -> Result<Receipts, Failure> {
    Ok(session.client.receipts(errand, session.home, &session.policy()?).await?)
}

fn report(session: &Session, receipts: &Receipts, wallet: &Wallet) -> Report {
    let unnamed = wallet.order.as_ref().map_or(0, |order| order.unnamed);
    let faults = session.consortium.faults();
    let (count, members) = (receipts.count(), receipts.members.len());
    let (irrecoverable, complete) = (receipts.irrecoverable(faults), receipts.complete());
    let missing: Vec<u16> = receipts.missing().iter().map(|member| member.get()).collect();
    let signed: Vec<Option<u64>> =
        receipts.members.iter().map(|receipt| receipt.map(|at| at.height.get())).collect();
    let value = json!({
        "height": receipts.at.height.get(),
        "irrecoverable": irrecoverable,
        "complete": complete,
        "members": signed,
        "writer": receipts.writer.map(|at| at.height.get()),
        "missing": missing,
        "writer_missing": receipts.writer.is_none(),
        "unnamed": unnamed,
    });
    let verdict = match (irrecoverable, complete) {
        (_, true) => "complete: every holder has signed that nothing is left".to_owned(),
        (true, false) => {
            "irrecoverable: too few members can hold a key share still for anything to open, ever".to_owned()
        }
        (false, false) => {
            let needed = faults.quorum();
            format!("not irrecoverable yet: {needed} members must sign; give the order again")
        }
    };
    let absent =
        receipts.missing().into_iter().map(|member| format!("  missing: the receipt of member {member}"));
    let writer = receipts.writer.is_none().then(|| "  missing: the receipt of the gateway".to_owned());
    Report::new(value)
        .line(format!("{count} of {members} members have signed, as of height {}", receipts.at.height))
        .line(verdict)
        .lines(absent)
        .lines(writer)
        .lines((unnamed > 0).then(|| {
            format!(
                "the fragments of {unnamed} epochs could not be named and stay, as ciphertext without a key"
            )
        }))
}

/// As the operator of the gateway: sees the order stand, and forgets.
async fn forget(place: &Place, gateway: &str, file: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let config = gateway_config(&session.layout, gateway)?;
    let order: OrderFile = load(file)?;
    let entry = session.client.entry(StateKey::Grant(order.tag()), session.home, &session.policy()?).await?;
    let grants = entry
        .and_then(|entry| order.chain_of(&entry, config.party))
        .ok_or_else(|| Failure::new(Code::NoOrder, "the file is of no order for this gateway"))?;
    obeyed(&session, order.tag()).await?;
    let (assignments, frames) = salus_gateway::forget::forget(&config, order.tag(), &grants, &mut rng()?)
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    Ok(Report::new(json!({ "assignments": assignments, "frames": frames }))
        .line(format!("{assignments} assignments and {frames} refused frames are gone"))
        .line("the gateway drops what is in its queue, and then signs; see `salus erase status`"))
}

/// Whether n - f members have signed that they obeyed. One of them at least is honest and knows whether the chain's
/// recovery is under way or has ended it: before, a gateway would destroy at the word of whoever has the wallet.
async fn obeyed(session: &Session, order: GrantTag) -> Result<(), Failure> {
    let faults = session.consortium.faults();
    let (mut signed, needed) = (0_u16, faults.quorum());
    for member in (0..faults.members()).map(MemberIndex::new) {
        let key = StateKey::Destruction(order, Holder::Member(member));
        let entry = session.client.entry(key, session.home, &session.policy()?).await?;
        signed = signed.saturating_add(u16::from(entry.is_some()));
    }
    match signed >= needed {
        true => Ok(()),
        false => Err(Failure::new(
            Code::NoOrder,
            format!(
                "{signed} members have signed that they obeyed it, and {needed} must have before: have the patient give `salus erase order` again"
            ),
        )),
    }
}

/// Files that only the patient had. What was written over on a modern disk need not be gone; without these
/// names nobody is pointed to it.
fn destroy_wallet(files: &[&Path]) -> Result<(), Failure> {
    for file in files {
        std::fs::remove_file(file).map_err(|error| Failure::file(file, error))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Failure::file(folder, error))?;
    }
    Ok(())
}

/// How far a step is, for whoever watches a terminal.
struct Bar {
    what: &'static str,
    all: usize,
    shown: bool,
}

impl Bar {
    fn new(what: &'static str, all: usize) -> Self {
        let bar = Self { what, all, shown: std::io::stderr().is_terminal() };
        bar.show(0);
        bar
    }

    fn show(&self, done: usize) {
        if self.shown {
            let full =
                done.saturating_mul(BAR_CELLS).checked_div(self.all).unwrap_or(BAR_CELLS).min(BAR_CELLS);
            let (full, empty) = ("#".repeat(full), "-".repeat(BAR_CELLS.saturating_sub(full)));
            let mut err = std::io::stderr();
            let _ = write!(err, "\r{:<22} [{full}{empty}] {done}/{}", self.what, self.all);
            let _ = err.flush();
        }
    }

    fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}
