//! Request targets: see `outside_fuzz::target`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::target(input));
