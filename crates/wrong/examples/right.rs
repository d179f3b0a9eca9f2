//! Right: the acts that the wrong programs get wrong, each done the one way that compiles.
//!
//! Promises nothing but to compile. Refuses to run: what the acts do is tested in their own rooms.
#![forbid(unsafe_code)]

use rand_core::CryptoRng;
use salus_clinical::{Sample, render};
use salus_consent::{Denied, FinalView, Introduced, Permit, Policies, Refusals, decide};
use salus_crypto::{Secret, SigningKey};
use salus_fragment::{CheckedShare, Fragment, OpenError, OpenedSegment, OpeningEpoch, Quorum, SegmentKey};
use salus_fragment::{check, open};
use salus_node::custodian::release;
use salus_node::office::Office;
use salus_proof::Verified;
use salus_store::durable::Plan;
use salus_store::queue::{Arrival, Durable, Queue, QueueError};
use salus_store::shares::Page;
use salus_store::{BatchPromise, Fragments, StoreError};
use salus_wire::release::Released;
use salus_wire::rpc::Refusal;
use salus_wire::tx::Held;
use salus_wire::{ChainId, FragmentIndex, Height, Manifest, SegmentIndex, TimeMs};
use std::error::Error;

/// Opens fragments that were checked.
///
/// # Errors
/// As checking, gathering and opening.
pub fn open_checked_fragments(
    manifest: &Manifest,
    served: Vec<(FragmentIndex, Fragment)>,
    key: SegmentKey,
) -> Result<OpenedSegment, Box<dyn Error>> {
    let mut fragments = Vec::with_capacity(served.len());
    for (index, fragment) in served {
        fragments.push(check(manifest, index, fragment)?);
    }
    let quorum = Quorum::gather(manifest, fragments)?;
    Ok(open(manifest, quorum, key)?)
}

/// Gets a permit from the decision.
///
/// # Errors
/// As [`decide`].
pub fn permit_from_decision(
    introduced: Introduced,
    view: &FinalView,
    refusals: &Refusals,
    policies: &mut Policies,
    now: TimeMs,
) -> Result<Permit, Denied> {
    decide(introduced, view, policies, now)?.permit(refusals)
}

/// Releases shares against a permit.
///
/// # Errors
/// As [`release`].
pub fn release_with_permit(
    permit: Permit,
    page: Page,
    refusals: &Refusals,
    office: &Office,
    rng: &mut impl CryptoRng,
) -> Result<Released, Refusal> {
    release(permit, page, refusals, office, rng)
}

/// Has a frame made durable before its device is answered.
///
/// # Errors
/// As [`Queue::append`].
pub async fn acknowledge_frame(queue: &Queue, arrival: Arrival) -> Result<Durable, QueueError> {
    queue.append(arrival).await
}

/// Has a batch made durable before its gateway is answered.
///
/// # Errors
/// As [`Fragments::keep`].
pub async fn acknowledge_batch(
    store: &Fragments,
    plan: Plan<BatchPromise>,
    chain: ChainId,
    service: &SigningKey,
) -> Result<Held, StoreError> {
    Ok(store.keep(plan).await?.held(chain, service))
}

/// Gets a segment's key from an epoch that custodians opened.
///
/// # Errors
/// As combining, and as [`OpeningEpoch::segment_key`].
pub fn open_with_opening_epoch(
    shares: Vec<CheckedShare>,
    index: SegmentIndex,
    manifest: &Manifest,
) -> Result<SegmentKey, OpenError> {
    let epoch = OpeningEpoch::combine(shares).map_err(|_| OpenError::Mixed)?;
    epoch.segment_key(index, manifest)
}

/// Writes a verified sample for a person.
#[must_use]
pub fn render_verified_sample(sample: &Verified<Sample>) -> String {
    render::line(sample)
}

/// Compares two heights.
#[must_use]
pub fn compare_heights(seen: Height, head: Height) -> bool {
    seen <= head
}

/// Hands a secret on, which leaves none behind.
#[must_use]
pub fn hand_on_secret(secret: Secret<32>) -> (Secret<32>, ()) {
    (secret, ())
}

/// Mentions a secret in a message, which says `[REDACTED]`.
#[must_use]
pub fn mention_secret(secret: &Secret<32>) -> String {
    format!("{secret:?}")
}
