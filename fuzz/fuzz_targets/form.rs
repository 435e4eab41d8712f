//! Forms of both kinds: see `outside_fuzz::form`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::form(input));
