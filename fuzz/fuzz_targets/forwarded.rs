//! Forwarded and X-Forwarded-For: see `outside_fuzz::forwarded_lies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::forwarded_lies(input));
