//! Inputs that cost more than they carry (docs/security.md S41, S42): bounded in memory and in time.

use std::time::{Duration, Instant};

use outside::testing::websocket::{TestHeard, TestSession, TestTerms, client_frame};

const MIB: usize = 1 << 20;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(first, Some([9, 8, 7, 6]), payload)
}

fn terms(takeover: bool) -> TestTerms {
    TestTerms::negotiate([&b"permessage-deflate"[..]], takeover).expect("a good offer")
}

/// Zeros, compressed: 64 KiB become 64 MiB.
fn bomb(terms: &TestTerms, length: usize) -> Vec<u8> {
    let frame = terms.compressor().frame(false, &vec![0; length]);
    match frame[1] {
        126 => frame[4..].to_vec(),
        127 => frame[10..].to_vec(),
        _ => frame[2..].to_vec(),
    }
}

/// Feeds it piece by piece. Returns its end and the most bytes held.
fn burst(session: &mut TestSession, sent: &[u8], piece: usize) -> (Option<TestHeard>, usize) {
    let mut most = 0;
    for piece in sent.chunks(piece) {
        session.receive(piece);
        most = most.max(session.held());
    }
    (session.heard().last().cloned(), most)
}

#[test]
fn a_deflate_bomb_stops_at_the_bound() {
    for takeover in [false, true] {
        let terms = terms(takeover);
        let sent = bomb(&terms, 64 * MIB);
        assert!((60_000..72_000).contains(&sent.len()), "{} bytes", sent.len());
        for piece in [1 << 20, 16 << 10, 100] {
            let mut session = TestSession::with_deflate(MIB, &terms);
            session.receive(&frame(0xc2, &bomb(&terms, 1000)));
            let (end, most) = burst(&mut session, &frame(0xc2, &sent), piece);
            assert_eq!(end, Some(TestHeard::Failed(1009, "a message larger than max_message")));
            assert!(most <= 2 * MIB, "{most} bytes were held");
            assert_eq!(session.held(), 0, "after the end");
        }
    }
}

#[test]
fn a_bomb_in_fragments_stops_at_the_bound() {
    let terms = terms(false);
    let sent = bomb(&terms, 64 * MIB);
    let mut fragments = frame(0x42, b"");
    for fragment in sent.chunks(1000) {
        fragments.extend(frame(0x00, fragment));
        fragments.extend(frame(0x89, b""));
    }
    let mut session = TestSession::with_deflate(MIB, &terms);
    let (end, most) = burst(&mut session, &fragments, 4096);
    assert_eq!(end, Some(TestHeard::Failed(1009, "a message larger than max_message")));
    assert!(most <= 2 * MIB && session.heard().len() < 5, "{most} bytes, {} events", session.heard().len());
}

#[test]
fn above_a_mebibyte_a_message_inflates_to_ten_times_its_size() {
    let terms = terms(false);
    let large = |length| {
        let mut session = TestSession::with_deflate(64 * MIB, &terms);
        let (end, most) = burst(&mut session, &frame(0xc2, &bomb(&terms, length)), 16 << 10);
        assert!(most <= 3 * MIB, "{most} bytes were held");
        end
    };
    assert!(matches!(large(MIB), Some(TestHeard::Binary(_))));
    let reason = "a message that inflates to more than ten times its size";
    assert_eq!(large(2 * MIB), Some(TestHeard::Failed(1009, reason)));
    // Decimal numbers shrink to about a third.
    let text: String = (0..600_000).map(|number: u32| number.wrapping_mul(2_654_435_761).to_string()).collect();
    let compressed = terms.compressor().frame(true, text.as_bytes());
    let mut session = TestSession::with_deflate(64 * MIB, &terms);
    session.receive(&frame(0xc1, &compressed[10..]));
    assert!(matches!(session.heard(), [TestHeard::Text(heard)] if heard.len() == text.len() && text.len() > 4 * MIB));
}

/// Blocks that hold nothing, and streams that end after two bytes.
#[test]
fn compressed_nothing_is_bounded() {
    let terms = terms(true);
    for nothing in [&[0, 0, 0, 0xff, 0xff][..], &[0x03, 0x00]] {
        let begun = Instant::now();
        let mut session = TestSession::with_deflate(MIB, &terms);
        session.receive(&frame(0x42, b""));
        let fragment = frame(0x00, &nothing.repeat(20_000 / nothing.len()));
        for _ in 0..60 {
            session.receive(&fragment);
        }
        assert_eq!(session.heard(), [TestHeard::Failed(1009, "a message larger than max_message")]);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    let mut session = TestSession::new(16 * MIB);
    session.receive(&frame(0x82, &vec![0; 15 * MIB])[..100]);
    assert!(session.held() <= 256, "{} bytes are held", session.held());
    let mut session = TestSession::new(16 * MIB);
    session.receive(b"\x82\xff\0\0\0\0\x40\0\0\0\x01\x02\x03\x04");
    assert_eq!(session.heard(), [TestHeard::Failed(1009, "a message larger than max_message")]);
}

#[test]
fn endless_fragments_hold_only_their_own_bytes() {
    let mut session = TestSession::new(MIB);
    session.receive(&frame(0x01, b""));
    session.receive(&frame(0x00, b"").repeat(100_000));
    assert_eq!((session.held(), session.heard().len()), (0, 0));
    let (end, most) = burst(&mut session, &frame(0x00, b"x").repeat(MIB + 1), 64 << 10);
    assert_eq!(end, Some(TestHeard::Failed(1009, "a message larger than max_message")));
    assert!(most <= 2 * MIB, "{most} bytes were held");
}
