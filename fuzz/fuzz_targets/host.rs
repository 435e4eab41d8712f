//! An authority: see `outside_fuzz::host`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::host(input));
