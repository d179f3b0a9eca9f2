//! Transactions from many callers, each with a certificate and a connection of its own: as fast as they
//! are answered, or at a rate that does not care whether they are (an open loop).

use super::figures::{quantile_ms, real};
use crate::init::party;
use crate::output::Failure;
use crate::person::authority;
use crate::session::{Session, link, rng};
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use salus_client::drive::now;
use salus_crypto::sign::SigningKey;
use salus_link::{Caller, ClientTls, Subject};
use salus_wire::ids::{MemberIndex, PartyId, TimeMs, TimeSpan};
use salus_wire::rpc::{Request, Response};
use salus_wire::tx::PartyKind;
use salus_wire::{ChainId, Code, Outcome, Roles, Tx, TxBody};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Requests that one caller of an open loop has under way at most: as many as a member reads.
const UNDER_WAY_EACH: usize = 32;
/// For a member to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Milliseconds for which a registration of the measurement holds.
const VALID_MS: u64 = 86_400_000;

/// Who submits.
pub(crate) struct Crowd {
    callers: Vec<(Caller, MemberIndex)>,
    chain: ChainId,
    home: MemberIndex,
    registrar: SigningKey,
}

/// How much.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// So many under way for each caller, the next when one is answered.
    Closed(usize),
    /// So many a second from all together, whatever becomes of them.
    Open(f64),
}

/// What became of it.
#[derive(Default)]
pub(crate) struct Offered {
    /// Sent, and not sent because the caller had [`UNDER_WAY_EACH`] under way.
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    /// Final before the time was over.
    pub(crate) in_time: u64,
    /// Refused for now, and of these without saying for how long.
    pub(crate) refused: u64,
    pub(crate) without_hint: u64,
    /// Lost or refused for another reason.
    pub(crate) failed: u64,
    /// From sending to final.
    pub(crate) admitted: Vec<Duration>,
    /// From sending to refused.
    pub(crate) refusals: Vec<Duration>,
    /// The last registered.
    pub(crate) parties: Vec<PartyId>,
    seconds: f64,
}

impl Offered {
    /// Final transactions a second.
    pub(crate) fn goodput(&self) -> f64 {
        real(self.in_time) / self.seconds.max(f64::MIN_POSITIVE)
    }

    pub(crate) fn admitted_ms(&mut self, q: usize) -> f64 {
        quantile_ms(&mut self.admitted, q)
    }

    pub(crate) fn refusals_ms(&mut self, q: usize) -> f64 {
        quantile_ms(&mut self.refusals, q)
    }

    fn add(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.sent, other.sent),
            (&mut self.unsent, other.unsent),
            (&mut self.in_time, other.in_time),
            (&mut self.refused, other.refused),
            (&mut self.without_hint, other.without_hint),
            (&mut self.failed, other.failed),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.admitted.extend(other.admitted);
        self.refusals.extend(other.refusals);
        self.parties.extend(other.parties);
    }

    fn note(&mut self, answered: &Answered, until: Instant) {
        match answered.what {
            What::Final => {
                self.in_time = self.in_time.saturating_add(u64::from(Instant::now() <= until));
                self.admitted.push(answered.took);
                self.parties.push(answered.party);
            }
            What::Busy(retry_after_ms) => {
                self.refused = self.refused.saturating_add(1);
                self.without_hint = self.without_hint.saturating_add(u64::from(retry_after_ms == 0));
                self.refusals.push(answered.took);
            }
            What::Failed => self.failed = self.failed.saturating_add(1),
        }
    }
}

struct Answered {
    party: PartyId,
    took: Duration,
    what: What,
}

enum What {
    Final,
    Busy(u32),
    Failed,
}

impl Crowd {
    /// `count` callers, each certified by member 0 and talking to one member, in turn.
    pub(crate) fn gather(session: &Session, count: u16) -> Result<Self, Failure> {
        let members = session.consortium.faults().members().max(1);
        let callers: Result<Vec<_>, Failure> = (0..count)
            .map(|number| Ok((caller(session)?, MemberIndex::new(number.checked_rem(members).unwrap_or(0)))))
            .collect();
        Ok(Self {
            callers: callers?,
            chain: session.chain(),
            home: session.home,
            registrar: session.registrar()?,
        })
    }

    /// Puts a load on for a while, and waits for every answer.
    pub(crate) async fn offer(&self, load: Load, length: Duration) -> Result<Offered, Failure> {
        let until = Instant::now() + length;
        let each = self.callers.iter().map(|caller| self.one(caller, load, until));
        let mut sum = Offered { seconds: length.as_secs_f64(), ..Offered::default() };
        try_join_all(each).await?.into_iter().for_each(|offered| sum.add(offered));
        Ok(sum)
    }

    async fn one(
        &self,
        (caller, to): &(Caller, MemberIndex),
        load: Load,
        until: Instant,
    ) -> Result<Offered, Failure> {
        let (period, most) = match load {
            Load::Closed(under_way) => (Duration::ZERO, under_way),
            Load::Open(rate) => (self.period(rate), UNDER_WAY_EACH),
        };
        let mut offered = Offered::default();
        let mut under_way = FuturesUnordered::new();
        // The callers do not all begin in the same instant.
        let mut due = Instant::now() + period.mul_f64(f64::from(random()?) / f64::from(u32::MAX));
        while Instant::now() < until {
            let full = under_way.len() >= most;
            let may_send = !full || matches!(load, Load::Open(_));
            tokio::select! {
                Some(answered) = under_way.next() => offered.note(&answered, until),
                () = sleep_until(due.min(until)), if may_send => {
                    due += period;
                    if full {
                        offered.unsent = offered.unsent.saturating_add(1);
                    } else {
                        offered.sent = offered.sent.saturating_add(1);
                        let (party, tx) = self.registration()?;
                        under_way.push(submit(caller, *to, party, tx));
                    }
                }
            }
        }
        while let Some(answered) = under_way.next().await {
            offered.note(&answered, until);
        }
        Ok(offered)
    }

    fn period(&self, rate: f64) -> Duration {
        let callers = u32::try_from(self.callers.len()).map_or(1.0, f64::from);
        Duration::try_from_secs_f64(callers / rate.max(1.0)).unwrap_or(Duration::from_secs(1))
    }

    /// A new party, and the transaction that registers it.
    pub(crate) fn registration(&self) -> Result<(PartyId, Tx), Failure> {
        let (party, at) = (party(&mut rng()?), now());
        let validity = TimeSpan::new(TimeMs::new(at.get().saturating_sub(60_000)), at.plus_ms(VALID_MS));
        let body = TxBody::RegisterIdentity {
            party,
            kind: PartyKind::Person,
            member: self.home,
            key: self.registrar.public_key(),
            validity: validity
                .ok_or_else(|| Failure::new(Code::Internal, "the clock is beyond its range"))?,
            roles: Roles::NONE,
            second: None,
        };
        Ok((party, Tx::sign(self.chain, body, &self.registrar)))
    }

    /// The transaction that ends a registration.
    pub(crate) fn revocation(&self, party: PartyId) -> Tx {
        Tx::sign(self.chain, TxBody::RevokeIdentity { party }, &self.registrar)
    }
}

async fn submit(caller: &Caller, to: MemberIndex, party: PartyId, tx: Tx) -> Answered {
    let started = Instant::now();
    let request = Request::Submit(Box::new(tx));
    let answer = match caller.peer(to) {
        Ok(peer) => peer.call(&request, ANSWER_WITHIN).await,
        Err(error) => Err(error),
    };
    let what = match answer {
        Ok(Response::Committed(committed)) if committed.outcome == Outcome::Applied => What::Final,
        Ok(Response::Refused(refusal)) if refusal.code == Code::QuotaExceeded => {
            What::Busy(refusal.retry_after_ms)
        }
        _ => What::Failed,
    };
    Answered { party, took: started.elapsed(), what }
}

/// A caller with a certificate of its own.
fn caller(session: &Session) -> Result<Caller, Failure> {
    let home = session.layout.member(session.home.get());
    let authority = authority(&home.key("authority.pem"), &home.key("authority.key"))?;
    let own = authority.issue(&Subject::Person(party(&mut rng()?)), &[], now());
    let tls = own.and_then(ClientTls::new).map_err(|error| link(&error))?;
    Caller::new(&tls, &session.consortium.endpoints()).map_err(|error| link(&error))
}

fn random() -> Result<u32, Failure> {
    use rand_core::Rng as _;
    Ok(rng()?.next_u32())
}
