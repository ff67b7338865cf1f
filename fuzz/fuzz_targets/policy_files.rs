//! Hands what libFuzzer makes up to [`fuzz::policy_files`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::policy_files(data));
