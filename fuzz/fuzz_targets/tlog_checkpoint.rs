//! Hands what libFuzzer makes up to [`fuzz::tlog_checkpoint`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::tlog_checkpoint(data));
