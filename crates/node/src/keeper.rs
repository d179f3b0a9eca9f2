//! The store role: keeps a gateway's fragments and answers with a signed promise once they are
//! durable; serves a fragment to whoever shows a final, unexpired access.
//!
//! Checks are pure functions from values to plans; the disk and the ledger are asked between them.

use crate::office::Office;
use crate::refused;
use salus_crypto::sign::PublicKey;
use salus_fragment::{Fragment, check};
use salus_store::fragments::{batch_root, plan};
use salus_store::{BatchPromise, Fragments, Plan};
use salus_wire::limits::{ACCESS_VALID_MS_MAX, REQUEST_SKEW_MS_MAX};
use salus_wire::rpc::{Fetch, Fetched, Put, PutSegment, Refusal, fetch_message, put_message};
use salus_wire::state::{AccessRecord, Tip};
use salus_wire::tx::Held;
use salus_wire::{
    Blob, ChainId, Code, Faults, FragmentIndex, Geometry, MemberIndex, StateKey, StateValue, TimeMs,
    namespaces,
};
use std::sync::Arc;

/// The store of one member.
pub struct Keeper {
    office: Arc<Office>,
    fragments: Arc<Fragments>,
}

impl Keeper {
    /// The store role over what a disk holds.
    #[must_use]
    pub fn new(office: Arc<Office>, fragments: impl Into<Arc<Fragments>>) -> Self {
        Self { office, fragments: fragments.into() }
    }

    /// Keeps a batch.
    ///
    /// # Errors
    /// A refusal; nothing is promised then.
    pub async fn put(&self, put: Put) -> Result<Held, Refusal> {
        let office = &self.office;
        if put.store != office.me {
            return Err(refused::because(Code::BatchMismatch, "the batch is addressed to another store"));
        }
        let key = office.writer_key(put.gateway).await?;
        signed(office.chain, &put, &key).map_err(refused::bare)?;
        let plan = checked(office.faults, put)?;
        let durable = self.fragments.keep(plan).await.map_err(|error| refused::store(&error))?;
        Ok(durable.held(office.chain, &office.service))
    }

    /// Serves a fragment.
    ///
    /// # Errors
    /// A refusal.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Fetched, Refusal> {
        let office = &self.office;
        timely(&fetch, office.me, office.now()).map_err(refused::bare)?;
        let (at, entry) = office.fresh_entry(StateKey::Access(fetch.terms.access)).await?;
        let Some(StateValue::Access(access)) = entry else {
            return Err(refused::bare(Code::AccessRequired));
        };
        permitted(office.chain, &fetch, &access, at).map_err(refused::bare)?;
        match self.fragments.fetch(&fetch.terms.locator).await {
            Ok(Some(fetched)) => Ok(fetched),
            Ok(None) => Err(refused::bare(Code::NoSuchSegment)),
            Err(error) => Err(refused::store(&error)),
        }
    }

    /// Returns when its disk has failed: it must take nothing more, and the node must end.
    pub async fn failed(&self) {
        self.fragments.failed().await;
    }

    /// Segments kept.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.fragments.count()
    }
}

/// The root that is signed binds every manifest, and the manifests bind the fragments.
fn signed(chain: ChainId, put: &Put, key: &PublicKey) -> Result<(), Code> {
    let root = batch_root(&put.segments);
    let message = put_message(chain, put.gateway, put.batch, put.store, root);
    key.verify(namespaces::PUT, &message, &put.signature).map_err(|_| Code::BadSignature)
}

/// Checks every fragment against its manifest before any is written.
fn checked(faults: Faults, put: Put) -> Result<Plan<BatchPromise>, Refusal> {
    let Put { gateway, batch, store, segments, signature: _ } = put;
    let geometry = Geometry::for_faults(faults);
    let mut good = Vec::with_capacity(segments.len());
    for segment in segments.into_vec() {
        if segment.manifest.geometry != geometry {
            return Err(refused::because(Code::BatchMismatch, "a manifest has another geometry"));
        }
        good.push(checked_segment(segment, store)?);
    }
    plan(gateway, batch, store, good).map_err(|error| refused::store(&error))
}

fn checked_segment(segment: PutSegment, store: MemberIndex) -> Result<PutSegment, Refusal> {
    let PutSegment { manifest, fragment } = segment;
    let index = FragmentIndex::new(store.get());
    let fragment = check(&manifest, index, Fragment::from_bytes(fragment.into_vec()))
        .map_err(|bad| refused::because(Code::BadFragment, &bad.to_string()))?;
    let fragment = Blob::new(fragment.into_bytes()).map_err(|_| refused::bare(Code::TooLarge))?;
    Ok(PutSegment { manifest, fragment })
}

fn timely(fetch: &Fetch, me: MemberIndex, now: TimeMs) -> Result<(), Code> {
    let sent = fetch.terms.sent;
    let apart = now.since_ms(sent).max(sent.since_ms(now));
    if fetch.terms.store != me || apart > REQUEST_SKEW_MS_MAX { Err(Code::RequestReplayed) } else { Ok(()) }
}

/// A final access of the signer's, within its time. For what it is good the custodians decide; a
/// fragment without shares opens nothing.
fn permitted(chain: ChainId, fetch: &Fetch, access: &AccessRecord, at: Tip) -> Result<(), Code> {
    let message = fetch_message(chain, &fetch.terms);
    access
        .one_time
        .verify(namespaces::FETCH, &message, &fetch.signature)
        .map_err(|_| Code::RequestSignature)?;
    let alive = at.time < access.since.time.plus_ms(u64::from(ACCESS_VALID_MS_MAX));
    if alive { Ok(()) } else { Err(Code::AccessExpired) }
}

#[cfg(test)]
mod tests;
