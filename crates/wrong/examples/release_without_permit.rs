//! Wrong: releases key shares that nobody decided to release.
//!
//! EXPECT: E0061 argument #1 of type `Permit` is missing
#![forbid(unsafe_code)]

use rand_core::CryptoRng;
use salus_consent::Refusals;
use salus_node::custodian::release;
use salus_node::office::Office;
use salus_store::shares::Page;
use salus_wire::release::Released;
use salus_wire::rpc::Refusal;

/// Releases without a permit.
///
/// # Errors
/// As [`release`].
pub fn release_without_permit(
    page: Page,
    refusals: &Refusals,
    office: &Office,
    rng: &mut impl CryptoRng,
) -> Result<Released, Refusal> {
    release(page, refusals, office, rng) // wrong
}
