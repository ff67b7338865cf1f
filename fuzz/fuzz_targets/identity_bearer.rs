//! Hands what libFuzzer makes up to [`fuzz::identity_bearer`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::identity_bearer(data));
