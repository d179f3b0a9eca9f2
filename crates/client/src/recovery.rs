//! The patient's and the guardians' side of recovery (ADR 16): what is prepared and handed out, a guardian's
//! approval, the case, and what comes back. Pure: randomness, time and answers are arguments.
//!
//! A new wallet grants nothing before its recovery is done, and is stored before anything is asked of the ledger.

use crate::error::ClientError;
use crate::grant::{GRANTS_MAX, ORDER_PLACES, Wallet, copy, seal};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::CryptoRng;
use salus_consent::Stage;
use salus_crypto::chain::{ChainAnchor, ChainSeed};
use salus_crypto::digest::Digest;
use salus_crypto::kem::{KemPublicKey, KemSecretKey, Sealed};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{
    RecoveryPlan, guardians_key, is_custodians, is_guardians, open_package, prepare_recovery,
};
use salus_wire::ids::{ChainId, GrantTag, MemberIndex, PartyId, TimeMs};
use salus_wire::limits::{GRANT_PLAIN_BYTES, RECOVERY_ASK_MS_MAX, RECOVERY_OPEN_MS_MAX, RPC_BYTES_MAX};
use salus_wire::recovery::{
    Approval, Approvals, Case, RecoverRequest, RecoverTerms, Recovered, Recovery, RecoveryDeposit,
    RecoveryPackage, RecoveryPart, RecoveryTerms, approval_info, approval_message, ask_digest,
    case_commitment, case_id, opener_key, recover_message, recovered_info, recovered_message,
    recovery_commitment, recovery_deposit_info, recovery_deposit_message, terms_digest, veto_key,
};
use salus_wire::release::{ShareBytes, reader_digest};
use salus_wire::rpc::Request;
use salus_wire::state::{CaseRecord, Tip};
use salus_wire::tx::TxBody;
use salus_wire::{Faults, List, Tx, decode, encode, namespaces};
use std::collections::BTreeMap;

/// Bytes by which people compare a new wallet: finding another with the same takes 2^80 tries.
pub const FINGERPRINT_BYTES: usize = 10;

/// A preparation, as the wallet keeps it. It does not hold the guardians' shares or keys.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Prepared {
    /// Its place on the chain, from 1.
    pub index: u16,
    /// What commits it.
    pub tx: Tx,
    /// Whether it is proven final.
    pub settled: bool,
    /// What custodians and guardians know of it.
    pub terms: RecoveryTerms,
    /// Of which the keys that veto are made, unless the patient keeps that elsewhere.
    pub vetoes: Option<ShareBytes>,
    /// Custodians' shares, to bring them again to who was away.
    shares: Vec<ShareBytes>,
}

/// A recovery by which a wallet comes in the place of another.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Recovering {
    salt: [u8; 32],
    /// The seed of the key to which guardians and custodians seal.
    reader: ShareBytes,
    asked: TimeMs,
    /// The case, once enough guardians have approved it.
    pub case: Option<OpenedCase>,
    /// Whether the wallet has come in the other's place.
    pub done: bool,
}

/// A case that guardians approved.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct OpenedCase {
    /// The preparation's entry on the ledger.
    pub entry: GrantTag,
    /// What was prepared.
    pub terms: RecoveryTerms,
    /// What opens the case.
    pub tx: Tx,
    case: Case,
    approvals: Approvals,
    /// The guardians' key.
    guardians: ShareBytes,
}

/// What a guardian keeps. Secret: enough of these and enough custodians together open the wallet.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct GuardianFile {
    /// The guardian's place, from 0.
    pub guardian: u16,
    /// The preparation's entry on the ledger.
    pub entry: GrantTag,
    /// What was prepared.
    pub terms: RecoveryTerms,
    key: ShareBytes,
    /// One for each place: who is given one can open no other case.
    shares: Vec<ShareBytes>,
}

/// The secret of the veto, kept apart from the wallet, with all that it takes to use it.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct VetoFile {
    /// The preparation's entry on the ledger.
    pub entry: GrantTag,
    /// What was prepared.
    pub terms: RecoveryTerms,
    vetoes: ShareBytes,
}

/// What a new wallet gives its guardians. It holds no secret.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct AskFile {
    salt: [u8; 32],
    successor: ChainAnchor,
    reader: KemPublicKey,
    asked: TimeMs,
}

/// A guardian's approval and share, sealed to the new wallet.
#[derive(BorshSerialize, BorshDeserialize)]
pub struct ApprovalFile {
    name: Digest,
    sealed: Sealed,
}

/// The plaintext of an [`ApprovalFile`].
#[derive(BorshSerialize, BorshDeserialize)]
struct Approved {
    entry: GrantTag,
    terms: RecoveryTerms,
    case: Case,
    approval: Approval,
    share: ShareBytes,
}

/// How far the cases of a preparation are, as a recent proof shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseStages {
    /// The final block as of which this holds.
    pub at: Tip,
    /// When the preparation was withdrawn.
    pub withdrawn: Option<Tip>,
    /// By place, from 1.
    pub stages: Vec<Stage>,
}

/// What a patient decides when preparing.
pub struct RecoveryWish {
    /// How many guardians there are.
    pub guardians: u16,
    /// How many of them must approve.
    pub needed: u16,
    /// Milliseconds within which a case can be vetoed.
    pub delay_ms: u64,
    /// Whether the veto is to be kept elsewhere than in the wallet.
    pub veto_apart: bool,
}

impl Wallet {
    /// Prepares the recovery of this wallet; the preparation is then the last of [`Wallet::prepared`], not settled:
    /// the guardians' files must be written, then the wallet stored, then its transaction settled, and the wallet
    /// stored again. Gives the files, and that of the veto when it is kept apart.
    ///
    /// # Errors
    /// [`ClientError::GrantPending`] while an entry is; [`ClientError::Recovering`] until a recovery of this very
    /// wallet is done; [`ClientError::Erased`]; [`ClientError::ChainUsedUp`]; [`ClientError::BeyondGrant`] when
    /// the numbers do not fit together.
    pub fn prepare_recovery(
        &mut self,
        chain: ChainId,
        faults: Faults,
        wish: &RecoveryWish,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<GuardianFile>, Option<VetoFile>), ClientError> {
        self.may_commit()?;
        let index = self.next_index(GRANTS_MAX.saturating_sub(ORDER_PLACES))?;
        let (seed, vetoes) = (self.chain(), Secret::random(rng));
        let before = List::new(self.before.iter().map(|seed| ShareBytes(copy(seed))).collect());
        let package = RecoveryPackage {
            writer: self.writer,
            seed: ShareBytes(seed.to_secret()),
            data: self.data(),
            before: before.map_err(|_| ClientError::ChainUsedUp)?,
        };
        let plan = RecoveryPlan {
            chain: seed.anchor(),
            data: self.data(),
            delay_ms: wish.delay_ms,
            guardians: wish.guardians,
            needed: wish.needed,
            vetoes: &vetoes,
            package: &package,
        };
        let parts = prepare_recovery(faults, &plan, rng).ok_or(ClientError::BeyondGrant)?;
        let (tx, one_time) = committed(chain, &seed, index, &parts.terms, rng)?;
        let entry = GrantTag(seed.link(index).tag());
        let file = |(guardian, (key, shares)): (u16, (SigningKey, Vec<ShareBytes>))| GuardianFile {
            guardian,
            entry,
            terms: parts.terms.clone(),
            key: ShareBytes(key.seed_for_storage()),
            shares,
        };
        let files = (0_u16..).zip(parts.guardians).map(file).collect();
        self.one_time.push(ShareBytes(one_time.seed_for_storage()));
        let (terms, shares, vetoes) = (parts.terms, parts.custodians, ShareBytes(vetoes));
        let (kept, apart) = match wish.veto_apart {
            true => (None, Some(VetoFile { entry, terms: terms.clone(), vetoes })),
            false => (Some(vetoes), None),
        };
        self.prepared.push(Prepared { index, tx, settled: false, terms, vetoes: kept, shares });
        Ok((files, apart))
    }

    fn may_commit(&self) -> Result<(), ClientError> {
        let unsettled = self.prepared.iter().any(|prepared| !prepared.settled);
        match () {
            () if self.pending.is_some() || unsettled => Err(ClientError::GrantPending),
            () if self.order.is_some() => Err(ClientError::Erased),
            () if self.recovering.as_ref().is_some_and(|recovering| !recovering.done) => {
                Err(ClientError::Recovering)
            }
            () => Ok(()),
        }
    }

    /// What each custodian is brought of a preparation; `custodians` are their X-Wing keys by index. `None` when it
    /// is none of this wallet's, or a key is no key.
    #[must_use]
    pub fn recovery_deposits(
        &self,
        chain: ChainId,
        prepared: &Prepared,
        custodians: &[KemPublicKey],
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<RecoveryDeposit>> {
        let (seed, one_time) = (self.chain(), self.one_time_key(prepared.index)?);
        let link = seed.link(prepared.index);
        let entry = GrantTag(link.tag());
        let members = (0_u16..).map(MemberIndex::new).zip(custodians).zip(&prepared.shares);
        members
            .map(|((custodian, key), share)| {
                let part = RecoveryPart {
                    index: prepared.index,
                    link: ShareBytes(link.to_secret()),
                    body_key: ShareBytes(seed.body_key(prepared.index)),
                    terms: prepared.terms.clone(),
                    share: ShareBytes(copy(share)),
                };
                let info = recovery_deposit_info(chain, entry, custodian);
                let sealed = key.seal(&info, &[], &encode(&part), rng).ok()?;
                let message = recovery_deposit_message(chain, entry, custodian, &sealed);
                let signature = one_time.sign(namespaces::RECOVERY_DEPOSIT, &message);
                Some(RecoveryDeposit { entry, custodian, sealed, signature })
            })
            .collect()
    }

    /// A new wallet that is to come in the place of one that was lost, and what to give its guardians.
    pub fn replacing(now: TimeMs, rng: &mut impl CryptoRng) -> (Self, AskFile) {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let reader = KemSecretKey::generate(rng);
        // Who writes comes back with the rest.
        let mut wallet = Self::generate(PartyId::new([0; 16]), rng);
        let ask =
            AskFile { salt, successor: wallet.chain().anchor(), reader: reader.public_key(), asked: now };
        let reader = ShareBytes(reader.seed_for_storage());
        wallet.recovering = Some(Recovering { salt, reader, asked: now, case: None, done: false });
        (wallet, ask)
    }

    /// Makes the case of what guardians gave. The wallet must be stored, then the case's transaction settled. A case
    /// that was made stays as it is: what is on the ledger under its name must be what is asked for later. See
    /// [`Wallet::give_up_case`].
    ///
    /// # Errors
    /// [`ClientError::Recovery`] when too few good approvals are of one case for this wallet, or when it was made so
    /// long ago that the approvals would soon be too old.
    pub fn open_case(
        &mut self,
        chain: ChainId,
        files: &[ApprovalFile],
        now: TimeMs,
    ) -> Result<&OpenedCase, ClientError> {
        let successor = self.chain().anchor();
        let recovering =
            self.recovering.as_mut().ok_or(ClientError::Recovery { what: "this wallet recovers nothing" })?;
        recovering.young(now)?;
        let reader = KemSecretKey::from_seed(copy(&recovering.reader));
        let mut cases: BTreeMap<Vec<u8>, BTreeMap<u16, Approved>> = BTreeMap::new();
        for file in files {
            if let Some(approved) = opened(chain, &reader, file)
                && recovering.is_for(&approved.case, successor, &reader.public_key())
            {
                let of = encode(&(approved.entry, &approved.terms, &approved.case));
                cases.entry(of).or_default().insert(approved.approval.guardian, approved);
            }
        }
        let enough = |approved: &BTreeMap<u16, Approved>| {
            approved.values().next().is_some_and(|first| approved.len() >= usize::from(first.terms.needed))
        };
        let few = ClientError::Recovery { what: "too few guardians approved one and the same case" };
        if recovering.case.is_none() {
            let approved = cases.into_values().find(enough).ok_or(few)?;
            recovering.case = Some(opened_case(chain, approved)?);
        }
        recovering.case.as_ref().ok_or(ClientError::Recovery { what: "no case was opened" })
    }

    /// Forgets a case that can come to nothing, as a recent proof shows it: another stands under its name, or it was
    /// vetoed, or never counts. Another can be opened with new approvals then. Says whether it did.
    pub fn give_up_case(&mut self, record: &CaseRecord, stage: Stage) -> bool {
        let dead = |case: &mut OpenedCase| {
            case_commitment(&case.case, &case.approvals) != record.commitment
                || matches!(stage, Stage::Vetoed | Stage::Void)
        };
        self.recovering.as_mut().and_then(|recovering| recovering.case.take_if(dead)).is_some()
    }

    /// A request for one custodian's share; `None` when no case was opened.
    pub fn recover_request(
        &self,
        chain: ChainId,
        custodian: MemberIndex,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> Option<Request> {
        let recovering = self.recovering.as_ref()?;
        let opened = recovering.case.as_ref()?;
        let key = opener_key(&opened.guardians.0, &opened.terms.name, opened.case.place);
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let terms = RecoverTerms {
            custodian,
            nonce,
            sent: now,
            opener: key.public_key(),
            case: opened.case,
            approvals: opened.approvals.clone(),
            reader: KemSecretKey::from_seed(copy(&recovering.reader)).public_key(),
        };
        let signature = key.sign(namespaces::RECOVER_REQUEST, &recover_message(chain, &terms));
        Some(Request::Recover(RecoverRequest { terms, signature }))
    }

    /// The share in a custodian's answer, if that is what was prepared for it.
    #[must_use]
    pub fn recovered_share(
        &self,
        chain: ChainId,
        from: MemberIndex,
        service: &PublicKey,
        given: &Recovered,
    ) -> Option<ShareBytes> {
        let recovering = self.recovering.as_ref()?;
        let opened = recovering.case.as_ref()?;
        let message = recovered_message(chain, from, &opened.case, &given.sealed);
        service.verify(namespaces::RECOVERED, &message, &given.signature).ok()?;
        let reader = KemSecretKey::from_seed(copy(&recovering.reader));
        let plain = reader.open(&recovered_info(chain, from, &opened.case), &[], &given.sealed).ok()?;
        let share: ShareBytes = decode(&plain, RPC_BYTES_MAX).ok()?;
        (given.custodian == from && is_custodians(&opened.terms, from, &share)).then_some(share)
    }

    /// Takes the place of the lost wallet, with enough custodians' shares. The wallet must be stored then.
    ///
    /// # Errors
    /// [`ClientError::Recovery`] when the shares do not open what was prepared.
    pub fn take_the_place(&mut self, shares: &[(MemberIndex, ShareBytes)]) -> Result<(), ClientError> {
        let wrong = ClientError::Recovery { what: "what was prepared does not open, or is no wallet" };
        let Some(recovering) = &mut self.recovering else { return Err(wrong) };
        let Some(opened) = &recovering.case else { return Err(wrong) };
        let shares: Vec<(u16, ShareBytes)> =
            shares.iter().map(|(from, share)| (from.get(), ShareBytes(copy(share)))).collect();
        let package = match open_package(&opened.terms, opened.place(), &opened.guardians.0, &shares) {
            Ok(package) => package,
            Err(_) => return Err(wrong),
        };
        if ChainSeed::new(copy(&package.seed)).anchor() != opened.terms.chain
            || package.data != opened.terms.data
        {
            return Err(wrong);
        }
        recovering.done = true;
        self.writer = package.writer;
        self.data = Some(package.data);
        self.before = package.before.into_vec();
        self.before.push(package.seed);
        Ok(())
    }
}

impl Prepared {
    /// The preparation's entry on the ledger.
    #[must_use]
    pub fn entry(&self, chain: &ChainSeed) -> GrantTag {
        GrantTag(chain.link(self.index).tag())
    }
}

impl OpenedCase {
    /// Which of the places it takes, from 1.
    #[must_use]
    pub const fn place(&self) -> u16 {
        self.case.place
    }
}

impl VetoFile {
    /// The transaction that vetoes the case at a place, from 1.
    ///
    /// # Errors
    /// As [`veto`].
    pub fn veto(&self, chain: ChainId, place: u16) -> Result<Tx, ClientError> {
        veto(chain, &self.terms, &self.vetoes, place)
    }
}

/// The transaction that vetoes the case at a place, from 1, by the wallet's secret.
///
/// # Errors
/// [`ClientError::Recovery`] when the preparation has no such place, or the secret is of another.
pub fn veto(
    chain: ChainId,
    terms: &RecoveryTerms,
    vetoes: &ShareBytes,
    place: u16,
) -> Result<Tx, ClientError> {
    let key = veto_key(&vetoes.0, place);
    let named = terms.place(place).filter(|place| place.veto == key.public_key());
    let named = named.ok_or(ClientError::Recovery { what: "the secret of the veto is of another wallet" })?;
    Ok(Tx::sign(chain, TxBody::VetoCase { case: case_id(&named.opener) }, &key))
}

impl GuardianFile {
    /// Approves the new wallet that asks, for the case at `place`, with this guardian's share for that one alone.
    ///
    /// # Errors
    /// [`ClientError::Recovery`] when it asked longer than a day ago, or will, or its key is no key, or there is no
    /// such place.
    pub fn approve(
        &self,
        chain: ChainId,
        ask: &AskFile,
        place: u16,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> Result<ApprovalFile, ClientError> {
        let AskFile { salt, successor, reader, asked } = ask;
        if now.since_ms(*asked).max(asked.since_ms(now)) > RECOVERY_ASK_MS_MAX {
            let what = "the new wallet did not ask within a day of this clock: have it asked anew";
            return Err(ClientError::Recovery { what });
        }
        let share = usize::from(place).checked_sub(1).and_then(|at| self.shares.get(at));
        let share = share.ok_or(ClientError::Recovery { what: "the guardian's file knows no such case" })?;
        let name = self.terms.name;
        let (salt, successor, asked) = (*salt, *successor, *asked);
        let case = Case { salt, name, place, successor, reader: reader_digest(reader), asked };
        let key = SigningKey::from_seed(copy(&self.key));
        let signature = key.sign(namespaces::RECOVERY_APPROVAL, &approval_message(chain, &case));
        let approved = Approved {
            entry: self.entry,
            terms: self.terms.clone(),
            case,
            approval: Approval { guardian: self.guardian, signature },
            share: ShareBytes(copy(share)),
        };
        let sealed = reader.seal(&approval_info(chain, &name), &[], &encode(&approved), rng);
        let sealed = sealed.map_err(|_| ClientError::Recovery { what: "the new wallet's key is no key" })?;
        Ok(ApprovalFile { name, sealed })
    }
}

impl AskFile {
    /// By what people compare, by voice, that what a guardian approves is what the patient asked: the first bytes of
    /// the digest of all of it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        let mut first = [0; FINGERPRINT_BYTES];
        let digest = ask_digest(&encode(self));
        first.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        first
    }
}

impl Recovering {
    /// Whether approvals of what it asked are still good when a case of them stands on the ledger.
    fn young(&self, now: TimeMs) -> Result<(), ClientError> {
        let what = "this wallet asked too long ago for a case to be opened: begin with a new one";
        let young = now.since_ms(self.asked).max(self.asked.since_ms(now)) <= RECOVERY_OPEN_MS_MAX;
        young.then_some(()).ok_or(ClientError::Recovery { what })
    }

    fn is_for(&self, case: &Case, successor: ChainAnchor, reader: &KemPublicKey) -> bool {
        let ours = (self.salt, successor, reader_digest(reader), self.asked);
        (case.salt, case.successor, case.reader, case.asked) == ours
    }
}

/// The entry that says what is prepared, with its one-time key.
fn committed(
    chain: ChainId,
    seed: &ChainSeed,
    index: u16,
    terms: &RecoveryTerms,
    rng: &mut impl CryptoRng,
) -> Result<(Tx, SigningKey), ClientError> {
    let one_time = SigningKey::generate(rng);
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let recovery = Recovery { salt, terms: terms_digest(terms), one_time: one_time.public_key() };
    let link = seed.link(index);
    let body = TxBody::CommitGrant {
        tag: GrantTag(link.tag()),
        commitment: recovery_commitment(&link, &recovery),
        body: seal(&seed.body_key(index), GRANT_PLAIN_BYTES, &encode(&recovery), rng)?,
    };
    Ok((Tx::sign(chain, body, &one_time), one_time))
}

/// An approval that a named guardian signed, with the share that was prepared for them.
fn opened(chain: ChainId, reader: &KemSecretKey, file: &ApprovalFile) -> Option<Approved> {
    let plain = reader.open(&approval_info(chain, &file.name), &[], &file.sealed).ok()?;
    let approved: Approved = decode(&plain, RPC_BYTES_MAX).ok()?;
    let guardian = approved.approval.guardian;
    let key = approved.terms.guardians.get(usize::from(guardian))?;
    let message = approval_message(chain, &approved.case);
    key.verify(namespaces::RECOVERY_APPROVAL, &message, &approved.approval.signature).ok()?;
    let whole = approved.case.name == approved.terms.name
        && file.name == approved.terms.name
        && is_guardians(&approved.terms, approved.case.place, guardian, &approved.share);
    whole.then_some(approved)
}

fn opened_case(chain: ChainId, approved: BTreeMap<u16, Approved>) -> Result<OpenedCase, ClientError> {
    let wrong = || ClientError::Recovery { what: "the guardians' shares are not what was prepared" };
    let first = approved.values().next().ok_or_else(wrong)?;
    let (entry, terms, case) = (first.entry, first.terms.clone(), first.case);
    let approvals = approved.values().map(|approved| approved.approval).collect();
    let approvals = List::new(approvals).map_err(|_| wrong())?;
    let shares: Vec<(u16, ShareBytes)> =
        approved.into_iter().map(|(guardian, approved)| (guardian, approved.share)).collect();
    let guardians = guardians_key(&terms, case.place, &shares).map_err(|_| wrong())?;
    let key = opener_key(&guardians, &terms.name, case.place);
    let place = terms.place(case.place).filter(|place| place.opener == key.public_key()).ok_or_else(wrong)?;
    let body = TxBody::OpenCase {
        case: case_id(&place.opener),
        veto: place.veto,
        commitment: case_commitment(&case, &approvals),
    };
    let tx = Tx::sign(chain, body, &key);
    Ok(OpenedCase { entry, terms, tx, case, approvals, guardians: ShareBytes(guardians) })
}

#[cfg(test)]
mod tests;
