//! Frames of a WebSocket: see `outside_fuzz::websocket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::websocket(input));
