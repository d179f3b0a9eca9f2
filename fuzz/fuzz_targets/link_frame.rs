//! The door through which cargo-fuzz reaches [`salus_fuzz::link_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::link_frame(data));
