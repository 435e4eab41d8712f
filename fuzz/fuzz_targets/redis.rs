//! Values of a broker: see `outside_fuzz::redis`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::redis(input));
