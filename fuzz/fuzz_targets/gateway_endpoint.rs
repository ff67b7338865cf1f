//! Hands what libFuzzer makes up to [`fuzz::gateway_endpoint`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gateway_endpoint(data));
