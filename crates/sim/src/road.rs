//! Calls from gateways and people to members: delayed, lost, doubled, cut, and answered by liars.

use crate::clock::{age_ms, clock, reading, sleeper};
use crate::disk::lock;
use crate::liar;
use crate::member::Life;
use crate::oracle::{Broken, PatientNo, Seen};
use crate::world::{End, World};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use futures::future::{BoxFuture, Either, select};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use salus_client::ClientError;
use salus_client::drive::Ground;
use salus_crypto::chain::Link;
use salus_crypto::secret::Secret;
use salus_link::Subject;
use salus_node::office::{Clock, Timers};
use salus_wire::limits::{RPC_BYTES_MAX, VIEW_STALE_MS};
use salus_wire::rpc::{Request, Response};
use salus_wire::{AccessTag, GrantTag, MemberIndex, PartyId, TimeMs, TxBody, decode, encode};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// Calls in a thousand that arrive twice.
const DOUBLED: u16 = 20;

/// One caller's ground.
pub struct Caller {
    world: Arc<World>,
    context: Arc<Context>,
    end: End,
    subject: Subject,
    clock: Clock,
    sleep: Timers,
    rng: Mutex<StdRng>,
    reads: Mutex<Option<(PatientNo, GrantTag)>>,
}

impl Caller {
    /// The ground of the gateway or of a person. `purpose` tells their dice apart.
    #[must_use]
    pub fn new(world: &Arc<World>, context: Context, end: End, party: PartyId, purpose: u64) -> Self {
        let context = Arc::new(context);
        let subject = match end {
            End::Gateway => Subject::Gateway(party),
            End::People => Subject::Person(party),
        };
        Self {
            end,
            subject,
            clock: clock(Arc::clone(&context), Arc::default()),
            sleep: sleeper(Arc::clone(&context)),
            rng: Mutex::new(world.era_dice(purpose)),
            reads: Mutex::default(),
            world: Arc::clone(world),
            context,
        }
    }

    /// Every access that is recorded from now on is of this patient's, under this grant.
    pub fn reads_under(&self, patient: PatientNo, grant: GrantTag) {
        *lock(&self.reads) = Some((patient, grant));
    }

    /// Tells the oracle whose access is about to be recorded, which the ledger does not say.
    fn intends(&self, request: &Request) {
        let (Request::Submit(tx), Some((patient, grant))) = (request, *lock(&self.reads)) else { return };
        if let TxBody::RecordAccess { tag, .. } = &tx.body {
            self.world.tell(&self.context, Seen::Intended { patient, grant, access: *tag });
        }
    }

    async fn there_and_back(&self, to: MemberIndex, request: &Request) -> Option<Response> {
        let bytes = encode(request);
        self.travel(to).await?;
        if lock(&self.world.dice).random_range(0..1_000) < DOUBLED {
            self.world.fault("doubled call");
            drop(self.answer(to, &bytes));
        }
        let answer = self.answer(to, &bytes)?;
        let response = answer.await.ok()?;
        self.travel(to).await?;
        Some(response)
    }

    /// Over the road once; `None` when what was sent is lost.
    async fn travel(&self, to: MemberIndex) -> Option<()> {
        let weather = self.world.road(self.end, to);
        let (late, lost) = {
            let mut dice = lock(&self.world.dice);
            let late = weather.delay_ms + dice.random_range(0..=weather.jitter_ms);
            (late, dice.random_range(0..1_000) < weather.lost)
        };
        self.context.sleep(Duration::from_millis(late)).await;
        if lost {
            self.world.fault("lost call");
            return std::future::pending().await;
        }
        Some(())
    }

    /// Has the member answer, as part of its present life; `None` when it has none.
    fn answer(&self, to: MemberIndex, request: &[u8]) -> Option<oneshot::Receiver<Response>> {
        let life = lock(&self.world.seat(to).life).clone()?;
        let request: Request = decode(request, RPC_BYTES_MAX).expect("what was encoded can be decoded");
        let (told, answer) = oneshot::channel();
        let (world, subject) = (Arc::clone(&self.world), self.subject);
        life.calls.child("call").spawn(move |context| async move {
            let about = about(&request);
            let stale = is_stale(&world, &context, to, &life);
            let response = if world.liars.contains(&to) {
                liar::answer(&world, to, &life, subject, request).await
            } else {
                Some(life.door.answer(subject, request).await)
            };
            let Some(response) = response else { return };
            if let (Response::Released(released), Some((access, grant))) = (&response, about) {
                debug_assert_eq!(released.access, access);
                let head = life.door.engine.head().height;
                if stale && is_stale(&world, &context, to, &life) && !world.liars.contains(&to) {
                    let how = format!("custodian {to} decided on a view that is old by its own clock");
                    world.breaks(Broken { promise: "INV-5", at_ms: age_ms(&context), how });
                }
                world.see(&context, to, Seen::Released { member: to, access, grant, head });
            }
            let _ = told.send(response);
        });
        Some(answer)
    }
}

/// Whether a member's head is further from its own clock than it may be.
fn is_stale(world: &World, context: &Context, member: MemberIndex, life: &Life) -> bool {
    let now = reading(context, &world.seat(member).skew);
    let head = life.door.engine.head().time;
    now.since_ms(head).max(head.since_ms(now)) > VIEW_STALE_MS
}

/// The access and the grant of a request for key shares.
fn about(request: &Request) -> Option<(AccessTag, GrantTag)> {
    let Request::Release(request) = request else { return None };
    let tag = |share: &salus_wire::release::ShareBytes| {
        Link::from_secret(Secret::from_bytes(*share.0.danger_expose())).tag()
    };
    Some((AccessTag(tag(&request.terms.access_link)), GrantTag(tag(&request.terms.grant_link))))
}

impl Ground for Caller {
    fn members(&self) -> u16 {
        self.world.cast.faults.members()
    }

    fn call<'a>(
        &'a self,
        to: MemberIndex,
        request: &'a Request,
        within: Duration,
    ) -> BoxFuture<'a, Option<Response>> {
        self.intends(request);
        Box::pin(async move {
            let answer = Box::pin(self.there_and_back(to, request));
            match select(answer, Box::pin(self.context.sleep(within))).await {
                Either::Left((response, _)) => response,
                Either::Right(_) => None,
            }
        })
    }

    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        (self.sleep)(time)
    }

    fn now(&self) -> TimeMs {
        (self.clock)()
    }

    fn rng(&self) -> Result<StdRng, ClientError> {
        Ok(StdRng::from_seed(lock(&self.rng).random()))
    }
}
