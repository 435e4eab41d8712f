//! Paths of files: see `outside_fuzz::path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::path(input));
