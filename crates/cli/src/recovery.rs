//! `salus recovery`: a patient prepares for the loss of their wallet, guardians approve a new one, and it comes in
//! the place of the lost one.

use crate::args::{Place, RecoveryCommand};
use crate::files::{load, store};
use crate::grant::{TAKEN_MAX, finish_earlier, taken};
use crate::output::{Failure, Report};
use crate::patient::wallet;
use crate::read::fault_line;
use crate::session::{Session, rng};
use salus_client::drive::now;
use salus_client::listing::ListedGrant;
use salus_client::recovery::veto as veto_tx;
use salus_client::{ApprovalFile, AskFile, CaseStages, Fault, GuardianFile, RecoveryWish, VetoFile, Wallet};
use salus_consent::Stage;
use salus_crypto::kem::KemPublicKey;
use salus_wire::limits::{
    GUARDIANS_MAX, RECOVERY_DELAY_MS_MAX, RECOVERY_DELAY_MS_MIN, RECOVERY_DELAY_MS_SAFE,
};
use salus_wire::recovery::{RecoveryTerms, case_id};
use salus_wire::state::Standing;
use salus_wire::{Code, GrantTag, StateKey, StateValue, Tx};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) async fn run(command: &RecoveryCommand) -> Result<Report, Failure> {
    match command {
        RecoveryCommand::Prepare { place, wallet, guardians, needed, delay, veto } => {
            let session = Session::operator(place)?;
            if guardians.is_empty() {
                return bring(&session, wallet).await;
            }
            let wanted = Wanted { guardians, needed: *needed, delay_ms: *delay, veto: veto.as_deref() };
            prepare(&session, wallet, &wanted).await
        }
        RecoveryCommand::Start { out, ask } => start(out, ask),
        RecoveryCommand::Approve { place, guardian, ask, fingerprint, out } => {
            approve(place, &Given { guardian, ask, fingerprint, out }).await
        }
        RecoveryCommand::Open { place, wallet, approvals } => open(place, wallet, approvals).await,
        RecoveryCommand::Finish { place, wallet } => finish(place, wallet).await,
        RecoveryCommand::Status { place, wallet: Some(wallet), .. } => status(place, wallet).await,
        RecoveryCommand::Status { place, guardian, .. } => guardian_status(place, guardian.as_deref()).await,
        RecoveryCommand::Veto { place, wallet, veto } => {
            vetoed(place, wallet.as_deref(), veto.as_deref()).await
        }
    }
}

/// What a patient asks to be prepared.
struct Wanted<'a> {
    guardians: &'a [PathBuf],
    needed: u16,
    delay_ms: u64,
    veto: Option<&'a Path>,
}

/// What a guardian has when they approve.
struct Given<'a> {
    guardian: &'a Path,
    ask: &'a Path,
    fingerprint: &'a str,
    out: &'a Path,
}

impl Wanted<'_> {
    fn wish(&self) -> Result<RecoveryWish, Failure> {
        let usage = |detail: String| Failure::new(Code::Usage, detail);
        let count = self.guardians.len();
        let guardians = u16::try_from(count).unwrap_or(u16::MAX);
        if count > GUARDIANS_MAX || self.needed < 2 || self.needed > guardians {
            return Err(usage(format!(
                "{} of {count} guardians cannot be asked for: at least 2, and {GUARDIANS_MAX} in all",
                self.needed
            )));
        }
        if !(RECOVERY_DELAY_MS_MIN..=RECOVERY_DELAY_MS_MAX).contains(&self.delay_ms) {
            return Err(usage("a delay is from a second to 90 days".to_owned()));
        }
        let files: Vec<&Path> = self.guardians.iter().map(PathBuf::as_path).chain(self.veto).collect();
        new_files(&files)?;
        let (needed, delay_ms, veto_apart) = (self.needed, self.delay_ms, self.veto.is_some());
        Ok(RecoveryWish { guardians, needed, delay_ms, veto_apart })
    }
}

async fn prepare(session: &Session, path: &Path, wanted: &Wanted<'_>) -> Result<Report, Failure> {
    let wish = wanted.wish()?;
    let _ = finish_earlier(session, path).await?;
    let owner = wallet(path)?;
    for prepared in &owner.prepared {
        if stands(session, prepared.entry(&owner.chain())).await? {
            let detail =
                format!("entry {} stands: withdraw it with `salus grant revoke` first", prepared.index);
            return Err(Failure::new(Code::Usage, detail));
        }
    }
    commit(session, path, wanted, &wish).await?;
    let report = bring(session, path).await?;
    let short = wish.delay_ms < RECOVERY_DELAY_MS_SAFE;
    Ok(report
        .lines(wanted.guardians.iter().map(|file| {
            format!("give `{}` to a guardian and remove it here; alone it opens nothing", file.display())
        }))
        .line("recovery is for trials yet: docs/roadmap.md says what it does not withstand")
        .lines(short.then(|| "warning: a delay below 24 hours leaves no time to notice and veto".to_owned())))
}

/// Writes guardians' files and commits the preparation; all anew at the next place when another took the tag first.
async fn commit(
    session: &Session,
    path: &Path,
    wanted: &Wanted<'_>,
    wish: &RecoveryWish,
) -> Result<(), Failure> {
    for _ in 0..TAKEN_MAX {
        let mut owner = wallet(path)?;
        let (files, veto) =
            owner.prepare_recovery(session.chain(), session.consortium.faults(), wish, &mut rng()?)?;
        // Guardians' files first: what is on the ledger without them would help nobody.
        for (file, guardian) in wanted.guardians.iter().zip(&files) {
            store(file, guardian)?;
        }
        if let (Some(file), Some(veto)) = (wanted.veto, &veto) {
            store(file, veto)?;
        }
        store(path, &owner)?;
        if settle(session, path).await? {
            return Ok(());
        }
    }
    Err(taken())
}

/// Sees the preparation final that an earlier command left in the wallet, if there is one. `false` when another took
/// its tag: it is passed over.
pub(crate) async fn settle(session: &Session, path: &Path) -> Result<bool, Failure> {
    let mut owner = wallet(path)?;
    let unsettled = owner.prepared.iter_mut().find(|prepared| !prepared.settled);
    let Some(prepared) = unsettled else { return Ok(true) };
    let index = prepared.index;
    let ours = match session.submit(&prepared.tx).await {
        Err(failure) if failure.code == Code::AlreadyExists => false,
        committed => committed.map(|_| true)?,
    };
    if ours {
        prepared.settled = true;
    } else {
        owner.passed_over(index);
    }
    store(path, &owner)?;
    Ok(ours)
}

/// Brings every custodian its part of the last preparation.
async fn bring(session: &Session, path: &Path) -> Result<Report, Failure> {
    if !settle(session, path).await? {
        let detail = "another took the preparation's tag first: name guardians again, for new files";
        return Err(Failure::new(Code::AlreadyExists, detail));
    }
    let owner = wallet(path)?;
    let nothing = || Failure::new(Code::Usage, "nothing is prepared: name guardians");
    let prepared = owner.prepared.last().ok_or_else(nothing)?;
    let genesis = session.consortium.genesis();
    let keys: Vec<KemPublicKey> = genesis.members.iter().map(|member| member.custodian.clone()).collect();
    let deposits = owner.recovery_deposits(session.chain(), prepared, &keys, &mut rng()?);
    let lost = || Failure::new(Code::Internal, "the wallet has no key of its preparation");
    let (kept, refused) = session.client.keep_recovery(deposits.ok_or_else(lost)?).await;
    let (kept, wanted) = (kept.len(), usize::from(session.consortium.faults().quorum()));
    if kept < wanted {
        let said: Vec<String> = refused.iter().map(fault_line).collect();
        let text = format!(
            "{kept} custodians are prepared and {wanted} must be; run this again without --guardian\n{}",
            said.join("\n")
        );
        return Err(Failure::new(Code::TooFewShares, text));
    }
    let (index, terms) = (prepared.index, &prepared.terms);
    let guardians = terms.guardians.len();
    Ok(Report::new(json!({
        "entry": index, "guardians": guardians, "needed": terms.needed, "delay_ms": terms.delay_ms,
        "custodians": kept, "faults": faults_value(&refused),
    }))
    .line(format!(
        "entry {index}: {} of {guardians} guardians and the custodians give this wallet back after {} s; {kept} custodians are prepared",
        terms.needed,
        terms.delay_ms / 1_000
    ))
    .lines(refused.iter().map(fault_line)))
}

/// Nothing is written over, and no two things to one file: what a guardian or a new wallet holds cannot be made again.
fn new_files(files: &[&Path]) -> Result<(), Failure> {
    for (nth, file) in files.iter().enumerate() {
        if file.exists() {
            return Err(Failure::new(Code::Usage, format!("`{}` exists already", file.display())));
        }
        if files.iter().skip(nth.saturating_add(1)).any(|other| other == file) {
            return Err(Failure::new(Code::Usage, format!("`{}` is named twice", file.display())));
        }
    }
    Ok(())
}

fn start(out: &Path, ask: &Path) -> Result<Report, Failure> {
    new_files(&[out, ask])?;
    let (wallet, question) = Wallet::replacing(now(), &mut rng()?);
    let fingerprint = hex::encode(question.fingerprint());
    store(out, &wallet)?;
    store(ask, &question)?;
    Ok(Report::new(json!({ "wallet": out, "ask": ask, "fingerprint": fingerprint }))
        .line(format!(
            "give `{}` to your guardians today, and tell them by voice: {fingerprint}",
            ask.display()
        ))
        .line(format!("`{}` grants nothing until its recovery is finished", out.display())))
}

async fn approve(place: &Place, given: &Given<'_>) -> Result<Report, Failure> {
    new_files(&[given.out])?;
    let session = Session::operator(place)?;
    let file: GuardianFile = load(given.guardian)?;
    let question: AskFile = load(given.ask)?;
    let fingerprint = hex::encode(question.fingerprint());
    let told: String = given.fingerprint.chars().filter(char::is_ascii_alphanumeric).collect();
    if told.to_ascii_lowercase() != fingerprint {
        let detail =
            "this is not the wallet of which you were told: nothing is approved, ask the patient again";
        return Err(Failure::new(Code::RecoveryApproval, detail));
    }
    let cases = cases(&session, &file.terms, file.entry).await?;
    if let Some((place, stage)) = numbered(&cases).find(|(_, stage)| lives(stage)) {
        let detail = format!("case {place} is {}: nothing else can be approved", stage_name(&stage));
        return Err(Failure::new(Code::AlreadyExists, detail));
    }
    let free = numbered(&cases).find(|(_, stage)| *stage == Stage::Free);
    let used_up = || Failure::new(Code::RecoveryVetoed, "every case of this preparation is used up");
    let (place, _) = free.ok_or_else(used_up)?;
    let approval = file.approve(session.chain(), &question, place, now(), &mut rng()?)?;
    store(given.out, &approval)?;
    Ok(Report::new(json!({ "case": place, "approval": given.out, "fingerprint": fingerprint }))
        .line(format!("approved the wallet {fingerprint} for case {place}"))
        .line(format!("give `{}` to the patient", given.out.display())))
}

async fn open(place: &Place, path: &Path, files: &[PathBuf]) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let mut new = wallet(path)?;
    if stands_already(&session, &mut new).await? {
        return status_of(&session, &new).await;
    }
    let approvals: Result<Vec<ApprovalFile>, Failure> = files.iter().map(|file| load(file)).collect();
    let tx = new.open_case(session.chain(), &approvals?, now())?.tx.clone();
    store(path, &new)?;
    let height = session.submit(&tx).await?.at.height;
    let report = status_of(&session, &new).await?;
    Ok(report
        .line(format!("the case is open since height {height}; whoever holds the lost wallet can veto it")))
}

/// Whether the case that the wallet opened stands on the ledger and may come to something; one that cannot is given
/// up, so that another can be opened.
async fn stands_already(session: &Session, new: &mut Wallet) -> Result<bool, Failure> {
    let Some(case) = new.recovering.as_ref().and_then(|recovering| recovering.case.as_ref()) else {
        return Ok(false);
    };
    let (key, place) = (StateKey::Case(case_id(&case.tx.signer)), case.place());
    let found = cases(session, &case.terms, case.entry).await?;
    let entry = session.client.entry(key, session.home, &session.policy()?).await?;
    let stage = numbered(&found).find(|(number, _)| *number == place).map(|(_, stage)| stage);
    match (entry, stage) {
        (Some(StateValue::Case(record)), Some(stage)) => Ok(!new.give_up_case(&record, stage)),
        _ => Ok(false),
    }
}

async fn finish(place: &Place, path: &Path) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let mut new = wallet(path)?;
    let keys: Vec<_> = session.consortium.genesis().members.iter().map(|member| member.service).collect();
    let faults = session.consortium.faults();
    let silent = session.client.recover(session.chain(), faults, &keys, &mut new).await?;
    store(path, &new)?;
    let gateway = new.writer.to_string();
    Ok(Report::new(json!({ "gateway": gateway, "faults": faults_value(&silent) }))
        .line(
            "this wallet has come in the place of the lost one, which is dead, with every grant that it made",
        )
        .line("grant anew, prepare for emergencies anew, and prepare the recovery of this wallet")
        .lines(silent.iter().map(fault_line))
        .lines((!silent.is_empty()).then(|| "give this again when those members are back".to_owned())))
}

async fn status(place: &Place, path: &Path) -> Result<Report, Failure> {
    status_of(&Session::operator(place)?, &wallet(path)?).await
}

/// What a wallet prepared, and the case by which it comes in another's place.
async fn status_of(session: &Session, owner: &Wallet) -> Result<Report, Failure> {
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for prepared in &owner.prepared {
        let found = cases(session, &prepared.terms, prepared.entry(&owner.chain())).await?;
        lines.push(format!("entry {} prepares the recovery of this wallet:", prepared.index));
        lines.extend(case_lines(&found));
        values.push(json!({ "entry": prepared.index, "cases": cases_value(&found) }));
    }
    let recovering = owner.recovering.as_ref();
    let mut replacing = Value::Null;
    if let Some(case) = recovering.and_then(|recovering| recovering.case.as_ref()) {
        let found = cases(session, &case.terms, case.entry).await?;
        lines.push("this wallet comes in the place of another:".to_owned());
        lines.extend(case_lines(&found));
        replacing = cases_value(&found);
    }
    let done = recovering.is_none_or(|recovering| recovering.done);
    if lines.is_empty() {
        lines.push("nothing is prepared".to_owned());
    }
    Ok(Report::new(json!({ "prepared": values, "replacing": replacing, "done": done })).lines(lines))
}

async fn guardian_status(place: &Place, path: Option<&Path>) -> Result<Report, Failure> {
    let path = path.ok_or_else(|| Failure::new(Code::Usage, "name a wallet or a guardian's file"))?;
    let file: GuardianFile = load(path)?;
    let found = cases(&Session::operator(place)?, &file.terms, file.entry).await?;
    let (guardians, needed) = (file.terms.guardians.len(), file.terms.needed);
    Ok(Report::new(json!({ "guardians": guardians, "needed": needed, "cases": cases_value(&found) }))
        .line(format!(
            "guardian {} of {guardians}, of whom {needed} must approve",
            file.guardian.saturating_add(1)
        ))
        .lines(case_lines(&found)))
}

/// Vetoes whatever can end the wallet, all at once.
async fn vetoed(place: &Place, path: Option<&Path>, apart: Option<&Path>) -> Result<Report, Failure> {
    let session = Session::operator(place)?;
    let chain = session.chain();
    let mut vetoes: Vec<(u16, Tx)> = Vec::new();
    if let Some(file) = apart {
        let kept: VetoFile = load(file)?;
        for place in open_cases(&session, &kept.terms, kept.entry).await? {
            vetoes.push((place, kept.veto(chain, place)?));
        }
    } else {
        let owner = wallet(path.ok_or_else(|| Failure::new(Code::Usage, "name a wallet or a veto's file"))?)?;
        for prepared in &owner.prepared {
            let open = open_cases(&session, &prepared.terms, prepared.entry(&owner.chain())).await?;
            for place in open {
                let apart = || Failure::new(Code::Usage, "the veto is kept apart: give its file with --veto");
                let secret = prepared.vetoes.as_ref().ok_or_else(apart)?;
                vetoes.push((place, veto_tx(chain, &prepared.terms, secret, place)?));
            }
        }
    }
    if vetoes.is_empty() {
        return Err(Failure::new(Code::NotFound, "no case is open that could be vetoed"));
    }
    let (mut places, mut lines) = (Vec::new(), Vec::new());
    for (place, tx) in vetoes {
        let height = session.submit(&tx).await?.at.height;
        lines.push(format!("case {place} is vetoed, final at height {height}; it is dead for good"));
        places.push(place);
    }
    Ok(Report::new(json!({ "cases": places })).lines(lines))
}

/// The places of cases that can still end the chain, and can still be vetoed.
async fn open_cases(session: &Session, terms: &RecoveryTerms, entry: GrantTag) -> Result<Vec<u16>, Failure> {
    let found = cases(session, terms, entry).await?;
    let open = |stage: Stage| matches!(stage, Stage::Open { .. } | Stage::Behind);
    Ok(numbered(&found).filter(|(_, stage)| open(*stage)).map(|(place, _)| place).collect())
}

/// The notice that whoever lists anything with a wallet is given: cases that are open, or have ended it, what was
/// prepared by somebody else, and what was withdrawn.
pub(crate) async fn notice(
    session: &Session,
    path: &Path,
    listed: &[ListedGrant],
) -> Result<Vec<String>, Failure> {
    let owner = wallet(path)?;
    let mut lines = Vec::new();
    let others = |listed: &&ListedGrant| {
        listed.recovery && !owner.prepared.iter().any(|prepared| prepared.index == listed.index)
    };
    lines.extend(listed.iter().filter(others).map(|listed| {
        format!(
            "NOTICE: entry {} prepares a recovery that is not of this wallet's making: somebody has a copy of it",
            listed.index
        )
    }));
    for (nth, prepared) in owner.prepared.iter().enumerate() {
        let found = cases(session, &prepared.terms, prepared.entry(&owner.chain())).await?;
        let last = nth.saturating_add(1) == owner.prepared.len();
        if let Some(at) = found.withdrawn.filter(|_| last) {
            lines.push(format!(
                "NOTICE: the recovery of this wallet was withdrawn at height {}; if it was not you, somebody has a copy of it: have your guardians open a case within {} s of that, or prepare anew",
                at.height,
                prepared.terms.delay_ms / 1_000
            ));
        }
        for (place, stage) in numbered(&found).filter(|(_, stage)| lives(stage)) {
            lines.push(match stage {
                Stage::Over => "NOTICE: a recovery has ended this wallet; another has come in its place".to_owned(),
                stage => format!(
                    "NOTICE: somebody opened case {place} to take this wallet's place ({}); if it is not you, run `salus recovery veto`",
                    stage_name(&stage)
                ),
            });
        }
    }
    Ok(lines)
}

async fn stands(session: &Session, entry: GrantTag) -> Result<bool, Failure> {
    let entry = session.client.entry(StateKey::Grant(entry), session.home, &session.policy()?).await?;
    Ok(matches!(entry, Some(StateValue::Grant(record)) if record.standing == Standing::Active))
}

async fn cases(session: &Session, terms: &RecoveryTerms, entry: GrantTag) -> Result<CaseStages, Failure> {
    Ok(session.client.cases(terms, entry, session.home, &session.policy()?).await?)
}

fn numbered(cases: &CaseStages) -> impl Iterator<Item = (u16, Stage)> + '_ {
    (1_u16..).zip(cases.stages.iter().copied())
}

/// Whether it can end the chain, or has.
fn lives(stage: &Stage) -> bool {
    matches!(stage, Stage::Open { .. } | Stage::Behind | Stage::Over)
}

fn stage_name(stage: &Stage) -> String {
    match stage {
        Stage::Free => "free".to_owned(),
        Stage::Void => "void".to_owned(),
        Stage::Vetoed => "vetoed".to_owned(),
        Stage::Behind => "behind another".to_owned(),
        Stage::Open { ends } => format!("open, can be vetoed until {} ms", ends.get()),
        Stage::Over => "over".to_owned(),
    }
}

fn case_lines(cases: &CaseStages) -> Vec<String> {
    let used = numbered(cases).filter(|(_, stage)| *stage != Stage::Free);
    let mut lines: Vec<String> =
        used.map(|(place, stage)| format!("  case {place}: {}", stage_name(&stage))).collect();
    let height = cases.at.height;
    lines.push(format!(
        "  {} cases were opened; that there are no others is proven as of height {height}",
        lines.len()
    ));
    lines
}

fn cases_value(cases: &CaseStages) -> Value {
    let used = numbered(cases).filter(|(_, stage)| *stage != Stage::Free);
    let values: Vec<Value> = used
        .map(|(place, stage)| {
            let (name, ends) = match stage {
                Stage::Open { ends } => ("open".to_owned(), Some(ends.get())),
                stage => (stage_name(&stage), None),
            };
            json!({ "case": place, "stage": name, "ends_ms": ends })
        })
        .collect();
    json!(values)
}

fn faults_value(faults: &[Fault]) -> Vec<Value> {
    let value = |fault: &Fault| json!({ "member": fault.member.get(), "code": fault.code.to_string() });
    faults.iter().map(value).collect()
}
