//! People who ask for what they must not have. Each request is sound but for one thing, so that a
//! custodian that misses that one thing gives out a share; each transaction breaks one rule.

use crate::clock::world_ms;
use crate::disk::lock;
use crate::oracle::{Broken, Seen};
use crate::people::{DENIED, FORBIDDEN, GRANT_FILE_BYTES_MAX, Held, consortium, ever, heart_rates, settled};
use crate::road::Caller;
use crate::world::{End, World};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use futures::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use salus_client::GrantFile;
use salus_client::drive::Ground;
use salus_crypto::chain::{Link, seal_body};
use salus_crypto::digest::Digest;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_wire::consent::{Intent, IntentTerms, Vouching};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, INTENT_PLAIN_BYTES, REQUEST_SKEW_MS_MAX};
use salus_wire::release::{ReleaseRequest, ReleaseTerms, ShareBytes, reader_digest, release_request_message};
use salus_wire::rpc::{Request, Response};
use salus_wire::state::Tip;
use salus_wire::tx::{Held as Receipt, PartyKind, access_commitment, intent_message};
use salus_wire::{
    AccessTag, BatchNumber, Blob, Classes, Codes, GrantTag, List, MemberIndex, PartyId, Purpose, Roles,
    Scope, TimeMs, Tx, TxBody, decode, encode, namespaces,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// For a custodian to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// For a member to take a transaction of which only the oracle needs to know what became.
const TAKEN_WITHIN: Duration = Duration::from_millis(200);
/// For which an access that is to expire is good, and how long is waited then.
const SHORT_MS: u32 = 300;
const OUTLIVE: Duration = Duration::from_millis(2_500);
/// Transactions of a world.
const TRANSACTIONS: u64 = 6;

/// What is wrong with a request for key shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    /// Nothing: shows that the others fail for their one defect.
    None,
    Replayed,
    Old,
    OtherCustodian,
    Gap,
    NotRecorded,
    Expired,
    OtherGrantee,
    ForgedIntent,
    MoreClasses,
    MoreKinds,
    OtherPurpose,
    DeniedPurpose,
    ForbiddenPurpose,
    OtherOneTime,
}

const DEFECTS: [Defect; 15] = [
    Defect::None,
    Defect::Replayed,
    Defect::Old,
    Defect::OtherCustodian,
    Defect::Gap,
    Defect::NotRecorded,
    Defect::Expired,
    Defect::OtherGrantee,
    Defect::ForgedIntent,
    Defect::MoreClasses,
    Defect::MoreKinds,
    Defect::OtherPurpose,
    Defect::DeniedPurpose,
    Defect::ForbiddenPurpose,
    Defect::OtherOneTime,
];

/// One access, and everything that a request under it needs.
struct Attempt {
    defect: Defect,
    file: GrantFile,
    place: u16,
    link: Link,
    one_time: SigningKey,
    reader: KemSecretKey,
    /// When the access became final.
    since: Option<Tip>,
}

/// Asks every honest custodian under a grant of its own, with one thing wrong.
pub async fn request(world: &Arc<World>, context: &Context, held: &Held, purpose: u64) {
    let (consortium, ground) = consortium(world, context, held.reader, purpose);
    ground.reads_under(held.patient, held.tag);
    let Ok(mut rng) = ground.rng() else { return };
    let Some(mut attempt) = Attempt::draw(held, &mut rng) else { return };
    world.fault("foul request");
    if attempt.defect == Defect::Gap {
        let Some(first) = attempt.file.lane_link(1) else { return };
        let access = AccessTag(first.tag());
        world.tell(context, Seen::Intended { patient: held.patient, grant: held.tag, access });
    }
    if attempt.defect != Defect::NotRecorded {
        let Some(tx) = attempt.access(world, held, &mut rng) else { return };
        match settled(world, context, &consortium, &tx).await {
            Ok(at) => attempt.since = Some(at),
            Err(_) => return,
        }
    }
    if attempt.defect == Defect::Expired {
        context.sleep(OUTLIVE).await;
    }
    for to in world.cast.indices().filter(|to| !world.liars.contains(to)) {
        attempt.ask(world, context, &ground, to, &mut rng).await;
    }
}

impl Attempt {
    fn draw(held: &Held, rng: &mut StdRng) -> Option<Self> {
        let file: GrantFile = decode(&held.file, GRANT_FILE_BYTES_MAX).ok()?;
        let defect = *DEFECTS.get(rng.random_range(0..DEFECTS.len()))?;
        let place = if defect == Defect::Gap { 2 } else { 1 };
        Some(Self {
            defect,
            link: file.lane_link(place)?,
            file,
            place,
            one_time: SigningKey::generate(rng),
            reader: KemSecretKey::from_seed(Secret::random(rng)),
            since: None,
        })
    }

    /// The record of the access.
    fn access(&self, world: &World, held: &Held, rng: &mut StdRng) -> Option<Tx> {
        let other = self.defect == Defect::OtherGrantee;
        let who = world.cast.readers.get(if other { 1 - held.reader } else { held.reader })?;
        let terms = IntentTerms {
            salt: rng.random(),
            requester: who.party,
            vouching: Vouching::Requester,
            grant: held.tag,
            scope: self.intended(),
            purpose: self.purpose(),
            valid_ms: if self.defect == Defect::Expired { SHORT_MS } else { ACCESS_VALID_MS_MAX },
            reader: reader_digest(&self.reader.public_key()),
            one_time: self.one_time.public_key(),
        };
        let key = if self.defect == Defect::ForgedIntent { &self.one_time } else { &who.key };
        let signature = key.sign(namespaces::INTENT, &intent_message(world.cast.chain, &terms));
        let intent = Intent { terms, signature, second: None };
        let body = seal_body(&self.link.body_key(), INTENT_PLAIN_BYTES, &encode(&intent), rng).ok()?;
        let body = TxBody::RecordAccess {
            tag: AccessTag(self.link.tag()),
            commitment: access_commitment(&intent),
            body: Blob::new(body).ok()?,
        };
        Some(Tx::sign(world.cast.chain, body, &self.one_time))
    }

    fn purpose(&self) -> Purpose {
        match self.defect {
            Defect::OtherPurpose => Purpose::Research,
            Defect::DeniedPurpose => DENIED,
            Defect::ForbiddenPurpose => FORBIDDEN,
            _ => Purpose::Treatment,
        }
    }

    /// What the access says.
    fn intended(&self) -> Scope {
        match self.defect {
            Defect::MoreKinds => Scope { codes: Codes::All, ..heart_rates() },
            _ => heart_rates(),
        }
    }

    /// What the request says.
    fn asked(&self) -> Scope {
        match self.defect {
            Defect::MoreClasses => Scope { classes: Classes::ORDINARY, ..heart_rates() },
            _ => self.intended(),
        }
    }

    fn request(&self, world: &World, to: MemberIndex, now: TimeMs, rng: &mut StdRng) -> ReleaseRequest {
        let members = world.cast.faults.members();
        let other = SigningKey::generate(rng);
        let key = if self.defect == Defect::OtherOneTime { &other } else { &self.one_time };
        let next = MemberIndex::new((to.get() + 1) % members);
        let old = TimeMs::new(now.get() - REQUEST_SKEW_MS_MAX - 10_000);
        let copy = |secret: &ShareBytes| ShareBytes(Secret::from_bytes(*secret.0.danger_expose()));
        let terms = ReleaseTerms {
            custodian: if self.defect == Defect::OtherCustodian { next } else { to },
            nonce: rng.random(),
            sent: if self.defect == Defect::Old { old } else { now },
            one_time: key.public_key(),
            access_index: self.place,
            access_link: ShareBytes(self.link.to_secret()),
            grant_index: self.file.index,
            grant_link: copy(&self.file.link),
            grant_body_key: copy(&self.file.body_key),
            reader: self.reader.public_key(),
            scope: self.asked(),
            skip: 0,
        };
        let message = release_request_message(world.cast.chain, &terms);
        let signature = key.sign(namespaces::RELEASE_REQUEST, &message);
        ReleaseRequest { terms, signature }
    }

    /// Asks one custodian, and breaks the promise if it gives what it must not.
    async fn ask(
        &self,
        world: &World,
        context: &Context,
        ground: &Caller,
        to: MemberIndex,
        rng: &mut StdRng,
    ) {
        let now = TimeMs::new(world_ms(context));
        let request = Request::Release(self.request(world, to, now, rng));
        let before = Standing::of(world, to);
        let first = released(ground.call(to, &request, ANSWER_WITHIN).await);
        let again = self.defect == Defect::Replayed
            && first
            && released(ground.call(to, &request, ANSWER_WITHIN).await);
        let after = Standing::of(world, to);
        let (Some(before), Some(after)) = (before, after) else { return };
        let well = before.life == after.life && before.ahead_ms == 0 && after.ahead_ms == 0;
        let wrong = match self.defect {
            Defect::None => {
                world.controls.fetch_add(u64::from(first), Ordering::Relaxed);
                false
            }
            // Somebody else may have filled the gap meanwhile: the oracle, who sees that, judges it.
            Defect::Gap => false,
            Defect::Replayed => again && well,
            Defect::Old => first && well,
            // A custodian may be behind: it goes by the time of its own head.
            Defect::Expired => first && self.since.is_some_and(|since| before.is_past(since)),
            _ => first,
        };
        if wrong {
            let how = format!("custodian {to} gave shares for a request that is {:?}", self.defect);
            world.breaks(Broken { promise: "INV-5", at_ms: crate::clock::age_ms(context), how });
        }
    }
}

fn released(response: Option<Response>) -> bool {
    matches!(response, Some(Response::Released(_)))
}

/// How a member stands, as it does not know itself.
struct Standing {
    life: u32,
    head: TimeMs,
    ahead_ms: i64,
}

impl Standing {
    fn of(world: &World, member: MemberIndex) -> Option<Self> {
        let seat = world.seat(member);
        let life = lock(&seat.life).clone()?;
        let frozen = seat.skew.frozen_at.load(Ordering::Relaxed) != 0;
        let ahead_ms = if frozen { i64::MIN } else { seat.skew.ahead_ms.load(Ordering::Relaxed) };
        Some(Self { life: life.number, head: life.door.engine.head().time, ahead_ms })
    }

    fn is_past(&self, since: Tip) -> bool {
        self.head >= since.time.plus_ms(u64::from(SHORT_MS))
    }
}

/// Orders transactions that break a rule, of members that may be at work or not. What becomes of
/// them the oracle knows from the rules.
pub fn transactions(world: &Arc<World>, context: &Context) {
    let world = Arc::clone(world);
    context.child("foul").spawn(move |context| async move {
        let ground = Caller::new(&world, context.child("road"), End::Gateway, world.cast.gateway, 70);
        let Ok(mut rng) = ground.rng() else { return };
        // A member that puts false blocks together gets more, and such as its own false state lets it take.
        let count = if world.plan.false_blocks { 3 * TRANSACTIONS } else { TRANSACTIONS };
        for _ in 0..count {
            context.sleep(Duration::from_millis(rng.random_range(100..12_000 / count))).await;
            if rng.random_range(0..7) == 0 {
                world.fault("race");
                race(&world, &ground, &mut rng).await;
                continue;
            }
            let bait = world.plan.false_blocks && rng.random();
            let (to, tx, within) = if bait {
                let liar = world.plan.liars.iter().choose(&mut rng).copied();
                (liar, registered_again(&world, &mut rng), TAKEN_WITHIN)
            } else {
                let anybody = MemberIndex::new(rng.random_range(0..world.cast.faults.members()));
                (Some(anybody), transaction(&world, &mut rng), ANSWER_WITHIN)
            };
            if let Some((to, tx)) = to.zip(tx) {
                world.fault("foul transaction");
                let _ = ground.call(to, &Request::Submit(Box::new(tx)), within).await;
            }
        }
    });
}

/// Registers a person for ever, without a role.
fn registration(party: PartyId, member: MemberIndex, key: PublicKey) -> TxBody {
    let (kind, validity, roles) = (PartyKind::Person, ever(), Roles::NONE);
    TxBody::RegisterIdentity { party, kind, member, key, validity, roles, second: None }
}

/// A person who is registered already.
fn registered_again(world: &World, rng: &mut StdRng) -> Option<Tx> {
    let party = world.cast.readers.first()?.party;
    let key = SigningKey::generate(rng).public_key();
    let member = MemberIndex::new(0);
    let body = registration(party, member, key);
    Some(Tx::sign(world.cast.chain, body, &world.cast.members.first()?.registrar))
}

/// The registrars of all members register one person at once, each under another key and at its own
/// member. Each is sound as long as none of the others is final, so that blocks hold what they refuse.
async fn race(world: &World, ground: &Caller, rng: &mut StdRng) {
    let party = PartyId::new(rng.random());
    let calls = world.cast.indices().zip(&world.cast.members).map(|(member, at)| {
        let key = SigningKey::generate(rng).public_key();
        let body = registration(party, member, key);
        (member, Request::Submit(Box::new(Tx::sign(world.cast.chain, body, &at.registrar))))
    });
    let calls: Vec<_> = calls.collect();
    join_all(calls.iter().map(|(member, request)| ground.call(*member, request, TAKEN_WITHIN))).await;
}

fn transaction(world: &World, rng: &mut StdRng) -> Option<Tx> {
    let (cast, stranger) = (&world.cast, SigningKey::generate(rng));
    let registrar = &cast.members.first()?.registrar;
    let quorum = cast.faults.quorum();
    let register = |party: PartyId| registration(party, MemberIndex::new(0), stranger.public_key());
    let (body, key) = match rng.random_range(0..6) {
        0 => {
            let mut forged = Tx::sign(cast.chain, register(PartyId::new(rng.random())), registrar);
            forged.signature = Tx::sign(cast.chain, forged.body.clone(), &stranger).signature;
            return Some(forged);
        }
        1 => (register(PartyId::new(rng.random())), stranger),
        2 => return registered_again(world, rng),
        3 => {
            let chain = lock(world.patients.first()?).wallet.chain();
            (TxBody::RevokeGrant { tag: GrantTag(chain.link(1).tag()) }, stranger)
        }
        4 => (anchor(world, (0..quorum - 1).collect(), rng)?, crate::keys::signing(cast.gateway_key)),
        _ => {
            let stores = (0..quorum).map(|store| store / 2).collect();
            (anchor(world, stores, rng)?, crate::keys::signing(cast.gateway_key))
        }
    };
    Some(Tx::sign(cast.chain, body, &key))
}

/// An anchor that these stores vouch for.
fn anchor(world: &World, stores: Vec<u16>, rng: &mut StdRng) -> Option<TxBody> {
    let (chain, gateway) = (world.cast.chain, world.cast.gateway);
    let (batch, root) =
        (BatchNumber::new(rng.random_range(1 << 40..1 << 41)), Digest::from_bytes(rng.random()));
    let receipts = stores.into_iter().map(MemberIndex::new).map(|store| {
        let key = crate::keys::signing(world.keys(store).service);
        Receipt::sign(chain, gateway, batch, root, store, &key)
    });
    Some(TxBody::Anchor { gateway, batch, root, held: List::new(receipts.collect()).ok()? })
}
