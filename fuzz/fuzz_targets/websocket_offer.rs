//! Offers of compression: see `outside_fuzz::websocket_offer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outside_fuzz::websocket_offer(input));
