//! The door through which cargo-fuzz reaches [`salus_fuzz::mqtt_speaker`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| salus_fuzz::mqtt_speaker(data));
