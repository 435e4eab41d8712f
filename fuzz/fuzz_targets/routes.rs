//! Patterns of routes and a path: see `outside_fuzz::routes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::routes(input));
