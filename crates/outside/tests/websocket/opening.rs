//! Opening handshakes as a client sends them (RFC 6455 section 4.2): a whole request in, the fields of the answer out.

use outside::Refusal;
use outside::testing::websocket::{open, upgrade_required_fields};
use outside::testing::{Conversation, Limits};

const HEAD: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The answer to a head with these additional lines.
fn answer(lines: &str, origins: &[&str]) -> Result<String, Refusal> {
    let mut conversation = Conversation::new(Limits::default());
    conversation.receive(format!("{HEAD}{lines}\r\n").as_bytes());
    let request = &conversation.requests()[0].request;
    open(request, &["chat.v2".to_owned(), "chat.v1".to_owned()], origins, true)
}

const ACCEPTED: &str = "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

#[test]
fn answers() {
    for (lines, more) in [
        ("", ""),
        ("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", "Sec-WebSocket-Protocol: chat.v2\r\n"),
        ("Sec-WebSocket-Protocol: other\r\n", ""),
        (
            "Sec-WebSocket-Extensions: foo, permessage-deflate; client_max_window_bits\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        ),
        (
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=10\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=10\r\n",
        ),
        ("Sec-WebSocket-Extensions: permessage-deflate; mux=1\r\n", ""),
        ("Origin: https://example.com\r\n", ""),
    ] {
        assert_eq!(answer(lines, &[]), Ok(format!("{ACCEPTED}{more}")), "{lines}");
    }
}

#[test]
fn pages_of_other_origins() {
    let evil = "Origin: https://evil.com\r\n";
    assert_eq!(answer(evil, &[]).unwrap_err().status, 403);
    assert_eq!(answer(evil, &["https://example.com"]).unwrap_err().status, 403);
    assert_eq!(answer(evil, &["https://example.com", "https://evil.com"]).as_deref(), Ok(ACCEPTED));
    assert_eq!(answer(evil, &["*"]).as_deref(), Ok(ACCEPTED));
    assert_eq!(answer("", &["https://example.com"]).as_deref(), Ok(ACCEPTED), "no browser");
    assert_eq!(answer("Origin: http://example.com\r\n", &["https://other.com"]).unwrap_err().status, 403);
}

#[test]
fn refusals_say_how_to_ask() {
    let refusal = answer("Sec-WebSocket-Version: 12\r\n", &[]).unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (400, "more than one Sec-WebSocket-Version"));
    assert_eq!(upgrade_required_fields(), [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]);
}
