//! Cookies: see `outside_fuzz::cookies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::cookies(input));
