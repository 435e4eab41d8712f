//! Ranges: see `outside_fuzz::range`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::range(input));
