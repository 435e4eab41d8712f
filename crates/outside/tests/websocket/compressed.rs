//! Transcripts with permessage-deflate (RFC 7692 sections 6 and 7.2).

use outside::testing::websocket::{TestHeard, TestSession, TestTerms, client_frame};

use outside_test_support::websocket::invariants::pieces;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(first, Some([9, 8, 7, 6]), payload)
}

fn terms(takeover: bool) -> TestTerms {
    TestTerms::negotiate([&b"permessage-deflate"[..]], takeover).expect("a good offer")
}

fn heard(frames: &[Vec<u8>], takeover: bool, max: usize) -> Vec<TestHeard> {
    let sent = frames.concat();
    let terms = terms(takeover);
    let session = || TestSession::with_deflate(max, &terms);
    let whole = pieces(&sent, [], session);
    for cut in 0..sent.len() {
        assert_eq!(pieces(&sent, [cut], session).heard(), whole.heard(), "cut at {cut}");
    }
    assert_eq!(pieces(&sent, 0..sent.len(), session).heard(), whole.heard(), "byte by byte");
    whole.heard().to_vec()
}

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// RFC 7692 section 7.2.3.
#[test]
fn examples_of_the_rfc() {
    let hello = TestHeard::Text(b"Hello".to_vec());
    for takeover in [false, true] {
        for frames in [
            vec![frame(0xc1, HELLO)],
            vec![frame(0x41, &HELLO[..3]), frame(0x80, &HELLO[3..])],
            vec![frame(0xc1, &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00])],
            vec![frame(0xc1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])],
            vec![frame(0xc1, &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00])],
            vec![frame(0x41, b""), frame(0x00, HELLO), frame(0x89, b""), frame(0x80, b"")],
        ] {
            let said = heard(&frames, takeover, 5);
            let said: Vec<_> = said.into_iter().filter(|heard| !matches!(heard, TestHeard::Ping(_))).collect();
            assert_eq!(said, std::slice::from_ref(&hello), "{frames:x?}");
        }
    }
    let from_the_window = [frame(0xc1, HELLO), frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])];
    assert_eq!(heard(&from_the_window, true, 5), [hello.clone(), hello.clone()]);
    let failed = TestHeard::Failed(1007, "a message that cannot be inflated");
    assert_eq!(heard(&from_the_window, false, 5), [hello, failed]);
}

#[test]
fn uncompressed_messages_may_come_between() {
    let frames = [
        frame(0x81, b"plain"),
        frame(0xc2, &[0]),
        frame(0xc2, b""),
        frame(0x82, b""),
        frame(0xc1, HELLO),
        frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00]),
    ];
    let (text, empty) = (|text: &str| TestHeard::Text(text.into()), TestHeard::Binary(vec![]));
    let expected = [text("plain"), empty.clone(), empty.clone(), empty, text("Hello"), text("Hello")];
    assert_eq!(heard(&frames, true, 5), expected);
}

#[test]
fn compressed_frames_that_fail_a_connection() {
    let reserved = TestHeard::Failed(1002, "a reserved bit is set");
    assert_eq!(heard(&[frame(0xc9, b"")], false, 5), std::slice::from_ref(&reserved));
    assert_eq!(heard(&[frame(0x41, HELLO), frame(0xc0, b"")], false, 5), [reserved]);
    let broken = TestHeard::Failed(1007, "a message that cannot be inflated");
    for payload in [&[0x07][..], &[0xff; 9], b"\x00\x05\x00\x05\x00Hello"] {
        assert_eq!(heard(&[frame(0xc2, payload)], false, 100), std::slice::from_ref(&broken), "{payload:x?}");
    }
    // 0xff 0xfe, stored.
    let no_text = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xff, 0xfe, 0x00];
    assert_eq!(heard(&[frame(0xc1, &no_text)], true, 5), [TestHeard::Failed(1007, "a text message is not UTF-8")]);
    assert_eq!(heard(&[frame(0xc2, &no_text)], true, 5), [TestHeard::Binary(vec![0xff, 0xfe])]);
    assert_eq!(heard(&[frame(0xc1, HELLO)], true, 4), [TestHeard::Failed(1009, "a message larger than max_message")]);
}

/// The compressor keeps its context through everything that a session sends.
#[test]
fn a_long_conversation() {
    for takeover in [false, true] {
        let terms = terms(takeover);
        let (mut compressor, mut session) = (terms.compressor(), TestSession::with_deflate(1 << 20, &terms));
        let mut sizes = Vec::new();
        for number in 0..200 {
            let text = format!("{{\"type\":\"move\",\"player\":{number},\"x\":{},\"y\":{}}}", number * 7, number * 13);
            let frame = compressor.frame(true, text.as_bytes());
            sizes.push(frame.len());
            session.clear();
            session.receive(&client_frame(frame[0], Some([1; 4]), &frame[2..]));
            assert_eq!(session.heard(), [TestHeard::Text(text.into_bytes())]);
        }
        let last = sizes.last().copied().unwrap_or_default();
        assert!(last < if takeover { 25 } else { 60 }, "{last} bytes, takeover {takeover}");
    }
}
