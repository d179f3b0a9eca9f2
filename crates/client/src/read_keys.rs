//! Gathering key shares: every custodian is asked at once, any t of them are enough.
//!
//! A share counts only if the custodian signed the answer, the writer signed the epoch, the epoch
//! belongs to this very grant chain, and the share matches its hash. Whoever fails one is named.

use crate::ask::{Answer, Silence, Told, What};
use crate::error::{ClientError, Fault};
use crate::grant::copy;
use crate::read::ReadPlan;
use rand_core::CryptoRng;
use salus_crypto::chain::{Link, anchored};
use salus_crypto::kem::{KemPublicKey, KemSecretKey};
use salus_crypto::sign::SigningKey;
use salus_fragment::{CheckedShare, OpeningEpoch, ShareFault};
use salus_wire::ids::{AccessTag, EpochId, MemberIndex, TimeMs};
use salus_wire::limits::RPC_BYTES_MAX;
use salus_wire::release::{
    EpochShare, EpochShares, ReleaseRequest, ReleaseTerms, Released, ShareBytes, release_info,
    release_request_message, released_message,
};
use salus_wire::{Code, Height, decode, namespaces};
use std::collections::{BTreeMap, BTreeSet};

/// Pages of epochs taken from one custodian.
const PAGES_MAX: u32 = 1_024;

/// The final access under which a read goes on.
pub(crate) struct Access {
    pub(crate) tag: AccessTag,
    pub(crate) index: u16,
    pub(crate) link: Link,
    pub(crate) one_time: SigningKey,
}

/// Shares as they come in.
pub(crate) struct KeyGathering {
    access: Access,
    reader: KemPublicKey,
    /// Per epoch, one share of each custodian: a share given twice counts once.
    epochs: BTreeMap<(TimeMs, EpochId), BTreeMap<MemberIndex, CheckedShare>>,
    skip: BTreeMap<MemberIndex, u32>,
    /// Custodians from whom nothing more will come.
    answered: BTreeSet<MemberIndex>,
    /// Custodians of whom something was wrong. Their good shares count all the same.
    failed: BTreeSet<MemberIndex>,
    faults: Vec<Fault>,
    threshold: usize,
    members: usize,
}

/// What the keys open: epochs, and the access under which stores serve their segments.
pub(crate) struct Opened {
    pub(crate) access: Access,
    pub(crate) epochs: Vec<OpeningEpoch>,
    pub(crate) missing: usize,
}

impl KeyGathering {
    pub(crate) fn new(plan: &ReadPlan, access: Access, reader: KemPublicKey) -> Self {
        Self {
            access,
            reader,
            epochs: BTreeMap::new(),
            skip: BTreeMap::new(),
            answered: BTreeSet::new(),
            failed: BTreeSet::new(),
            faults: Vec::new(),
            threshold: usize::from(plan.faults.key_threshold()),
            members: usize::from(plan.faults.members()),
        }
    }

    /// A custodian decides on its own view, which may be a block behind the member that told us of
    /// finality: each is asked to reach the access first.
    pub(crate) fn first_asks(&self, plan: &ReadPlan, at: Height) -> Vec<(MemberIndex, What)> {
        (0..plan.faults.members()).map(|member| (MemberIndex::new(member), What::Reach(at))).collect()
    }

    /// Takes one custodian's answer; returns what to ask it next, if anything.
    pub(crate) fn told(
        &mut self,
        plan: &ReadPlan,
        reader: &KemSecretKey,
        told: Told,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> Option<(MemberIndex, What)> {
        let from = told.from;
        let taken = match told.what {
            Ok(Answer::Reached) => return Some((from, self.request(plan, from, 0, now, rng))),
            Ok(Answer::Released(released)) => self.take(plan, reader, from, &released),
            Ok(_) => Err(Code::Malformed),
            Err(Silence::Refused(refusal)) => Err(refusal.code),
            Err(Silence::Unreachable | Silence::Slow) => Err(Code::Unreachable),
        };
        match taken {
            Err(code) => self.fault(from, code, "release of key shares"),
            Ok(0) => {}
            Ok(_) => {
                let skip = self.skip.get(&from).copied().unwrap_or(0);
                if skip / page_len() < PAGES_MAX {
                    return Some((from, self.request(plan, from, skip, now, rng)));
                }
            }
        }
        self.answered.insert(from);
        None
    }

    /// Whether every epoch can be opened, or nobody is left to answer.
    pub(crate) fn is_ready(&self) -> bool {
        let enough = self.complete() >= self.threshold
            && self.epochs.values().all(|shares| shares.len() >= self.threshold);
        enough || self.answered.len() >= self.members
    }

    /// How many custodians gave all they hold, and nothing wrong.
    fn complete(&self) -> usize {
        self.answered.difference(&self.failed).count()
    }

    /// Opens every epoch of which enough shares came.
    pub(crate) fn open(mut self) -> Result<(Opened, Vec<Fault>), ClientError> {
        if self.complete() < self.threshold {
            return Err(ClientError::TooFewShares {
                released: self.complete(),
                needed: self.threshold,
                faults: self.faults,
            });
        }
        let mut epochs = Vec::new();
        let mut missing = 0_usize;
        for (_, shares) in std::mem::take(&mut self.epochs) {
            match OpeningEpoch::combine(shares.into_values().collect()) {
                Ok(opened) => epochs.push(opened),
                Err(ShareFault::TooFew { .. }) => missing = missing.saturating_add(1),
                Err(_) => return Err(ClientError::Writer { what: "good key shares do not make one key" }),
            }
        }
        Ok((Opened { access: self.access, epochs, missing }, self.faults))
    }

    fn take(
        &mut self,
        plan: &ReadPlan,
        reader: &KemSecretKey,
        from: MemberIndex,
        released: &Released,
    ) -> Result<u32, Code> {
        let Released { custodian, access, sealed, remaining, signature } = released;
        if *custodian != from || *access != self.access.tag {
            return Err(Code::Malformed);
        }
        let key = plan.service_keys.get(usize::from(from.get())).ok_or(Code::Internal)?;
        let message = released_message(plan.chain, *custodian, *access, sealed, *remaining);
        key.verify(namespaces::RELEASED, &message, signature).map_err(|_| Code::BadSignature)?;
        let info = release_info(plan.chain, *custodian, *access);
        let plain = reader.open(&info, &[], sealed).map_err(|_| Code::BodyMismatch)?;
        let EpochShares(shares) = decode(&plain, RPC_BYTES_MAX).map_err(|_| Code::Malformed)?;
        let count = u32::try_from(shares.len()).map_err(|_| Code::TooLarge)?;
        for share in shares.into_vec() {
            self.keep(plan, from, share);
        }
        let skip = self.skip.entry(from).or_insert(0);
        *skip = skip.saturating_add(count);
        Ok(if count == 0 { 0 } else { *remaining })
    }

    fn keep(&mut self, plan: &ReadPlan, from: MemberIndex, share: EpochShare) {
        let key = (share.header.span.from(), share.header.epoch);
        match checked(plan, from, share) {
            Ok(share) => {
                self.epochs.entry(key).or_default().insert(from, share);
            }
            Err(code) => self.fault(from, code, "a key share"),
        }
    }

    fn fault(&mut self, member: MemberIndex, code: Code, detail: &str) {
        self.failed.insert(member);
        let fault = Fault { member, code, detail: detail.to_owned() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn request(
        &self,
        plan: &ReadPlan,
        custodian: MemberIndex,
        skip: u32,
        now: TimeMs,
        rng: &mut impl CryptoRng,
    ) -> What {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let terms = ReleaseTerms {
            custodian,
            nonce,
            sent: now,
            one_time: self.access.one_time.public_key(),
            access_index: self.access.index,
            access_link: ShareBytes(self.access.link.to_secret()),
            grant_index: plan.grant.index,
            grant_link: ShareBytes(copy(&plan.grant.link)),
            grant_body_key: ShareBytes(copy(&plan.grant.body_key)),
            reader: self.reader.clone(),
            scope: plan.scope.clone(),
            skip,
        };
        let message = release_request_message(plan.chain, &terms);
        let signature = self.access.one_time.sign(namespaces::RELEASE_REQUEST, &message);
        What::Release(ReleaseRequest { terms, signature })
    }
}

/// A share that is of this grant's epochs, signed by the writer and true to its hash.
fn checked(plan: &ReadPlan, from: MemberIndex, share: EpochShare) -> Result<CheckedShare, Code> {
    let header = &share.header;
    let grant = &plan.grant;
    let ours = header.writer == grant.grant.writer
        && plan.scope.meets(header.class, header.code, &header.span)
        && match &grant.grant.data {
            Some(data) => header.grants == *data,
            None => anchored(&grant.link(), grant.index, &header.grants),
        };
    if !ours {
        return Err(Code::NothingHeld);
    }
    CheckedShare::check(plan.chain, plan.faults, &plan.writer_key, from, share)
        .map_err(|_| Code::BodyMismatch)
}

fn page_len() -> u32 {
    u32::try_from(salus_wire::limits::EPOCHS_PER_ENVELOPE_MAX).unwrap_or(1)
}
