//! Hands what libFuzzer makes up to [`fuzz::verify_receipt`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::verify_receipt(data));
