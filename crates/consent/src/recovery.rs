//! Recovery (ADR 16): whether a preparation comes from the holder of a chain, how far its cases are, and whether
//! a custodian may give its share to a new wallet. The only room where a [`RecoveryPermit`] is made.
//!
//! # What a case comes to
//!
//! Only the ledger's order and block time count.
//!
//! - A case is **live** unless it was vetoed before its delay was over, or names another key for the veto than was
//!   prepared, or was opened after a withdrawal of the preparation had stood for as long as the delay. So a thief
//!   who withdraws the preparation first leaves guardians a whole delay to act.
//! - Of live cases the first on the ledger **leads**; the others wait behind it, and rise when it is vetoed.
//! - When its delay is over the leading case is **over**: from that block time on its chain is ended, whatever
//!   comes after, and a veto that comes after changes nothing.
//!
//! While a case is open, grants that are not older than it open nothing, and nothing is destroyed.
//!
//! Whether enough guardians approved, a custodian asks of whoever wants its share. That a chain is ended it sees
//! from the ledger alone, without being asked by anybody.

use crate::decide::PERMIT_MS_MAX;
use crate::denied::Denied;
use crate::desk::Desk;
use crate::judge::ensure;
use crate::view::FinalView;
use crate::walked::Shown;
use salus_crypto::chain::{CHAIN_LEN_MAX, ChainAnchor, Link, open_body};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemPublicKey;
use salus_crypto::secret::Secret;
use salus_crypto::sharing::{Share, ShareIndex, share_hash};
use salus_crypto::sign::PublicKey;
use salus_wire::limits::{GRANT_PLAIN_BYTES, RECOVERY_APPROVAL_MS_MAX};
use salus_wire::recovery::{
    Approvals, Case, RecoverRequest, Recovery, RecoveryPart, RecoveryTerms, approval_message,
    case_commitment, case_id, custodian_context, recover_message, recovery_commitment, terms_digest,
};
use salus_wire::release::{ShareBytes, reader_digest};
use salus_wire::state::{CaseRecord, GrantRecord, Standing, Tip};
use salus_wire::{
    ChainId, Faults, GrantTag, Height, MemberIndex, StateKey, StateValue, TimeMs, decode, namespaces,
};
use std::collections::BTreeMap;

/// How far a place for a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has opened it.
    Free,
    /// It was opened and never counts.
    Void,
    /// It was vetoed in time.
    Vetoed,
    /// It waits behind one that was opened before it.
    Behind,
    /// It leads, and can be vetoed until then.
    Open {
        /// Block time at which its delay is over.
        ends: TimeMs,
    },
    /// It led when its delay was over: the chain is ended.
    Over,
}

/// A preparation as it was brought, its entry not yet held against the ledger.
#[must_use = "a part that is shown is not checked yet"]
pub struct ShownPart {
    entry: Shown,
    body_key: Secret<32>,
    terms: RecoveryTerms,
    share: ShareBytes,
    before: Vec<GrantTag>,
}

/// Evidence that the holder of a chain has prepared its recovery, with this custodian's share.
#[must_use = "a preparation that is not kept helps nobody"]
pub struct PreparedRecovery {
    entry: GrantTag,
    terms: RecoveryTerms,
    share: ShareBytes,
}

/// A request for a share, signed by the key that it names and asked just now.
#[must_use = "an admitted request is not decided yet"]
pub struct AdmittedRecovery {
    chain: ChainId,
    opener: PublicKey,
    case: Case,
    approvals: Approvals,
    reader: KemPublicKey,
}

/// Evidence that a new wallet may be given a custodian's share. It cannot be made anywhere else.
#[must_use = "a permit that is not redeemed gives nothing"]
pub struct RecoveryPermit {
    case: Case,
    reader: KemPublicKey,
    decided: TimeMs,
}

/// A permit that was used up: to whom to seal, and in which case.
pub struct RecoveryRedeemed {
    /// The case.
    pub case: Case,
    /// The new wallet's key.
    pub reader: KemPublicKey,
}

impl ShownPart {
    /// A part whose link is that of `entry`.
    ///
    /// # Errors
    /// [`Denied::NoSuchPlace`] for no place of any chain; [`Denied::OtherGrant`] for another entry's link.
    pub fn new(part: RecoveryPart, entry: GrantTag) -> Result<Self, Denied> {
        let RecoveryPart { index, link, body_key, terms, share } = part;
        ensure((1..=CHAIN_LEN_MAX).contains(&index), Denied::NoSuchPlace)?;
        let shown = Shown::new(Link::from_secret(link.0), index);
        ensure(GrantTag(shown.tag()) == entry, Denied::OtherGrant)?;
        let before = shown.earlier(0).into_iter().map(GrantTag).collect();
        Ok(Self { entry: shown, body_key: body_key.0, terms, share, before })
    }

    /// The state entries to read, all at one final head, for [`ShownPart::check`].
    #[must_use]
    pub fn reads(&self) -> Vec<StateKey> {
        let before = self.before.iter().map(|tag| StateKey::Grant(*tag));
        std::iter::once(StateKey::Grant(GrantTag(self.entry.tag()))).chain(before).collect()
    }

    /// Holds it against the ledger: on the chain without a gap, standing, and what its entry committed to.
    ///
    /// # Errors
    /// A [`Denied`] for the first thing that is absent, does not match or is no preparation.
    pub fn check(
        self,
        view: &FinalView,
        faults: Faults,
        me: MemberIndex,
        now: TimeMs,
    ) -> Result<PreparedRecovery, Denied> {
        view.fresh(now)?;
        let entry = GrantTag(self.entry.tag());
        let Some(StateValue::Grant(record)) = view.get(&StateKey::Grant(entry))? else {
            return Err(Denied::NoGrant);
        };
        ensure(record.standing == Standing::Active, Denied::GrantRevoked)?;
        for before in &self.before {
            view.get(&StateKey::Grant(*before))?.ok_or(Denied::GrantGap)?;
        }
        let recovery = open_recovery(&self.entry.link, &self.body_key, record);
        let recovery = recovery.ok_or(Denied::NotARecovery)?;
        ensure(recovery.one_time == record.one_time, Denied::GrantOneTime)?;
        let terms = self.terms;
        ensure(terms_digest(&terms) == recovery.terms, Denied::GrantCommitment)?;
        ensure(terms.chain == self.entry.anchor && terms.sound(faults), Denied::NotARecovery)?;
        let context = custodian_context(&terms.name);
        let expected = terms.share_hashes.get(usize::from(me.get())).ok_or(Denied::NotARecovery)?;
        let share = indexed(me, &self.share).ok_or(Denied::NotARecovery)?;
        ensure(share_hash(context.as_bytes(), &share) == *expected, Denied::NotARecovery)?;
        Ok(PreparedRecovery { entry, terms, share: self.share })
    }
}

impl PreparedRecovery {
    /// The chain that it ends.
    #[must_use]
    pub const fn terms(&self) -> &RecoveryTerms {
        &self.terms
    }

    /// What is to be kept: the entry, the terms and the share.
    #[must_use]
    pub fn into_parts(self) -> (GrantTag, RecoveryTerms, ShareBytes) {
        (self.entry, self.terms, self.share)
    }
}

impl Desk {
    /// Admits a request for a share: signature, addressee, age and replay, before any other work.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn admit_recovery(
        &mut self,
        request: RecoverRequest,
        now: TimeMs,
    ) -> Result<AdmittedRecovery, Denied> {
        let RecoverRequest { terms, signature } = request;
        let message = recover_message(self.chain(), &terms);
        let signed = terms.opener.verify(namespaces::RECOVER_REQUEST, &message, &signature);
        signed.map_err(|_| Denied::RequestSignature)?;
        self.just_now(terms.custodian, terms.opener, terms.nonce, terms.sent, now)?;
        let (chain, opener) = (self.chain(), terms.opener);
        Ok(AdmittedRecovery {
            chain,
            opener,
            case: terms.case,
            approvals: terms.approvals,
            reader: terms.reader,
        })
    }
}

impl AdmittedRecovery {
    /// The preparation that is asked for, by name.
    #[must_use]
    pub const fn name(&self) -> &Digest {
        &self.case.name
    }

    /// Decides at the head of `view`, which must hold [`recovery_reads`] of what this custodian keeps under the
    /// name.
    ///
    /// # Errors
    /// The first clause that does not hold: the view's age, the case as it was committed, its key, its approvals,
    /// its stage.
    pub fn decide(
        self,
        terms: &RecoveryTerms,
        entry: GrantTag,
        view: &FinalView,
        now: TimeMs,
    ) -> Result<RecoveryPermit, Denied> {
        view.fresh(now)?;
        let case = self.case;
        let place = terms.place(case.place).ok_or(Denied::NoRecovery)?;
        ensure(case.name == terms.name && place.opener == self.opener, Denied::NoRecovery)?;
        let record = case_record(view, &place.opener)?.ok_or(Denied::CaseNotFinal)?;
        ensure(case_commitment(&case, &self.approvals) == record.commitment, Denied::CaseCommitment)?;
        ensure(reader_digest(&self.reader) == case.reader, Denied::OtherReader)?;
        let asked = case.asked;
        let apart = record.since.time.since_ms(asked).max(asked.since_ms(record.since.time));
        ensure(apart <= RECOVERY_APPROVAL_MS_MAX, Denied::ApprovalsOld)?;
        approved(self.chain, terms, &case, &self.approvals)?;
        let stages = stages_at(terms, entry, view)?;
        match stages.get(usize::from(case.place.saturating_sub(1))) {
            Some(Stage::Over) => Ok(RecoveryPermit { case, reader: self.reader, decided: now }),
            Some(Stage::Open { .. }) => Err(Denied::RecoveryEarly),
            Some(Stage::Void | Stage::Vetoed | Stage::Behind) => Err(Denied::RecoveryVetoed),
            Some(Stage::Free) | None => Err(Denied::CaseNotFinal),
        }
    }
}

impl RecoveryPermit {
    /// The new wallet's chain, in which the old one ends.
    #[must_use]
    pub const fn successor(&self) -> ChainAnchor {
        self.case.successor
    }

    /// Uses the permit up, at the moment of giving.
    ///
    /// # Errors
    /// [`Denied::PermitSpent`] when the decision is more than [`PERMIT_MS_MAX`] old.
    pub fn redeem(self, now: TimeMs) -> Result<RecoveryRedeemed, Denied> {
        let apart = now.since_ms(self.decided).max(self.decided.since_ms(now));
        ensure(apart <= PERMIT_MS_MAX, Denied::PermitSpent)?;
        Ok(RecoveryRedeemed { case: self.case, reader: self.reader })
    }
}

/// The state entries that tell how far the cases of a preparation are: its entry, then each place in order.
#[must_use]
pub fn recovery_reads(terms: &RecoveryTerms, entry: GrantTag) -> Vec<StateKey> {
    let places = terms.places.iter().map(|place| StateKey::Case(case_id(&place.opener)));
    std::iter::once(StateKey::Grant(entry)).chain(places).collect()
}

/// Whether a grant that became final at `granted` still opens anything, at the head of `view`, which must hold
/// [`recovery_reads`]: no recovery has ended its chain, and no case was open when it was made. Who holds a stolen
/// wallet cannot grant while the patient waits; who is attacked by their guardians grants again after the veto.
///
/// # Errors
/// [`Denied::ChainMoved`], [`Denied::RecoveryOpen`]; [`Denied::ViewStale`], or [`Denied::ViewIncomplete`] when
/// something was not read.
pub fn lets_stand(
    terms: &RecoveryTerms,
    entry: GrantTag,
    view: &FinalView,
    granted: Height,
    now: TimeMs,
) -> Result<(), Denied> {
    view.fresh(now)?;
    for (stage, place) in stages_at(terms, entry, view)?.iter().zip(terms.places.iter()) {
        ensure(*stage != Stage::Over, Denied::ChainMoved)?;
        let open = matches!(stage, Stage::Open { .. } | Stage::Behind);
        let since = case_record(view, &place.opener)?.map(|case| case.since.height);
        let after = since.is_some_and(|since| granted >= since);
        ensure(!(open && after), Denied::RecoveryOpen)?;
    }
    Ok(())
}

/// Whether a case of the chain is open, or has ended it: then it is not for its holder alone to have anything
/// destroyed.
///
/// # Errors
/// As [`lets_stand`].
pub fn contested(
    terms: &RecoveryTerms,
    entry: GrantTag,
    view: &FinalView,
    now: TimeMs,
) -> Result<bool, Denied> {
    view.fresh(now)?;
    let lives = |stage: &Stage| matches!(stage, Stage::Behind | Stage::Open { .. } | Stage::Over);
    Ok(stages_at(terms, entry, view)?.iter().any(lives))
}

/// Whether another preparation may be kept in the place of this one: it was withdrawn for as long as its delay, and
/// no case of it lives.
///
/// # Errors
/// As [`lets_stand`].
pub fn may_replace(
    terms: &RecoveryTerms,
    entry: GrantTag,
    view: &FinalView,
    now: TimeMs,
) -> Result<bool, Denied> {
    let contested = contested(terms, entry, view, now)?;
    let withdrawn = withdrawn(entry, view)?;
    let long_ago = withdrawn.is_some_and(|tip| view.at().time >= tip.time.plus_ms(terms.delay_ms));
    Ok(long_ago && !contested)
}

/// Whether the holder of `chain`, which is not ended, decides over the data of `data`: the chain is the data's own,
/// or came in the place of one that was in charge of it before. `before` is what that one had prepared.
///
/// # Errors
/// [`Denied::ChainMoved`].
pub fn in_charge(
    chain: &ChainAnchor,
    data: &ChainAnchor,
    before: Option<&RecoveryTerms>,
) -> Result<(), Denied> {
    ensure(chain == data || before.is_some_and(|terms| terms.data == *data), Denied::ChainMoved)
}

/// How far each place is: `withdrawn` says when the preparation was, `cases` what stands under each place, in
/// order, and `now` is the block time.
#[must_use]
pub fn stages(
    terms: &RecoveryTerms,
    withdrawn: Option<Tip>,
    cases: &[Option<&CaseRecord>],
    now: TimeMs,
) -> Vec<Stage> {
    let delay = terms.delay_ms;
    let mut live: BTreeMap<(u64, usize), TimeMs> = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::with_capacity(cases.len());
    for (at, (place, case)) in terms.places.iter().zip(cases).enumerate() {
        let Some(case) = case else {
            stages.push(Stage::Free);
            continue;
        };
        let ends = case.since.time.plus_ms(delay);
        let too_late = withdrawn.is_some_and(|tip| case.since.time >= tip.time.plus_ms(delay));
        let vetoed = matches!(case.standing, Standing::Revoked(tip) if tip.time < ends);
        stages.push(match (case.veto != place.veto || too_late, vetoed) {
            (true, _) => Stage::Void,
            (false, true) => Stage::Vetoed,
            (false, false) => {
                live.insert((case.since.height.get(), at), ends);
                Stage::Behind
            }
        });
    }
    if let Some(((_, at), ends)) = live.first_key_value()
        && let Some(leads) = stages.get_mut(*at)
    {
        *leads = if now >= *ends { Stage::Over } else { Stage::Open { ends: *ends } };
    }
    stages
}

/// Opens the sealed body of the entry at `link` of a grant chain, if it is a preparation and not a grant, and was
/// committed by whoever knew the link.
#[must_use]
pub fn open_recovery(link: &Link, body_key: &Secret<32>, record: &GrantRecord) -> Option<Recovery> {
    let plain = open_body(body_key, &record.body).ok()?;
    let recovery: Recovery = decode(&plain, GRANT_PLAIN_BYTES).ok()?;
    (recovery_commitment(link, &recovery) == record.commitment).then_some(recovery)
}

/// Enough different guardians, each named in the terms, signed this very case.
fn approved(chain: ChainId, terms: &RecoveryTerms, case: &Case, approvals: &Approvals) -> Result<(), Denied> {
    ensure(approvals.is_sorted_by(|a, b| a.guardian < b.guardian), Denied::ApprovalTwice)?;
    let message = approval_message(chain, case);
    for approval in approvals.iter() {
        let key = terms.guardians.get(usize::from(approval.guardian)).ok_or(Denied::NotAGuardian)?;
        let signed = key.verify(namespaces::RECOVERY_APPROVAL, &message, &approval.signature);
        signed.map_err(|_| Denied::NotAGuardian)?;
    }
    ensure(approvals.len() >= usize::from(terms.needed), Denied::TooFewApprovals)
}

fn stages_at(terms: &RecoveryTerms, entry: GrantTag, view: &FinalView) -> Result<Vec<Stage>, Denied> {
    let withdrawn = withdrawn(entry, view)?;
    let cases: Result<Vec<Option<&CaseRecord>>, Denied> =
        terms.places.iter().map(|place| case_record(view, &place.opener)).collect();
    Ok(stages(terms, withdrawn, &cases?, view.at().time))
}

/// When a preparation was withdrawn.
fn withdrawn(entry: GrantTag, view: &FinalView) -> Result<Option<Tip>, Denied> {
    match view.get(&StateKey::Grant(entry))? {
        Some(StateValue::Grant(GrantRecord { standing: Standing::Revoked(tip), .. })) => Ok(Some(*tip)),
        Some(StateValue::Grant(_)) => Ok(None),
        _ => Err(Denied::NoRecovery),
    }
}

fn case_record<'view>(
    view: &'view FinalView,
    opener: &PublicKey,
) -> Result<Option<&'view CaseRecord>, Denied> {
    match view.get(&StateKey::Case(case_id(opener)))? {
        Some(StateValue::Case(record)) => Ok(Some(record)),
        Some(_) => Err(Denied::ViewIncomplete),
        None => Ok(None),
    }
}

fn indexed(me: MemberIndex, value: &ShareBytes) -> Option<Share> {
    let index = ShareIndex::new(me.get().checked_add(1)?)?;
    Some(Share::from_parts(index, Secret::from_bytes(*value.0.danger_expose())))
}
