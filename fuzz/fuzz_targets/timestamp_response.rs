//! Hands what libFuzzer makes up to [`fuzz::timestamp_response`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::timestamp_response(data));
