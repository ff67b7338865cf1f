//! Hands what libFuzzer makes up to [`fuzz::archive_request`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::archive_request(data));
