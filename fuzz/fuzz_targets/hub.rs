//! Frames between workers and the hub: see `outside_fuzz::hub`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::hub(input));
