//! The door through which cargo-fuzz reaches [`salus_fuzz::wire_decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::wire_decode(data));
