//! Hands what libFuzzer makes up to [`fuzz::inventory_state`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::inventory_state(data));
