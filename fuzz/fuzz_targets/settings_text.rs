//! Hands what libFuzzer makes up to [`fuzz::settings_text`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::settings_text(data));
