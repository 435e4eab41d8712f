//! Heads and whole conversations: see `outside_fuzz::head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::head(input));
