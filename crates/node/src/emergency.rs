//! The custodian in an emergency: keeps what patients prepared, breaks the glass, remembers who looked, and
//! tells their privacy officer.
//!
//! A look is remembered durably before anything of it is given, and again before a share is released under it:
//! whoever helps a reader knows of them. Nothing that is kept here tells a tag that is free.

use crate::office::Office;
use crate::refused;
use crate::turns::Turns;
use salus_consent::{
    Denied, Desk, GlassPermit, Look, Policies, is_settled, may_give, may_use, review_of, verdict,
};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_fragment::verify_look;
use salus_store::Emergencies;
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyUse, Given, Glass, GlassAsk, GlassRequest, LookAsk, LookShare, LookShares,
    ReviewsRequest, ShownTag, Verdict, card_name, glass_info, glass_message, prepare_info, prepare_message,
};
use salus_wire::limits::{EMERGENCY_GRANTS_MAX, EMERGENCY_MS_MAX, REVIEWS_MAX, RPC_BYTES_MAX};
use salus_wire::rpc::{Refusal, Response};
use salus_wire::state::{GrantRecord, Standing};
use salus_wire::tx::marked_grant_commitment;
use salus_wire::{
    Code, GrantTag, List, MemberIndex, PartyId, StateKey, StateValue, TimeMs, decode, encode, namespaces,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// State entries read at once.
const READ_MAX: usize = 1_024;

/// The emergency role of one member.
pub struct Emergency {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    policies: Mutex<Policies>,
    kem: Arc<KemSecretKey>,
    kept: Emergencies,
    /// One look of a person at a time: conduct is judged and written before the next is judged.
    persons: Turns,
    /// One deposit under a card at a time: room is judged and taken before the next is judged.
    cards: Turns,
}

impl Emergency {
    /// The role over what a disk holds; `kem` opens what is sealed to this custodian.
    #[must_use]
    pub fn new(office: Arc<Office>, kem: Arc<KemSecretKey>, kept: Emergencies) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        let (persons, cards) = (Turns::default(), Turns::default());
        Self { office, desk, policies: Mutex::default(), kem, kept, persons, cards }
    }

    /// Keeps looks that a patient prepared.
    ///
    /// # Errors
    /// A refusal; some looks may be kept, and the patient brings all of them again.
    pub async fn prepare(&self, deposit: EmergencyDeposit) -> Result<Response, Refusal> {
        let office = &self.office;
        if deposit.custodian != office.me {
            let detail = "the looks are addressed to another custodian";
            return Err(refused::because(Code::RequestReplayed, detail));
        }
        let (_, entry) = office.fresh_entry(StateKey::Grant(deposit.grant)).await?;
        let Some(StateValue::Grant(grant)) = entry else { return Err(refused::bare(Code::NoGrant)) };
        if grant.standing != Standing::Active {
            return Err(refused::bare(Code::GrantRevoked));
        }
        let looks = self.open(&deposit, &grant)?;
        let card = card_name(&deposit.card);
        let _turn = self.cards.of(card.as_bytes()).await;
        self.room_under(&card, deposit.grant).await?;
        let mut rng = office.rng()?;
        let kept = self.kept.keep(&card, &looks, &mut rng).await;
        Ok(kept.map_err(|error| refused::store(&error))?.prepared())
    }

    /// Opens a deposit: the grant's own key and the card's signed for it, and the grant, which is the one on the
    /// ledger, names that card. So a grant has one card, and only who has the card puts anything under it.
    fn open(&self, deposit: &EmergencyDeposit, record: &GrantRecord) -> Result<Vec<LookShare>, Refusal> {
        let Office { chain, me, faults, .. } = *self.office;
        let EmergencyDeposit { grant, card, sealed, signature, card_signature, .. } = deposit;
        let message = prepare_message(chain, *grant, me, card, sealed);
        record
            .one_time
            .verify(namespaces::EMERGENCY_DEPOSIT, &message, signature)
            .and_then(|()| card.verify(namespaces::EMERGENCY_DEPOSIT_CARD, &message, card_signature))
            .map_err(|_| refused::bare(Code::BadSignature))?;
        let info = prepare_info(chain, *grant, me);
        let plain = self
            .kem
            .open(&info, &[], sealed)
            .map_err(|_| refused::because(Code::BodyMismatch, "the looks do not open"))?;
        let LookShares(looks) = decode(&plain, RPC_BYTES_MAX)
            .map_err(|_| refused::because(Code::Malformed, "what was sealed is no looks"))?;
        for look in looks.iter() {
            let committed =
                marked_grant_commitment(&look.header.mark, &look.header.terms) == record.commitment;
            if look.header.grant != *grant || !committed {
                return Err(refused::because(Code::BodyMismatch, "a look is of another grant"));
            }
            verify_look(chain, faults, card, me, look)
                .map_err(|fault| refused::because(Code::BodyMismatch, &fault.to_string()))?;
        }
        Ok(looks.into_vec())
    }

    /// A card finds few grants. Those that opened something once and do not any more are removed first.
    async fn room_under(&self, card: &Digest, grant: GrantTag) -> Result<(), Refusal> {
        let kept = self.kept.looks(card).await.map_err(|error| refused::store(&error))?;
        let now = self.office.now();
        let over = |look: &&LookShare| look.header.terms.validity.until() <= now;
        let mut gone: BTreeSet<GrantTag> = kept.iter().filter(over).map(|look| look.header.grant).collect();
        let grants: BTreeSet<GrantTag> = kept.iter().map(|look| look.header.grant).collect();
        let standing = self.standing(&grants).await?;
        gone.extend(grants.difference(&standing));
        gone.remove(&grant);
        if !gone.is_empty() {
            self.destroy(&gone).await?;
        }
        let others = grants.iter().filter(|other| **other != grant && !gone.contains(other)).count();
        if others < EMERGENCY_GRANTS_MAX { Ok(()) } else { Err(refused::bare(Code::TooLarge)) }
    }

    /// Those of these grants that are not withdrawn.
    async fn standing(&self, grants: &BTreeSet<GrantTag>) -> Result<BTreeSet<GrantTag>, Refusal> {
        let entries = self.read(grants.iter().map(|grant| StateKey::Grant(*grant)).collect()).await?;
        let stands = |entry: &Option<StateValue>| match entry {
            Some(StateValue::Grant(record)) => record.standing == Standing::Active,
            _ => false,
        };
        Ok(grants.iter().zip(&entries).filter(|(_, entry)| stands(entry)).map(|(grant, _)| *grant).collect())
    }

    /// Breaks the glass: tells which looks there are under the card, or gives this custodian's share of the next one
    /// of each grant.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn break_glass(&self, request: GlassRequest) -> Result<Glass, Refusal> {
        let office = &self.office;
        let admitted = self.desk(|desk| desk.admit_glass(request, office.now())).map_err(refused::denied)?;
        let view = office.view(admitted.reads()).await?;
        let permit = admitted.decide(&view, office.now()).map_err(refused::denied)?;
        let given = match permit.ask() {
            GlassAsk::Tags => Given::Tags(self.tags(permit.card()).await?),
            GlassAsk::Looks(asks) => Given::Looks(self.next_looks(&permit, asks).await?),
        };
        self.give(permit, &given)
    }

    fn give(&self, permit: GlassPermit, given: &Given) -> Result<Glass, Refusal> {
        let Office { chain, me: custodian, .. } = *self.office;
        let requester = permit.requester();
        let redeemed = permit.redeem(self.office.now()).map_err(refused::denied)?;
        let info = glass_info(chain, custodian, requester, redeemed.nonce);
        let mut rng = self.office.rng()?;
        let sealed = redeemed
            .reader
            .seal(&info, &[], &encode(given), &mut rng)
            .map_err(|_| refused::because(Code::Malformed, "the reader's key is not a key"))?;
        let message = glass_message(chain, custodian, requester, &sealed);
        let signature = self.office.service.sign(namespaces::GLASS, &message);
        if let Given::Looks(looks) = given {
            tracing::warn!(count = looks.len(), "broke the glass, a review is due");
        }
        Ok(Glass { custodian, requester, sealed, signature })
    }

    /// The tags of all looks under a card, of the grants that stand, as they are sealed.
    async fn tags<const MAX: usize>(&self, card: &Digest) -> Result<List<ShownTag, MAX>, Refusal> {
        let kept = self.kept.looks(card).await.map_err(|error| refused::store(&error))?;
        let standing = self.standing(&kept.iter().map(|look| look.header.grant).collect()).await?;
        let mut looks: Vec<LookShare> = kept;
        looks.retain(|look| standing.contains(&look.header.grant));
        looks.sort_unstable_by_key(|look| (look.header.grant, look.header.place));
        let tag = |look: LookShare| ShownTag {
            grant: look.header.grant,
            place: look.header.place,
            tag: look.header.tag,
        };
        if looks.is_empty() {
            return Err(refused::denied(Denied::NoLook));
        }
        List::new(looks.into_iter().map(tag).collect()).map_err(|_| refused::bare(Code::Internal))
    }

    /// The looks asked for that may be given, remembered; what holds back the first when none may.
    async fn next_looks<const MAX: usize>(
        &self,
        permit: &GlassPermit,
        asks: &[LookAsk],
    ) -> Result<List<LookShare, MAX>, Refusal> {
        let (mut looks, mut denied) = (Vec::new(), None);
        for ask in asks {
            match self.next_look(permit, ask).await? {
                Ok(look) => looks.push(look),
                Err(no) => denied = denied.or(Some(no)),
            }
        }
        let _turn = self.persons.of(permit.requester().as_bytes()).await;
        let uses = looks.iter().map(|look| permit.used(&look.header)).collect();
        let (may, no) = self.conducted(permit.requester(), uses, may_give).await?;
        looks.retain(|look| may.iter().any(|used| used.look == look.header.look));
        if looks.is_empty() {
            return Err(refused::denied(no.or(denied).unwrap_or(Denied::NoLook)));
        }
        List::new(looks).map_err(|_| refused::bare(Code::Internal))
    }

    async fn next_look(
        &self,
        permit: &GlassPermit,
        ask: &LookAsk,
    ) -> Result<Result<LookShare, Denied>, Refusal> {
        let kept = self.kept.looks_of(permit.card(), &ask.grant).await;
        let kept = kept.map_err(|error| refused::store(&error))?;
        let view = self.office.view(permit.reads(ask)).await?;
        // Policies hold no invariant that a panic in between could break.
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(permit.next(ask, kept, &view, &mut policies))
    }

    /// Judges uses of one person by their conduct, each after those before it, and remembers durably the ones that
    /// may be. Gives them, and what held back the first of the others.
    async fn conducted(
        &self,
        requester: PartyId,
        uses: Vec<EmergencyUse>,
        may: fn(&[Look], &EmergencyUse, TimeMs) -> Result<(), Denied>,
    ) -> Result<(Vec<EmergencyUse>, Option<Denied>), Refusal> {
        let member = self.member_of(requester).await?;
        let mut conduct = self.conduct(member, &requester, &uses).await?;
        let now = self.office.now();
        let (mut allowed, mut new, mut denied) = (Vec::new(), Vec::new(), None);
        for used in uses {
            match may(&conduct, &used, now) {
                Ok(()) => {
                    new.extend(remembered(&mut conduct, &used));
                    allowed.push(used);
                }
                Err(no) => denied = denied.or(Some(no)),
            }
        }
        let mut rng = self.office.rng()?;
        let durable = self.kept.remember(member, &new, &mut rng).await;
        let salus_store::emergency::UsePromise = durable.map_err(|error| refused::store(&error))?.promise();
        Ok((allowed, denied))
    }

    /// Whether shares may be released under an emergency use; remembers it durably first.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn uses(&self, used: EmergencyUse) -> Result<(), Refusal> {
        let requester = used.requester;
        let _turn = self.persons.of(requester.as_bytes()).await;
        match self.conducted(requester, vec![used], may_use).await? {
            (_, Some(denied)) => Err(refused::denied(denied)),
            (_, None) => Ok(()),
        }
    }

    /// Tells a privacy officer which looks their member's people were given, the newest first.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn reviews(&self, request: ReviewsRequest) -> Result<Response, Refusal> {
        let office = &self.office;
        let admitted =
            self.desk(|desk| desk.admit_reviews(&request, office.now())).map_err(refused::denied)?;
        let view = office.view(admitted.reads()).await?;
        let member = admitted.decide(&view, office.now()).map_err(refused::denied)?;
        let mut uses = self.kept.uses(member).await.map_err(|error| refused::store(&error))?;
        uses.sort_unstable_by(|a, b| b.cmp(a));
        uses.truncate(REVIEWS_MAX);
        Ok(Response::Reviews(List::new(uses).map_err(|_| refused::bare(Code::Internal))?))
    }

    /// Forgets the uses that are older than activity is kept.
    ///
    /// # Errors
    /// A refusal; some of them may be there still.
    pub async fn end(&self) -> Result<(), Refusal> {
        let first = self.office.first_day_kept().await?;
        let ended = self.kept.end_before(first).await.map_err(|error| refused::store(&error))?;
        if ended > 0 {
            tracing::info!(ended, "uses in emergencies were kept for six years, and are gone");
        }
        Ok(())
    }

    /// Which member registered somebody: that never changes.
    async fn member_of(&self, requester: PartyId) -> Result<MemberIndex, Refusal> {
        match self.read(vec![StateKey::Identity(requester)]).await?.pop().flatten() {
            Some(StateValue::Identity(identity)) => Ok(identity.member),
            _ => Err(refused::denied(Denied::RequesterUnknown)),
        }
    }

    /// What one person looked at in emergencies, as far as anything hangs on it, and what came of the reviews. What
    /// is settled is put aside, but for the looks that are `wanted` now.
    async fn conduct(
        &self,
        member: MemberIndex,
        requester: &PartyId,
        wanted: &[EmergencyUse],
    ) -> Result<Vec<Look>, Refusal> {
        let uses = self.kept.uses_of(member, requester).await.map_err(|error| refused::store(&error))?;
        let entries = self.read(uses.iter().map(|used| review_of(used, member)).collect()).await?;
        let look = |(used, entry): (EmergencyUse, Option<StateValue>)| {
            let closed = match entry {
                Some(StateValue::Review(record)) => verdict(&used, &record),
                _ => None,
            };
            Look { used, closed }
        };
        let (now, looks) = (self.office.now(), uses.into_iter().zip(entries).map(look));
        let (over, mut conduct): (Vec<Look>, Vec<Look>) = looks.partition(|look| is_settled(look, now));
        let over: Vec<EmergencyUse> = over.into_iter().map(|look| look.used).collect();
        if !over.is_empty() {
            let settled = self.kept.settle(member, &over, &mut self.office.rng()?).await;
            settled.map_err(|error| refused::store(&error))?;
        }
        for used in wanted {
            let settled = self.kept.settled(member, requester, &used.look).await;
            let settled = settled.map_err(|error| refused::store(&error))?;
            let closed = |used: &EmergencyUse| used.access.map(|_| Verdict::Justified);
            conduct.extend(settled.map(|used| Look { closed: closed(&used), used }));
        }
        Ok(conduct)
    }

    async fn read(&self, keys: Vec<StateKey>) -> Result<Vec<Option<StateValue>>, Refusal> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READ_MAX) {
            values.extend((self.office.read)(keys.to_vec()).await?.1);
        }
        Ok(values)
    }

    /// Removes everything that was prepared under these grants, durably.
    ///
    /// # Errors
    /// A refusal; some of it may be there still.
    pub(crate) async fn destroy(&self, grants: &BTreeSet<GrantTag>) -> Result<(), Refusal> {
        self.kept.destroy(grants).await.map_err(|error| refused::store(&error))
    }

    /// Returns when its disk has failed: it must take nothing more, and the node must end.
    pub async fn failed(&self) {
        self.kept.failed().await;
    }

    fn desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        // A desk holds no invariant that a panic in between could break.
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Enters a use that may be into a conduct; gives what is to be written, if it is not known in full.
fn remembered(conduct: &mut Vec<Look>, used: &EmergencyUse) -> Option<EmergencyUse> {
    let within = |look: &&mut Look| {
        look.used.look == used.look
            && look.used.card == used.card
            && used.at.since_ms(look.used.at) < EMERGENCY_MS_MAX
    };
    match conduct.iter_mut().find(within) {
        Some(look) if look.used.access.is_some() || used.access.is_none() => None,
        Some(look) => {
            look.used.access = used.access;
            Some(look.used.clone())
        }
        None => {
            conduct.insert(0, Look { used: used.clone(), closed: None });
            Some(used.clone())
        }
    }
}

#[cfg(test)]
mod tests;
