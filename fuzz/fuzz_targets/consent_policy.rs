//! The door through which cargo-fuzz reaches [`salus_fuzz::consent_policy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::consent_policy(data));
