//! The door through which cargo-fuzz reaches [`salus_fuzz::queue_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::queue_file(data));
