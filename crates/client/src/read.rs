//! The reader's road as a step machine: intend, gather key shares, gather fragments, prove, verify.
//!
//! ```text
//!  Intending ──final──▶ Gathering shares ──t of n──▶ Gathering segments ──all──▶ Proving ──▶ Done
//! ```
//!
//! While the tag is found taken, it looks for the next that is free and intends again. It is told answers
//! ([`Told`]) and says what to ask ([`Ask`]). It trusts nobody: shares are held
//! against their hashes, fragments against their manifest, manifests against the anchor in a state
//! proof, readings against the device's signature. What it yields is `Verified<Sample>` (INV-6).
//! A member that answers wrongly is named in [`ReadResult::faults`] and the read goes on without it.

use crate::ask::{Answer, Ask, AskId, Silence, Told, What};
use crate::error::{ClientError, Fault};
use crate::grant::{GrantFile, seal};
use crate::read_keys::{Access, KeyGathering};
use crate::read_segments::{Evidence, Gathered, SegmentGathering};
use rand_core::CryptoRng;
use salus_clinical::Sample;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_proof::{Proven, TrustPolicy, Verified, state};
use salus_wire::consent::{Intent, IntentTerms, Reason, Vouching};
use salus_wire::genesis::Faults;
use salus_wire::ids::{AccessTag, ChainId, MemberIndex, PartyId, TimeMs};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, INTENT_PLAIN_BYTES};
use salus_wire::release::reader_digest;
use salus_wire::rpc::Committed;
use salus_wire::tx::{TxBody, access_commitment, intent_message};
use salus_wire::{Code, DataClass, Outcome, Purpose, Scope, StateKey, Tx, encode, namespaces};
use std::collections::BTreeSet;

/// Tags tried before giving up, when others took the ones before.
const TAG_ATTEMPTS_MAX: u16 = 64;
/// Tags of a lane asked for at once.
pub(crate) const TAGS_AT_ONCE: usize = 64;

/// What to read, and on whose behalf.
pub struct ReadPlan {
    /// The consortium.
    pub chain: ChainId,
    /// Its bounds.
    pub faults: Faults,
    /// Keys that certify blocks.
    pub policy: TrustPolicy,
    /// Each member's service key, by index.
    pub service_keys: Vec<PublicKey>,
    /// The registered key of the gateway that writes, to check its epoch headers.
    pub writer_key: PublicKey,
    /// Who reads.
    pub requester: PartyId,
    /// Their registered key.
    pub key: SigningKey,
    /// Under which grant.
    pub grant: GrantFile,
    /// The first tag of the lane that is thought free, from 1.
    pub next_tag: u16,
    /// What to read.
    pub scope: Scope,
    /// Why.
    pub purpose: Purpose,
    /// The member asked first.
    pub home: MemberIndex,
    /// Said and signed in an emergency.
    pub emergency: Option<BrokenGlass>,
}

/// Why the glass was broken, and the second factor that says so.
pub struct BrokenGlass {
    /// Why.
    pub reason: Reason,
    /// The requester's registered second factor.
    pub second: SigningKey,
}

/// What came of a read.
pub struct ReadResult {
    /// The access under which it was read.
    pub access: AccessTag,
    /// Where the access stands on its lane.
    pub access_index: u16,
    /// The block that holds the access.
    pub committed: Committed,
    /// Every reading within the span, in order of device time, each once.
    pub samples: Vec<Verified<Sample>>,
    /// Per reading, what a receipt is made of; same order.
    pub evidence: Vec<Evidence>,
    /// What must stay with the readings wherever they go.
    pub notice: Option<&'static str>,
    /// What members did wrong on the way.
    pub faults: Vec<Fault>,
    /// Epochs that too few custodians hold a share of; their readings are missing here.
    pub epochs_missing: usize,
    /// Segments that could not be rebuilt; their readings are missing here.
    pub segments_missing: usize,
}

enum Phase {
    Intending(Box<Pending>),
    /// Looks for the first free tag, from this place on.
    Looking {
        from: u16,
        attempts: u16,
    },
    Keys(Box<KeyGathering>),
    Segments(Box<SegmentGathering>),
    Proving {
        segments: Box<SegmentGathering>,
        keys: Vec<StateKey>,
    },
    Done(Box<Result<ReadResult, ClientError>>),
}

struct Pending {
    index: u16,
    attempts: u16,
    one_time: SigningKey,
    tx: Tx,
}

/// A read under way.
pub struct Reader {
    plan: ReadPlan,
    reader: KemSecretKey,
    phase: Phase,
    /// Questions of the present phase; answers to those of earlier phases are ignored.
    asked: BTreeSet<AskId>,
    next_ask: u64,
    faults: Vec<Fault>,
    access: Option<(AccessTag, u16, Committed)>,
    /// Members not yet asked in a phase that asks one at a time.
    turn: u16,
}

impl Reader {
    /// Starts a read: the first thing to ask is that the access become final.
    pub fn start(plan: ReadPlan, rng: &mut impl CryptoRng) -> Result<(Self, Vec<Ask>), ClientError> {
        let grant = &plan.grant.grant;
        if !grant.scope.covers(&plan.scope) || !grant.purposes.contains(plan.purpose) {
            return Err(ClientError::BeyondGrant);
        }
        let reader = KemSecretKey::generate(rng);
        let pending = intend(&plan, &reader, plan.next_tag, 0, rng)?;
        let mut machine = Self {
            plan,
            reader,
            phase: Phase::Intending(Box::new(pending)),
            asked: BTreeSet::new(),
            next_ask: 0,
            faults: Vec::new(),
            access: None,
            turn: 0,
        };
        let asks = machine.ask_settle();
        Ok((machine, asks))
    }

    /// Takes one answer and says what to ask next. Answers to questions of the past are ignored.
    pub fn step(&mut self, told: Told, now: TimeMs, rng: &mut impl CryptoRng) -> Vec<Ask> {
        if told.what.as_ref().is_err_and(|silence| *silence == Silence::Slow) {
            return self.step_slow(told, now);
        }
        if !self.asked.remove(&told.id) {
            return Vec::new();
        }
        match &self.phase {
            Phase::Intending(_) => self.step_intending(told),
            Phase::Looking { from, attempts } => self.step_looking(told, *from, *attempts, rng),
            Phase::Keys(_) => self.step_keys(told, now, rng),
            Phase::Segments(_) => self.step_segments(told, now),
            Phase::Proving { .. } => self.step_proving(told, rng),
            Phase::Done(_) => Vec::new(),
        }
    }

    /// The result, once there is nothing left to ask.
    pub fn finish(self) -> Option<Result<ReadResult, ClientError>> {
        match self.phase {
            Phase::Done(result) => Some(*result),
            _ => None,
        }
    }

    /// Whether there is nothing left to ask.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    fn step_intending(&mut self, told: Told) -> Vec<Ask> {
        match told.what {
            Ok(Answer::Committed(committed)) if committed.outcome == Outcome::Applied => {
                self.access_final(committed)
            }
            Ok(Answer::Committed(Committed { outcome: Outcome::Refused(code), .. })) => self.denied(code),
            Err(Silence::Refused(refusal)) => self.denied(refusal.code),
            _ => self.fail(ClientError::Unreachable),
        }
    }

    /// A look in an emergency holds one tag alone: when that is taken, the next look is asked for.
    fn denied(&mut self, code: Code) -> Vec<Ask> {
        let whole = self.plan.grant.lane().is_some();
        if code == Code::AlreadyExists && whole {
            self.retag()
        } else {
            self.fail(ClientError::Refused { code })
        }
    }

    /// Another access took the tag: first in ledger order wins, the loser takes the next that is free.
    /// Each time another member is asked for a proof of which are taken and orders the access, so that
    /// one that is silent or behind costs one wait, and not one for each tag.
    fn retag(&mut self) -> Vec<Ask> {
        let Phase::Intending(pending) = &self.phase else { return Vec::new() };
        let (from, attempts) = (pending.index.saturating_add(1), pending.attempts.saturating_add(1));
        if attempts >= TAG_ATTEMPTS_MAX || from > crate::grant::GRANTS_MAX {
            return self.fail(ClientError::ChainUsedUp);
        }
        self.turn = self.turn.wrapping_add(1);
        self.phase = Phase::Looking { from, attempts };
        let keys = self.tags_from(from);
        vec![self.one(self.member_in_turn(), What::Prove(keys))]
    }

    fn tags_from(&self, from: u16) -> Vec<StateKey> {
        let tags = self.plan.grant.lane().map(|lane| lane.tags()).unwrap_or_default();
        let later = tags.into_iter().skip(usize::from(from).saturating_sub(1)).take(TAGS_AT_ONCE);
        later.map(|tag| StateKey::Access(AccessTag(tag))).collect()
    }

    /// Takes the first tag that is not proven to be taken. What an old proof misses costs another turn.
    fn step_looking(&mut self, told: Told, from: u16, attempts: u16, rng: &mut impl CryptoRng) -> Vec<Ask> {
        let proof = match told.what {
            Ok(Answer::Proof(proof)) => state::verify(&self.plan.policy, &proof).ok(),
            _ => None,
        };
        let taken = proof.map_or(0, |state| {
            let keys = self.tags_from(from);
            keys.iter().take_while(|key| matches!(state.get(key), Proven::Present(_))).count()
        });
        let index = from.saturating_add(u16::try_from(taken).unwrap_or(u16::MAX));
        match intend(&self.plan, &self.reader, index, attempts, rng) {
            Ok(pending) => {
                self.phase = Phase::Intending(Box::new(pending));
                self.ask_settle()
            }
            Err(error) => self.fail(error),
        }
    }

    fn access_final(&mut self, committed: Committed) -> Vec<Ask> {
        let phase = std::mem::replace(&mut self.phase, Phase::Done(Box::new(Err(ClientError::Unreachable))));
        let Phase::Intending(pending) = phase else { return Vec::new() };
        let Some(link) = self.plan.grant.lane_link(pending.index) else {
            return self.fail(ClientError::ChainUsedUp);
        };
        let tag = AccessTag(link.tag());
        self.access = Some((tag, pending.index, committed));
        self.asked.clear();
        let access = Access { tag, index: pending.index, link, one_time: pending.one_time };
        let gathering = KeyGathering::new(&self.plan, access, self.reader.public_key());
        let asks = gathering.first_asks(&self.plan, committed.at.height);
        self.phase = Phase::Keys(Box::new(gathering));
        self.number(asks)
    }

    fn step_keys(&mut self, told: Told, now: TimeMs, rng: &mut impl CryptoRng) -> Vec<Ask> {
        let Phase::Keys(gathering) = &mut self.phase else { return Vec::new() };
        let more = gathering.told(&self.plan, &self.reader, told, now, rng);
        if let Some(ask) = more {
            return self.number(vec![ask]);
        }
        let Phase::Keys(gathering) = &mut self.phase else { return Vec::new() };
        if !gathering.is_ready() {
            return Vec::new();
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Done(Box::new(Err(ClientError::Unreachable))));
        let Phase::Keys(gathering) = phase else { return Vec::new() };
        match gathering.open() {
            Ok((opened, faults)) => {
                self.asked.clear();
                self.faults.extend(faults);
                let mut segments = SegmentGathering::new(&self.plan, opened);
                let asks = segments.asks(&self.plan, now);
                self.phase = Phase::Segments(Box::new(segments));
                self.after_segments(asks)
            }
            Err(error) => self.fail(error),
        }
    }

    /// A store that is slow has others asked beside it; everybody else is waited for.
    fn step_slow(&mut self, told: Told, now: TimeMs) -> Vec<Ask> {
        match &self.phase {
            Phase::Segments(_) if self.asked.contains(&told.id) => self.step_segments(told, now),
            _ => Vec::new(),
        }
    }

    fn step_segments(&mut self, told: Told, now: TimeMs) -> Vec<Ask> {
        let Phase::Segments(segments) = &mut self.phase else { return Vec::new() };
        segments.told(&self.plan, told);
        let asks = segments.asks(&self.plan, now);
        self.after_segments(asks)
    }

    fn after_segments(&mut self, asks: Vec<(MemberIndex, What)>) -> Vec<Ask> {
        let Phase::Segments(segments) = &mut self.phase else { return Vec::new() };
        if !segments.is_done() {
            return self.number_segments(asks);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Done(Box::new(Err(ClientError::Unreachable))));
        let Phase::Segments(mut segments) = phase else { return Vec::new() };
        self.faults.append(&mut segments.take_faults());
        match segments.anchors() {
            Ok(keys) => {
                self.asked.clear();
                self.turn = 0;
                self.phase = Phase::Proving { segments, keys };
                self.ask_prove()
            }
            Err(error) => self.fail(error),
        }
    }

    fn number_segments(&mut self, asks: Vec<(MemberIndex, What)>) -> Vec<Ask> {
        let mut numbered = Vec::with_capacity(asks.len());
        for (to, what) in asks {
            let locator = match &what {
                What::Fetch(fetch) => Some(fetch.terms.locator),
                _ => None,
            };
            let ask = self.one(to, what);
            if let (Phase::Segments(segments), Some(locator)) = (&mut self.phase, locator) {
                segments.asked(ask.id, locator);
            }
            numbered.push(ask);
        }
        numbered
    }

    fn step_proving(&mut self, told: Told, rng: &mut impl CryptoRng) -> Vec<Ask> {
        let Phase::Proving { segments, .. } = &self.phase else { return Vec::new() };
        let verified = match told.what {
            Ok(Answer::Proof(proof)) => segments.verify(&self.plan, &proof, rng),
            _ => Err(Code::Unreachable),
        };
        match verified {
            Ok(verified) => self.succeed(verified),
            Err(Code::WriterFault) => {
                self.fail(ClientError::Writer { what: "an anchored segment is not what it commits to" })
            }
            Err(code) => {
                self.faults.push(Fault { member: told.from, code, detail: "state proof".to_owned() });
                self.next_member(Self::ask_prove)
            }
        }
    }

    fn succeed(&mut self, gathered: Gathered) -> Vec<Ask> {
        let Some((access, access_index, committed)) = self.access else {
            return self.fail(ClientError::Unreachable);
        };
        let Phase::Proving { segments, .. } = &self.phase else { return Vec::new() };
        let epochs_missing = segments.epochs_missing();
        let Gathered { readings, segments_missing } = gathered;
        let (samples, evidence) = readings.into_iter().unzip();
        let faults = std::mem::take(&mut self.faults);
        let result = ReadResult {
            access,
            access_index,
            committed,
            samples,
            evidence,
            notice: self.plan.scope.classes.iter().find_map(DataClass::notice),
            faults,
            epochs_missing,
            segments_missing,
        };
        self.phase = Phase::Done(Box::new(Ok(result)));
        Vec::new()
    }

    fn fail(&mut self, error: ClientError) -> Vec<Ask> {
        self.phase = Phase::Done(Box::new(Err(error)));
        Vec::new()
    }

    /// Asks the next member, or gives up when all were asked.
    fn next_member(&mut self, ask: fn(&mut Self) -> Vec<Ask>) -> Vec<Ask> {
        self.turn = self.turn.saturating_add(1);
        if self.turn < self.plan.faults.members() {
            return ask(self);
        }
        let error = match &self.phase {
            Phase::Proving { .. } => ClientError::Unproven { faults: std::mem::take(&mut self.faults) },
            _ => ClientError::Unreachable,
        };
        self.fail(error)
    }

    fn ask_settle(&mut self) -> Vec<Ask> {
        let Phase::Intending(pending) = &self.phase else { return Vec::new() };
        let what = What::Settle(Box::new(pending.tx.clone()));
        let to = self.member_in_turn();
        vec![self.one(to, what)]
    }

    fn ask_prove(&mut self) -> Vec<Ask> {
        let Phase::Proving { keys, .. } = &self.phase else { return Vec::new() };
        let what = What::Prove(keys.clone());
        let to = self.member_in_turn();
        vec![self.one(to, what)]
    }

    fn member_in_turn(&self) -> MemberIndex {
        let members = self.plan.faults.members().max(1);
        MemberIndex::new(self.plan.home.get().wrapping_add(self.turn) % members)
    }

    fn number(&mut self, asks: Vec<(MemberIndex, What)>) -> Vec<Ask> {
        asks.into_iter().map(|(to, what)| self.one(to, what)).collect()
    }

    fn one(&mut self, to: MemberIndex, what: What) -> Ask {
        let id = AskId(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.asked.insert(id);
        Ask { id, to, what }
    }
}

fn intend(
    plan: &ReadPlan,
    reader: &KemSecretKey,
    index: u16,
    attempts: u16,
    rng: &mut impl CryptoRng,
) -> Result<Pending, ClientError> {
    if index == 0 || index > crate::grant::GRANTS_MAX {
        return Err(ClientError::ChainUsedUp);
    }
    let one_time = SigningKey::generate(rng);
    let link = plan.grant.lane_link(index).ok_or(ClientError::ChainUsedUp)?;
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let terms = IntentTerms {
        salt,
        requester: plan.requester,
        vouching: plan
            .emergency
            .as_ref()
            .map_or(Vouching::Requester, |glass| Vouching::BreakGlass(glass.reason)),
        grant: plan.grant.tag(),
        scope: plan.scope.clone(),
        purpose: plan.purpose,
        valid_ms: ACCESS_VALID_MS_MAX,
        reader: reader_digest(&reader.public_key()),
        one_time: one_time.public_key(),
    };
    let message = intent_message(plan.chain, &terms);
    let signature = plan.key.sign(namespaces::INTENT, &message);
    let second = plan.emergency.as_ref().map(|glass| glass.second.sign(namespaces::INTENT_SECOND, &message));
    let intent = Intent { terms, signature, second };
    let body = TxBody::RecordAccess {
        tag: AccessTag(link.tag()),
        commitment: access_commitment(&intent),
        body: seal(&link.body_key(), INTENT_PLAIN_BYTES, &encode(&intent), rng)?,
    };
    let tx = Tx::sign(plan.chain, body, &one_time);
    Ok(Pending { index, attempts, one_time, tx })
}
