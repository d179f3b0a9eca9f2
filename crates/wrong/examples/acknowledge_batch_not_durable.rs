//! Wrong: promises a gateway a batch that was planned but not written.
//!
//! EXPECT: E0599 no method named `held` found for struct `BatchPromise`
#![forbid(unsafe_code)]

use salus_crypto::SigningKey;
use salus_store::BatchPromise;
use salus_store::durable::Plan;
use salus_wire::ChainId;
use salus_wire::tx::Held;

/// Signs for a plan.
pub fn acknowledge_batch(plan: Plan<BatchPromise>, chain: ChainId, service: &SigningKey) -> Held {
    plan.promise.held(chain, service) // wrong
}
