//! HTTP within TLS: the same answers as in clear.

use std::io::{Read, Write};
use std::sync::Arc;

use outside::websocket::Message;
use outside::{FilePath, Request, Response, WebSocket, WebSocketConnection};
use rustls::ProtocolVersion;

use crate::certificates::Authority;
use crate::client::{answer, ask, begin, connect, trusting};
use crate::server;

#[test]
fn both_versions_answer_and_keep_alive() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_protocol_versions(&[version]);
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let mut client = begin(&config, running.address, "localhost");
        for _ in 0..3 {
            assert!(ask(&mut client, "/").ends_with("hello over https"));
        }
        assert_eq!(client.conn.protocol_version(), Some(version.version));
        assert_ne!(version.version, ProtocolVersion::TLSv1_1);
    }
}

#[test]
fn large_answers_and_uploads_arrive_whole() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let content: Arc<Vec<u8>> = Arc::new((0..3_000_000_u32).map(|number| (number * 7 % 251) as u8).collect());
    let sent = Arc::clone(&content);
    running.server.set_route("/large", move |_: &Request| Response::bytes(sent.to_vec())).unwrap();
    running
        .server
        .set_route("/length", |request: &Request| Response::text(request.content().len().to_string()))
        .unwrap();
    let path = authority.path("file.bin");
    std::fs::write(&path, &content[..]).unwrap();
    running.server.set_route("/file", FilePath(path.display().to_string())).unwrap();
    let config = Arc::new(trusting(&authority));
    let mut client = begin(&config, running.address, "localhost");
    for target in ["/large", "/file"] {
        write!(client, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let received = answer(&mut client);
        assert!(received.ends_with(&content), "{target}: {} bytes", received.len());
    }
    write!(client, "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=1000000-1999999\r\n\r\n").unwrap();
    assert!(answer(&mut client).ends_with(&content[1_000_000..2_000_000]));
    write!(client, "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n").unwrap();
    client.write_all(&content).unwrap();
    assert!(answer(&mut client).ends_with(b"3000000"));
}

#[test]
fn an_answer_is_one_record() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let path = authority.path("file.txt");
    std::fs::write(&path, "x".repeat(2000)).unwrap();
    running.server.set_route("/file", FilePath(path.display().to_string())).unwrap();
    let config = Arc::new(trusting(&authority));
    let mut client = begin(&config, running.address, "localhost");
    // After the first answer all tickets have come.
    ask(&mut client, "/");
    for target in ["/", "/file"] {
        write!(client.conn.writer(), "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        client.conn.write_tls(&mut client.sock).unwrap();
        let mut header = [0; 5];
        client.sock.peek(&mut header).unwrap();
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut record = vec![0; 5 + length];
        client.sock.read_exact(&mut record).unwrap();
        client.conn.read_tls(&mut &record[..]).unwrap();
        client.conn.process_new_packets().unwrap();
        let received = answer(&mut client.conn.reader());
        assert!(received.starts_with(b"HTTP/1.1 200"), "{target}");
    }
}

#[test]
fn a_websocket_speaks_within_tls() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let echo =
        WebSocket::new().on_message(|connection: &WebSocketConnection, message: Message| connection.send(message));
    running.server.set_route("/ws", echo).unwrap();
    let mut client = begin(&Arc::new(trusting(&authority)), running.address, "localhost");
    write!(
        client,
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    assert!(answer(&mut client).starts_with(b"HTTP/1.1 101"));
    let mut websocket = tungstenite::WebSocket::from_raw_socket(client, tungstenite::protocol::Role::Client, None);
    let text = "over and over ".repeat(10_000);
    websocket.send(tungstenite::Message::text(text.clone())).unwrap();
    assert_eq!(websocket.read().unwrap().into_text().unwrap().as_str(), text);
    websocket.close(None).unwrap();
}

#[test]
fn http_in_clear_is_told_the_way() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let mut stream = connect(running.address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert!(received.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{received}");
    assert!(received.contains("https://") && received.contains("text/plain"), "{received}");
}

#[test]
fn keys_change_in_the_middle() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let mut client = begin(&Arc::new(trusting(&authority)), running.address, "localhost");
    for _ in 0..20 {
        assert!(ask(&mut client, "/").ends_with("hello over https"));
        client.conn.refresh_traffic_keys().unwrap();
    }
}

#[test]
fn records_and_segments_of_any_size() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    running
        .server
        .set_route("/length", |request: &Request| Response::text(request.content().len().to_string()))
        .unwrap();
    for size in [32, 100, 16_384 + 5] {
        let mut config = trusting(&authority);
        // The handshake is cut as well.
        config.max_fragment_size = Some(size);
        let mut client = begin(&Arc::new(config), running.address, "localhost");
        let body = vec![b'x'; 100_000];
        write!(client, "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        client.write_all(&body).unwrap();
        assert!(answer(&mut client).ends_with(b"100000"), "records of {size} bytes");
    }
    // One byte at a time on the wire.
    let mut client = begin(&Arc::new(trusting(&authority)), running.address, "localhost");
    ask(&mut client, "/");
    client.conn.writer().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut wire = Vec::new();
    client.conn.write_tls(&mut wire).unwrap();
    wire.iter().for_each(|&byte| client.sock.write_all(&[byte]).unwrap());
    assert!(answer(&mut client).ends_with(b"hello over https"));
}

/// A client that reads slowly gets all bytes in order, with writes cut at any place.
#[test]
fn a_slow_reader_gets_everything() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let pieces: Vec<u8> = (0..4_000_000_u32).map(|number| (number * 13 % 241) as u8).collect();
    let sent = pieces.clone();
    running.server.set_route("/large", move |_: &Request| Response::bytes(sent.clone())).unwrap();
    let mut client = begin(&Arc::new(trusting(&authority)), running.address, "localhost");
    socket2::SockRef::from(&client.sock).set_recv_buffer_size(64 << 10).unwrap();
    write!(client, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(answer(&mut client).ends_with(&pieces));
}
