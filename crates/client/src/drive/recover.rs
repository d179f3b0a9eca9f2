//! The driver of recovery: brings custodians what is prepared, asks them for it, and sees how far cases are.

use super::{ANSWER_WITHIN, Consortium};
use crate::erasure::fault;
use crate::error::{ClientError, Fault};
use crate::grant::Wallet;
use crate::recovery::CaseStages;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use salus_consent::{recovery_reads, stages};
use salus_crypto::sign::PublicKey;
use salus_proof::{Proven, TrustPolicy};
use salus_wire::ids::{ChainId, GrantTag, MemberIndex};
use salus_wire::limits::LIST_STALE_MS;
use salus_wire::recovery::{RecoveryDeposit, RecoveryTerms};
use salus_wire::release::ShareBytes;
use salus_wire::rpc::{Request, Response};
use salus_wire::state::{CaseRecord, Standing};
use salus_wire::{Code, Faults, StateValue};
use std::time::Duration;

/// Times that a custodian is asked.
const ATTEMPTS: usize = 8;
/// Between them at least.
const BETWEEN: Duration = Duration::from_millis(250);
/// And at most, whatever it says.
const BUSY_MAX: Duration = Duration::from_secs(2);

impl Consortium {
    /// Brings each custodian its part of a preparation; says who has it and what the others did.
    pub async fn keep_recovery(&self, deposits: Vec<RecoveryDeposit>) -> (Vec<MemberIndex>, Vec<Fault>) {
        let mut asked: FuturesUnordered<_> = deposits
            .into_iter()
            .map(|deposit| async move {
                let to = deposit.custodian;
                (to, self.patiently(to, &Request::KeepRecovery(Box::new(deposit))).await)
            })
            .collect();
        let (mut kept, mut faults) = (Vec::new(), Vec::new());
        while let Some((to, answer)) = asked.next().await {
            match answer {
                Some(Response::RecoveryKept) => kept.push(to),
                other => faults.push(said(to, other)),
            }
        }
        kept.sort_unstable();
        (kept, faults)
    }

    /// Asks every custodian for its share of a recovery; the wallet then takes the other's place. Says what those
    /// did that did not give theirs: the same may be asked again, so that they hear of it.
    ///
    /// # Errors
    /// [`ClientError::TooFewShares`] with what each custodian said; [`ClientError::Refused`] with
    /// [`Code::RecoveryEarly`] when the delay is not over for enough of them; [`ClientError::Recovery`].
    pub async fn recover(
        &self,
        chain: ChainId,
        faults: Faults,
        service_keys: &[PublicKey],
        wallet: &mut Wallet,
    ) -> Result<Vec<Fault>, ClientError> {
        let (mut shares, mut failed) = (Vec::new(), Vec::new());
        let mut rng = self.ground.rng()?;
        let mut asked = FuturesUnordered::new();
        for to in (0..self.members).map(MemberIndex::new) {
            let request = wallet.recover_request(chain, to, self.ground.now(), &mut rng);
            let request = request.ok_or(ClientError::Recovery { what: "no case was opened" })?;
            asked.push(async move { (to, self.patiently(to, &request).await) });
        }
        while let Some((to, answer)) = asked.next().await {
            let Some(Response::Recovered(given)) = answer else {
                failed.push(said(to, answer));
                continue;
            };
            let service = service_keys.get(usize::from(to.get()));
            match service.and_then(|service| wallet.recovered_share(chain, to, service, &given)) {
                Some(share) => shares.push((to, share)),
                None => failed.push(fault(to, Code::BodyMismatch, "its share is not what was prepared")),
            }
        }
        drop(asked);
        let needed = usize::from(faults.key_threshold());
        if shares.len() < needed {
            // Some custodians' heads are past the delay and some are not yet: in a moment all are.
            let early = failed.iter().any(|fault| fault.code == Code::RecoveryEarly);
            return Err(match early {
                true => ClientError::Refused { code: Code::RecoveryEarly },
                false => ClientError::TooFewShares { released: shares.len(), needed, faults: failed },
            });
        }
        let shares: Vec<(MemberIndex, ShareBytes)> = shares;
        wallet.take_the_place(&shares)?;
        Ok(failed)
    }

    /// How far the cases of a preparation are, by a proof that is as recent as that of a list: an old one would
    /// hide a case that was opened since.
    ///
    /// # Errors
    /// As [`Consortium::proven`]; [`ClientError::Stale`] when every member's proof is too old.
    pub async fn cases(
        &self,
        terms: &RecoveryTerms,
        entry: GrantTag,
        home: MemberIndex,
        policy: &TrustPolicy,
    ) -> Result<CaseStages, ClientError> {
        let keys = recovery_reads(terms, entry);
        let mut faults = Vec::new();
        for member in self.in_turn(home) {
            let state = self.proven(keys.clone(), member, policy).await?;
            let (at, now) = (state.at(), self.ground.now());
            if now.since_ms(at.time).max(at.time.since_ms(now)) > LIST_STALE_MS {
                faults.push(fault(member, Code::ProofStale, "showing cases of recovery"));
                continue;
            }
            let withdrawn = match keys.first().map(|key| state.get(key)) {
                Some(Proven::Present(StateValue::Grant(record))) => match record.standing {
                    Standing::Revoked(tip) => Some(tip),
                    Standing::Active => None,
                },
                _ => None,
            };
            let cases: Vec<Option<&CaseRecord>> = keys
                .iter()
                .skip(1)
                .map(|key| match state.get(key) {
                    Proven::Present(StateValue::Case(record)) => Some(record),
                    _ => None,
                })
                .collect();
            return Ok(CaseStages { at, withdrawn, stages: stages(terms, withdrawn, &cases, at.time) });
        }
        Err(ClientError::Stale { faults })
    }

    /// Asks a custodian again that is busy, or has not applied the block yet that makes an entry final.
    async fn patiently(&self, to: MemberIndex, request: &Request) -> Option<Response> {
        let mut attempts = ATTEMPTS;
        loop {
            let answer = self.call(to, request, ANSWER_WITHIN).await;
            attempts = attempts.saturating_sub(1);
            match answer {
                Some(Response::Refused(refusal))
                    if attempts > 0 && matches!(refusal.code, Code::CustodianBusy | Code::NoGrant) =>
                {
                    let told = Duration::from_millis(u64::from(refusal.retry_after_ms));
                    self.ground.pause(told.clamp(BETWEEN, BUSY_MAX)).await;
                }
                other => return other,
            }
        }
    }
}

fn said(member: MemberIndex, answer: Option<Response>) -> Fault {
    match answer {
        Some(Response::Refused(refusal)) => {
            fault(member, refusal.code, &String::from_utf8_lossy(&refusal.detail))
        }
        Some(_) => fault(member, Code::Malformed, "it answered another question"),
        None => fault(member, Code::Unreachable, ""),
    }
}
