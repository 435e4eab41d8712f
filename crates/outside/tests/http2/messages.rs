//! Requests and answers (RFC 9113 section 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outside::{Headers, Request, Response};

use outside_test_support::http2::wire::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, frames, get, request,
};
use outside_test_support::server::Running;

/// A server that answers with the request as parsed, and the number of requests.
fn server() -> (Running, Arc<AtomicUsize>) {
    let (server, count) = (Running::start_h2c(|config| config.max_body_size = 4096), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    server.set_route("/", move |request: &Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        let fields = |headers: &Headers| {
            headers
                .iter()
                .map(|(name, value)| format!("{name}={}\n", String::from_utf8_lossy(value)))
                .collect::<String>()
        };
        format!(
            "{} {} {} {} {} {}\n{}\n{}",
            request.method(),
            request.url(),
            request.query(),
            request.version(),
            request.scheme(),
            request.host(),
            fields(request.headers()),
            request.text_content().unwrap_or("binary"),
        )
    });
    (server, count)
}

fn text(content: Vec<u8>) -> String {
    String::from_utf8(content).unwrap()
}

#[test]
fn a_request_is_understood() {
    let (server, _) = server();
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/a%20b/../c?x=1"));
    let settings = client.frame().unwrap();
    assert_eq!((settings.kind, settings.stream), (SETTINGS, 0));
    for (number, value) in [(1, 4 << 10), (3, 100), (4, 64 << 10), (6, 32 << 10)] {
        let setting = [&[0, number][..], &u32::to_be_bytes(value)].concat();
        assert!(settings.payload.chunks(6).any(|it| it == setting), "setting {number} in {settings:?}");
    }
    // The connection's window is shared by all its streams; 65,535 bytes are there by default.
    let update = loop {
        let frame = client.frame().unwrap();
        if (frame.kind, frame.stream) == (WINDOW_UPDATE, 0) {
            break frame;
        }
    };
    assert_eq!(update.payload, u32::to_be_bytes(100 * 65_536 - 65_535));
    let (status, content) = client.answer(1);
    assert_eq!(status, 200);
    assert_eq!(text(content), "GET /c x=1 HTTP/2 http localhost\nhost=localhost\n\n");
    server.log.wait_for("\"GET /a%20b/../c?x=1 HTTP/2\" 200 49");
}

#[test]
fn fields_are_those_of_one_request() {
    let (server, _) = server();
    let mut client = Client::connect(server.address);
    let mut fields = get("/");
    fields.extend([
        ("cookie", "a=1"),
        ("x-a", "1"),
        ("cookie", "b=2"),
        ("x-a", "2"),
        ("x_forwarded_for", "evil"),
        ("te", "trailers"),
        ("host", "LOCALHOST"),
    ]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
    let (_, content) = client.answer(1);
    let lines = text(content);
    assert!(lines.starts_with("GET /  HTTP/2 http localhost\nhost=localhost\n"), "{lines}");
    for line in ["cookie=a=1; b=2\n", "x-a=1\n", "x-a=2\n", "te=trailers\n"] {
        assert_eq!(lines.matches(line).count(), 1, "{line} in {lines}");
    }
    assert!(!lines.contains("evil"), "{lines}");
    // Only the Host field: equivalent to an authority (section 8.3.1).
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "other.example")];
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&fields)));
    let head = client.frame_of(3);
    assert!(head.payload.starts_with(&[0x88]), "{head:?}");
    assert!(text(client.frame_of(3).payload).starts_with("GET /  HTTP/2 http other.example\n"));
}

#[test]
fn malformed_messages_never_reach_a_handler() {
    let (server, count) = server();
    let with = |name, value| [get("/"), vec![(name, value)]].concat();
    let without = |name| get("/").into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let instead = |name, value| [vec![(name, value)], without(name)].concat();
    let long = "a".repeat(9000);
    let long_path = format!("/{long}");
    let many = vec![("x", "y"); 101];
    let crumbs = vec![("cookie", "a=1"); 101];
    // More than max_header_size.
    let third = "a".repeat(10_920);
    let large = vec![("x", &*third); 3];
    for (fields, status) in [
        // Requests that this server refuses itself, with the texts of HTTP/1.1.
        (with("host", "other"), 400),
        (instead(":authority", "user@localhost"), 400),
        (without(":authority"), 400),
        (instead(":path", "/%zz"), 400),
        (instead(":path", "/a%00"), 400),
        (instead(":path", "*"), 400),
        (with("x-a", " 1"), 400),
        (with("x-a", "1\t"), 400),
        (with("content_length", "0"), 400),
        ([with("content-length", "0"), vec![("content-length", "0")]].concat(), 400),
        (with("expect", "the-unexpected"), 417),
        (instead(":path", &long_path), 414),
        ([get("/"), many].concat(), 431),
        ([get("/"), crumbs].concat(), 431),
        ([get("/"), large].concat(), 431),
        (vec![(":method", "CONNECT"), (":authority", "localhost:1")], 501),
    ] {
        let mut client = Client::connect(server.address);
        client.send(&frames(1, &block(&fields)));
        assert_eq!(client.answer(1).0, status, "{fields:?}");
        // The connection stays open.
        client.send(&request(3, "/"));
        assert_eq!(client.frame_of(3).kind, HEADERS);
    }
    // Requests that `h2` refuses: the stream, or the connection if the compression of fields may be out of step.
    for fields in [
        with("Upper", "1"),
        with("x-a", "a\r\nb: c"),
        with("x-a", "a\0b"),
        with("x a", "1"),
        with("", "1"),
        with("connection", "close"),
        with("keep-alive", "1"),
        with("proxy-connection", "close"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "websocket"),
        with("te", "gzip"),
        with(":path", "/again"),
        with(":status", "200"),
        with(":unknown", "1"),
        [vec![("x-a", "1")], get("/")].concat(),
        without(":method"),
        without(":scheme"),
        instead(":path", ""),
        with("content-length", "7"),
        with("content-length", "seven"),
        instead(":method", "G T"),
        // Extended CONNECT (RFC 8441) was not offered.
        [vec![(":method", "CONNECT"), (":protocol", "websocket")], without(":method")].concat(),
    ] {
        let mut client = Client::connect(server.address);
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
        loop {
            match client.frame() {
                Some(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => {
                    assert_eq!(frame.code(), PROTOCOL_ERROR, "{fields:?}");
                    break;
                }
                Some(frame) => assert_ne!(frame.kind, HEADERS, "{fields:?}"),
                None => panic!("no word about {fields:?}"),
            }
        }
    }
    let missing = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost")];
    let mut client = Client::connect(server.address);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&missing)));
    assert_eq!(client.frame_of(1).kind, RST_STREAM);
    // Every request that was answered with 200 above, and no other.
    assert_eq!(count.load(Ordering::Relaxed), 16);
}

#[test]
fn a_head_may_be_as_large_as_over_http_1() {
    let (server, _) = server();
    let cookie = format!("id={}", "c".repeat(20_000));
    let crumbs: Vec<String> = (0..90).map(|number| format!("c{number:02}={}", "d".repeat(340))).collect();
    let just: Vec<(&str, &str)> = vec![("x-a", &cookie[..16_000]), ("x-b", &cookie[..16_700])];
    let together = crumbs.iter().map(|crumb| ("cookie", &**crumb)).collect();
    for (stream, fields) in [(1, vec![("cookie", &*cookie)]), (3, together), (5, just)] {
        let mut client = Client::connect(server.address);
        client.send(&frames(stream, &block(&[get("/"), fields.clone()].concat())));
        let (status, _) = client.answer(stream);
        assert_eq!(status, 200, "{} fields", fields.len());
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
        std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
        socket.set_read_timeout(Some(outside_test_support::server::DEADLINE)).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{} fields: {answer}", fields.len());
    }
    // One limit, sent to both clients and named in the log.
    let server = Running::start_h2c(|config| config.max_header_size = 1000);
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    client.send(&frames(1, &block(&[get("/"), vec![("x-a", &cookie[..980])]].concat())));
    assert_eq!(client.answer(1).0, 200);
    client.send(&frames(3, &block(&[get("/"), vec![("x-a", &cookie[..1200])]].concat())));
    assert_eq!(client.answer(3).0, 431);
    server.log.wait_for("config[\"max_header_size\"]");
}

#[test]
fn content_comes_in_and_its_length_is_held() {
    let (server, count) = server();
    let head = |length: Option<&'static str>| {
        let mut fields = vec![(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")];
        fields.extend(length.map(|length| ("content-length", length)));
        block(&fields)
    };
    let mut client = Client::connect(server.address);
    client.send(&frame(HEADERS, END_HEADERS, 1, &head(Some("10"))));
    client.send(&frame(DATA, 0, 1, b"hello"));
    client.send(&frame(DATA, END_STREAM, 1, b"world"));
    assert!(text(client.answer(1).1).ends_with("\n\nhelloworld"));
    // Trailers are dropped; content without a declared length has one when it is complete.
    client.send(&frame(HEADERS, END_HEADERS, 3, &head(None)));
    client.send(&frame(DATA, 0, 3, b"more"));
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&[("host", "evil"), ("x-trailer", "1")])));
    client.frame_of(3);
    let content = text(client.frame_of(3).payload);
    assert!(content.ends_with("\n\nmore") && !content.contains("evil") && !content.contains("trailer"), "{content}");
    for (length, pieces) in
        [("10", &[&b"hello"[..]][..]), ("4", &[b"hello"]), ("0", &[b"x"]), ("9", &[b"hello", b"world"])]
    {
        let mut client = Client::connect(server.address);
        client.send(&frame(HEADERS, END_HEADERS, 1, &head(Some(length))));
        for (index, piece) in pieces.iter().enumerate() {
            let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
            client.send(&frame(DATA, flags, 1, piece));
        }
        let end = client.frame_of(1);
        assert_eq!((end.kind, end.code()), (RST_STREAM, PROTOCOL_ERROR), "{length} announced");
    }
    // Too much content, declared or sent: an answer, then the client is told to stop.
    for (length, pieces) in [(Some("5000"), 0), (None, 5)] {
        let mut client = Client::connect(server.address);
        client.send(&frame(HEADERS, END_HEADERS, 1, &head(length)));
        for _ in 0..pieces {
            client.send(&frame(DATA, 0, 1, &[b'x'; 1000]));
        }
        assert_eq!(client.answer(1).0, 413);
        let end = client.frame_of(1);
        assert_eq!((end.kind, end.code()), (RST_STREAM, NO_ERROR));
        client.send(&request(3, "/"));
        assert_eq!(client.frame_of(3).status(), 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[test]
fn answers_are_those_of_http_2() {
    let (server, _) = server();
    server.set_route("/fields", |_: &Request| {
        Response::text("hi")
            .with_header("Connection", "close")
            .with_header("Upgrade", "x")
            .with_header("X-Upper", "Yes")
    });
    server.set_route("/nothing", |_: &Request| ());
    server.set_route("/stream", |_: &Request| Response::stream(["one ", "two ", "three"]));
    server.set_route("/large", |_: &Request| "x".repeat(300_000));
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/fields"));
    let head = client.frame_of(1);
    assert!(!head.payload.windows(5).any(|bytes| bytes == b"close"));
    assert_eq!(client.frame_of(1).payload, b"hi");
    client.send(&request(3, "/nothing"));
    let head = client.frame_of(3);
    assert_eq!((head.status(), head.ends_stream()), (204, true));
    let mut head_fields = get("/large");
    head_fields[0].1 = "HEAD";
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &block(&head_fields)));
    assert!(client.frame_of(5).ends_stream());
    client.send(&request(7, "/stream"));
    let mut content = Vec::new();
    client.frame_of(7);
    loop {
        let frame = client.frame_of(7);
        content.extend_from_slice(&frame.payload);
        if frame.ends_stream() {
            break;
        }
    }
    assert_eq!(text(content), "one two three");
    // Content beyond the windows is sent when they are opened.
    client.send(&request(9, "/large"));
    client.frame_of(9);
    let mut received = 0;
    loop {
        let data = client.frame_of(9);
        received += data.payload.len();
        if data.ends_stream() {
            break;
        }
        let increment = u32::try_from(data.payload.len()).unwrap().to_be_bytes();
        client.send(&[frame(WINDOW_UPDATE, 0, 0, &increment), frame(WINDOW_UPDATE, 0, 9, &increment)].concat());
    }
    assert_eq!(received, 300_000);
    server.log.wait_for("\"GET /large HTTP/2\" 200 300000");
}

#[test]
fn without_being_asked_for_it_is_not_spoken() {
    use std::io::{Read as _, Write as _};
    let server = Running::start_h2c(|config| config.h2c = false);
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    socket.write_all(outside_test_support::http2::wire::PREFACE).unwrap();
    let mut answer = String::new();
    socket.set_read_timeout(Some(outside_test_support::server::DEADLINE)).unwrap();
    // Bytes behind the apparent head are read and discarded.
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    // Nor is a connection upgraded to it: the field is ignored (RFC 9110 section 7.8).
    let server = Running::start_h2c(|_| {});
    server.set_route("/", |_: &Request| "one");
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    socket.write_all(ask.as_bytes()).unwrap();
    socket.set_read_timeout(Some(outside_test_support::server::DEADLINE)).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("one"), "{answer}");
}
