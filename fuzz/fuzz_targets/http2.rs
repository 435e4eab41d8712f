//! Conversations with the HTTP/2 server loop: see `outside_fuzz::http2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::http2(input));
