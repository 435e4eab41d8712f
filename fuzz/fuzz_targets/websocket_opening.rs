//! Opening handshakes: see `outside_fuzz::websocket_opening`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::websocket_opening(input));
