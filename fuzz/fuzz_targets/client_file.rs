//! Hands what libFuzzer makes up to [`fuzz::client_file`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::client_file(data));
