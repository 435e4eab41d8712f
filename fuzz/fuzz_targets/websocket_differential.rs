//! Frames beside tungstenite: see `outside_fuzz::websocket_differential`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::websocket_differential(input));
