//! Trailers of an answer: fields behind its content (RFC 9110 section 6.5), in HTTP/2 and in HTTP/1.1.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use outside::message::Trailers;
use outside::{Request, Response};

use outside_test_support::http2::wire::{Client, DATA, END_HEADERS, END_STREAM, HEADERS, block, frame, get, request};
use outside_test_support::server::Running;

/// A server whose answers have a trailer with the number of pieces that are left.
fn counting() -> Running {
    let server = Running::start_h2c(|_| {});
    server.set_route("/", |_: &Request| {
        Response::stream_with_trailers(["one", "two"], &["X-Left"], |rest| {
            let mut trailers = Trailers::new();
            trailers.append("X-Left", rest.len().to_string()).unwrap();
            trailers
        })
    });
    server.set_route("/none", |_: &Request| Response::stream_with_trailers(["one"], &["X-Left"], |_| Trailers::new()));
    server
}

#[test]
fn http2_ends_the_stream_with_them() {
    let server = counting();
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/"));
    assert_eq!(client.frame_of(1).kind, HEADERS);
    let mut content = Vec::new();
    let last = loop {
        let frame = client.frame_of(1);
        if frame.kind != DATA {
            break frame;
        }
        assert!(!frame.ends_stream());
        content.extend_from_slice(&frame.payload);
    };
    assert_eq!((content.as_slice(), last.kind, last.ends_stream()), (&b"onetwo"[..], HEADERS, true));
    // Without any, the content ends the stream; HEAD has neither.
    client.send(&request(3, "/none"));
    assert_eq!(client.answer(3), (200, b"one".to_vec()));
    let mut fields = get("/");
    fields[0].1 = "HEAD";
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &block(&fields)));
    assert!(client.frame_of(5).ends_stream());
}

#[test]
fn http1_sends_them_to_clients_that_take_them() {
    let server = counting();
    let answered = |head: &str| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        write!(socket, "{head}\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        (head.contains("Trailer: X-Left\r\n"), content.to_owned())
    };
    let plain = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n".to_owned();
    let trailing = "3\r\none\r\n3\r\ntwo\r\n0\r\nX-Left: 0\r\n\r\n".to_owned();
    for (head, content) in [
        ("GET / HTTP/1.1\r\nTE: trailers", trailing.clone()),
        ("GET / HTTP/1.1\r\nTE: gzip, trailers", trailing),
        ("GET / HTTP/1.1", plain.clone()),
        ("GET / HTTP/1.1\r\nTE: gzip", plain),
        ("GET /none HTTP/1.1\r\nTE: trailers", "3\r\none\r\n0\r\n\r\n".to_owned()),
        ("GET / HTTP/1.0\r\nTE: trailers", "onetwo".to_owned()),
        ("HEAD / HTTP/1.1\r\nTE: trailers", String::new()),
    ] {
        assert_eq!(answered(head), (true, content), "{head}");
    }
}

#[test]
fn a_declared_length_leaves_no_place_for_them_in_http1() {
    let server = Running::start_h2c(|_| {});
    server.set_route("/", |_: &Request| {
        let mut trailers = Trailers::new();
        trailers.append("X-A", "1").unwrap();
        Response::stream_with_trailers(["abc"], &["X-A"], |_| trailers).with_header("Content-Length", "3")
    });
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\nabc"), "{answer}");
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/"));
    client.frame_of(1);
    assert_eq!(client.frame_of(1).payload, b"abc");
    assert!(client.frame_of(1).ends_stream());
}

#[test]
fn fields_that_belong_before_the_content() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Host",
        "Set-Cookie",
        "trailer",
        "Content-Type",
        "Connection",
        "X A",
        "",
    ] {
        assert!(Trailers::new().append(name, "1").is_err(), "{name}");
    }
    assert!(Trailers::new().append("X-A", "a\r\nX-B: 1").is_err());
}
