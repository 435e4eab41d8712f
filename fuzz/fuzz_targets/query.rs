//! Query strings: see `outside_fuzz::query`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::query(input));
