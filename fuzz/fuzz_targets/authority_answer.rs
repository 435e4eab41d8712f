//! An answer of a certificate authority: see `outside_fuzz::authority_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::authority_answer(input));
