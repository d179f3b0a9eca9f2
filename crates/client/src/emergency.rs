//! Emergencies: a patient prepares looks, a clinician breaks the glass, a privacy officer reviews. ADR 15.

use crate::drive::{ANSWER_WITHIN, Consortium};
use crate::error::{ClientError, Fault};
use crate::grant::{GrantFile, LaneKey, copy};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand_core::CryptoRng;
use salus_crypto::chain::seal_body;
use salus_crypto::kem::{KemPublicKey, KemSecretKey};
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_fragment::{CheckedLook, LookPlace, ShareFault, open_kit, prepare};
use salus_wire::consent::{Grantee, Reason};
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyKit, EmergencyUse, Glass, GlassRequest, GlassTerms, LookHeader, LookShare,
    LookShares, NextLooks, Review, ReviewsRequest, Verdict, glass_info, glass_message, glass_request_message,
    prepare_info, prepare_message, review_id, review_key, review_message, reviews_message,
};
use salus_wire::limits::{INTENT_PLAIN_BYTES, RPC_BYTES_MAX};
use salus_wire::release::ShareBytes;
use salus_wire::rpc::{Request, Response};
use salus_wire::{
    AccessTag, Blob, ChainId, Code, Faults, GrantTag, List, MemberIndex, PartyId, TimeMs, Tx, TxBody, decode,
    encode, namespaces,
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
    /// The secret of the patient's card.
    pub card: Secret<32>,
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
/// `custodians` are their X-Wing keys by index.
///
/// # Errors
/// [`ClientError::BeyondGrant`] when it is no emergency grant, or a custodian's key is no key.
pub fn deposits(
    chain: ChainId,
    faults: Faults,
    custodians: &[KemPublicKey],
    file: &GrantFile,
    one_time: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<Vec<EmergencyDeposit>, ClientError> {
    let Grantee::Emergency { card } = file.grant.grantee else { return Err(ClientError::BeyondGrant) };
    let mut by_custodian: Vec<Vec<LookShare>> = custodians.iter().map(|_| Vec::new()).collect();
    for place in 1..=LOOKS {
        let link = file.lane_link(place).ok_or(ClientError::ChainUsedUp)?;
        let at = LookPlace { card, grant: file.tag(), place, access: AccessTag(link.tag()) };
        let kit = EmergencyKit {
            grant_index: file.index,
            grant_link: ShareBytes(copy(&file.link)),
            grant_body_key: ShareBytes(copy(&file.body_key)),
            access_link: ShareBytes(link.to_secret()),
            grant: file.grant.clone(),
        };
        let shares = prepare(chain, faults, at, &kit, one_time, rng).ok_or(ClientError::BeyondGrant)?;
        by_custodian.iter_mut().zip(shares).for_each(|(shares, share)| shares.push(share));
    }
    let keys = (0_u16..).map(MemberIndex::new).zip(custodians);
    keys.zip(by_custodian)
        .map(|((custodian, key), shares)| {
            let plain = encode(&LookShares(List::new(shares).map_err(|_| ClientError::BeyondGrant)?));
            let info = prepare_info(chain, file.tag(), custodian);
            let sealed = key.seal(&info, &[], &plain, rng).map_err(|_| ClientError::BeyondGrant)?;
            let message = prepare_message(chain, file.tag(), custodian, &sealed);
            let signature = one_time.sign(namespaces::EMERGENCY_DEPOSIT, &message);
            Ok(EmergencyDeposit { grant: file.tag(), custodian, sealed, signature })
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

    /// Breaks the glass at every custodian and opens the next look of each grant under the card.
    ///
    /// # Errors
    /// [`ClientError::TooFewShares`] with what each custodian said; [`ClientError::Writer`] when what the
    /// patient prepared contradicts itself.
    pub async fn break_glass(&self, plan: &GlassPlan) -> Result<Vec<GrantFile>, ClientError> {
        let mut attempts = ATTEMPTS;
        loop {
            let (files, error) = match self.glass_once(plan).await {
                Ok(files) => return Ok(files),
                Err((apart, error)) => (apart, error),
            };
            attempts = attempts.saturating_sub(1);
            if !files || attempts == 0 {
                return Err(error);
            }
            self.ground.pause(BETWEEN).await;
        }
    }

    /// One round; an error says whether custodians stood apart, which time can mend.
    async fn glass_once(&self, plan: &GlassPlan) -> Result<Vec<GrantFile>, (bool, ClientError)> {
        let mut rng = self.ground.rng().map_err(|error| (false, error))?;
        let reader = KemSecretKey::generate(&mut rng);
        let mut asked = FuturesUnordered::new();
        for to in (0..self.members).map(MemberIndex::new) {
            let request = glass_request(plan, to, &reader, self.ground.now(), &mut rng);
            asked.push(async move {
                let GlassRequest { terms: GlassTerms { nonce, .. }, .. } = &request;
                let nonce = *nonce;
                (to, nonce, self.call(to, &Request::BreakGlass(request), ANSWER_WITHIN).await)
            });
        }
        let need = usize::from(plan.faults.key_threshold());
        let mut gathered = GlassGathering::default();
        while let Some((to, nonce, answer)) = asked.next().await {
            match answer {
                Some(Response::Glass(glass)) => gathered.take(plan, &reader, to, nonce, &glass),
                other => gathered.faults.push(fault(to, other)),
            }
            if gathered.answered.len() >= need
                && let Some(files) = gathered.open_all(plan)
            {
                return Ok(files);
            }
        }
        gathered.open_some(plan)
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
                    for used in told.into_vec() {
                        let place = uses.entry((used.requester, used.access)).or_insert_with(|| used.clone());
                        // Custodians heard of it at their own times; the first counts.
                        place.at = place.at.min(used.at);
                    }
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
    /// The transaction that closes the review of a look.
    ///
    /// # Errors
    /// Never for what fits; [`ClientError::BeyondGrant`] would say that it does not.
    pub fn close(
        &self,
        used: &EmergencyUse,
        verdict: Verdict,
        rng: &mut impl CryptoRng,
    ) -> Result<Tx, ClientError> {
        let message = review_message(self.chain, used.access, used.requester, self.party, verdict);
        let signature = self.key.sign(namespaces::REVIEW, &message);
        let (access, requester, officer) = (used.access, used.requester, self.party);
        let review = Review { access, requester, officer, verdict, signature };
        let key = review_key(&used.card, used.access);
        let sealed = seal_body(&key, INTENT_PLAIN_BYTES, &encode(&review), rng);
        let body = sealed.ok().and_then(|sealed| Blob::new(sealed).ok()).ok_or(ClientError::BeyondGrant)?;
        let review = review_id(&used.card, used.access);
        Ok(Tx::sign(self.chain, TxBody::CloseReview { review, body }, &SigningKey::generate(rng)))
    }
}

/// What custodians gave so far.
#[derive(Default)]
struct GlassGathering {
    answered: BTreeSet<MemberIndex>,
    looks: BTreeMap<GrantTag, Vec<(MemberIndex, LookShare)>>,
    faults: Vec<Fault>,
}

impl GlassGathering {
    fn take(
        &mut self,
        plan: &GlassPlan,
        reader: &KemSecretKey,
        from: MemberIndex,
        nonce: [u8; 16],
        glass: &Glass,
    ) {
        match opened(plan, reader, from, nonce, glass) {
            Some(looks) => {
                self.answered.insert(from);
                for look in looks {
                    self.looks.entry(look.header.grant).or_default().push((from, look));
                }
            }
            None => self.faults.push(Fault {
                member: from,
                code: Code::BodyMismatch,
                detail: "its answer does not open".to_owned(),
            }),
        }
    }

    /// The grants under the card, if every one that anybody named opens.
    fn open_all(&self, plan: &GlassPlan) -> Option<Vec<GrantFile>> {
        let kits: Result<Vec<GrantFile>, ShareFault> =
            self.looks.values().map(|looks| kit(plan, looks)).collect();
        kits.ok().filter(|files| !files.is_empty())
    }

    /// What opens when nobody else will answer: a liar may have named a grant that there is not.
    fn open_some(self, plan: &GlassPlan) -> Result<Vec<GrantFile>, (bool, ClientError)> {
        let kits: Vec<_> = self.looks.values().map(|looks| kit(plan, looks)).collect();
        let contradicts = kits.iter().any(|kit| matches!(kit, Err(ShareFault::Key)));
        let files: Vec<GrantFile> = kits.into_iter().filter_map(Result::ok).collect();
        if !files.is_empty() {
            return Ok(files);
        }
        if contradicts {
            return Err((false, ClientError::Writer { what: "what was prepared for emergencies is no key" }));
        }
        let (released, needed) = (self.answered.len(), usize::from(plan.faults.key_threshold()));
        Err((released >= needed, ClientError::TooFewShares { released, needed, faults: self.faults }))
    }
}

fn kit(plan: &GlassPlan, looks: &[(MemberIndex, LookShare)]) -> Result<GrantFile, ShareFault> {
    let check = |(from, look): &(MemberIndex, LookShare)| CheckedLook::check(plan.faults, *from, look).ok();
    open_kit(plan.chain, looks.iter().filter_map(check).collect()).map(|(header, kit)| file(&header, kit))
}

fn file(header: &LookHeader, kit: EmergencyKit) -> GrantFile {
    let EmergencyKit { grant_index: index, grant_link: link, grant_body_key: body_key, access_link, grant } =
        kit;
    GrantFile { index, link, body_key, lane: LaneKey::Look { place: header.place, link: access_link }, grant }
}

fn opened(
    plan: &GlassPlan,
    reader: &KemSecretKey,
    from: MemberIndex,
    nonce: [u8; 16],
    glass: &Glass,
) -> Option<Vec<LookShare>> {
    let service = plan.service_keys.get(usize::from(from.get()))?;
    let message = glass_message(plan.chain, from, plan.requester, &glass.sealed);
    let ours = glass.custodian == from && glass.requester == plan.requester;
    let signed = service.verify(namespaces::GLASS, &message, &glass.signature).is_ok();
    if !ours || !signed {
        return None;
    }
    let info = glass_info(plan.chain, from, plan.requester, nonce);
    let plain = reader.open(&info, &[], &glass.sealed).ok()?;
    let NextLooks(looks) = decode(&plain, RPC_BYTES_MAX).ok()?;
    Some(looks.into_vec())
}

fn glass_request(
    plan: &GlassPlan,
    custodian: MemberIndex,
    reader: &KemSecretKey,
    sent: TimeMs,
    rng: &mut impl CryptoRng,
) -> GlassRequest {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let terms = GlassTerms {
        custodian,
        nonce,
        sent,
        requester: plan.requester,
        key: plan.key.public_key(),
        reason: plan.reason,
        card: ShareBytes(Secret::from_bytes(*plan.card.danger_expose())),
        reader: reader.public_key(),
    };
    let message = glass_request_message(plan.chain, &terms);
    let signature = plan.key.sign(namespaces::BREAK_GLASS, &message);
    let second = plan.second.sign(namespaces::BREAK_GLASS_SECOND, &message);
    GlassRequest { terms, signature, second }
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
