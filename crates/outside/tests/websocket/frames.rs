//! Transcripts without compression (RFC 6455 sections 5, 7 and 8): bytes of a client, the resulting events, and the
//! answers; the same for all cuts of the bytes.

use outside::testing::websocket::{TestHeard, TestSession, client_frame, code_name, message_head};

use outside_test_support::websocket::invariants::pieces;

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// A frame by its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(first, MASK, payload)
}

fn text(text: &str) -> TestHeard {
    TestHeard::Text(text.as_bytes().to_vec())
}

fn close(code: u16, reason: &str) -> TestHeard {
    TestHeard::Close(Some(code), reason.to_owned())
}

/// Sends at once, cut at every place, and byte by byte; returns events and output.
fn exchange(sent: &[u8], max: usize) -> (Vec<TestHeard>, Vec<u8>) {
    let whole = pieces(sent, [], || TestSession::new(max));
    for cut in 0..sent.len().min(2000) {
        let cut_once = pieces(sent, [cut], || TestSession::new(max));
        assert_eq!((cut_once.heard(), cut_once.said()), (whole.heard(), whole.said()), "cut at {cut}");
    }
    let drip = pieces(sent, 0..sent.len(), || TestSession::new(max));
    assert_eq!((drip.heard(), drip.said()), (whole.heard(), whole.said()), "byte by byte");
    (whole.heard().to_vec(), whole.said().to_vec())
}

/// RFC 6455 section 5.7.
#[test]
fn examples_of_the_rfc() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(frame(0x81, b"Hello"), hello);
    assert_eq!(exchange(hello, 5), (vec![text("Hello")], vec![]));
    let parts = [frame(0x01, b"Hel"), frame(0x80, b"lo")].concat();
    assert_eq!(exchange(&parts, 5), (vec![text("Hello")], vec![]));
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(exchange(ping, 5), (vec![TestHeard::Ping(b"Hello".to_vec())], b"\x8a\x05Hello".to_vec()));
    let bytes = vec![7; 65536];
    assert_eq!(exchange(&frame(0x82, &bytes[..256]), 256).0, [TestHeard::Binary(bytes[..256].to_vec())]);
    let session = pieces(&frame(0x82, &bytes), [], || TestSession::new(1 << 20));
    assert_eq!((session.heard(), session.borrowed()), (&[TestHeard::Binary(bytes.clone())][..], 1));
    assert_eq!(message_head(false, 256), b"\x82\x7e\x01\x00");
    assert_eq!(message_head(false, 65536), b"\x82\x7f\0\0\0\0\0\x01\0\0");
}

#[test]
fn messages_of_every_length() {
    for length in [0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 1000, 65535, 65536, 65537] {
        let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let sent = frame(0x82, &payload);
        for cut in [0, 1, 2, 3, 5, 13, 14, 15, sent.len() / 2, sent.len() - 1] {
            let session = pieces(&sent, [cut.min(sent.len())], || TestSession::new(length));
            assert_eq!(session.heard(), [TestHeard::Binary(payload.clone())], "{length} bytes cut at {cut}");
        }
    }
}

#[test]
fn fragments_with_control_frames_between_them() {
    let ping = |payload: &str| TestHeard::Ping(payload.into());
    let sent = [
        frame(0x01, b""),
        frame(0x89, b"one"),
        frame(0x00, "gr\u{fc}n".as_bytes()),
        frame(0x8a, b"late"),
        frame(0x00, b""),
        frame(0x89, b""),
        frame(0x80, b"!"),
        frame(0x82, b"next"),
        frame(0x02, b""),
        frame(0x80, b""),
        frame(0x88, b"\x03\xe8"),
        frame(0x81, b"not read any more"),
    ];
    let heard = vec![
        ping("one"),
        TestHeard::Pong(b"late".to_vec()),
        ping(""),
        text("gr\u{fc}n!"),
        TestHeard::Binary(b"next".to_vec()),
        TestHeard::Binary(vec![]),
        close(1000, ""),
    ];
    assert_eq!(exchange(&sent.concat(), 100), (heard, b"\x8a\x03one\x8a\x00\x88\x02\x03\xe8".to_vec()));
}

#[test]
fn one_reading_of_many_messages_copies_none() {
    let sent = frame(0x81, b"thirty-two bytes, as in the bench").repeat(100);
    let session = pieces(&sent, [], || TestSession::new(1 << 20));
    assert_eq!((session.heard().len(), session.borrowed(), session.held()), (100, 100, 0));
}

#[test]
fn frames_that_fail_a_connection() {
    let (short, long) = (frame(0x82, b"12345"), frame(0x82, &[0; 126]));
    let declared = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4, 5]].concat();
    let table: Vec<(Vec<u8>, u16, &str)> = vec![
        (client_frame(0x81, None, b"Hello"), 1002, "a frame without a mask"),
        (frame(0xc1, b"Hello"), 1002, "a reserved bit is set"),
        (frame(0xa1, b"Hello"), 1002, "a reserved bit is set"),
        (frame(0x91, b"Hello"), 1002, "a reserved bit is set"),
        (frame(0xc9, b"Hello"), 1002, "a reserved bit is set"),
        (frame(0x83, b"Hello"), 1002, "a reserved opcode"),
        (frame(0x8f, b"Hello"), 1002, "a reserved opcode"),
        (frame(0x09, b"Hello"), 1002, "a fragmented control frame"),
        (frame(0x08, b""), 1002, "a fragmented control frame"),
        (frame(0x89, &[0; 126]), 1002, "a control frame of more than 125 bytes"),
        (frame(0x80, b"Hello"), 1002, "a continuation of nothing"),
        (frame(0x00, b"Hello"), 1002, "a continuation of nothing"),
        ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002, "a message within another one"),
        ([frame(0x02, b"a"), frame(0x01, b"b")].concat(), 1002, "a message within another one"),
        ([frame(0x01, b"a"), frame(0x40, b"b")].concat(), 1002, "a reserved bit is set"),
        (b"\x82\xfe\x00\x7d".to_vec(), 1002, "a length that is longer than it needs to be"),
        (declared(65535), 1002, "a length that is longer than it needs to be"),
        (declared(1 << 63), 1002, "a length of 2^63 or more"),
        (declared((1 << 63) - 1), 1009, "a message larger than max_message"),
        (declared(1 << 32), 1009, "a message larger than max_message"),
        (long, 1009, "a message larger than max_message"),
        ([frame(0x02, &[0; 60]), frame(0x80, &[0; 41])].concat(), 1009, "a message larger than max_message"),
        (frame(0x88, b"\x03"), 1002, "a close frame of one byte"),
        (frame(0x88, b"\x03\xed"), 1002, "a close code that may not be sent"),
        (frame(0x88, b"\x03\xe8\xff"), 1007, "a close reason is not UTF-8"),
    ];
    for (bytes, code, reason) in table {
        let sent = [&short[..], &bytes, &short].concat();
        let (heard, said) = exchange(&sent, 100);
        assert_eq!(heard, [TestHeard::Binary(b"12345".to_vec()), TestHeard::Failed(code, reason)], "{bytes:x?}");
        assert_eq!(said[..2], [0x88, reason.len() as u8 + 2]);
        assert_eq!(said[2..], [&code.to_be_bytes()[..], reason.as_bytes()].concat());
    }
}

#[test]
fn text_is_utf_8_wherever_it_is_cut() {
    let failed = TestHeard::Failed(1007, "a text message is not UTF-8");
    for (valid, bytes) in [
        (true, "Hello-µ@ßöäüàá-UTF-8!!".as_bytes()),
        (true, "κόσμε😀\u{0}\u{ffff}\u{10ffff}".as_bytes()),
        (false, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
        (false, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited"),
        (false, b"\xc0\xaf"),
        (false, b"\xe2\x82"),
        (false, b"\xf0\x9f\x98"),
        (false, b"\x80"),
        (false, b"\xfe"),
    ] {
        let expected = if valid { TestHeard::Text(bytes.to_vec()) } else { failed.clone() };
        assert_eq!(exchange(&frame(0x81, bytes), 100).0, std::slice::from_ref(&expected), "{bytes:x?}");
        for cut in 0..=bytes.len() {
            let sent = [frame(0x01, &bytes[..cut]), frame(0x80, &bytes[cut..])].concat();
            assert_eq!(exchange(&sent, 100).0, std::slice::from_ref(&expected), "{bytes:x?} in two fragments, {cut}");
        }
        // Any bytes are allowed.
        assert_eq!(exchange(&frame(0x82, bytes), 100).0, [TestHeard::Binary(bytes.to_vec())]);
    }
}

/// The connection fails at the first invalid byte, not at the end of the frame or of the message.
#[test]
fn bad_text_fails_at_once() {
    let bytes = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let sent = [frame(0x01, b"so far "), frame(0x80, bytes)].concat();
    // Its second byte makes the character too large.
    let bad = sent.len() - bytes.len() + 12;
    let before = pieces(&sent[..bad], [], || TestSession::new(100));
    assert_eq!(before.heard(), []);
    let after = pieces(&sent[..=bad], [], || TestSession::new(100));
    assert_eq!(after.heard(), [TestHeard::Failed(1007, "a text message is not UTF-8")]);
}

#[test]
fn closing() {
    let sent = frame(0x88, b"\x0f\xa0that is all");
    assert_eq!(exchange(&sent, 0), (vec![close(4000, "that is all")], b"\x88\x02\x0f\xa0".to_vec()));
    assert_eq!(exchange(&frame(0x88, b""), 0), (vec![TestHeard::Close(None, String::new())], b"\x88\x00".to_vec()));

    let mut session = TestSession::new(100);
    assert!(session.close(1001, "restart").unwrap());
    assert!(!session.close(1000, "").unwrap(), "once");
    session.receive(&[frame(0x89, b"x"), frame(0x81, b"still on its way"), frame(0x88, b"\x03\xe9")].concat());
    let heard = [TestHeard::Ping(b"x".to_vec()), text("still on its way"), close(1001, "")];
    assert_eq!((session.heard(), session.said()), (&heard[..], &b"\x88\x09\x03\xe9restart"[..]));

    for code in [999, 1004, 1005, 1006, 1010, 1015, 2999, 5000] {
        assert!(TestSession::new(0).close(code, "").is_err(), "{code}");
    }
    assert_eq!(
        (code_name(1012), code_name(1006), code_name(4711)),
        ("service restart", "abnormal closure", "private use")
    );
}
