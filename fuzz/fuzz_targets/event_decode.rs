//! Hands what libFuzzer makes up to [`fuzz::event_decode`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::event_decode(data));
