//! Hands what libFuzzer makes up to [`fuzz::note_formats`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::note_formats(data));
