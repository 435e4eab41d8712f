//! A certificate in DER: see `outside_fuzz::authority_certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::authority_certificate(input));
