//! Properties of a WebSocket that hold for every input; shared by the fuzz targets and the mutation run.
//!
//! For all cuts of the bytes, events and output are the same; limits are kept; text is UTF-8; at most one Close frame
//! is sent, and no frame behind it; the receiver reads the output of the compressor. A violation is a panic.

use outside::Request;
use outside::testing::websocket::{TestHeard, TestSession, TestTerms, client_frame, open};
use outside::testing::{Conversation, Limits};

/// A session that got its input in pieces: each cut ends one.
pub fn pieces(
    input: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    session: impl FnOnce() -> TestSession,
) -> TestSession {
    let mut session = session();
    let mut start = 0;
    for cut in cuts.into_iter().chain([input.len()]) {
        session.receive(&input[start..cut]);
        start = cut;
    }
    session
}

/// Small enough that small inputs exceed it.
const MAX_MESSAGE: usize = 2000;

/// Bytes of a client behind its handshake.
pub fn frames(input: &[u8]) {
    let whole = read(input, [], None);
    for cuts in cuts(input) {
        let other = read(input, cuts, None);
        assert_eq!((whole.heard(), whole.said()), (other.heard(), other.said()));
    }
    for takeover in [false, true] {
        let terms = TestTerms::negotiate([&b"permessage-deflate"[..]], takeover);
        let whole = read(input, [], terms.as_ref());
        for cuts in cuts(input) {
            let other = read(input, cuts, terms.as_ref());
            // Of several faults in one piece, another one may be found first.
            let failed = |heard: &TestHeard| matches!(heard, TestHeard::Failed(..));
            let same = whole.heard().iter().zip(other.heard()).all(|(a, b)| a == b || failed(a) && failed(b));
            assert!(same && whole.heard().len() == other.heard().len(), "{:?} {:?}", whole.heard(), other.heard());
        }
    }
}

/// At a place that depends on the input, and at every place.
fn cuts(input: &[u8]) -> [Vec<usize>; 2] {
    let mixed = input.iter().fold(7_usize, |mixed, &byte| mixed.wrapping_mul(31).wrapping_add(usize::from(byte)));
    [vec![mixed % (input.len() + 1)], (0..input.len()).collect()]
}

fn read(input: &[u8], cuts: impl IntoIterator<Item = usize>, terms: Option<&TestTerms>) -> TestSession {
    let session = || match terms {
        Some(terms) => TestSession::with_deflate(MAX_MESSAGE, terms),
        None => TestSession::new(MAX_MESSAGE),
    };
    let session = pieces(input, cuts, session);
    check(&session);
    session
}

fn check(session: &TestSession) {
    assert!(session.held() <= 2 * MAX_MESSAGE + 256, "{} bytes are held", session.held());
    let mut pongs = Vec::new();
    for (place, heard) in session.heard().iter().enumerate() {
        let is_last = place + 1 == session.heard().len();
        match heard {
            TestHeard::Text(payload) => assert!(payload.len() <= MAX_MESSAGE && std::str::from_utf8(payload).is_ok()),
            TestHeard::Binary(payload) => assert!(payload.len() <= MAX_MESSAGE),
            TestHeard::Pong(payload) => assert!(payload.len() <= 125),
            TestHeard::Ping(payload) => pongs.extend([&[0x8a, payload.len() as u8][..], payload].concat()),
            TestHeard::Close(code, reason) => {
                assert!(is_last && reason.len() <= 123 && code.is_none_or(|code| (1000..5000).contains(&code)));
            }
            TestHeard::Failed(code, _) => assert!(is_last && matches!(code, 1002 | 1007 | 1009)),
        }
    }
    let close = match session.heard().last() {
        Some(TestHeard::Close(None, _)) => vec![0x88, 0],
        Some(TestHeard::Close(Some(code), _)) => [&[0x88, 2][..], &code.to_be_bytes()].concat(),
        Some(TestHeard::Failed(code, reason)) => {
            [&[0x88, reason.len() as u8 + 2][..], &code.to_be_bytes(), reason.as_bytes()].concat()
        }
        _ => Vec::new(),
    };
    assert_eq!(session.said(), [pongs, close].concat());
}

/// The reading of the server's compressed output by a client: the same messages, under any terms. The first byte
/// chooses the terms, and the rest is cut into messages.
pub fn compression(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let offer = format!("permessage-deflate; server_max_window_bits={}", 8 + choice % 8);
    let terms = TestTerms::negotiate([offer.as_bytes()], choice & 0x80 != 0).expect("a good offer");
    assert!(terms.to_field_value().ends_with(&offer["permessage-deflate".len()..]));
    let mut compressor = terms.compressor();
    let mut session = TestSession::with_deflate(1 << 20, &terms);
    let step = 1 + usize::from(choice) * 3;
    for message in rest.chunks(step).chain([&rest[..rest.len().min(1)], b"", rest, rest]) {
        let frame = compressor.frame(false, message);
        let payload = match frame[1] {
            126 => &frame[4..],
            127 => &frame[10..],
            _ => &frame[2..],
        };
        session.clear();
        session.receive(&client_frame(frame[0], Some([choice, 1, 2, 3]), payload));
        assert!(matches!(session.heard(), [TestHeard::Binary(heard)] if heard == message), "{:?}", session.heard());
    }
}

/// A field value of offers: accepted terms keep to the offer, by a reading of the test's own.
pub fn offer(input: &[u8]) {
    for takeover in [false, true] {
        let Some(terms) = TestTerms::negotiate(input.split(|&byte| byte == b'\n'), takeover) else { continue };
        let answer = terms.to_field_value();
        let text = String::from_utf8_lossy(input).to_lowercase();
        let mut parameters = answer.split("; ");
        assert_eq!(parameters.next(), Some("permessage-deflate"));
        assert!(text.contains("permessage-deflate"));
        for parameter in parameters {
            let (name, value) =
                parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
            match value {
                None => assert!(!takeover || text.contains(name), "{answer}"),
                Some(bits) => {
                    assert!(
                        matches!(bits.parse(), Ok(8..=15)) && text.contains(name) && text.contains(bits),
                        "{answer}"
                    );
                }
            }
        }
        // The answer is itself an offer that leads to it.
        let again = TestTerms::negotiate([answer.as_bytes()], takeover).expect("an offer");
        assert_eq!(again.to_field_value(), answer);
    }
}

/// Header lines of an opening request: every part of the answer was asked for, and it holds no line of the client's
/// own.
pub fn opening(input: &[u8]) {
    let mut conversation = Conversation::new(Limits::default());
    conversation.receive(&[b"GET / HTTP/1.1\r\nHost: a\r\n", input, b"\r\n\r\n"].concat());
    for received in conversation.requests() {
        let request = &received.request;
        match open(request, &["chat".to_owned(), "b c".to_owned()], &[], false) {
            Ok(answer) => check_answer(request, &answer),
            Err(refusal) => assert!(matches!(refusal.status, 400 | 403 | 426), "{refusal:?}"),
        }
    }
}

fn check_answer(request: &Request, answer: &str) {
    let all = |name: &str| {
        let values: Vec<_> = request.headers().get_all(name).map(String::from_utf8_lossy).collect();
        values.join(",").to_lowercase()
    };
    assert!(request.method() == "GET" && request.version() == "HTTP/1.1" && request.content().is_empty());
    assert!(all("connection").contains("upgrade") && all("upgrade").contains("websocket"));
    assert!(all("sec-websocket-version") == "13" && all("sec-websocket-key").len() == 24);
    let origin = all("origin");
    assert!(origin.is_empty() || origin.contains(&request.host().to_lowercase()), "{origin}");
    let mut lines = answer.strip_suffix("\r\n").expect("lines").split("\r\n");
    assert_eq!(lines.next(), Some("Upgrade: websocket"));
    let accept = lines.next().and_then(|line| line.strip_prefix("Sec-WebSocket-Accept: "));
    assert!(accept.is_some_and(|accept| accept.len() == 28 && accept.ends_with('=')), "{answer}");
    for line in lines {
        let deflate = line.starts_with("Sec-WebSocket-Extensions: permessage-deflate");
        assert!(deflate || line == "Sec-WebSocket-Protocol: chat", "{answer}");
    }
}
