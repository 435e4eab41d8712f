//! The answers of a certificate authority to an order: see `outside_fuzz::authority_conversation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::authority_conversation(input));
