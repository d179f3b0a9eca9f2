//! The door through which cargo-fuzz reaches [`salus_fuzz::store_journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::store_journal(data));
