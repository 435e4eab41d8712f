//! Preconditions: see `outside_fuzz::condition`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::condition(input));
