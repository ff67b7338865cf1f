//! Hands what libFuzzer makes up to [`fuzz::policy_bundle`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::policy_bundle(data));
