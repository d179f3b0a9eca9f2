//! Wrong: prints a secret as text.
//!
//! EXPECT: E0277 `Secret<32>` doesn't implement `std::fmt::Display`
#![forbid(unsafe_code)]

use salus_crypto::Secret;

/// Puts a secret into a message.
pub fn print_secret(secret: &Secret<32>) -> String {
    format!("the key is {secret}") // wrong
}
