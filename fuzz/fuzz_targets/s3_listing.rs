//! Hands what libFuzzer makes up to [`fuzz::s3_listing`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::s3_listing(data));
