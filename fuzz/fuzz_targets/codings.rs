//! Accept-Encoding: see `outside_fuzz::codings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::codings(input));
