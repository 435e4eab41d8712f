//! Requests and answers (RFC 9113 section 8).

use outside::{Headers, Request, Response};

use crate::server::Running;
use crate::wire::{
    CANCEL, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    block, frame, get, request,
};

/// A server that answers with what it has understood.
fn server() -> Running {
    let server = Running::start(|_| {});
    server.set_route("/", |request: &Request| {
        let fields = |headers: &Headers| {
            headers
                .iter()
                .map(|(name, value)| format!("{name}={}\n", String::from_utf8_lossy(value)))
                .collect::<String>()
        };
        format!(
            "{} {} {} {} {}\n{}\n{}",
            request.method(),
            request.url(),
            request.query(),
            request.version(),
            request.host(),
            fields(request.headers()),
            request.text_content().unwrap_or("binary"),
        )
    });
    server
}

#[test]
fn a_request_is_understood() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/a%20b/../c?x=1"));
    let settings = client.frame().unwrap();
    assert_eq!((settings.kind, settings.stream), (SETTINGS, 0));
    // 16 KiB of fields are advertised, although more are read.
    assert!(settings.payload.windows(6).any(|setting| setting == [0, 6, 0, 0, 0x40, 0]), "{settings:?}");
    assert!(settings.payload.windows(6).any(|setting| setting == [0, 3, 0, 0, 0, 100]), "{settings:?}");
    let (status, content) = client.answer(1);
    assert_eq!(status, 200);
    assert_eq!(String::from_utf8(content).unwrap(), "GET /c x=1 HTTP/2 localhost\nhost=localhost\n\n");
    server.logged("\"GET /a%20b/../c?x=1 HTTP/2\" 200 44");
}
