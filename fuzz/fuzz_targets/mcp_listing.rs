//! Hands what libFuzzer makes up to [`fuzz::mcp_listing`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::mcp_listing(data));
