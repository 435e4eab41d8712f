//! Streams of more or less meaningful frames, and offers of compression: the inputs from which mutations and fuzzers
//! begin.

use outside::testing::websocket::{TestTerms, client_frame};

use outside_test_support::mutator::Numbers;

/// Bytes that a client might send: mostly valid, with faults of every kind here and there.
pub(crate) fn stream(numbers: &mut Numbers, compressed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut begun = false;
    for _ in 0..1 + numbers.below(6) {
        let first = match numbers.below(40) {
            0 => numbers.below(256) as u8,
            1..=4 => 0x89,
            5 => 0x8a,
            6 | 7 => 0x88,
            8 => *numbers.pick(&[0x01, 0x80, 0x09, 0xc1]),
            9..=24 if begun => *numbers.pick(&[0x00, 0x80, 0x80]),
            _ if begun => 0x80,
            10..=25 => *numbers.pick(&[0x01, 0x02, 0x41, 0x42]),
            _ => *numbers.pick(&[0x81, 0x82, 0xc1, 0xc2]),
        };
        let first = if compressed { first } else { first & !0x40 };
        begun = first & 0x8f == 1 || first & 0x8f == 2 || begun && first & 0x80 == 0;
        let payload = payload(numbers, first);
        let mask = (numbers.below(50) > 0).then(|| std::array::from_fn(|_| numbers.below(256) as u8));
        bytes.extend(client_frame(first, mask, &payload));
        if numbers.below(25) == 0 {
            let place = numbers.below(bytes.len());
            bytes[place] ^= 1 << numbers.below(8);
        }
    }
    if numbers.below(20) == 0 {
        bytes.truncate(numbers.below(bytes.len()));
    }
    bytes
}

fn payload(numbers: &mut Numbers, first: u8) -> Vec<u8> {
    if first & 0x0f == 8 {
        let code = *numbers
            .pick(&[0_u16, 1000, 1001, 1004, 1005, 1006, 1007, 1010, 1012, 1013, 1014, 1015, 1016, 3000, 4999, 5000]);
        let close = [&code.to_be_bytes()[..], *numbers.pick(TEXTS)].concat();
        let length = if numbers.below(4) == 0 { numbers.below(close.len() + 1) } else { close.len() };
        return close[..length].to_vec();
    }
    let mut payload: Vec<u8> = (0..numbers.below(4)).flat_map(|_| numbers.pick(TEXTS).to_vec()).collect();
    match numbers.below(20) {
        0 => payload.resize(*numbers.pick(&[124, 125, 126, 127, 1999, 2000, 2001, 65535, 65536]), b'a'),
        1 => payload.truncate(numbers.below(payload.len() + 1)),
        _ => {}
    }
    if first & 0x40 != 0 {
        return deflated(&payload, numbers.below(2) == 0);
    }
    payload
}

/// A payload as a compressing client sends it.
fn deflated(payload: &[u8], takeover: bool) -> Vec<u8> {
    let terms = TestTerms::negotiate([&b"permessage-deflate"[..]], takeover).expect("a good offer");
    let frame = terms.compressor().frame(false, payload);
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame[head..].to_vec()
}

const TEXTS: &[&[u8]] = &[
    b"Hello",
    b"",
    b"a",
    "κόσμε".as_bytes(),
    "😀".as_bytes(),
    b"\xf0\x9f",
    b"\x98\x80",
    b"\xed\xa0\x80",
    b"\xff",
    b"thirty-two bytes, as in the bench",
];

/// Values of Sec-WebSocket-Extensions.
pub(crate) const OFFERS: &[&str] = &[
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=10; server_max_window_bits=\"9\"",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate",
    "x-webkit-deflate-frame; no_context_takeover, permessage-deflate; client_no_context_takeover",
    "other; a=\"x, \\\" y\"; b, permessage-deflate; server_max_window_bits=15\npermessage-deflate",
    "permessage-deflate; server_max_window_bits=16",
];

/// Header lines of requests that open a WebSocket, or nearly so.
pub(crate) const OPENINGS: &[&str] = &[
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: keep-alive, upgrade\r\n\
     Upgrade: h2c, WebSocket\r\nOrigin: http://a:80\r\nSec-WebSocket-Protocol: other, chat\r\n\
     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Version: 13\r\nOrigin: https://b\r\nContent-Length: 0",
];
