//! Wrong: makes a second copy of a secret, which nobody would wipe.
//!
//! EXPECT: E0599 no method named `clone` found for struct `Secret<N>`
#![forbid(unsafe_code)]

use salus_crypto::Secret;

/// Hands a secret on and keeps it too.
pub fn clone_secret(secret: Secret<32>) -> (Secret<32>, Secret<32>) {
    (secret.clone(), secret) // wrong
}
