//! The door through which cargo-fuzz reaches [`salus_fuzz::clinical_segment`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::clinical_segment(data));
