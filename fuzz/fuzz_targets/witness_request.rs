//! Hands what libFuzzer makes up to [`fuzz::witness_request`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::witness_request(data));
