//! The whole server loop against any bytes of a client: properties that hold for every conversation. Fuzzers call this
//! too.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outside::{Request, Response};

use crate::http2::wire::{Client, GOAWAY, PREFACE, request};
use crate::server::{DEADLINE, Running};

/// Handlers that run at the moment.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

fn address() -> SocketAddr {
    static SERVER: OnceLock<Running> = OnceLock::new();
    let start = || {
        let server = Running::start_h2c(|config| {
            config.access_log = outside::config::AccessLog::Off;
            config.max_body_size = 64 << 10;
            config.spool_above = 16 << 10;
            config.write_stall_timeout = Duration::from_secs(1);
            config.body_stall_timeout = Duration::from_secs(1);
            config.header_timeout = Duration::from_secs(1);
        });
        server.set_route("/", |request: &Request| {
            let before = RUNNING.fetch_add(1, Ordering::Relaxed);
            assert!(before < 100, "{before} handlers beside this one");
            let text = format!("{} {} {}", request.method(), request.url(), request.content_length());
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            text
        });
        server.set_route("/stream", |_: &Request| Response::stream(["one", "two", "three"]));
        server.set_route("/large", |_: &Request| Response::bytes(vec![b'x'; 100_000]));
        server.set_route("/fail", |_: &Request| (503, "not now"));
        server
    };
    SERVER.get_or_init(start).address
}

/// A client sends this behind the preface and closes its side. The server ends the connection in time, has sent only
/// whole frames, and still works.
pub fn conversation(input: &[u8]) {
    let address = address();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    // The server may have ended it before all is sent.
    if socket.write_all(PREFACE).and_then(|()| socket.write_all(input)).is_ok() {
        let _it_may_be_closed = socket.shutdown(Shutdown::Write);
    }
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Ok(_) => {
            let mut rest = &said[..];
            let mut has_ended = false;
            while let [high, middle, low, kind, _, _, _, _, _, payload @ ..] = rest {
                let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                assert!(length <= 16 << 10 && payload.len() >= length, "a frame that is not whole: {said:02x?}");
                assert!(*kind <= 9, "a frame of type {kind}");
                has_ended |= *kind == GOAWAY;
                rest = &payload[length..];
            }
            assert!(rest.is_empty() || has_ended, "the head of a frame that is not whole: {said:02x?}");
        }
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
        Err(error) => panic!("the server does not end it: {error}"),
    }
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    if COUNT.fetch_add(1, Ordering::Relaxed).is_multiple_of(32) {
        let mut client = Client::connect(address);
        client.send(&request(1, "/"));
        assert_eq!(client.answer(1), (200, b"GET / 0".to_vec()));
    }
}
