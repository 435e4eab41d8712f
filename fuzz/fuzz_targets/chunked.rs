//! Chunked bodies: see `outside_fuzz::chunked`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::chunked(input));
