//! The custodian in an emergency: keeps what patients prepared, breaks the glass, remembers who looked, and
//! tells their privacy officer.
//!
//! A look is remembered durably before anything of it is given, and again before a share is released under it:
//! whoever helps a reader knows of them.

use crate::office::Office;
use crate::refused;
use salus_consent::{Denied, Desk, GlassPermit, Look, may_look, open_review, review_of, verdict};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::sign::PublicKey;
use salus_fragment::verify_look;
use salus_store::Emergencies;
use salus_wire::emergency::{
    EmergencyDeposit, EmergencyUse, Glass, GlassRequest, LookShare, LookShares, NextLooks, ReviewsRequest,
    glass_info, glass_message, prepare_info, prepare_message,
};
use salus_wire::limits::{EMERGENCY_GRANTS_MAX, REVIEWS_MAX, RPC_BYTES_MAX};
use salus_wire::rpc::{Refusal, Response};
use salus_wire::state::{IdentityRecord, Standing};
use salus_wire::{
    AccessTag, Code, GrantTag, List, MemberIndex, PartyId, StateKey, StateValue, decode, encode, namespaces,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// State entries read at once.
const READ_MAX: usize = 1_024;

/// The emergency role of one member.
pub struct Emergency {
    office: Arc<Office>,
    desk: Mutex<Desk>,
    kem: Arc<KemSecretKey>,
    kept: Emergencies,
    /// One look at a time: conduct is judged and written before the next is judged.
    turn: tokio::sync::Mutex<()>,
}

impl Emergency {
    /// The role over what a disk holds; `kem` opens what is sealed to this custodian.
    #[must_use]
    pub fn new(office: Arc<Office>, kem: Arc<KemSecretKey>, kept: Emergencies) -> Self {
        let desk = Mutex::new(Desk::new(office.chain, office.me));
        Self { office, desk, kem, kept, turn: tokio::sync::Mutex::new(()) }
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
        let looks = self.open(&deposit, &grant.one_time)?;
        for card in looks.iter().map(|look| look.header.card).collect::<BTreeSet<_>>() {
            self.room_under(&card, deposit.grant).await?;
        }
        let mut rng = office.rng()?;
        let durable = self.kept.keep(&looks, &mut rng).await.map_err(|error| refused::store(&error))?;
        Ok(durable.prepared())
    }

    fn open(&self, deposit: &EmergencyDeposit, one_time: &PublicKey) -> Result<Vec<LookShare>, Refusal> {
        let Office { chain, me, faults, .. } = *self.office;
        let message = prepare_message(chain, deposit.grant, me, &deposit.sealed);
        one_time
            .verify(namespaces::EMERGENCY_DEPOSIT, &message, &deposit.signature)
            .map_err(|_| refused::bare(Code::BadSignature))?;
        let info = prepare_info(chain, deposit.grant, me);
        let plain = self
            .kem
            .open(&info, &[], &deposit.sealed)
            .map_err(|_| refused::because(Code::BodyMismatch, "the looks do not open"))?;
        let LookShares(looks) = decode(&plain, RPC_BYTES_MAX)
            .map_err(|_| refused::because(Code::Malformed, "what was sealed is no looks"))?;
        for look in looks.iter() {
            if look.header.grant != deposit.grant {
                return Err(refused::because(Code::BodyMismatch, "a look is of another grant"));
            }
            verify_look(chain, faults, one_time, me, look)
                .map_err(|fault| refused::because(Code::BodyMismatch, &fault.to_string()))?;
        }
        Ok(looks.into_vec())
    }

    /// A card finds few grants.
    async fn room_under(&self, card: &Digest, grant: GrantTag) -> Result<(), Refusal> {
        let kept = self.kept.looks(card).await.map_err(|error| refused::store(&error))?;
        let mut grants: BTreeSet<GrantTag> = kept.iter().map(|look| look.header.grant).collect();
        grants.insert(grant);
        if grants.len() > EMERGENCY_GRANTS_MAX { Err(refused::bare(Code::TooLarge)) } else { Ok(()) }
    }

    /// Breaks the glass: gives this custodian's share of the next look of each grant under the card.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn break_glass(&self, request: GlassRequest) -> Result<Glass, Refusal> {
        let office = &self.office;
        let admitted = self.desk(|desk| desk.admit_glass(request, office.now())).map_err(refused::denied)?;
        let view = office.view(admitted.reads()).await?;
        let permit = admitted.decide(&view, office.now()).map_err(refused::denied)?;
        let looks = self.next_looks(permit.card()).await?;
        if looks.is_empty() {
            return Err(refused::denied(Denied::NoLook));
        }
        let tags: Vec<AccessTag> = looks.iter().map(|look| look.header.access).collect();
        let _turn = self.turn.lock().await;
        self.conducted(&permit.uses(&tags)).await?;
        self.give(permit, looks)
    }

    fn give(&self, permit: GlassPermit, looks: Vec<LookShare>) -> Result<Glass, Refusal> {
        let Office { chain, me: custodian, .. } = *self.office;
        let (requester, count) = (permit.requester(), looks.len());
        let redeemed = permit.redeem(self.office.now()).map_err(refused::denied)?;
        let looks = List::new(looks).map_err(|_| refused::bare(Code::Internal))?;
        let info = glass_info(chain, custodian, requester, redeemed.nonce);
        let mut rng = self.office.rng()?;
        let sealed = redeemed
            .reader
            .seal(&info, &[], &encode(&NextLooks(looks)), &mut rng)
            .map_err(|_| refused::because(Code::Malformed, "the reader's key is not a key"))?;
        let message = glass_message(chain, custodian, requester, &sealed);
        let signature = self.office.service.sign(namespaces::GLASS, &message);
        tracing::warn!(%requester, count, "broke the glass, a review is due");
        Ok(Glass { custodian, requester, sealed, signature })
    }

    /// The first look of each standing grant whose tag is not taken.
    async fn next_looks(&self, card: &Digest) -> Result<Vec<LookShare>, Refusal> {
        let mut by_grant: BTreeMap<GrantTag, Vec<LookShare>> = BTreeMap::new();
        for look in self.kept.looks(card).await.map_err(|error| refused::store(&error))? {
            by_grant.entry(look.header.grant).or_default().push(look);
        }
        let mut next = Vec::new();
        for (grant, mut looks) in by_grant.into_iter().take(EMERGENCY_GRANTS_MAX) {
            looks.sort_unstable_by_key(|look| look.header.place);
            let tags = looks.iter().map(|look| StateKey::Access(look.header.access));
            let entries = self.read(std::iter::once(StateKey::Grant(grant)).chain(tags).collect()).await?;
            let stands = matches!(entries.first(), Some(Some(StateValue::Grant(record)))
                if record.standing == Standing::Active);
            let taken = entries.iter().skip(1).take_while(|entry| entry.is_some()).count();
            next.extend(looks.into_iter().nth(taken).filter(|_| stands));
        }
        Ok(next)
    }

    /// Judges looks by the conduct of their user, and remembers them durably when they may be given.
    async fn conducted(&self, looks: &[EmergencyUse]) -> Result<(), Refusal> {
        let Some(requester) = looks.first().map(|used| used.requester) else { return Ok(()) };
        let conduct = self.conduct(&requester).await?;
        let now = self.office.now();
        for used in looks {
            may_look(&conduct, &used.card, used.access, now).map_err(refused::denied)?;
        }
        let known = |used: &&EmergencyUse| conduct.iter().any(|look| look.used.access == used.access);
        let new: Vec<EmergencyUse> = looks.iter().filter(|used| !known(used)).cloned().collect();
        let mut rng = self.office.rng()?;
        let durable = self.kept.remember(&new, &mut rng).await.map_err(|error| refused::store(&error))?;
        let salus_store::emergency::UsePromise = durable.promise();
        Ok(())
    }

    /// Whether shares may be released under an emergency use; remembers it durably first.
    ///
    /// # Errors
    /// A refusal with the clause that denies.
    pub async fn uses(&self, used: EmergencyUse) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.conducted(&[used]).await
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
        let mut uses = self.kept.uses().await.map_err(|error| refused::store(&error))?;
        uses.sort_unstable_by(|a, b| b.cmp(a));
        let theirs = self.people_of(member, &uses).await?;
        uses.retain(|used| theirs.contains(&used.requester));
        uses.truncate(REVIEWS_MAX);
        Ok(Response::Reviews(List::new(uses).map_err(|_| refused::bare(Code::Internal))?))
    }

    async fn people_of(
        &self,
        member: MemberIndex,
        uses: &[EmergencyUse],
    ) -> Result<BTreeSet<PartyId>, Refusal> {
        let people: BTreeSet<PartyId> = uses.iter().map(|used| used.requester).collect();
        let people: Vec<PartyId> = people.into_iter().collect();
        let entries = self.read(people.iter().map(|party| StateKey::Identity(*party)).collect()).await?;
        let there = |entry: &Option<StateValue>| matches!(entry, Some(StateValue::Identity(identity)) if identity.member == member);
        Ok(people
            .into_iter()
            .zip(&entries)
            .filter(|(_, entry)| there(entry))
            .map(|(party, _)| party)
            .collect())
    }

    /// What one person looked at in emergencies, and what came of the reviews.
    async fn conduct(&self, requester: &PartyId) -> Result<Vec<Look>, Refusal> {
        let uses = self.kept.uses_of(requester).await.map_err(|error| refused::store(&error))?;
        let mut keys: Vec<StateKey> = uses.iter().map(review_of).collect();
        keys.push(StateKey::Identity(*requester));
        let mut entries = self.read(keys).await?;
        let Some(Some(StateValue::Identity(identity))) = entries.pop() else {
            return Err(refused::denied(Denied::RequesterUnknown));
        };
        let mut conduct = Vec::with_capacity(uses.len());
        for (used, entry) in uses.into_iter().zip(entries) {
            let closed = self.closed(&used, entry, &identity).await?;
            conduct.push(Look { used, closed });
        }
        Ok(conduct)
    }

    async fn closed(
        &self,
        used: &EmergencyUse,
        entry: Option<StateValue>,
        requester: &IdentityRecord,
    ) -> Result<Option<salus_wire::emergency::Verdict>, Refusal> {
        let Some(StateValue::Review(record)) = entry else { return Ok(None) };
        let Some(review) = open_review(used, &record) else { return Ok(None) };
        let officer = self.read(vec![StateKey::Identity(review.officer)]).await?.pop().flatten();
        let Some(StateValue::Identity(officer)) = officer else { return Ok(None) };
        Ok(verdict(self.office.chain, &review, &record, &officer, requester))
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

#[cfg(test)]
mod tests;
