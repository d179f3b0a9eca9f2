//! Emergencies: a patient prepares looks, a clinician breaks the glass, a privacy officer reviews. ADR 15.

use crate::drive::{ANSWER_WITHIN, Consortium};
use crate::error::{ClientError, Fault};
use crate::grant::{GrantFile, LaneKey, copy};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand_core::CryptoRng;
use salus_crypto::chain::seal_body;
use salus_crypto::digest::Digest;
use salus_crypto::kem::{KemPublicKey, KemSecretKey};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{CheckedLook, LookPlace, ShareFault, open_kit, open_tag, prepare};
use salus_proof::{Proven, TrustPolicy};
use salus_wire::consent::{Grantee, Reason};
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyKit, EmergencyUse, Given, Glass, GlassAsk, GlassRequest, GlassTerms, LookAsk,
    LookHeader, LookShare, LookShares, Review, ReviewsRequest, ShownTag, Verdict, card_key, card_name,
    glass_info, glass_message, glass_request_message, look_name, prepare_info, prepare_message, review_id,
    review_key, reviews_message,
};
use salus_wire::limits::{
    EMERGENCY_GRANTS_MAX, EMERGENCY_PLACES_MAX, INTENT_PLAIN_BYTES, RPC_BYTES_MAX, STATE_KEYS_MAX,
};
use salus_wire::release::ShareBytes;
use salus_wire::rpc::{Request, Response};
use salus_wire::state::Standing;
use salus_wire::{
    AccessTag, Blob, ChainId, Code, Faults, GrantTag, List, MemberIndex, PartyId, StateKey, StateValue,
    TimeMs, Tx, TxBody, decode, encode, namespaces,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Looks that are prepared for each emergency grant.
pub const LOOKS: u16 = 16;
/// Times that the glass is tried again when custodians are not at the same look.
const ATTEMPTS: usize = 8;
/// Between them: a custodian that is behind has applied the next block by then.
const BETWEEN: Duration = Duration::from_millis(250);

/// Who breaks the glass, and why.
pub struct GlassPlan {
    /// The consortium.
    pub chain: ChainId,
    /// Its bounds.
    pub faults: Faults,
    /// Each member's service key, by index.
    pub service_keys: Vec<PublicKey>,
    /// Who asks.
    pub requester: PartyId,
    /// Their registered key.
    pub key: SigningKey,
    /// Their registered second factor.
    pub second: SigningKey,
    /// Why.
    pub reason: Reason,
    /// The secret of the patient's card. It is not sent to anybody.
    pub card: Secret<32>,
    /// Keys that certify blocks.
    pub policy: TrustPolicy,
    /// The member asked first which looks are taken.
    pub home: MemberIndex,
}

/// What broken glass opened.
pub struct Broken {
    /// A look of each grant that opened.
    pub files: Vec<GrantFile>,
    /// Grants under the card of which no look opened, by the code that says why.
    pub skipped: Vec<(GrantTag, Code)>,
    /// What custodians did wrong.
    pub faults: Vec<Fault>,
}

/// A privacy officer.
pub struct Officer {
    /// The consortium.
    pub chain: ChainId,
    /// Who they are.
    pub party: PartyId,
    /// Their registered key.
    pub key: SigningKey,
}

/// The looks of an emergency grant for every custodian, each sealed to them. `one_time` committed the grant,
/// `card` is the secret of the card that it names, `custodians` are their X-Wing keys by index.
///
/// # Errors
/// [`ClientError::BeyondGrant`] when it is no emergency grant of this card, or a custodian's key is no key.
pub fn deposits(
    chain: ChainId,
    faults: Faults,
    custodians: &[KemPublicKey],
    file: &GrantFile,
    (one_time, card): (&SigningKey, &Secret<32>),
    rng: &mut impl CryptoRng,
) -> Result<Vec<EmergencyDeposit>, ClientError> {
    let (signer, grant) = (card_key(card), file.tag());
    let public = signer.public_key();
    if file.grant.grantee != (Grantee::Emergency { card: card_name(&public) }) {
        return Err(ClientError::BeyondGrant);
    }
    let mut by_custodian: Vec<Vec<LookShare>> = custodians.iter().map(|_| Vec::new()).collect();
    for place in 1..=LOOKS {
        let link = file.lane_link(place).ok_or(ClientError::ChainUsedUp)?;
        let at = LookPlace { grant, place, access: AccessTag(link.tag()) };
        let kit = EmergencyKit {
            grant_index: file.index,
            grant_link: ShareBytes(copy(&file.link)),
            grant_body_key: ShareBytes(copy(&file.body_key)),
            access_link: ShareBytes(link.to_secret()),
        };
        let shares =
            prepare(chain, faults, at, &file.grant, &kit, card, rng).ok_or(ClientError::BeyondGrant)?;
        by_custodian.iter_mut().zip(shares).for_each(|(shares, share)| shares.push(share));
    }
    let keys = (0_u16..).map(MemberIndex::new).zip(custodians);
    keys.zip(by_custodian)
        .map(|((custodian, key), shares)| {
            let plain = encode(&LookShares(List::new(shares).map_err(|_| ClientError::BeyondGrant)?));
            let info = prepare_info(chain, grant, custodian);
            let sealed = key.seal(&info, &[], &plain, rng).map_err(|_| ClientError::BeyondGrant)?;
            let message = prepare_message(chain, grant, custodian, &public, &sealed);
            let signature = one_time.sign(namespaces::EMERGENCY_DEPOSIT, &message);
            let card_signature = signer.sign(namespaces::EMERGENCY_DEPOSIT_CARD, &message);
            Ok(EmergencyDeposit { grant, custodian, card: public, sealed, signature, card_signature })
        })
        .collect()
}

impl Consortium {
    /// Brings each custodian its looks; says who has them and what the others did.
    pub async fn prepare(&self, deposits: Vec<EmergencyDeposit>) -> (Vec<MemberIndex>, Vec<Fault>) {
        let mut asked: FuturesUnordered<_> = deposits
            .into_iter()
            .map(|deposit| async move {
                let to = deposit.custodian;
                let request = Request::Prepare(Box::new(deposit));
                (to, self.until_it_knows(to, &request).await)
            })
            .collect();
        let (mut kept, mut faults) = (Vec::new(), Vec::new());
        while let Some((to, answer)) = asked.next().await {
            match answer {
                Some(Response::Prepared) => kept.push(to),
                other => faults.push(fault(to, other)),
            }
        }
        kept.sort_unstable();
        (kept, faults)
    }

    /// Asks a custodian until it has applied the block that holds the grant.
    async fn until_it_knows(&self, to: MemberIndex, request: &Request) -> Option<Response> {
        let mut attempts = ATTEMPTS;
        loop {
            let answer = self.call(to, request, ANSWER_WITHIN).await;
            attempts = attempts.saturating_sub(1);
            match answer {
                Some(Response::Refused(refusal)) if refusal.code == Code::NoGrant && attempts > 0 => {
                    self.ground.pause(BETWEEN).await;
                }
                other => return other,
            }
        }
    }

    /// Breaks the glass at every custodian and opens the next look of each grant under the card. A grant that does
    /// not open is skipped, and named.
    ///
    /// # Errors
    /// [`ClientError::TooFewShares`] with what each custodian said when no grant opens; [`ClientError::Refused`]
    /// with [`Code::NoCard`] when every look is used up; as [`Self::proven`].
    pub async fn break_glass(&self, plan: &GlassPlan) -> Result<Broken, ClientError> {
        let mut attempts = ATTEMPTS;
        loop {
            let (apart, error) = match self.glass_once(plan).await {
                Ok(broken) => return Ok(broken),
                Err(error) => error,
            };
            attempts = attempts.saturating_sub(1);
            if !apart || attempts == 0 {
                return Err(error);
            }
            self.ground.pause(BETWEEN).await;
        }
    }

    /// One round; an error says whether custodians stood apart, which time can mend.
    async fn glass_once(&self, plan: &GlassPlan) -> Result<Broken, (bool, ClientError)> {
        let found = self.gather(plan, &GlassAsk::Tags, |_| true).await.map_err(|error| (false, error))?;
        let tags = found.tags(plan);
        if tags.is_empty() {
            return Err((false, found.too_few(plan)));
        }
        let asks = self.free_looks(plan, tags).await.map_err(|error| (false, error))?;
        if asks.is_empty() {
            return Err((false, ClientError::Refused { code: Code::NoCard }));
        }
        let wanted: BTreeMap<GrantTag, usize> =
            asks.iter().map(|ask| (ask.grant, ask.before.len().saturating_add(1))).collect();
        let beyond = (false, ClientError::BeyondGrant);
        let ask = GlassAsk::Looks(List::new(asks).map_err(|_| beyond)?);
        let all_open = |gathered: &Gathering| gathered.opened(plan, &wanted).1.is_empty();
        let gathered = self.gather(plan, &ask, all_open).await.map_err(|error| (false, error))?;
        let (files, skipped) = gathered.opened(plan, &wanted);
        if files.is_empty() {
            let behind = |fault: &Fault| matches!(fault.code, Code::TagGap | Code::LookSpent);
            return Err((gathered.faults.iter().any(behind), gathered.too_few(plan)));
        }
        Ok(Broken { files, skipped, faults: gathered.faults })
    }

    /// Asks every custodian, until as many as open a look have answered and `enough` says so, or nobody is left.
    async fn gather(
        &self,
        plan: &GlassPlan,
        ask: &GlassAsk,
        enough: impl Fn(&Gathering) -> bool,
    ) -> Result<Gathering, ClientError> {
        let mut rng = self.ground.rng()?;
        let reader = KemSecretKey::generate(&mut rng);
        let mut asked = FuturesUnordered::new();
        for to in (0..self.members).map(MemberIndex::new) {
            let request = glass_request(plan, ask, to, &reader, self.ground.now(), &mut rng);
            asked.push(async move {
                let nonce = request.terms.nonce;
                (to, nonce, self.call(to, &Request::BreakGlass(request), ANSWER_WITHIN).await)
            });
        }
        let need = usize::from(plan.faults.key_threshold());
        let mut gathered = Gathering::default();
        while let Some((to, nonce, answer)) = asked.next().await {
            match answer {
                Some(Response::Glass(glass)) => gathered.take(plan, &reader, to, nonce, &glass),
                other => gathered.faults.push(fault(to, other)),
            }
            if gathered.answered.len() >= need && enough(&gathered) {
                break;
            }
        }
        Ok(gathered)
    }

    /// The first place of each standing grant that a proof shows to be free, with the tags before it.
    async fn free_looks(
        &self,
        plan: &GlassPlan,
        tags: BTreeMap<GrantTag, BTreeMap<u16, AccessTag>>,
    ) -> Result<Vec<LookAsk>, ClientError> {
        let keys: Vec<StateKey> = tags
            .iter()
            .flat_map(|(grant, places)| {
                std::iter::once(StateKey::Grant(*grant))
                    .chain(places.values().map(|tag| StateKey::Access(*tag)))
            })
            .collect();
        let (mut standing, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for keys in keys.chunks(STATE_KEYS_MAX) {
            let state = self.proven(keys.to_vec(), plan.home, &plan.policy).await?;
            for key in keys {
                match (key, state.get(key)) {
                    (StateKey::Grant(tag), Proven::Present(StateValue::Grant(record)))
                        if record.standing == Standing::Active =>
                    {
                        standing.insert(*tag);
                    }
                    (StateKey::Access(tag), Proven::Present(_)) => {
                        taken.insert(*tag);
                    }
                    _ => {}
                }
            }
        }
        let asks =
            tags.into_iter().filter(|(grant, _)| standing.contains(grant)).filter_map(|(grant, places)| {
                let in_order = (1_u16..).map_while(|place| places.get(&place).copied());
                let before: Vec<AccessTag> = in_order.take_while(|tag| taken.contains(tag)).collect();
                let free = before.len() < places.len();
                free.then(|| List::new(before).ok()).flatten().map(|before| LookAsk { grant, before })
            });
        Ok(asks.take(EMERGENCY_GRANTS_MAX).collect())
    }

    /// The emergency uses of an officer's people, as all members together tell: none can hide one alone. The
    /// newest first.
    ///
    /// # Errors
    /// [`ClientError::Unproven`] with what each member did when none answered.
    pub async fn emergency_uses(
        &self,
        officer: &Officer,
    ) -> Result<(Vec<EmergencyUse>, Vec<Fault>), ClientError> {
        let mut asked = FuturesUnordered::new();
        let mut rng = self.ground.rng()?;
        for custodian in (0..self.members).map(MemberIndex::new) {
            let mut nonce = [0; 16];
            rand_core::Rng::fill_bytes(&mut rng, &mut nonce);
            let (sent, key) = (self.ground.now(), officer.key.public_key());
            let message = reviews_message(officer.chain, custodian, nonce, sent, officer.party, &key);
            let signature = officer.key.sign(namespaces::REVIEWS, &message);
            let request = ReviewsRequest { custodian, nonce, sent, officer: officer.party, key, signature };
            asked.push(async move {
                (custodian, self.call(custodian, &Request::Reviews(request), ANSWER_WITHIN).await)
            });
        }
        let (mut uses, mut faults, mut answered) = (BTreeMap::new(), Vec::new(), 0_usize);
        while let Some((to, answer)) = asked.next().await {
            match answer {
                Some(Response::Reviews(told)) => {
                    answered = answered.saturating_add(1);
                    told.into_vec().into_iter().for_each(|used| merge(&mut uses, used));
                }
                other => faults.push(fault(to, other)),
            }
        }
        if answered == 0 {
            return Err(ClientError::Unproven { faults });
        }
        let mut uses: Vec<EmergencyUse> = uses.into_values().collect();
        uses.sort_unstable_by(|a, b| b.cmp(a));
        Ok((uses, faults))
    }
}

impl Officer {
    /// The transaction that closes the review of a look; `member` registered them and who looked.
    ///
    /// # Errors
    /// Never for what fits; [`ClientError::BeyondGrant`] would say that it does not.
    pub fn close(
        &self,
        used: &EmergencyUse,
        member: MemberIndex,
        verdict: Verdict,
        rng: &mut impl CryptoRng,
    ) -> Result<Tx, ClientError> {
        let EmergencyUse { requester, card, look, .. } = used;
        let review = Review { look: *look, requester: *requester, verdict };
        let sealed =
            seal_body(&review_key(card, look, *requester), INTENT_PLAIN_BYTES, &encode(&review), rng);
        let body = sealed.ok().and_then(|sealed| Blob::new(sealed).ok()).ok_or(ClientError::BeyondGrant)?;
        let (officer, review) = (self.party, review_id(card, look, *requester));
        Ok(Tx::sign(self.chain, TxBody::CloseReview { member, officer, review, body }, &self.key))
    }
}

/// Uses that several custodians tell of, by who looked, under which card, and at what.
type Uses = BTreeMap<(PartyId, Digest, Digest), EmergencyUse>;

/// Adds what one custodian tells. They heard of it at their own times, of which the first counts, and not all were
/// asked for shares; an access that is not of this look is nobody's.
fn merge(uses: &mut Uses, used: EmergencyUse) {
    let access = used.access.filter(|access| look_name(*access) == used.look);
    let used = EmergencyUse { access, ..used };
    let known = uses.entry((used.requester, used.card, used.look)).or_insert_with(|| used.clone());
    known.at = known.at.min(used.at);
    known.access = known.access.or(used.access);
}

/// What custodians gave so far.
#[derive(Default)]
struct Gathering {
    answered: BTreeSet<MemberIndex>,
    tags: Vec<ShownTag>,
    looks: BTreeMap<GrantTag, Vec<(MemberIndex, LookShare)>>,
    faults: Vec<Fault>,
}

impl Gathering {
    fn take(
        &mut self,
        plan: &GlassPlan,
        reader: &KemSecretKey,
        from: MemberIndex,
        nonce: [u8; 16],
        glass: &Glass,
    ) {
        match opened(plan, reader, from, nonce, glass) {
            Some(given) => {
                self.answered.insert(from);
                match given {
                    Given::Tags(tags) => self.tags.extend(tags.into_vec()),
                    Given::Looks(looks) => {
                        for look in looks.into_vec() {
                            self.looks.entry(look.header.grant).or_default().push((from, look));
                        }
                    }
                }
            }
            None => self.faults.push(Fault {
                member: from,
                code: Code::BodyMismatch,
                detail: "its answer does not open".to_owned(),
            }),
        }
    }

    /// The tags that the card opens, by grant and place; what strangers put there opens nothing.
    fn tags(&self, plan: &GlassPlan) -> BTreeMap<GrantTag, BTreeMap<u16, AccessTag>> {
        let mut found: BTreeMap<GrantTag, BTreeMap<u16, AccessTag>> = BTreeMap::new();
        for ShownTag { grant, place, tag } in &self.tags {
            if usize::from(*place) <= EMERGENCY_PLACES_MAX
                && let Some(access) = open_tag(&plan.card, *grant, *place, tag)
            {
                found.entry(*grant).or_default().insert(*place, access);
            }
        }
        found
    }

    /// The looks that were wanted and open, and the grants of which none does.
    fn opened(
        &self,
        plan: &GlassPlan,
        wanted: &BTreeMap<GrantTag, usize>,
    ) -> (Vec<GrantFile>, Vec<(GrantTag, Code)>) {
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        for (grant, place) in wanted {
            let looks = self.looks.get(grant).map(Vec::as_slice).unwrap_or_default();
            match kit(plan, looks, *place) {
                Ok(file) => files.push(file),
                Err(fault) => skipped.push((*grant, fault.code())),
            }
        }
        (files, skipped)
    }

    fn too_few(self, plan: &GlassPlan) -> ClientError {
        let (released, needed) = (self.answered.len(), usize::from(plan.faults.key_threshold()));
        ClientError::TooFewShares { released, needed, faults: self.faults }
    }
}

fn kit(plan: &GlassPlan, looks: &[(MemberIndex, LookShare)], place: usize) -> Result<GrantFile, ShareFault> {
    let card = card_key(&plan.card).public_key();
    let check = |(from, look): &(MemberIndex, LookShare)| {
        let wanted = usize::from(look.header.place) == place;
        wanted.then(|| CheckedLook::check(plan.chain, plan.faults, &card, *from, look).ok()).flatten()
    };
    open_kit(looks.iter().filter_map(check).collect()).map(|(header, kit)| file(header, kit))
}

fn file(header: LookHeader, kit: EmergencyKit) -> GrantFile {
    let EmergencyKit { grant_index: index, grant_link: link, grant_body_key: body_key, access_link } = kit;
    let lane = LaneKey::Look { place: header.place, link: access_link };
    GrantFile { index, link, body_key, lane, grant: header.terms }
}

fn opened(
    plan: &GlassPlan,
    reader: &KemSecretKey,
    from: MemberIndex,
    nonce: [u8; 16],
    glass: &Glass,
) -> Option<Given> {
    let service = plan.service_keys.get(usize::from(from.get()))?;
    let message = glass_message(plan.chain, from, plan.requester, &glass.sealed);
    let ours = glass.custodian == from && glass.requester == plan.requester;
    let signed = service.verify(namespaces::GLASS, &message, &glass.signature).is_ok();
    if !ours || !signed {
        return None;
    }
    let info = glass_info(plan.chain, from, plan.requester, nonce);
    let plain = reader.open(&info, &[], &glass.sealed).ok()?;
    decode(&plain, RPC_BYTES_MAX).ok()
}

fn glass_request(
    plan: &GlassPlan,
    ask: &GlassAsk,
    custodian: MemberIndex,
    reader: &KemSecretKey,
    sent: TimeMs,
    rng: &mut impl CryptoRng,
) -> GlassRequest {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let card = card_key(&plan.card);
    let terms = GlassTerms {
        custodian,
        nonce,
        sent,
        requester: plan.requester,
        key: plan.key.public_key(),
        reason: plan.reason,
        card: card.public_key(),
        reader: reader.public_key(),
        ask: ask.clone(),
    };
    let message = glass_request_message(plan.chain, &terms);
    let signature = plan.key.sign(namespaces::BREAK_GLASS, &message);
    let second = plan.second.sign(namespaces::BREAK_GLASS_SECOND, &message);
    let card = card.sign(namespaces::BREAK_GLASS_CARD, &message);
    GlassRequest { terms, signature, second, card }
}

pub(crate) fn fault(member: MemberIndex, answer: Option<Response>) -> Fault {
    let (code, detail) = match answer {
        Some(Response::Refused(refusal)) => {
            (refusal.code, String::from_utf8_lossy(&refusal.detail).into_owned())
        }
        Some(_) => (Code::Malformed, "it answered another question".to_owned()),
        None => (Code::Unreachable, String::new()),
    };
    Fault { member, code, detail }
}

#[cfg(test)]
mod tests;
