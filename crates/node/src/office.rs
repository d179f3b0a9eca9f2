//! What a member's roles share: who they are, what time it is, and the member's own final view of
//! the ledger. Clock, entropy, timers and view are
//! values, so that a simulator gives its own.

use crate::eraser::Submit;
use crate::refused;
use futures::future::BoxFuture;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use salus_consent::FinalView;
use salus_crypto::sign::{PublicKey, SigningKey};
use salus_engine::Handle;
use salus_wire::activity::day_of;
use salus_wire::limits::{ACTIVITY_DAYS, VIEW_STALE_MS};
use salus_wire::rpc::Refusal;
use salus_wire::state::{IdentityRecord, Standing, Tip};
use salus_wire::tx::PartyKind;
use salus_wire::{ChainId, Code, Faults, MemberIndex, PartyId, StateKey, StateValue, TimeMs};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Entries of the final state, in the order asked for, all at one head.
pub type Entries = (Tip, Vec<Option<StateValue>>);

/// Reads entries of the member's own final state.
pub type ReadState = Arc<dyn Fn(Vec<StateKey>) -> BoxFuture<'static, Result<Entries, Refusal>> + Send + Sync>;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> TimeMs + Send + Sync>;

/// Gives a fresh generator for one piece of work; nothing may be sealed when there is none.
pub type Entropy = Arc<dyn Fn() -> Option<StdRng> + Send + Sync>;

/// Waits.
pub type Timers = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// The roles' common ground.
pub struct Office {
    /// The consortium.
    pub chain: ChainId,
    /// The member.
    pub me: MemberIndex,
    /// The consortium's bounds.
    pub faults: Faults,
    /// Signs what the store holds and what the custodian released.
    pub service: SigningKey,
    /// The member's own view.
    pub read: ReadState,
    /// The member's own clock.
    pub clock: Clock,
    /// The member's source of randomness.
    pub entropy: Entropy,
    /// The member's timers.
    pub timers: Timers,
}

/// The engine's final state as a role reads it.
#[must_use]
pub fn read_from(engine: Handle) -> ReadState {
    Arc::new(move |keys| {
        let engine = engine.clone();
        Box::pin(async move {
            let (head, values) = engine.read(keys).await.map_err(refused::engine)?;
            Ok((Tip { height: head.height, time: head.time }, values))
        })
    })
}

/// Has a transaction of this member's own ordered by the engine.
#[must_use]
pub fn submit_to(engine: Handle) -> Submit {
    Arc::new(move |tx| {
        let engine = engine.clone();
        Box::pin(async move { engine.submit(tx).await.map_err(refused::engine) })
    })
}

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeMs::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// Generators seeded by the machine.
#[must_use]
pub fn system_entropy() -> Entropy {
    Arc::new(|| StdRng::try_from_rng(&mut SysRng).ok())
}

/// The timers of the async runtime.
#[must_use]
pub fn system_timers() -> Timers {
    Arc::new(|time| Box::pin(tokio::time::sleep(time)))
}

impl Office {
    /// A generator for one piece of work.
    ///
    /// # Errors
    /// When there is no entropy.
    pub(crate) fn rng(&self) -> Result<StdRng, Refusal> {
        (self.entropy)().ok_or(refused::bare(Code::Internal))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        (self.clock)()
    }

    /// A view for a decision, which holds it against the clock itself.
    pub(crate) async fn view(&self, keys: Vec<StateKey>) -> Result<FinalView, Refusal> {
        let (at, values) = (self.read)(keys.clone()).await?;
        FinalView::new(at, keys, values).map_err(refused::denied)
    }

    /// The first day of which activity is kept (days of UTC since 1970-01-01), by the earlier of this member's clock
    /// and its final head: neither a wrong clock nor a wrong block time ends it early alone.
    pub(crate) async fn first_day_kept(&self) -> Result<u32, Refusal> {
        let (head, _) = (self.read)(Vec::new()).await?;
        Ok(day_of(head.time.min(self.now())).saturating_sub(ACTIVITY_DAYS))
    }

    /// One entry, at a head that is not stale.
    pub(crate) async fn fresh_entry(&self, key: StateKey) -> Result<(Tip, Option<StateValue>), Refusal> {
        let (at, values) = (self.read)(vec![key]).await?;
        let now = self.now();
        if now.since_ms(at.time).max(at.time.since_ms(now)) > VIEW_STALE_MS {
            return Err(refused::bare(Code::ViewStale));
        }
        Ok((at, values.into_iter().next().flatten()))
    }

    /// The key with which a gateway may write now.
    pub(crate) async fn writer_key(&self, gateway: PartyId) -> Result<PublicKey, Refusal> {
        let (at, entry) = self.fresh_entry(StateKey::Identity(gateway)).await?;
        match entry {
            Some(StateValue::Identity(identity)) => may_write(&identity, at).map_err(refused::bare),
            _ => Err(refused::bare(Code::UnknownSigner)),
        }
    }
}

fn may_write(identity: &IdentityRecord, at: Tip) -> Result<PublicKey, Code> {
    if identity.kind != PartyKind::Gateway {
        return Err(Code::UnknownSigner);
    }
    if identity.standing != Standing::Active {
        return Err(Code::Revoked);
    }
    if !identity.validity.contains(at.time) {
        return Err(Code::OutsideValidity);
    }
    Ok(identity.key)
}
