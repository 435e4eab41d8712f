//! Compressed messages: see `outside_fuzz::websocket_deflate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::websocket_deflate(input));
