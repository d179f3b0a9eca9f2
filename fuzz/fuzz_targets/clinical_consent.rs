//! The door through which cargo-fuzz reaches [`salus_fuzz::clinical_consent`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::clinical_consent(data));
