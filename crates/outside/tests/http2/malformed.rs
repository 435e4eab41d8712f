//! Messages that break the rules end their stream, are logged, and leave the other streams alone (RFC 9113 section
//! 8.1.1); targets that only some readers of URIs take are the same as over HTTP/1.1.

use std::io::{Read as _, Write as _};

use outside::{Request, Response};

use outside_test_support::http2::wire::{
    CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PROTOCOL_ERROR,
    RST_STREAM, block, frame, get, request,
};
use outside_test_support::latch::Latch;
use outside_test_support::server::{DEADLINE, Running};

/// A literal field whose representation begins with this byte: 0x40 adds it to the table, 0 and 0x10 do not.
fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
    [&[first, length(name)][..], name, &[length(value)], value].concat()
}

/// Method, scheme, path and authority of a GET, in two bytes and two fields.
fn beginning(path: &[u8]) -> Vec<u8> {
    [&[0x82, 0x86][..], &literal(0, b":path", path), &literal(0, b":authority", b"localhost")].concat()
}

fn head(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A server where `/slow` waits for the latch, and all other paths are answered with target and `x-a`.
fn server(latch: &Latch) -> Running {
    let server = Running::start_h2c(|_| {});
    server.set_route("/slow", latch.handler("slow"));
    server.set_route("/", |request: &Request| {
        Response::text(format!("{} {:?}", request.target(), request.headers().get("x-a")))
    });
    server
}

/// The content of an answer with any status.
fn content(client: &mut Client, stream: u32) -> String {
    let mut content = Vec::new();
    loop {
        let frame = client.frame_of(stream);
        assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
        if frame.kind == DATA {
            content.extend_from_slice(&frame.payload);
        }
        if frame.ends_stream() {
            return String::from_utf8(content).unwrap();
        }
    }
}

#[test]
fn a_malformed_message_costs_its_stream_alone() {
    let path = beginning(b"/there");
    let with = |field: Vec<u8>| [&path[..], &field].concat();
    let pseudo = |name: &[u8], value: &[u8]| [&literal(0, name, value)[..], &path].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a path that is no UTF-8", beginning(b"/?q=\xe9"), "\"GET /?q=%E9 HTTP/2\" 400 0"),
        ("a name in capitals", with(literal(0, b"X-A", b"1")), "\"GET /there HTTP/2\" 400 0"),
        ("an empty name", with(literal(0, b"", b"1")), "\"GET /there HTTP/2\" 400 0"),
        ("an empty name without a value", with(literal(0x40, b"", b"")), "\"GET /there HTTP/2\" 400 0"),
        ("an unknown pseudo-header field", pseudo(b":foo", b"1"), "\"GET /there HTTP/2\" 400 0"),
        ("a colon alone", with(literal(0, b":", b"1")), "\"GET /there HTTP/2\" 400 0"),
        ("a space in a name", with(literal(0x10, b"x a", b"1")), "\"GET /there HTTP/2\" 400 0"),
        ("a name that is no ASCII", with(literal(0, b"x\xe9", b"1")), "\"GET /there HTTP/2\" 400 0"),
        ("a line end in a value", with(literal(0, b"x-a", b"a\r\nb: c")), "\"GET /there HTTP/2\" 400 0"),
        ("a NUL in a value", with(literal(0, b"x-a", b"a\0")), "\"GET /there HTTP/2\" 400 0"),
        ("a method that is no token", pseudo(b":method", b"G T"), "\"GET /there HTTP/2\" 400 0"),
        ("an authority that is no UTF-8", pseudo(b":authority", b"\xff"), "\"GET /there HTTP/2\" 400 0"),
        ("a scheme that is no UTF-8", pseudo(b":scheme", b"\xff"), "\"GET /there HTTP/2\" 400 0"),
        ("a status that is none", pseudo(b":status", b"abc"), "\"GET /there HTTP/2\" 400 0"),
        ("a protocol that is no UTF-8", pseudo(b":protocol", b"\xff"), "\"GET /there HTTP/2\" 400 0"),
        ("a NUL in the Huffman code", with([&literal(0, b"x-a", b"")[..5], &[0x82, 0xff, 0xc7]].concat()), "400 0"),
        // Faults that `h2` itself detects.
        ("a field of a connection", with(literal(0, b"connection", b"close")), "\"- - HTTP/2\" 400 0"),
        ("a path that is empty", beginning(b""), "\"- - HTTP/2\" 400 0"),
        ("a length that is none", with(literal(0, b"content-length", b"x")), "\"- - HTTP/2\" 400 0"),
    ];
    for (name, bad, line) in cases {
        let latch = Latch::default();
        let server = server(&latch);
        let mut client = Client::connect(server.address);
        client.send(&request(1, "/slow"));
        latch.wait_for_arrivals(1);
        client.send(&head(3, &bad));
        let reset = client.frame_of(3);
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, PROTOCOL_ERROR), "{name}");
        server.log.wait_for(line);
        client.send(&head(5, &with(literal(0, b"x-a", b"fine"))));
        assert_eq!(content(&mut client, 5), "/there Some(\"fine\")", "{name}");
        latch.open();
        assert_eq!(content(&mut client, 1), "slow", "{name}");
        let lines = server.log.lines_with(" 400 0");
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
    }
}

#[test]
fn a_malformed_field_keeps_its_place_in_the_table() {
    let latch = Latch::default();
    let server = server(&latch);
    let mut client = Client::connect(server.address);
    let path = beginning(b"/there");
    let with = |fields: &[&[u8]]| [&path[..], &fields.concat()].concat();
    let malformed = |client: &mut Client, stream, block: &[u8]| {
        client.send(&head(stream, block));
        let reset = client.frame_of(stream);
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, PROTOCOL_ERROR), "stream {stream}");
    };
    // The table, newest first, behind each of these; 62 is the newest.
    // [x-a: one]
    client.send(&head(1, &with(&[&literal(0x40, b"x-a", b"one")])));
    assert_eq!(content(&mut client, 1), "/there Some(\"one\")");
    // [x-a: \0, X-B: 2, x-a: one]: the middle entry has an invalid name, the newest an invalid value.
    malformed(&mut client, 3, &with(&[&literal(0x40, b"X-B", b"2"), &[0x7f, 0x00, 1, 0]]));
    // An index of an invalid field is a fault, of a valid one is not.
    malformed(&mut client, 5, &with(&[&[0xbe]]));
    malformed(&mut client, 7, &with(&[&[0xbf]]));
    client.send(&head(9, &with(&[&[0xc0]])));
    assert_eq!(content(&mut client, 9), "/there Some(\"one\")");
    // The name of a field whose value was invalid; the invalid name.
    client.send(&head(11, &with(&[&[0x0f, 47, 4], b"good"])));
    assert_eq!(content(&mut client, 11), "/there Some(\"good\")");
    client.send(&head(13, &with(&[&[0x0f, 49, 3], b"two"])));
    assert_eq!(content(&mut client, 13), "/there Some(\"two\")");
    malformed(&mut client, 15, &with(&[&[0x0f, 48, 3], b"two"]));
    // One more, added to the table under a name from it: all entries move by one.
    client.send(&head(17, &with(&[&[0x7f, 1, 5], b"added"])));
    assert_eq!(content(&mut client, 17), "/there Some(\"added\")");
    client.send(&head(19, &with(&[&[0xbe]])));
    assert_eq!(content(&mut client, 19), "/there Some(\"added\")");
    client.send(&head(21, &with(&[&[0xc1]])));
    assert_eq!(content(&mut client, 21), "/there Some(\"one\")");
    // A path that is no UTF-8, added: its name is still a path. [:path: \xe9, …]
    malformed(&mut client, 23, &[&[0x82, 0x86][..], &literal(0x40, b":path", b"/\xe9")].concat());
    let authority = literal(0, b":authority", b"localhost");
    client.send(&head(25, &[&[0x82, 0x86, 0x0f, 47, 5], &b"/here"[..], &authority, &[0xbf]].concat()));
    assert_eq!(content(&mut client, 25), "/here Some(\"added\")");
    // The table is emptied: no entry is invalid any more.
    client.send(&head(27, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &with(&[&literal(0x40, b"x-a", b"new")])].concat()));
    assert_eq!(content(&mut client, 27), "/there Some(\"new\")");
    client.send(&head(29, &with(&[&[0xbe]])));
    assert_eq!(content(&mut client, 29), "/there Some(\"new\")");
}

#[test]
fn malformed_in_trailers_in_several_frames_and_with_padding() {
    let latch = Latch::default();
    let server = server(&latch);
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/slow"));
    latch.wait_for_arrivals(1);
    let mut post = get("/");
    post[0].1 = "POST";
    client.send(&[frame(HEADERS, END_HEADERS, 3, &block(&post)), frame(DATA, 0, 3, b"x")].concat());
    client.send(&head(3, &literal(0, b"X-Trailer", b"1")));
    assert_eq!(client.frame_of(3).kind, RST_STREAM);
    // In the first frame of two, in the second, and across both; `h2` itself detects those in the first.
    let bad = [&beginning(b"/"), &literal(0, b"x-b", b"1")[..], &literal(0, b"X-A", b"1"), &literal(0, b"x-c", b"1")]
        .concat();
    let forbidden = [&beginning(b"/")[..], &literal(0, b"connection", b"x"), &literal(0, b"x-c", b"1")].concat();
    let mut stream = 3;
    for (block, at) in (0..bad.len()).step_by(5).map(|at| (&bad, at)).chain([(&forbidden, forbidden.len() - 3)]) {
        stream += 2;
        let (first, second) = block.split_at(at);
        client.send(&frame(HEADERS, END_STREAM, stream, first));
        client.send(&frame(CONTINUATION, END_HEADERS, stream, second));
        let reset = client.frame_of(stream);
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, PROTOCOL_ERROR), "cut at {at}");
    }
    // Padding and priority, valid and invalid.
    let good = [&beginning(b"/ok")[..], &literal(0, b"x-a", b"1")].concat();
    for (block, is_right) in [(&bad, false), (&good, true)] {
        stream += 2;
        let padded = [&[3, 0, 0, 0, 1, 9][..], block, &[0, 0, 0]].concat();
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM | 0x28, stream, &padded));
        match is_right {
            true => assert_eq!(content(&mut client, stream), "/ok Some(\"1\")"),
            false => assert_eq!(client.frame_of(stream).kind, RST_STREAM),
        }
    }
    // Broken compression still ends the connection (section 4.3).
    latch.open();
    assert_eq!(content(&mut client, 1), "slow");
    client.send(&head(stream + 2, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    assert_eq!(client.go_away().0, PROTOCOL_ERROR);
}

#[test]
fn a_client_that_breaks_the_rules_again_and_again_is_left() {
    let latch = Latch::default();
    let server = server(&latch);
    let mut client = Client::connect(server.address);
    let bad = [&beginning(b"/")[..], &literal(0x40, b"X", b"1")].concat();
    let mut number = 0;
    while number < 10_000 && client.try_send(&head(2 * number + 1, &bad)) {
        number += 1;
    }
    let mut code = None;
    while let Some(frame) = client.frame() {
        code = code.or((frame.kind == GOAWAY).then(|| frame.code()));
    }
    // The system may have taken all of the heads before the server has read the first ones.
    assert_eq!(code, Some(ENHANCE_YOUR_CALM), "after {number} heads");
    assert!(server.log.lines_with(" 400 0").len() <= 256);
}

/// The answer of HTTP/1.1 to this target.
fn over_http_1(server: &Running, target: &[u8]) -> (u16, String) {
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
        .write_all(&[b"GET ", target, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat())
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), content.to_owned())
}

#[test]
fn targets_are_the_same_in_both_versions() {
    let latch = Latch::default();
    let server = server(&latch);
    for target in [
        "/a\"b",
        "/a<b>c",
        "/a`b",
        "/?a=\"<b>`",
        "/{a}|^b",
        "/?{a}|^b",
        "/a'b",
        "/a\\b",
        "/a#b",
        "/?a#b",
        "/\u{e9}",
        "/?a\u{7f}",
        "/a\tb",
        "/%22",
        "/a?b?c",
        "/a//b",
        "//a",
    ] {
        let (status, content) = over_http_1(&server, target.as_bytes());
        let mut client = Client::connect(server.address);
        client.send(&head(1, &beginning(target.as_bytes())));
        let (second_status, second_content) = client.answer(1);
        assert_eq!(second_status, status, "{target}");
        if status == 200 {
            assert_eq!(String::from_utf8(second_content).unwrap(), content, "{target}");
        }
        // A target of the table, by its index and by its name.
        let authority = literal(0, b":authority", b"localhost");
        let added = [&[0x82, 0x86][..], &literal(0x40, b":path", target.as_bytes()), &authority].concat();
        client.send(&head(3, &added));
        client.send(&head(5, &[&[0x82, 0x86, 0xbe][..], &authority].concat()));
        client.send(&head(7, &[&[0x82, 0x86, 0x0f, 47, 3], &b"/ok"[..], &authority].concat()));
        for (stream, answer) in [(3, &*content), (5, &*content), (7, "/ok None")] {
            let found = self::content(&mut client, stream);
            assert!(status != 200 && stream < 7 || found == answer, "{target} on {stream}: {found}");
        }
        // And in the log, escaped; refused characters are percent-encoded, so that it is ASCII on one line.
        let shown = target.replace('\\', "\\x5c").replace('"', "\\x22");
        if status == 200 {
            server.log.wait_for(&format!("\"GET {shown} HTTP/1.1\" 200"));
            server.log.wait_for(&format!("\"GET {shown} HTTP/2\" 200"));
        }
    }
    for shown in ["/a%23b", "/%C3%A9", "/?a%7F", "/a%09b"] {
        server.log.wait_for(&format!("\"GET {shown} HTTP/2\" 400"));
    }
}
