//! The engine beside hyper: see `outside_fuzz::differential`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::differential(input));
