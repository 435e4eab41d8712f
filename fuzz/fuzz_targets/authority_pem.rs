//! Key and chain in PEM: see `outside_fuzz::authority_pem`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::authority_pem(input));
